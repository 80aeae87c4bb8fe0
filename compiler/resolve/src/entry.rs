//! The entry point under construction: its region, what its parameters and results stand for, and
//! the tests that run at each call. The only place that adds nodes for the resolver.

use crate::cx::Cx;
use crate::value::{InstanceId, R, Size, Tensor, shape_of};
use mlc_ir::builder::Builder;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{self, Fault, GlobalId, Input, Output, Region, Relation, SizeCheck, Value};
use mlc_ir::ops::{InferError, Op};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::{DType, Type};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A region may have so many nodes before it is refused.
pub(crate) const MOST_NODES: usize = 200_000;
/// No tensor may have more elements than this, as far as that is known when compiling.
const MOST_ELEMENTS: i64 = 1 << 40;

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No region: constants, constructor arguments, train bindings.
    Static,
    /// First values of weights and states.
    Init,
    /// An exported function.
    Export,
    /// The step, with updates.
    Train,
    /// The step, with gradients as results.
    Grads,
    /// The step of a batch before the last, where a step has several: gradients are summed up.
    Accumulate,
    /// The step without updates.
    Eval,
    /// Arguments of the actions of an `every` block.
    Every,
    /// A region of a test.
    Test,
}

impl Mode {
    /// What `training` is.
    pub fn training(self) -> bool {
        matches!(self, Mode::Train | Mode::Grads | Mode::Accumulate)
    }

    /// Whether the body of the `step` is being evaluated.
    pub fn is_step(self) -> bool {
        matches!(self, Mode::Train | Mode::Grads | Mode::Accumulate | Mode::Eval)
    }
}

/// A weight as a parameter of a test's region, and how it gets its value.
#[derive(Clone, Debug)]
pub(crate) struct TestParam {
    pub instance: InstanceId,
    pub name: Arc<str>,
    pub path: String,
    pub ty: Type,
    pub value: Value,
}

/// An entry under construction.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub mode: Mode,
    /// What `training` is; set by the mode, but for tests.
    pub training: bool,
    /// Whether something asked for `training`.
    pub asked_training: bool,
    pub name: String,
    pub builder: Builder,
    pub inputs: Vec<Input>,
    /// Current values of weights and states, read or updated here.
    pub tensors: BTreeMap<(InstanceId, Arc<str>), Tensor>,
    /// The states among `tensors`.
    pub states: BTreeMap<(InstanceId, Arc<str>), crate::states::Held>,
    /// Session sizes of instances, as this entry has them.
    pub session: BTreeMap<(InstanceId, Arc<str>), crate::sizes::Solved>,
    /// States whose types mention session sizes, with these.
    pub session_uses: Vec<crate::sessions::Use>,
    /// Weights of a test's region, in order of first use.
    pub test_params: Vec<TestParam>,
    /// The types that the arguments are declared with.
    pub arguments: BTreeMap<Arc<str>, Span>,
    pub checks: Vec<SizeCheck>,
    /// What is known about the sizes of the arguments.
    pub facts: crate::facts::Facts,
    pub faults: Vec<(Value, Fault)>,
    /// Members that are constant tensors, as this entry has made them.
    pub constants: BTreeMap<u32, Vec<crate::value::Value<'a>>>,
    /// Whether something needed a region where none is.
    pub wants_region: bool,
    /// Loops around what is being evaluated, outermost first.
    pub loops: Vec<crate::nest::Pass>,
    /// The run-time loops among them whose body is being evaluated.
    pub bodies: Vec<crate::nest::Body>,
    /// What the holes of open bodies and calls stand for, for gradients.
    pub holes: mlc_ir::autodiff::Holes,
    /// Gradients in the passes of the unrolled loops around.
    pub in_passes: Vec<crate::nest::InPasses>,
    /// Run-time integers whose range is known.
    pub indices: Vec<crate::nest::KnownIndex>,
    /// How many run-time `if`s are around what is being evaluated.
    pub conditional: u32,
    /// Lengths that the data decides.
    pub lengths: Vec<crate::lengths::Found>,
    /// What `f32` reads as: f64 in gradient checks and for f64 parameters in optimizers.
    pub real: DType,
    /// Inside of `cast(net, f64)`: what is stored and how it is seen.
    pub seen: Option<crate::views::Seen>,
    pub step: Option<crate::train::StepState<'a>>,
    /// Probabilities, and the function that made them, for warnings.
    pub probabilities: BTreeMap<Value, &'static str>,
}

impl<'a> Entry<'a> {
    /// Stands where no entry is under construction.
    pub fn idle() -> Entry<'a> {
        Entry::new(Mode::Static, "")
    }

    pub fn new(mode: Mode, name: &str) -> Entry<'a> {
        Entry {
            mode,
            training: mode.training(),
            asked_training: false,
            name: name.to_string(),
            builder: Builder::new(name),
            inputs: Vec::new(),
            tensors: BTreeMap::new(),
            states: BTreeMap::new(),
            session: BTreeMap::new(),
            session_uses: Vec::new(),
            test_params: Vec::new(),
            arguments: BTreeMap::new(),
            checks: Vec::new(),
            facts: crate::facts::Facts::default(),
            faults: Vec::new(),
            constants: BTreeMap::new(),
            wants_region: false,
            loops: Vec::new(),
            bodies: Vec::new(),
            holes: mlc_ir::autodiff::Holes::default(),
            in_passes: Vec::new(),
            indices: Vec::new(),
            conditional: 0,
            lengths: Vec::new(),
            real: DType::F32,
            seen: None,
            step: None,
            probabilities: BTreeMap::new(),
        }
    }

    /// The parameter for `input`, made if there is none.
    pub fn input(&mut self, input: Input, ty: Type) -> Value {
        if let Some(at) = self.inputs.iter().position(|other| *other == input) {
            return self.builder.region().params[at];
        }
        self.inputs.push(input);
        self.builder.param(ty)
    }

    /// The current value of a global.
    pub fn global(&mut self, id: GlobalId, ty: Type) -> Value {
        self.input(Input::Global(id), ty)
    }
}

/// Checks that no axis of what the user wrote is empty, for sizes that may be: `floor(T / 2)` at T = 1.
fn not_empty(region: &Region, names: &[Arc<str>]) -> Vec<SizeCheck> {
    let mut checks: Vec<SizeCheck> = Vec::new();
    for node in region.nodes.iter().filter(|node| node.made_by.is_empty()) {
        for size in node.results.iter().flat_map(|value| &region.ty(*value).shape) {
            let may_be_empty = size.as_const().is_none() && size.range().0 < 1;
            if may_be_empty && !checks.iter().any(|check| check.right == *size) {
                let text = format!("{} >= 1", size.display(names));
                let (left, right) = (Dim::one(), size.clone());
                checks.push(SizeCheck { left, relation: Relation::AtMost, right, span: node.span, text });
            }
        }
    }
    checks
}

impl<'a> Cx<'a> {
    /// Runs `job` with `entry` under construction and gives back both.
    pub fn with_entry<T>(&mut self, entry: Entry<'a>, job: impl FnOnce(&mut Cx<'a>) -> T) -> (T, Entry<'a>) {
        let before = std::mem::replace(&mut self.entry, entry);
        let result = job(self);
        let entry = std::mem::replace(&mut self.entry, before);
        (result, entry)
    }

    /// Ends an entry: adds it to the graph with its results, then faults.
    pub fn add_entry(&mut self, entry: Entry<'a>, results: Vec<(Output, Value)>, typical: i64) -> usize {
        let mut outputs = Vec::new();
        let mut values = Vec::new();
        let faults = entry.faults.into_iter().map(|(value, fault)| (Output::Fault(fault), value));
        for (output, value) in results.into_iter().chain(faults) {
            outputs.push(output);
            values.push(value);
        }
        let symbols = symbols_of(entry.builder.region());
        let typical = symbols.into_iter().map(|sym| (sym, typical)).collect();
        let region = self.graph.add_region(entry.builder.finish(values));
        let (name, inputs, mut checks) = (entry.name, entry.inputs, entry.checks);
        self.sessions.note(self.graph.entries.len(), entry.session_uses);
        checks.extend(not_empty(self.graph.region(region), &self.graph.symbols));
        self.graph.entries.push(graph::Entry { name, region, inputs, outputs, checks, typical });
        self.graph.entries.len() - 1
    }

    /// Adds a node with one result whose axes are known with their names.
    pub fn emit(&mut self, span: Span, op: impl Into<Op>, args: &[&Tensor], axes: Vec<Size>) -> R<Tensor> {
        let values: Vec<Value> = args.iter().map(|arg| arg.value).collect();
        let value = self.emit_values(span, op, &values)?[0];
        let ty = self.entry.builder.ty(value).clone();
        if ty.shape != shape_of(&axes) {
            let text = format!("a node of type {} with axes {}", self.show_type(&ty), self.show_axes(&axes));
            mlc_ir::internal_error("resolver", &text);
        }
        Ok(Tensor { value, dtype: ty.dtype, axes })
    }

    /// Adds a node. Operands that do not fit are the user's mistake.
    pub fn emit_values(&mut self, span: Span, op: impl Into<Op>, args: &[Value]) -> R<Vec<Value>> {
        let op = op.into();
        self.require_region(span)?;
        let types = match self.entry.builder.infer(&op, args) {
            Ok(types) => types,
            Err(InferError(text)) => return self.fail(Code::E0105, span, format!("shapes do not agree: {text}")),
        };
        for ty in &types {
            self.check_extent(span, &ty.shape)?;
        }
        if self.entry.builder.region().nodes.len() >= MOST_NODES {
            let title = format!("`{}` expands to more than {MOST_NODES} operations", self.entry.name);
            return self.fail(Code::E0003, span, title);
        }
        self.entry.builder.span = self.place(span);
        Ok(self.entry.builder.add(op, args).to_vec())
    }

    /// Refuses tensors where only static values are known.
    pub fn require_region(&mut self, span: Span) -> R<()> {
        if self.entry.mode != Mode::Static {
            return Ok(());
        }
        self.entry.wants_region = true;
        let error = Diagnostic::error(Code::E0110, span, "a tensor where only static values are known").help(
            "bindings of layers and train blocks hold layers, numbers, lists and functions; compute tensors in a `fn`",
        );
        Err(self.tell(error))
    }

    /// Refuses sizes below 1 and tensors too large to count.
    pub fn check_extent(&mut self, span: Span, shape: &[Dim]) -> R<()> {
        for dim in shape {
            if dim.range().1 < 1 || dim.as_const() == Some(0) {
                let error = Diagnostic::error(Code::E0114, span, format!("a size is {}", self.show_dim(dim)))
                    .help("every axis has at least one element");
                return Err(self.tell(error));
            }
        }
        let elements = Dim::product(shape);
        if elements.is_err() || elements.is_ok_and(|count| count.range().0 > i128::from(MOST_ELEMENTS)) {
            let sizes: Vec<String> = shape.iter().map(|dim| self.show_dim(dim)).collect();
            let error =
                Diagnostic::error(Code::E0114, span, format!("a tensor of shape [{}] is too large", sizes.join(", ")))
                    .note(format!("a tensor has at most {MOST_ELEMENTS} elements"));
            return Err(self.tell(error));
        }
        Ok(())
    }

    /// A scalar constant.
    pub fn literal(&mut self, span: Span, literal: Literal) -> R<Tensor> {
        self.emit(span, mlc_ir::ops::constant::Constant { value: literal }, &[], Vec::new())
    }

    /// Whether code is evaluated with `training` true.
    pub fn training(&mut self) -> bool {
        self.entry.asked_training = true;
        self.entry.training
    }
}

/// The size symbols in the types of a region's parameters, in order.
fn symbols_of(region: &Region) -> Vec<Sym> {
    let mut symbols = std::collections::BTreeSet::new();
    for param in &region.params {
        for dim in &region.ty(*param).shape {
            dim.each_symbol(&mut |sym| {
                symbols.insert(sym);
            });
        }
    }
    symbols.into_iter().collect()
}
