//! Binding the parameters of a call in the callee's frame, and values to the types they are declared
//! with: static ones first, then tensors, then what has no dtype yet, then defaults.

use crate::calls::{ArgValue, CallSite, Given};
use crate::cx::Cx;
use crate::listed::Listed;
use crate::matching::{Match, Matched, subject};
use crate::types::{Element, Form};
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// Binds parameters: static ones first, then tensors, then what has no dtype yet, then defaults.
    pub fn bind_params(&mut self, params: &'a [ast::Param], given: Vec<Option<Given<'a>>>, site: &CallSite) -> R<()> {
        self.refuse_values_beside_keys(params, &given, site)?;
        self.refuse_swapped(params, &given, site)?;
        let mut typed = Vec::new();
        let mut untyped = Vec::new();
        let mut absent = Vec::new();
        for (param, given) in params.iter().zip(given) {
            let is_static = self.is_static(&param.ty)?;
            match given {
                Some((value, span)) if is_static => {
                    let value = self.convert_static(&param.ty, value, span, &format!("`{}`", param.name.text))?;
                    self.set_local(&param.name.text, value);
                }
                None if is_static => self.bind_static_default(param, params, site)?,
                Some((value @ (Value::Number(_) | Value::Bool(_) | Value::Lazy(_)), span)) => {
                    untyped.push((param, value, span))
                }
                Some((value, span)) => typed.push((param, value, span)),
                None => absent.push(param),
            }
        }
        let mut later = Vec::new();
        let mut failed = None;
        for (param, value, span) in typed.into_iter().chain(untyped) {
            // Behind a tuple that should have been taken apart all positions are shifted.
            let is_tuple = matches!(value, Value::Tuple(_));
            if let Err(reported) = self.bind_param(param, value, span, site, &mut later) {
                failed = Some(reported);
                if is_tuple {
                    break;
                }
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        for param in absent {
            let Some(default) = &param.default else {
                return Err(self.missing_argument(param, params, site));
            };
            let value = self.arg_value(&param.ty, ArgValue::Expr(default))?;
            self.bind_param(param, value, default.span, site, &mut later)?;
        }
        for param in params {
            self.divisions_of(&param.ty, Some(site))?;
        }
        later.into_iter().try_for_each(|found| self.match_later(found))
    }

    fn bind_static_default(&mut self, param: &'a ast::Param, all: &'a [ast::Param], site: &CallSite) -> R<()> {
        let Some(default) = &param.default else { return Err(self.missing_argument(param, all, site)) };
        let value = self.arg_value(&param.ty, ArgValue::Expr(default))?;
        let value = self.convert_static(&param.ty, value, default.span, &format!("`{}`", param.name.text))?;
        self.set_local(&param.name.text, value);
        Ok(())
    }

    pub fn set_local(&mut self, name: &Arc<str>, value: Value<'a>) {
        self.frame().locals.insert(name.clone(), value);
    }

    fn bind_param<'s>(
        &mut self,
        param: &'a ast::Param,
        value: Value<'a>,
        span: Span,
        site: &'s CallSite,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<()> {
        let what = Matched::Argument { name: param.name.text.clone(), site };
        let value = self.match_value_later(&param.ty, value, span, what, later)?;
        self.frame().given.push((param.name.text.clone(), span));
        self.set_local(&param.name.text, value);
        Ok(())
    }

    /// A run-time value as its type wants it; sizes that wait for others are compared at once.
    pub fn match_value(&mut self, ty: &'a ast::Type, value: Value<'a>, span: Span, what: Matched<'_>) -> R<Value<'a>> {
        let mut later = Vec::new();
        let value = self.match_value_later(ty, value, span, what, &mut later)?;
        later.into_iter().try_for_each(|found| self.match_later(found))?;
        Ok(value)
    }

    fn match_value_later<'s>(
        &mut self,
        ty: &'a ast::Type,
        value: Value<'a>,
        span: Span,
        what: Matched<'s>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let shown = self.show_value(&value);
        match self.form(ty)? {
            Form::Tuple { fields, variadic: false } if !self.is_static(ty)? => {
                self.match_tuple(ty, fields, value, span, what, later)
            }
            Form::Tensor { element, axes } => {
                let found = Match { what, span, ty, shown, later: Vec::new() };
                self.match_tensor(element, axes, value, found, later)
            }
            Form::Dim | Form::Int | Form::Str | Form::Fn | Form::Bool | Form::Tuple { .. } => {
                self.convert_static(ty, value, span, &subject(&what))
            }
        }
    }

    fn match_tuple<'s>(
        &mut self,
        ty: &'a ast::Type,
        fields: &'a [(Option<ast::Name>, ast::Type)],
        value: Value<'a>,
        span: Span,
        what: Matched<'s>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let parts = match value {
            Value::Tuple(parts) => parts.to_vec(),
            single if fields.len() == 1 => vec![single],
            single => {
                let shown = self.show_value(&single);
                let found = Match { what, span, ty, shown, later: Vec::new() };
                return Err(self.mismatch(&found, Some(format!("{} values are wanted", fields.len()))));
            }
        };
        if parts.len() != fields.len() {
            let subject = subject(&what);
            let title = format!("{subject} has {} values, and {} are wanted", parts.len(), fields.len());
            let error = Diagnostic::error(Code::E0119, span, title).also(ty.span, "declared here");
            return Err(self.tell(error));
        }
        let mut matched = Vec::new();
        for ((_, ty), part) in fields.iter().zip(parts) {
            matched.push(self.match_value_later(ty, part, span, what.clone(), later)?);
        }
        match matched.len() {
            1 => Ok(matched.remove(0)),
            _ => Ok(Value::Tuple(Rc::new(matched))),
        }
    }

    fn match_tensor<'s>(
        &mut self,
        element: Element,
        axes: &'a [ast::Axis],
        value: Value<'a>,
        mut found: Match<'a, 's>,
        later: &mut Vec<Match<'a, 's>>,
    ) -> R<Value<'a>> {
        let value = if axes.is_empty() { value } else { self.list_as_tensor(value, element, found.span)? };
        let value = match value {
            Value::Tensor(tensor) => {
                found.shown = self.show(&tensor);
                self.match_element(element, tensor.dtype, &found)?;
                let axes = self.match_axes(axes, &tensor.axes, &mut found)?;
                Value::Tensor(self.as_said(tensor, axes, found.span)?)
            }
            Value::Lazy(lazy) => {
                let named = self.match_axes(axes, &lazy.axes, &mut found)?;
                let dtype = self.wanted_dtype(element, lazy.kind.is_integer());
                let value = self.materialise(Value::Lazy(lazy), dtype, found.span)?;
                self.match_element(element, value.dtype, &found)?;
                Value::Tensor(self.as_said(value, named, found.span)?)
            }
            Value::Number(number) if axes.is_empty() => {
                let dtype = self.wanted_dtype(element, number.is_integer());
                self.scalar_argument(Value::Number(number), dtype, &found)?
            }
            Value::Bool(value) if axes.is_empty() => self.scalar_argument(Value::Bool(value), DType::Bool, &found)?,
            value @ (Value::Number(_) | Value::Bool(_)) => self.spread_argument(element, axes, value, &found)?,
            Value::Poison => return Err(self.report.silent()),
            other => return Err(self.not_a_tensor(&found, &other)),
        };
        if !found.later.is_empty() {
            later.push(found);
        }
        Ok(value)
    }

    /// A list of numbers as the tensor that it is where one is declared; other values stay as they are.
    fn list_as_tensor(&mut self, value: Value<'a>, element: Element, span: Span) -> R<Value<'a>> {
        let Value::List(parts) = &value else { return Ok(value) };
        let Some(listed) = Listed::of(parts) else { return Ok(value) };
        let dtype = if listed.is_bool() { DType::Bool } else { self.wanted_dtype(element, listed.is_integer()) };
        self.listed_tensor(listed, dtype, span).map(Value::Tensor)
    }

    /// A value that is no tensor, where a tensor type is declared.
    fn not_a_tensor(&mut self, found: &Match<'a, '_>, value: &Value<'a>) -> crate::report::Reported {
        let wanted = self.sources.text(found.ty.span).to_string();
        let title = match &found.what {
            Matched::Result { function } => {
                format!("`{function}` returns {}, and its result type is {wanted}", value.describe())
            }
            Matched::Annotation { name } => {
                format!("`{name}` is {}, and its annotation says {wanted}", value.describe())
            }
            Matched::Argument { .. } | Matched::Declaration => {
                return self.wrong_kind(found.ty, value, found.span, &subject(&found.what));
            }
        };
        let text = self.excerpt(found.span);
        let error = Diagnostic::error(Code::E0122, found.span, title).also(found.ty.span, "declared here");
        let error = match value {
            Value::Function(_) | Value::Instance(_) => error.help(format!("call it: `{text}(…)`")),
            Value::Tuple(parts) => error
                .note(format!("the tuple has {} parts: {}", parts.len(), self.show_parts(parts)))
                .help("declare all of them, `-> (A, B)`, or take one: `t[0]`"),
            Value::Nothing => {
                error.help("a function gives a value if it declares a type behind `->` and has a `return`")
            }
            _ => error,
        };
        self.tell(error)
    }

    /// The tensor with the axes that its type says. Where only a check at run time makes the two
    /// equal, a slice of the whole gives the sizes their names.
    fn as_said(&mut self, tensor: Tensor, axes: Vec<Size>, span: Span) -> R<Tensor> {
        let sizes = shape_of(&axes);
        if sizes == tensor.shape() {
            return Ok(Tensor { axes, ..tensor });
        }
        let op = Slice { starts: vec![Dim::zero(); axes.len()], sizes, steps: vec![1; axes.len()] };
        self.emit(span, op, &[&tensor], axes)
    }

    /// The dtype that an element of a type asks of a value that has none.
    fn wanted_dtype(&self, element: Element, is_integer: bool) -> DType {
        let default = self.default_dtype(is_integer);
        match element {
            Element::Exact(dtype) => dtype,
            Element::Class(class) => match self.class_dtype(class) {
                Some(dtype) => dtype,
                None if class.takes(default) => default,
                None => self.entry.real,
            },
        }
    }

    /// A literal for a scalar parameter stays a literal, so that conditions on it are static.
    fn scalar_argument(&mut self, value: Value<'a>, dtype: DType, found: &Match<'a, '_>) -> R<Value<'a>> {
        match value {
            Value::Number(number) if dtype == DType::Bool || (!dtype.is_float() && !number.is_integer()) => {
                let shown = self.show_value(&Value::Number(number));
                let title = format!("{} is {dtype}, and {shown} is not", subject(&found.what));
                let error = Diagnostic::error(Code::E0104, found.span, title);
                Err(self.tell(error.help(crate::literals::becomes(dtype))))
            }
            Value::Number(number) => Ok(Value::Number(number.typed(dtype))),
            Value::Bool(value) => {
                let wants_bool = matches!(
                    self.form(found.ty)?,
                    Form::Tensor { element: Element::Exact(DType::Bool), .. }
                        | Form::Tensor { element: Element::Class(_), .. }
                );
                if !wants_bool {
                    return Err(self.wrong_kind(found.ty, &Value::Bool(value), found.span, &subject(&found.what)));
                }
                Ok(Value::Bool(value))
            }
            other => Ok(other),
        }
    }

    /// A number for a tensor parameter fills its shape (rule 2).
    fn spread_argument(
        &mut self,
        element: Element,
        axes: &'a [ast::Axis],
        value: Value<'a>,
        found: &Match<'a, '_>,
    ) -> R<Value<'a>> {
        let is_integer = matches!(&value, Value::Number(number) if number.is_integer());
        let dtype = match &value {
            Value::Bool(_) => DType::Bool,
            _ => self.wanted_dtype(element, is_integer),
        };
        if let (Value::Bool(_), Element::Exact(wanted)) = (&value, element)
            && wanted != DType::Bool
        {
            let subject = subject(&found.what);
            return Err(self.wrong_kind(found.ty, &value, found.span, &subject));
        }
        let axes = self.pattern_shape(axes, found)?;
        let scalar = self.materialise(value, dtype, found.span)?;
        self.match_element(element, scalar.dtype, found)?;
        Ok(Value::Tensor(self.broadcast_scalar(scalar, axes, found.span)?))
    }

    fn pattern_shape(&mut self, pattern: &'a [ast::Axis], found: &Match<'a, '_>) -> R<Vec<Size>> {
        let mut axes = Vec::new();
        for axis in pattern {
            match &axis.kind {
                ast::AxisKind::Pack(name) => match self.size_name(&name.text, name.span)? {
                    crate::sizes::SizeName::Bound(value) => axes.extend(self.as_shape(&value, name.span)?),
                    _ => self.set_local(&name.text, Value::Pack(Rc::new(Vec::new()))),
                },
                ast::AxisKind::Size(expr) => match self.unbound_in(expr)? {
                    None => axes.push(self.size_expr(expr)?),
                    Some((name, _)) => {
                        let title = format!("the size `{name}` cannot be found: {} is a number", subject(&found.what));
                        return self.fail(Code::E0106, found.span, title);
                    }
                },
                ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                    return self.fail(Code::E0122, axis.span, "`_` needs a tensor, and this is a number");
                }
            }
        }
        Ok(axes)
    }

    /// The dtype of what has none and meets none: i32 for integers, f32 for the rest.
    pub fn default_dtype(&self, is_integer: bool) -> DType {
        if is_integer { DType::I32 } else { self.entry.real }
    }
}
