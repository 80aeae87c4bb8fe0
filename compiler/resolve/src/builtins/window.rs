//! Windows over space: `conv` and `window`. Channels come last.

use super::{Args, Builtin, named};
use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// A window has at most so many places.
const MOST_PLACES: i64 = 256;

pub(super) const ALL: &[Builtin] = &[
    named(
        "conv",
        &["x", "w", "stride", "pad", "dilation", "groups", "transposed"],
        "convolution of [B, *S, I] with [*K, I / groups, O], or its adjoint; pad: one pair for each axis",
        conv,
    ),
    named("window", &["x", "op", "size", "stride", "pad"], "\"max\" or \"sum\" over windows of [B, *S, C]", window),
];

/// Sizes of one spatial axis.
struct Along {
    size: i64,
    stride: i64,
    dilation: i64,
    pad: (i64, i64),
}

fn conv<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, x_span) = args.tensor(cx, "x")?;
    let (w, w_span) = args.tensor(cx, "w")?;
    let transposed = args.bool_or(cx, "transposed", false)?;
    if x.dtype != w.dtype || !x.dtype.is_float() || x.rank() != w.rank() || x.rank() < 3 {
        let (a, b) = (cx.show(&x), cx.show(&w));
        return cx.fail(
            Code::E0105,
            x_span.to(w_span),
            format!("`conv` takes [B, *S, I] and [*K, I, O] of one float dtype: {a} and {b}"),
        );
    }
    let spatial = x.rank() - 2;
    let strides = args.ints(cx, "stride", spatial, 1)?;
    let dilations = args.ints(cx, "dilation", spatial, 1)?;
    let groups = args.int_or(cx, "groups", 1)?;
    let pads = match args.get("pad") {
        Some((value, span)) => cx.pairs(&value, spatial, span)?,
        None => vec![(0, 0); spatial],
    };
    channels_fit(cx, &x, &w, groups, &args)?;
    if transposed {
        let geometry = Geometry { strides, pads, dilations, groups };
        return transposed_conv(cx, &x, &w, geometry, &args).map(Value::Tensor);
    }
    let mut axes = vec![x.axes[0].clone()];
    for at in 0..spatial {
        let Some(size) = w.axes[at].dim.as_const() else {
            return cx.fail(Code::E0110, w_span, "the kernel's sizes must be known when compiling");
        };
        let along = Along { size, stride: strides[at], dilation: dilations[at], pad: pads[at] };
        axes.push(placed(cx, &x.axes[1 + at], &along, &args)?);
    }
    axes.push(w.axes[w.rank() - 1].clone());
    let geometry = Geometry { strides, pads, dilations, groups };
    let op = Conv { role: ConvRole::Output, geometry, extents: Vec::new() };
    cx.emit(args.site.span, op, &[&x, &w], axes).map(Value::Tensor)
}

/// The adjoint of the convolution that takes [B, *S', O] to [B, *S, I]: each element of `x` adds the
/// kernel at its place of the result, `S' = (S - 1) * stride + dilation * (K - 1) + 1 - pads`.
fn transposed_conv<'a>(cx: &mut Cx<'a>, x: &Tensor, w: &Tensor, geometry: Geometry, args: &Args<'a>) -> R<Tensor> {
    let span = args.site.span;
    let spatial = geometry.rank();
    let mut axes = vec![x.axes[0].clone()];
    for at in 0..spatial {
        let (size, kernel) = (&x.axes[1 + at].dim, &w.axes[at].dim);
        let (stride, dilation, (low, high)) = (geometry.strides[at], geometry.dilations[at], geometry.pads[at]);
        if stride < 1 || dilation < 1 {
            return cx.fail(Code::E0114, span, format!("stride {stride}, dilation {dilation}: both are at least 1"));
        }
        let length = (|| {
            let moved = size.sub(&Dim::one())?.mul(&Dim::from(stride))?;
            let covered = kernel.sub(&Dim::one())?.mul(&Dim::from(dilation))?.add(&Dim::one())?;
            moved.add(&covered)?.sub(&Dim::from(low))?.sub(&Dim::from(high))
        })();
        match length {
            Ok(length) => axes.push(if length == *size { x.axes[1 + at].clone() } else { Size::plain(length) }),
            Err(_) => return cx.fail(Code::E0114, span, "these sizes are too large"),
        }
    }
    axes.push(w.axes[w.rank() - 1].clone());
    cx.check_extent(span, &shape_of(&axes))?;
    let w = with_channels_swapped(cx, w, geometry.groups, span)?;
    let extents = shape_of(&axes[1..=spatial]).to_vec();
    let strided = Conv { role: ConvRole::Input, geometry, extents };
    let Some((dense, pad)) = strided.dense(&w.ty(), &x.ty()) else {
        return cx.emit(span, strided, &[&w, x], axes);
    };
    if pad.interior.iter().all(|between| *between == 0) {
        return cx.emit(span, strided, &[&w, x], axes);
    }
    let spread = cx.emit_values(span, pad, &[x.value])?[0];
    let value = cx.emit_values(span, dense, &[w.value, spread])?[0];
    Ok(Tensor { value, dtype: x.dtype, axes })
}

/// [*K, I / groups, O] as the kernel of the convolution from O to I channels: [*K, O / groups, I].
fn with_channels_swapped<'a>(cx: &mut Cx<'a>, w: &Tensor, groups: i64, span: Span) -> R<Tensor> {
    let rank = w.rank();
    let (input, output) = (w.axes[rank - 2].clone(), w.axes[rank - 1].clone());
    let spatial = w.axes[..rank - 2].to_vec();
    let with = |channels: &[Size]| spatial.iter().chain(channels).cloned().collect::<Vec<_>>();
    if groups == 1 {
        let perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        return cx.permute(w, perm, span);
    }
    let count = Dim::from(groups);
    let (Ok(part), Ok(all)) = (output.dim.exact_div(&count), input.dim.mul(&count)) else {
        return cx.fail(Code::E0114, span, "these channels do not divide into the groups");
    };
    let (part, groups) = (Size::plain(part), Size::plain(count));
    let w = cx.reshape(w, with(&[input, groups, part.clone()]), span)?;
    let perm = (0..rank - 2).chain([rank, rank - 1, rank - 2]).collect();
    let w = cx.permute(&w, perm, span)?;
    cx.reshape(&w, with(&[part, Size::plain(all)]), span)
}

fn channels_fit<'a>(cx: &mut Cx<'a>, x: &Tensor, w: &Tensor, groups: i64, args: &Args<'a>) -> R<()> {
    let (input, group, output) = (&x.axes[x.rank() - 1].dim, &w.axes[w.rank() - 2].dim, &w.axes[w.rank() - 1].dim);
    let whole = group.mul(&Dim::from(groups)).ok();
    let divides = output.as_const().is_none_or(|output| groups > 0 && output % groups == 0);
    if groups >= 1 && whole.as_ref() == Some(input) && divides {
        return Ok(());
    }
    let (i, g, o) = (cx.show_dim(input), cx.show_dim(group), cx.show_dim(output));
    let title = format!("channels do not agree: {i} in the image, {g} * {groups} groups in the kernel, {o} out");
    cx.fail(Code::E0107, args.site.span, title)
}

/// The size of an axis behind a window: `floor((in + low + high - extent) / stride) + 1`.
fn placed<'a>(cx: &mut Cx<'a>, axis: &Size, along: &Along, args: &Args<'a>) -> R<Size> {
    let span = args.site.span;
    let Along { size, stride, dilation, pad: (low, high) } = *along;
    if size < 1 || stride < 1 || dilation < 1 {
        return cx.fail(
            Code::E0114,
            span,
            format!("kernel {size}, stride {stride}, dilation {dilation}: all are at least 1"),
        );
    }
    let room = (|| {
        let extent = (size - 1).checked_mul(dilation)?.checked_add(1)?;
        let padded = axis.dim.add(&Dim::from(low.checked_add(high)?)).ok()?;
        Some((extent, padded.sub(&Dim::from(extent)).ok()?))
    })();
    let Some((extent, room)) = room else {
        return cx.fail(Code::E0114, span, "these sizes are too large");
    };
    if room.range().1 < 0 {
        return Err(too_large(cx, axis, extent, (low, high), span));
    }
    let places = room.floor_div(stride).and_then(|places| places.add(&Dim::one()));
    match places {
        Ok(dim) => Ok(if dim == axis.dim { axis.clone() } else { Size { why: None, ..Size::plain(dim) } }),
        Err(_) => cx.fail(Code::E0114, span, "these sizes are too large"),
    }
}

fn too_large<'a>(cx: &mut Cx<'a>, axis: &Size, extent: i64, (low, high): (i64, i64), span: Span) -> Reported {
    let input = cx.show_dim(&axis.dim);
    let padded = if (low, high) == (0, 0) { String::new() } else { format!(" + {low} + {high} of padding") };
    let error = Diagnostic::error(
        Code::E0115,
        span,
        format!("the kernel covers {extent} places, and its input has {input}{padded}"),
    )
    .note(format!("places of the kernel: {input}{padded} - {extent} + 1, less than 1"))
    .help("take a smaller kernel, or `padding: \"same\"`, or pool less before");
    cx.tell(error)
}

fn window<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (x, x_span) = args.tensor(cx, "x")?;
    let (op, op_span) = args.text(cx, "op")?;
    if x.rank() < 3 || !x.dtype.is_float() {
        let shown = cx.show(&x);
        return cx.fail(
            Code::E0105,
            x_span,
            format!("`{}` takes floats of [B, *S, C], and this is {shown}", args.builtin.name),
        );
    }
    let spatial = x.rank() - 2;
    let size = args.ints(cx, "size", spatial, 1)?;
    let strides = args.ints(cx, "stride", spatial, 1)?;
    let pads = match args.get("pad") {
        Some((value, span)) => cx.pairs(&value, spatial, span)?,
        None => vec![(0, 0); spatial],
    };
    let mut axes = vec![x.axes[0].clone()];
    for at in 0..spatial {
        let along = Along { size: size[at], stride: strides[at], dilation: 1, pad: pads[at] };
        axes.push(placed(cx, &x.axes[1 + at], &along, &args)?);
    }
    axes.push(x.axes[x.rank() - 1].clone());
    let places = size.iter().try_fold(1i64, |places, size| places.checked_mul(*size));
    if places.is_none_or(|places| places > MOST_PLACES) {
        return cx.fail(Code::E0114, args.site.span, format!("a window has at most {MOST_PLACES} places"));
    }
    match &*op {
        "max" => {
            let values = cx.emit_values(args.site.span, WindowMax { size, strides, pads }, &[x.value])?;
            Ok(Value::Tensor(Tensor { value: values[0], dtype: x.dtype, axes }))
        }
        "sum" => window_sum(cx, &x, &size, &strides, &pads, axes, args.site.span).map(Value::Tensor),
        other => cx.fail(Code::E0122, op_span, format!("`op` is \"max\" or \"sum\", and this is \"{other}\"")),
    }
}

/// The sum over windows: one strided cut of the padded input for each place, added up in row-major order.
fn window_sum<'a>(
    cx: &mut Cx<'a>,
    x: &Tensor,
    size: &[i64],
    strides: &[i64],
    pads: &[(i64, i64)],
    axes: Vec<Size>,
    span: Span,
) -> R<Tensor> {
    let padded = zero_padded(cx, x, pads, span)?;
    let places: i64 = size.iter().product();
    let mut total: Option<Tensor> = None;
    for number in 0..places {
        let mut starts = vec![Dim::zero(); x.rank()];
        let mut rest = number;
        for axis in (0..size.len()).rev() {
            starts[1 + axis] = Dim::from(rest % size[axis]);
            rest /= size[axis];
        }
        let mut steps = vec![1; x.rank()];
        steps[1..=strides.len()].copy_from_slice(strides);
        let op = mlc_ir::ops::slice::Slice { starts, sizes: shape_of(&axes), steps };
        let part = cx.emit(span, op, &[&padded], axes.clone())?;
        total = Some(match total {
            Some(total) => {
                cx.emit(span, mlc_ir::ops::binary::Binary { op: BinaryOp::Add }, &[&total, &part], axes.clone())?
            }
            None => part,
        });
    }
    match total {
        Some(total) => Ok(total),
        None => cx.fail(Code::E0114, span, "an empty window"),
    }
}

fn zero_padded<'a>(cx: &mut Cx<'a>, x: &Tensor, pads: &[(i64, i64)], span: Span) -> R<Tensor> {
    if pads.iter().all(|pad| *pad == (0, 0)) {
        return Ok(x.clone());
    }
    let around = |at: usize| if (1..=pads.len()).contains(&at) { pads[at - 1] } else { (0, 0) };
    let (mut low, mut high, mut axes) = (Vec::new(), Vec::new(), Vec::new());
    for (at, axis) in x.axes.iter().enumerate() {
        let (before, behind) = around(at);
        match axis.dim.add(&Dim::from(before + behind)) {
            Ok(dim) => axes.push(Size::plain(dim)),
            Err(_) => return cx.fail(Code::E0114, span, "these sizes are too large"),
        }
        low.push(before);
        high.push(behind);
    }
    let op = Pad { low, high, interior: vec![0; x.rank()], fill: Literal::zero(x.dtype) };
    cx.emit(span, op, &[x], axes)
}

impl<'a> Cx<'a> {
    /// Pairs of integers, one for each axis: `[(0, 1), (2, 2)]`; a single integer stands for all.
    pub fn pairs(&mut self, value: &Value<'a>, count: usize, span: Span) -> R<Vec<(i64, i64)>> {
        const MOST_PADDING: i64 = 1 << 40;
        let parts = match value {
            Value::Tuple(parts) | Value::List(parts) => parts.to_vec(),
            single => vec![single.clone(); count],
        };
        if parts.len() != count {
            return self.fail(
                Code::E0119,
                span,
                format!("one pair is needed for each of {count} axes, and these are {}", parts.len()),
            );
        }
        self.known_padding(&parts, span)?;
        let mut pairs = Vec::new();
        for part in &parts {
            let pair = match part {
                Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => {
                    (self.as_int(&pair[0], span)?, self.as_int(&pair[1], span)?)
                }
                single => {
                    let both = self.as_int(single, span)?;
                    (both, both)
                }
            };
            if pair.0.abs() > MOST_PADDING || pair.1.abs() > MOST_PADDING {
                return self.fail(Code::E0114, span, "this padding is too large");
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// Refuses padding that is not known when compiling, and says what would make it so.
    fn known_padding(&mut self, parts: &[Value<'a>], span: Span) -> R<()> {
        let mut open = Vec::new();
        for part in parts {
            let numbers = match part {
                Value::Tuple(pair) | Value::List(pair) => pair.as_ref(),
                single => std::slice::from_ref(single),
            };
            let sizes = numbers.iter().filter_map(|number| match number {
                Value::Number(number) => number.as_size().map(|size| size.dim.clone()),
                _ => None,
            });
            open.extend(sizes.filter(|size| size.as_const().is_none()));
        }
        if open.is_empty() {
            return Ok(());
        }
        let error = Diagnostic::error(
            Code::E0110,
            span,
            "the padding depends on sizes that are known only when the program runs",
        )
        .note("`padding: \"same\"` adds as much as the stride leaves over of the size");
        let error = match self.requirements(&open) {
            Some(conditions) => {
                error.help(format!("say `requires {}` behind the type of the entry's function", conditions.join(", ")))
            }
            None => error,
        };
        Err(self.tell(error.help("or give the padding in numbers, as in `pad: 1`")))
    }
}
