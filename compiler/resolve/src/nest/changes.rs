//! What functions with a gradient of their own change, weights and states, where gradients are not known yet.

use crate::cx::Cx;
use crate::outline::floats_of;
use mlc_ir::graph::Value as IrValue;
use mlc_ir::nested::{CallCut, cut_call, free_of};
use mlc_ir::second_region::{Cut, Given as OwnGradient, second_region};

impl Cx<'_> {
    /// Whether a call with a gradient of its own contains a gradient that is not known yet.
    pub fn lacks_any(&self, cut: &CallCut) -> bool {
        let lacking = self.lacking_holes();
        let mut takes = free_of(self.entry.builder.region(), cut);
        takes.extend(&cut.operands);
        !cut.operands.is_empty() && takes.iter().any(|value| lacking.contains(value))
    }

    /// What a call with a gradient of its own changes, as a call by itself, so that it is not taken for something made
    /// of what the function returns. The arguments get nothing from it, which is what the program's gradient gives
    /// where the results have no adjoint.
    pub fn cut_apart(&mut self, cut: &CallCut, results: Vec<IrValue>) -> Vec<IrValue> {
        if results.is_empty() {
            return results;
        }
        // Weights are operands too, and are outside what they are inside.
        let arguments = cut.operands.iter().zip(&cut.given).filter(|(operand, given)| operand != given);
        let (operands, given): (Vec<IrValue>, Vec<IrValue>) =
            arguments.map(|(operand, given)| (*operand, *given)).unzip();
        let mut part = CallCut { name: format!("{}_changes", cut.name), operands, given, results, ..cut.clone() };
        let mut own = OwnGradient::default();
        for argument in floats_of(self.entry.builder.region(), &part.operands) {
            let ty = self.entry.builder.ty(argument).clone();
            own.gives.push(self.entry.builder.full(ty.dtype, 0.0, &ty.shape));
        }
        let weights = self.weights_with_gradient(&part, &own);
        part.operands.extend(&weights);
        part.given.extend(&weights);
        self.cut_with_gradient(&part, &weights, &own)
    }

    fn cut_with_gradient(&mut self, cut: &CallCut, weights: &[IrValue], own: &OwnGradient) -> Vec<IrValue> {
        let name = format!("{}_grad", cut.name);
        cut_call(&mut self.graph, &mut self.entry.builder, cut, |graph, flat, cut, args| {
            let cut = Cut { name: &name, args, results: &cut.results, weights };
            Some(second_region(graph, flat, cut, own).0)
        })
    }
}
