//! Loops whose body is evaluated once: the body is built flat, with holes for what only a pass
//! knows, and cut out afterwards ([`mlc_ir::nested`]). `scan` and `for` share this.

mod changes;
mod faults;
mod gradients;
mod outcome;
mod pathless;
mod recorded;
mod settle;
mod shared;
mod unrolled;

pub(crate) use gradients::{Body, Places};
pub(crate) use pathless::InPasses;

use crate::cx::{Cx, FrameState};
use crate::entry::Mode;
use crate::exprs::{MOST_PARTS, Truth};
use crate::molds::Mold;
use crate::report::Told;
use crate::train::ParamKey;
use crate::value::{InstanceId, R, Size, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Value as IrValue};
use mlc_ir::nested::{Carry, LoopCut, cut_loop};
use mlc_ir::region_ops::Trip;
use mlc_ir::scalar::{BinaryOp, Literal, UnaryOp};
use mlc_ir::segmented::passes_of_segment;
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::span::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// The pass of a loop that is being evaluated: random draws differ by it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    /// A loop that is unrolled: the number of the pass.
    Unrolled(i64),
    /// A run-time loop: its position, i64.
    Looped(IrValue),
}

/// A run-time integer of which is known that it lies in `low..high`.
#[derive(Clone, Debug)]
pub(crate) struct KnownIndex {
    pub value: IrValue,
    pub low: Dim,
    pub high: Dim,
}

/// What a loop gives its names in each pass.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// `low`, `low + 1`, …
    Count { low: Dim },
    /// The rows of a tensor along axis 0.
    Rows(Tensor),
    /// The instances of a stack.
    Stack(InstanceId, Rc<Vec<crate::stacks::Row>>),
    /// Several side by side.
    Zip(Vec<Source>),
}

/// A name that a loop hands from pass to pass.
#[derive(Clone, Debug)]
pub(crate) struct Handed<'a> {
    pub name: Arc<str>,
    pub start: Value<'a>,
    /// Where its first value is written.
    pub start_span: Span,
    /// Where the body gives it its last value.
    pub next_span: Span,
}

/// A loop to be evaluated.
#[derive(Debug)]
pub(crate) struct LoopForm<'a> {
    /// For dumps: `scan`, `for`.
    pub what: &'static str,
    /// The head, for messages.
    pub span: Span,
    pub trip: Dim,
    /// The names of a pass and where they come from, column by column.
    pub items: Vec<(&'a [ast::Name], Source)>,
    pub handed: Vec<Handed<'a>>,
    pub condition: Option<&'a ast::Expr>,
    pub body: &'a ast::Block,
    pub checkpoint: bool,
}

/// What a loop came to.
#[derive(Debug)]
pub(crate) struct LoopOutcome<'a> {
    /// The last values of the names that were handed on.
    pub handed: Vec<Value<'a>>,
    /// Stacks of what was yielded, the new axis in front.
    pub yields: Vec<Tensor>,
}

/// One evaluation of a body.
enum Attempt<'a> {
    Done(LoopOutcome<'a>),
    /// The body changes these too: to be evaluated again with holes for them.
    Changes(BTreeSet<ParamKey>),
    /// These are never changed: to be evaluated again without holes for them.
    Keeps(BTreeSet<Arc<str>>),
    /// Gradients go through passes before: to be evaluated again when more is known of these.
    Lacks(LoopCut, Vec<gradients::Lacking>),
    /// Gradients go through gradients of passes before: no two passes are alike.
    FeedsBack(Vec<gradients::Lacking>),
    /// A gradient by what is handed on goes through what the pass before computed from that.
    Shared(Places),
}

/// The state when the evaluation of a body began.
struct Begun<'a> {
    mark: usize,
    faults: usize,
    tensors: BTreeMap<ParamKey, Tensor>,
    /// How many gradients were lacking in each body around.
    lacking: Vec<usize>,
    in_passes: Vec<InPasses>,
    told: Told,
    frame: FrameState<'a>,
}

/// What stands in holes during an evaluation.
struct Holes<'a, 's> {
    form: &'s LoopForm<'a>,
    /// For each name handed on: its mold, first values and holes.
    names: Vec<(usize, Mold, Vec<Tensor>, Vec<Tensor>)>,
    /// Weights and states that the body changes: first value and hole.
    tensors: Vec<(ParamKey, Tensor, Tensor)>,
    /// What gradients of the passes before have given.
    records: Vec<recorded::Record>,
    position: Tensor,
}

impl Holes<'_, '_> {
    fn own(&self) -> Vec<IrValue> {
        let names = self.names.iter().flat_map(|(_, _, _, own)| own);
        let tensors = self.tensors.iter().map(|(_, _, hole)| hole);
        let named = std::iter::once(&self.position).chain(names).chain(tensors).map(|tensor| tensor.value);
        named.chain(self.records.iter().map(|record| record.hole)).collect()
    }

    /// The holes for what is handed on, and what is before the first pass.
    fn starts(&self) -> Vec<(IrValue, IrValue)> {
        let names = self.names.iter().flat_map(|(_, _, starts, own)| own.iter().zip(starts));
        let tensors = self.tensors.iter().map(|(_, start, hole)| (hole, start));
        names.chain(tensors).map(|(hole, start)| (hole.value, start.value)).collect()
    }

    /// The holes for what the program hands on, as the loop has its carries.
    fn carried(&self) -> Vec<IrValue> {
        let mut own = self.own();
        own.truncate(own.len() - self.records.len());
        own.split_off(1)
    }
}

impl<'a> Cx<'a> {
    /// Evaluates a loop as a loop. On an error the names of the frame are left as the body left them.
    pub fn loop_form(&mut self, form: &LoopForm<'a>) -> R<LoopOutcome<'a>> {
        self.require_region(form.span)?;
        let molds = self.molds(form)?;
        let (mut changed, mut kept) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let saved = self.snapshot();
            match self.attempt(form, &molds.settled, &changed, &kept) {
                Ok(Attempt::Done(outcome)) => return Ok(outcome),
                Ok(Attempt::Changes(keys)) => changed.extend(keys),
                Ok(Attempt::Keeps(names)) => kept.extend(names),
                Ok(attempt @ (Attempt::FeedsBack(_) | Attempt::Shared(_))) => {
                    let Some(passes) = form.trip.as_const().filter(|passes| *passes <= MOST_PARTS) else {
                        return Err(match attempt {
                            Attempt::Shared(at) => self.is_shared(at),
                            Attempt::FeedsBack(lacking) => self.feeds_back(form, &lacking),
                            _ => self.report.silent(),
                        });
                    };
                    self.restore(saved);
                    return self.unrolled_form(form, &molds.settled, passes);
                }
                Ok(Attempt::Lacks(..)) => mlc_ir::internal_error("resolve", "a body that lacks gradients"),
                Err(reported) => {
                    // With a literal's dtype unknown the body said what is wrong; with a guess it may say something else.
                    if let Some(open) = &molds.failed {
                        self.restore(saved);
                        self.dry_run(form, open)?;
                    }
                    return Err(reported);
                }
            }
            // The body will solve the same sizes again, and a state may need them before it runs.
            let solved = self.solved_sizes();
            self.restore(saved);
            self.keep_solved(solved);
        }
    }

    /// A value that only the body knows.
    pub fn hole(&mut self, dtype: DType, axes: Vec<Size>) -> Tensor {
        let ty = Type::new(dtype, crate::value::shape_of(&axes));
        Tensor { value: self.entry.builder.hole(ty), dtype, axes }
    }

    /// Evaluates the body once and cuts it out.
    fn attempt(
        &mut self,
        form: &LoopForm<'a>,
        molds: &[Mold],
        changed: &BTreeSet<ParamKey>,
        kept: &BTreeSet<Arc<str>>,
    ) -> R<Attempt<'a>> {
        let mut names = Vec::new();
        for (at, (handed, mold)) in form.handed.iter().zip(molds).enumerate() {
            if kept.contains(&handed.name) {
                self.set_local(&handed.name, handed.start.clone());
                continue;
            }
            let starts = match self.fill(mold, &handed.start, handed.start_span)? {
                Some(starts) => starts,
                None => return Err(self.changes_type(handed, mold, &handed.start)),
            };
            self.set_names(&handed.name, mold, &starts);
            names.push((at, mold.clone(), starts, Vec::new()));
        }
        let runs = self.first_condition(form)?;
        if let Some(Truth::Known(false)) = runs {
            return Ok(Attempt::Done(self.without_passes(form, &names)));
        }
        let begun = Begun {
            mark: self.entry.builder.mark(),
            faults: self.entry.faults.len(),
            tensors: self.entry.tensors.clone(),
            lacking: self.entry.bodies.iter().map(|body| body.lacking.len()).collect(),
            in_passes: self.entry.in_passes.clone(),
            told: self.report.mark(),
            frame: self.top().state(),
        };
        let mut changing = Vec::new();
        for key in changed {
            if let Some(start) = self.tensor_before(key, form.span)? {
                changing.push((key.clone(), start));
            }
        }
        let mut known = gradients::Known::default();
        loop {
            let holes = self.make_holes(form, &names, &changing, &known);
            match self.evaluated(&holes, &begun, &known, runs.as_ref())? {
                Attempt::Lacks(cut, lacking) if !self.learn_of_passes(&holes, &cut, &lacking, &mut known) => {
                    return Ok(Attempt::FeedsBack(lacking));
                }
                Attempt::Lacks(..) => self.go_to_body(&begun),
                attempt => return Ok(attempt),
            }
        }
    }

    /// Stands in for what only a pass knows.
    fn make_holes<'s>(
        &mut self,
        form: &'s LoopForm<'a>,
        names: &[(usize, Mold, Vec<Tensor>, Vec<Tensor>)],
        changing: &[(ParamKey, Tensor)],
        known: &gradients::Known,
    ) -> Holes<'a, 's> {
        let mut names = names.to_vec();
        for (at, mold, _, holes) in &mut names {
            *holes = mold.leaves().into_iter().map(|(dtype, axes)| self.hole(dtype, axes)).collect();
            self.set_names(&form.handed[*at].name, mold, holes);
        }
        let mut tensors = Vec::new();
        for (key, start) in changing {
            let hole = self.hole(start.dtype, start.axes.clone());
            self.entry.tensors.insert(key.clone(), hole.clone());
            tensors.push((key.clone(), start.clone(), hole));
        }
        let records = known.recording.as_ref().map(|recording| self.records(recording)).unwrap_or_default();
        let position = self.hole(DType::I64, Vec::new());
        Holes { form, names, tensors, records, position }
    }

    /// One evaluation of a body.
    fn evaluated(
        &mut self,
        holes: &Holes<'a, '_>,
        begun: &Begun<'a>,
        passes: &gradients::Known,
        runs: Option<&Truth>,
    ) -> R<Attempt<'a>> {
        let (loops, indices, bodies) = (self.entry.loops.len(), self.entry.indices.len(), self.entry.bodies.len());
        let mark = self.holes_mark();
        self.entry.loops.push(Pass::Looped(holes.position.value));
        self.open_body(holes, passes);
        let result = self.pass(holes, begun, runs);
        self.entry.loops.truncate(loops);
        self.entry.indices.truncate(indices);
        self.entry.bodies.truncate(bodies);
        self.forget_holes(mark);
        result
    }

    /// Goes back to the beginning of a body that is evaluated again. What it has read for the first time stays known.
    fn go_to_body(&mut self, begun: &Begun<'a>) {
        self.report.rewind(begun.told);
        self.entry.in_passes = begun.in_passes.clone();
        self.entry.faults.truncate(begun.faults);
        self.frame().go_back(begun.frame.clone());
        for (body, lacking) in self.entry.bodies.iter_mut().zip(&begun.lacking) {
            body.lacking.truncate(*lacking);
        }
        for (key, tensor) in &begun.tensors {
            self.entry.tensors.insert(key.clone(), tensor.clone());
        }
    }

    fn set_names(&mut self, name: &Arc<str>, mold: &Mold, tensors: &[Tensor]) {
        if let Some(value) = mold.value(&mut tensors.iter().cloned()) {
            self.set_local(name, value);
        }
    }

    /// The condition before the first pass.
    fn first_condition(&mut self, form: &LoopForm<'a>) -> R<Option<Truth>> {
        let Some(condition) = form.condition else { return Ok(None) };
        let first = self.literal(form.span, Literal::zero(DType::I64))?;
        self.bind_items(form, &first)?;
        let value = self.expr(condition)?;
        self.truth(value, condition.span).map(Some)
    }

    /// The current value of a weight or state, or the one it has when the entry is called.
    fn tensor_before(&mut self, key: &ParamKey, span: Span) -> R<Option<Tensor>> {
        match self.entry.tensors.get(key) {
            Some(tensor) => Ok(Some(tensor.clone())),
            None => self.read_whole(key.0, &key.1, span).map(Some),
        }
    }

    fn pass(&mut self, holes: &Holes<'a, '_>, begun: &Begun<'a>, runs: Option<&Truth>) -> R<Attempt<'a>> {
        let form = holes.form;
        self.bind_items(form, &holes.position)?;
        let yields = self.run_body(form)?;
        let more = self.changed_tensors(&begun.tensors, holes);
        if !more.is_empty() {
            return Ok(Attempt::Changes(more));
        }
        let mut nexts = Vec::new();
        let mut unchanged = BTreeSet::new();
        for (at, mold, starts, own) in &holes.names {
            let handed = &form.handed[*at];
            let value = self.top().locals.get(&handed.name).cloned().unwrap_or(Value::Nothing);
            let Some(next) = self.fill(mold, &value, handed.next_span)? else {
                return Err(self.changes_type(handed, mold, &value));
            };
            if next.iter().zip(own).all(|(next, hole)| next.value == hole.value) && !starts.is_empty() {
                unchanged.insert(handed.name.clone());
            }
            nexts.push(next);
        }
        if !unchanged.is_empty() {
            return Ok(Attempt::Keeps(unchanged));
        }
        self.require_kept(holes)?;
        let stop = self.stop(holes, &nexts, runs)?;
        let mut cut = self.loop_cut(holes, begun.mark, &nexts, &yields);
        let may_stop = runs.is_some();
        if let Some(runs) = runs {
            cut.trip = Trip::UpTo(form.trip.clone());
            cut.count = Some(self.first_count(form, runs)?);
            cut.stop = stop;
            cut.segment = None;
        }
        let records = self.record_carries(holes);
        let lacking = self.lacking();
        match records {
            Some(records) => cut.carries.extend(records),
            None => return Ok(Attempt::FeedsBack(holes.records.iter().map(|record| record.of).collect())),
        }
        if let Some(at) = self.shared(&cut) {
            return Ok(Attempt::Shared(at));
        }
        if !lacking.is_empty() {
            return Ok(Attempt::Lacks(cut, lacking));
        }
        self.take_faults(&mut cut, begun.faults, may_stop)?;
        self.entry.builder.span = self.place(form.span);
        let results = cut_loop(&mut self.graph, &mut self.entry.builder, &cut);
        Ok(Attempt::Done(self.loop_outcome(holes, begun.faults, &results.carries, &results.stacks, &yields)))
    }

    /// What is not handed on must be the same behind each pass.
    fn require_kept(&mut self, holes: &Holes<'a, '_>) -> R<()> {
        for (at, handed) in holes.form.handed.iter().enumerate() {
            if holes.names.iter().any(|(other, ..)| *other == at) {
                continue;
            }
            let after = self.top().locals.get(&handed.name).cloned().unwrap_or(Value::Nothing);
            if !crate::branches::same_static(self, &handed.start, &after) {
                return Err(self.not_handed(handed));
            }
        }
        Ok(())
    }

    /// Weights and states that have another value than before, and no hole.
    fn changed_tensors(&self, before: &BTreeMap<ParamKey, Tensor>, holes: &Holes<'a, '_>) -> BTreeSet<ParamKey> {
        let region = self.entry.builder.region();
        let has_hole = |key: &ParamKey| holes.tensors.iter().any(|(other, ..)| other == key);
        let changed = |key: &ParamKey, tensor: &Tensor| match before.get(key) {
            Some(old) => old.value != tensor.value,
            // The first values of weights of a test are made where they are first read.
            None if self.entry.mode == Mode::Test && !self.is_state(key.0, &key.1) => false,
            None => !matches!(region.values[tensor.value.index()].def, Def::Param(_)),
        };
        let tensors = self.entry.tensors.iter();
        tensors.filter(|(key, tensor)| !has_hole(key) && changed(key, tensor)).map(|(key, _)| key.clone()).collect()
    }

    /// Whether to stop after a pass: the condition as it would be before the next one.
    fn stop(&mut self, holes: &Holes<'a, '_>, nexts: &[Vec<Tensor>], runs: Option<&Truth>) -> R<Option<IrValue>> {
        let (form, Some(_)) = (holes.form, runs) else { return Ok(None) };
        let Some(condition) = form.condition else { return Ok(None) };
        for ((at, mold, ..), next) in holes.names.iter().zip(nexts) {
            self.set_names(&form.handed[*at].name, mold, next);
        }
        let span = condition.span;
        let one = self.literal(span, Literal::from_i64(DType::I64, 1))?;
        let next = self.binary_tensor(BinaryOp::Add, &holes.position, &one, span)?;
        self.bind_items(form, &next)?;
        let told = self.entry.faults.len();
        let value = self.expr(condition)?;
        let stop = match self.truth(value, span)? {
            Truth::Known(goes_on) => self.literal(span, Literal::from_i64(DType::Bool, i64::from(!goes_on)))?,
            Truth::Runtime(goes_on) => self.unary_tensor(UnaryOp::Not, &goes_on, span)?,
        };
        self.mask_faults(form, told, &next, span)?;
        Ok(Some(stop.value))
    }

    /// The number of passes as far as the first condition decides it.
    fn first_count(&mut self, form: &LoopForm<'a>, runs: &Truth) -> R<IrValue> {
        let all = self.dim_tensor(&form.trip, DType::I64, form.span)?;
        match runs {
            Truth::Known(_) => Ok(all.value),
            Truth::Runtime(runs) => {
                let none = self.literal(form.span, Literal::zero(DType::I64))?;
                let count = self.emit(form.span, mlc_ir::ops::select::Select, &[runs, &all, &none], Vec::new())?;
                Ok(count.value)
            }
        }
    }

    fn loop_cut(&mut self, holes: &Holes<'a, '_>, mark: usize, nexts: &[Vec<Tensor>], yields: &[Tensor]) -> LoopCut {
        let form = holes.form;
        let mut carries = Vec::new();
        for ((_, _, starts, own), next) in holes.names.iter().zip(nexts) {
            for ((start, hole), next) in starts.iter().zip(own).zip(next) {
                carries.push(Carry { inside: hole.value, start: start.value, next: next.value });
            }
        }
        for (key, start, hole) in &holes.tensors {
            let next = self.entry.tensors.get(key).map_or(hole.value, |tensor| tensor.value);
            carries.push(Carry { inside: hole.value, start: start.value, next });
        }
        LoopCut {
            name: form.what.to_string(),
            mark,
            trip: Trip::Exact(form.trip.clone()),
            count: None,
            position: holes.position.value,
            carries,
            stacks: yields.iter().map(|tensor| tensor.value).collect(),
            stop: None,
            whole: false,
            remat: form.checkpoint || self.recomputes_passes(),
            segment: form.trip.as_const().filter(|_| self.keeps_segments()).and_then(passes_of_segment),
            apart: self.files.asks_gradients,
            narrow: false,
        }
    }
}
