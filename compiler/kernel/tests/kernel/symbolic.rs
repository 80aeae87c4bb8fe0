//! Symbolic sizes: a program is compiled once and run at many sizes, among them those at which vectors
//! and blocks have tails, are empty, or just fit.

use crate::common::{
    Rng, assert_close, assert_same_bits, concrete, entry, lowered, run_lane, run_lane_tiles, run_reference,
};
use mlc_ir::autodiff::gradient;
use mlc_ir::builder::Builder;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Graph, Value};
use mlc_ir::index::{Extreme, SortOrder};
use mlc_ir::ops::arg_reduce::ArgReduce;
use mlc_ir::ops::arg_sort::ArgSort;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::cast::Cast;
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::conv::{Conv, ConvRole, Geometry};
use mlc_ir::ops::cum_sum::{CumSum, Start};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::pad::Pad;
use mlc_ir::ops::random::Random;
use mlc_ir::ops::recur::Recur;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::reverse::Reverse;
use mlc_ir::ops::scatter_add::ScatterAdd;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::size::SizeOf;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::slice_at::SliceAt;
use mlc_ir::ops::transpose::Transpose;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::ops::window_max::WindowMax;
use mlc_ir::scalar::{BinaryOp, CompareOp, Distribution, Literal, UnaryOp};
use mlc_ir::ty::{DType, Type};
use mlc_kernel::run::Tiles;

const SIZES: [i64; 8] = [1, 2, 3, 5, 7, 8, 32, 33];

/// A graph under construction with its two symbols.
struct Cx {
    graph: Graph,
    b: Builder,
    batch: Dim,
    time: Dim,
}

impl Cx {
    fn param(&mut self, dtype: DType, shape: Vec<Dim>) -> Value {
        self.b.param(Type::new(dtype, shape))
    }

    fn f32(&mut self, shape: Vec<Dim>) -> Value {
        self.param(DType::F32, shape)
    }

    fn bt(&self) -> Vec<Dim> {
        vec![self.batch.clone(), self.time.clone()]
    }

    fn btn(&self, rest: &[i64]) -> Vec<Dim> {
        self.bt().into_iter().chain(rest.iter().map(|n| Dim::from(*n))).collect()
    }

    fn bn(&self, rest: &[i64]) -> Vec<Dim> {
        std::iter::once(self.batch.clone()).chain(rest.iter().map(|n| Dim::from(*n))).collect()
    }

    fn sum(&mut self, x: Value, axes: &[usize]) -> Value {
        self.fold(ReduceKind::Sum, x, axes)
    }

    fn fold(&mut self, kind: ReduceKind, x: Value, axes: &[usize]) -> Value {
        self.b.add1(Reduce { kind, axes: axes.to_vec() }, &[x])
    }

    fn wide(&mut self, x: Value, like: Value, axes: &[usize]) -> Value {
        let shape = self.b.ty(like).shape.clone();
        self.b.add1(Broadcast { shape, axes: axes.to_vec() }, &[x])
    }

    fn contract(&mut self, left: &[u32], right: &[u32], out: &[u32], x: Value, y: Value) -> Value {
        self.b.add1(Contract { left: left.to_vec(), right: right.to_vec(), out: out.to_vec() }, &[x, y])
    }

    fn gradients(&mut self, loss: Value, over: &[Value]) -> Vec<Value> {
        gradient(&mut self.graph, &mut self.b, loss, over).into_iter().map(Result::unwrap).collect()
    }

    /// A scalar that sees every element, with different weights.
    fn loss(&mut self, y: Value) -> Value {
        let ty = self.b.ty(y).clone();
        let mut total = y;
        for axis in 0..ty.rank() {
            let place = self.b.add1(Iota { shape: ty.shape.clone(), axis, dtype: DType::I32 }, &[]);
            let place = self.b.add1(Cast { dtype: ty.dtype }, &[place]);
            let factor = self.b.full(ty.dtype, 0.37 + axis as f64, &ty.shape);
            let phase = self.b.binary(BinaryOp::Mul, place, factor);
            let weight = self.b.unary(UnaryOp::Sin, phase);
            total = self.b.binary(BinaryOp::Mul, total, weight);
        }
        self.sum(total, &(0..ty.rank()).collect::<Vec<_>>())
    }
}

/// What a check may take for granted.
struct Check {
    /// Of the largest element of a result.
    tolerance: f64,
    /// Least batch and time.
    least: [i64; 2],
    /// Integers are drawn from `0..bound`.
    bound: i64,
}

const PLAIN: Check = Check { tolerance: 2e-6, least: [1, 1], bound: 5 };

fn check(build: impl Fn(&mut Cx) -> Vec<Value>) {
    check_with(PLAIN, build);
}

fn check_with(how: Check, build: impl Fn(&mut Cx) -> Vec<Value>) {
    let mut graph = Graph::new();
    let (batch, time) = (graph.symbol("B"), graph.symbol("T"));
    let mut cx = Cx { graph, b: Builder::new("main"), batch: batch.into(), time: time.into() };
    let results = build(&mut cx);
    let graph = entry(cx.graph, cx.b, results, &[(batch, 32), (time, 16)]);
    let program = lowered(&graph);
    let region = graph.region(graph.entries[0].region);
    let uses_time = region.values.iter().any(|value| {
        let mut found = false;
        value.ty.shape.iter().for_each(|dim| dim.each_symbol(&mut |sym| found |= sym == time));
        found
    });
    for batch in SIZES {
        for time in if uses_time { &SIZES[..] } else { &SIZES[..1] } {
            // All pairs with a small number in them, and the two large ones.
            let sizes = [batch, *time];
            if sizes.iter().zip(how.least).any(|(size, least)| *size < least) || batch.min(*time) > 5 && batch != *time
            {
                continue;
            }
            let mut rng = Rng((batch * 100 + time) as u64);
            let types = region.params.iter().map(|param| concrete(region.ty(*param), &sizes));
            let args: Vec<_> = types
                .map(|ty| rng.tensor(&ty, -1.0, 1.0, if ty.dtype == DType::Bool { 2 } else { how.bound }))
                .collect();
            let expected = run_reference(&graph, &sizes, &args);
            let actual = run_lane(&graph, &program, &sizes, &args);
            for (number, (a, e)) in actual.iter().zip(&expected).enumerate() {
                assert_close(a, e, how.tolerance, &format!("result {number} at B = {batch}, T = {time}"));
            }
            let backwards = run_lane_tiles(&graph, &program, &sizes, &args, Tiles::Backwards);
            for (a, b) in backwards.iter().zip(&actual) {
                assert_same_bits(a, b, &format!("tiles backwards at B = {batch}, T = {time}"));
            }
        }
    }
}

#[test]
fn elementwise_chains() {
    check(|cx| {
        let (x, y) = (cx.f32(cx.bt()), cx.f32(cx.bt()));
        let z = cx.b.binary(BinaryOp::Mul, x, y);
        let e = cx.b.unary(UnaryOp::Exp, z);
        let t = cx.b.unary(UnaryOp::Tanh, e);
        vec![t, cx.b.binary(BinaryOp::Sub, t, x)]
    });
    check(|cx| {
        let (x, bias) = (cx.f32(cx.bn(&[5])), cx.f32(vec![5.into()]));
        let bias = cx.wide(bias, x, &[1]);
        let y = cx.b.binary(BinaryOp::Add, x, bias);
        vec![cx.b.unary(UnaryOp::Abs, y)]
    });
}

#[test]
fn one_axis() {
    check(|cx| {
        let x = cx.f32(vec![cx.batch.clone()]);
        let y = cx.b.unary(UnaryOp::Exp, x);
        let s = cx.sum(y, &[0]);
        let s = cx.wide(s, y, &[]);
        vec![cx.b.binary(BinaryOp::Div, y, s)]
    });
}

#[test]
fn every_dtype() {
    for dtype in [DType::F64, DType::I32, DType::I64, DType::U8, DType::I8] {
        check(move |cx| {
            let (x, y) = (cx.param(dtype, cx.bt()), cx.param(dtype, cx.bt()));
            let sum = cx.b.binary(BinaryOp::Add, x, y);
            let product = cx.b.binary(BinaryOp::Mul, sum, y);
            let less = cx.b.compare(CompareOp::Lt, x, y);
            let chosen = cx.b.add1(Select, &[less, product, x]);
            let rows = cx.fold(ReduceKind::Max, chosen, &[1]);
            let columns = cx.fold(ReduceKind::Min, chosen, &[0]);
            let wide = cx.b.add1(Cast { dtype: DType::F32 }, &[chosen]);
            vec![chosen, rows, columns, wide, less]
        });
    }
}

#[test]
fn sums_of_every_dtype() {
    for dtype in [DType::F64, DType::I32, DType::I64] {
        check(move |cx| {
            let x = cx.param(dtype, cx.bt());
            vec![cx.sum(x, &[0]), cx.sum(x, &[1]), cx.sum(x, &[0, 1])]
        });
    }
}

#[test]
fn products_of_f64_and_integers() {
    for dtype in [DType::F64, DType::I32, DType::I64] {
        check(move |cx| {
            let (x, y) = (cx.param(dtype, cx.bt()), cx.param(dtype, vec![cx.time.clone(), 6.into()]));
            let z = cx.param(dtype, vec![cx.time.clone()]);
            vec![cx.contract(&[0, 1], &[1, 2], &[0, 2], x, y), cx.contract(&[0, 1], &[1], &[0], x, z)]
        });
    }
}

#[test]
fn truth_values() {
    check(|cx| {
        let (p, q) = (cx.param(DType::Bool, cx.bt()), cx.param(DType::Bool, cx.bt()));
        let both = cx.b.binary(BinaryOp::And, p, q);
        let neither = cx.b.binary(BinaryOp::Or, p, q);
        let neither = cx.b.unary(UnaryOp::Not, neither);
        let any = cx.fold(ReduceKind::Any, both, &[1]);
        let all = cx.fold(ReduceKind::All, p, &[0]);
        let number = cx.b.add1(Cast { dtype: DType::F64 }, &[neither]);
        let chosen = cx.b.add1(Select, &[p, q, both]);
        let moved = cx.b.add1(Transpose { perm: vec![1, 0] }, &[both]);
        vec![both, any, all, number, chosen, moved]
    });
}

#[test]
fn mixed_widths() {
    check(|cx| {
        let (x, i) = (cx.f32(cx.bt()), cx.param(DType::I64, cx.bt()));
        let wide = cx.b.add1(Cast { dtype: DType::F64 }, &[x]);
        let float = cx.b.add1(Cast { dtype: DType::F64 }, &[i]);
        let y = cx.b.binary(BinaryOp::Mul, wide, float);
        let small = cx.b.add1(Cast { dtype: DType::I32 }, &[y]);
        let byte = cx.b.add1(Cast { dtype: DType::U8 }, &[y]);
        let sum = cx.sum(y, &[1]);
        vec![y, small, byte, sum]
    });
}

#[test]
fn softmax_rows_and_columns() {
    for axis in [0, 1] {
        check(move |cx| {
            let x = cx.f32(cx.bt());
            let most = cx.fold(ReduceKind::Max, x, &[axis]);
            let most = cx.wide(most, x, &[1 - axis]);
            let shifted = cx.b.binary(BinaryOp::Sub, x, most);
            let e = cx.b.unary(UnaryOp::Exp, shifted);
            let sum = cx.sum(e, &[axis]);
            let sum = cx.wide(sum, x, &[1 - axis]);
            vec![cx.b.binary(BinaryOp::Div, e, sum)]
        });
    }
}

#[test]
fn layer_norm_and_its_gradient() {
    check_with(Check { tolerance: 2e-5, least: [1, 2], bound: 2 }, |cx| {
        let (x, scale) = (cx.f32(cx.bt()), cx.f32(vec![cx.time.clone()]));
        let count = cx.b.add1(SizeOf { size: cx.time.clone(), dtype: DType::F32 }, &[]);
        let mean = |cx: &mut Cx, v: Value| {
            let sum = cx.sum(v, &[1]);
            let shape = cx.b.ty(sum).shape.clone();
            let count = cx.b.broadcast_scalar(count, &shape);
            let mean = cx.b.binary(BinaryOp::Div, sum, count);
            cx.wide(mean, x, &[0])
        };
        let middle = mean(cx, x);
        let centred = cx.b.binary(BinaryOp::Sub, x, middle);
        let square = cx.b.binary(BinaryOp::Mul, centred, centred);
        let variance = mean(cx, square);
        let shape = cx.b.ty(x).shape.clone();
        let eps = cx.b.full(DType::F32, 1e-2, &shape);
        let variance = cx.b.binary(BinaryOp::Add, variance, eps);
        let root = cx.b.unary(UnaryOp::Sqrt, variance);
        let normal = cx.b.binary(BinaryOp::Div, centred, root);
        let factor = cx.wide(scale, x, &[1]);
        let y = cx.b.binary(BinaryOp::Mul, normal, factor);
        let loss = cx.loss(y);
        let mut results = vec![y];
        results.extend(cx.gradients(loss, &[x, scale]));
        results
    });
}

#[test]
fn matrix_products() {
    // Symbolic rows, columns and terms, and orders of axes that need a copy.
    check(|cx| {
        let (x, y) = (cx.f32(cx.bt()), cx.f32(vec![cx.time.clone(), cx.batch.clone()]));
        vec![
            cx.contract(&[0, 1], &[1, 2], &[0, 2], x, y),
            cx.contract(&[0, 1], &[1, 2], &[2, 0], x, y),
            cx.contract(&[0, 1], &[0, 2], &[1, 2], x, x),
            cx.contract(&[0, 1], &[2, 1], &[0, 2], x, x),
        ]
    });
    check(|cx| {
        let (x, w, v) =
            (cx.f32(cx.bn(&[6])), cx.f32(vec![6.into(), cx.time.clone()]), cx.f32(vec![cx.time.clone(), 9.into()]));
        let y = cx.contract(&[0, 1], &[1, 2], &[0, 2], x, w);
        let shape = cx.b.ty(y).shape.clone();
        let zero = cx.b.full(DType::F32, 0.0, &shape);
        let y = cx.b.binary(BinaryOp::Max, y, zero);
        vec![cx.contract(&[0, 1], &[1, 2], &[0, 2], y, v)]
    });
}

#[test]
fn batched_products_and_dots() {
    check_with(Check { tolerance: 1e-5, ..PLAIN }, |cx| {
        let (q, k) = (cx.f32(cx.btn(&[2, 3])), cx.f32(cx.btn(&[2, 3])));
        let scores = cx.contract(&[0, 1, 2, 3], &[0, 4, 2, 3], &[0, 2, 1, 4], q, k);
        let mixed = cx.contract(&[0, 2, 1, 4], &[0, 4, 2, 3], &[0, 1, 2, 3], scores, k);
        let dots = cx.contract(&[0, 1, 2, 3], &[0, 1, 2, 3], &[0, 1], q, k);
        let all = cx.contract(&[0, 1, 2, 3], &[0, 1, 2, 3], &[], q, k);
        vec![mixed, dots, all]
    });
}

#[test]
fn long_chains() {
    // More than 512 terms from B = T = 32 on, over one axis, two and three.
    check_with(Check { tolerance: 1e-5, ..PLAIN }, |cx| {
        let (x, y) = (cx.f32(cx.btn(&[3])), cx.f32(cx.btn(&[10])));
        vec![
            cx.sum(x, &[0, 1]),
            cx.sum(x, &[0, 1, 2]),
            cx.contract(&[0, 1, 2], &[0, 1, 3], &[2, 3], x, y),
            cx.contract(&[0, 1, 2], &[0, 1, 2], &[], x, x),
        ]
    });
}

#[test]
fn convolutions_and_their_gradients() {
    for (strides, pads, groups) in
        [([1, 1], [(0, 0), (0, 0)], 1), ([2, 1], [(1, 0), (1, 2)], 1), ([1, 2], [(1, 1), (0, 1)], 2)]
    {
        check_with(Check { tolerance: 1e-5, ..PLAIN }, move |cx| {
            let (x, w) = (cx.f32(cx.bn(&[5, 6, 4])), cx.f32([3, 2, 4 / groups, 6].map(Dim::from).to_vec()));
            let geometry = Geometry { strides: strides.to_vec(), pads: pads.to_vec(), dilations: vec![1, 1], groups };
            let y = cx.b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
            let loss = cx.loss(y);
            let mut results = vec![y];
            results.extend(cx.gradients(loss, &[x, w]));
            results
        });
    }
}

#[test]
fn convolutions_along_a_symbolic_axis() {
    check_with(Check { tolerance: 1e-5, least: [1, 3], bound: 2 }, |cx| {
        let (x, w) = (cx.f32(cx.btn(&[3])), cx.f32([3, 3, 5].map(Dim::from).to_vec()));
        let geometry = Geometry { strides: vec![2], pads: vec![(1, 1)], dilations: vec![1], groups: 1 };
        let y = cx.b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
        let loss = cx.loss(y);
        let mut results = vec![y];
        results.extend(cx.gradients(loss, &[x, w]));
        results
    });
}

#[test]
fn pooling_and_its_gradient() {
    for (strides, pads) in [([2, 2], [(0, 0), (0, 0)]), ([1, 2], [(1, 0), (0, 1)])] {
        check(move |cx| {
            let x = cx.f32(cx.bn(&[5, 6, 3]));
            let op = WindowMax { size: vec![2, 2], strides: strides.to_vec(), pads: pads.to_vec() };
            let y = cx.b.add1(op, &[x]);
            let loss = cx.loss(y);
            let mut results = vec![y];
            results.extend(cx.gradients(loss, &[x]));
            results
        });
    }
    check_with(Check { least: [1, 2], ..PLAIN }, |cx| {
        let x = cx.f32(cx.btn(&[3]));
        let y = cx.b.add1(WindowMax { size: vec![2], strides: vec![2], pads: vec![(0, 0)] }, &[x]);
        let loss = cx.loss(y);
        let mut results = vec![y];
        results.extend(cx.gradients(loss, &[x]));
        results
    });
}

#[test]
fn gathering_and_scattering() {
    check(|cx| {
        let (table, ids) = (cx.f32(vec![5.into(), 6.into()]), cx.param(DType::I32, cx.bt()));
        let rows = cx.b.add1(Gather { axis: 0, batch: 0 }, &[table, ids]);
        let twice = cx.b.binary(BinaryOp::Add, rows, rows);
        let loss = cx.loss(twice);
        let mut results = vec![twice];
        results.extend(cx.gradients(loss, &[table]));
        results
    });
    check(|cx| {
        let (x, ids) = (cx.f32(cx.bt()), cx.param(DType::I64, cx.bt()));
        let picked = cx.b.add1(Gather { axis: 1, batch: 1 }, &[x, ids]);
        let size = cx.time.clone();
        let back = cx.b.add1(ScatterAdd { axis: 1, batch: 1, size }, &[picked, ids]);
        let whole = cx.param(DType::U8, vec![cx.batch.clone()]);
        let ids = cx.param(DType::I32, vec![cx.time.clone()]);
        vec![picked, back, cx.b.add1(Gather { axis: 0, batch: 0 }, &[whole, ids])]
    });
}

#[test]
fn concatenation_and_slices() {
    check(|cx| {
        let (x, y, z) = (cx.f32(cx.bt()), cx.f32(cx.bt()), cx.f32(cx.bn(&[3])));
        let rows = cx.b.add1(Concat { axis: 0 }, &[x, y]);
        let columns = cx.b.add1(Concat { axis: 1 }, &[x, z, y]);
        let sum = cx.sum(columns, &[1]);
        let whole = Slice { starts: vec![0.into(), cx.time.clone()], sizes: cx.bn(&[3]), steps: vec![1, 1] };
        let middle = cx.b.add1(whole, &[columns]);
        let squares = cx.b.binary(BinaryOp::Mul, rows, rows);
        let e = cx.b.unary(UnaryOp::Exp, squares);
        let second = Slice { starts: vec![cx.batch.clone(), 0.into()], sizes: cx.bt(), steps: vec![1, 1] };
        let second = cx.b.add1(second, &[e]);
        vec![rows, sum, middle, second]
    });
}

#[test]
fn padding_reversal_and_transposition() {
    check(|cx| {
        let x = cx.f32(cx.bt());
        let fill = Literal::from_f64(DType::F32, 0.5);
        let padded = cx.b.add1(Pad { low: vec![1, 2], high: vec![0, 1], interior: vec![1, 0], fill }, &[x]);
        let turned = cx.b.add1(Transpose { perm: vec![1, 0] }, &[padded]);
        let back = cx.b.add1(Reverse { axes: vec![0] }, &[turned]);
        let sum = cx.sum(back, &[1]);
        let reversed = cx.b.add1(Reverse { axes: vec![1] }, &[x]);
        let both = cx.b.binary(BinaryOp::Mul, x, reversed);
        let square = cx.b.unary(UnaryOp::Tanh, both);
        vec![back, sum, square]
    });
    check(|cx| {
        let x = cx.f32(cx.btn(&[4]));
        let turned = cx.b.add1(Transpose { perm: vec![2, 0, 1] }, &[x]);
        let sum = cx.sum(turned, &[0, 2]);
        let inner = cx.b.add1(Transpose { perm: vec![1, 2, 0] }, &[x]);
        let inner = cx.b.unary(UnaryOp::Exp, inner);
        vec![sum, inner]
    });
}

#[test]
fn reshapes() {
    check(|cx| {
        let (x, w) = (cx.f32(cx.btn(&[2, 3])), cx.f32(vec![6.into(), 5.into()]));
        let count = cx.batch.mul(&cx.time).unwrap();
        let e = cx.b.unary(UnaryOp::Exp, x);
        let flat = cx.b.add1(Reshape { shape: vec![count.clone(), 6.into()] }, &[e]);
        let y = cx.contract(&[0, 1], &[1, 2], &[0, 2], flat, w);
        let folded = cx.b.add1(Reshape { shape: cx.btn(&[5]) }, &[y]);
        let sum = cx.sum(folded, &[1]);
        vec![folded, sum, cx.b.add1(Reshape { shape: vec![count.mul(&6.into()).unwrap()] }, &[x])]
    });
}

#[test]
fn running_sums_and_positions() {
    check_with(Check { tolerance: 1e-5, ..PLAIN }, |cx| {
        let x = cx.f32(cx.bt());
        let front = cx.b.add1(CumSum { axis: 1, from: Start::Front }, &[x]);
        let back = cx.b.add1(CumSum { axis: 0, from: Start::Back }, &[x]);
        let place = cx.b.add1(ArgReduce { extreme: Extreme::Max, axis: 1 }, &[x]);
        let least = cx.b.add1(ArgReduce { extreme: Extreme::Min, axis: 0 }, &[x]);
        let column = cx.b.add1(Iota { shape: cx.bt(), axis: 1, dtype: DType::I64 }, &[]);
        vec![front, back, place, least, column]
    });
}

#[test]
fn orders() {
    for order in [SortOrder::Ascending, SortOrder::Descending] {
        check_with(Check { bound: 3, ..PLAIN }, move |cx| {
            // Ties, -inf and NaN, in a fused producer.
            let (x, labels) = (cx.f32(cx.bt()), cx.param(DType::I32, cx.bt()));
            let four = cx.b.full(DType::F32, 4.0, &cx.bt());
            let scaled = cx.b.binary(BinaryOp::Mul, x, four);
            let steps = cx.b.unary(UnaryOp::Round, scaled);
            let keys = cx.b.unary(UnaryOp::Log, steps);
            let places = cx.b.add1(ArgSort { order }, &[keys]);
            let sorted = cx.b.add1(Gather { axis: 1, batch: 1 }, &[x, places]);
            let by_label = cx.b.add1(ArgSort { order }, &[labels]);
            let one_row = cx.b.add1(
                Slice { starts: vec![0.into(); 2], sizes: vec![1.into(), cx.time.clone()], steps: vec![1; 2] },
                &[keys],
            );
            let one_row = cx.b.add1(Reshape { shape: vec![cx.time.clone()] }, &[one_row]);
            let alone = cx.b.add1(ArgSort { order }, &[one_row]);
            vec![places, sorted, by_label, alone]
        });
    }
}

#[test]
fn recurrences() {
    for axis in [0, 1] {
        for from in [Start::Front, Start::Back] {
            check_with(Check { tolerance: 1e-5, ..PLAIN }, move |cx| {
                let (a, b) = (cx.f32(cx.btn(&[3])), cx.f32(cx.btn(&[3])));
                let doubled = cx.b.binary(BinaryOp::Add, b, b);
                let y = cx.b.add1(Recur { axis, from }, &[a, doubled]);
                let squared = cx.b.binary(BinaryOp::Mul, y, y);
                let counts = cx.param(DType::I64, cx.bt());
                let running = cx.b.add1(CumSum { axis, from }, &[counts]);
                let loss = cx.loss(y);
                let gradients = cx.gradients(loss, &[a, b]);
                [vec![y, squared, running], gradients].concat()
            });
        }
    }
}

#[test]
fn windows_at_places_known_at_run_time() {
    check(|cx| {
        // A fused producer of what is read at data places, and a fused consumer.
        let (x, v) = (cx.f32(cx.btn(&[6])), cx.f32(cx.bn(&[1, 6])));
        let (b, t) = (cx.param(DType::I32, Vec::new()), cx.param(DType::I64, Vec::new()));
        let zero = cx.b.literal(Literal::zero(DType::I32));
        let doubled = cx.b.binary(BinaryOp::Add, v, v);
        let updated = cx.b.add1(UpdateSlice, &[x, doubled, zero, t, zero]);
        let sizes = vec![cx.batch.clone(), 1.into(), 5.into()];
        let part = cx.b.add1(SliceAt { sizes }, &[updated, b, t, b]);
        let loss = cx.loss(part);
        let loss = cx.b.binary(BinaryOp::Mul, loss, loss);
        let gradients = cx.gradients(loss, &[x, v]);
        [vec![updated, part], gradients].concat()
    });
}

#[test]
fn random_numbers() {
    check(|cx| {
        let [seed, step, offset] = [(); 3].map(|()| cx.param(DType::I64, Vec::new()));
        let zero = cx.b.literal(Literal::zero(DType::I64));
        let x = cx.f32(cx.bt());
        let uniform =
            cx.b.add1(Random { distribution: Distribution::Uniform, shape: cx.bt(), site: 77 }, &[seed, step, offset]);
        let dropped = cx.b.compare(CompareOp::Lt, uniform, x);
        let normal =
            cx.b.add1(Random { distribution: Distribution::Normal, shape: cx.bn(&[3]), site: 5 }, &[seed, step, zero]);
        vec![uniform, dropped, normal]
    });
}

#[test]
fn quotients_of_symbolic_sizes() {
    // T / 2 as a size: blocks of a length that is no polynomial.
    check_with(Check { least: [1, 2], ..PLAIN }, |cx| {
        let x = cx.f32(cx.bt());
        let half = cx.time.floor_div(2).unwrap();
        let sizes = vec![cx.batch.clone(), half];
        let even = cx.b.add1(Slice { starts: vec![0.into(), 0.into()], sizes: sizes.clone(), steps: vec![1, 2] }, &[x]);
        let odd = cx.b.add1(Slice { starts: vec![0.into(), 1.into()], sizes, steps: vec![1, 2] }, &[x]);
        let y = cx.b.binary(BinaryOp::Mul, even, odd);
        vec![y, cx.sum(y, &[1]), cx.sum(y, &[0])]
    });
}

#[test]
fn samples_together_are_samples_one_by_one() {
    let mut graph = Graph::new();
    let (batch, time) = (graph.symbol("B"), graph.symbol("T"));
    let mut cx = Cx { graph, b: Builder::new("main"), batch: batch.into(), time: time.into() };
    let x = cx.f32(cx.bn(&[6, 6, 2]));
    let (w, p) = (cx.f32([3, 3, 2, 5].map(Dim::from).to_vec()), cx.f32([20, 7].map(Dim::from).to_vec()));
    let geometry = Geometry { strides: vec![1, 1], pads: vec![(0, 0); 2], dilations: vec![1, 1], groups: 1 };
    let y = cx.b.add1(Conv { role: ConvRole::Output, geometry, extents: Vec::new() }, &[x, w]);
    let y = cx.b.unary(UnaryOp::Tanh, y);
    let y = cx.b.add1(WindowMax { size: vec![2, 2], strides: vec![2, 2], pads: vec![(0, 0); 2] }, &[y]);
    let flat = cx.b.add1(Reshape { shape: cx.bn(&[20]) }, &[y]);
    let logits = cx.contract(&[0, 1], &[1, 2], &[0, 2], flat, p);
    let most = cx.fold(ReduceKind::Max, logits, &[1]);
    let most = cx.wide(most, logits, &[0]);
    let shifted = cx.b.binary(BinaryOp::Sub, logits, most);
    let e = cx.b.unary(UnaryOp::Exp, shifted);
    let sum = cx.sum(e, &[1]);
    let sum = cx.wide(sum, e, &[0]);
    let results = vec![cx.b.binary(BinaryOp::Div, e, sum)];
    let graph = entry(cx.graph, cx.b, results, &[(batch, 32)]);
    let program = lowered(&graph);
    let region = graph.region(graph.entries[0].region);
    let mut rng = Rng(5);
    let args: Vec<_> =
        region.params.iter().map(|v| rng.tensor(&concrete(region.ty(*v), &[9, 1]), -1.0, 1.0, 2)).collect();
    let together = run_lane(&graph, &program, &[9, 1], &args);
    for sample in 0..9 {
        let image = args[0].row(sample);
        let shape: Vec<usize> = std::iter::once(1).chain(image.shape.iter().copied()).collect();
        let alone = run_lane(&graph, &program, &[1, 1], &[image.reshaped(&shape), args[1].clone(), args[2].clone()]);
        assert_same_bits(&alone[0].row(0), &together[0].row(sample), &format!("sample {sample}"));
    }
}
