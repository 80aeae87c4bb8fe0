//! `copy(net)` makes a twin of an instance with equal first values; `ema(target, net, decay: 0.99)` moves
//! one instance towards another (rule 24).

use crate::arith::Operation;
use crate::builtins::Args;
use crate::calls::{ArgIn, ArgValue, CallSite};
use crate::cx::{Cx, FrameKind};
use crate::entry::Mode;
use crate::instances::Place;
use crate::stacks::Placed;
use crate::train::ParamKey;
use crate::value::{InstanceId, R, Tensor, Value};
use mlc_ir::scalar::BinaryOp;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

impl<'a> Cx<'a> {
    /// The instance that an instance was copied from, through all copies; itself if it is none.
    pub fn origin(&self, id: InstanceId) -> InstanceId {
        self.instance(id).origin.unwrap_or(id)
    }

    /// The other instances that have the same origin.
    pub fn twins(&self, id: InstanceId) -> Vec<InstanceId> {
        let origin = self.origin(id);
        let all = (0..self.instances.len() as u32).map(InstanceId);
        all.filter(|other| *other != id && self.origin(*other) == origin).collect()
    }

    fn copy_instance(&mut self, id: InstanceId, site: &CallSite) -> R<InstanceId> {
        let (layer, file) = (self.instance(id).layer, self.instance(id).file);
        let mut args = Vec::new();
        for param in &layer.params {
            let Some(value) = self.instance(id).args.get(&param.name.text).cloned() else { continue };
            let value = self.copy_value(value, id, site)?;
            let name = Some((param.name.text.clone(), site.span));
            args.push(ArgIn { name, value: ArgValue::Value(value, site.span) });
        }
        let copy = self.construct(layer, file, args, site)?;
        self.pair(id, copy);
        Ok(copy)
    }

    /// An argument for a copy: the instances that belong to the original are copied too.
    fn copy_value(&mut self, value: Value<'a>, owner: InstanceId, site: &CallSite) -> R<Value<'a>> {
        match value {
            Value::Instance(id) if matches!(self.instance(id).place, Place::In(parent, _) if parent == owner) => {
                self.copy_instance(id, site).map(Value::Instance)
            }
            Value::Stack(placed) if matches!(self.instance(placed.id).place, Place::In(parent, _) if parent == owner) =>
            {
                let copy = self.copy_instance(placed.id, site)?;
                self.instances[copy.0 as usize].stack = self.instance(placed.id).stack.clone();
                Ok(Value::Stack(Placed { id: copy, ..placed }))
            }
            Value::List(parts) => {
                let parts: R<Vec<Value<'a>>> =
                    parts.iter().map(|part| self.copy_value(part.clone(), owner, site)).collect();
                Ok(Value::List(Rc::new(parts?)))
            }
            Value::Tuple(parts) => {
                let parts: R<Vec<Value<'a>>> =
                    parts.iter().map(|part| self.copy_value(part.clone(), owner, site)).collect();
                Ok(Value::Tuple(Rc::new(parts?)))
            }
            other => Ok(other),
        }
    }

    /// Makes an instance and all its parts twins of another and its parts.
    fn pair(&mut self, from: InstanceId, copy: InstanceId) {
        let origin = self.origin(from);
        let source = self.instance(from);
        let (open, classes) = (source.open.clone(), source.classes.clone());
        let parts = |id: InstanceId, cx: &Cx<'a>| -> Vec<Value<'a>> {
            let instance = cx.instance(id);
            instance.bindings.values().chain(instance.args.values()).cloned().collect()
        };
        let (theirs, mine) = (parts(from, self), parts(copy, self));
        let target = &mut self.instances[copy.0 as usize];
        (target.origin, target.open, target.classes) = (Some(origin), open, classes);
        for (from, copy) in theirs.iter().zip(&mine) {
            self.pair_values(from, copy);
        }
    }

    fn pair_values(&mut self, from: &Value<'a>, copy: &Value<'a>) {
        match (from, copy) {
            (Value::Instance(from), Value::Instance(copy)) if from != copy && self.instance(*copy).origin.is_none() => {
                self.pair(*from, *copy);
            }
            (Value::Stack(from), Value::Stack(copy))
                if from.id != copy.id && self.instance(copy.id).origin.is_none() =>
            {
                self.pair(from.id, copy.id);
            }
            (Value::List(theirs), Value::List(mine)) | (Value::Tuple(theirs), Value::Tuple(mine)) => {
                for (from, copy) in theirs.iter().zip(mine.iter()) {
                    self.pair_values(from, copy);
                }
            }
            _ => {}
        }
    }

    /// Moves every parameter and float state of `target` towards those of `from`.
    fn move_towards(&mut self, target: InstanceId, from: InstanceId, decay: &Value<'a>, span: Span) -> R<()> {
        let (mut theirs, mut mine) = (Vec::new(), Vec::new());
        self.params_under(from, &mut theirs);
        self.params_under(target, &mut mine);
        self.states_under(from, &mut theirs);
        self.states_under(target, &mut mine);
        let pairs: Vec<(ParamKey, ParamKey)> = mine
            .into_iter()
            .zip(theirs)
            .filter(|(mine, theirs)| self.globals.contains_key(mine) || self.globals.contains_key(theirs))
            .collect();
        if pairs.is_empty() {
            let name = self.instance_name(from);
            let error = Diagnostic::error(Code::E0122, span, format!("`{name}` has not been used yet"))
                .help("put `ema` behind the lines that use the two");
            return Err(self.tell(error));
        }
        for (mine, theirs) in pairs {
            self.move_one(mine, theirs, decay, span)?;
        }
        Ok(())
    }

    fn move_one(&mut self, mine: ParamKey, theirs: ParamKey, decay: &Value<'a>, span: Span) -> R<()> {
        let source = self.read_whole(theirs.0, &theirs.1, span)?;
        let old = self.read_whole(mine.0, &mine.1, span)?;
        let copies = matches!(decay, Value::Number(number) if number.as_f64() == Some(0.0));
        let new = if copies || !old.dtype.is_float() {
            source
        } else {
            let place = |symbol| Operation { symbol, span, left: span, right: span };
            let share = self.binary_values(BinaryOp::Sub, Value::int(1), decay.clone(), place("-"))?;
            let kept = self.scaled(decay.clone(), &old, span)?;
            let taken = self.scaled(share, &source, span)?;
            let sum = self.binary_values(BinaryOp::Add, Value::Tensor(kept), Value::Tensor(taken), place("+"))?;
            self.tensor(sum, span)?
        };
        // For gradients behind it what was moved is a constant, as an updated weight is.
        let new = self.emit(span, mlc_ir::ops::stop_gradient::StopGradient, &[&new], old.axes.clone())?;
        if !self.is_state(mine.0, &mine.1) {
            let global = self.global_of_param(&mine, &old);
            if let Some(step) = &mut self.entry.step {
                step.new.retain(|(other, _)| *other != global);
                step.new.push((global, new.value));
                step.moved.push(global);
            }
        }
        self.entry.tensors.insert(mine, new);
        Ok(())
    }

    /// `factor * x` in x's dtype, whatever the factor's.
    fn scaled(&mut self, factor: Value<'a>, x: &Tensor, span: Span) -> R<Tensor> {
        let factor = self.materialise(factor, x.dtype, span)?;
        let factor = self.cast(&factor, x.dtype, span)?;
        let place = Operation { symbol: "*", span, left: span, right: span };
        let product = self.binary_values(BinaryOp::Mul, Value::Tensor(factor), Value::Tensor(x.clone()), place)?;
        self.tensor(product, span)
    }
}

/// `copy(net)`
pub(crate) fn copy<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (value, span) = args.need(cx, "m")?;
    match value {
        Value::Instance(id) => cx.copy_instance(id, &args.site).map(Value::Instance),
        Value::Poison => Err(cx.report.silent()),
        other => {
            let title = format!("`copy` takes a layer, and this is {}", cx.show_value(&other));
            cx.fail(Code::E0122, span, title)
        }
    }
}

/// `ema(target, net, decay: 0.99)`
pub(crate) fn ema<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let span = args.site.span;
    if !matches!(cx.top().kind, FrameKind::Step) {
        let error = Diagnostic::error(Code::E0121, span, "`ema` is a statement of the `step` of a train block")
            .help("write it behind `minimize`, so that it sees the new weights");
        return Err(cx.tell(error));
    }
    let mut instance = |name: &str| -> R<(InstanceId, Span)> {
        let (value, span) = args.need(cx, name)?;
        match value {
            Value::Instance(id) => Ok((id, span)),
            Value::Poison => Err(cx.report.silent()),
            other => {
                let title = format!("`{name}` of `ema` is a layer, and this is {}", cx.show_value(&other));
                cx.fail(Code::E0122, span, title)
            }
        }
    };
    let ((target, target_span), (from, from_span)) = (instance("target")?, instance("from")?);
    let alike = std::ptr::eq(cx.instance(target).layer, cx.instance(from).layer)
        && cx.show_instance(cx.instance(target)) == cx.show_instance(cx.instance(from));
    // In an evaluation of another instance the two may be one.
    if target == from && cx.entry.mode == Mode::Train || !alike {
        let (a, b) = (cx.show_instance(cx.instance(target)), cx.show_instance(cx.instance(from)));
        let error = Diagnostic::error(Code::E0122, span, "`ema` takes two instances of one layer with equal arguments")
            .also(target_span, a)
            .also(from_span, b)
            .help("make the target with `copy`: `target = copy(net)`");
        return Err(cx.tell(error));
    }
    let decay = args.need(cx, "decay")?;
    let scalar = cx.tensor(decay.0.clone(), decay.1)?;
    if !scalar.axes.is_empty() {
        let shown = cx.show(&scalar);
        return cx.fail(Code::E0122, decay.1, format!("`decay` is a number, and this is {shown}"));
    }
    if cx.entry.mode == Mode::Train {
        cx.move_towards(target, from, &decay.0, span)?;
    } else {
        let mut keys = Vec::new();
        cx.params_under(target, &mut keys);
        cx.renew(&keys, span)?;
    }
    Ok(Value::Nothing)
}
