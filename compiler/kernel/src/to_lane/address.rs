//! Index expressions and addresses: sums of scalar values with constant factors, a number, and a
//! factor for the lane. Terms are added outermost first, so that partial sums are hoisted, and numbers
//! become displacements.

use super::Emit;
use super::builder::PTR;
use crate::lane::{IBinary, Mem, Op, V};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix, IxAtom};

/// `Σ factor·value + constant + lane·(number of the lane)`.
#[derive(Clone, Debug, Default)]
pub struct Lin {
    /// Values with their factors.
    pub terms: Vec<(V, i64)>,
    /// A number.
    pub constant: i64,
    /// The lane's factor.
    pub lane: i64,
}

/// What a loop variable is at the moment.
#[derive(Clone, Debug)]
pub enum Var {
    /// A number: written out.
    Const(i64),
    /// A loop index.
    Scalar(V),
    /// The lane number.
    Lane,
    /// One lane's number, in code that goes lane by lane.
    OneLane(Lin),
}

impl Lin {
    /// A number.
    pub fn number(constant: i64) -> Lin {
        Lin { constant, ..Lin::default() }
    }

    /// `self + other·factor`.
    pub fn plus(mut self, other: &Lin, factor: i64) -> Lin {
        for (v, k) in &other.terms {
            match self.terms.iter_mut().find(|(u, _)| u == v) {
                Some((_, sum)) => *sum += k * factor,
                None => self.terms.push((*v, k * factor)),
            }
        }
        self.terms.retain(|(_, k)| *k != 0);
        self.constant += other.constant * factor;
        self.lane += other.lane * factor;
        self
    }
}

impl Emit<'_> {
    /// A size: a number, or a word of the frame.
    pub fn size(&mut self, dim: &Dim) -> V {
        match dim.as_const() {
            Some(value) => self.b.index(value),
            None => self.frame_size(dim),
        }
    }

    fn size_lin(&mut self, dim: &Dim) -> Lin {
        match dim.as_const() {
            Some(value) => Lin::number(value),
            None => Lin { terms: vec![(self.frame_size(dim), 1)], ..Lin::default() },
        }
    }

    /// An index expression; `None` if it is not a constant factor along the lanes.
    pub fn lin(&mut self, ix: &Ix) -> Option<Lin> {
        let mut sum = self.size_lin(&ix.constant);
        for (atom, factor) in &ix.terms {
            let part = match atom {
                IxAtom::Axis(axis) => self.axis(*axis),
                IxAtom::FloorDiv(inner, k) => self.divided(IBinary::DivFloor, inner, *k)?,
                IxAtom::Mod(inner, k) => self.divided(IBinary::ModFloor, inner, *k)?,
                IxAtom::Scaled(inner, size) => {
                    let inner = self.lin(inner).filter(|lin| lin.lane == 0)?;
                    let (inner, size) = (self.scalar(&inner), self.size(size));
                    let product = self.b.index_op(IBinary::Mul, inner, size);
                    self.value_lin(product)
                }
            };
            sum = sum.plus(&part, *factor);
        }
        Some(sum)
    }

    /// A value as an expression.
    pub fn value_lin(&self, v: V) -> Lin {
        match self.b.as_const(v) {
            Some(value) => Lin::number(value),
            None => Lin { terms: vec![(v, 1)], ..Lin::default() },
        }
    }

    fn axis(&self, axis: AxisId) -> Lin {
        match self.vars.get(&axis) {
            Some(Var::Const(value)) => Lin::number(*value),
            Some(Var::Scalar(v)) => Lin { terms: vec![(*v, 1)], ..Lin::default() },
            Some(Var::Lane) => Lin { lane: 1, ..Lin::default() },
            Some(Var::OneLane(lin)) => lin.clone(),
            None => mlc_ir::internal_error("lane", "an axis without a loop"),
        }
    }

    fn divided(&mut self, op: IBinary, inner: &Ix, k: i64) -> Option<Lin> {
        let inner = self.lin(inner).filter(|lin| lin.lane == 0)?;
        let (inner, k) = (self.scalar(&inner), self.b.index(k));
        let quotient = self.b.index_op(op, inner, k);
        Some(self.value_lin(quotient))
    }

    /// The value of an expression without lanes, as an i64.
    pub fn scalar(&mut self, lin: &Lin) -> V {
        let mut terms = lin.terms.clone();
        terms.sort_by_key(|(v, _)| (self.b.depth_of(*v), *v));
        let mut sum: Option<V> = None;
        for (v, factor) in terms {
            let part = self.b.scale(v, factor);
            sum = Some(match sum {
                None => part,
                Some(sum) => self.b.index_op(IBinary::Add, sum, part),
            });
        }
        let constant = self.b.index(lin.constant);
        match sum {
            None => constant,
            Some(sum) => self.b.index_op(IBinary::Add, sum, constant),
        }
    }

    /// The address of an element (lane 0 of a vector) and a displacement.
    pub fn address(&mut self, base: V, lin: &Lin, mem: Mem) -> (V, i32) {
        let mut terms = lin.terms.clone();
        terms.sort_by_key(|(v, _)| (self.b.depth_of(*v), *v));
        let mut ptr = base;
        for (v, factor) in terms {
            let bytes = self.b.scale(v, factor * mem.bytes());
            ptr = self.b.def(Op::PtrAdd(ptr, bytes), PTR);
        }
        let bytes = lin.constant * mem.bytes();
        match i32::try_from(bytes) {
            Ok(disp) => (ptr, disp),
            Err(_) => {
                let bytes = self.b.index(bytes);
                (self.b.def(Op::PtrAdd(ptr, bytes), PTR), 0)
            }
        }
    }
}
