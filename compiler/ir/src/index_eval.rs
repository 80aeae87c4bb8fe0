//! Evaluates index forms element by element: the oracle that ties [`crate::ops::Primitive::lower`]
//! to [`crate::ops::Primitive::eval`]. Sums are taken in f64, so orders do not matter.

use crate::dim::Dim;
use crate::index::{BestPart, Blocks, Combine, Cond, Definition, Expr, Extreme, Index, Ix, IxAtom, SortOrder, Start};
use crate::ops::{arg_sort, binary, compare, random, unary};
use crate::scalar::Literal;
use crate::tensor::{Tensor, each_index, extents, round_to, wrap_to};
use crate::ty::{DType, Type};
use std::cmp::Ordering;

/// The results of an op from its index form; sizes are evaluated at `symbols`.
pub fn eval(definition: &Definition, args: &[&Tensor], results: &[Type], symbols: &[i64]) -> Vec<Tensor> {
    let cx = Cx { args, symbols };
    let shape = extents(&results[0]);
    match definition {
        Definition::Alias => vec![args[0].reshaped(&shape)],
        Definition::Map(value) => vec![cx.tensor(&results[0], |at| cx.expr(value, at))],
        Definition::Reduce { axes, combine, value, blocks } => {
            let sum = |at: &[i64]| cx.reduce(axes, *combine, value, at, results[0].dtype);
            vec![cx.tensor(&results[0], |at| cx.onto(blocks.as_deref(), sum(at), at))]
        }
        Definition::Dot { axes, left, right, blocks } => {
            let sum = |at: &[i64]| cx.dot(axes, left, right, at, results[0].dtype);
            vec![cx.tensor(&results[0], |at| cx.onto(blocks.as_deref(), sum(at), at))]
        }
        Definition::Scan { axis, from, factor, value } => {
            vec![cx.scan(&results[0], *axis, *from, factor.as_ref(), value)]
        }
        Definition::Update { starts } => vec![cx.tensor(&results[0], |at| cx.updated(starts, at))],
        Definition::Scatter { axis, axes, place, value } => vec![cx.scatter(&results[0], *axis, axes, place, value)],
        Definition::Order { order } => vec![cx.order(*order, args[0])],
        Definition::Best { axes, extreme, value, results: parts } => {
            let part = |(part, ty): (&BestPart, &Type)| {
                cx.tensor(ty, |at| {
                    let (best, place) = cx.best(axes, *extreme, value, at);
                    match part {
                        BestPart::Value => best,
                        BestPart::Position => Number::Int(place),
                    }
                })
            };
            parts.iter().zip(results).map(part).collect()
        }
    }
}

/// A value of some dtype, as tensors keep it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Float(f64),
    Int(i64),
}

impl Number {
    fn of(literal: Literal) -> Number {
        if literal.dtype.is_float() { Number::Float(literal.as_f64()) } else { Number::Int(literal.as_i64()) }
    }

    fn float(self) -> f64 {
        match self {
            Number::Float(value) => value,
            Number::Int(_) => crate::internal_error("index_eval", "an integer where a float belongs"),
        }
    }

    fn int(self) -> i64 {
        match self {
            Number::Int(value) => value,
            Number::Float(_) => crate::internal_error("index_eval", "a float where an integer belongs"),
        }
    }

    fn literal(self, dtype: DType) -> Literal {
        match self {
            Number::Float(value) => Literal::from_f64(dtype, value),
            Number::Int(value) => Literal::from_i64(dtype, value),
        }
    }
}

struct Cx<'a> {
    args: &'a [&'a Tensor],
    symbols: &'a [i64],
}

impl Cx<'_> {
    fn tensor(&self, ty: &Type, value: impl Fn(&[i64]) -> Number) -> Tensor {
        let shape = extents(ty);
        let mut tensor = Tensor::zeros(ty.dtype, &shape);
        for (number, index) in each_index(&shape).enumerate() {
            let at: Vec<i64> = index.iter().map(|i| *i as i64).collect();
            tensor.set(number, value(&at).literal(ty.dtype));
        }
        tensor
    }

    fn dim(&self, dim: &Dim) -> i64 {
        match dim.eval(self.symbols) {
            Ok(value) => value,
            Err(error) => crate::internal_error("index_eval", &format!("{dim:?}: {error:?}")),
        }
    }

    /// All places of the reduced axes, behind `at`.
    fn places(&self, axes: &[Dim], at: &[i64]) -> impl Iterator<Item = Vec<i64>> {
        let sizes: Vec<usize> = axes.iter().map(|axis| self.dim(axis).max(0) as usize).collect();
        let at = at.to_vec();
        each_index(&sizes).map(move |rest| at.iter().copied().chain(rest.into_iter().map(|i| i as i64)).collect())
    }

    fn reduce(&self, axes: &[Dim], combine: Combine, value: &Expr, at: &[i64], dtype: DType) -> Number {
        let values = self.places(axes, at).map(|place| self.expr(value, &place));
        if dtype.is_float() {
            let (start, join): (f64, fn(f64, f64) -> f64) = match combine {
                Combine::Sum => (0.0, |a, b| a + b),
                Combine::Prod => (1.0, |a, b| a * b),
                Combine::Max => (f64::NEG_INFINITY, |a, b| if a.is_nan() || a > b { a } else { b }),
                Combine::Min => (f64::INFINITY, |a, b| if a.is_nan() || a < b { a } else { b }),
            };
            return Number::Float(values.fold(start, |total, value| join(total, value.float())));
        }
        let values: Vec<i64> = values.map(Number::int).collect();
        Number::Int(match combine {
            Combine::Sum => values.into_iter().fold(0, i64::wrapping_add),
            Combine::Prod => values.into_iter().fold(1, i64::wrapping_mul),
            Combine::Max => values.into_iter().max().unwrap_or(0),
            Combine::Min => values.into_iter().min().unwrap_or(1),
        })
    }

    /// A sum and what it goes on from.
    fn onto(&self, blocks: Option<&Blocks>, sum: Number, at: &[i64]) -> Number {
        match blocks {
            Some(blocks) => Number::Float(self.expr(&blocks.start, at).float() + sum.float()),
            None => sum,
        }
    }

    fn dot(&self, axes: &[Dim], left: &Expr, right: &Expr, at: &[i64], dtype: DType) -> Number {
        let products = self.places(axes, at).map(|place| (self.expr(left, &place), self.expr(right, &place)));
        if dtype.is_float() {
            return Number::Float(products.map(|(a, b)| a.float() * b.float()).sum());
        }
        Number::Int(products.fold(0, |sum, (a, b)| sum.wrapping_add(a.int().wrapping_mul(b.int()))))
    }

    fn scan(&self, ty: &Type, axis: usize, from: Start, factor: Option<&Expr>, value: &Expr) -> Tensor {
        let shape = extents(ty);
        let mut result = Tensor::zeros(ty.dtype, &shape);
        // What is carried is not rounded.
        let mut carried: Vec<Option<Number>> = vec![None; result.len()];
        let mut indices: Vec<Vec<usize>> = each_index(&shape).collect();
        if from == Start::Back {
            indices.reverse();
        }
        for index in indices {
            let at: Vec<i64> = index.iter().map(|i| *i as i64).collect();
            let mut before = index.clone();
            before[axis] = if from == Start::Front { index[axis].wrapping_sub(1) } else { index[axis] + 1 };
            let last = if before[axis] < shape[axis] { carried[result.offset(&before)] } else { None };
            let term = self.expr(value, &at);
            let factor = |cx: &Self| factor.map(|factor| cx.expr(factor, &at));
            let sum = match (last, term) {
                (None, term) => term,
                (Some(last), Number::Float(term)) => {
                    Number::Float(factor(self).map_or(1.0, Number::float) * last.float() + term)
                }
                (Some(last), Number::Int(term)) => {
                    let product = factor(self).map_or(1, Number::int).wrapping_mul(last.int());
                    Number::Int(wrap_to(ty.dtype, product.wrapping_add(term)))
                }
            };
            let place = result.offset(&index);
            carried[place] = Some(sum);
            result.set(place, sum.literal(ty.dtype));
        }
        result
    }

    fn updated(&self, starts: &[Option<u32>], at: &[i64]) -> Number {
        let (old, new) = (self.args[0], self.args[1]);
        let place: Vec<i64> = (0..at.len())
            .map(|n| {
                let last = old.shape[n] as i64 - new.shape[n] as i64;
                at[n] - starts[n].map_or(0, |start| self.args[start as usize].ints()[0].clamp(0, last.max(0)))
            })
            .collect();
        let element = match new.offset_within(&place) {
            Some(offset) => new.literal(offset),
            None => old.literal(old.offset(&at.iter().map(|i| *i as usize).collect::<Vec<_>>())),
        };
        Number::of(element)
    }

    fn scatter(&self, ty: &Type, axis: usize, axes: &[Dim], place: &Expr, value: &Expr) -> Tensor {
        let most = extents(ty)[axis] as i64 - 1;
        self.tensor(ty, |at| {
            let here = |whole: &Vec<i64>| self.expr(place, whole).int().clamp(0, most.max(0)) == at[axis];
            let terms = self.places(axes, at).filter(here).map(|whole| self.expr(value, &whole));
            if ty.dtype.is_float() {
                Number::Float(terms.map(Number::float).sum())
            } else {
                Number::Int(wrap_to(ty.dtype, terms.map(Number::int).fold(0, i64::wrapping_add)))
            }
        })
    }

    /// Ranks by counting: how many elements come before each.
    fn order(&self, order: SortOrder, x: &Tensor) -> Tensor {
        let extent = x.shape.last().copied().unwrap_or(1);
        let mut result = Tensor::zeros(DType::I32, &x.shape);
        for at in 0..x.len() {
            let row = at - at % extent;
            let before = |other: &usize| match arg_sort::compare(order, x.literal(*other), x.literal(at)) {
                Ordering::Less => true,
                Ordering::Equal => *other < at,
                Ordering::Greater => false,
            };
            let rank = (row..row + extent).filter(before).count();
            result.set(row + rank, Literal::from_i64(DType::I32, (at - row) as i64));
        }
        result
    }

    fn best(&self, axes: &[Dim], extreme: Extreme, value: &Expr, at: &[i64]) -> (Number, i64) {
        let mut best: Option<(Number, i64)> = None;
        for (number, place) in self.places(axes, at).enumerate() {
            let value = self.expr(value, &place);
            let wins = match best {
                None => true,
                Some((Number::Float(best), _)) => {
                    let value = value.float();
                    let better = if extreme == Extreme::Max { value > best } else { value < best };
                    !best.is_nan() && (better || value.is_nan())
                }
                Some((Number::Int(best), _)) => {
                    if extreme == Extreme::Max {
                        value.int() > best
                    } else {
                        value.int() < best
                    }
                }
            };
            if wins {
                best = Some((value, number as i64));
            }
        }
        match best {
            Some(best) => best,
            None => crate::internal_error("index_eval", "the extreme of nothing"),
        }
    }

    fn ix(&self, ix: &Ix, at: &[i64]) -> i64 {
        let term = |(atom, coef): &(IxAtom, i64)| {
            coef * match atom {
                IxAtom::Axis(axis) => at[axis.0 as usize],
                IxAtom::FloorDiv(a, k) => self.ix(a, at).div_euclid(*k),
                IxAtom::Mod(a, k) => self.ix(a, at).rem_euclid(*k),
                IxAtom::Scaled(a, size) => self.ix(a, at) * self.dim(size),
            }
        };
        ix.terms.iter().map(term).sum::<i64>() + self.dim(&ix.constant)
    }

    fn holds(&self, conds: &[Cond], at: &[i64]) -> bool {
        conds.iter().all(|cond| match cond {
            Cond::NotNegative(a) => self.ix(a, at) >= 0,
            Cond::Zero(a) => self.ix(a, at) == 0,
        })
    }

    /// The dtype of an expression.
    fn dtype(&self, expr: &Expr) -> DType {
        match expr {
            Expr::Literal(literal) => literal.dtype,
            Expr::Size(dtype, _) | Expr::Position(dtype, _) | Expr::Cast(dtype, _) => *dtype,
            Expr::Test(_) | Expr::Compare(..) => DType::Bool,
            Expr::Operand { fill, .. } => fill.dtype,
            Expr::Unary(_, a) | Expr::Binary(_, a, _) | Expr::Select(_, a, _) => self.dtype(a),
            Expr::Random { .. } => DType::F32,
        }
    }

    fn expr(&self, expr: &Expr, at: &[i64]) -> Number {
        match expr {
            Expr::Literal(literal) => Number::of(*literal),
            Expr::Size(dtype, size) => self.number(self.dim(size), *dtype),
            Expr::Position(dtype, ix) => self.number(self.ix(ix, at), *dtype),
            Expr::Test(conds) => Number::Int(i64::from(self.holds(conds, at))),
            Expr::Operand { arg, index, within, fill } => {
                if !self.holds(within, at) {
                    return Number::of(*fill);
                }
                self.element(self.args[*arg as usize], index, at)
            }
            Expr::Unary(op, a) => match self.expr(a, at) {
                Number::Float(x) => Number::Float(round_to(self.dtype(a), unary::float(*op, x))),
                Number::Int(x) => Number::Int(wrap_to(self.dtype(a), unary::integer(*op, x))),
            },
            Expr::Binary(op, a, b) => match (self.expr(a, at), self.expr(b, at)) {
                (Number::Float(x), Number::Float(y)) => {
                    Number::Float(round_to(self.dtype(a), binary::float(*op, x, y)))
                }
                (x, y) => Number::Int(wrap_to(self.dtype(a), binary::integer(*op, x.int(), y.int()))),
            },
            Expr::Compare(op, a, b) => Number::Int(i64::from(match (self.expr(a, at), self.expr(b, at)) {
                (Number::Float(x), Number::Float(y)) => compare::holds(*op, x, y),
                (x, y) => compare::holds(*op, x.int(), y.int()),
            })),
            Expr::Select(c, a, b) => {
                if self.expr(c, at).int() != 0 {
                    self.expr(a, at)
                } else {
                    self.expr(b, at)
                }
            }
            Expr::Cast(dtype, a) => {
                let tensor = Tensor::full(self.expr(a, at).literal(self.dtype(a)), &[]);
                Number::of(tensor.cast(*dtype).literal(0))
            }
            Expr::Random { distribution, site, seed, step, offset, element } => {
                let (seed, step) = (self.expr(seed, at).int(), self.expr(step, at).int());
                let site = site.wrapping_add(self.expr(offset, at).int() as u64);
                let drawn = random::draw(*distribution, seed, step, site, self.ix(element, at) as u64);
                Number::Float(round_to(DType::F32, drawn))
            }
        }
    }

    fn number(&self, value: i64, dtype: DType) -> Number {
        Number::of(Tensor::from_i64(&[], &[value]).cast(dtype).literal(0))
    }

    fn element(&self, tensor: &Tensor, index: &[Index], at: &[i64]) -> Number {
        let place: Vec<i64> = index
            .iter()
            .map(|index| match index {
                Index::At(ix) => self.ix(ix, at),
                Index::Window { start, last, at: place } => {
                    self.expr(start, at).int().clamp(0, self.dim(last).max(0)) + self.ix(place, at)
                }
                Index::Data { value, bound } => self.expr(value, at).int().clamp(0, (self.dim(bound) - 1).max(0)),
            })
            .collect();
        match tensor.offset_within(&place) {
            Some(offset) => Number::of(tensor.literal(offset)),
            None => crate::internal_error("index_eval", &format!("{place:?} is outside of {:?}", tensor.shape)),
        }
    }
}
