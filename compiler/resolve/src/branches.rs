//! `if` on a run-time scalar (rule 17): each branch becomes a loop that runs at most once, and hands
//! on what the branch changes: names, weights and states, and what training keeps.
//!
//! Both branches are evaluated from the same state. The `then` loop starts from it, the `else` loop
//! from what the first one gives.

use crate::assigned::assigned_in;
use crate::cx::Cx;
use crate::exprs::Truth;
use crate::molds::Mold;
use crate::outline::tensors_in;
use crate::report::Reported;
use crate::stmts::Returned;
use crate::train::{ParamKey, StepState};
use crate::value::{R, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Fault, Value as IrValue};
use mlc_ir::nested::{Carry, LoopCut, cut_loop};
use mlc_ir::ops::Class;
use mlc_ir::region_ops::Trip;
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state before a run-time `if`.
struct Fork<'a> {
    mark: usize,
    faults: usize,
    locals: BTreeMap<Arc<str>, Value<'a>>,
    tensors: BTreeMap<ParamKey, Tensor>,
    step: Option<StepState<'a>>,
}

/// What a branch came to.
struct Branch<'a> {
    locals: BTreeMap<Arc<str>, Value<'a>>,
    tensors: BTreeMap<ParamKey, Tensor>,
    step: Option<StepState<'a>>,
    faults: Vec<(IrValue, Fault)>,
}

/// A value that depends on the branch taken; `None`: the branch leaves it.
struct Choice {
    before: IrValue,
    then: Option<IrValue>,
    otherwise: Option<IrValue>,
}

/// A name that depends on the branch taken.
struct NameChoice {
    name: Arc<str>,
    mold: Mold,
    start: Option<Vec<Tensor>>,
    then: Vec<Tensor>,
    otherwise: Vec<Tensor>,
}

impl<'a> Cx<'a> {
    /// `if condition { then } else { otherwise }`
    pub fn if_stmt(
        &mut self,
        condition: &'a ast::Expr,
        then: &'a ast::Block,
        otherwise: Option<&'a ast::Block>,
    ) -> R<Returned<'a>> {
        let value = self.expr(condition)?;
        match (self.truth(value, condition.span)?, otherwise) {
            (Truth::Known(true), _) => self.block(then),
            (Truth::Known(false), Some(otherwise)) => self.block(otherwise),
            (Truth::Known(false), None) => Ok(None),
            (Truth::Runtime(c), otherwise) if self.has_actions(then, otherwise) => {
                self.guarded(c, condition.span, then, otherwise).map(|()| None)
            }
            (Truth::Runtime(c), otherwise) => self.run_time_if(&c, condition.span, then, otherwise).map(|()| None),
        }
    }

    fn run_time_if(
        &mut self,
        c: &Tensor,
        span: Span,
        then: &'a ast::Block,
        otherwise: Option<&'a ast::Block>,
    ) -> R<()> {
        let fork = self.fork();
        let first = self.branch(&fork, |cx| cx.branch_block(then));
        let second = self.branch(&fork, |cx| match otherwise {
            Some(block) => cx.branch_block(block),
            None => Ok(()),
        });
        self.go_to_fork(&fork);
        let ((first, ()), (second, ())) = (first?, second?);
        let mut names = Vec::new();
        let mut failed = None;
        for (name, places) in assigned_names(then, otherwise) {
            match self.name_choice(&fork, &first, &second, &name, &places) {
                Ok(Some(choice)) => names.push(choice),
                Ok(None) => {}
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        let mut choices = Vec::new();
        for choice in &mut names {
            self.add_name(choice, &mut choices);
        }
        let results = self.join(&fork, first, second, choices, c, span)?;
        let mut results = results.into_iter();
        for choice in names {
            let tensors: Vec<Tensor> = choice
                .then
                .iter()
                .zip(results.by_ref())
                .map(|(tensor, value)| Tensor { value, ..tensor.clone() })
                .collect();
            if let Some(value) = choice.mold.value(&mut tensors.into_iter()) {
                self.set_local(&choice.name, value);
            }
        }
        Ok(())
    }

    fn branch_block(&mut self, block: &'a ast::Block) -> R<()> {
        match self.block(block)? {
            None => Ok(()),
            Some((_, span)) => {
                let error = Diagnostic::error(Code::E0121, span, "there is no `return` from a run-time `if`")
                    .note("its condition is known only when the program runs")
                    .help("assign to a name in both branches, and return it behind");
                Err(self.tell(error))
            }
        }
    }

    fn fork(&self) -> Fork<'a> {
        Fork {
            mark: self.entry.builder.mark(),
            faults: self.entry.faults.len(),
            locals: self.top().locals.clone(),
            tensors: self.entry.tensors.clone(),
            step: self.entry.step.clone(),
        }
    }

    fn go_to_fork(&mut self, fork: &Fork<'a>) {
        self.frame().locals = fork.locals.clone();
        self.entry.faults.truncate(fork.faults);
        self.entry.step = fork.step.clone();
        // Weights that were read for the first time stay known; what was changed goes back.
        let region = self.entry.builder.region();
        let first_read = |tensor: &Tensor| matches!(region.values[tensor.value.index()].def, Def::Param(_));
        let mut tensors = fork.tensors.clone();
        for (key, tensor) in &self.entry.tensors {
            if !tensors.contains_key(key) && first_read(tensor) {
                tensors.insert(key.clone(), tensor.clone());
            }
        }
        self.entry.tensors = tensors;
    }

    /// Evaluates a branch from the fork.
    fn branch<T>(&mut self, fork: &Fork<'a>, job: impl FnOnce(&mut Cx<'a>) -> R<T>) -> R<(Branch<'a>, T)> {
        self.go_to_fork(fork);
        self.entry.conditional += 1;
        let result = job(self);
        self.entry.conditional -= 1;
        let branch = Branch {
            locals: self.top().locals.clone(),
            tensors: self.entry.tensors.clone(),
            step: self.entry.step.clone(),
            faults: self.entry.faults[fork.faults.min(self.entry.faults.len())..].to_vec(),
        };
        result.map(|value| (branch, value))
    }

    /// What becomes of a name that a branch assigns.
    fn name_choice(
        &mut self,
        fork: &Fork<'a>,
        first: &Branch<'a>,
        second: &Branch<'a>,
        name: &Arc<str>,
        places: &[Option<Span>; 2],
    ) -> R<Option<NameChoice>> {
        let before = match fork.locals.get(name) {
            Some(value) => Some(value.clone()),
            None => self.optimizer_state(name)?,
        };
        let value = |branch: &Branch<'a>| branch.locals.get(name).cloned().or_else(|| before.clone());
        let (Some(then), Some(otherwise)) = (value(first), value(second)) else { return Ok(None) };
        let Some(span) = places[0].or(places[1]) else { return Ok(None) };
        let other = places[1].unwrap_or(span);
        if let (Value::Poison, _) | (_, Value::Poison) = (&then, &otherwise) {
            return Err(self.report.silent());
        }
        let molds = [&then, &otherwise].map(|value| self.mold(value));
        let [Some(a), Some(b)] = molds else {
            return match same_static(self, &then, &otherwise) {
                true => Ok(None),
                false => Err(self.branches_differ(name, (&then, span), (&otherwise, other), places)),
            };
        };
        let start_mold = before.as_ref().and_then(|value| self.mold(value));
        let mold = joined(joined(a, Some(&b)), start_mold.as_ref()).settled(None);
        let (filled, other_filled) = (self.fill(&mold, &then, span)?, self.fill(&mold, &otherwise, other)?);
        let (Some(filled), Some(other_filled)) = (filled, other_filled) else {
            return Err(self.branches_differ(name, (&then, span), (&otherwise, other), places));
        };
        let start = match &before {
            Some(value) => self.fill(&mold, value, span)?,
            None => None,
        };
        Ok(Some(NameChoice { name: name.clone(), mold, start, then: filled, otherwise: other_filled }))
    }

    /// E0105: a name has one type behind a run-time `if`.
    fn branches_differ(
        &mut self,
        name: &str,
        (then, span): (&Value<'a>, Span),
        (otherwise, other): (&Value<'a>, Span),
        places: &[Option<Span>; 2],
    ) -> Reported {
        let (a, b) = (self.show_kind(then), self.show_kind(otherwise));
        let title = format!("`{name}` is {a} in one branch of a run-time `if` and {b} in the other");
        let (a, b) = match places {
            [Some(_), Some(_)] => (a, b),
            [Some(_), None] => (a, format!("{b} if the branch is not taken")),
            _ => (format!("{a} if the branch is not taken"), b),
        };
        let mut error = Diagnostic::error(Code::E0105, span, title);
        error = match places {
            [Some(_), Some(_)] => error.label(a).also(other, b),
            [Some(_), None] => error.label(a).note(format!("`{name}` stays {b}")),
            _ => error.label(b).note(format!("`{name}` stays {a}")),
        };
        let error = error
            .note("which branch runs is known only when the program runs, so both give one type")
            .help("give the values in the two branches names of their own");
        self.tell(error)
    }

    fn add_name(&mut self, choice: &mut NameChoice, into: &mut Vec<Choice>) {
        let (then, otherwise) = (choice.then.clone(), choice.otherwise.clone());
        for (at, (then, otherwise)) in then.iter().zip(&otherwise).enumerate() {
            let before = match &choice.start {
                Some(start) => start[at].value,
                None => self.zero_value(then),
            };
            into.push(Choice { before, then: Some(then.value), otherwise: Some(otherwise.value) });
        }
    }

    fn zero_value(&mut self, tensor: &Tensor) -> IrValue {
        let literal = self.entry.builder.literal(Literal::zero(tensor.dtype));
        self.entry.builder.broadcast_scalar(literal, &tensor.shape())
    }

    /// Cuts the two branches out. Gives the values of `choices`; weights, states, faults and what
    /// training keeps are put in place.
    fn join(
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
        for (step, is_then) in [(a, true), (b, false)] {
            for (_, gradient) in &step.grads[before.grads.len()..] {
                let ty = self.entry.builder.ty(*gradient).clone();
                let start = self.entry.builder.full(ty.dtype, 0.0, &ty.shape);
                into.push(one_branch(start, *gradient, is_then));
            }
        }
        joined.before = (before.new.len(), before.losses.len(), before.grads.len());
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
        let start: Vec<IrValue> = choices.iter().map(|choice| choice.before).collect();
        let then = choices.iter().map(|choice| (choice.before, choice.then)).collect::<Vec<_>>();
        let between = self.cut_branch("then", fork, &then, &start, first, &taken, span)?;
        let otherwise = choices.iter().map(|choice| (choice.before, choice.otherwise)).collect::<Vec<_>>();
        self.cut_branch("else", fork, &otherwise, &between, second, &left, span)
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

    /// `if c then a else b`: one branch when `c` is static. On a run-time scalar both are computed and
    /// one is chosen, where that costs nothing; else only the branch that is taken runs.
    pub fn choice(
        &mut self,
        condition: &'a ast::Expr,
        then: &'a ast::Expr,
        otherwise: &'a ast::Expr,
        span: Span,
    ) -> R<Value<'a>> {
        let value = self.expr(condition)?;
        let c = match self.truth(value, condition.span)? {
            Truth::Known(true) => return self.expr(then),
            Truth::Known(false) => return self.expr(otherwise),
            Truth::Runtime(c) => c,
        };
        let fork = self.fork();
        let first = self.branch(&fork, |cx| cx.expr(then));
        let second = self.branch(&fork, |cx| cx.expr(otherwise));
        self.go_to_fork(&fork);
        let ((first, a), (second, b)) = (first?, second?);
        let pure =
            [&first, &second].iter().all(|branch| branch.faults.is_empty() && self.leaves_tensors(&fork, branch));
        let place = crate::arith::Operation { symbol: "if", span, left: then.span, right: otherwise.span };
        let cheap = pure && self.is_cheap_since(fork.mark);
        match (cheap, self.mold(&a), self.mold(&b)) {
            (false, Some(one), Some(other)) => {
                let mold = joined(one, Some(&other)).settled(None);
                let (filled, other_filled) = (self.fill(&mold, &a, then.span)?, self.fill(&mold, &b, otherwise.span)?);
                if let (Some(filled), Some(other_filled)) = (filled, other_filled) {
                    return self.heavy_choice(
                        &fork,
                        (first, filled),
                        (second, other_filled),
                        &mold,
                        &c,
                        condition.span,
                    );
                }
            }
            (true, _, _) if matches!((&a, &b), (Value::Tuple(_), Value::Tuple(_))) => {
                return self.choose_parts(&c, &a, &b, place, condition.span);
            }
            _ => {}
        }
        if !pure {
            return Err(self.branches_of_expr_differ(&a, &b, place));
        }
        self.select_values(Value::Tensor(c), a, b, place, condition.span).map(Value::Tensor)
    }

    fn choose_parts(
        &mut self,
        c: &Tensor,
        a: &Value<'a>,
        b: &Value<'a>,
        place: crate::arith::Operation<'_>,
        span: Span,
    ) -> R<Value<'a>> {
        match (a, b) {
            (Value::Tuple(a), Value::Tuple(b)) if a.len() == b.len() => {
                let mut parts = Vec::new();
                for (a, b) in a.iter().zip(b.iter()) {
                    parts.push(self.choose_parts(c, a, b, place, span)?);
                }
                Ok(Value::Tuple(std::rc::Rc::new(parts)))
            }
            (Value::Tuple(_), _) | (_, Value::Tuple(_)) => Err(self.branches_of_expr_differ(a, b, place)),
            _ => self.select_values(Value::Tensor(c.clone()), a.clone(), b.clone(), place, span).map(Value::Tensor),
        }
    }

    fn branches_of_expr_differ(
        &mut self,
        a: &Value<'a>,
        b: &Value<'a>,
        place: crate::arith::Operation<'_>,
    ) -> Reported {
        let (a, b) = (self.show_kind(a), self.show_kind(b));
        let title = format!("the branches of a run-time `if` have one type, and these are {a} and {b}");
        let error = Diagnostic::error(Code::E0105, place.span, title).also(place.left, a).also(place.right, b);
        self.tell(error)
    }

    fn heavy_choice(
        &mut self,
        fork: &Fork<'a>,
        (first, then): (Branch<'a>, Vec<Tensor>),
        (second, otherwise): (Branch<'a>, Vec<Tensor>),
        mold: &Mold,
        c: &Tensor,
        span: Span,
    ) -> R<Value<'a>> {
        let mut choices = Vec::new();
        for (a, b) in then.iter().zip(&otherwise) {
            let before = self.zero_value(a);
            choices.push(Choice { before, then: Some(a.value), otherwise: Some(b.value) });
        }
        let results = self.join(fork, first, second, choices, c, span)?;
        let tensors = then.into_iter().zip(results).map(|(tensor, value)| Tensor { value, ..tensor });
        match mold.value(&mut tensors.collect::<Vec<_>>().into_iter()) {
            Some(value) => Ok(value),
            None => Err(self.report.silent()),
        }
    }

    /// Whether a branch changes no weight and no state.
    fn leaves_tensors(&self, fork: &Fork<'a>, branch: &Branch<'a>) -> bool {
        let region = self.entry.builder.region();
        branch.tensors.iter().all(|(key, tensor)| match fork.tensors.get(key) {
            Some(before) => before.value == tensor.value,
            None => matches!(region.values[tensor.value.index()].def, Def::Param(_)),
        })
    }

    /// Whether everything computed since is cheap: no sums, products, draws or loops.
    fn is_cheap_since(&self, mark: usize) -> bool {
        let nodes = &self.entry.builder.region().nodes;
        nodes[mark.min(nodes.len())..].iter().all(|node| match node.op.info().class {
            Class::Source | Class::Elementwise | Class::View | Class::Alias | Class::Gather => true,
            Class::Reduce | Class::Contraction | Class::Window | Class::Scatter => false,
            Class::Random | Class::Loop | Class::Call => false,
        })
    }

    /// Refuses a statement that must run in every step.
    pub fn refuse_in_branch(&mut self, what: &str, span: Span) -> R<()> {
        if self.entry.conditional == 0 {
            return Ok(());
        }
        let error = Diagnostic::error(Code::E0121, span, format!("{what} stands in a run-time `if`"))
            .help("compute the value behind the `if`, or choose with `if c then a else b`");
        Err(self.tell(error))
    }
}

/// How the states of a step in two branches become one.
#[derive(Default)]
struct JoinedStep {
    /// Globals with a choice, in order.
    globals: Vec<mlc_ir::graph::GlobalId>,
    /// For each new loss, of `then` first: whether it has a choice.
    losses: Vec<bool>,
    /// Lengths before the branches.
    before: (usize, usize, usize),
}

impl JoinedStep {
    fn put<'a>(self, step: &mut StepState<'a>, a: StepState<'a>, b: StepState<'a>, results: &[IrValue]) {
        let mut results = results.iter().copied();
        for (id, value) in self.globals.iter().zip(results.by_ref()) {
            step.new.retain(|(other, _)| other != id);
            step.new.push((*id, value));
        }
        let losses = a.losses[self.before.1..].iter().chain(&b.losses[self.before.1..]);
        for ((name, loss), chosen) in losses.zip(&self.losses) {
            let value = match chosen {
                true => results.next().unwrap_or(loss.value),
                false => loss.value,
            };
            step.losses.push((name.clone(), Tensor { value, ..loss.clone() }));
        }
        let grads = a.grads[self.before.2..].iter().chain(&b.grads[self.before.2..]);
        for (path, _) in grads {
            if let Some(value) = results.next() {
                step.grads.push((path.clone(), value));
            }
        }
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

/// A mold whose open dtypes are those of the other.
fn joined(mold: Mold, other: Option<&Mold>) -> Mold {
    match (mold, other) {
        (Mold::Open(_, axes), Some(Mold::Leaf(dtype, _))) => Mold::Leaf(*dtype, axes),
        (Mold::Open(own, axes), Some(Mold::Open(dtype, _))) => {
            Mold::Open(if dtype.is_float() { *dtype } else { own }, axes)
        }
        (Mold::Tuple(parts), Some(Mold::Tuple(others))) if parts.len() == others.len() => {
            Mold::Tuple(parts.into_iter().zip(others).map(|(part, other)| joined(part, Some(other))).collect())
        }
        (mold, _) => mold,
    }
}

/// The names that the branches assign, with the last place in each.
fn assigned_names(then: &ast::Block, otherwise: Option<&ast::Block>) -> Vec<(Arc<str>, [Option<Span>; 2])> {
    let mut names: Vec<(Arc<str>, [Option<Span>; 2])> =
        assigned_in(then).into_iter().map(|assigned| (assigned.name, [Some(assigned.span), None])).collect();
    for assigned in otherwise.map(assigned_in).unwrap_or_default() {
        match names.iter_mut().find(|(name, _)| *name == assigned.name) {
            Some((_, places)) => places[1] = Some(assigned.span),
            None => names.push((assigned.name, [None, Some(assigned.span)])),
        }
    }
    names
}

/// Whether two values that a run-time `if` cannot choose between are one.
pub(crate) fn same_static<'a>(cx: &Cx<'a>, a: &Value<'a>, b: &Value<'a>) -> bool {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    tensors_in(a, &mut left);
    tensors_in(b, &mut right);
    let same = left.iter().map(|tensor| tensor.value).eq(right.iter().map(|tensor| tensor.value));
    same && match (a, b) {
        (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
            x.len() == y.len()
                && x.iter().zip(y.iter()).all(|(x, y)| matches!(x, Value::Tensor(_)) || same_static(cx, x, y))
        }
        (Value::Tensor(_), Value::Tensor(_)) => true,
        (Value::Lazy(x), Value::Lazy(y)) => std::rc::Rc::ptr_eq(x, y),
        _ => cx.show_static(a).is_some() && cx.show_static(a) == cx.show_static(b),
    }
}
