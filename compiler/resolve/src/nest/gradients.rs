//! Gradients that the body of a run-time loop takes by values from outside: earlier passes lie between the two.
//!
//! What these passes hand on is computed by a loop of its own that runs before, and a hole of the body stands for what
//! that loop hands on behind as many passes ([`mlc_ir::autodiff::Holes`]). That loop is known only when the body is.
//! So the body is evaluated until a gradient lacks the passes before; what the loop hands on without these gradients
//! is cut out, and the body is evaluated again. Each time more gradients are known, and with them more of what is
//! handed on; if nothing more becomes known, a gradient depends on itself in earlier passes.

use super::recorded::Recording;
use super::shared::ByCarry;
use super::{Holes, LoopForm};
use crate::cx::Cx;
use crate::entry::MOST_NODES;
use crate::report::Reported;
use crate::value::{R, Tensor};
use mlc_ir::autodiff::{self, Prefix, StandIn};
use mlc_ir::graph::{Def, Value as IrValue};
use mlc_ir::made::made_of_parts;
use mlc_ir::nested::{LoopCut, cut_loop, made_of};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// So many operations may be in bodies of loops and calls after a gradient, those that others replaced among them.
const MOST_INNER_NODES: usize = 400_000;

/// A run-time loop whose body is being evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// Its holes: what it hands on, and its position.
    pub(super) own: Vec<IrValue>,
    /// Those of which it is known how earlier passes made them.
    pub(super) known: Vec<IrValue>,
    /// Whether only the kinds of its values are asked for.
    dry: bool,
    /// Gradients that go through passes of which nothing is known yet, in the order of the program.
    pub lacking: Vec<Lacking>,
    /// All gradients that it takes itself, not in a loop within, in that order.
    pub given: Vec<IrValue>,
    /// What the loop hands on, and what that is before the first pass.
    pub starts: Vec<(IrValue, IrValue)>,
    /// Gradients by what the loop hands on.
    pub by_carries: Vec<ByCarry>,
}

/// A gradient that is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lacking {
    /// What stands for it.
    pub(super) hole: IrValue,
    /// Which of the gradients of the body it is, if it is not taken in a loop within.
    pub(super) number: Option<usize>,
    at: Places,
}

/// Where a gradient is written: all of it, and its two arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub call: Span,
    pub y: Span,
    pub x: Span,
}

impl Body {
    pub fn new(own: Vec<IrValue>) -> Body {
        Body {
            own,
            known: Vec::new(),
            dry: false,
            lacking: Vec::new(),
            given: Vec::new(),
            starts: Vec::new(),
            by_carries: Vec::new(),
        }
    }

    pub fn dry(position: IrValue) -> Body {
        Body { dry: true, ..Body::new(vec![position]) }
    }

    /// The first of its holes; what was made before is outside.
    fn first(&self) -> usize {
        self.own.iter().map(|hole| hole.index()).min().unwrap_or_default()
    }
}

/// What is known of the passes before the one that is being evaluated.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Carries by their number, and the results of a loop that are their values.
    before: Vec<(usize, IrValue)>,
    /// Where the passes before are made once more.
    pub(super) recording: Option<Recording>,
    /// How many gradients were recorded when that was tried last.
    recorded: Option<usize>,
}

/// How many stand-ins and prefixes there were.
#[derive(Clone, Copy, Debug)]
pub(super) struct HolesMark {
    stand_ins: usize,
    prefixes: usize,
}

impl<'a> Cx<'a> {
    /// The gradients of a scalar by some tensors.
    pub fn gradients_of(&mut self, y: &Tensor, by: &[Tensor], at: Places) -> R<Vec<IrValue>> {
        let values: Vec<IrValue> = by.iter().map(|tensor| tensor.value).collect();
        let levels = 0..self.entry.bodies.len();
        let outside: Vec<Vec<bool>> = levels.clone().map(|level| self.are_outside(level, &values)).collect();
        // Whose adjoints tell that something is lacking: the level, and whether it counts for values from outside alone.
        let mut open: Vec<(usize, IrValue, bool)> = Vec::new();
        for level in levels {
            let body = &self.entry.bodies[level];
            if outside[level].contains(&true) {
                let unknown = self.floats(body).into_iter().filter(|hole| !body.known.contains(hole));
                open.extend(unknown.map(|hole| (level, hole, true)));
            }
            open.extend(body.lacking.iter().map(|lacking| (level, lacking.hole, false)));
        }
        let beside = self.carries_beside(&values, at);
        let asked = open.iter().map(|(_, hole, _)| *hole).chain(beside.iter().map(|beside| beside.value));
        let wrt: Vec<IrValue> = values.iter().copied().chain(asked).collect();
        self.entry.builder.span = self.place(at.call);
        let (graph, builder) = (&mut self.graph, &mut self.entry.builder);
        let found = autodiff::gradient_through(graph, builder, &self.entry.holes, y.value, &wrt);
        self.refuse_growth(at)?;
        let (found, adjoints) = found.split_at(values.len());
        let (adjoints, by_beside) = adjoints.split_at(open.len());
        for (beside, _) in beside.iter().zip(by_beside).filter(|(_, found)| found.is_ok()) {
            self.entry.bodies[beside.level].by_carries.push(ByCarry { at, ..*beside });
        }
        let dry = self.entry.bodies.iter().any(|body| body.dry);
        let mut gradients = Vec::new();
        let mut failed = None;
        for (number, (value, found)) in values.iter().zip(found).enumerate() {
            let lacks = |(_, adjoint): &(&(usize, IrValue, bool), &Result<IrValue, _>)| adjoint.is_ok();
            let counts = |(level, _, from_outside): &(usize, IrValue, bool)| !from_outside || outside[*level][number];
            let mut levels: Vec<usize> = open
                .iter()
                .zip(adjoints)
                .filter(lacks)
                .map(|(open, _)| open)
                .filter(|open| counts(open))
                .map(|open| open.0)
                .collect();
            levels.dedup();
            match found {
                Ok(found) if dry || levels.is_empty() => {
                    self.note_pass(*value, None, at);
                    gradients.push(*found);
                }
                Err(cut) if !dry && levels.is_empty() && self.is_in_passes() => {
                    self.note_pass(*value, Some(*cut), at);
                    let ty = self.entry.builder.ty(*value).clone();
                    gradients.push(self.entry.builder.full(ty.dtype, 0.0, &ty.shape));
                }
                Err(cut) if !dry && levels.is_empty() => failed = Some(self.no_gradient_by(*cut, at.y, at.x)),
                _ => {
                    self.note_pass(*value, None, at);
                    let ty = self.entry.builder.ty(*value).clone();
                    let hole = self.entry.builder.hole(ty);
                    gradients.push(hole);
                    if !dry {
                        levels.iter().for_each(|level| self.lack(*level, hole, at));
                    }
                }
            }
            if let (Some(body), Some(gradient)) = (self.entry.bodies.last_mut(), gradients.last()) {
                body.given.push(*gradient);
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(gradients),
        }
    }

    fn lack(&mut self, level: usize, hole: IrValue, at: Places) {
        let is_last = level + 1 == self.entry.bodies.len();
        let body = &mut self.entry.bodies[level];
        body.lacking.push(Lacking { hole, number: is_last.then_some(body.given.len()), at });
    }

    /// E0003: gradients of gradients of gradients.
    fn refuse_growth(&mut self, at: Places) -> R<()> {
        let own = self.entry.builder.region().nodes.len();
        let inner: usize = self.graph.regions.iter().map(|region| region.nodes.len()).sum();
        if own <= MOST_NODES && inner <= MOST_INNER_NODES {
            return Ok(());
        }
        let title = format!("`{}` expands to more than {MOST_NODES} operations", self.entry.name);
        let error = Diagnostic::error(Code::E0003, at.call, title)
            .note(
                "a gradient goes through all that its value was computed from: where each pass of a loop takes one \
                 through the gradients of the passes before, each pass has some three times the code of the last one",
            )
            .help(
                "take the gradient by what the loop hands on, `h = h - 0.1 * gradient(f(h), h)`, or make fewer passes",
            )
            .help("`h = h - 0.1 * stop_gradient(gradient(f(h), w))` is a constant for the gradients behind it");
        Err(self.tell(error))
    }

    /// Whether each of some values is there before the passes of a loop, and the same in all of them.
    fn are_outside(&self, level: usize, values: &[IrValue]) -> Vec<bool> {
        let region = self.entry.builder.region();
        let first = self.entry.bodies[level].first();
        let holes: Vec<IrValue> = (first..region.values.len())
            .filter(|at| region.values[*at].def == Def::Hole)
            .map(|at| IrValue(at as u32))
            .collect();
        let made = made_of(region, 0, &holes);
        values.iter().map(|value| !made[value.index()]).collect()
    }

    pub(super) fn floats(&self, body: &Body) -> Vec<IrValue> {
        body.own.iter().copied().filter(|hole| self.entry.builder.ty(*hole).dtype.is_float()).collect()
    }

    /// How much is known of holes.
    pub(super) fn holes_mark(&self) -> HolesMark {
        HolesMark { stand_ins: self.entry.holes.stand_ins.len(), prefixes: self.entry.holes.prefixes.len() }
    }

    /// Forgets what was known of the holes of bodies that have been evaluated.
    pub(super) fn forget_holes(&mut self, to: HolesMark) {
        self.entry.holes.stand_ins.truncate(to.stand_ins);
        self.entry.holes.prefixes.truncate(to.prefixes);
    }

    /// Begins to evaluate a body of which it may be known what the passes before hand on.
    pub(super) fn open_body(&mut self, holes: &Holes<'a, '_>, known: &Known) {
        let mut body = Body { starts: holes.starts(), ..Body::new(holes.own()) };
        let carries: Vec<(usize, IrValue)> = match &known.recording {
            Some(recording) => self.passes_again(recording, holes).into_iter().enumerate().collect(),
            None => known.before.clone(),
        };
        let mark = self.entry.builder.mark();
        let carried = holes.carried();
        let is_float = |value: &IrValue| self.entry.builder.ty(*value).dtype.is_float();
        for (number, value) in carries.into_iter().filter(|(_, value)| is_float(value)) {
            // Behind these are records of former evaluations.
            let Some(hole) = carried.get(number).copied() else { continue };
            self.entry.holes.stand_ins.push(StandIn { hole, value, mark });
            body.known.push(hole);
        }
        let first = known.before.first().filter(|_| known.recording.is_none());
        if let Some(Def::Node(node, _)) = first.map(|(_, value)| self.entry.builder.region().values[value.index()].def)
        {
            self.entry.holes.prefixes.push(Prefix { node, passes: holes.position.value });
        }
        self.entry.bodies.push(body);
    }

    /// What stands for the gradients that are not known yet.
    pub fn lacking_holes(&self) -> Vec<IrValue> {
        self.entry.bodies.iter().flat_map(|body| &body.lacking).map(|lacking| lacking.hole).collect()
    }

    /// The gradients that the body lacks so far.
    pub(super) fn lacking(&mut self) -> Vec<Lacking> {
        self.entry.bodies.last_mut().map(|body| std::mem::take(&mut body.lacking)).unwrap_or_default()
    }

    /// Learns more of the passes before from a body that lacks gradients; whether there is more to learn.
    pub(super) fn learn_of_passes(
        &mut self,
        holes: &Holes<'a, '_>,
        cut: &LoopCut,
        lacking: &[Lacking],
        known: &mut Known,
    ) -> bool {
        if let Some(before) = self.before_a_pass(cut, lacking, (&known.before, holes.carried().len())) {
            (known.before, known.recording) = (before, None);
            return true;
        }
        if known.recorded.is_some_and(|count| count <= lacking.len()) {
            return false;
        }
        known.recorded = Some(lacking.len());
        known.recording = Recording::new(cut, lacking);
        known.recording.is_some()
    }

    /// A loop that hands on what does not depend on the gradients that are lacking: its results by the number of their
    /// carry among the first so many; `None` if no more becomes known.
    fn before_a_pass(
        &mut self,
        cut: &LoopCut,
        lacking: &[Lacking],
        (so_far, counted): (&[(usize, IrValue)], usize),
    ) -> Option<Vec<(usize, IrValue)>> {
        let (graph, region) = (&self.graph, self.entry.builder.region());
        let mut late: Vec<IrValue> = lacking.iter().map(|lacking| lacking.hole).collect();
        let mut early: Vec<usize> = (0..cut.carries.len()).collect();
        let made = loop {
            let made = made_of_parts(graph, region, cut.mark, &late);
            let (rest, more): (Vec<usize>, Vec<usize>) =
                early.into_iter().partition(|number| !made[cut.carries[*number].next.index()]);
            early = rest;
            if more.is_empty() {
                break made;
            }
            late.extend(more.iter().map(|number| cut.carries[*number].inside));
        };
        let counts = |number: &usize| *number < counted && region.ty(cut.carries[*number].inside).dtype.is_float();
        if early.iter().filter(|number| counts(number)).count() <= so_far.len() {
            return None;
        }
        let stop = cut.stop.filter(|stop| !made[stop.index()]);
        let counted: Vec<bool> = early.iter().map(counts).collect();
        let carries = early.iter().map(|number| cut.carries[*number].clone()).collect();
        let part = LoopCut { carries, stacks: Vec::new(), stop, narrow: true, ..cut.clone() };
        let results = cut_loop(&mut self.graph, &mut self.entry.builder, &part).carries;
        Some(
            early
                .into_iter()
                .zip(results)
                .zip(counted)
                .filter(|(_, counted)| *counted)
                .map(|(carry, _)| carry)
                .collect(),
        )
    }

    /// E0009: gradients of ever higher order, in a loop whose number of passes is not known.
    pub(super) fn feeds_back(&mut self, form: &LoopForm<'a>, lacking: &[Lacking]) -> Reported {
        let Some(at) = lacking.first().map(|lacking| lacking.at) else { return self.report.silent() };
        let y = self.sources.text(at.y).to_string();
        let title = "a gradient that depends on the gradients of earlier passes needs a number of passes";
        let passes = self.show_dim(&form.trip);
        let error = Diagnostic::error(Code::E0009, at.call, title)
            .also(form.span, format!("{passes} passes"))
            .note(format!(
                "`{y}` depends on what the loop hands on, and that on this gradient: the second pass takes a second \
                 derivative, the third pass a third one"
            ))
            .help("take the gradient by what the loop hands on: `h = h - 0.1 * gradient(f(h), h)`")
            .help("with a number of passes, `for i in 0..4`, each gets code of its own");
        self.tell(error)
    }
}
