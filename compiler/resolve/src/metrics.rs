//! Metrics over a whole set (rule 26): each reduction to a scalar that depends on the columns is
//! accumulated over the batches; the scalar arithmetic around it is done once, in f64, by `finish`.
//!
//! A scalar that is no such reduction (a penalty on the weights, an element of a tensor) counts as
//! its mean over the batches.

use crate::cx::Cx;
use crate::entry::{Entry, Mode};
use crate::program::{Evaluation, Tally};
use crate::train::StepEntry;
use crate::value::{R, Tensor, Value};
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Def, Input, Node, Output, Region, Value as IrValue};
use mlc_ir::index::Combine;
use mlc_ir::ops::Op;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::constant::Constant;
use mlc_ir::ops::reduce::ReduceKind;
use mlc_ir::ops::select::Select;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::{BTreeMap, BTreeSet};

/// How the metrics come from accumulated values.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `loss` first.
    pub names: Vec<String>,
    /// Values of the step that are accumulated.
    pub sources: Vec<IrValue>,
    /// How.
    pub combines: Vec<Combine>,
    /// From accumulated f64 scalars to metrics.
    pub finish: Region,
}

impl Plan {
    /// Whether both put the same numbers together in the same way.
    pub fn agrees_with(&self, other: &Plan) -> bool {
        let nodes =
            |plan: &Plan| plan.finish.nodes.iter().map(|node| (node.op.clone(), node.args.clone())).collect::<Vec<_>>();
        self.names == other.names
            && self.combines == other.combines
            && self.finish.results == other.finish.results
            && nodes(self) == nodes(other)
    }
}

/// What a line of results holds beside metrics.
const FIELDS: [&str; 7] = ["epoch", "epochs", "step", "steps", "rows", "seconds", "valid"];

impl<'a> Cx<'a> {
    /// Refuses a reported value that is called as a part of every line of results.
    pub fn refuse_field_of_result(&mut self, name: &ast::Name) -> R<()> {
        if !FIELDS.contains(&&*name.text) {
            return Ok(());
        }
        let title = format!("`{}` stands in every line of results", name.text);
        let error = Diagnostic::error(Code::E0102, name.span, title)
            .note(format!("these names are taken: {}", FIELDS.join(", ")))
            .help("give this value another name");
        Err(self.tell(error))
    }

    /// The plan for the losses and metrics of the step that has just been evaluated.
    pub fn metric_plan(&mut self, span: Span) -> R<Plan> {
        let Some(step) = &self.entry.step else { mlc_ir::internal_error("resolver", "a step without a state") };
        let losses = step.losses.clone();
        let metrics: Vec<(String, IrValue)> = step
            .metrics
            .iter()
            .filter_map(|(name, value)| match value {
                Value::Tensor(tensor) => Some((name.text.to_string(), tensor.value)),
                _ => None,
            })
            .collect();
        let mut named: Vec<(String, IrValue)> = Vec::new();
        if let Some(total) = self.total_loss(&losses, span)? {
            named.push(("loss".to_string(), total.value));
        }
        let own = losses.iter().filter(|(name, _)| name != "loss").map(|(name, loss)| (name.clone(), loss.value));
        for (name, value) in own.chain(metrics) {
            if !named.iter().any(|(other, _)| *other == name) {
                named.push((name, value));
            }
        }
        self.plan(named)
    }

    /// The sum over different losses.
    fn total_loss(&mut self, losses: &[(String, Tensor)], span: Span) -> R<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        let mut seen: Vec<IrValue> = Vec::new();
        for (_, loss) in losses {
            if seen.contains(&loss.value) {
                continue;
            }
            seen.push(loss.value);
            total = Some(match total {
                Some(total) => {
                    let place = crate::arith::Operation { symbol: "+", span, left: span, right: span };
                    let sum =
                        self.binary_values(BinaryOp::Add, Value::Tensor(total), Value::Tensor(loss.clone()), place)?;
                    self.tensor(sum, span)?
                }
                None => loss.clone(),
            });
        }
        Ok(total)
    }

    fn plan(&mut self, named: Vec<(String, IrValue)>) -> R<Plan> {
        let depends = self.column_dependence();
        let mut planner = Planner {
            step: &mut self.entry.builder,
            finish: Builder::new("finish"),
            depends,
            made: BTreeMap::new(),
            keys: Vec::new(),
            sources: Vec::new(),
            combines: Vec::new(),
            params: Vec::new(),
        };
        let mut results = Vec::new();
        for (_, value) in &named {
            let value = planner.value(*value);
            results.push(planner.as_f64(value));
        }
        let Planner { finish, sources, combines, .. } = planner;
        let names = named.into_iter().map(|(name, _)| name).collect();
        Ok(Plan { names, sources, combines, finish: finish.finish(results) })
    }

    /// For each value of the step: whether it depends on the columns or on their number of rows.
    fn column_dependence(&self) -> Vec<bool> {
        let region = self.entry.builder.region();
        let mut depends = vec![false; region.values.len()];
        for (param, input) in region.params.iter().zip(&self.entry.inputs) {
            depends[param.index()] = matches!(input, Input::Arg(_));
        }
        let states = self.entry.states.keys().filter_map(|key| self.entry.tensors.get(key)).map(|tensor| tensor.value);
        let updated: BTreeSet<IrValue> =
            self.entry.step.iter().flat_map(|step| &step.new).map(|(_, value)| *value).chain(states).collect();
        for node in &region.nodes {
            let any =
                node.args.iter().any(|arg| depends[arg.index()]) || mentions_symbols(node) || has_rows(region, node);
            for result in &node.results {
                // A new weight or state comes from the columns, and still is a weight or state.
                depends[result.index()] = any && !updated.contains(result);
            }
        }
        depends
    }

    /// How the reports of a step are put together; makes the entry for it.
    pub fn tally(&mut self, train: &str, plan: &Plan) -> Tally {
        Tally { accumulands: plan.combines.clone(), finish: self.finish_entry(train, plan) }
    }

    /// A step that reports as `plan` says, beside a training whose plan is `trained`. It may put its reports
    /// together in another way: without dropout two losses may be one. It reports the same names.
    pub fn evaluation(
        &mut self,
        train: &str,
        step: StepEntry,
        trained: &Plan,
        tally: &Tally,
        span: Span,
    ) -> R<Evaluation> {
        let StepEntry { entry, plan, .. } = step;
        if plan.names != trained.names {
            let error = Diagnostic::error(Code::E0203, span, "training and evaluation report different things")
                .note(format!("training reports {}, an evaluation {}", named(trained), named(&plan)))
                .help("a condition on `training` may choose what a metric is, not whether there is one");
            return Err(self.tell(error));
        }
        let tally = if plan.agrees_with(trained) { tally.clone() } else { self.tally(train, &plan) };
        Ok(Evaluation { entry, tally })
    }

    /// The entry of a step whose reports are added to those of the step with updates.
    pub fn same_reports(&mut self, step: StepEntry, trained: &Plan, span: Span) -> R<usize> {
        if step.plan.agrees_with(trained) {
            return Ok(step.entry);
        }
        let title = "the batches of an accumulated step do not report alike";
        let error = Diagnostic::error(Code::E0203, span, title)
            .note("only the last batch of a step updates weights, and its losses and metrics are put together with the others'")
            .help("compute what is reported above `minimize`");
        Err(self.tell(error))
    }

    /// The entry that turns accumulated values into metrics.
    fn finish_entry(&mut self, train: &str, plan: &Plan) -> usize {
        let mut entry = Entry::new(Mode::Static, &format!("{train}.finish"));
        entry.inputs = (0..plan.sources.len()).map(|at| Input::Arg(format!("sum{at}"))).collect();
        let mut region = plan.finish.clone();
        region.name.clone_from(&entry.name);
        let outputs = plan.names.iter().map(|name| Output::Result(name.clone())).collect();
        let region = self.graph.add_region(region);
        let (name, inputs) = (entry.name, entry.inputs);
        self.graph.entries.push(mlc_ir::graph::Entry {
            name,
            region,
            inputs,
            outputs,
            checks: Vec::new(),
            typical: Vec::new(),
        });
        self.graph.entries.len() - 1
    }
}

/// The names of what a plan reports, in a row.
fn named(plan: &Plan) -> String {
    plan.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Whether a node makes an element for each row of the batch, be it of the columns or drawn.
fn has_rows(region: &Region, node: &Node) -> bool {
    node.results.iter().any(|value| region.ty(*value).shape.iter().any(|size| size.as_const().is_none()))
}

fn mentions_symbols(node: &Node) -> bool {
    match &node.op {
        Op::SizeOf(op) => op.size.as_const().is_none(),
        _ => false,
    }
}

/// Splits the scalars of a step into what is accumulated and what is computed at the end.
struct Planner<'b> {
    step: &'b mut Builder,
    finish: Builder,
    depends: Vec<bool>,
    made: BTreeMap<IrValue, IrValue>,
    /// What is accumulated, as the step has it, and as it is given out.
    keys: Vec<IrValue>,
    sources: Vec<IrValue>,
    combines: Vec<Combine>,
    params: Vec<IrValue>,
}

impl Planner<'_> {
    /// What stands in `finish` for a scalar of the step: f64 for numbers, bool for bool.
    fn value(&mut self, value: IrValue) -> IrValue {
        if let Some(made) = self.made.get(&value) {
            return *made;
        }
        let made = self.make(value);
        self.made.insert(value, made);
        made
    }

    fn make(&mut self, value: IrValue) -> IrValue {
        let Def::Node(id, _) = self.step.region().values[value.index()].def else {
            return self.mean_over_batches(value);
        };
        let node = self.step.region().nodes[id.index()].clone();
        let scalar_args = node.args.iter().all(|arg| self.step.ty(*arg).rank() == 0);
        match &node.op {
            Op::Constant(op) => self.constant(op.value),
            Op::SizeOf(_) => self.accumulated(value, Combine::Sum),
            Op::Reduce(op) if self.depends[value.index()] && self.over_rows(&node) => self.reduced(value, op.kind),
            Op::Contract(_) if self.depends[value.index()] && self.over_rows(&node) => {
                self.accumulated(value, Combine::Sum)
            }
            _ if !scalar_args || !self.depends[value.index()] => self.mean_over_batches(value),
            Op::Unary(op) => {
                let x = self.value(node.args[0]);
                self.finish.unary(op.op, x)
            }
            Op::Binary(op) => self.binary(op.op, &node),
            Op::Compare(op) => {
                let (a, b) = (self.value(node.args[0]), self.value(node.args[1]));
                let (a, b) = (self.as_f64(a), self.as_f64(b));
                self.finish.compare(op.op, a, b)
            }
            Op::Select(_) => {
                let args: Vec<IrValue> = node.args.iter().map(|arg| self.value(*arg)).collect();
                self.finish.add1(Select, &args)
            }
            Op::StopGradient(_) | Op::Broadcast(_) | Op::Reshape(_) => self.value(node.args[0]),
            Op::Cast(op) => self.cast(op.dtype, node.args[0]),
            _ => self.mean_over_batches(value),
        }
    }

    /// Whether a reduction goes over the rows of the batch. One over other axes alone, of what was put together for
    /// each batch before, counts as its mean over the batches.
    fn over_rows(&self, node: &Node) -> bool {
        node.args.iter().any(|arg| self.step.ty(*arg).shape.iter().any(|size| size.as_const().is_none()))
    }

    fn constant(&mut self, value: Literal) -> IrValue {
        let value = match value.dtype {
            DType::Bool => value,
            _ => Literal::from_f64(DType::F64, value.as_f64()),
        };
        self.finish.add1(Constant { value }, &[])
    }

    fn reduced(&mut self, value: IrValue, kind: ReduceKind) -> IrValue {
        match kind {
            ReduceKind::Sum => self.accumulated(value, Combine::Sum),
            ReduceKind::Prod => self.accumulated(value, Combine::Prod),
            ReduceKind::Max => self.accumulated(value, Combine::Max),
            ReduceKind::Min => self.accumulated(value, Combine::Min),
            ReduceKind::Any | ReduceKind::All => {
                let number = self.step.add1(Cast { dtype: DType::I32 }, &[value]);
                self.depends.resize(self.step.region().values.len(), true);
                let combine = if kind == ReduceKind::Any { Combine::Max } else { Combine::Min };
                let total = self.accumulated(number, combine);
                let zero = self.constant(Literal::zero(DType::F64));
                self.finish.compare(CompareOp::Ne, total, zero)
            }
        }
    }

    fn binary(&mut self, op: BinaryOp, node: &Node) -> IrValue {
        let (a, b) = (self.value(node.args[0]), self.value(node.args[1]));
        match op {
            BinaryOp::FloorDiv => {
                let quotient = self.finish.binary(BinaryOp::Div, a, b);
                self.finish.unary(UnaryOp::Floor, quotient)
            }
            op => self.finish.binary(op, a, b),
        }
    }

    /// Numbers are f64 throughout; a conversion of a float to an integer truncates.
    fn cast(&mut self, dtype: DType, arg: IrValue) -> IrValue {
        let from = self.step.ty(arg).dtype;
        let x = self.value(arg);
        match dtype {
            DType::Bool if from == DType::Bool => x,
            DType::Bool => {
                let zero = self.constant(Literal::zero(DType::F64));
                self.finish.compare(CompareOp::Ne, x, zero)
            }
            DType::I32 | DType::I64 | DType::U8 | DType::I8 if from.is_float() => {
                let whole = self.finish.add1(Cast { dtype: DType::I64 }, &[x]);
                self.finish.add1(Cast { dtype: DType::F64 }, &[whole])
            }
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::I8 => self.as_f64(x),
        }
    }

    fn as_f64(&mut self, value: IrValue) -> IrValue {
        match self.finish.ty(value).dtype {
            DType::F64 => value,
            _ => self.finish.add1(Cast { dtype: DType::F64 }, &[value]),
        }
    }

    /// A value of the step that is put together over batches.
    fn accumulated(&mut self, source: IrValue, combine: Combine) -> IrValue {
        let known = self.keys.iter().zip(&self.combines).position(|(other, how)| *other == source && *how == combine);
        if let Some(at) = known {
            return self.params[at];
        }
        let stored = match self.step.ty(source).dtype {
            DType::I64 | DType::U8 | DType::I8 => self.step.add1(Cast { dtype: DType::F64 }, &[source]),
            DType::F32 | DType::F64 | DType::I32 | DType::Bool => source,
        };
        self.depends.resize(self.step.region().values.len(), true);
        self.keys.push(source);
        self.sources.push(stored);
        self.combines.push(combine);
        let param = self.finish.param(Type::scalar(DType::F64));
        self.params.push(param);
        param
    }

    fn mean_over_batches(&mut self, value: IrValue) -> IrValue {
        let number = match self.step.ty(value).dtype {
            DType::Bool => self.step.add1(Cast { dtype: DType::F32 }, &[value]),
            _ => value,
        };
        let one = self.step.literal(Literal::from_f64(DType::F32, 1.0));
        self.depends.resize(self.step.region().values.len(), false);
        let (sum, count) = (self.accumulated(number, Combine::Sum), self.accumulated(one, Combine::Sum));
        let mean = self.finish.binary(BinaryOp::Div, sum, count);
        match self.step.ty(value).dtype {
            DType::Bool => {
                let half = self.constant(Literal::from_f64(DType::F64, 0.5));
                self.finish.compare(CompareOp::Ge, mean, half)
            }
            _ => mean,
        }
    }
}
