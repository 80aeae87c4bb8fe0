//! `if` on a run-time scalar (rule 17): names that a branch rebinds, or that both bind, have one type and
//! are visible behind it. Both branches are evaluated from the same state; [`crate::joins`] makes loops
//! of them that run at most once.

use crate::assigned::assigned_in;
use crate::cx::Cx;
use crate::exprs::Truth;
use crate::joins::{Branch, Choice, Fork};
use crate::molds::Mold;
use crate::outline::tensors_in;
use crate::report::Reported;
use crate::stmts::Returned;
use crate::value::{R, Tensor, Value};
use mlc_ir::graph::{Def, Value as IrValue};
use mlc_ir::scalar::Literal;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

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
        let second = |cx: &mut Cx<'a>| match otherwise {
            Some(block) => cx.branch_block(block),
            None => Ok(()),
        };
        self.choose(c, span, assigned_names(then, otherwise), |cx| cx.branch_block(then), second)
    }

    /// Evaluates two branches, one of which runs; `assigned` are the names that they may assign, with the last place
    /// in each.
    pub fn choose(
        &mut self,
        c: &Tensor,
        span: Span,
        assigned: Vec<(Arc<str>, [Option<Span>; 2])>,
        then: impl FnOnce(&mut Cx<'a>) -> R<()>,
        otherwise: impl FnOnce(&mut Cx<'a>) -> R<()>,
    ) -> R<()> {
        let fork = self.fork();
        let first = self.branch(&fork, then);
        let second = self.branch(&fork, otherwise);
        self.go_to_fork(&fork);
        let ((first, ()), (second, ())) = (first?, second?);
        let mut names = Vec::new();
        let mut failed = None;
        for (name, places) in assigned {
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

    pub fn fork(&self) -> Fork<'a> {
        Fork {
            mark: self.entry.builder.mark(),
            faults: self.entry.faults.len(),
            locals: self.top().locals.clone(),
            tensors: self.entry.tensors.clone(),
            step: self.entry.step.clone(),
        }
    }

    pub fn go_to_fork(&mut self, fork: &Fork<'a>) {
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
    pub fn branch<T>(&mut self, fork: &Fork<'a>, job: impl FnOnce(&mut Cx<'a>) -> R<T>) -> R<(Branch<'a>, T)> {
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

    pub fn zero_value(&mut self, tensor: &Tensor) -> IrValue {
        let literal = self.entry.builder.literal(Literal::zero(tensor.dtype));
        self.entry.builder.broadcast_scalar(literal, &tensor.shape())
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

/// A mold whose open dtypes are those of the other.
pub(crate) fn joined(mold: Mold, other: Option<&Mold>) -> Mold {
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
    let at: BTreeMap<Arc<str>, usize> = names.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
    for assigned in otherwise.map(assigned_in).unwrap_or_default() {
        match at.get(&assigned.name) {
            Some(at) => names[*at].1[1] = Some(assigned.span),
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
