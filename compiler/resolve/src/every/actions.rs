//! The actions, one by one.

use super::{Around, Swap};
use crate::blocks::Block;
use crate::builtins::training::{EARLY_STOP, SAVE, SAVE_IMAGES};
use crate::calls::{ArgValue, CallSite, args_of};
use crate::cx::Cx;
use crate::entry::Mode;
use crate::program::{Action, Evaluation};
use crate::value::{Bindings, R, Tensor, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;
use std::sync::Arc;

/// Most pixels of a file of images.
const MOST_PIXELS: i64 = 1 << 26;

impl<'a> Cx<'a> {
    pub(super) fn evaluate_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let is_data = |arg: &&ast::Arg| arg.name.as_ref().is_none_or(|name| &*name.text == "data");
        let data: Vec<&'a ast::Arg> = args.iter().filter(is_data).collect();
        let expr = match data[..] {
            [arg] => &arg.value,
            [] => {
                let error = Diagnostic::error(Code::E0103, site.span, "`evaluate` needs a pipeline")
                    .help("write `evaluate(valid)`");
                return Err(self.tell(error));
            }
            [_, second, ..] => {
                let error = Diagnostic::error(Code::E0103, second.value.span, "`evaluate` takes one pipeline")
                    .help("another instance is named: `evaluate(valid, net: average)`");
                return Err(self.tell(error));
            }
        };
        let pipeline = self.evaluated_pipeline(expr)?;
        let mut replaced = Vec::new();
        for arg in args.iter().filter(|arg| !is_data(arg)) {
            let Some(name) = &arg.name else { continue };
            replaced.push(self.replacement(name, &arg.value)?);
        }
        if !replaced.is_empty() {
            let action = self.every_state.actions.len();
            self.every_state.swaps.push(Swap { action, replaced, span: site.span });
        }
        Ok(Action::Evaluate { pipeline, other: None })
    }

    fn evaluated_pipeline(&mut self, expr: &'a ast::Expr) -> R<String> {
        match (self.expr(expr)?, &expr.kind) {
            (Value::Pipeline(_), ExprKind::Name(name))
                if self.every_state.pipelines.iter().any(|other| **other == **name) =>
            {
                Ok(name.to_string())
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

    /// `net: average`: a binding of the block, and the instance in its place.
    fn replacement(&mut self, name: &'a ast::Name, value: &'a ast::Expr) -> R<(Arc<str>, crate::value::InstanceId)> {
        let bound = self.top().block.values.get(&name.text).cloned();
        let other = self.expr(value)?;
        let (Some(Value::Instance(old)), Value::Instance(new)) = (&bound, &other) else {
            let error = Diagnostic::error(
                Code::E0103,
                name.span,
                format!("`evaluate` replaces a layer of the block by another, and `{}` is no such pair", name.text),
            )
            .help("write `evaluate(valid, net: average)`, where `net` and `average` are bound in the train block");
            return Err(self.tell(error));
        };
        let (old, new) = (self.instance(*old), self.instance(*new));
        if !std::ptr::eq(old.layer, new.layer) {
            let title =
                format!("`{}` is {}, and this is {}", name.text, self.show_instance(old), self.show_instance(new));
            return self.fail(Code::E0122, value.span, title);
        }
        let Value::Instance(new) = other else { return Err(self.report.silent()) };
        Ok((name.text.clone(), new))
    }

    /// An evaluation in which some bindings are other instances.
    pub(super) fn swapped(&mut self, around: Around<'_, 'a>, swap: &Swap) -> R<Evaluation> {
        let old = &around.block.bindings;
        let mut bindings = Bindings { values: old.values.clone(), fns: old.fns.clone(), states: old.states };
        for (name, instance) in &swap.replaced {
            bindings.values.insert(name.clone(), Value::Instance(*instance));
        }
        let block = Block {
            decl: around.block.decl,
            file: around.block.file,
            bindings: Rc::new(bindings),
            places: around.block.places.clone(),
            loads: Vec::new(),
        };
        let built = self.step_entry(&block, around.step, Mode::Eval, around.typical, 1)?;
        self.evaluation(&around.block.decl.name.text, built, around.plan, around.tally, swap.span)
    }

    pub(super) fn save_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let values = self.action_args(SAVE, args, site)?;
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
        let best = args.iter().find(|arg| arg.name.as_ref().is_some_and(|name| &*name.text == "best"));
        self.warn_of_the_worst(best, "best: -loss");
        let best = match values[2].clone() {
            Some((value, span)) => Some(self.watched(value, span)?),
            None => None,
        };
        Ok(Action::Save { dir, keep, best })
    }

    pub(super) fn early_stop_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let values = self.action_args(EARLY_STOP, args, site)?;
        let [Some((value, span)), Some((patience, patience_span))] = &values[..] else {
            let title = "`early_stop` takes a value and `patience`: `early_stop(accuracy, patience: 3)`";
            return self.fail(Code::E0103, site.span, title);
        };
        let patience = self.as_int(patience, *patience_span)?;
        if patience < 1 {
            return self.fail(
                Code::E0205,
                *patience_span,
                format!("`patience` is {patience}, and at least 1 is needed"),
            );
        }
        self.warn_of_the_worst(args.first(), "early_stop(-loss, …)");
        Ok(Action::EarlyStop { value: self.watched(value.clone(), *span)?, patience })
    }

    /// W0005: `best: loss` would keep the weights with the highest loss.
    fn warn_of_the_worst(&mut self, arg: Option<&'a ast::Arg>, instead: &str) {
        let Some(arg) = arg else { return };
        if matches!(&arg.value.kind, ExprKind::Name(name) if &**name == "loss") {
            let warning = Diagnostic::warning(Code::W0005, arg.value.span, "the highest loss is taken for the best")
                .label("high values are wanted here")
                .help(format!("turn it round: `{instead}`"));
            self.tell(warning);
        }
    }

    /// `save_images(dir, x: float[N, H, W, C], range: (-1, 1))`
    pub(super) fn save_images_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let placed = self.action_args(SAVE_IMAGES, args, site)?;
        let dir = match &placed[0] {
            Some((Value::Str(dir), _)) => dir.to_string(),
            Some((_, span)) => return self.fail(Code::E0122, *span, "`dir` of `save_images` is a string"),
            None => return self.images_usage(site.span),
        };
        let Some((value, span)) = placed[1].clone() else { return self.images_usage(site.span) };
        let range = match placed[2].clone() {
            Some((value, span)) => self.range_of(&value, span)?,
            None => (-1.0, 1.0),
        };
        let tensor = self.materialise(value, DType::F32, span)?;
        self.check_images(&tensor, span)?;
        let tensor = self.cast(&tensor, DType::F32, span)?;
        Ok(Action::SaveImages { dir, value: self.result(tensor.value), range })
    }

    fn images_usage(&mut self, span: Span) -> R<Action> {
        let error = Diagnostic::error(Code::E0103, span, "`save_images` takes a folder and images")
            .help("write `save_images(\"runs/x\", G(normal([16, 100], seed: 7)))`");
        Err(self.tell(error))
    }

    fn range_of(&mut self, value: &Value<'a>, span: Span) -> R<(f64, f64)> {
        if let Value::Tuple(parts) = value
            && let [Value::Number(low), Value::Number(high)] = &parts[..]
            && let (Some(low), Some(high)) = (low.as_f64(), high.as_f64())
            && low < high
        {
            return Ok((low, high));
        }
        self.fail(Code::E0122, span, "`range` is what black and white are: `(-1, 1)`")
    }

    fn check_images(&mut self, tensor: &Tensor, span: Span) -> R<()> {
        let shown = self.show(tensor);
        let sizes: Option<Vec<i64>> = tensor.axes.iter().map(|axis| axis.dim.as_const()).collect();
        let fits = match sizes.as_deref() {
            Some(&[count, height, width, channels]) => {
                let pixels = [count, height, width].into_iter().try_fold(1i64, i64::checked_mul);
                matches!(channels, 1 | 3 | 4) && pixels.is_some_and(|pixels| pixels <= MOST_PIXELS)
            }
            _ => false,
        };
        if fits && tensor.dtype.is_float() {
            return Ok(());
        }
        let error = Diagnostic::error(Code::E0122, span, format!("`save_images` takes images, and this is {shown}"))
            .note("images are floats [N, H, W, C] with 1, 3 or 4 channels and sizes that are known when compiling")
            .help("`rearrange`, `reshape` or `x[:, :, :, new]` may make them so");
        Err(self.tell(error))
    }

    /// `report(name: value, …)`
    pub(super) fn report_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let mut values: Vec<(String, usize)> = Vec::new();
        for arg in args {
            let Some(name) = &arg.name else {
                let error = Diagnostic::error(Code::E0103, arg.value.span, "`report` takes names and values")
                    .help("write `report(ratio: d_loss / g_loss)`");
                return Err(self.tell(error));
            };
            if values.iter().any(|(other, _)| **other == *name.text) {
                return self.fail(Code::E0102, name.span, format!("`{}` is reported twice", name.text));
            }
            self.refuse_field_of_result(name)?;
            if self.every_state.metrics.contains(&name.text.to_string()) {
                let title = format!("`{}` is reported already", name.text);
                let error = Diagnostic::error(Code::E0102, name.span, title)
                    .note("metrics and losses are reported by themselves")
                    .help("give this value another name");
                return Err(self.tell(error));
            }
            let value = self.expr(&arg.value)?;
            values.push((name.text.to_string(), self.watched(value, arg.value.span)?));
        }
        if values.is_empty() {
            return self.fail(
                Code::E0103,
                site.span,
                "`report` takes names and values: `report(ratio: d_loss / g_loss)`",
            );
        }
        Ok(Action::Report { values })
    }

    /// `print(x)`: a tensor as it is, or what is known when compiling.
    pub(super) fn print_action(&mut self, args: &'a [ast::Arg], site: &CallSite) -> R<Action> {
        let placed = self.action_args(&["x"], args, site)?;
        let Some((value, span)) = placed.into_iter().next().flatten() else {
            return self.fail(Code::E0103, site.span, "`print` takes a value: `print(x)`");
        };
        match self.printed(value, span)? {
            Ok(text) => Ok(Action::Print { text, value: None }),
            Err((label, tensor)) => {
                let value = self.every_state.exact.get(&tensor.value).copied().unwrap_or(tensor.value);
                Ok(Action::Print { text: label, value: Some(self.result(value)) })
            }
        }
    }

    /// What `print` shows: a text, or a tensor with what is written for it.
    pub fn printed(&mut self, value: Value<'a>, span: Span) -> R<Result<String, (String, Tensor)>> {
        let label = self.sources.text(span).split_whitespace().collect::<Vec<&str>>().join(" ");
        match value {
            Value::Str(text) => Ok(Ok(text.to_string())),
            Value::Tensor(_) | Value::Lazy(_) => {
                let tensor = self.tensor(value, span)?;
                if tensor.axes.iter().any(|axis| axis.dim.as_const().is_none()) {
                    let shown = self.show(&tensor);
                    let title =
                        format!("`print` takes tensors whose sizes are known when compiling, and this is {shown}");
                    return self.fail(Code::E0122, span, title);
                }
                Ok(Err((label, tensor)))
            }
            Value::Poison => Err(self.report.silent()),
            other => {
                let shown = self.show_static(&other).unwrap_or_else(|| other.describe().to_string());
                Ok(Ok(if shown == label { shown } else { format!("{label} = {shown}") }))
            }
        }
    }

    /// The arguments of an action, evaluated.
    fn action_args(
        &mut self,
        params: &[&'static str],
        args: &'a [ast::Arg],
        site: &CallSite,
    ) -> R<Vec<Option<(Value<'a>, Span)>>> {
        let placed = self.place_args(params, args_of(args), site)?;
        let mut values = Vec::new();
        for arg in placed {
            values.push(match arg {
                Some(ArgValue::Expr(expr)) => Some((self.expr(expr)?, expr.span)),
                Some(ArgValue::Value(value, span)) => Some((value, span)),
                None => None,
            });
        }
        Ok(values)
    }
}
