//! What a run-time `if` changes, put together: each branch becomes a loop that runs at most once. The
//! `then` loop starts from the state before, the `else` loop from what the first one gives.

use crate::cx::Cx;
use crate::train::{ParamKey, StepState};
use crate::value::{R, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Fault, Value as IrValue};
use mlc_ir::nested::{Carry, LoopCut, cut_loop};
use mlc_ir::region_ops::Trip;
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state before a run-time `if`.
pub(crate) struct Fork<'a> {
    pub mark: usize,
    pub faults: usize,
    pub locals: BTreeMap<Arc<str>, Value<'a>>,
    pub tensors: BTreeMap<ParamKey, Tensor>,
    pub step: Option<StepState<'a>>,
}

/// What a branch came to.
pub(crate) struct Branch<'a> {
    pub locals: BTreeMap<Arc<str>, Value<'a>>,
    pub tensors: BTreeMap<ParamKey, Tensor>,
    pub step: Option<StepState<'a>>,
    pub faults: Vec<(IrValue, Fault)>,
}

/// A value that depends on the branch taken; `None`: the branch leaves it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub before: IrValue,
    pub then: Option<IrValue>,
    pub otherwise: Option<IrValue>,
}

impl<'a> Cx<'a> {
    /// Cuts the two branches out. Gives the values of `choices`; weights, states, faults and what
    /// training keeps are put in place.
    pub fn join(
        &mut self,
        fork: &Fork<'a>,
        first: Branch<'a>,
        second: Branch<'a>,
        mut choices: Vec<Choice>,
        c: &Tensor,
        span: Span,
    ) -> R<Vec<IrValue>> {
        let own = choices.len();
        let keys = self.tensor_choices(fork, &first, &second, &mut choices, span)?;
        let mut joined = JoinedStep::default();
        if let (Some(before), Some(a), Some(b)) = (&fork.step, &first.step, &second.step) {
            joined = self.step_choices(fork, before, a, b, &mut choices);
        }
        let results = self.cut_branches(fork, &choices, &first.faults, &second.faults, c, span)?;
        for ((key, tensor), value) in keys.iter().zip(&results[own..]) {
            self.entry.tensors.insert(key.clone(), Tensor { value: *value, ..tensor.clone() });
        }
        if let (Some(step), Some(a), Some(b)) = (&mut self.entry.step, first.step, second.step) {
            joined.put(step, a, b, &results[own + keys.len()..]);
        }
        Ok(results[..own].to_vec())
    }

    /// Weights and states that a branch changes.
    fn tensor_choices(
        &mut self,
        fork: &Fork<'a>,
        first: &Branch<'a>,
        second: &Branch<'a>,
        into: &mut Vec<Choice>,
        span: Span,
    ) -> R<Vec<(ParamKey, Tensor)>> {
        let mut keys: Vec<ParamKey> = first.tensors.keys().chain(second.tensors.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        let mut changed = Vec::new();
        for key in keys {
            let before = match fork.tensors.get(&key) {
                Some(tensor) => tensor.clone(),
                None => self.read_whole(key.0, &key.1, span)?,
            };
            let new = |branch: &Branch<'a>| {
                branch.tensors.get(&key).map(|tensor| tensor.value).filter(|value| *value != before.value)
            };
            let (then, otherwise) = (new(first), new(second));
            if then.is_some() || otherwise.is_some() {
                into.push(Choice { before: before.value, then, otherwise });
                changed.push((key, before));
            }
        }
        Ok(changed)
    }

    /// New values of globals, losses and gradients that a branch made.
    fn step_choices(
        &mut self,
        fork: &Fork<'a>,
        before: &StepState<'a>,
        a: &StepState<'a>,
        b: &StepState<'a>,
        into: &mut Vec<Choice>,
    ) -> JoinedStep {
        let mut joined = JoinedStep::default();
        let last = |list: &[(mlc_ir::graph::GlobalId, IrValue)], id| {
            list.iter().rev().find(|(other, _)| *other == id).map(|(_, value)| *value)
        };
        let new = a.new[before.new.len()..].iter().chain(&b.new[before.new.len()..]);
        for (id, _) in new {
            if joined.globals.contains(id) {
                continue;
            }
            let ty = self.graph.globals[id.index()].ty.clone();
            let start = last(&before.new, *id).unwrap_or_else(|| self.entry.global(*id, ty));
            let branch = |step: &StepState<'a>| last(&step.new[before.new.len()..], *id);
            into.push(Choice { before: start, then: branch(a), otherwise: branch(b) });
            joined.globals.push(*id);
        }
        for (step, is_then) in [(a, true), (b, false)] {
            for (_, loss) in &step.losses[before.losses.len()..] {
                let inside = self.is_behind(loss.value, fork.mark);
                joined.losses.push(inside);
                if inside {
                    let start = self.zero_value(loss);
                    into.push(one_branch(start, loss.value, is_then));
                }
            }
        }
        let of = |step: &StepState<'a>, path: &str| {
            step.grads[before.grads.len()..].iter().find(|(other, _)| other == path).map(|(_, value)| *value)
        };
        let paths = a.grads[before.grads.len()..].iter().chain(&b.grads[before.grads.len()..]);
        for (path, gradient) in paths {
            if joined.grads.contains(path) {
                continue;
            }
            let ty = self.entry.builder.ty(*gradient).clone();
            let start = self.entry.builder.full(ty.dtype, 0.0, &ty.shape);
            into.push(Choice { before: start, then: of(a, path), otherwise: of(b, path) });
            joined.grads.push(path.clone());
        }
        joined.before = before.losses.len();
        joined
    }

    fn is_behind(&self, value: IrValue, mark: usize) -> bool {
        match self.entry.builder.region().values[value.index()].def {
            Def::Node(id, _) => id.index() >= mark,
            Def::Param(_) | Def::Hole => false,
        }
    }

    fn cut_branches(
        &mut self,
        fork: &Fork<'a>,
        choices: &[Choice],
        first: &[(IrValue, Fault)],
        second: &[(IrValue, Fault)],
        c: &Tensor,
        span: Span,
    ) -> R<Vec<IrValue>> {
        let taken = self.cast(c, DType::I64, span)?;
        let one = self.literal(span, Literal::from_i64(DType::I64, 1))?;
        let left = self.binary_tensor(BinaryOp::Sub, &one, &taken, span)?;
        // A weight's new value is both read later and written back: it is handed on once.
        let mut distinct: Vec<Choice> = Vec::new();
        let mut places = Vec::new();
        for choice in choices {
            places.push(distinct.iter().position(|other| other == choice).unwrap_or_else(|| {
                distinct.push(*choice);
                distinct.len() - 1
            }));
        }
        let start: Vec<IrValue> = distinct.iter().map(|choice| choice.before).collect();
        let then: Vec<_> = distinct.iter().map(|choice| (choice.before, choice.then)).collect();
        let between = self.cut_branch("then", fork, &then, &start, first, &taken, span)?;
        let otherwise: Vec<_> = distinct.iter().map(|choice| (choice.before, choice.otherwise)).collect();
        let results = self.cut_branch("else", fork, &otherwise, &between, second, &left, span)?;
        Ok(places.into_iter().map(|place| results[place]).collect())
    }

    /// Cuts one branch out; `starts` are the values that it begins with, for all choices.
    #[expect(clippy::too_many_arguments, reason = "one step of joining, split off for its length")]
    fn cut_branch(
        &mut self,
        name: &str,
        fork: &Fork<'a>,
        choices: &[(IrValue, Option<IrValue>)],
        starts: &[IrValue],
        faults: &[(IrValue, Fault)],
        count: &Tensor,
        span: Span,
    ) -> R<Vec<IrValue>> {
        let mut results = starts.to_vec();
        let mut carries = Vec::new();
        let mut places = Vec::new();
        for (at, (before, next)) in choices.iter().enumerate() {
            if let Some(next) = next.filter(|next| next != before) {
                carries.push(Carry { inside: *before, start: starts[at], next });
                places.push(at);
            }
        }
        for (value, _) in faults {
            let carry = self.fault_carry(*value)?;
            carries.push(carry);
        }
        if carries.is_empty() {
            return Ok(results);
        }
        let position = self.hole(DType::I64, Vec::new());
        let cut = LoopCut {
            name: name.to_string(),
            mark: fork.mark,
            trip: Trip::UpTo(Dim::one()),
            count: Some(count.value),
            position: position.value,
            carries,
            stacks: Vec::new(),
            stop: None,
            whole: true,
            remat: false,
            segment: None,
            apart: self.files.asks_gradients,
            narrow: false,
        };
        self.entry.builder.span = self.place(span);
        let given = cut_loop(&mut self.graph, &mut self.entry.builder, &cut).carries;
        for (at, value) in places.iter().zip(&given) {
            results[*at] = *value;
        }
        for ((_, fault), value) in faults.iter().zip(&given[places.len()..]) {
            self.entry.faults.push((*value, fault.clone()));
        }
        Ok(results)
    }
}

/// How the states of a step in two branches become one.
#[derive(Default)]
struct JoinedStep {
    /// Globals with a choice, in order.
    globals: Vec<mlc_ir::graph::GlobalId>,
    /// For each new loss, of `then` first: whether it has a choice.
    losses: Vec<bool>,
    /// Paths of gradients with a choice, in order.
    grads: Vec<String>,
    /// How many losses there were before the branches.
    before: usize,
}

impl JoinedStep {
    fn put<'a>(self, step: &mut StepState<'a>, a: StepState<'a>, b: StepState<'a>, results: &[IrValue]) {
        let mut results = results.iter().copied();
        for (id, value) in self.globals.iter().zip(results.by_ref()) {
            step.new.retain(|(other, _)| other != id);
            step.new.push((*id, value));
        }
        let losses = a.losses[self.before..].iter().chain(&b.losses[self.before..]);
        for ((name, loss), chosen) in losses.zip(&self.losses) {
            let value = match chosen {
                true => results.next().unwrap_or(loss.value),
                false => loss.value,
            };
            step.losses.push((name.clone(), Tensor { value, ..loss.clone() }));
        }
        for (path, value) in self.grads.into_iter().zip(results) {
            step.grads.push((path, value));
        }
        step.moved.extend(a.moved.into_iter().chain(b.moved));
        step.updated.extend(a.updated);
        step.updated.extend(b.updated);
        for global in a.trained.into_iter().chain(b.trained) {
            if !step.trained.contains(&global) {
                step.trained.push(global);
            }
        }
    }
}

fn one_branch(before: IrValue, value: IrValue, is_then: bool) -> Choice {
    let (then, otherwise) = if is_then { (Some(value), None) } else { (None, Some(value)) };
    Choice { before, then, otherwise }
}
