//! Optimizers: their arguments, and the update of each parameter by their `update` function (rule 27).

use crate::calls::{ArgIn, ArgValue, CallSite};
use crate::cx::{Cx, Frame, FrameKind};
use crate::init::Initial;
use crate::train::ParamKey;
use crate::types::{Element, Form};
use crate::value::{Bindings, OptimizerValue, R, Size, Tensor, Value, shape_of};
use mlc_ir::graph::{Global, GlobalId, GlobalKind};
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The update of one parameter under way.
#[derive(Clone, Debug)]
pub(crate) struct Updating<'a> {
    decl: &'a ast::Optimizer,
    file: FileId,
    /// Of the optimizer: `opt`.
    binding: String,
    param: GlobalId,
    axes: Vec<Size>,
}

impl<'a> Cx<'a> {
    /// `adam(lr: 1e-3)`: keeps the arguments for every step.
    pub fn make_optimizer(
        &mut self,
        decl: &'a ast::Optimizer,
        file: FileId,
        args: Vec<ArgIn<'a>>,
        site: &CallSite,
    ) -> R<Value<'a>> {
        self.refuse_parameters(decl, &args, site)?;
        let placed = self.bind_args(&decl.params, args, site)?;
        let mut kept = Vec::new();
        for (param, arg) in decl.params.iter().zip(placed) {
            match arg {
                Some(ArgValue::Expr(expr)) => kept.push((param.name.text.clone(), expr)),
                Some(ArgValue::Value(_, span)) => {
                    return self.fail(Code::E0122, span, "an optimizer's argument is an expression");
                }
                None if param.default.is_none() => return Err(self.missing_argument(param, &decl.params, site)),
                None => {}
            }
        }
        Ok(Value::Optimizer(Rc::new(OptimizerValue { decl, file, args: kept, span: site.span })))
    }

    /// `adam(net, lr: 1e-3)`: what an optimizer updates is no argument of it.
    fn refuse_parameters(&mut self, decl: &'a ast::Optimizer, args: &[ArgIn<'a>], site: &CallSite) -> R<()> {
        let of_layers = |expr: &ast::Expr| match &expr.kind {
            ExprKind::Name(text) => self.is_layer(text),
            ExprKind::Call { callee, .. } => match &callee.kind {
                ExprKind::Name(text) => &**text == "params",
                ExprKind::Field { base, .. } => matches!(&base.kind, ExprKind::Name(text) if self.is_layer(text)),
                _ => false,
            },
            _ => false,
        };
        let found = args.iter().find_map(|arg| match &arg.value {
            ArgValue::Expr(expr) if of_layers(expr) => Some(*expr),
            _ => None,
        });
        let Some(expr) = found else { return Ok(()) };
        let names: Vec<&str> = decl.params.iter().map(|param| &*param.name.text).collect();
        let over = match &expr.kind {
            ExprKind::Name(text) => text.to_string(),
            _ => "net".to_string(),
        };
        let title = format!("`{}` takes no parameters to update, and this names some", site.name);
        let error = Diagnostic::error(Code::E0103, expr.span, title)
            .note(format!("its arguments: {}", names.join(", ")))
            .help(format!("what is updated stands in the step: `minimize loss over {over} with opt`"));
        Err(self.tell(error))
    }

    /// Whether a name that is bound here is a layer that has been made.
    fn is_layer(&self, text: &Arc<str>) -> bool {
        let frame = self.top();
        let value = frame.locals.get(text).or_else(|| frame.block.values.get(text));
        matches!(value, Some(Value::Instance(_) | Value::Stack(_)))
    }

    /// What can be said of an optimizer that nothing uses.
    pub fn check_optimizer(&mut self, decl: &'a ast::Optimizer) -> R<()> {
        if let Some(reported) = self.report.told_within(decl.span) {
            return Err(reported);
        }
        self.update_fn(decl).map(|_| ())
    }

    /// Updates parameters with their gradients.
    pub fn update_all(
        &mut self,
        optimizer: &Rc<OptimizerValue<'a>>,
        binding: &str,
        gradients: &[(ParamKey, Tensor)],
        span: Span,
    ) -> R<()> {
        let norm = self.global_norm(gradients, span)?;
        let count = self.update_count(span)?;
        let mut arguments: BTreeMap<DType, Rc<Bindings<'a>>> = BTreeMap::new();
        for (key, gradient) in gradients {
            let before = self.entry.real;
            self.entry.real = gradient.dtype;
            let bindings = match arguments.get(&gradient.dtype) {
                Some(bindings) => Ok(bindings.clone()),
                None => self.optimizer_arguments(optimizer),
            };
            let result = bindings.and_then(|bindings| {
                arguments.insert(gradient.dtype, bindings.clone());
                self.update_one(optimizer, bindings, binding, key, gradient, &norm, &count, span)
            });
            self.entry.real = before;
            result?;
        }
        Ok(())
    }

    /// `sqrt(Σ g²)` over all gradients of one `minimize`: f64 if one of them is, else f32.
    fn global_norm(&mut self, gradients: &[(ParamKey, Tensor)], span: Span) -> R<Tensor> {
        let is_double = gradients.iter().any(|(_, gradient)| gradient.dtype == DType::F64);
        let dtype = if is_double { DType::F64 } else { DType::F32 };
        let mut total = None;
        for (_, gradient) in gradients {
            let axes = gradient.axes.clone();
            let square =
                self.emit(span, mlc_ir::ops::binary::Binary { op: BinaryOp::Mul }, &[gradient, gradient], axes)?;
            let sum = if square.axes.is_empty() {
                square
            } else {
                let op = mlc_ir::ops::reduce::Reduce {
                    kind: mlc_ir::ops::reduce::ReduceKind::Sum,
                    axes: (0..square.rank()).collect(),
                };
                self.emit(span, op, &[&square], Vec::new())?
            };
            let sum = self.cast(&sum, dtype, span)?;
            total = Some(match total {
                Some(total) => {
                    self.emit(span, mlc_ir::ops::binary::Binary { op: BinaryOp::Add }, &[&total, &sum], Vec::new())?
                }
                None => sum,
            });
        }
        match total {
            Some(total) => self.unary_tensor(UnaryOp::Sqrt, &total, span),
            None => self.literal(span, mlc_ir::scalar::Literal::zero(dtype)),
        }
    }

    /// The optimizer's arguments for this step, with its functions; literals stay literals.
    fn optimizer_arguments(&mut self, optimizer: &Rc<OptimizerValue<'a>>) -> R<Rc<Bindings<'a>>> {
        let decl = optimizer.decl;
        let mut bindings = Bindings::default();
        for member in &decl.members {
            if let ast::Member::Fn(decl) = member {
                bindings.fns.push(decl);
            }
        }
        let outer = self.top().block.clone();
        let file = self.top().file;
        let given = Frame { block: outer, ..self.new_frame(FrameKind::OptimizerArgs, file) };
        let given = Frame { path: "optimizer".to_string(), ..given };
        let values: Vec<R<Option<Value<'a>>>> = self.within(given, |cx| {
            let value = |param: &'a ast::Param| optimizer.args.iter().find(|(name, _)| *name == param.name.text);
            decl.params.iter().map(|param| value(param).map(|(_, expr)| cx.expr(expr)).transpose()).collect()
        });
        let site = CallSite { span: optimizer.span, callee: optimizer.span, name: decl.name.text.to_string() };
        let mut frame = self.new_frame(FrameKind::OptimizerArgs, optimizer.file);
        frame.call = Some(optimizer.span);
        let locals = self.within(frame, |cx| {
            let mut given = Vec::new();
            for (param, value) in decl.params.iter().zip(values) {
                let span = optimizer
                    .args
                    .iter()
                    .find(|(name, _)| *name == param.name.text)
                    .map_or(optimizer.span, |(_, expr)| expr.span);
                given.push(value?.map(|value| (value, span)));
            }
            cx.bind_params(&decl.params, given, &site)?;
            Ok(cx.top().locals.clone())
        })?;
        bindings.values = locals;
        Ok(Rc::new(bindings))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one update; they have no other life together")]
    fn update_one(
        &mut self,
        optimizer: &Rc<OptimizerValue<'a>>,
        bindings: Rc<Bindings<'a>>,
        binding: &str,
        key: &ParamKey,
        gradient: &Tensor,
        norm: &Tensor,
        count: &Tensor,
        span: Span,
    ) -> R<()> {
        let Some(weight) = self.entry.tensors.get(key).cloned() else { return Ok(()) };
        let update = self.update_fn(optimizer.decl)?;
        let param = self.global_of_param(key, &weight);
        let norm = self.cast(norm, self.entry.real, span)?;
        let mut frame = self.new_frame(FrameKind::Update, optimizer.file);
        (frame.call, frame.block) = (Some(span), bindings);
        let updating = Updating {
            decl: optimizer.decl,
            file: optimizer.file,
            binding: binding.to_string(),
            param,
            axes: weight.axes.clone(),
        };
        frame.updating = Some(Rc::new(updating));
        let count = match self.entry.conditional {
            0 => count.clone(),
            _ => self.counted_update(binding, param, span)?,
        };
        let args = [weight.clone(), gradient.clone(), count, norm];
        let (result, locals) = self.within(frame, |cx| {
            let result = cx.run_update(update, &args, span);
            (result, cx.top().locals.clone())
        });
        let new = self.tensor(result?, span)?;
        let fits = new.dtype == weight.dtype && new.shape() == weight.shape();
        if !fits {
            let (is, wanted) = (self.show(&new), self.show(&weight));
            return self.fail(Code::E0109, span, format!("`update` returns {is} for a parameter of type {wanted}"));
        }
        self.keep_states(optimizer.decl, binding, param, &weight.axes, &locals, span)?;
        // For gradients behind it a new weight is a constant, though it was made of older weights (rule 24).
        let new = self.emit(span, mlc_ir::ops::stop_gradient::StopGradient, &[&new], weight.axes)?;
        if let Some(step) = &mut self.entry.step {
            step.new.push((param, new.value));
            step.trained.push(param);
        }
        self.entry.tensors.insert(key.clone(), new);
        Ok(())
    }

    /// The number of this update of a parameter whose updates depend on a run-time condition: kept as a
    /// state of the optimizer.
    fn counted_update(&mut self, binding: &str, param: GlobalId, written: Span) -> R<Tensor> {
        let at = param.index();
        let path = format!("{binding}.updates.{}", self.graph.globals[at].path);
        let ty = Type::scalar(DType::I32);
        let known = self.graph.globals.iter().position(|global| *global.path == *path);
        let global = match known {
            Some(at) => GlobalId(at as u32),
            None => {
                let place = self.graph.globals[at].span;
                self.graph.globals.push(Global {
                    path: path.into(),
                    kind: GlobalKind::OptimizerState,
                    ty: ty.clone(),
                    span: place,
                });
                self.file_paths.push(format!("{binding}.updates.{}", self.file_paths[at]));
                self.initial.push(Initial::Zero { span: written });
                GlobalId(self.graph.globals.len() as u32 - 1)
            }
        };
        let value = self.entry.global(global, ty);
        let before = Tensor { value, dtype: DType::I32, axes: Vec::new() };
        let one = self.literal(written, mlc_ir::scalar::Literal::from_i64(DType::I32, 1))?;
        let count = self.binary_tensor(BinaryOp::Add, &before, &one, written)?;
        if let Some(step) = &mut self.entry.step {
            step.new.push((global, count.value));
        }
        Ok(count)
    }

    fn update_fn(&mut self, decl: &'a ast::Optimizer) -> R<&'a ast::Fn> {
        let update = decl.members.iter().find_map(|member| match member {
            ast::Member::Fn(decl) if &*decl.name.text == "update" => Some(decl),
            _ => None,
        });
        match update {
            Some(update) if update.params.len() == 4 && update.result.is_none() => {
                let error = Diagnostic::error(Code::E0203, update.name.span, "`update` returns the new parameter")
                    .help("`fn update(w: f32[*S], g: f32[*S], t: i32, norm: f32) -> f32[*S] { return … }`");
                Err(self.tell(error))
            }
            Some(update) if update.params.len() == 4 => Ok(update),
            Some(update) => self.fail(
                Code::E0203,
                update.span,
                "`update` takes four arguments: `update(w: f32[*S], g: f32[*S], t: i32, norm: f32) -> f32[*S]`",
            ),
            None => {
                let title = format!("the optimizer `{}` has no `update`", decl.name.text);
                let error = Diagnostic::error(Code::E0203, decl.name.span, title)
                    .help("`fn update(w: f32[*S], g: f32[*S], t: i32, norm: f32) -> f32[*S] { return w - lr * g }`");
                Err(self.tell(error))
            }
        }
    }

    fn run_update(&mut self, update: &'a ast::Fn, args: &[Tensor; 4], span: Span) -> R<Value<'a>> {
        let site = CallSite { span, callee: span, name: "update".to_string() };
        let given = args.iter().map(|arg| Some((Value::Tensor(arg.clone()), span))).collect();
        self.bind_params(&update.params, given, &site)?;
        self.fn_body(update)
    }

    /// The value of an optimizer state by its name, for the parameter being updated.
    pub fn optimizer_state(&mut self, text: &Arc<str>) -> R<Option<Value<'a>>> {
        let Some(updating) = self.top().updating.clone() else { return Ok(None) };
        let Some(state) = state_of(updating.decl, text) else { return Ok(None) };
        let (dtype, axes) = self.state_type(state, &updating.axes)?;
        let global = self.state_global(&updating, state, dtype, &axes);
        let value = self.entry.global(global, Type::new(dtype, shape_of(&axes)));
        Ok(Some(Value::Tensor(Tensor { value, dtype, axes })))
    }

    fn state_type(&mut self, state: &'a ast::Tensor, param: &[Size]) -> R<(DType, Vec<Size>)> {
        let Form::Tensor { element, axes } = self.form(&state.ty)? else {
            return self.fail(Code::E0122, state.ty.span, "a `state` is a tensor");
        };
        let dtype = match element {
            Element::Exact(dtype) => dtype,
            Element::Class(_) => self.entry.real,
        };
        match axes {
            [] => Ok((dtype, Vec::new())),
            [ast::Axis { kind: ast::AxisKind::Pack(_), .. }] => Ok((dtype, param.to_vec())),
            _ => self.fail(
                Code::E0122,
                state.ty.span,
                "an optimizer's `state` has the parameter's shape, `f32[*S]`, or is a scalar",
            ),
        }
    }

    fn state_global(
        &mut self,
        updating: &Updating<'a>,
        state: &'a ast::Tensor,
        dtype: DType,
        axes: &[Size],
    ) -> GlobalId {
        let param = updating.param.index();
        let step = format!("{}.{}", updating.binding, state.name.text);
        let path = format!("{step}.{}", self.graph.globals[param].path);
        if let Some(at) = self.graph.globals.iter().position(|global| *global.path == *path) {
            return GlobalId(at as u32);
        }
        let ty = Type::new(dtype, shape_of(axes));
        let span = self.graph.globals[param].span;
        self.graph.globals.push(Global { path: path.into(), kind: GlobalKind::OptimizerState, ty, span });
        self.file_paths.push(format!("{step}.{}", self.file_paths[param]));
        self.initial.push(Initial::Optimizer { file: updating.file, tensor: state });
        GlobalId(self.graph.globals.len() as u32 - 1)
    }

    /// Writes the states that `update` assigned.
    fn keep_states(
        &mut self,
        decl: &'a ast::Optimizer,
        binding: &str,
        param: GlobalId,
        axes: &[Size],
        locals: &BTreeMap<Arc<str>, Value<'a>>,
        span: Span,
    ) -> R<()> {
        for member in &decl.members {
            let ast::Member::State(state) = member else { continue };
            let Some(value) = locals.get(&state.name.text) else { continue };
            let (dtype, wanted) = self.state_type(state, axes)?;
            let value = self.materialise(value.clone(), dtype, span)?;
            let value = if value.axes.is_empty() { self.broadcast_scalar(value, wanted.clone(), span)? } else { value };
            if value.dtype != dtype || value.shape() != shape_of(&wanted) {
                let (is, name) = (self.show(&value), &state.name.text);
                let error = Diagnostic::error(Code::E0105, span, format!("the state `{name}` becomes {is}"))
                    .also(state.span, "declared here");
                return Err(self.tell(error));
            }
            let updating =
                Updating { decl, file: self.top().file, binding: binding.to_string(), param, axes: axes.to_vec() };
            let global = self.state_global(&updating, state, dtype, &wanted);
            if let Some(step) = &mut self.entry.step {
                step.new.push((global, value.value));
            }
        }
        Ok(())
    }
}

fn state_of<'a>(decl: &'a ast::Optimizer, name: &str) -> Option<&'a ast::Tensor> {
    decl.members.iter().find_map(|member| match member {
        ast::Member::State(tensor) if *tensor.name.text == *name => Some(tensor),
        _ => None,
    })
}
