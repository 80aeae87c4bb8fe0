//! `minimize LOSS over PARTS with OPT`: the parameters, their gradients, and what is said where one
//! has none (rule 24).

use crate::cx::{Cx, FrameKind};
use crate::entry::Mode;
use crate::report::Reported;
use crate::train::ParamKey;
use crate::value::{InstanceId, OptimizerValue, R, Tensor, Value, shape_of};
use mlc_ir::autodiff::{self, Cut, Reason};
use mlc_ir::graph::GlobalId;
use mlc_ir::ty::Type;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

impl<'a> Cx<'a> {
    /// `minimize LOSS over PARTS with OPT`
    pub fn minimize(&mut self, loss: &'a ast::Expr, over: &'a ast::Expr, with: &'a ast::Expr, span: Span) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Step) {
            return Err(self.misplaced_minimize(span));
        }
        if !self.entry.loops.is_empty() {
            let error = Diagnostic::error(Code::E0121, span, "`minimize` stands in a loop")
                .note("a parameter gets one update in a step")
                .help("add the losses in the loop, and minimize their sum behind it");
            return Err(self.tell(error));
        }
        let value = self.expr(loss);
        let parts = self.expr(over).and_then(|value| self.parts(&value, over));
        let optimizer = self.expr(with);
        let loss_value = self.loss_scalar(value?, loss)?;
        let (parts, optimizer) = (parts?, self.as_optimizer(optimizer?, with)?);
        let name = match &loss.kind {
            ExprKind::Name(text) => text.to_string(),
            _ => "loss".to_string(),
        };
        if let Some(step) = &mut self.entry.step {
            step.losses.push((name, loss_value.clone()));
        }
        self.check_updates(&parts, over.span)?;
        if self.entry.mode == Mode::Eval {
            return self.renew(&parts, span);
        }
        let gradients = self.gradients(&loss_value, &parts, loss, over, span)?;
        if self.entry.mode == Mode::Grads {
            self.keep_gradients(&gradients)?;
            return self.renew(&parts, span);
        }
        if self.entry.mode == Mode::Accumulate {
            self.sum_gradients(&gradients, span)?;
            return self.renew(&parts, span);
        }
        let gradients = self.mean_gradients(gradients, span)?;
        let binding = match &with.kind {
            ExprKind::Name(text) => text.to_string(),
            _ => optimizer.decl.name.text.to_string(),
        };
        self.update_all(&optimizer, &binding, &gradients, span)
    }

    /// Makes new values of weights that an update would have changed, where nothing is updated: what
    /// is computed behind it is another thing than what was computed before it, as in training, so
    /// that losses and metrics are put together alike.
    pub fn renew(&mut self, keys: &[ParamKey], span: Span) -> R<()> {
        if self.entry.conditional > 0 {
            // A branch would hand the weights on for nothing.
            return Ok(());
        }
        for key in keys {
            let Some(old) = self.entry.tensors.get(key).cloned() else { continue };
            let new = self.emit(span, mlc_ir::ops::stop_gradient::StopGradient, &[&old], old.axes.clone())?;
            self.entry.tensors.insert(key.clone(), new);
        }
        Ok(())
    }

    fn loss_scalar(&mut self, value: Value<'a>, loss: &'a ast::Expr) -> R<Tensor> {
        let tensor = self.tensor(value, loss.span)?;
        if tensor.dtype.is_float() && tensor.axes.is_empty() {
            return Ok(tensor);
        }
        let shown = self.show(&tensor);
        let mut error =
            Diagnostic::error(Code::E0201, loss.span, format!("`minimize` needs a float scalar, and this is {shown}"));
        if !tensor.axes.is_empty() {
            error = error.help("take the mean: `mean(loss)`");
        }
        Err(self.tell(error))
    }

    fn as_optimizer(&mut self, value: Value<'a>, with: &'a ast::Expr) -> R<Rc<OptimizerValue<'a>>> {
        match value {
            Value::Optimizer(optimizer) => Ok(optimizer),
            Value::Poison => Err(self.report.silent()),
            other => {
                let title = format!("an optimizer is needed here, and this is {}", other.describe());
                let error = Diagnostic::error(Code::E0122, with.span, title)
                    .help("bind one in the train block: `opt = adam(lr: 1e-3)`");
                Err(self.tell(error))
            }
        }
    }

    /// The parameters that `over` names.
    fn parts(&mut self, value: &Value<'a>, over: &'a ast::Expr) -> R<Vec<ParamKey>> {
        let mut found = Vec::new();
        self.collect_parts(value, over, &mut found)?;
        if found.is_empty() && !self.report.is_clean() {
            return Err(self.report.silent());
        }
        if found.is_empty() {
            let error = Diagnostic::error(Code::E0122, over.span, "there are no parameters in `over`")
                .help("name the network: `minimize loss over net with opt`");
            return Err(self.tell(error));
        }
        Ok(found)
    }

    fn collect_parts(&mut self, value: &Value<'a>, over: &'a ast::Expr, into: &mut Vec<ParamKey>) -> R<()> {
        match value {
            Value::Instance(_) | Value::Stack(_) => {
                self.params_in(value, None, into);
                Ok(())
            }
            Value::List(parts) | Value::Tuple(parts) => {
                parts.iter().try_for_each(|part| self.collect_parts(part, over, into))
            }
            Value::Tensor(tensor) => {
                let key = self
                    .entry
                    .tensors
                    .iter()
                    .find(|(_, other)| other.value == tensor.value)
                    .map(|(key, _)| key.clone());
                match key {
                    Some(key) => {
                        into.push(key);
                        Ok(())
                    }
                    None => {
                        let title = "this is a computed tensor, and only parameters are updated";
                        let error = Diagnostic::error(Code::E0122, over.span, title)
                            .help("name the layer whose parameters it is made with: `over net`");
                        Err(self.tell(error))
                    }
                }
            }
            Value::Params(chosen) => {
                let found = self.chosen_params(chosen)?;
                into.extend(found);
                Ok(())
            }
            Value::Poison => Err(self.report.silent()),
            Value::Function(function) if let crate::value::Callee::Layer { decl, .. } = &function.callee => {
                let error = Diagnostic::error(Code::E0122, over.span, "`over` takes a layer that has been made")
                    .help(format!("bind one in the train block, `net = {}()`, and name it here", decl.name.text));
                Err(self.tell(error))
            }
            other => {
                let title = format!("`over` takes layers and parameters, and this is {}", other.describe());
                self.fail(Code::E0122, over.span, title)
            }
        }
    }

    fn check_updates(&mut self, parts: &[ParamKey], span: Span) -> R<()> {
        for key in parts {
            let first = self.entry.step.as_mut().and_then(|step| step.updated.insert(key.clone(), span));
            let Some(first) = first else { continue };
            let path = self.shown_path(key);
            let error = Diagnostic::error(Code::E0202, span, format!("`{path}` is updated twice in one step"))
                .also(first, "the first update is here")
                .help("add the losses and minimize their sum: `minimize a + b over net with opt`");
            return Err(self.tell(error));
        }
        Ok(())
    }

    /// `fc.weight`, or `G.fc.weight` where a training has several instances.
    fn shown_path(&self, (id, name): &ParamKey) -> String {
        let (root, path) = self.tensor_path(*id, name);
        format!("{}{path}", root.file_prefix)
    }

    /// The gradient of each parameter that this step uses.
    fn gradients(
        &mut self,
        loss: &Tensor,
        parts: &[ParamKey],
        loss_expr: &'a ast::Expr,
        over: &'a ast::Expr,
        span: Span,
    ) -> R<Vec<(ParamKey, Tensor)>> {
        self.refuse_unused(parts, loss_expr, over)?;
        let used: Vec<(ParamKey, Tensor)> = parts
            .iter()
            .filter_map(|key| self.entry.tensors.get(key).map(|tensor| (key.clone(), tensor.clone())))
            .collect();
        let wrt: Vec<_> = used.iter().map(|(_, tensor)| tensor.value).collect();
        self.entry.builder.span = self.place(span);
        let found = autodiff::gradient(&mut self.graph, &mut self.entry.builder, loss.value, &wrt);
        let mut gradients = Vec::new();
        let mut failed = None;
        for ((key, tensor), gradient) in used.into_iter().zip(found) {
            match gradient {
                Ok(value) => gradients.push((key, Tensor { value, ..tensor })),
                Err(cut) => failed = Some(self.no_gradient(&key, cut, loss_expr, over)),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(gradients),
        }
    }

    /// A layer in `over` none of whose parameters the step reads is a mistake; a single parameter
    /// may be unused because its layer was made without it (`bias: false`).
    fn refuse_unused(&mut self, parts: &[ParamKey], loss: &'a ast::Expr, over: &'a ast::Expr) -> R<()> {
        let mut failed = None;
        let mut told: Vec<InstanceId> = Vec::new();
        for key in parts {
            let touched = self.entry.tensors.keys().any(|(id, _)| *id == key.0);
            if !touched && !told.contains(&key.0) {
                told.push(key.0);
                failed = Some(self.no_gradient(key, Cut { at: None }, loss, over));
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(()),
        }
    }

    fn no_gradient(&mut self, key: &ParamKey, cut: Cut, loss: &'a ast::Expr, over: &'a ast::Expr) -> Reported {
        let path = self.shown_path(key);
        let mut error = Diagnostic::error(Code::E0212, over.span, format!("`{path}` gets no gradient from this loss"));
        let owner = self.instance_name(key.0);
        match cut.at {
            Some((place, reason)) => {
                let text = format!("the gradient ends here: {}", reason.text());
                error = match self.span_of_place(place) {
                    Some(span) if span != over.span => error.also(span, text),
                    _ => error.note(text),
                };
                let straight = self.span_of_place(place).and_then(|span| self.straight_through(span, reason));
                let named = self.sources.text(over.span);
                let out = if named.contains(|c: char| !c.is_alphanumeric() && c != '_') { &owner } else { named };
                let out = if matches!(reason, Reason::StopGradient) { &owner } else { out };
                error = match straight {
                    Some(call) => error.help(format!("use `{call}`, or take `{out}` out of `over`")),
                    None => error.help(format!(
                        "take `{out}` out of `over`, or let the loss depend on it in a differentiable way"
                    )),
                };
            }
            None => {
                error = error
                    .label(format!("`{path}` is among these"))
                    .also(loss.span, "this loss does not use it")
                    .help(match self.without(key, over) {
                        Some(rest) => {
                            format!("use `{owner}` in what the loss is made of, or leave it out: `over {rest}`")
                        }
                        None => format!("use `{owner}` in what the loss is made of, or take it out of `over`"),
                    });
            }
        }
        self.tell(error)
    }

    /// `params(net, skip: ["head.*"])` for `over net`, where a layer or a single parameter is to be left out.
    fn without(&self, (id, name): &ParamKey, over: &ast::Expr) -> Option<String> {
        let ExprKind::Name(whole) = &over.kind else { return None };
        let is_layer = !self.entry.tensors.keys().any(|(other, _)| other == id);
        let below = self.tensor_path(*id, "").1;
        let path = if is_layer { format!("{below}*") } else { format!("{below}{name}") };
        (path != "*").then(|| format!("params({whole}, skip: [\"{path}\"])"))
    }

    /// `straight_through(round(x), x)` for a `round(x)` in the source.
    fn straight_through(&self, span: Span, reason: Reason) -> Option<String> {
        const LONGEST: usize = 40;
        let Reason::Flat(op) = reason else { return None };
        let call = self.sources.text(span);
        let inner = call.strip_prefix(op)?.strip_prefix('(')?.strip_suffix(')')?;
        (call.len() <= LONGEST && !call.contains('\n')).then(|| format!("straight_through({call}, {inner})"))
    }

    fn keep_gradients(&mut self, gradients: &[(ParamKey, Tensor)]) -> R<()> {
        for (key, gradient) in gradients {
            let global = self.global_of_param(key, gradient);
            let path = self.graph.globals[global.index()].path.to_string();
            if let Some(step) = &mut self.entry.step {
                step.grads.push((path, gradient.value));
                step.trained.push(global);
            }
        }
        Ok(())
    }

    /// The global behind a parameter that has been read.
    pub fn global_of_param(&mut self, key: &ParamKey, like: &Tensor) -> GlobalId {
        match self.instance(key.0).members.tensor(&key.1) {
            Some(decl) => self.global_of(key.0, decl, &Type::new(like.dtype, shape_of(&like.axes))),
            None => mlc_ir::internal_error("resolver", "a param that is not declared"),
        }
    }
}
