//! `accumulate = 4`: a step of several batches, whose gradients are averaged (rule 23).
//!
//! All batches of a step but the last run an entry of their own, which adds gradients to sums kept with
//! the optimizer's states; the last batch's step takes the mean and clears the sums. What tells draws apart
//! counts batches, so that each draws numbers of its own; `step_index()` counts steps.

use crate::cx::Cx;
use crate::entry::Mode;
use crate::init::Initial;
use crate::train::ParamKey;
use crate::value::{R, Tensor, shape_of};
use mlc_ir::graph::{Global, GlobalId, GlobalKind, Input};
use mlc_ir::ops::binary::Binary;
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// Batches of one step.
    fn batches(&self) -> i64 {
        self.entry.step.as_ref().map_or(1, |step| step.batches)
    }

    /// Adds gradients to their sums.
    pub fn sum_gradients(&mut self, gradients: &[(ParamKey, Tensor)], span: Span) -> R<()> {
        for (key, gradient) in gradients {
            let (global, sum) = self.gradient_sum(key, gradient, span);
            let sum = self.emit(span, Binary { op: BinaryOp::Add }, &[&sum, gradient], gradient.axes.clone())?;
            if let Some(step) = &mut self.entry.step {
                step.new.push((global, sum.value));
            }
        }
        Ok(())
    }

    /// The means of the gradients over the batches of the step.
    pub fn mean_gradients(&mut self, gradients: Vec<(ParamKey, Tensor)>, span: Span) -> R<Vec<(ParamKey, Tensor)>> {
        let batches = self.batches();
        if batches == 1 || self.entry.mode != Mode::Train {
            return Ok(gradients);
        }
        let mut means = Vec::new();
        for (key, gradient) in gradients {
            let (global, sum) = self.gradient_sum(&key, &gradient, span);
            let axes = gradient.axes.clone();
            let sum = self.emit(span, Binary { op: BinaryOp::Add }, &[&sum, &gradient], axes.clone())?;
            let count = self.literal(span, Literal::from_f64(gradient.dtype, batches as f64))?;
            let count = self.broadcast_scalar(count, axes.clone(), span)?;
            let mean = self.emit(span, Binary { op: BinaryOp::Div }, &[&sum, &count], axes.clone())?;
            let zero = self.literal(span, Literal::zero(gradient.dtype))?;
            let zero = self.broadcast_scalar(zero, axes, span)?;
            if let Some(step) = &mut self.entry.step {
                step.new.push((global, zero.value));
            }
            means.push((key, mean));
        }
        Ok(means)
    }

    /// The sum of a parameter's gradients so far.
    fn gradient_sum(&mut self, key: &ParamKey, gradient: &Tensor, written: Span) -> (GlobalId, Tensor) {
        let param = self.global_of_param(key, gradient).index();
        let path = format!("accumulated.{}", self.graph.globals[param].path);
        let ty = Type::new(gradient.dtype, shape_of(&gradient.axes));
        let known = self.graph.globals.iter().position(|global| *global.path == *path);
        let at = known.unwrap_or_else(|| {
            let span = self.graph.globals[param].span;
            let kind = GlobalKind::OptimizerState;
            self.graph.globals.push(Global { path: path.into(), kind, ty: ty.clone(), span });
            self.file_paths.push(format!("accumulated.{}", self.file_paths[param]));
            self.initial.push(Initial::Zero { span: written });
            self.graph.globals.len() - 1
        });
        let global = GlobalId(at as u32);
        let value = self.entry.global(global, ty);
        (global, Tensor { value, dtype: gradient.dtype, axes: gradient.axes.clone() })
    }

    /// The number of training steps done before this one, i64.
    pub fn step_number(&mut self) -> Tensor {
        let value = self.entry.input(Input::Done, Type::scalar(DType::I64));
        Tensor { value, dtype: DType::I64, axes: Vec::new() }
    }
}
