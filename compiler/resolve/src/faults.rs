//! The run-time check of indices: an index out of range is an error with its place, never a clamp.

use crate::arith::Operation;
use crate::cx::Cx;
use crate::number;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Checked, Fault};
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::select::Select;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// Indices to be checked when the program runs.
pub(crate) struct Indices<'t> {
    pub ids: &'t Tensor,
    /// Valid are `0..bound`.
    pub bound: Dim,
    /// What is indexed, for the message.
    pub text: String,
    pub checked: Checked,
}

impl<'t> Indices<'t> {
    /// Indices into an axis.
    pub fn of(cx: &Cx<'_>, x: &Tensor, ids: &'t Tensor, axis: usize) -> Indices<'t> {
        Indices {
            ids,
            bound: x.axes[axis].dim.clone(),
            text: format!("axis {axis} of {}", cx.show(x)),
            checked: Checked::Index,
        }
    }
}

impl<'a> Cx<'a> {
    /// Tells the first index out of range when the program runs.
    pub fn fault_outside(&mut self, indices: &Indices<'_>, span: Span) -> R<()> {
        let Indices { ids, bound, text, checked } = indices;
        let inside = |known: &crate::nest::KnownIndex| {
            known.value == ids.value
                && number::compare_sizes(CompareOp::Ge, &known.low, &Dim::zero()) == Some(true)
                && number::compare_sizes(CompareOp::Le, &known.high, bound) == Some(true)
        };
        if self.entry.indices.iter().any(inside) {
            return Ok(());
        }
        let number = |value: i64| Value::int(value);
        let place = Operation { symbol: "<", span, left: span, right: span };
        let ids_value = || Value::Tensor((*ids).clone());
        let below = self.compare_values(CompareOp::Lt, ids_value(), number(0), place)?;
        let limit = Value::size(Size::plain(bound.clone()));
        let above = self.compare_values(CompareOp::Ge, ids_value(), limit, place)?;
        let (below, above) = (self.tensor(below, span)?, self.tensor(above, span)?);
        let axes = below.axes.clone();
        let bad = self.emit(span, Binary { op: BinaryOp::Or }, &[&below, &above], axes)?;
        let Ok(count) = Dim::product(&bad.shape()) else { return Err(self.too_many_indices(span)) };
        let flat = vec![Size::plain(count)];
        let bad = self.reshape(&bad, flat.clone(), span)?;
        let positions =
            self.emit(span, Iota { shape: shape_of(&flat), axis: 0, dtype: DType::I32 }, &[], flat.clone())?;
        let none = self.literal(span, Literal::from_i64(DType::I32, i64::from(i32::MAX)))?;
        let none = self.broadcast_scalar(none, flat.clone(), span)?;
        let places = self.emit(span, Select, &[&bad, &positions, &none], flat)?;
        let first = self.emit(span, Reduce { kind: ReduceKind::Min, axes: vec![0] }, &[&places], Vec::new())?;
        let fault = Fault { checked: *checked, span: self.place(span), text: text.clone(), bound: bound.clone() };
        if !self.entry.faults.iter().any(|(value, other)| *value == first.value && *other == fault) {
            self.entry.faults.push((first.value, fault));
        }
        Ok(())
    }

    fn too_many_indices(&mut self, span: Span) -> Reported {
        self.tell(Diagnostic::error(Code::E0114, span, "there are too many indices"))
    }
}
