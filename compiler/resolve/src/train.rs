//! Training blocks: bindings, the `step` in its three forms (updates, gradients, evaluation), and
//! the statements `minimize` and `metric`.

use crate::calls::CallSite;
use crate::cx::{Cx, Frame, FrameKind};
use crate::entry::{Entry, Mode};
use crate::every::Around;
use crate::instances::{Place, Root};
use crate::program;
use crate::scope;
use crate::value::{Bindings, InstanceId, R, Tensor, Value};
use mlc_ir::graph::{GlobalId, Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A weight of an instance.
pub(crate) type ParamKey = (InstanceId, Arc<str>);

/// What a step has said so far.
#[derive(Clone, Debug, Default)]
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
            Ok(built) => self.every_blocks(Around { block, step, plan: &built.plan, pipelines: &pipelines, typical }),
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
    pub fn step_entry(&mut self, block: &Block<'a>, step: &'a ast::Step, mode: Mode, typical: i64) -> R<StepEntry> {
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
        if mode == Mode::Train {
            results.extend(entry.state_outputs());
        }
        results.extend(state.new.into_iter().map(|(global, value)| (Output::Global(global), value)));
        let entry = self.add_entry(entry, results, typical);
        Ok(StepEntry { entry, columns, plan, trained: state.trained })
    }

    /// `metric NAME = expr`
    pub fn metric(&mut self, name: &'a ast::Name, value: &'a ast::Expr) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Step) {
            let error = Diagnostic::error(Code::E0121, name.span, "`metric` belongs in the `step` of a train block");
            return Err(self.tell(error));
        }
        self.refuse_in_branch("a `metric`", name.span)?;
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
pub(crate) struct StepEntry {
    pub entry: usize,
    columns: Vec<(String, Type)>,
    pub plan: crate::metrics::Plan,
    trained: Vec<GlobalId>,
}

fn collect_loose<'a>(cx: &Cx<'a>, value: &Value<'a>, name: &str, into: &mut Vec<(InstanceId, String)>) {
    match value {
        Value::Instance(id) | Value::Stack(crate::stacks::Placed { id, .. })
            if cx.instance(*id).place == Place::Loose && !into.iter().any(|(other, _)| other == id) =>
        {
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
