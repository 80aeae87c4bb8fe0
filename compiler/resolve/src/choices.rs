//! `if c then a else b` (rule 17).

use crate::branches::joined;
use crate::cx::Cx;
use crate::exprs::Truth;
use crate::joins::{Branch, Choice, Fork};
use crate::molds::Mold;
use crate::report::Reported;
use crate::value::{R, Tensor, Value};
use mlc_ir::graph::Def;
use mlc_ir::ops::Class;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
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
        self.select(Value::Tensor(c), a, b, place, condition.span)
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
            Class::Random | Class::Loop | Class::Call | Class::Foreign => false,
        })
    }
}
