//! Lists of numbers where a tensor is declared, `mean: f32[3] = [0.485, 0.456, 0.406]`, and calls of
//! initialisers, which take their shape from there: `h: f32[10] = zeros()`.

use crate::calls::{CallSite, Expected, args_of};
use crate::cx::Cx;
use crate::sizes::SizeName;
use crate::types::{Element, Form};
use crate::value::{Callee, Function, R, Size, Tensor, Value, shape_of};
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::select::Select;
use mlc_ir::scalar::{CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// Most numbers that a list may have as a tensor: each is code.
const MOST: usize = 1024;

/// Most lists in one another that are looked into.
const DEEPEST: usize = 32;

/// Numbers or truth values in the order of a tensor's elements; of too many only the first.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    shape: Vec<usize>,
    leaves: Vec<Value<'a>>,
    /// Whether the lists at one depth have different lengths.
    ragged: bool,
}

impl<'a> Listed<'a> {
    /// A list of numbers, of truth values, or of such lists; `None` if it holds anything else.
    pub fn of(parts: &[Value<'a>]) -> Option<Listed<'a>> {
        let mut listed = Listed { shape: Vec::new(), leaves: Vec::new(), ragged: false };
        (!parts.is_empty() && listed.add(parts, 0)).then_some(listed)
    }

    /// Whether there is nothing else in `parts`. Lists may share their parts so often that nobody can
    /// count them to the end.
    fn add(&mut self, parts: &[Value<'a>], depth: usize) -> bool {
        if depth >= DEEPEST {
            return false;
        }
        match self.shape.get(depth) {
            None if self.leaves.is_empty() => self.shape.push(parts.len()),
            known => self.ragged |= known != Some(&parts.len()),
        }
        parts.iter().all(|part| match part {
            _ if self.leaves.len() > MOST => true,
            Value::Number(_) | Value::Bool(_) => {
                self.ragged |= self.shape.len() != depth + 1;
                self.leaves.push(part.clone());
                true
            }
            Value::List(inner) => !inner.is_empty() && self.add(inner, depth + 1),
            _ => false,
        })
    }

    /// Whether all of it could be an integer.
    pub fn is_integer(&self) -> bool {
        self.leaves.iter().all(|leaf| matches!(leaf, Value::Number(number) if number.is_integer()))
    }

    /// `[2, 3]`
    pub fn shape_text(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        format!("[{}]", sizes.join(", "))
    }

    pub fn is_bool(&self) -> bool {
        self.leaves.iter().all(|leaf| matches!(leaf, Value::Bool(_)))
    }
}

impl<'a> Cx<'a> {
    /// The numbers of a list as a tensor.
    pub fn listed_tensor(&mut self, listed: Listed<'a>, dtype: DType, span: Span) -> R<Tensor> {
        if listed.leaves.len() > MOST {
            let title = format!("more than {MOST} numbers in a list that is a tensor");
            let error = Diagnostic::error(Code::E0003, span, title)
                .help("larger tables are a `param` of their own, and their values come from a weight file");
            return Err(self.tell(error));
        }
        if listed.ragged {
            return self.fail(Code::E0105, span, "the rows of this list have different lengths");
        }
        let row = vec![Size::plain(listed.leaves.len() as i64)];
        let places = Iota { shape: shape_of(&row), axis: 0, dtype: DType::I32 };
        let places = self.emit(span, places, &[], row.clone())?;
        // A choice for each place costs one instruction for a whole vector; a `concat` would cut vectors apart.
        let mut flat: Option<Tensor> = None;
        for (at, leaf) in listed.leaves.into_iter().enumerate() {
            let shown = self.show_value(&leaf);
            let scalar = self.materialise(leaf, dtype, span)?;
            if scalar.dtype != dtype {
                return self.fail(Code::E0104, span, format!("{shown} cannot become {dtype}"));
            }
            let value = self.broadcast_scalar(scalar, row.clone(), span)?;
            flat = Some(match flat {
                None => value,
                Some(others) => {
                    let place = self.literal(span, Literal::from_i64(DType::I32, at as i64))?;
                    let place = self.broadcast_scalar(place, row.clone(), span)?;
                    let here = self.emit(span, Compare { op: CompareOp::Eq }, &[&places, &place], row.clone())?;
                    self.emit(span, Select, &[&here, &value, &others], row.clone())?
                }
            });
        }
        let Some(flat) = flat else { return Err(self.report.silent()) };
        let axes = listed.shape.iter().map(|size| Size::plain(*size as i64)).collect();
        self.reshape(&flat, axes, span)
    }

    /// A list of numbers as the tensor of `dtype` that it is meant as; other values stay as they are.
    pub fn listed_value(&mut self, value: Value<'a>, dtype: DType, span: Span) -> R<Value<'a>> {
        let Value::List(parts) = &value else { return Ok(value) };
        let Some(listed) = Listed::of(parts) else { return Ok(value) };
        self.listed_tensor(listed, dtype, span).map(Value::Tensor)
    }

    /// The value of an expression behind a declared type: a call of an initialiser gets the shape.
    pub fn declared_value(&mut self, ty: &'a ast::Type, value: &'a ast::Expr) -> R<Value<'a>> {
        let ExprKind::Call { callee, args, .. } = &value.kind else { return self.expr(value) };
        let ExprKind::Name(name) = &callee.kind else { return self.expr(value) };
        let Some(called @ Value::Function(_)) = self.find_name(name, callee.span)? else { return self.expr(value) };
        let Value::Function(function) = &called else { return self.expr(value) };
        if !self.makes_shapes(function)? || !takes_shape(function) {
            return self.expr(value);
        }
        let Some(expected) = self.expected_by(ty)? else { return self.expr(value) };
        let site = CallSite { span: value.span, callee: callee.span, name: name.to_string() };
        self.call_value(called, args_of(args), &site, Some(&expected))
    }

    /// What a type asks of an initialiser, if all of its sizes are known.
    fn expected_by(&mut self, ty: &'a ast::Type) -> R<Option<Expected>> {
        let Form::Tensor { element, axes } = self.form(ty)? else { return Ok(None) };
        let dtype = match element {
            Element::Exact(dtype) => Some(dtype),
            Element::Class(class) => self.class_dtype(class),
        };
        let Some(dtype) = dtype else { return Ok(None) };
        let mut sizes = Vec::new();
        for axis in axes {
            match &axis.kind {
                ast::AxisKind::Size(size) if self.unbound_in(size)?.is_none() => sizes.push(self.size_expr(size)?),
                ast::AxisKind::Pack(name) => match self.size_name(&name.text, name.span)? {
                    SizeName::Bound(pack) => sizes.extend(self.as_shape(&pack, name.span)?),
                    SizeName::Open(_) | SizeName::Unbound => return Ok(None),
                },
                _ => return Ok(None),
            }
        }
        Ok(Some(Expected { dtype, axes: sizes }))
    }
}

/// Whether the shape that a function makes comes from nowhere but the declaration.
fn takes_shape(function: &Function<'_>) -> bool {
    let Callee::Fn { decl, .. } = &function.callee else { return true };
    let Some(ast::Type { kind: ast::TypeKind::Named { axes: Some(axes), .. }, .. }) = &decl.result else {
        return false;
    };
    let is_param = |name: &str| decl.params.iter().any(|param| *param.name.text == *name);
    axes.iter().all(|axis| match &axis.kind {
        ast::AxisKind::Pack(_) => true,
        ast::AxisKind::Size(size) => matches!(&size.kind, ExprKind::Name(name) if !is_param(name)),
        ast::AxisKind::Hole | ast::AxisKind::HolePack => false,
    })
}
