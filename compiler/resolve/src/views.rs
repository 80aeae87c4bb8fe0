//! `infer(net)` and `cast(net, f64)`: an instance run another way for one call (rule 25). A view makes no
//! copy and owns nothing.
//!
//! Under `cast` every `f32` of the instance reads as the other dtype: its weights and states are
//! converted where they are read, its arguments before the call and its results behind it. What is
//! stored keeps its dtype.

use crate::builtins::Args;
use crate::calls::Given;
use crate::cx::Cx;
use crate::stacks::Placed;
use crate::value::{Callee, Owner, R, Tensor, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// How an instance is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// With `training` false.
    pub infer: bool,
    /// What `f32` reads as.
    pub dtype: Option<DType>,
}

/// The dtype that is stored and the one it is seen as, under `cast`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    stored: DType,
    seen: DType,
}

impl<'a> Cx<'a> {
    /// Runs `job` with an instance seen through `view`.
    pub fn with_view<T>(&mut self, view: View, job: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        let before = (self.entry.training, self.entry.real, self.entry.seen);
        if view.infer {
            self.entry.training = false;
        }
        if let Some(seen) = view.dtype {
            let stored = before.2.map_or(before.1, |outer| outer.stored);
            self.entry.real = seen;
            self.entry.seen = (stored != seen).then_some(Seen { stored, seen });
        }
        let result = job(self);
        (self.entry.training, self.entry.real, self.entry.seen) = before;
        result
    }

    /// Runs `job` where `f32` means what is stored.
    pub fn as_stored<T>(&mut self, job: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        let Some(Seen { stored, .. }) = self.entry.seen else { return job(self) };
        let before = (self.entry.real, self.entry.seen.take());
        self.entry.real = stored;
        let result = job(self);
        (self.entry.real, self.entry.seen) = before;
        result
    }

    /// The dtype that a stored one reads as here.
    pub fn seen_dtype(&self, dtype: DType) -> DType {
        self.entry.seen.filter(|view| view.stored == dtype).map_or(dtype, |view| view.seen)
    }

    /// The dtype that is stored for one that is seen here.
    pub fn stored_dtype(&self, dtype: DType) -> DType {
        self.entry.seen.filter(|view| view.seen == dtype).map_or(dtype, |view| view.stored)
    }

    /// A stored tensor as it is seen here.
    pub fn seen_tensor(&mut self, tensor: Tensor, span: Span) -> R<Tensor> {
        let dtype = self.seen_dtype(tensor.dtype);
        self.cast(&tensor, dtype, span)
    }

    /// A value made of what is stored as it is seen here.
    pub fn seen_value(&mut self, value: Value<'a>, span: Span) -> R<Value<'a>> {
        match self.entry.seen {
            Some(Seen { stored, seen }) => self.with_dtype(value, stored, seen, span),
            None => Ok(value),
        }
    }

    /// Arguments of a call through a view: floats become what is seen.
    pub fn seen_args(&mut self, view: View, given: Vec<Option<Given<'a>>>) -> R<Vec<Option<Given<'a>>>> {
        let Some(seen) = view.dtype else { return Ok(given) };
        let real = self.entry.real;
        let mut converted = Vec::new();
        for arg in given {
            converted.push(match arg {
                Some((value, span)) => Some((self.with_dtype(value, real, seen, span)?, span)),
                None => None,
            });
        }
        Ok(converted)
    }

    /// The result of such a call, back in the caller's dtype.
    pub fn unseen_result(&mut self, view: View, value: Value<'a>, span: Span) -> R<Value<'a>> {
        match view.dtype {
            Some(seen) => self.with_dtype(value, seen, self.entry.real, span),
            None => Ok(value),
        }
    }

    fn with_dtype(&mut self, value: Value<'a>, from: DType, to: DType, span: Span) -> R<Value<'a>> {
        match value {
            Value::Tensor(tensor) if tensor.dtype == from => self.cast(&tensor, to, span).map(Value::Tensor),
            Value::Tuple(parts) => {
                let mut converted = Vec::new();
                for part in parts.iter() {
                    converted.push(self.with_dtype(part.clone(), from, to, span)?);
                }
                Ok(Value::Tuple(Rc::new(converted)))
            }
            other => Ok(other),
        }
    }

    /// A member of an instance that is seen another way: functions and parts are seen so too.
    pub fn member_through(&mut self, placed: &Placed, view: View, name: &'a ast::Name) -> R<Option<Value<'a>>> {
        let found = self.with_rows(&placed.rows, |cx| cx.member(placed.id, &name.text, name.span))?;
        Ok(found.map(|value| match self.through_rows(value, &placed.rows) {
            Value::Instance(id) => Value::View(Placed { id, rows: Rc::default() }, view),
            Value::Row(part) => Value::View(part, view),
            Value::Function(mut function) => {
                if let Callee::Fn { owner, .. } = &mut function.callee {
                    *owner = Owner::View(placed.clone(), view);
                }
                Value::Function(function)
            }
            other => other,
        }))
    }

    /// An instance and how it is seen; anything else is refused.
    pub fn viewed_instance(&mut self, value: Value<'a>, span: Span, wanted: &str) -> R<(Placed, View)> {
        match value {
            Value::Instance(id) => Ok((Placed { id, rows: Rc::default() }, View::default())),
            Value::Row(placed) => Ok((placed, View::default())),
            Value::View(placed, view) => Ok((placed, view)),
            Value::Poison => Err(self.report.silent()),
            other => {
                let title = format!("`{wanted}` takes a layer, and this is {}", self.show_value(&other));
                let error = Diagnostic::error(Code::E0122, span, title)
                    .help(format!("name the instance, and call what comes: `{wanted}(net)(x)`"));
                Err(self.tell(error))
            }
        }
    }
}

/// `infer(net)`
pub(crate) fn infer<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (value, span) = args.need(cx, "m")?;
    let (placed, view) = cx.viewed_instance(value, span, "infer")?;
    Ok(Value::View(placed, View { infer: true, ..view }))
}

/// `cast(net, f64)`
pub(crate) fn cast_instance<'a>(cx: &mut Cx<'a>, value: Value<'a>, dtype: DType, span: Span) -> R<Value<'a>> {
    let (placed, view) = cx.viewed_instance(value, span, "cast")?;
    if !dtype.is_float() {
        let title = format!("a layer cannot compute in {dtype}");
        return cx.fail(Code::E0104, span, title);
    }
    Ok(Value::View(placed, View { dtype: Some(dtype), ..view }))
}
