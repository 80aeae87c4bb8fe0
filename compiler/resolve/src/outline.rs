//! Code that becomes a call in the graph: `@checkpoint`, and functions with a gradient of their own
//! (`grad f`, rule 29).

use crate::Recompute;
use crate::calls::{ArgIn, ArgValue, CallSite, Given};
use crate::cx::{Cx, FrameKind};
use crate::entry::Mode;
use crate::nest::KnownIndex;
use crate::report::Reported;
use crate::scope::Item;
use crate::stmts::Returned;
use crate::train::ParamKey;
use crate::value::{Owner, R, Tensor, Value};
use mlc_ir::graph::{Def, Graph, Region, RegionId, Value as IrValue};
use mlc_ir::nested::{CallCut, computed_with, cut_call, free_of, is_closed, made_of};
use mlc_ir::region_ops::Remat;
use mlc_ir::second_region::{Cut, Given as OwnGradient, second_region};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Where code that becomes a call began.
pub(crate) struct Began {
    mark: usize,
    faults: usize,
    tensors: BTreeMap<ParamKey, Tensor>,
}

/// Who gives the gradient of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gradient<'a> {
    /// `grad f(…) { … }`
    Declared(&'a ast::Grad),
    /// The function behind `grad` of an `extern fn`.
    Function(&'a ast::Name),
}

impl Gradient<'_> {
    /// Its name, where it is declared or mentioned.
    fn name(&self) -> &ast::Name {
        match self {
            Gradient::Declared(grad) => &grad.name,
            Gradient::Function(name) => name,
        }
    }

    /// As messages name it.
    fn shown(&self) -> String {
        match self {
            Gradient::Declared(grad) => format!("grad {}", grad.name.text),
            Gradient::Function(name) => name.text.to_string(),
        }
    }
}

impl<'a> Cx<'a> {
    /// Whether gradients are taken here: elsewhere a checkpoint makes no difference.
    pub fn takes_gradients(&self) -> bool {
        matches!(self.entry.mode, Mode::Train | Mode::Accumulate | Mode::Grads | Mode::Test)
    }

    /// Whether the passes of a run-time loop are computed again behind, though the program does not say so.
    pub fn recomputes_passes(&self) -> bool {
        matches!(self.recompute, Recompute::Passes | Recompute::Both) && self.takes_gradients()
    }

    /// Whether of a run-time loop only what segments of it begin with is kept, though the program does not say so.
    /// Gradients by values in bodies go through single passes.
    pub fn keeps_segments(&self) -> bool {
        let segments = matches!(self.recompute, Recompute::Segments | Recompute::Both);
        segments && self.takes_gradients() && !self.files.asks_gradients
    }

    pub fn begin_call(&self) -> Began {
        Began { mark: self.entry.builder.mark(), faults: self.entry.faults.len(), tensors: self.entry.tensors.clone() }
    }

    /// Makes a recomputing call of what was evaluated since; gives the value as the call gives it.
    pub fn checkpointed(&mut self, began: &Began, value: Value<'a>, name: &str, span: Span) -> Value<'a> {
        let mut results = Vec::new();
        tensors_in(&value, &mut results);
        let cut = CallCut {
            name: name.to_string(),
            mark: began.mark,
            remat: Remat::Recompute,
            operands: Vec::new(),
            given: Vec::new(),
            apart: self.files.asks_gradients,
            results: results.iter().map(|tensor| tensor.value).collect(),
        };
        let given = self.cut(cut, began, span, |_, _, _, _| None);
        with_tensors(&value, &mut given.into_iter())
    }

    /// Cuts a call out; weights, states and faults that were changed since become what it gives.
    fn cut(
        &mut self,
        mut cut: CallCut,
        began: &Began,
        span: Span,
        gradient: impl FnOnce(&mut Graph, &Region, &CallCut, &[IrValue]) -> Option<RegionId>,
    ) -> Vec<IrValue> {
        let own = cut.results.len();
        let region = self.entry.builder.region();
        let new = |value: IrValue| match region.values[value.index()].def {
            Def::Node(id, _) => id.index() >= began.mark,
            Def::Param(_) | Def::Hole => false,
        };
        let changed: Vec<ParamKey> = self
            .entry
            .tensors
            .iter()
            .filter(|(key, tensor)| {
                new(tensor.value) && began.tensors.get(*key).is_none_or(|old| old.value != tensor.value)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let faults: Vec<usize> =
            (began.faults..self.entry.faults.len()).filter(|at| new(self.entry.faults[*at].0)).collect();
        cut.results.extend(changed.iter().map(|key| self.entry.tensors[key].value));
        cut.results.extend(faults.iter().map(|at| self.entry.faults[*at].0));
        // A body without nodes of its own is a call all the same if it has a gradient of its own.
        if cut.operands.is_empty() && !cut.results.iter().any(|value| new(*value)) {
            cut.results.truncate(own);
            return cut.results;
        }
        self.entry.builder.span = self.place(span);
        let changes = if self.lacks_any(&cut) { cut.results.split_off(own) } else { Vec::new() };
        let changes = self.cut_apart(&cut, changes);
        let mut given = cut_call(&mut self.graph, &mut self.entry.builder, &cut, gradient);
        given.extend(changes);
        for (at, value) in faults.iter().rev().zip(given.iter().rev()) {
            self.entry.faults[*at].0 = *value;
        }
        for (key, value) in changed.iter().zip(&given[own..]) {
            if let Some(tensor) = self.entry.tensors.get_mut(key) {
                tensor.value = *value;
            }
        }
        given.truncate(own);
        given
    }

    /// A block of an unrolled loop that is computed again for the gradient.
    pub fn checkpointed_block(&mut self, block: &'a ast::Block) -> R<Returned<'a>> {
        if !self.takes_gradients() {
            return self.block(block);
        }
        let began = self.begin_call();
        let returned = self.block(block)?;
        let names: Vec<_> = crate::assigned::assigned_in(block)
            .into_iter()
            .filter_map(|assigned| self.top().locals.get(&assigned.name).map(|value| (assigned.name, value.clone())))
            .collect();
        let values = Value::Tuple(Rc::new(names.iter().map(|(_, value)| value.clone()).collect()));
        if let Value::Tuple(values) = self.checkpointed(&began, values, "pass", block.span) {
            for ((name, _), value) in names.iter().zip(values.iter()) {
                self.set_local(name, value.clone());
            }
        }
        Ok(returned)
    }

    /// The `grad` that a file declares for a function.
    pub fn own_gradient(&self, decl: &ast::Fn, file: FileId) -> Option<&'a ast::Grad> {
        self.files.gradient(file, &decl.name.text)
    }

    /// The body of a function that has a gradient of its own; its parameters are bound.
    pub fn body_with_gradient(&mut self, decl: &'a ast::Fn, grad: Gradient<'a>, site: &CallSite) -> R<Value<'a>> {
        let (mut operands, mut given) = (Vec::new(), Vec::new());
        for param in &decl.params {
            if self.is_static(&param.ty)? {
                continue;
            }
            let Some(value) = self.top().locals.get(&param.name.text).cloned() else { continue };
            let tensor = self.tensor(value, param.span)?;
            let hole = self.hole(tensor.dtype, tensor.axes.clone());
            self.know_like(&hole, &tensor);
            self.set_local(&param.name.text, Value::Tensor(hole.clone()));
            operands.push(hole.value);
            given.push(tensor.value);
        }
        let began = self.begin_call();
        let arguments: Vec<Value<'a>> =
            decl.params.iter().filter_map(|param| self.top().locals.get(&param.name.text).cloned()).collect();
        let value = self.plain_body(decl, site)?;
        let mut results = Vec::new();
        let value = self.all_tensors(value, decl.span)?;
        tensors_in(&value, &mut results);
        let mut cut = CallCut {
            name: decl.name.text.to_string(),
            mark: began.mark,
            remat: Remat::Keep,
            operands,
            given,
            apart: false,
            results: results.iter().map(|tensor| tensor.value).collect(),
        };
        let own = self.evaluate_gradient(decl, grad, arguments, &results, &cut, &began)?;
        self.require_closed(&cut, &own, grad)?;
        let weights = self.weights_with_gradient(&cut, &own);
        cut.operands.extend(&weights);
        cut.given.extend(&weights);
        let name = format!("{}_grad", decl.name.text);
        let given = self.cut(cut, &began, decl.name.span, |graph, flat, cut, args| {
            let cut = Cut { name: &name, args, results: &cut.results, weights: &weights };
            Some(second_region(graph, flat, cut, &own).0)
        });
        Ok(with_tensors(&value, &mut given.into_iter()))
    }

    /// The weights of layers that a function was given, as far as a gradient leads from its results to them: they get
    /// their own, beside the gradients that the program gives for the arguments.
    pub fn weights_with_gradient(&mut self, cut: &CallCut, own: &OwnGradient) -> Vec<IrValue> {
        let flat = self.entry.builder.region();
        let weights = floats_of(flat, &free_of(flat, cut));
        let args: Vec<IrValue> = cut.operands.iter().chain(&weights).copied().collect();
        let others: Vec<IrValue> = free_of(flat, cut).into_iter().filter(|value| !weights.contains(value)).collect();
        let args = [args, others].concat();
        let trial = Cut { name: "trial", args: &args, results: &cut.results, weights: &weights };
        let regions = self.graph.regions.len();
        let (_, missing) = second_region(&mut self.graph, flat, trial, own);
        self.graph.regions.truncate(regions);
        weights.into_iter().zip(missing).filter(|(_, missing)| !missing).map(|(weight, _)| weight).collect()
    }

    /// What is known of the range of an integer is known of the hole that stands for it.
    fn know_like(&mut self, hole: &Tensor, like: &Tensor) {
        let known = self.entry.indices.iter().find(|index| index.value == like.value).cloned();
        self.entry.indices.extend(known.map(|index| KnownIndex { value: hole.value, ..index }));
    }

    fn all_tensors(&mut self, value: Value<'a>, span: Span) -> R<Value<'a>> {
        match value {
            Value::Tuple(parts) => {
                let parts: R<Vec<Value<'a>>> = parts.iter().map(|part| self.all_tensors(part.clone(), span)).collect();
                Ok(Value::Tuple(Rc::new(parts?)))
            }
            Value::Nothing => Ok(Value::Nothing),
            single => self.tensor(single, span).map(Value::Tensor),
        }
    }

    /// Evaluates `grad f` with holes for arguments, results and adjoints.
    fn evaluate_gradient(
        &mut self,
        decl: &'a ast::Fn,
        grad: Gradient<'a>,
        arguments: Vec<Value<'a>>,
        results: &[Tensor],
        cut: &CallCut,
        began: &Began,
    ) -> R<OwnGradient> {
        let mut own = OwnGradient::default();
        let mut given: Vec<Value<'a>> = Vec::new();
        let mut wanted = Vec::new();
        for (param, argument) in decl.params.iter().zip(arguments) {
            match argument {
                Value::Tensor(tensor) if !self.is_static(&param.ty)? => {
                    let hole = self.hole(tensor.dtype, tensor.axes.clone());
                    self.know_like(&hole, &tensor);
                    own.args.push(hole.value);
                    if tensor.dtype.is_float() {
                        wanted.push((param, tensor));
                    }
                    given.push(Value::Tensor(hole));
                }
                fixed => given.push(fixed),
            }
        }
        for result in results {
            let hole = self.hole(result.dtype, result.axes.clone());
            own.results.push(hole.value);
            given.push(Value::Tensor(hole));
        }
        for result in results.iter().filter(|result| result.dtype.is_float()) {
            let hole = self.hole(result.dtype, result.axes.clone());
            own.adjoints.push(hole.value);
            given.push(Value::Tensor(hole));
        }
        let told = self.entry.faults.len();
        let before = self.tensors_before(began);
        let after = std::mem::replace(&mut self.entry.tensors, before);
        let value = match grad {
            Gradient::Declared(item) => self.run_grad(decl, item, given, results)?,
            Gradient::Function(name) => self.call_gradient(decl, name, given, results)?,
        };
        // What a layer called there makes of its states is no part of the gradient.
        self.entry.tensors.extend(after);
        own.gives = self.given_adjoints(decl, grad, value, &wanted)?;
        self.take_gradient_faults(told, &own, cut, grad)?;
        Ok(own)
    }

    /// Weights and states as they were when a call began.
    fn tensors_before(&self, began: &Began) -> BTreeMap<ParamKey, Tensor> {
        let mut tensors = self.entry.tensors.clone();
        tensors.retain(|key, _| began.tensors.contains_key(key) || !self.entry.states.contains_key(key));
        let first = |key: &ParamKey| {
            let like = self.entry.tensors.get(key)?;
            self.entry.states.get(key)?.first.map(|value| Tensor { value, ..like.clone() })
        };
        let touched = self.entry.states.keys().filter(|key| !began.tensors.contains_key(*key));
        tensors.extend(touched.filter_map(|key| Some((key.clone(), first(key)?))));
        tensors.extend(began.tensors.iter().map(|(key, tensor)| (key.clone(), tensor.clone())));
        tensors
    }

    /// Index checks of a gradient count where the function is called: they are made with its arguments and results.
    fn take_gradient_faults(&mut self, told: usize, own: &OwnGradient, cut: &CallCut, grad: Gradient<'a>) -> R<()> {
        if !self.takes_gradients() {
            self.entry.faults.truncate(told);
            return Ok(());
        }
        let faults: Vec<IrValue> = self.entry.faults[told..].iter().map(|(value, _)| *value).collect();
        let by_adjoints = made_of(self.entry.builder.region(), 0, &own.adjoints);
        if faults.iter().any(|fault| by_adjoints[fault.index()]) {
            let title = format!("`{}` has an index that depends on adjoints", grad.shown());
            let error = Diagnostic::error(Code::E0122, grad.name().span, title)
                .note("indices are checked before anything is written, when the adjoints are not there yet")
                .help("compute the index of the arguments and the results");
            return Err(self.tell(error));
        }
        let holes = own.args.iter().chain(&own.results).copied();
        let instead: Vec<(IrValue, IrValue)> = holes.zip(cut.operands.iter().chain(&cut.results).copied()).collect();
        let faults = computed_with(&mut self.entry.builder, &instead, &faults);
        for ((value, _), fault) in self.entry.faults[told..].iter_mut().zip(faults) {
            *value = fault;
        }
        Ok(())
    }

    /// Evaluates `grad f`.
    fn run_grad(
        &mut self,
        decl: &'a ast::Fn,
        grad: &'a ast::Grad,
        given: Vec<Value<'a>>,
        results: &[Tensor],
    ) -> R<Returned<'a>> {
        if given.len() != grad.params.len() {
            return Err(self.wrong_gradient_params(
                decl,
                Gradient::Declared(grad),
                given.len(),
                grad.params.len(),
                results,
            ));
        }
        let site = CallSite { span: grad.span, callee: grad.name.span, name: format!("grad {}", grad.name.text) };
        let file = grad.name.span.file;
        let mut frame = self.new_frame(FrameKind::Grad, file);
        frame.call = Some(grad.span);
        self.within(frame, |cx| {
            let given: Vec<Option<Given<'a>>> =
                given.into_iter().zip(&grad.params).map(|(value, param)| Some((value, param.span))).collect();
            cx.bind_params(&grad.params, given, &site)?;
            cx.block(&grad.body)
        })
    }

    /// Calls the function that an `extern fn` names as its gradient.
    fn call_gradient(
        &mut self,
        decl: &'a ast::Fn,
        name: &'a ast::Name,
        given: Vec<Value<'a>>,
        results: &[Tensor],
    ) -> R<Returned<'a>> {
        let file = name.span.file;
        let Some((Item::Fn(function), home)) = self.files.find(file, &name.text) else {
            return Err(self.report.silent()); // told where it is declared
        };
        if given.len() != function.params.len() {
            let (wanted, has) = (given.len(), function.params.len());
            return Err(self.wrong_gradient_params(decl, Gradient::Function(name), wanted, has, results));
        }
        let site = CallSite { span: name.span, callee: name.span, name: name.text.to_string() };
        let args = given.into_iter().map(|value| ArgIn { name: None, value: ArgValue::Value(value, name.span) });
        let mut frame = self.new_frame(FrameKind::Grad, file);
        frame.call = Some(name.span);
        let args = args.collect();
        let value = self.within(frame, |cx| cx.call_fn(function, home, &Owner::File, args, &site, None))?;
        Ok(Some((value, name.span)))
    }

    fn given_adjoints(
        &mut self,
        decl: &'a ast::Fn,
        grad: Gradient<'a>,
        returned: Returned<'a>,
        wanted: &[(&'a ast::Param, Tensor)],
    ) -> R<Vec<IrValue>> {
        let (value, span) = match returned {
            Some(returned) => returned,
            None if wanted.is_empty() => return Ok(Vec::new()),
            None => {
                let title = format!("`{}` does not return the gradients", grad.shown());
                let error = Diagnostic::error(Code::E0121, grad.name().span, title)
                    .help(format!("return one for each float argument: {}", names_of(wanted)));
                return Err(self.tell(error));
            }
        };
        let parts = match value {
            Value::Tuple(parts) => parts.to_vec(),
            single => vec![single],
        };
        if parts.len() != wanted.len() {
            let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
            let (given, asked) = (count(parts.len(), "gradient"), count(wanted.len(), "float argument"));
            let title = format!("`{}` returns {given} for {asked}", grad.shown());
            let error = Diagnostic::error(Code::E0119, span, title)
                .also(decl.name.span, format!("one for each float argument: {}", names_of(wanted)));
            return Err(self.tell(error));
        }
        let mut gives = Vec::new();
        for (part, (param, tensor)) in parts.into_iter().zip(wanted) {
            let adjoint = self.materialise(part, tensor.dtype, span)?;
            let adjoint = match adjoint.axes.is_empty() {
                true => self.broadcast_scalar(adjoint, tensor.axes.clone(), span)?,
                false => adjoint,
            };
            if adjoint.dtype != tensor.dtype || adjoint.shape() != tensor.shape() {
                let (is, wanted) = (self.show(&adjoint), self.show(tensor));
                let title = format!("the gradient by `{}` is {is}, and the argument is {wanted}", param.name.text);
                let error = Diagnostic::error(Code::E0109, span, title).also(param.span, "the argument");
                return Err(self.tell(error));
            }
            gives.push(adjoint.value);
        }
        Ok(gives)
    }

    fn wrong_gradient_params(
        &mut self,
        decl: &'a ast::Fn,
        grad: Gradient<'a>,
        wanted: usize,
        has: usize,
        results: &[Tensor],
    ) -> Reported {
        let floats = results.iter().filter(|result| result.dtype.is_float()).count();
        let title = format!("`{}` has {has} arguments, and {wanted} are wanted", grad.shown());
        let span = match grad {
            Gradient::Declared(item) => item.span,
            Gradient::Function(name) => name.span,
        };
        let counts = [
            count(decl.params.len(), "argument"),
            count(results.len(), "result"),
            format!("{} of float results", count(floats, "adjoint")),
        ];
        let counts = counts.join(", ");
        let error = Diagnostic::error(Code::E0103, span, title)
            .also(decl.name.span, "its function")
            .note(format!("in this order: {counts}"))
            .help("`grad f(x: f32[N], y: f32[N], dy: f32[N])` for `fn f(x: f32[N]) -> f32[N]`");
        self.tell(error)
    }

    /// Refuses a gradient that depends on more than the arguments, layers among them, the results and the adjoints.
    fn require_closed(&mut self, cut: &CallCut, own: &OwnGradient, grad: Gradient<'a>) -> R<()> {
        let region = self.entry.builder.region();
        let weights = floats_of(region, &free_of(region, cut));
        let takes = [&own.args, &own.results, &own.adjoints, &weights].into_iter().flatten().copied();
        let takes: Vec<IrValue> = takes.collect();
        if is_closed(region, &takes, &own.gives) {
            return Ok(());
        }
        let title = format!("`{}` depends on more than its arguments", grad.shown());
        let error = Diagnostic::error(Code::E0122, grad.name().span, title).note(
            "it may use the arguments, weights that the function reads, the results and the adjoints, and draws no random numbers",
        );
        Err(self.tell(error))
    }

    /// Checks a `grad` against the functions of its file.
    pub fn check_grad_item(&mut self, grad: &'a ast::Grad, module: &'a ast::Module) -> R<()> {
        let (name, span) = (&grad.name.text, grad.name.span);
        if let Some(Item::Fn(_)) = self.files.declared_as(span.file, name) {
            return Ok(());
        }
        if let Some(told) = self.report.count_if_full(Code::E0101, span) {
            return Err(told);
        }
        let title = format!("there is no function `{name}` in this file for this gradient");
        let mut error = Diagnostic::error(Code::E0101, span, title);
        let names = module.items.iter().filter_map(|item| match item {
            ast::Item::Fn(decl) => Some(&*decl.name.text),
            ast::Item::Extern(external) => Some(&*external.head.name.text),
            _ => None,
        });
        if let Some(near) = crate::scope::nearest(name, names) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        Err(self.tell(error))
    }
}

/// Those of the values that are floats.
pub(crate) fn floats_of(region: &Region, values: &[IrValue]) -> Vec<IrValue> {
    values.iter().copied().filter(|value| region.ty(*value).dtype.is_float()).collect()
}

fn names_of(params: &[(&ast::Param, Tensor)]) -> String {
    params.iter().map(|(param, _)| format!("`{}`", param.name.text)).collect::<Vec<_>>().join(", ")
}

/// The tensors of a value, in order.
pub(crate) fn tensors_in(value: &Value<'_>, into: &mut Vec<Tensor>) {
    match value {
        Value::Tensor(tensor) => into.push(tensor.clone()),
        Value::Tuple(parts) | Value::List(parts) => parts.iter().for_each(|part| tensors_in(part, into)),
        _ => {}
    }
}

/// The value with other graph values behind its tensors, in the order of [`tensors_in`].
pub(crate) fn with_tensors<'a>(value: &Value<'a>, values: &mut impl Iterator<Item = IrValue>) -> Value<'a> {
    match value {
        Value::Tensor(tensor) => match values.next() {
            Some(value) => Value::Tensor(Tensor { value, ..tensor.clone() }),
            None => value.clone(),
        },
        Value::Tuple(parts) => Value::Tuple(Rc::new(parts.iter().map(|part| with_tensors(part, values)).collect())),
        Value::List(parts) => Value::List(Rc::new(parts.iter().map(|part| with_tensors(part, values)).collect())),
        other => other.clone(),
    }
}

/// `1 result`, `2 results`
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
