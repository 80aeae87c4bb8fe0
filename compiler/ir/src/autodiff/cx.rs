//! What the gradient rule of a node works with.

use super::{Adj, Reason};
use crate::builder::Builder;
use crate::graph::Value;
use crate::ops::Op;
use crate::ops::cast::Cast;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::reshape::Reshape;
use crate::ops::select::Select;
use crate::ops::transpose::Transpose;
use crate::scalar::{BinaryOp, CompareOp, UnaryOp};
use crate::ty::{DType, Shape, Type};

/// A node and the adjoints of its results, with the builder that takes the new nodes.
///
/// An op without float results is asked too, with no adjoints: it answers with reasons alone.
pub struct VjpCx<'a> {
    /// Takes the new nodes.
    pub b: &'a mut Builder,
    args: &'a [Value],
    results: &'a [Value],
    adjoints: &'a [Option<Value>],
    wanted: &'a [bool],
}

impl<'a> VjpCx<'a> {
    /// One entry of `adjoints` for each result, of `wanted` for each operand.
    pub fn new(
        b: &'a mut Builder,
        args: &'a [Value],
        results: &'a [Value],
        adjoints: &'a [Option<Value>],
        wanted: &'a [bool],
    ) -> VjpCx<'a> {
        VjpCx { b, args, results, adjoints, wanted }
    }

    /// Operand `i`.
    pub fn arg(&self, i: usize) -> Value {
        self.args[i]
    }

    /// The operands.
    pub fn args(&self) -> &'a [Value] {
        self.args
    }

    /// Result `i`.
    pub fn result(&self, i: usize) -> Value {
        self.results[i]
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Type {
        self.b.ty(value).clone()
    }

    /// The shape of a value.
    pub fn shape(&self, value: Value) -> Shape {
        self.b.ty(value).shape.clone()
    }

    /// The adjoint of result `i`; zeros if the loss does not depend on it.
    pub fn adjoint(&mut self, i: usize) -> Value {
        match self.adjoints[i] {
            Some(adjoint) => adjoint,
            None => {
                let ty = self.ty(self.results[i]);
                self.b.full(ty.dtype, 0.0, &ty.shape)
            }
        }
    }

    /// The adjoint of operand `i`, made by `rule` if it is wanted.
    pub fn give(&mut self, i: usize, rule: impl FnOnce(&mut Self) -> Value) -> Adj {
        if self.wanted[i] { Adj::Value(rule(self)) } else { Adj::Zero(Reason::NotAsked) }
    }

    /// One node with one result.
    pub fn node(&mut self, op: impl Into<Op>, args: &[Value]) -> Value {
        self.b.add1(op, args)
    }

    /// A number with the type of `like`.
    pub fn number(&mut self, value: f64, like: Value) -> Value {
        let ty = self.ty(like);
        self.b.full(ty.dtype, value, &ty.shape)
    }

    /// `-x`
    pub fn neg(&mut self, x: Value) -> Value {
        self.b.unary(UnaryOp::Neg, x)
    }

    /// `a + b`
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(BinaryOp::Add, a, b)
    }

    /// `a - b`
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(BinaryOp::Sub, a, b)
    }

    /// `a * b`
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(BinaryOp::Mul, a, b)
    }

    /// `a / b`
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.b.binary(BinaryOp::Div, a, b)
    }

    /// `value * number`
    pub fn scale(&mut self, value: Value, number: f64) -> Value {
        let factor = self.number(number, value);
        self.mul(value, factor)
    }

    /// A comparison.
    pub fn compare(&mut self, op: CompareOp, a: Value, b: Value) -> Value {
        self.b.compare(op, a, b)
    }

    /// `if c then a else b`, elementwise.
    pub fn select(&mut self, c: Value, a: Value, b: Value) -> Value {
        self.node(Select, &[c, a, b])
    }

    /// `x` as another dtype.
    pub fn cast(&mut self, x: Value, dtype: DType) -> Value {
        if self.ty(x).dtype == dtype { x } else { self.node(Cast { dtype }, &[x]) }
    }

    /// The sum over `axes`, which go.
    pub fn sum(&mut self, x: Value, axes: Vec<usize>) -> Value {
        if axes.is_empty() { x } else { self.node(Reduce { kind: ReduceKind::Sum, axes }, &[x]) }
    }

    /// The same elements under another shape.
    pub fn reshape(&mut self, x: Value, shape: &Shape) -> Value {
        if self.shape(x) == *shape { x } else { self.node(Reshape { shape: shape.clone() }, &[x]) }
    }

    /// Axis k of the result is axis `perm[k]` of `x`.
    pub fn transpose(&mut self, x: Value, perm: Vec<usize>) -> Value {
        if perm.is_sorted() { x } else { self.node(Transpose { perm }, &[x]) }
    }

    /// `x`, whose axes are those of `shape` but `axes`, repeated along `axes`.
    pub fn spread(&mut self, x: Value, shape: &Shape, axes: &[usize]) -> Value {
        if axes.is_empty() {
            return x;
        }
        let kept = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        self.node(crate::ops::broadcast::Broadcast { shape: shape.clone(), axes: kept }, &[x])
    }
}
