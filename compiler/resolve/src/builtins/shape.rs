//! Other shapes of the same elements: `reshape`, `transpose`, `concat`, `einsum` …

use super::{Args, Arity, Builtin, named};
use crate::axes::Sought;
use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::reverse::Reverse;
use mlc_ir::ops::slice::Slice;
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

pub(super) const ALL: &[Builtin] = &[
    named("reshape", &["x", "shape"], "the same elements in another shape; one size may be -1", reshape),
    named("broadcast", &["x", "shape"], "repeated along axes that are 1 or missing in front", broadcast),
    named("transpose", &["x"], "swaps the last two axes", transpose),
    named("concat", &["xs", "axis", "over"], "tensors one after the other along an axis", concat),
    named(
        "split",
        &["x", "n", "axis", "over"],
        "n equal parts along an axis; of data a part of the rows: `split(0.9)`",
        split,
    ),
    named("pad", &["x", "pairs", "value"], "x with numbers before and behind each axis", pad),
    named("reverse", &["x", "axis", "over"], "from back to front along axes", reverse),
    named("take_along", &["x", "ids", "axis", "over"], "x[…, ids[…], …]: picks along an axis, row by row", take_along),
    Builtin {
        name: "rearrange",
        params: &["x", "pattern"],
        more: "h: 4, …",
        arity: Arity::Rest(2),
        initialiser: false,
        doc: "`\"b t (h d) -> b h t d\"`: splits, reorders and joins axes",
        run: rearrange,
    },
    Builtin {
        name: "einsum",
        params: &["pattern"],
        more: "a, b, …",
        arity: Arity::Rest(1),
        initialiser: false,
        doc: "`\"b i d, b j d -> b i j\"`: sums products over letters",
        run: einsum,
    },
];

fn reshape<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, _) = args.tensor(cx, "x")?;
    let (shape, span) = args.need(cx, "shape")?;
    let mut axes = cx.as_shape(&shape, span)?;
    let total = product(cx, &x.axes, span)?;
    let open: Vec<usize> = (0..axes.len()).filter(|at| axes[*at].dim.is(-1)).collect();
    match open.as_slice() {
        [] => {}
        [at] => {
            let known: Vec<Size> =
                axes.iter().enumerate().filter(|(other, _)| other != at).map(|(_, axis)| axis.clone()).collect();
            let known_product = product(cx, &known, span)?;
            axes[*at] = match total.exact_div(&known_product) {
                Ok(dim) => Size { why: reason(cx, &x.axes, &known, &dim), ..Size::plain(dim) },
                Err(_) => return Err(wrong_count(cx, &x, &axes, span)),
            };
        }
        [_, _, ..] => return cx.fail(Code::E0105, span, "only one size may be -1"),
    }
    cx.check_extent(span, &shape_of(&axes))?;
    if product(cx, &axes, span)?.decide(&total) != Decision::Equal {
        return Err(wrong_count(cx, &x, &axes, span));
    }
    cx.reshape(&x, axes, args.site.span).map(Value::Tensor)
}

fn product<'a>(cx: &mut Cx<'a>, axes: &[Size], span: Span) -> R<Dim> {
    match Dim::product(&shape_of(axes)) {
        Ok(total) => Ok(total),
        Err(_) => cx.fail(Code::E0114, span, "this tensor is too large"),
    }
}

/// `7 * 7 * 64`: the axes that were merged into one.
fn reason(cx: &Cx<'_>, before: &[Size], kept: &[Size], merged: &Dim) -> Option<Rc<str>> {
    let mut left: Vec<&Size> = before.iter().collect();
    for axis in kept {
        let at = left.iter().position(|other| other.dim == axis.dim)?;
        left.remove(at);
    }
    if left.len() < 2 || Dim::product(left.iter().map(|axis| &axis.dim)).ok()? != *merged {
        return None;
    }
    let factors: Vec<String> = left.iter().map(|axis| cx.show_dim(&axis.dim)).collect();
    Some(factors.join(" * ").into())
}

fn wrong_count<'a>(cx: &mut Cx<'a>, x: &Tensor, axes: &[Size], span: Span) -> Reported {
    let (from, to) = (cx.show(x), cx.show_axes(axes));
    let count = |cx: &Cx<'a>, axes: &[Size]| {
        let factors: Vec<String> =
            axes.iter().filter(|axis| !axis.dim.is(-1)).map(|axis| cx.show_dim(&axis.dim)).collect();
        let dims: Vec<Dim> = axes.iter().filter(|axis| !axis.dim.is(-1)).map(|axis| axis.dim.clone()).collect();
        match Dim::product(&dims) {
            Ok(total) => format!("{} = {}", cx.show_dim(&total), factors.join(" * ")),
            Err(_) => factors.join(" * "),
        }
    };
    let (before, after) = (count(cx, &x.axes), count(cx, axes));
    let error = Diagnostic::error(Code::E0105, span, format!("{from} cannot be reshaped to {to}"))
        .note(format!("before: {before} elements; after: {after}"));
    cx.tell(error)
}

fn broadcast<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    let axes = args.shape(cx, "shape")?;
    let missing = axes.len().checked_sub(x.rank());
    let fits = missing.is_some_and(|missing| {
        x.axes
            .iter()
            .zip(&axes[missing..])
            .all(|(from, to)| from.dim.is(1) || from.dim.decide(&to.dim) == Decision::Equal)
    });
    if !fits {
        let (from, to) = (cx.show(&x), cx.show_axes(&axes));
        let error = Diagnostic::error(Code::E0105, span, format!("{from} cannot be broadcast to {to}"))
            .note("shapes are aligned from the right; an axis stretches only if it is 1 or missing");
        return Err(cx.tell(error));
    }
    cx.stretch(&x, &axes, args.site.span).map(Value::Tensor)
}

fn transpose<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    if x.rank() < 2 {
        let shown = cx.show(&x);
        return cx.fail(Code::E0117, span, format!("`transpose` swaps the last two axes, and this is {shown}"));
    }
    let mut perm: Vec<usize> = (0..x.rank()).collect();
    perm.swap(x.rank() - 2, x.rank() - 1);
    cx.permute(&x, perm, args.site.span).map(Value::Tensor)
}

/// The axis of a tensor that `axis:` or `over:` names.
pub(super) fn one_axis<'a>(cx: &mut Cx<'a>, args: &Args<'a>, operand: &Tensor) -> R<usize> {
    let site = args.site.span;
    let (axes, span) = match args.over {
        Some(over) => (cx.axes_by_name(&Sought::of(operand, site), over)?, over.span),
        None => {
            let (value, span) = args.need(cx, "axis")?;
            (cx.axes_by_number(operand.rank(), &value, span)?, span)
        }
    };
    match axes.as_slice() {
        [axis] => Ok(*axis),
        _ => cx.fail(Code::E0117, span, format!("`{}` works along one axis", args.builtin.name)),
    }
}

fn concat<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (list, span) = args.need(cx, "xs")?;
    let parts = match list {
        Value::List(parts) | Value::Tuple(parts) => parts.to_vec(),
        other => {
            let error = Diagnostic::error(
                Code::E0122,
                span,
                format!("`concat` takes a list, and this is {}", other.describe()),
            )
            .help("write `concat([a, b], axis: -1)`");
            return Err(cx.tell(error));
        }
    };
    let dtype = parts.iter().find_map(|part| match part {
        Value::Tensor(tensor) => Some(tensor.dtype),
        _ => None,
    });
    let mut tensors = Vec::new();
    for part in parts {
        tensors.push(match dtype {
            Some(dtype) => cx.materialise(part, dtype, span)?,
            None => cx.tensor(part, span)?,
        });
    }
    let Some(first) = tensors.first().cloned() else {
        if let Some(reported) = cx.told_in_function() {
            return Err(reported); // what should have filled the list has been told
        }
        return cx.fail(Code::E0119, span, "`concat` takes at least one tensor");
    };
    let axis = one_axis(cx, &args, &first)?;
    let mut axes = first.axes.clone();
    for other in &tensors[1..] {
        let same = other.dtype == first.dtype
            && other.rank() == first.rank()
            && (0..first.rank())
                .all(|at| at == axis || other.axes[at].dim.decide(&first.axes[at].dim) == Decision::Equal);
        if !same {
            let (a, b) = (cx.show(&first), cx.show(other));
            let error =
                Diagnostic::error(Code::E0105, span, format!("these cannot be joined along axis {axis}: {a} and {b}"))
                    .note("all sizes but that of the joined axis are equal");
            // What was halved and doubled again is what it was if nothing was cut off.
            let halved = (a.contains("floor(") || b.contains("floor(")) && other.rank() == first.rank();
            return Err(cx.tell(match halved {
                true => {
                    error.help("if a size always divides, the function says so: `fn f(…) -> … requires H % 4 == 0`")
                }
                false => error,
            }));
        }
        let Ok(sum) = axes[axis].dim.add(&other.axes[axis].dim) else {
            return cx.fail(Code::E0114, span, "the joined axis is too large");
        };
        axes = axes.iter().zip(&other.axes).map(|(mine, other)| mine.meet(other)).collect();
        axes[axis] = Size::plain(sum);
    }
    let operands: Vec<&Tensor> = tensors.iter().collect();
    cx.emit(args.site.span, Concat { axis }, &operands, axes).map(Value::Tensor)
}

fn split<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    if let Some((Value::Pipeline(data), _)) = args.get("x") {
        return crate::pipeline::divide(cx, &data, &args);
    }
    let (x, span) = args.tensor(cx, "x")?;
    let (value, count_span) = args.need(cx, "n")?;
    let count = cx.as_int(&value, count_span)?;
    let axis = one_axis(cx, &args, &x)?;
    if !(1..=crate::exprs::MOST_PARTS).contains(&count) {
        return cx.fail(Code::E0114, count_span, format!("{count} parts"));
    }
    let size = &x.axes[axis].dim;
    let Ok(part) = size.exact_div(&Dim::from(count)) else {
        let shown = cx.show(&x);
        let size = cx.show_dim(size);
        return cx.fail(
            Code::E0113,
            span,
            format!("axis {axis} of {shown} does not split into {count} equal parts: {size} / {count}"),
        );
    };
    let mut parts = Vec::new();
    for at in 0..count {
        let start = match part.mul(&Dim::from(at)) {
            Ok(start) => start,
            Err(_) => return cx.fail(Code::E0114, span, "this size is too large"),
        };
        parts.push(Value::Tensor(cut(cx, &x, axis, start, part.clone(), 1, args.site.span)?));
    }
    Ok(Value::Tuple(Rc::new(parts)))
}

/// `x[…, start : start + size·step : step, …]`
pub(crate) fn cut<'a>(
    cx: &mut Cx<'a>,
    x: &Tensor,
    axis: usize,
    start: Dim,
    size: Dim,
    step: i64,
    span: Span,
) -> R<Tensor> {
    let mut starts = vec![Dim::zero(); x.rank()];
    let mut axes = x.axes.clone();
    let mut steps = vec![1; x.rank()];
    let whole = size == x.axes[axis].dim;
    (starts[axis], steps[axis]) = (start, step);
    if !whole {
        axes[axis] = Size::plain(size);
    }
    cx.emit(span, Slice { starts, sizes: shape_of(&axes), steps }, &[x], axes)
}

fn pad<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, _) = args.tensor(cx, "x")?;
    let (pairs, span) = args.need(cx, "pairs")?;
    let pairs = cx.pairs(&pairs, x.rank(), span)?;
    let value = match args.get("value") {
        None => 0.0,
        Some((Value::Number(number), value_span)) => match number.as_f64() {
            Some(value) if x.dtype.is_float() || number.is_integer() => value,
            _ => return cx.fail(Code::E0104, value_span, format!("this number cannot become {}", x.dtype)),
        },
        Some((Value::Bool(value), _)) if x.dtype == DType::Bool => f64::from(u8::from(value)),
        Some((other, value_span)) => {
            let title = format!("`value` is a number known when compiling, and this is {}", other.describe());
            return cx.fail(Code::E0122, value_span, title);
        }
    };
    let mut axes = Vec::new();
    for (axis, (low, high)) in x.axes.iter().zip(&pairs) {
        let sum = low.checked_add(*high).map(Dim::from).and_then(|more| axis.dim.add(&more).ok());
        axes.push(match sum {
            Some(_) if (*low, *high) == (0, 0) => axis.clone(),
            Some(dim) => Size::plain(dim),
            None => return cx.fail(Code::E0114, span, "this size is too large"),
        });
    }
    cx.check_extent(span, &shape_of(&axes))?;
    let (low, high) = pairs.into_iter().unzip();
    let op = Pad { low, high, interior: vec![0; x.rank()], fill: Literal::from_f64(x.dtype, value) };
    cx.emit(args.site.span, op, &[&x], axes).map(Value::Tensor)
}

fn reverse<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, span) = args.tensor(cx, "x")?;
    let mut axes = match args.over {
        Some(over) => cx.axes_by_name(&Sought::of(&x, span), over)?,
        None => {
            let (value, axis_span) = args.need(cx, "axis")?;
            cx.axes_by_number(x.rank(), &value, axis_span)?
        }
    };
    axes.sort_unstable();
    let sizes = x.axes.clone();
    cx.emit(args.site.span, Reverse { axes }, &[&x], sizes).map(Value::Tensor)
}

fn take_along<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, _) = args.tensor(cx, "x")?;
    let (ids, ids_span) = args.tensor(cx, "ids")?;
    let axis = one_axis(cx, &args, &x)?;
    cx.take_along(&x, &ids, axis, args.site.span, ids_span).map(Value::Tensor)
}

fn rearrange<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, _) = args.tensor(cx, "x")?;
    let (pattern, span) = args.text(cx, "pattern")?;
    if let Some((_, extra)) = args.rest.first() {
        return cx.fail(Code::E0103, *extra, "sizes of letters are named: `h: Heads`");
    }
    let mut sizes = Vec::new();
    for (name, (value, value_span)) in &args.named_rest {
        sizes.push((name.clone(), cx.as_size(value.clone(), *value_span)?));
    }
    cx.rearrange(&x, &pattern, span, &sizes, args.site.span).map(Value::Tensor)
}

fn einsum<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (pattern, span) = args.text(cx, "pattern")?;
    let dtype = args.rest.iter().find_map(|(value, _)| match value {
        Value::Tensor(tensor) => Some(tensor.dtype),
        _ => None,
    });
    let mut operands = Vec::new();
    for (value, value_span) in args.rest.clone() {
        operands.push(match dtype {
            Some(dtype) => cx.materialise(value, dtype, value_span)?,
            None => cx.tensor(value, value_span)?,
        });
    }
    if let Some((name, (_, extra))) = args.named_rest.first() {
        return cx.fail(Code::E0103, *extra, format!("`einsum` has no argument `{name}`"));
    }
    cx.einsum(&pattern, span, operands, args.site.span).map(Value::Tensor)
}
