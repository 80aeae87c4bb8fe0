//! Elements in order, and running sums and products.

use super::shape::{cut, one_axis};
use super::{Args, Builtin, named};
use crate::cx::Cx;
use crate::number;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Relation, SizeCheck};
use mlc_ir::index::{SortOrder, Start};
use mlc_ir::ops::arg_sort::ArgSort;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::cum_sum::CumSum;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::recur::Recur;
use mlc_ir::ops::select::Select;
use mlc_ir::scalar::{CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

pub(super) const ALL: &[Builtin] = &[
    named("sort", &["x", "axis", "over"], "the elements along an axis from the smallest on, and where they were", sort),
    named("top_k", &["x", "k", "axis", "over"], "the k largest along an axis (the last), and where they were", top_k),
    named("cumsum", &["x", "axis", "over"], "sums along an axis up to and with each element; of bool: counts", cumsum),
    named("cumprod", &["x", "axis", "over"], "products along an axis up to and with each element", cumprod),
];

fn sort<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = ordered(cx, &args)?;
    let axis = one_axis(cx, &args, &x)?;
    let places = places(cx, &x, axis, SortOrder::Ascending, span)?;
    picked(cx, &x, places, axis, span)
}

fn top_k<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = ordered(cx, &args)?;
    let axis = match (args.over, args.get("axis")) {
        (None, None) if x.rank() > 0 => x.rank() - 1,
        _ => one_axis(cx, &args, &x)?,
    };
    let (k, k_span) = args.need(cx, "k")?;
    let k = cx.as_size(k, k_span)?;
    let size = x.axes[axis].dim.clone();
    cx.check_extent(k_span, std::slice::from_ref(&k.dim))?;
    match number::compare_sizes(CompareOp::Le, &k.dim, &size) {
        Some(true) => {}
        Some(false) => {
            let (k, size, shown) = (cx.show_dim(&k.dim), cx.show_dim(&size), cx.show(&x));
            let title = format!("the {k} largest of {size} elements along axis {axis} of {shown}");
            return cx.fail(Code::E0117, k_span, title);
        }
        None => {
            let text = format!("`k` of `top_k` and axis {axis} of {}", cx.show(&x));
            let span = cx.place(k_span);
            let check = SizeCheck { left: k.dim.clone(), relation: Relation::AtMost, right: size, span, text };
            cx.entry.checks.push(check);
        }
    }
    let places = places(cx, &x, axis, SortOrder::Descending, span)?;
    let first = cut(cx, &places, axis, Dim::zero(), k.dim.clone(), 1, span)?;
    let mut axes = first.axes.clone();
    axes[axis] = k;
    picked(cx, &x, Tensor { axes, ..first }, axis, span)
}

/// An operand whose elements have an order.
fn ordered<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<(Tensor, Span)> {
    let (x, span) = args.tensor(cx, "x")?;
    let name = args.builtin.name;
    if x.dtype == DType::Bool {
        let error =
            Diagnostic::error(Code::E0104, span, format!("`{name}` does not take bool")).help("write `cast(x, i32)`");
        return Err(cx.tell(error));
    }
    if x.rank() == 0 {
        let shown = cx.show(&x);
        return cx.fail(Code::E0117, span, format!("`{name}` works along an axis, and this is {shown}"));
    }
    Ok((x, args.site.span))
}

/// Where the elements along an axis are, in their order.
fn places<'a>(cx: &mut Cx<'a>, x: &Tensor, axis: usize, order: SortOrder, span: Span) -> R<Tensor> {
    let mut perm: Vec<usize> = (0..x.rank()).filter(|at| *at != axis).collect();
    perm.push(axis);
    let back: Vec<usize> = (0..x.rank()).map(|at| perm.iter().position(|from| *from == at).unwrap_or(at)).collect();
    let rows = cx.permute(x, perm, span)?;
    let places = cx.emit(span, ArgSort { order }, &[&rows], rows.axes.clone())?;
    cx.permute(&places, back, span)
}

/// The elements at places along an axis, and the places.
fn picked<'a>(cx: &mut Cx<'a>, x: &Tensor, places: Tensor, axis: usize, span: Span) -> R<Value<'a>> {
    let values = cx.pick_along(x, &places, axis, span)?;
    Ok(Value::Tuple(Rc::new(vec![Value::Tensor(values), Value::Tensor(places)])))
}

fn cumsum<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    let axis = one_axis(cx, &args, &x)?;
    let x = if x.dtype == DType::Bool { cx.cast(&x, DType::I32, span)? } else { x };
    let axes = x.axes.clone();
    cx.emit(args.site.span, CumSum { axis, from: Start::Front }, &[&x], axes).map(Value::Tensor)
}

/// A recurrence whose only term is the first element.
fn cumprod<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, _) = args.tensor(cx, "x")?;
    let span = args.site.span;
    let axis = one_axis(cx, &args, &x)?;
    if x.dtype == DType::Bool {
        return cx.fail(Code::E0104, span, "`cumprod` does not take bool");
    }
    let axes: Vec<Size> = x.axes.clone();
    let place = cx.emit(span, Iota { shape: shape_of(&axes), axis, dtype: DType::I32 }, &[], axes.clone())?;
    let spread = |cx: &mut Cx<'a>, literal| {
        let scalar = cx.literal(span, literal)?;
        cx.broadcast_scalar(scalar, axes.clone(), span)
    };
    let (start, none) = (spread(cx, Literal::zero(DType::I32))?, spread(cx, Literal::zero(x.dtype))?);
    let first = cx.emit(span, Compare { op: CompareOp::Eq }, &[&place, &start], axes.clone())?;
    let term = cx.emit(span, Select, &[&first, &x, &none], axes.clone())?;
    cx.emit(span, Recur { axis, from: Start::Front }, &[&x, &term], axes).map(Value::Tensor)
}
