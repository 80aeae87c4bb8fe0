//! Gradients that the body of a run-time loop takes by values from outside: earlier passes lie between the two.
//!
//! In the body it is known what the pass itself adds, and the gradients by what the loop hands on; a hole stands for
//! what is missing. Once the body is known, what is handed on is computed by a loop of its own first, and the
//! missing part is that loop's backward loop, from the pass before this one to the first.

use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Tensor};
use mlc_ir::autodiff::{self, Prefix};
use mlc_ir::graph::{Def, Value as IrValue};
use mlc_ir::nested::{LoopCut, computed_with, cut_loop, made_of};
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// A run-time loop whose body is being evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// Its holes: what it hands on, and its position.
    own: Vec<IrValue>,
    /// Whether only the kinds of its values are asked for.
    dry: bool,
    /// In the order of the program.
    pub asked: Vec<Asked>,
}

/// A gradient that lacks a part.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What stands for the part.
    hole: IrValue,
    by: IrValue,
    /// Whether there is another part.
    has_more: bool,
    /// What the loop hands on, if `by` is from outside, and the gradients by it.
    handed: Vec<(IrValue, IrValue)>,
    /// The missing parts of gradients before, and the gradients by them.
    parts: Vec<(IrValue, IrValue)>,
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
        Body { own, dry: false, asked: Vec::new() }
    }

    pub fn dry(position: IrValue) -> Body {
        Body { own: vec![position], dry: true, asked: Vec::new() }
    }

    fn first(&self) -> usize {
        self.own.iter().map(|hole| hole.index()).min().unwrap_or_default()
    }

    fn last(&self) -> usize {
        self.own.iter().map(|hole| hole.index()).max().unwrap_or_default()
    }
}

/// The loop that computes what a body hands on, and what of it is a carry.
struct Before {
    prefix: Prefix,
    /// Holes of the body, and the results that are their last values.
    carries: Vec<(IrValue, IrValue)>,
}

impl<'a> Cx<'a> {
    /// The gradients of a scalar by some tensors.
    pub fn gradients_of(&mut self, y: &Tensor, by: &[Tensor], at: Places) -> R<Vec<IrValue>> {
        let values: Vec<IrValue> = by.iter().map(|tensor| tensor.value).collect();
        let outer: Vec<Vec<bool>> =
            (0..self.entry.bodies.len()).map(|level| self.are_outside(level, &values)).collect();
        let mut between = Vec::new();
        for (body, outer) in self.entry.bodies.iter().zip(&outer) {
            let handed = if outer.contains(&true) { self.floats(body) } else { Vec::new() };
            between.push((handed, body.asked.iter().map(|asked| asked.hole).collect::<Vec<IrValue>>()));
        }
        let holes = between.iter().flat_map(|(handed, parts)| handed.iter().chain(parts));
        let wrt: Vec<IrValue> = values.iter().chain(holes).copied().collect();
        self.entry.builder.span = self.place(at.call);
        let found = autodiff::gradient(&mut self.graph, &mut self.entry.builder, y.value, &wrt);
        let dry = self.entry.bodies.last().is_some_and(|body| body.dry);
        let of = |hole: &IrValue| {
            let at = values.len() + wrt[values.len()..].iter().position(|other| other == hole)?;
            found[at].ok().map(|adjoint| (*hole, adjoint))
        };
        let mut used = between.iter().map(|(handed, parts)| {
            let used = |holes: &[IrValue]| holes.iter().filter_map(of).collect::<Vec<(IrValue, IrValue)>>();
            (used(handed), used(parts))
        });
        let (handed, parts) = used.next_back().unwrap_or_default();
        if !dry && used.any(|(handed, parts)| !handed.is_empty() || !parts.is_empty()) {
            return Err(self.two_loops(at));
        }
        let mut gradients = Vec::new();
        let mut failed = None;
        for (number, (value, found)) in values.iter().zip(&found).enumerate() {
            let handed = if outer.last().is_some_and(|outer| outer[number]) { handed.clone() } else { Vec::new() };
            let lacks = !handed.is_empty() || !parts.is_empty();
            match found {
                Ok(found) if dry || !lacks => gradients.push(*found),
                Err(_) if dry => {
                    let ty = self.entry.builder.ty(*value).clone();
                    gradients.push(self.entry.builder.hole(ty));
                }
                Err(cut) if !lacks => failed = Some(self.no_gradient_by(*cut, at.y, at.x)),
                found => {
                    let hole = self.ask_later(*value, found.is_ok(), handed, parts.clone(), at)?;
                    gradients.push(match found {
                        Ok(found) => self.entry.builder.binary(BinaryOp::Add, *found, hole),
                        Err(_) => hole,
                    });
                }
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(gradients),
        }
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

    /// A hole for what a gradient in the innermost loop lacks.
    fn ask_later(
        &mut self,
        by: IrValue,
        has_more: bool,
        handed: Vec<(IrValue, IrValue)>,
        parts: Vec<(IrValue, IrValue)>,
        at: Places,
    ) -> R<IrValue> {
        let region = self.entry.builder.region();
        let Some(body) = self.entry.bodies.last() else { mlc_ir::internal_error("resolve", "a gradient of no loop") };
        let inner: Vec<IrValue> = (body.last() + 1..region.values.len())
            .map(|value| IrValue(value as u32))
            .filter(|value| region.values[value.index()].def == Def::Hole)
            .filter(|hole| body.asked.iter().all(|asked| asked.hole != *hole))
            .collect();
        let made = made_of(region, 0, &inner);
        if handed.iter().chain(&parts).any(|(_, adjoint)| made[adjoint.index()]) {
            return Err(self.in_a_call(at));
        }
        let ty = self.entry.builder.ty(by).clone();
        let hole = self.entry.builder.hole(ty);
        if let Some(body) = self.entry.bodies.last_mut() {
            body.asked.push(Asked { hole, by, has_more, handed, parts, at });
        }
        Ok(hole)
    }

    /// Puts values in the place of what the gradients in a body lack.
    pub(super) fn settle_gradients(&mut self, cut: &mut LoopCut, told: usize) -> R<()> {
        let asked = self.entry.bodies.last_mut().map(|body| std::mem::take(&mut body.asked)).unwrap_or_default();
        if asked.is_empty() {
            return Ok(());
        }
        let before = self.before_a_pass(cut, &asked);
        let mut known: Vec<(IrValue, IrValue)> = Vec::new();
        for asked in asked {
            self.entry.builder.span = self.place(asked.at.call);
            let value = self.missing_part(&asked, &before, &known)?;
            known.push((asked.hole, value));
        }
        let faults = self.entry.faults[told..].iter().map(|(value, _)| *value);
        let nexts = cut.carries.iter().map(|carry| carry.next);
        let values: Vec<IrValue> = nexts.chain(cut.stacks.iter().copied()).chain(cut.stop).chain(faults).collect();
        let values = computed_with(&mut self.entry.builder, &known, &values);
        let places = cut.carries.iter_mut().map(|carry| &mut carry.next);
        let faults = self.entry.faults[told..].iter_mut().map(|(value, _)| value);
        for (place, value) in places.chain(&mut cut.stacks).chain(&mut cut.stop).chain(faults).zip(values) {
            *place = value;
        }
        Ok(())
    }

    /// The loop that hands on what does not depend on the gradients.
    fn before_a_pass(&mut self, cut: &LoopCut, asked: &[Asked]) -> Option<Before> {
        let region = self.entry.builder.region();
        let mut late: Vec<IrValue> = asked.iter().map(|asked| asked.hole).collect();
        let mut carries = cut.carries.clone();
        let made = loop {
            let made = made_of(region, cut.mark, &late);
            let (early, more): (Vec<_>, Vec<_>) = carries.into_iter().partition(|carry| !made[carry.next.index()]);
            carries = early;
            if more.is_empty() {
                break made;
            }
            late.extend(more.iter().map(|carry| carry.inside));
        };
        let stop = cut.stop.filter(|stop| !made[stop.index()]);
        if carries.is_empty() {
            return None;
        }
        let part = LoopCut { carries, stacks: Vec::new(), stop, ..cut.clone() };
        let results = cut_loop(&mut self.graph, &mut self.entry.builder, &part).carries;
        let Def::Node(node, _) = self.entry.builder.region().values[results.first()?.index()].def else { return None };
        let carries = part.carries.iter().map(|carry| carry.inside).zip(results).collect();
        Some(Before { prefix: Prefix { node, passes: cut.position }, carries })
    }

    /// What passes before this one, and missing parts of other gradients, add to a gradient.
    fn missing_part(&mut self, asked: &Asked, before: &Option<Before>, known: &[(IrValue, IrValue)]) -> R<IrValue> {
        let Some(before) = before else { return Err(self.feeds_back(asked.at)) };
        let mut values = vec![asked.by];
        values.extend(asked.handed.iter().chain(&asked.parts).map(|(_, adjoint)| *adjoint));
        let values = computed_with(&mut self.entry.builder, known, &values);
        let (by, adjoints) = (values[0], &values[1..]);
        let (handed, parts) = adjoints.split_at(asked.handed.len());
        let mut handed: Vec<(IrValue, IrValue)> =
            asked.handed.iter().map(|(hole, _)| *hole).zip(handed.iter().copied()).collect();
        let own = self.entry.bodies.len() - 1;
        let beyond = self.handed_on_around(own, by);
        let mut terms = Vec::new();
        if !parts.is_empty() {
            let value = |hole: IrValue| known.iter().find(|(other, _)| *other == hole).map(|(_, value)| *value);
            let seeds =
                asked.parts.iter().zip(parts).filter_map(|((hole, _), adjoint)| Some((value(*hole)?, *adjoint)));
            let seeds: Vec<(IrValue, IrValue)> = seeds.collect();
            let holes = self.handed_on_to(own, by);
            let found = self.before_passes(before, &seeds, by, &[&holes[..], &beyond].concat());
            let (here, around) = found.1.split_at(holes.len());
            if around.iter().any(Option::is_some) {
                return Err(self.two_loops(asked.at));
            }
            terms.extend(found.0);
            handed.extend(holes.iter().zip(here).filter_map(|(hole, found)| Some((*hole, (*found)?))));
        }
        let mut seeds = Vec::new();
        for (hole, adjoint) in handed {
            match before.carries.iter().find(|(other, _)| *other == hole) {
                Some((_, result)) => seeds.push((*result, adjoint)),
                None => return Err(self.feeds_back(asked.at)),
            }
        }
        let found = self.before_passes(before, &seeds, by, &beyond);
        if found.1.iter().any(Option::is_some) {
            return Err(self.two_loops(asked.at));
        }
        terms.extend(found.0);
        match terms.into_iter().reduce(|sum, term| self.entry.builder.binary(BinaryOp::Add, sum, term)) {
            Some(sum) => Ok(sum),
            None if asked.has_more => {
                let ty = self.entry.builder.ty(by).clone();
                let zero = self.entry.builder.literal(Literal::zero(ty.dtype));
                Ok(self.entry.builder.broadcast_scalar(zero, &ty.shape))
            }
            None => {
                let from: Vec<IrValue> = seeds.iter().map(|(result, _)| *result).collect();
                let cut = autodiff::no_path(&self.graph, self.entry.builder.region(), &from, by);
                Err(self.no_gradient_by(cut, asked.at.y, asked.at.x))
            }
        }
    }

    /// The floats that a loop hands on, if a value is from outside of it.
    fn handed_on_to(&self, level: usize, by: IrValue) -> Vec<IrValue> {
        if self.are_outside(level, &[by])[0] { self.floats(&self.entry.bodies[level]) } else { Vec::new() }
    }

    fn floats(&self, body: &Body) -> Vec<IrValue> {
        body.own.iter().copied().filter(|hole| self.entry.builder.ty(*hole).dtype.is_float()).collect()
    }

    /// What the loops around a loop hand on past a value, and what gradients there lack.
    fn handed_on_around(&self, level: usize, by: IrValue) -> Vec<IrValue> {
        let handed = (0..level).flat_map(|level| self.handed_on_to(level, by));
        handed
            .chain(self.entry.bodies[..level].iter().flat_map(|body| body.asked.iter().map(|asked| asked.hole)))
            .collect()
    }

    /// Adjoints of a value, and of some others, with the passes before the one at hand.
    fn before_passes(
        &mut self,
        before: &Before,
        seeds: &[(IrValue, IrValue)],
        by: IrValue,
        others: &[IrValue],
    ) -> (Option<IrValue>, Vec<Option<IrValue>>) {
        let wrt: Vec<IrValue> = std::iter::once(by).chain(others.iter().copied()).collect();
        let (graph, builder) = (&mut self.graph, &mut self.entry.builder);
        let mut found = autodiff::backprop_prefix(graph, builder, before.prefix, seeds, &wrt).into_iter();
        (found.next().flatten(), found.collect())
    }

    fn two_loops(&mut self, at: Places) -> Reported {
        let title = "a gradient through what two run-time loops hand on, one in the other, is not supported yet";
        let error = Diagnostic::error(Code::E0009, at.call, title)
            .note("between the two lie earlier passes of the outer loop, of which the inner one knows nothing")
            .help(
                "take the gradient behind the inner loop, or let a loop be unrolled: `for i in 0..8`, without `while`",
            );
        self.tell(error)
    }

    fn in_a_call(&mut self, at: Places) -> Reported {
        let title = "a gradient through what a run-time loop hands on is not supported in a function with `grad`";
        let error = Diagnostic::error(Code::E0009, at.call, title)
            .help("take the gradient in the body of the loop, behind the call");
        self.tell(error)
    }

    fn feeds_back(&mut self, at: Places) -> Reported {
        let y = self.sources.text(at.y).to_string();
        let title = "a gradient that depends on the gradients of earlier passes needs an unrolled loop";
        let error = Diagnostic::error(Code::E0009, at.call, title)
            .note(format!(
                "`{y}` depends on what the loop hands on, and that on this gradient: the second pass takes a second \
                 derivative, the third pass a third one"
            ))
            .help(
                "take the gradient by what the loop hands on, or let it be unrolled: `for i in 0..8`, without `while`",
            );
        self.tell(error)
    }
}
