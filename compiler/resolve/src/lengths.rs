//! Results whose length the data decides (rule 22): `return out[:, :len]` in an exported function whose
//! result type has a size of its own, `-> i32[1, N] requires N <= 256`. The entry computes the whole
//! axis and the length beside it; the length is tested before anything is kept.

use crate::cx::Cx;
use crate::faults::Indices;
use crate::report::Reported;
use crate::sizes::SizeName;
use crate::types::Form;
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::dim::Decision;
use mlc_ir::graph::{Checked, Output};
use mlc_ir::ops::slice::Slice;
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind, Index};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// A size that only the result of an exported function has.
#[derive(Clone, Debug)]
pub(crate) struct Length<'a> {
    /// `N`
    name: Arc<str>,
    /// Where the result type says so.
    span: Span,
    /// Which of the results.
    field: usize,
    /// Which of its axes.
    axis: usize,
    /// `256` of `requires N <= 256`.
    bound: Option<&'a ast::Expr>,
}

/// The length of a result, in an entry.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub name: Arc<str>,
    pub field: usize,
    pub axis: usize,
    pub value: Tensor,
}

impl<'a> Cx<'a> {
    /// The sizes that only the result type of `decl` has, when its arguments are bound.
    pub fn lengths(&mut self, decl: &'a ast::Fn) -> R<Vec<Length<'a>>> {
        let Some(result) = &decl.result else { return Ok(Vec::new()) };
        let fields: Vec<&'a ast::Type> = match &result.kind {
            ast::TypeKind::Tuple { fields, .. } => fields.iter().map(|(_, ty)| ty).collect(),
            ast::TypeKind::Named { .. } => vec![result],
        };
        let mut found = Vec::new();
        for (field, ty) in fields.into_iter().enumerate() {
            let Form::Tensor { axes, .. } = self.form(ty)? else { continue };
            for (axis, written) in axes.iter().enumerate() {
                let ast::AxisKind::Size(ast::Expr { kind: ExprKind::Name(name), span }) = &written.kind else {
                    continue;
                };
                let fresh =
                    name.starts_with(char::is_uppercase) && matches!(self.size_name(name, *span)?, SizeName::Unbound);
                if fresh {
                    let bound = decl.requires.iter().find_map(|condition| bound_of(condition, name));
                    found.push(Length { name: name.clone(), span: *span, field, axis, bound });
                }
            }
        }
        Ok(found)
    }

    /// A call inside the program of a function whose length nobody knows before it has run.
    pub fn refuse_length(&mut self, decl: &'a ast::Fn, call: Span) -> R<()> {
        if decl.requires.is_empty() {
            return Ok(());
        }
        let lengths = self.lengths(decl)?;
        let Some(length) = lengths.iter().find(|length| length.bound.is_some()) else { return Ok(()) };
        let (name, function) = (&length.name, &decl.name.text);
        let title = format!("the size `{name}` of what `{function}` returns is known only when it has run");
        let error = Diagnostic::error(Code::E0106, call, title)
            .also(length.span, format!("`{name}` is no size of the arguments"))
            .note("a length that the data decides is for who calls the program: an exported function returns it")
            .help(
                "let a function return the whole axis and its length, and use a mask: `where(iota(256) < len, x, 0)`",
            );
        Err(self.tell(error))
    }

    /// The lengths of an exported function, each with its bound.
    pub fn bounded_lengths(&mut self, decl: &'a ast::Fn) -> R<Vec<Length<'a>>> {
        let lengths = self.lengths(decl)?;
        match lengths.iter().find(|length| length.bound.is_none()) {
            Some(length) => Err(self.unbounded(decl, length)),
            None => Ok(lengths),
        }
    }

    fn unbounded(&mut self, decl: &'a ast::Fn, length: &Length<'a>) -> Reported {
        let name = &length.name;
        let title = format!("the size `{name}` is only in the result of `{}`", decl.name.text);
        let error = Diagnostic::error(Code::E0106, length.span, title)
            .note("a result type mentions sizes of the arguments, constructor arguments and constants")
            .help("write `_` for one axis that the body decides, `*_` for any number of them")
            .help(format!(
                "a length that the data decides has a bound: `requires {name} <= 256`, and `return x[:len]`"
            ));
        self.tell(error)
    }

    /// Whether a condition is the bound of a length, which is no requirement on the caller.
    pub fn is_bound(lengths: &[Length<'a>], condition: &ast::Expr) -> bool {
        lengths.iter().any(|length| bound_of(condition, &length.name).is_some())
    }

    /// The values of a `return` in a function with lengths: where a result is cut, the whole of it.
    pub fn return_cut(&mut self, values: &'a [ast::Expr], lengths: &[Length<'a>]) -> R<Value<'a>> {
        let mut parts = Vec::new();
        for (field, value) in values.iter().enumerate() {
            let mine: Vec<&Length<'a>> = lengths.iter().filter(|length| length.field == field).collect();
            parts.push(match mine[..] {
                [] => self.expr(value)?,
                [length] => self.cut_result(value, length)?,
                [_, second, ..] => {
                    let title = format!("`{}` is a second length of one result", second.name);
                    return self.fail(Code::E0122, second.span, title);
                }
            });
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(Value::Tuple(parts.into())),
        }
    }

    fn cut_result(&mut self, value: &'a ast::Expr, length: &Length<'a>) -> R<Value<'a>> {
        let (Some(bound), ExprKind::Index { base, indices }) = (length.bound, &value.kind) else {
            return Err(self.not_cut(value, length));
        };
        let bound_size = self.size_expr(bound)?;
        let base_value = self.expr(base)?;
        let x = self.tensor(base_value, base.span)?;
        let places =
            (0..indices.len()).filter(|at| matches!(indices[*at], Index::Slice { start: None, end: Some(_), .. }));
        for at in places.collect::<Vec<_>>() {
            let Index::Slice { end: Some(end), step: None, .. } = &indices[at] else { continue };
            let Some((whole, axis)) = self.without_cut(&x, indices, at, value.span)? else { continue };
            if axis != length.axis {
                continue;
            }
            let len = self.expr(end)?;
            let len = self.tensor(len, end.span)?;
            if !matches!(len.dtype, DType::I32 | DType::I64) || !len.axes.is_empty() {
                let shown = self.show(&len);
                return self.fail(Code::E0104, end.span, format!("a length is an integer, and this is {shown}"));
            }
            let len = self.cast(&len, DType::I32, end.span)?;
            let whole = self.bounded(whole, axis, &bound_size, bound, value.span)?;
            self.check_length(&len, length, &bound_size, end.span)?;
            let (name, field) = (length.name.clone(), length.field);
            self.set_local(&length.name, Value::size(bound_size));
            self.entry.lengths.push(Found { name, field, axis, value: len });
            return Ok(Value::Tensor(whole));
        }
        Err(self.not_cut(value, length))
    }

    fn not_cut(&mut self, value: &'a ast::Expr, length: &Length<'a>) -> Reported {
        let name = &length.name;
        let error = Diagnostic::error(Code::E0109, value.span, format!("nothing says how long `{name}` is"))
            .also(length.span, format!("`{name}` is a size of the result alone"))
            .help("cut the result where it is returned: `return out[:, :len]`");
        self.tell(error)
    }

    /// `x[…]` without the cut at one place: the tensor, and the axis that would be cut. None where an
    /// ellipsis behind the cut has indices behind it.
    fn without_cut(&mut self, x: &Tensor, indices: &'a [Index], at: usize, span: Span) -> R<Option<(Tensor, usize)>> {
        let used = |part: &[Index]| part.iter().filter(|i| matches!(i, Index::At(_) | Index::Slice { .. })).count();
        let is_ellipsis = |index: &Index| matches!(index, Index::Ellipsis(_));
        let (before, after) = (&indices[..at], &indices[at + 1..]);
        let inner = after.iter().position(is_ellipsis);
        if used(indices) > x.rank() || inner.is_some_and(|place| place + 1 < after.len()) {
            return Ok(None);
        }
        let front = self.index_tensor(x, before, span)?;
        let axis = match before.iter().any(is_ellipsis) {
            true => front.rank() - used(after) - 1,
            false => front.rank() - (x.rank() - used(before)),
        };
        // The axes behind the cut come to the front for their indices, and go back.
        let behind = front.rank() - axis - 1;
        let turned: Vec<usize> = (axis + 1..front.rank()).chain(0..=axis).collect();
        let turned = self.permute(&front, turned, span)?;
        let indexed = self.index_tensor(&turned, after, span)?;
        let left = indexed.rank() + behind - turned.rank();
        let back: Vec<usize> = (left..indexed.rank()).chain(0..left).collect();
        Ok(Some((self.permute(&indexed, back, span)?, axis)))
    }

    /// The tensor with the bound as its size along an axis.
    fn bounded(&mut self, x: Tensor, axis: usize, bound: &Size, written: &'a ast::Expr, span: Span) -> R<Tensor> {
        let size = &x.axes[axis].dim;
        if size.decide(&bound.dim) == Decision::Equal {
            return Ok(x);
        }
        let longer = crate::number::compare_sizes(mlc_ir::scalar::CompareOp::Ge, size, &bound.dim) == Some(true);
        if !longer {
            let (size, limit) = (self.show_dim(size), self.show_dim(&bound.dim));
            let title = format!("this axis has the size {size}, and the bound of the length is {limit}");
            let error = Diagnostic::error(Code::E0109, span, title)
                .also(written.span, "bounded here")
                .help("the caller gets room for the bound: let both be the same size");
            return Err(self.tell(error));
        }
        let mut axes = x.axes.clone();
        axes[axis] = bound.clone();
        let sizes = crate::value::shape_of(&axes);
        let op = Slice { starts: vec![mlc_ir::dim::Dim::zero(); axes.len()], steps: vec![1; axes.len()], sizes };
        self.emit(span, op, &[&x], axes)
    }

    /// `0 <= len <= bound`, tested when the entry runs.
    fn check_length(&mut self, len: &Tensor, length: &Length<'a>, bound: &Size, span: Span) -> R<()> {
        let Ok(beyond) = bound.dim.add(&mlc_ir::dim::Dim::one()) else {
            return self.fail(Code::E0114, span, "this bound is too large");
        };
        let text = format!("`{}` of the result", length.name);
        self.fault_outside(&Indices { ids: len, bound: beyond, text, checked: Checked::Length }, span)
    }

    /// The lengths of the entry's results, behind these.
    pub fn length_outputs(&mut self, names: &[String], span: Span) -> R<Vec<(Output, mlc_ir::graph::Value)>> {
        let found = self.entry.lengths.clone();
        let mut outputs = Vec::new();
        for length in found {
            if names.iter().any(|name| **name == *length.name) {
                let title = format!("`{}` is the name of a result and of its length", length.name);
                return self.fail(Code::E0102, span, title);
            }
            outputs.push((Output::Result(length.name.to_string()), length.value.value));
        }
        Ok(outputs)
    }
}

/// `bound` of `name <= bound` or `bound >= name`.
fn bound_of<'a>(condition: &'a ast::Expr, name: &str) -> Option<&'a ast::Expr> {
    let ExprKind::Binary { op, left, right, .. } = &condition.kind else { return None };
    let is_name = |side: &ast::Expr| matches!(&side.kind, ExprKind::Name(text) if **text == *name);
    match op {
        ast::BinaryOp::Le if is_name(left) => Some(right),
        ast::BinaryOp::Ge if is_name(right) => Some(left),
        _ => None,
    }
}
