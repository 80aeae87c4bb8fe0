//! Training blocks: the `step` in its three forms (updates, gradients, evaluation), and the statements
//! `minimize` and `metric`.

use crate::blocks::Block;
use crate::calls::CallSite;
use crate::cx::{Cx, Frame, FrameKind};
use crate::entry::{Entry, Mode};
use crate::every::Around;
use crate::instances::Place;
use crate::program;
use crate::scope;
use crate::value::{InstanceId, R, Tensor, Value};
use mlc_ir::graph::{GlobalId, GlobalKind, Input, Output};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A weight of an instance.
pub(crate) type ParamKey = (InstanceId, Arc<str>);

/// What a step has said so far.
#[derive(Clone, Debug)]
pub(crate) struct StepState<'a> {
    /// Batches of one step.
    pub batches: i64,
    /// Losses with the names they are reported under, in order.
    pub losses: Vec<(String, Tensor)>,
    pub metrics: Vec<(ast::Name, Value<'a>)>,
    /// Where each parameter got its update.
    pub updated: BTreeMap<ParamKey, Span>,
    pub trained: Vec<GlobalId>,
    /// Parameters that `ema` moves.
    pub moved: Vec<GlobalId>,
    /// Gradients by path, for [`Mode::Grads`].
    pub grads: Vec<(String, mlc_ir::graph::Value)>,
    /// New values of weights and optimizer states.
    pub new: Vec<(GlobalId, mlc_ir::graph::Value)>,
}

impl StepState<'_> {
    fn new(batches: i64) -> Self {
        StepState {
            batches,
            losses: Vec::new(),
            metrics: Vec::new(),
            updated: BTreeMap::new(),
            trained: Vec::new(),
            moved: Vec::new(),
            grads: Vec::new(),
            new: Vec::new(),
        }
    }
}

impl<'a> Cx<'a> {
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
        let several = settings.as_ref().map_or(1, |settings| settings.accumulate);
        let step_entry = |cx: &mut Cx<'a>, mode| cx.step_entry(block, step, mode, typical, several);
        let trained_step = step_entry(self, Mode::Train);
        let accumulate_step = if several > 1 { Some(step_entry(self, Mode::Accumulate)) } else { None };
        let eval_step = step_entry(self, Mode::Eval);
        let grads_step = match &trained_step {
            Ok(built) if !built.trained.is_empty() => Some(step_entry(self, Mode::Grads)),
            _ => None,
        };
        let checked = self.check_columns(block, step, &pipelines);
        let every_and_tally = match &trained_step {
            Ok(StepEntry { plan, .. }) => {
                let tally = self.tally(&block.decl.name.text, plan);
                let around = Around { block, step, plan, tally: &tally, pipelines: &pipelines, typical };
                self.every_blocks(around).map(|every| (every, tally))
            }
            Err(reported) => Err(*reported),
        };
        let (trained_step, eval_step, settings) = (trained_step?, eval_step?, settings?);
        checked?;
        let (every, tally) = every_and_tally?;
        let eval = self.evaluation(&block.decl.name.text, eval_step, &trained_step.plan, &tally, step.span)?;
        let grads = match grads_step {
            Some(built) => Some(built?.entry),
            None => None,
        };
        let accumulate = match accumulate_step {
            Some(built) => Some(self.same_reports(built?, &trained_step.plan, step.span)?),
            None => None,
        };
        self.warn_of_untrained(block, &trained_step);
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
            batches: several,
            accumulate,
            tally,
            eval,
            grads,
            metrics: trained_step.plan.names.clone(),
            trained: trained_step.trained,
            loads: Vec::new(),
            every,
        })
    }

    fn only_step(&mut self, decl: &'a ast::Train) -> R<&'a ast::Step> {
        match decl.steps.as_slice() {
            [step] => Ok(step),
            // The step may be what could not be read.
            [] if decl.lost => Err(self.report.silent()),
            [] => {
                let written = decl.members.iter().find_map(|member| match member {
                    ast::Member::Fn(decl) if *decl.name.text == *"step" => Some(decl),
                    _ => None,
                });
                if let Some(written) = written {
                    let title = "the `step` of a train block is no `fn`";
                    let error = Diagnostic::error(Code::E0203, written.span, title).help(
                        "leave out `fn` and the result type: `step(image: f32[B, 28, 28, 1], label: i32[B]) { … }`",
                    );
                    return Err(self.tell(error));
                }
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
            accumulate: self.setting(block, "accumulate", 1)?.unwrap_or(1),
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
        let mut frame = Frame { block: block.bindings.clone(), ..self.new_frame(kind, block.file) };
        if let (Some(id), FrameKind::Step | FrameKind::Every) = (block.bindings.states, frame.kind) {
            (frame.instance, frame.session) = (Some(id), self.session_names(id, None));
        }
        self.within(frame, job)
    }

    /// Evaluates the step in one mode and builds its entry.
    pub fn step_entry(
        &mut self,
        block: &Block<'a>,
        step: &'a ast::Step,
        mode: Mode,
        typical: i64,
        batches: i64,
    ) -> R<StepEntry> {
        let what = match mode {
            Mode::Train => "step",
            Mode::Accumulate => "accumulate",
            Mode::Grads => "grads",
            _ => "eval",
        };
        let name = format!("{}.{what}", block.decl.name.text);
        let entry = Entry { step: Some(StepState::new(batches)), ..Entry::new(mode, &name) };
        let (result, mut entry) = self.with_entry(entry, |cx| {
            cx.within_block(block, FrameKind::Step, |cx| {
                if mode == Mode::Eval {
                    // An evaluation draws from a stream of its own.
                    cx.frame().path = "evaluate".to_string();
                }
                let site = CallSite { span: step.span, callee: step.span, name: "step".to_string() };
                cx.with_facts(|cx| {
                    let columns = cx.entry_args(&step.params, &site)?;
                    cx.block(&step.body)?;
                    let plan = cx.metric_plan(step.span)?;
                    Ok((columns, plan))
                })
            })
        });
        let (columns, plan) = result?;
        let state = entry.step.take().unwrap_or(StepState::new(batches));
        let mut results: Vec<(Output, mlc_ir::graph::Value)> = Vec::new();
        if mode != Mode::Grads {
            let sums = plan.sources.iter().enumerate();
            results.extend(sums.map(|(at, value)| (Output::Result(format!("sum{at}")), *value)));
        }
        results.extend(state.grads.into_iter().map(|(path, value)| (Output::Result(path), value)));
        if matches!(mode, Mode::Train | Mode::Accumulate) {
            results.extend(entry.state_outputs());
        }
        results.extend(state.new.into_iter().map(|(global, value)| (Output::Global(global), value)));
        let read: Vec<(ParamKey, GlobalId)> =
            entry.tensors.keys().filter_map(|key| Some((key.clone(), *self.globals.get(key)?))).collect();
        let entry = self.add_entry(entry, results, typical);
        let used = self.used_globals(entry);
        let read = read.into_iter().filter(|(_, global)| used.contains(global)).collect();
        Ok(StepEntry { entry, columns, plan, trained: state.trained, read, moved: state.moved })
    }

    /// The weights and states that a result of an entry depends on.
    fn used_globals(&self, entry: usize) -> BTreeSet<GlobalId> {
        let entry = &self.graph.entries[entry];
        let region = self.graph.region(entry.region);
        let needed = mlc_ir::rewrite::needed_params(region, &region.results);
        let globals = entry.inputs.iter().zip(needed).filter_map(|(input, needed)| match input {
            Input::Global(id) if needed => Some(*id),
            _ => None,
        });
        globals.collect()
    }

    /// W0004: a layer is used, and none of its parameters is ever updated.
    fn warn_of_untrained(&mut self, block: &Block<'a>, step: &StepEntry) {
        if step.trained.is_empty() {
            return;
        }
        let loaded: Vec<InstanceId> = block.loads.iter().map(|load| load.instance).collect();
        let is_param = |global: &GlobalId| self.graph.globals[global.index()].kind == GlobalKind::Param;
        let updated = |global: &GlobalId| step.trained.contains(global) || step.moved.contains(global);
        let fixed =
            |id: InstanceId| self.instance(id).origin.is_some() || self.ancestors(id).any(|a| loaded.contains(&a));
        let params: Vec<&(ParamKey, GlobalId)> = step.read.iter().filter(|(_, global)| is_param(global)).collect();
        let trains = |id: InstanceId| {
            params.iter().any(|((other, _), global)| updated(global) && self.ancestors(*other).any(|a| a == id))
        };
        let untrained = params.iter().map(|((id, _), _)| *id).filter(|id| !trains(*id) && !fixed(*id));
        let untrained: Vec<InstanceId> = untrained.collect();
        let mut told: Vec<InstanceId> = Vec::new();
        for id in untrained {
            // The outermost instance of which nothing is trained.
            let outermost = self.ancestors(id).filter(|ancestor| !trains(*ancestor)).last().unwrap_or(id);
            if !told.contains(&outermost) {
                told.push(outermost);
            }
        }
        for id in told {
            let path = self.tensor_path(id, "").1;
            let root = self.ancestors(id).last().map_or(String::new(), |root| self.instance_name(root));
            let name = if path.is_empty() { root } else { format!("{root}.{}", path.trim_end_matches('.')) };
            let title = format!("`{name}` is used, and no `minimize` reaches its parameters");
            let span = self.instance(id).made;
            let warning = Diagnostic::warning(Code::W0004, span, title)
                .label("it keeps its first, random weights")
                .help("name it in `over`, or load trained weights: `net = load(Net(), \"pretrained.safetensors\")`");
            self.tell(warning);
        }
    }

    /// An instance and those it belongs to, from the inside out.
    fn ancestors(&self, id: InstanceId) -> impl Iterator<Item = InstanceId> + '_ {
        std::iter::successors(Some(id), |id| match self.instance(*id).place {
            Place::In(owner, _) => Some(owner),
            Place::Root(_) | Place::Loose => None,
        })
    }

    /// `metric NAME = expr`
    pub fn metric(&mut self, name: &'a ast::Name, value: &'a ast::Expr) -> R<()> {
        if !matches!(self.top().kind, FrameKind::Step) {
            return Err(self.misplaced_metric(name.span));
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
        let is_loss = |step: &StepState<'a>| step.losses.iter().any(|(loss, _)| *loss == *name.text);
        if &*name.text == "loss" || self.entry.step.as_ref().is_some_and(is_loss) {
            let error = Diagnostic::error(Code::E0102, name.span, format!("`{}` is reported already", name.text))
                .note("`minimize` reports its loss, and the sum of all losses is called `loss`")
                .help("take the line out, or give the metric another name");
            return Err(self.tell(error));
        }
        self.refuse_field_of_result(name)?;
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
        let wide = self.step_number();
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
    accumulate: i64,
}

/// An entry made of the step.
pub(crate) struct StepEntry {
    pub entry: usize,
    columns: Vec<(String, Type)>,
    pub plan: crate::metrics::Plan,
    trained: Vec<GlobalId>,
    /// Parameters that something depends on.
    read: Vec<(ParamKey, GlobalId)>,
    /// Parameters that something but `minimize` changes.
    moved: Vec<GlobalId>,
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
