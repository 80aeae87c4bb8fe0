//! `every` blocks: the actions of the training driver, and the values they watch, write or print.
//!
//! A block's values come from one entry, whose arguments are the metrics. Actions refer to its results
//! by position. The entry is called anew when an `evaluate` has changed the metrics.

mod actions;
mod guards;

use crate::blocks::Block;
use crate::calls::CallSite;
use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::program::{Action, Every, Pipeline};
use crate::value::{InstanceId, R, Tensor, Value};
use mlc_ir::graph::{Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the `every` block under way has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EveryState {
    pub actions: Vec<Action>,
    /// Values that actions refer to by position.
    pub values: Vec<mlc_ir::graph::Value>,
    pub pipelines: Vec<String>,
    /// The names under which metrics and losses are reported.
    pub metrics: Vec<String>,
    /// Metrics read as f32, and the f64 values that they were before.
    exact: BTreeMap<mlc_ir::graph::Value, mlc_ir::graph::Value>,
    /// Evaluations of other instances: the action's position, and which binding becomes which.
    swaps: Vec<Swap>,
}

/// An evaluation in which a binding of the block is another instance.
#[derive(Clone, Debug)]
struct Swap {
    action: usize,
    replaced: Vec<(Arc<str>, InstanceId)>,
    span: Span,
}

/// The train block around, as far as `every` needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'b, 'a> {
    pub block: &'b Block<'a>,
    pub step: &'a ast::Step,
    pub plan: &'b crate::metrics::Plan,
    pub tally: &'b crate::program::Tally,
    pub pipelines: &'b [(String, Pipeline)],
    /// The usual size of a batch.
    pub typical: i64,
}

impl<'a> Cx<'a> {
    /// The `every` blocks of a train block, in source order.
    pub fn every_blocks(&mut self, around: Around<'_, 'a>) -> R<Vec<Every>> {
        let blocks = around.block.decl.every.iter().enumerate();
        let built: Vec<R<Every>> = blocks.map(|(at, every)| self.every(around, every, at)).collect();
        built.into_iter().collect()
    }

    fn every(&mut self, around: Around<'_, 'a>, every: &'a ast::Every, at: usize) -> R<Every> {
        let block = around.block;
        let count = self.within_block(block, FrameKind::Bindings, |cx| cx.static_int(&every.count))?;
        if count < 1 {
            return self.fail(Code::E0203, every.count.span, format!("`every {count}`: at least 1 is needed"));
        }
        let entry = Entry::new(Mode::Every, &format!("{}.every{at}", block.decl.name.text));
        let names = around.pipelines.iter().map(|(name, _)| name.clone()).collect();
        let metrics = around.plan.names.clone();
        self.every_state = EveryState { pipelines: names, metrics, ..EveryState::default() };
        let (result, entry) = self.with_entry(entry, |cx| {
            cx.within_block(block, FrameKind::Every, |cx| {
                for name in &around.plan.names {
                    cx.bind_metric(name, every.count.span)?;
                }
                cx.block(&every.body)
            })
        });
        result?;
        let EveryState { mut actions, values, swaps, .. } = std::mem::take(&mut self.every_state);
        let entry = if values.is_empty() {
            None
        } else {
            let outputs =
                values.iter().enumerate().map(|(at, value)| (Output::Result(at.to_string()), *value)).collect();
            Some(self.add_entry(entry, outputs, 1))
        };
        for swap in swaps {
            let built = self.swapped(around, &swap)?;
            if let Some(Action::Evaluate { other, .. }) = actions.get_mut(swap.action) {
                *other = Some(built);
            }
        }
        let in_epochs = match every.period {
            ast::Period::Epochs => true,
            ast::Period::Steps => false,
        };
        Ok(Every { count, in_epochs, entry, actions })
    }

    /// A metric is an f32 in arithmetic; where it is watched as it is, nothing of it is lost.
    fn bind_metric(&mut self, name: &str, span: Span) -> R<()> {
        let exact = self.entry.input(Input::Arg(name.to_string()), Type::scalar(DType::F64));
        let wide = Tensor { value: exact, dtype: DType::F64, axes: Vec::new() };
        let tensor = self.cast(&wide, DType::F32, span)?;
        self.every_state.exact.insert(tensor.value, exact);
        self.set_local(&Arc::from(name), Value::Tensor(tensor));
        Ok(())
    }

    /// A statement of an `every` block.
    pub fn every_stmt(&mut self, expr: &'a ast::Expr) -> R<()> {
        let ExprKind::Call { callee, args, .. } = &expr.kind else { return self.not_an_action(expr.span) };
        let ExprKind::Name(name) = &callee.kind else { return self.not_an_action(expr.span) };
        let site = CallSite { span: expr.span, callee: callee.span, name: name.to_string() };
        let action = match &**name {
            "evaluate" => self.evaluate_action(args, &site)?,
            "save" => self.save_action(args, &site)?,
            "early_stop" => self.early_stop_action(args, &site)?,
            "save_images" => self.save_images_action(args, &site)?,
            "report" => self.report_action(args, &site)?,
            "print" => self.print_action(args, &site)?,
            "stop" => {
                self.place_args(&[], crate::calls::args_of(args), &site)?;
                Action::Stop
            }
            _ => {
                self.expr(expr)?;
                return self.not_an_action(expr.span);
            }
        };
        self.every_state.actions.push(action);
        Ok(())
    }

    fn not_an_action(&mut self, span: Span) -> R<()> {
        let error = Diagnostic::error(Code::E0121, span, "an `every` block consists of actions")
            .note("the actions: `evaluate(valid)`, `save(\"runs/x\", keep: 3, best: accuracy)`, `early_stop(accuracy, patience: 3)`, `report(name: value)`, `save_images(\"runs/x\", images)`, `print(x)`, `stop()`")
            .help("values for them may be bound to names: `images = G(normal([16, 100], seed: 7))`");
        Err(self.tell(error))
    }

    /// A scalar among the results of the block's entry, as f64.
    fn watched(&mut self, value: Value<'a>, span: Span) -> R<usize> {
        let tensor = self.materialise(value, DType::F64, span)?;
        if !tensor.axes.is_empty() {
            let shown = self.show(&tensor);
            return self.fail(Code::E0122, span, format!("a number is watched here, and this is {shown}"));
        }
        let value = match self.every_state.exact.get(&tensor.value) {
            Some(exact) => *exact,
            None => self.cast(&tensor, DType::F64, span)?.value,
        };
        Ok(self.result(value))
    }

    /// The position of a value among the results of the block's entry.
    fn result(&mut self, value: mlc_ir::graph::Value) -> usize {
        self.every_state.values.push(value);
        self.every_state.values.len() - 1
    }
}
