//! Training blocks: bindings, the `step` in its three forms (updates, gradients, evaluation), and
//! the statements `minimize` and `metric`.

use crate::calls::CallSite;
use crate::cx::{Cx, Frame, FrameKind};
use crate::entry::{Entry, Mode};
use crate::instances::{Place, Root};
use crate::program;
use crate::report::Reported;
use crate::scope;
use crate::value::{Bindings, InstanceId, R, Tensor, Value, shape_of};
use mlc_ir::autodiff::{self, Cut};
use mlc_ir::graph::{GlobalId, Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A weight of an instance.
pub(crate) type ParamKey = (InstanceId, Arc<str>);

/// What a step has said so far.
#[derive(Debug, Default)]
pub(crate) struct StepState<'a> {
    /// Losses with the names they are reported under, in order.
    pub losses: Vec<(String, Tensor)>,
    pub metrics: Vec<(ast::Name, Value<'a>)>,
    /// Where each parameter got its update.
    pub updated: BTreeMap<ParamKey, Span>,
    pub trained: Vec<GlobalId>,
    /// Gradients by path, for [`Mode::Grads`].
    pub grads: Vec<(String, mlc_ir::graph::Value)>,
    /// New values of weights and optimizer states.
    pub new: Vec<(GlobalId, mlc_ir::graph::Value)>,
}

/// A train block whose bindings have been made.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub decl: &'a ast::Train,
    pub file: FileId,
    pub bindings: Rc<Bindings<'a>>,
    /// Where each binding's value is written.
    pub places: BTreeMap<Arc<str>, Span>,
}

impl<'a> Cx<'a> {
    /// Makes the bindings of a train block; `several`: the program has more than one.
    pub fn train_bindings(&mut self, decl: &'a ast::Train, file: FileId, several: bool) -> Block<'a> {
        let frame = self.new_frame(FrameKind::Bindings, file);
        let (bindings, places) = self.within(frame, |cx| cx.bind_all(decl));
        let block = Block { decl, file, bindings: Rc::new(bindings), places };
        self.place_roots(&block, several);
        block
    }

    fn bind_all(&mut self, decl: &'a ast::Train) -> (Bindings<'a>, BTreeMap<Arc<str>, Span>) {
        let mut bindings = Bindings::default();
        let mut places: BTreeMap<Arc<str>, Span> = BTreeMap::new();
        for member in &decl.members {
            match member {
                ast::Member::Bind(bind) => {
                    let values = self.binding_values(bind);
                    for (name, value) in bind.names.iter().zip(values) {
                        if let Some(first) = places.insert(name.text.clone(), name.span) {
                            self.tell(scope::twice(name, first));
                        }
                        self.set_local(&name.text, value.clone());
                        bindings.values.insert(name.text.clone(), value);
                    }
                }
                ast::Member::Fn(decl) => bindings.fns.push(decl),
                ast::Member::State(tensor) => {
                    let _ = self.unsupported::<()>(tensor.span, "`state` in a train block");
                }
                ast::Member::Param(tensor) => {
                    let error = Diagnostic::error(Code::E0203, tensor.span, "a `param` belongs in a layer")
                        .help("declare a `layer` with it and bind an instance here");
                    self.tell(error);
                }
            }
        }
        if let Some(at) = places.get("accumulate") {
            let _ = self.unsupported::<()>(*at, "`accumulate`");
        }
        (bindings, places)
    }

    /// Gives the instances bound here their place at the top of the tree of weights.
    fn place_roots(&mut self, block: &Block<'a>, several: bool) {
        let mut roots = Vec::new();
        for member in &block.decl.members {
            let ast::Member::Bind(bind) = member else { continue };
            for name in &bind.names {
                if let Some(value) = block.bindings.values.get(&name.text) {
                    collect_loose(self, value, &name.text, &mut roots);
                }
            }
        }
        let prefixed = roots.len() > 1;
        for (id, name) in roots {
            let file_prefix = if prefixed { format!("{name}.") } else { String::new() };
            let graph_prefix =
                if several { format!("{}.{file_prefix}", block.decl.name.text) } else { file_prefix.clone() };
            self.instances[id.0 as usize].place = Place::Root(Root { name, file_prefix, graph_prefix });
        }
    }

    /// Builds the entries of a train block.
    pub fn train(&mut self, block: &Block<'a>) -> R<program::Train> {
        let step = self.only_step(block.decl)?;
        let settings = self.settings(block);
        let pipelines = pipelines_of(block);
        let batch = pipelines
            .iter()
            .find(|(name, _)| name == "data")
            .and_then(|(_, pipeline)| crate::pipeline::batch_of(pipeline));
        let typical = batch.unwrap_or(1);
        let trained_step = self.step_entry(block, step, Mode::Train, typical);
        let eval_step = self.step_entry(block, step, Mode::Eval, typical);
        let grads_step = match &trained_step {
            Ok(built) if !built.trained.is_empty() => Some(self.step_entry(block, step, Mode::Grads, typical)),
            _ => None,
        };
        let checked = self.check_columns(block, step, &pipelines);
        let every = match &trained_step {
            Ok(built) => self.every_blocks(block, &built.plan.names, &pipelines),
            Err(reported) => Err(*reported),
        };
        let (trained_step, eval_step, settings) = (trained_step?, eval_step?, settings?);
        checked?;
        if !trained_step.plan.agrees_with(&eval_step.plan) {
            let error = Diagnostic::error(
                Code::E0203,
                step.span,
                "loss and metrics are not put together alike in training and evaluation",
            )
            .help("a condition on `training` decides about tensors, not about how a metric is computed");
            return Err(self.tell(error));
        }
        let grads = match grads_step {
            Some(built) => Some(built?.entry),
            None => None,
        };
        let finish = self.finish_entry(&block.decl.name.text, &trained_step.plan);
        Ok(program::Train {
            name: block.decl.name.text.to_string(),
            span: block.decl.span,
            seed: settings.seed.unwrap_or(0),
            epochs: settings.epochs,
            steps: settings.steps,
            batch,
            pipelines,
            columns: trained_step.columns,
            step: trained_step.entry,
            eval: eval_step.entry,
            grads,
            finish,
            accumulands: trained_step.plan.combines.clone(),
            metrics: trained_step.plan.names.clone(),
            trained: trained_step.trained,
            every: every?,
        })
    }

    fn only_step(&mut self, decl: &'a ast::Train) -> R<&'a ast::Step> {
        match decl.steps.as_slice() {
            [step] => Ok(step),
            [] => {
                let error = Diagnostic::error(
                    Code::E0203,
                    decl.name.span,
                    format!("`train {}` has no `step`", decl.name.text),
                )
                .help("write `step(image: f32[B, 28, 28, 1], label: i32[B]) { … minimize loss over net with opt }`");
                Err(self.tell(error))
            }
            [first, second, ..] => {
                let error =
                    Diagnostic::error(Code::E0203, second.span, format!("`train {}` has two `step`s", decl.name.text))
                        .also(first.span, "the first is here")
                        .help("several `minimize` statements may stand in one step");
                Err(self.tell(error))
            }
        }
    }

    fn settings(&mut self, block: &Block<'a>) -> R<Settings> {
        Ok(Settings {
            seed: self.setting(block, "seed", i64::MIN)?,
            epochs: self.setting(block, "epochs", 1)?,
            steps: self.setting(block, "steps", 1)?,
        })
    }

    fn setting(&mut self, block: &Block<'a>, name: &str, least: i64) -> R<Option<i64>> {
        let (Some(value), Some(span)) = (block.bindings.values.get(name), block.places.get(name)) else {
            return Ok(None);
        };
        let value = self.within_block(block, FrameKind::Bindings, |cx| cx.as_int(value, *span))?;
        if value < least {
            return self.fail(Code::E0203, *span, format!("`{name}` is {value}, and at least {least} is needed"));
        }
        Ok(Some(value))
    }

    /// Runs `job` in a frame that sees the block's bindings.
    pub fn within_block<T>(&mut self, block: &Block<'a>, kind: FrameKind<'a>, job: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        let frame = Frame { block: block.bindings.clone(), ..self.new_frame(kind, block.file) };
        self.within(frame, job)
    }

    /// Evaluates the step in one mode and builds its entry.
    fn step_entry(&mut self, block: &Block<'a>, step: &'a ast::Step, mode: Mode, typical: i64) -> R<StepEntry> {
        let what = match mode {
            Mode::Train => "step",
            Mode::Grads => "grads",
            _ => "eval",
        };
        let entry =
            Entry { step: Some(StepState::default()), ..Entry::new(mode, &format!("{}.{what}", block.decl.name.text)) };
        let (result, mut entry) = self.with_entry(entry, |cx| {
            cx.within_block(block, FrameKind::Step, |cx| {
                let site = CallSite { span: step.span, callee: step.span, name: "step".to_string() };
                let columns = cx.entry_args(&step.params, &site)?;
                cx.block(&step.body)?;
                let plan = cx.metric_plan(step.span)?;
                Ok((columns, plan))
            })
        });
        let (columns, plan) = result?;
        let state = entry.step.take().unwrap_or_default();
        let mut results: Vec<(Output, mlc_ir::graph::Value)> =
            plan.sources.iter().enumerate().map(|(at, value)| (Output::Result(format!("sum{at}")), *value)).collect();
        results.extend(state.grads.into_iter().map(|(path, value)| (Output::Result(path), value)));
        results.extend(state.new.into_iter().map(|(global, value)| (Output::Global(global), value)));
        let entry = self.add_entry(entry, results, typical);
        Ok(StepEntry { entry, columns, plan, trained: state.trained })
    }

    /// `minimize LOSS over PARTS with OPT`
    pub fn minimize(&mut self, loss: &'a ast::Expr, over: &'a ast::Expr, with: &'a ast::Expr, span: Span) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Step) {
            let error = Diagnostic::error(Code::E0121, span, "`minimize` belongs in the `step` of a train block");
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
            return Ok(());
        }
        let gradients = self.gradients(&loss_value, &parts, loss, over, span)?;
        if self.entry.mode == Mode::Grads {
            return self.keep_gradients(&gradients);
        }
        let binding = match &with.kind {
            ExprKind::Name(text) => text.to_string(),
            _ => optimizer.decl.name.text.to_string(),
        };
        self.update_all(&optimizer, &binding, &gradients, span)
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

    fn as_optimizer(&mut self, value: Value<'a>, with: &'a ast::Expr) -> R<Rc<crate::value::OptimizerValue<'a>>> {
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
        if found.is_empty() {
            let error = Diagnostic::error(Code::E0122, over.span, "there are no parameters in `over`")
                .help("name the network: `minimize loss over net with opt`");
            return Err(self.tell(error));
        }
        Ok(found)
    }

    fn collect_parts(&mut self, value: &Value<'a>, over: &'a ast::Expr, into: &mut Vec<ParamKey>) -> R<()> {
        match value {
            Value::Instance(_) => {
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
                        self.fail(Code::E0122, over.span, "this is a computed tensor, and only parameters are updated")
                    }
                }
            }
            Value::Poison => Err(self.report.silent()),
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
            let touched =
                parts.iter().any(|(id, name)| *id == key.0 && self.entry.tensors.contains_key(&(*id, name.clone())));
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
                error = error.help(format!(
                    "take `{owner}` out of `over`, or let the loss depend on it in a differentiable way"
                ));
            }
            None => {
                error = error
                    .label(format!("`{path}` is not used by the loss"))
                    .also(loss.span, "this loss does not use it")
                    .help(format!("use `{owner}` in the step, or take it out of `over`"));
            }
        }
        self.tell(error)
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
        let layer = self.instance(key.0).layer;
        match crate::instances::tensor_of(layer, &key.1) {
            Some(decl) => self.global_of(key.0, decl, &Type::new(like.dtype, shape_of(&like.axes))),
            None => mlc_ir::internal_error("resolver", "a param that is not declared"),
        }
    }

    /// `metric NAME = expr`
    pub fn metric(&mut self, name: &'a ast::Name, value: &'a ast::Expr) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Step) {
            let error = Diagnostic::error(Code::E0121, name.span, "`metric` belongs in the `step` of a train block");
            return Err(self.tell(error));
        }
        let found = self.expr(value)?;
        let tensor = self.tensor(found, value.span)?;
        if !tensor.axes.is_empty() || tensor.dtype == DType::Bool {
            let shown = self.show(&tensor);
            let error =
                Diagnostic::error(Code::E0201, value.span, format!("a metric is a number, and this is {shown}"))
                    .help("take the mean: `mean(…)`");
            return Err(self.tell(error));
        }
        let earlier =
            self.entry.step.as_ref().and_then(|step| step.metrics.iter().find(|(other, _)| other.text == name.text));
        if let Some((first, _)) = earlier {
            let error = scope::twice(name, first.span);
            return Err(self.tell(error));
        }
        if let Some(step) = &mut self.entry.step {
            step.metrics.push((name.clone(), Value::Tensor(tensor)));
        }
        Ok(())
    }

    /// The update count of a parameter whose updates are unconditional: the step's number plus 1, i32.
    pub fn update_count(&mut self, span: Span) -> R<Tensor> {
        let value = self.entry.input(Input::Step, Type::scalar(DType::I64));
        let wide = Tensor { value, dtype: DType::I64, axes: Vec::new() };
        let step = self.cast(&wide, DType::I32, span)?;
        let place = crate::arith::Operation { symbol: "+", span, left: span, right: span };
        let next = self.binary_values(mlc_ir::scalar::BinaryOp::Add, Value::Tensor(step), Value::int(1), place)?;
        self.tensor(next, span)
    }
}

/// Numbers of a train block.
struct Settings {
    seed: Option<i64>,
    epochs: Option<i64>,
    steps: Option<i64>,
}

/// An entry made of the step.
struct StepEntry {
    entry: usize,
    columns: Vec<(String, Type)>,
    plan: crate::metrics::Plan,
    trained: Vec<GlobalId>,
}

fn collect_loose<'a>(cx: &Cx<'a>, value: &Value<'a>, name: &str, into: &mut Vec<(InstanceId, String)>) {
    match value {
        Value::Instance(id) if cx.instance(*id).place == Place::Loose && !into.iter().any(|(other, _)| other == id) => {
            into.push((*id, name.to_string()));
        }
        Value::List(parts) | Value::Tuple(parts) => {
            for (at, part) in parts.iter().enumerate() {
                collect_loose(cx, part, &format!("{name}.{at}"), into);
            }
        }
        _ => {}
    }
}

/// The pipelines bound in a block, in source order.
fn pipelines_of(block: &Block<'_>) -> Vec<(String, program::Pipeline)> {
    let names = block.decl.members.iter().flat_map(|member| match member {
        ast::Member::Bind(bind) => bind.names.as_slice(),
        _ => &[],
    });
    let pipeline = |name: &ast::Name| match block.bindings.values.get(&name.text) {
        Some(Value::Pipeline(pipeline)) => Some((name.text.to_string(), (**pipeline).clone())),
        _ => None,
    };
    names.filter_map(pipeline).collect()
}
