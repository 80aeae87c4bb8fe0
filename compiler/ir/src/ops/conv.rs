//! Convolution and its two gradients.
//!
//! All three are derivatives of one trilinear form,
//!
//! `T(x, w, y) = Σ x[n, o·stride + k·dilation - low, g·I/G + i] · w[k, i, c] · y[n, o, c]`
//!
//! with `x[N, *S, I]`, `w[*K, I/G, O]`, `y[N, *O, O]`, group `g = floor(c / (O/G))`, over all places
//! where the coordinate lies within `x`. Each is the derivative by the operand it does not have, so
//! their own gradients are the other two.

use super::pad::Pad;
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::graph::Value;
use crate::index::{Cond, Definition, Expr, Ix};
use crate::scalar::Literal;
use crate::tensor::{Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// Which operand of the trilinear form is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConvRole {
    /// `(x, w) -> y`
    Output,
    /// `(w, y) -> x`, whose spatial sizes are `extents`.
    Input,
    /// `(x, y) -> w`, whose kernel sizes are `extents`.
    Weight,
}

/// How the kernel moves; one entry of each list for each spatial axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Step of the kernel, at least 1.
    pub strides: Vec<i64>,
    /// Zeros before and behind; negative crops.
    pub pads: Vec<(i64, i64)>,
    /// Distance of the kernel's elements, at least 1.
    pub dilations: Vec<i64>,
    /// Groups of channels.
    pub groups: i64,
}

/// A convolution, or the gradient of one. All channels come last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// What is computed.
    pub role: ConvRole,
    /// How.
    pub geometry: Geometry,
    /// Spatial sizes of the result where the operands do not tell them; empty for `Output`.
    pub extents: Vec<Dim>,
}

/// Spatial and channel sizes of the three tensors.
struct Sizes {
    batch: Dim,
    input: Vec<Dim>,
    kernel: Vec<Dim>,
    output: Vec<Dim>,
    /// Input channels of one group.
    group_in: Dim,
    /// Output channels of one group.
    group_out: Dim,
    channels_in: Dim,
    channels_out: Dim,
}

impl Geometry {
    /// The number of spatial axes.
    pub fn rank(&self) -> usize {
        self.strides.len()
    }

    /// `floor((size + low + high - dilation * (kernel - 1) - 1) / stride) + 1`
    pub fn output_size(&self, axis: usize, size: &Dim, kernel: &Dim) -> Result<Dim, SizeError> {
        let (low, high) = self.pads[axis];
        let span = kernel.sub(&Dim::one())?.mul(&Dim::from(self.dilations[axis]))?;
        let free = size.add(&Dim::from(low.checked_add(high).ok_or(SizeError::Overflow)?))?.sub(&span)?;
        free.sub(&Dim::one())?.floor_div(self.strides[axis])?.add(&Dim::one())
    }

    fn check(&self) -> Result<(), InferError> {
        let rank = self.rank();
        require(self.pads.len() == rank && self.dilations.len() == rank, "a convolution needs one stride, padding and dilation for each axis")?;
        require(self.strides.iter().chain(&self.dilations).all(|step| *step >= 1), "strides and dilations are at least 1")?;
        require(self.groups >= 1, "there is at least one group")
    }
}

impl Primitive for Conv {
    fn info(&self) -> OpInfo {
        let (name, doc) = match self.role {
            ConvRole::Output => ("conv", "`y[n, o, c] = Σ x[n, o*stride + k*dilation - low, g*I/G + i] * w[k, i, c]`"),
            ConvRole::Input => ("conv_input", "The adjoint of `conv` by its input: transposed convolution."),
            ConvRole::Weight => ("conv_weight", "The adjoint of `conv` by its kernel."),
        };
        OpInfo { name, class: Class::Contraction, doc, arity: Arity::Exactly(2), tolerance_ulp: 8 }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [a, b] = operands(args)?;
        let spatial = self.geometry.rank();
        self.geometry.check()?;
        require(a.dtype == b.dtype && a.dtype.is_float(), "a convolution takes two operands of one float dtype")?;
        for operand in [a, b] {
            require(operand.rank() == spatial + 2, &format!("an operand has {} axes and needs {}", operand.rank(), spatial + 2))?;
        }
        let expected = if self.role == ConvRole::Output { 0 } else { spatial };
        require(self.extents.len() == expected, "the result needs one size for each spatial axis")?;
        let sizes = self.sizes(a, b)?;
        self.check(&sizes, a, b)?;
        let (outer, middle, inner) = match self.role {
            ConvRole::Output => (Some(sizes.batch), sizes.output, vec![sizes.channels_out]),
            ConvRole::Input => (Some(sizes.batch), sizes.input, vec![sizes.channels_in]),
            ConvRole::Weight => (None, sizes.kernel, vec![sizes.group_in, sizes.channels_out]),
        };
        one(a.dtype, outer.into_iter().chain(middle).chain(inner).collect::<Vec<_>>())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (a, b, shape) = (args[0], args[1], extents(&results[0]));
        let (x_shape, w_shape, y_shape) = match self.role {
            ConvRole::Output => (&a.shape, &b.shape, &shape),
            ConvRole::Input => (&shape, &a.shape, &b.shape),
            ConvRole::Weight => (&a.shape, &shape, &b.shape),
        };
        let mut sums = vec![0.0; shape.iter().product()];
        self.each_term(x_shape, w_shape, y_shape, |x, w, y| match self.role {
            ConvRole::Output => sums[y] += a.floats()[x] * b.floats()[w],
            ConvRole::Input => sums[x] += a.floats()[w] * b.floats()[y],
            ConvRole::Weight => sums[w] += a.floats()[x] * b.floats()[y],
        });
        vec![Tensor::floats_of(a.dtype, &shape, sums)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let (a, b, d) = (cx.arg(0), cx.arg(1), cx.adjoint(0));
        match self.role {
            ConvRole::Output => {
                vec![cx.give(0, |cx| self.input(cx, b, d, a)), cx.give(1, |cx| self.weight(cx, a, d, b))]
            }
            ConvRole::Input => vec![cx.give(0, |cx| self.weight(cx, d, b, a)), cx.give(1, |cx| self.output(cx, d, a))],
            ConvRole::Weight => vec![cx.give(0, |cx| self.input(cx, d, b, a)), cx.give(1, |cx| self.output(cx, a, d))],
        }
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Conv { extents: with.dims(&self.extents)?, ..self.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let Geometry { strides, pads, dilations, groups } = &self.geometry;
        let mut list = vec![("strides", Attribute::Ints(strides.clone()))];
        if pads.iter().any(|pad| *pad != (0, 0)) {
            list.push(("pads", Attribute::Pairs(pads.clone())));
        }
        if dilations.iter().any(|step| *step != 1) {
            list.push(("dilations", Attribute::Ints(dilations.clone())));
        }
        if *groups != 1 {
            list.push(("groups", Attribute::Int(*groups)));
        }
        list
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let sizes = match self.sizes(args[0], args[1]) {
            Ok(sizes) => sizes,
            Err(InferError(text)) => crate::internal_error("conv", &text),
        };
        match self.role {
            ConvRole::Output => self.lower_output(args, &sizes),
            ConvRole::Input => self.lower_input(args, &sizes),
            ConvRole::Weight => self.lower_weight(args, &sizes),
        }
    }

    fn cases() -> Vec<Case> {
        geometries().into_iter().flat_map(|(geometry, x, w)| roles(&geometry, x, w)).collect()
    }
}

/// Geometries with shapes of input and kernel.
fn geometries() -> Vec<(Geometry, &'static [i64], &'static [i64])> {
    let geometry = |strides: &[i64], pads: &[(i64, i64)], dilations: &[i64], groups| {
        let (strides, pads, dilations) = (strides.to_vec(), pads.to_vec(), dilations.to_vec());
        Geometry { strides, pads, dilations, groups }
    };
    vec![
        (geometry(&[1, 1], &[(0, 0), (0, 0)], &[1, 1], 1), &[2, 4, 5, 2], &[3, 2, 2, 3]),
        (geometry(&[1, 1], &[(1, 1), (1, 0)], &[1, 1], 1), &[1, 4, 3, 2], &[3, 2, 2, 2]),
        (geometry(&[2, 2], &[(1, 1), (0, 1)], &[1, 1], 1), &[2, 5, 4, 1], &[3, 2, 1, 2]),
        (geometry(&[3], &[(0, 0)], &[1], 1), &[1, 9, 2], &[2, 2, 1]),
        (geometry(&[1], &[(2, 0)], &[2], 1), &[2, 6, 2], &[2, 2, 2]),
        (geometry(&[2], &[(1, 1)], &[1], 2), &[1, 5, 4], &[3, 2, 6]),
        (geometry(&[1], &[(1, 1)], &[1], 3), &[2, 4, 3], &[3, 1, 3]),
        (geometry(&[1], &[(-1, 2)], &[1], 1), &[1, 6, 1], &[2, 1, 2]),
        (geometry(&[1, 2, 1], &[(0, 1), (0, 0), (1, 1)], &[1, 1, 2], 2), &[1, 2, 3, 4, 2], &[2, 2, 2, 1, 4]),
    ]
}

/// The three ops of one geometry.
fn roles(geometry: &Geometry, x: &[i64], w: &[i64]) -> Vec<Case> {
    let (x, w) = (f32s(x), f32s(w));
    let output = Conv { role: ConvRole::Output, geometry: geometry.clone(), extents: Vec::new() };
    let y = match output.infer(&[&x, &w]) {
        Ok(types) => types[0].clone(),
        Err(InferError(text)) => crate::internal_error("conv", &text),
    };
    let rank = geometry.rank();
    let input = Conv { role: ConvRole::Input, extents: x.shape[1..1 + rank].to_vec(), ..output.clone() };
    let weight = Conv { role: ConvRole::Weight, extents: w.shape[..rank].to_vec(), ..output.clone() };
    vec![
        case(output, 1, &[x.clone(), w.clone()]),
        case(input, 1, &[w, y.clone()]),
        case(weight, 1, &[x, y]),
    ]
}

/// Shapes and terms.
impl Conv {
    /// All sizes, from the operands and `extents`.
    fn sizes(&self, a: &Type, b: &Type) -> Result<Sizes, InferError> {
        let (rank, groups) = (self.geometry.rank(), Dim::from(self.geometry.groups));
        let spatial = |ty: &Type| ty.shape[1..=rank].to_vec();
        let kernel = |ty: &Type| ty.shape[..rank].to_vec();
        let (input, kernel, output) = match self.role {
            ConvRole::Output => {
                let (input, kernel) = (spatial(a), kernel(b));
                let size = |axis: usize| self.geometry.output_size(axis, &input[axis], &kernel[axis]);
                let output = (0..rank).map(size).collect::<Result<Vec<_>, _>>()?;
                (input, kernel, output)
            }
            ConvRole::Input => (self.extents.clone(), kernel(a), spatial(b)),
            ConvRole::Weight => (spatial(a), self.extents.clone(), spatial(b)),
        };
        let last = rank + 1;
        let (group_in, channels_in) = match self.role {
            ConvRole::Output => (b.shape[rank].clone(), a.shape[last].clone()),
            ConvRole::Input => (a.shape[rank].clone(), a.shape[rank].mul(&groups)?),
            ConvRole::Weight => (divided(&a.shape[last], &groups)?, a.shape[last].clone()),
        };
        let (batch, channels_out) = match self.role {
            ConvRole::Output => (a.shape[0].clone(), b.shape[last].clone()),
            ConvRole::Input | ConvRole::Weight => (b.shape[0].clone(), b.shape[last].clone()),
        };
        let group_out = divided(&channels_out, &groups)?;
        Ok(Sizes { batch, input, kernel, output, group_in, group_out, channels_in, channels_out })
    }

    fn check(&self, sizes: &Sizes, a: &Type, b: &Type) -> Result<(), InferError> {
        let all_in = sizes.group_in.mul(&Dim::from(self.geometry.groups))?;
        require(all_in == sizes.channels_in, "the channels of the input and of the kernel differ")?;
        if self.geometry.groups > 1 {
            let numbers = sizes.group_in.as_const().and(sizes.group_out.as_const());
            require(numbers.is_some(), "channels of a grouped convolution are numbers")?;
        }
        match self.role {
            ConvRole::Output => {}
            ConvRole::Input => require(a.shape.last() == b.shape.last(), "the channels of kernel and output differ")?,
            ConvRole::Weight => require(a.shape[0] == b.shape[0], "input and output differ in the size of axis 0")?,
        }
        for axis in 0..self.geometry.rank() {
            let size = self.geometry.output_size(axis, &sizes.input[axis], &sizes.kernel[axis])?;
            let empty = always_negative(&size.sub(&Dim::one())?);
            require(!empty, &format!("the kernel is larger than the padded input along spatial axis {axis}"))?;
            require(size == sizes.output[axis], &format!("the sizes of spatial axis {axis} do not fit together"))?;
        }
        Ok(())
    }

    /// Calls `f` with the numbers of the three elements of each term of the trilinear form.
    fn each_term(&self, x: &[usize], w: &[usize], y: &[usize], mut f: impl FnMut(usize, usize, usize)) {
        let rank = self.geometry.rank();
        let (group_in, channels) = (w[rank], w[rank + 1]);
        let group_out = (channels / self.geometry.groups as usize).max(1);
        let pixels = Tensor::zeros(DType::Bool, &x[..=rank]);
        for (y_pixel, at_y) in each_index(&y[..=rank]).enumerate() {
            for (tap, at_k) in each_index(&w[..rank]).enumerate() {
                let mut at_x = vec![at_y[0] as i64];
                for axis in 0..rank {
                    let (stride, dilation) = (self.geometry.strides[axis], self.geometry.dilations[axis]);
                    let place = at_y[1 + axis] as i64 * stride + at_k[axis] as i64 * dilation;
                    at_x.push(place - self.geometry.pads[axis].0);
                }
                let Some(x_pixel) = pixels.offset_within(&at_x) else { continue };
                for i in 0..group_in {
                    for c in 0..channels {
                        let channel_in = c / group_out * group_in + i;
                        f(x_pixel * x[rank + 1] + channel_in, (tap * group_in + i) * channels + c, y_pixel * channels + c);
                    }
                }
            }
        }
    }
}

/// The ops that gradients build.
impl Conv {
    fn output(&self, cx: &mut VjpCx<'_>, x: Value, w: Value) -> Value {
        cx.node(Conv { role: ConvRole::Output, extents: Vec::new(), ..self.clone() }, &[x, w])
    }

    fn weight(&self, cx: &mut VjpCx<'_>, x: Value, y: Value, like: Value) -> Value {
        let extents = cx.shape(like)[..self.geometry.rank()].to_vec();
        cx.node(Conv { role: ConvRole::Weight, extents, ..self.clone() }, &[x, y])
    }

    /// Where the stride is more than 1 and the sizes allow, `y` is spread out by interior zeros, so
    /// that the rest is a dense convolution of stride 1.
    fn input(&self, cx: &mut VjpCx<'_>, w: Value, y: Value, like: Value) -> Value {
        let extents = cx.shape(like)[1..=self.geometry.rank()].to_vec();
        let strided = Conv { role: ConvRole::Input, extents, ..self.clone() };
        if self.geometry.strides.iter().all(|stride| *stride == 1) {
            return cx.node(strided, &[w, y]);
        }
        match strided.dense(&cx.ty(w), &cx.ty(y)) {
            Some((dense, pad)) => {
                let spread = cx.node(pad, &[y]);
                cx.node(dense, &[w, spread])
            }
            None => cx.node(strided, &[w, y]),
        }
    }

    /// [`ConvRole::Input`] by stride 1, and how to spread `y`: `O' = (O - 1)·s + 1`, `high' = O' - S - low +
    /// dilation·(K - 1)`, if that is a number.
    pub fn dense(&self, w: &Type, y: &Type) -> Option<(Conv, Pad)> {
        let rank = self.geometry.rank();
        let mut geometry = self.geometry.clone();
        let mut interior = vec![0; rank + 2];
        for axis in 0..rank {
            let (stride, low) = (geometry.strides[axis], geometry.pads[axis].0);
            let span = w.shape[axis].sub(&Dim::one()).ok()?.mul(&Dim::from(geometry.dilations[axis])).ok()?;
            let spread = y.shape[1 + axis].sub(&Dim::one()).ok()?.mul(&Dim::from(stride)).ok()?.add(&Dim::one()).ok()?;
            let high = spread.sub(&self.extents[axis]).ok()?.add(&span).ok()?.as_const()?.checked_sub(low)?;
            interior[1 + axis] = stride - 1;
            geometry.pads[axis] = (low, high);
        }
        geometry.strides = vec![1; rank];
        let none = vec![0; rank + 2];
        let pad = Pad { low: none.clone(), high: none, interior, fill: Literal::zero(y.dtype) };
        Some((Conv { geometry, ..self.clone() }, pad))
    }
}

/// Index forms.
impl Conv {
    /// Axes `n, o…, c`, summed `k…, i`.
    fn lower_output(&self, args: &[&Type], sizes: &Sizes) -> Definition {
        let rank = self.geometry.rank();
        let (n, channel) = (axis(0), axis(rank + 1));
        let o: Vec<Ix> = (0..rank).map(|d| axis(1 + d)).collect();
        let k: Vec<Ix> = (0..rank).map(|d| axis(rank + 2 + d)).collect();
        let i = axis(2 * rank + 2);
        let x = self.read_input(0, args[0], sizes, n, &o, &k, self.channel_in(sizes, &channel, i.clone()));
        let at_w = k.into_iter().chain([i, channel]).collect();
        let axes = sizes.kernel.iter().chain([&sizes.group_in]).cloned().collect();
        Definition::Dot { axes, left: x, right: Expr::operand(1, at_w, args[1].dtype), blocks: None }
    }

    /// Axes `k…, i, c`, summed `n, o…`.
    fn lower_weight(&self, args: &[&Type], sizes: &Sizes) -> Definition {
        let rank = self.geometry.rank();
        let k: Vec<Ix> = (0..rank).map(axis).collect();
        let (i, channel, n) = (axis(rank), axis(rank + 1), axis(rank + 2));
        let o: Vec<Ix> = (0..rank).map(|d| axis(rank + 3 + d)).collect();
        let x = self.read_input(0, args[0], sizes, n.clone(), &o, &k, self.channel_in(sizes, &channel, i));
        let at_y = [n].into_iter().chain(o).chain([channel]).collect();
        let axes = [&sizes.batch].into_iter().chain(&sizes.output).cloned().collect();
        Definition::Dot { axes, left: x, right: Expr::operand(1, at_y, args[1].dtype), blocks: None }
    }

    /// Axes `n, s…, i`, summed `k…, c` over the output channels of the group.
    fn lower_input(&self, args: &[&Type], sizes: &Sizes) -> Definition {
        let rank = self.geometry.rank();
        let (n, i) = (axis(0), axis(rank + 1));
        let k: Vec<Ix> = (0..rank).map(|d| axis(rank + 2 + d)).collect();
        let c = axis(2 * rank + 2);
        let (i, channel) = match (self.geometry.groups, sizes.group_in.as_const()) {
            (1, _) | (_, None) => (i, c),
            (_, Some(size)) => {
                let group = i.clone().floor_div(size);
                (i.modulo(size), group.scaled(&sizes.group_out).add(c))
            }
        };
        let (mut at_y, mut within) = (vec![n], Vec::new());
        for (d, k) in k.iter().enumerate() {
            let place = self.output_place(d, axis(1 + d), k, sizes, &mut within);
            at_y.push(place);
        }
        at_y.push(channel.clone());
        let y = guarded(1, at_y, within, Literal::zero(args[1].dtype));
        let axes = sizes.kernel.iter().chain([&sizes.group_out]).cloned().collect();
        let at_w = k.into_iter().chain([i, channel]).collect();
        Definition::Dot { axes, left: Expr::operand(0, at_w, args[0].dtype), right: y, blocks: None }
    }

    /// The input channel of channel `i` of the group that output channel `c` is in.
    fn channel_in(&self, sizes: &Sizes, c: &Ix, i: Ix) -> Ix {
        match (self.geometry.groups, sizes.group_out.as_const()) {
            (1, _) | (_, None) => i,
            (_, Some(size)) => c.clone().floor_div(size).scaled(&sizes.group_in).add(i),
        }
    }

    /// `x[n, o·stride + k·dilation - low, channel]`, 0 outside; guarded only where padding can be read.
    #[expect(clippy::too_many_arguments, reason = "the coordinates of the formula")]
    fn read_input(&self, arg: u32, x: &Type, sizes: &Sizes, n: Ix, o: &[Ix], k: &[Ix], channel: Ix) -> Expr {
        let (mut index, mut within) = (vec![n], Vec::new());
        for d in 0..self.geometry.rank() {
            let (stride, dilation, (low, high)) =
                (self.geometry.strides[d], self.geometry.dilations[d], self.geometry.pads[d]);
            let place = o[d].clone().times(stride).add(k[d].clone().times(dilation)).plus(-low);
            let [not_before, not_behind] = Cond::within(&place, &sizes.input[d]);
            if low > 0 {
                within.push(not_before);
            }
            // The last place is at most S - 1 + high by the size of the output, and may be less.
            if high > 0 && !self.spare_behind(d, sizes).is_ok_and(|spare| never_negative(&spare)) {
                within.push(not_behind);
            }
            index.push(place);
        }
        index.push(channel);
        guarded(arg, index, within, Literal::zero(x.dtype))
    }

    /// `S - 1 - ((O - 1)·stride + (K - 1)·dilation - low)`
    fn spare_behind(&self, d: usize, sizes: &Sizes) -> Result<Dim, SizeError> {
        let kernel = sizes.kernel[d].sub(&Dim::one())?.mul(&Dim::from(self.geometry.dilations[d]))?;
        let output = sizes.output[d].sub(&Dim::one())?.mul(&Dim::from(self.geometry.strides[d]))?;
        sizes.input[d].sub(&Dim::one())?.sub(&kernel)?.sub(&output)?.add(&Dim::from(self.geometry.pads[d].0))
    }

    /// `o` with `o·stride = s + low - k·dilation`, and the conditions for it to exist.
    fn output_place(&self, d: usize, s: Ix, k: &Ix, sizes: &Sizes, within: &mut Vec<Cond>) -> Ix {
        let (stride, dilation, low) =
            (self.geometry.strides[d], self.geometry.dilations[d], self.geometry.pads[d].0);
        let shifted = s.plus(low).sub(k.clone().times(dilation));
        let last = sizes.output[d].sub(&Dim::one()).and_then(|last| last.mul(&Dim::from(stride)));
        let before = sizes.kernel[d].sub(&Dim::one()).and_then(|span| Dim::from(low).sub(&span.mul(&Dim::from(dilation))?));
        if !before.is_ok_and(|before| never_negative(&before)) {
            within.push(Cond::NotNegative(shifted.clone()));
        }
        if let Ok(last) = last {
            let spare = last.sub(&sizes.input[d]).and_then(|spare| spare.add(&Dim::from(1 - low)));
            if !spare.is_ok_and(|spare| never_negative(&spare)) {
                within.push(Cond::NotNegative(Ix::constant(last).sub(shifted.clone())));
            }
        }
        within.push(Cond::Zero(shifted.clone().modulo(stride)));
        shifted.floor_div(stride)
    }
}

fn divided(channels: &Dim, groups: &Dim) -> Result<Dim, InferError> {
    channels.exact_div(groups).map_err(|_| InferError("the channels do not divide into the groups".into()))
}
