//! `every` blocks: the actions of the training driver, and the values they watch.

use crate::calls::{CallSite, args_of};
use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::program::{Action, Every, Pipeline};
use crate::train::Block;
use crate::value::{R, Tensor, Value};
use mlc_ir::graph::{Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// What the `every` block under way has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EveryState {
    pub actions: Vec<Action>,
    /// Values that actions refer to by position.
    pub values: Vec<mlc_ir::graph::Value>,
    pub pipelines: Vec<String>,
}

impl<'a> Cx<'a> {
    /// The `every` blocks of a train block, in source order.
    pub fn every_blocks(
        &mut self,
        block: &Block<'a>,
        metrics: &[String],
        pipelines: &[(String, Pipeline)],
    ) -> R<Vec<Every>> {
        let built: Vec<R<Every>> = block
            .decl
            .every
            .iter()
            .enumerate()
            .map(|(at, every)| self.every(block, every, at, metrics, pipelines))
            .collect();
        built.into_iter().collect()
    }

    fn every(
        &mut self,
        block: &Block<'a>,
        every: &'a ast::Every,
        at: usize,
        metrics: &[String],
        pipelines: &[(String, Pipeline)],
    ) -> R<Every> {
        let count = self.within_block(block, FrameKind::Bindings, |cx| cx.static_int(&every.count))?;
        if count < 1 {
            return self.fail(Code::E0203, every.count.span, format!("`every {count}`: at least 1 is needed"));
        }
        let mut entry = Entry::new(Mode::Every, &format!("{}.every{at}", block.decl.name.text));
        entry.real = DType::F64;
        let names = pipelines.iter().map(|(name, _)| name.clone()).collect();
        self.every_state = EveryState { pipelines: names, ..EveryState::default() };
        let (result, entry) = self.with_entry(entry, |cx| {
            cx.within_block(block, FrameKind::Every, |cx| {
                for name in metrics {
                    let value = cx.entry.input(Input::Arg(name.clone()), Type::scalar(DType::F64));
                    let tensor = Tensor { value, dtype: DType::F64, axes: Vec::new() };
                    cx.set_local(&Arc::from(name.as_str()), Value::Tensor(tensor));
                }
                cx.block(&every.body)
            })
        });
        result?;
        let EveryState { actions, values, .. } = std::mem::take(&mut self.every_state);
        let entry = if values.is_empty() {
            None
        } else {
            let outputs =
                values.iter().enumerate().map(|(at, value)| (Output::Result(at.to_string()), *value)).collect();
            Some(self.add_entry(entry, outputs, 1))
        };
        let in_epochs = match every.period {
            ast::Period::Epochs => true,
            ast::Period::Steps => false,
        };
        Ok(Every { count, in_epochs, entry, actions })
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
            .help("the actions: `evaluate(valid)`, `save(\"runs/x\", keep: 3, best: accuracy)`, `early_stop(accuracy, patience: 3)`");
        Err(self.tell(error))
    }

    fn evaluate_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        if let Some(extra) = args.iter().find(|arg| arg.name.as_ref().is_some_and(|name| &*name.text != "data")) {
            return self.unsupported(extra.value.span, "evaluating another instance");
        }
        let placed = self.place_args(&["data"], args_of(args), site)?;
        let Some(crate::calls::ArgValue::Expr(expr)) = placed.into_iter().next().flatten() else {
            let error = Diagnostic::error(Code::E0103, site.span, "`evaluate` needs a pipeline")
                .help("write `evaluate(valid)`");
            return Err(self.tell(error));
        };
        match (self.expr(expr)?, &expr.kind) {
            (Value::Pipeline(_), ExprKind::Name(name))
                if self.every_state.pipelines.iter().any(|other| **other == **name) =>
            {
                Ok(Action::Evaluate { pipeline: name.to_string() })
            }
            (Value::Pipeline(_), _) => {
                let error = Diagnostic::error(Code::E0205, expr.span, "`evaluate` takes a pipeline by its name")
                    .help("bind it in the train block: `valid = idx(…) |> batch(256)`");
                Err(self.tell(error))
            }
            (other, _) => self.fail(
                Code::E0205,
                expr.span,
                format!("`evaluate` takes a pipeline, and this is {}", other.describe()),
            ),
        }
    }

    fn save_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let placed = self.place_args(&["dir", "keep", "best"], args_of(args), site)?;
        let mut values = Vec::new();
        for arg in placed {
            values.push(match arg {
                Some(crate::calls::ArgValue::Expr(expr)) => Some((self.expr(expr)?, expr.span)),
                Some(crate::calls::ArgValue::Value(value, span)) => Some((value, span)),
                None => None,
            });
        }
        let dir = match &values[0] {
            Some((Value::Str(dir), _)) => dir.to_string(),
            Some((_, span)) => return self.fail(Code::E0122, *span, "`dir` of `save` is a string"),
            None => return self.fail(Code::E0103, site.span, "`save` needs a folder: `save(\"runs/x\")`"),
        };
        let keep = match &values[1] {
            Some((value, span)) => {
                let keep = self.as_int(value, *span)?;
                if keep < 1 {
                    return self.fail(Code::E0205, *span, format!("`keep` is {keep}, and at least 1 is needed"));
                }
                Some(keep)
            }
            None => None,
        };
        let best = match values[2].clone() {
            Some((value, span)) => Some(self.watched(value, span)?),
            None => None,
        };
        Ok(Action::Save { dir, keep, best })
    }

    fn early_stop_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let placed = self.place_args(&["x", "patience"], args_of(args), site)?;
        let mut values = Vec::new();
        for arg in placed {
            match arg {
                Some(crate::calls::ArgValue::Expr(expr)) => values.push((self.expr(expr)?, expr.span)),
                Some(crate::calls::ArgValue::Value(value, span)) => values.push((value, span)),
                None => {
                    return self.fail(
                        Code::E0103,
                        site.span,
                        "`early_stop` takes a value and `patience`: `early_stop(accuracy, patience: 3)`",
                    );
                }
            }
        }
        let patience = self.as_int(&values[1].0, values[1].1)?;
        if patience < 1 {
            return self.fail(Code::E0205, values[1].1, format!("`patience` is {patience}, and at least 1 is needed"));
        }
        let (value, span) = values.swap_remove(0);
        Ok(Action::EarlyStop { value: self.watched(value, span)?, patience })
    }

    /// The position of a watched value among the results of the block's entry.
    fn watched(&mut self, value: Value<'a>, span: Span) -> R<usize> {
        let tensor = self.materialise(value, DType::F64, span)?;
        if !tensor.axes.is_empty() {
            let shown = self.show(&tensor);
            return self.fail(Code::E0122, span, format!("a number is watched here, and this is {shown}"));
        }
        let tensor = self.cast(&tensor, DType::F64, span)?;
        self.every_state.values.push(tensor.value);
        Ok(self.every_state.values.len() - 1)
    }
}
