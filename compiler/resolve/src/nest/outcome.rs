//! What a loop came to, as the names, weights and states that it changed.

use super::{Holes, LoopForm, LoopOutcome};
use crate::cx::Cx;
use crate::molds::Mold;
use crate::value::{Size, Tensor, Value};
use mlc_ir::graph::Value as IrValue;

impl<'a> Cx<'a> {
    /// The outcome of a loop that never runs.
    pub(super) fn without_passes(
        &mut self,
        form: &LoopForm<'a>,
        names: &[(usize, Mold, Vec<Tensor>, Vec<Tensor>)],
    ) -> LoopOutcome<'a> {
        let mut values: Vec<Value<'a>> = form.handed.iter().map(|handed| handed.start.clone()).collect();
        for (at, mold, starts, _) in names {
            if let Some(value) = mold.value(&mut starts.iter().cloned()) {
                values[*at] = value;
            }
        }
        LoopOutcome { handed: values, yields: Vec::new() }
    }

    /// Gives names, weights, states and faults what the loop made of them.
    pub(super) fn loop_outcome(
        &mut self,
        holes: &Holes<'a, '_>,
        told: usize,
        carries: &[IrValue],
        stacks: &[IrValue],
        yields: &[Tensor],
    ) -> LoopOutcome<'a> {
        let form = holes.form;
        let mut results = carries.iter().copied();
        let mut values: Vec<Value<'a>> = form.handed.iter().map(|handed| handed.start.clone()).collect();
        for (at, mold, starts, own) in &holes.names {
            let tensors: Vec<Tensor> = starts
                .iter()
                .zip(own)
                .zip(results.by_ref())
                .map(|((start, hole), value)| Tensor { value, dtype: start.dtype, axes: hole.axes.clone() })
                .collect();
            if let Some(value) = mold.value(&mut tensors.into_iter()) {
                values[*at] = value;
            }
        }
        for ((key, start, _), value) in holes.tensors.iter().zip(results.by_ref()) {
            self.entry.tensors.insert(key.clone(), Tensor { value, ..start.clone() });
        }
        let rest: Vec<IrValue> = results.skip(holes.records.len()).collect();
        self.put_faults(told, holes, &rest);
        let length = Size::plain(form.trip.clone());
        let stack = |(value, row): (&IrValue, &Tensor)| {
            let axes = std::iter::once(length.clone()).chain(row.axes.iter().cloned()).collect();
            Tensor { value: *value, dtype: row.dtype, axes }
        };
        LoopOutcome { handed: values, yields: stacks.iter().zip(yields).map(stack).collect() }
    }
}
