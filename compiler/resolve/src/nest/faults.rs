//! Index checks in the body of a loop: the loop hands on the first bad element of any pass.

use super::{Holes, LoopForm};
use crate::cx::Cx;
use crate::value::{R, Tensor};
use mlc_ir::graph::Value as IrValue;
use mlc_ir::nested::{Carry, LoopCut, made_of};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// Behind the last pass the condition is not asked, so what is wrong there is not told.
    pub(super) fn mask_faults(&mut self, form: &LoopForm<'a>, told: usize, next: &Tensor, span: Span) -> R<()> {
        if self.entry.faults.len() == told {
            return Ok(());
        }
        let bound = self.dim_tensor(&form.trip, DType::I64, span)?;
        let inside = self.compare_tensors(CompareOp::Lt, next, &bound, span)?;
        let none = self.literal(span, Literal::from_i64(DType::I32, i64::from(i32::MAX)))?;
        for at in told..self.entry.faults.len() {
            let value = self.entry.faults[at].0;
            let fault = Tensor { value, dtype: DType::I32, axes: Vec::new() };
            let masked = self.emit(span, mlc_ir::ops::select::Select, &[&inside, &fault, &none], Vec::new())?;
            self.entry.faults[at].0 = masked.value;
        }
        Ok(())
    }

    /// Faults of the body become carries: the first bad element of any pass.
    pub(super) fn take_faults(&mut self, cut: &mut LoopCut, told: usize, all: bool) -> R<()> {
        if self.entry.faults.len() == told {
            return Ok(());
        }
        let mut own = vec![cut.position];
        own.extend(cut.carries.iter().map(|carry| carry.inside));
        let made = made_of(self.entry.builder.region(), cut.mark, &own);
        for at in told..self.entry.faults.len() {
            let (value, _) = self.entry.faults[at];
            if all || made[value.index()] {
                let carry = self.fault_carry(value)?;
                cut.carries.push(carry);
            }
        }
        Ok(())
    }

    /// A carry for the smallest of a fault's numbers.
    pub fn fault_carry(&mut self, value: IrValue) -> R<Carry> {
        let none = Literal::from_i64(DType::I32, i64::from(i32::MAX));
        let builder = &mut self.entry.builder;
        let start = builder.literal(none);
        let inside = builder.hole(Type::scalar(DType::I32));
        let next = builder.binary(BinaryOp::Min, inside, value);
        Ok(Carry { inside, start, next })
    }

    /// The faults that the loop took in stand for their smallest number from now on.
    pub(super) fn put_faults(&mut self, told: usize, holes: &Holes<'a, '_>, results: &[IrValue]) {
        if results.is_empty() {
            return;
        }
        let made = made_of(self.entry.builder.region(), 0, &holes.own());
        let all = holes.form.condition.is_some();
        let taken = self.entry.faults[told..].iter_mut().filter(|(value, _)| all || made[value.index()]);
        for ((value, _), result) in taken.zip(results) {
            *value = *result;
        }
    }
}
