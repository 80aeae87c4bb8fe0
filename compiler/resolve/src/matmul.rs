//! `a @ b` (rule 9).

use crate::arith::Operation;
use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Decision;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// `a @ b` (rule 9).
    pub fn matmul(&mut self, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        let (a, b) = self.common(a, b, place)?;
        if a.axes.is_empty() || b.axes.is_empty() {
            let (left, right) = (self.show(&a), self.show(&b));
            let error =
                Diagnostic::error(Code::E0105, place.span, format!("`@` takes tensors with axes: {left} @ {right}"))
                    .help("a product with a scalar is written `a * b`");
            return Err(self.tell(error));
        }
        if a.dtype == DType::Bool {
            let (left, right) = (self.show(&a), self.show(&b));
            let error = Diagnostic::error(Code::E0104, place.span, "`@` does not take bool")
                .also(place.left, left)
                .also(place.right, right)
                .help("cast it: `cast(a, f32) @ cast(b, f32)`, or ask `any(a and b, axis: -1)`");
            return Err(self.tell(error));
        }
        let (last, first) = (a.rank() - 1, b.rank().saturating_sub(2));
        if a.axes[last].dim.decide(&b.axes[first].dim) != Decision::Equal {
            return Err(self.matrix_sizes_differ(&a, &b, last, first, place));
        }
        let (a_lead, b_lead) = (&a.axes[..a.rank().saturating_sub(2)], &b.axes[..first]);
        let fits = a_lead.is_empty() || b_lead.is_empty() || shape_of(a_lead) == shape_of(b_lead);
        if !fits {
            let (left, right) = (self.show(&a), self.show(&b));
            let error = Diagnostic::error(Code::E0105, place.span, format!("shapes do not agree: {left} @ {right}"))
                .also(place.left, left.clone())
                .also(place.right, right.clone())
                .note("the axes before the last two are equal, or one side has none");
            return Err(self.tell(error));
        }
        self.contract_product(&a, &b, place.span).map(Value::Tensor)
    }

    fn contract_product(&mut self, a: &Tensor, b: &Tensor, span: Span) -> R<Tensor> {
        const SUMMED: u32 = 1000;
        let (a_lead, b_lead) = (a.rank().saturating_sub(2), b.rank().saturating_sub(2));
        let lead = a_lead.max(b_lead) as u32;
        let (row, column) = (lead, lead + 1);
        let mut left: Vec<u32> = (0..a_lead as u32).collect();
        let mut right: Vec<u32> = (0..b_lead as u32).collect();
        let mut axes: Vec<Size> = match (a_lead, b_lead) {
            (_, 0) => a.axes[..a_lead].to_vec(),
            (0, _) => b.axes[..b_lead].to_vec(),
            _ => a.axes[..a_lead].iter().zip(&b.axes).map(|(a, b)| a.meet(b)).collect(),
        };
        let mut out: Vec<u32> = (0..lead).collect();
        if a.rank() > 1 {
            left.push(row);
            out.push(row);
            axes.push(a.axes[a.rank() - 2].clone());
        }
        left.push(SUMMED);
        right.push(SUMMED);
        if b.rank() > 1 {
            right.push(column);
            out.push(column);
            axes.push(b.axes[b.rank() - 1].clone());
        }
        self.emit(span, Contract { left, right, out }, &[a, b], axes)
    }

    fn matrix_sizes_differ(
        &mut self,
        a: &Tensor,
        b: &Tensor,
        last: usize,
        first: usize,
        place: Operation<'_>,
    ) -> Reported {
        let (left, right) = (&a.axes[last], &b.axes[first]);
        let title =
            format!("matrix sizes do not agree: {} and {}", self.show_dim(&left.dim), self.show_dim(&right.dim));
        let describe = |cx: &Cx<'a>, tensor: &Tensor, axis: &Size| match &axis.why {
            Some(why) => format!("{}, because {} = {why}", cx.show(tensor), cx.show_dim(&axis.dim)),
            None => cx.show(tensor),
        };
        let mut error = Diagnostic::error(Code::E0107, place.span, title)
            .label("`a @ b` sums over a's last axis and b's last but one")
            .also(place.left, describe(self, a, left))
            .also(place.right, describe(self, b, right));
        if b.rank() >= 2 && left.dim.decide(&b.axes[b.rank() - 1].dim) == Decision::Equal {
            error = error.help("`transpose(b)` swaps its last two axes");
        }
        self.tell(error)
    }
}
