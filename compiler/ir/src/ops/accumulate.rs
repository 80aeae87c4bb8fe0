//! Sums that go on from where others stand: of a loop's passes, a few at a time, the last ones first.

use super::contract::Contract;
use super::reduce::{Reduce, ReduceKind};
use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Blocks, Definition, Expr};
use crate::tensor::{Data, Tensor, extents};
use crate::ty::Type;

/// `(start, x)` or `(start, x, y)`, of floats: `start` and the sum of what follows it. The outermost summed axis
/// is cut into `blocks` equal stretches; what each gives is added to the sum so far, that of the last one first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accumulate {
    /// What is summed.
    pub of: Summed,
    /// At least 1; divides the extent of the outermost summed axis.
    pub blocks: i64,
}

/// What an [`Accumulate`] sums.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Summed {
    /// Products of two operands.
    Products(Contract),
    /// The elements of one, over these axes, rising.
    Elements(Vec<usize>),
}

impl Summed {
    fn op(&self) -> Box<dyn Primitive> {
        match self {
            Summed::Products(op) => Box::new(op.clone()),
            Summed::Elements(axes) => Box::new(Reduce { kind: ReduceKind::Sum, axes: axes.clone() }),
        }
    }
}

impl Primitive for Accumulate {
    fn info(&self) -> OpInfo {
        let (class, arity) = match &self.of {
            Summed::Products(_) => (Class::Contraction, Arity::Exactly(3)),
            Summed::Elements(_) => (Class::Reduce, Arity::Exactly(2)),
        };
        OpInfo {
            name: "accumulate",
            class,
            doc: "`start + Σ`, over products or elements, in blocks of the outermost summed axis, the last one first.",
            arity,
            tolerance_ulp: 8,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let Some((start, rest)) = args.split_first() else { return refuse("it takes operands") };
        let results = self.of.op().infer(rest)?;
        require(start.dtype.is_float(), "sums that go on are of floats")?;
        require(**start == results[0], "the start is not of the sum's type")?;
        let Some(outermost) = self.outermost(rest) else { return refuse("nothing is summed") };
        let divides = self.blocks >= 1 && outermost.exact_div(&Dim::from(self.blocks)).is_ok();
        require(divides, "the outermost summed axis has no such number of equal blocks")?;
        Ok(results)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let sum = self.of.op().eval(&args[1..], results);
        let (Data::Float(start), Data::Float(sum)) = (&args[0].data, &sum[0].data) else {
            crate::internal_error("accumulate", "a sum of integers")
        };
        let all = start.iter().zip(sum).map(|(start, sum)| start + sum);
        vec![Tensor::floats_of(args[0].dtype, &extents(&results[0]), all)]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        let mut adjoints = vec![cx.give(0, |cx| cx.adjoint(0))];
        match &self.of {
            Summed::Products(op) => {
                let [of_left, of_right] = op.adjoints();
                adjoints.push(cx.give(1, |cx| {
                    let (d, y) = (cx.adjoint(0), cx.arg(2));
                    cx.node(of_left, &[d, y])
                }));
                adjoints.push(cx.give(2, |cx| {
                    let (d, x) = (cx.adjoint(0), cx.arg(1));
                    cx.node(of_right, &[x, d])
                }));
            }
            Summed::Elements(axes) => adjoints.push(cx.give(1, |cx| {
                let (d, shape) = (cx.adjoint(0), cx.shape(cx.arg(1)));
                cx.spread(d, &shape, axes)
            })),
        }
        adjoints
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut list = self.of.op().attributes();
        list.push(("blocks", Attribute::Int(self.blocks)));
        list
    }

    fn lower(&self, args: &[&Type], results: &[&Type]) -> Definition {
        let start = Expr::operand(0, (0..results[0].rank()).map(axis).collect(), args[0].dtype);
        let blocks = Some(Box::new(Blocks { start, count: self.blocks }));
        match self.of.op().lower(&args[1..], results) {
            Definition::Dot { axes, left, right, .. } => {
                let (left, right) = (behind_start(left), behind_start(right));
                Definition::Dot { axes, left, right, blocks }
            }
            Definition::Reduce { axes, combine, value, .. } => {
                Definition::Reduce { axes, combine, value: behind_start(value), blocks }
            }
            _ => crate::internal_error("accumulate", "what is summed is no sum"),
        }
    }

    fn cases() -> Vec<Case> {
        let products = |left: &[u32], right: &[u32], blocks: i64, shapes: [&[i64]; 3]| {
            let of = Contract { left: left.to_vec(), right: right.to_vec(), out: vec![1, 2] };
            case(Accumulate { of: Summed::Products(of), blocks }, 3, &shapes.map(f32s))
        };
        let elements = |axes: &[usize], blocks: i64, shapes: [&[i64]; 2]| {
            case(Accumulate { of: Summed::Elements(axes.to_vec()), blocks }, 3, &shapes.map(f32s))
        };
        vec![
            products(&[0, 1], &[0, 2], 2, [&[3, 2], &[4, 3], &[4, 2]]),
            products(&[0, 1], &[0, 2], 1, [&[3, 2], &[4, 3], &[4, 2]]),
            products(&[0, 3, 1], &[0, 3, 2], 3, [&[3, 2], &[3, 2, 3], &[3, 2, 2]]),
            elements(&[0, 1], 3, [&[2], &[3, 2, 2]]),
            elements(&[0], 1, [&[2, 2], &[3, 2, 2]]),
        ]
    }
}

/// An operand with the start before it.
fn behind_start(value: Expr) -> Expr {
    match value {
        Expr::Operand { arg, index, within, fill } => Expr::Operand { arg: arg + 1, index, within, fill },
        _ => crate::internal_error("accumulate", "what is summed is no operand"),
    }
}

impl Accumulate {
    /// The extent of the outermost summed axis; `args` are those behind the start.
    fn outermost<'a>(&self, args: &[&'a Type]) -> Option<&'a Dim> {
        match &self.of {
            Summed::Products(op) => {
                let at = op.left.iter().position(|letter| !op.out.contains(letter))?;
                args[0].shape.get(at)
            }
            Summed::Elements(axes) => args[0].shape.get(*axes.first()?),
        }
    }
}
