//! Index forms: what an op computes, element by element.
//!
//! [`Definition`] says what one element of the result is, as an expression over the result's axes,
//! over summed axes, and over elements of the operands. It says nothing of order but what the
//! summation order of its axes says; loops, tiles, vectors and buffers are `mlc-kernel`'s.
//! Views and elementwise ops are both [`Definition::Map`], so fusing them is substitution.

use crate::dim::Dim;
use crate::scalar::{BinaryOp, CompareOp, Distribution, Literal, UnaryOp};
use crate::ty::DType;

/// An axis of a definition: first the result's axes in order, then the reduced ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AxisId(pub u32);

/// An integer expression over axes: `Σ coef·atom + constant`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ix {
    /// No two with the same atom, no coefficient 0; sorted by atom.
    pub terms: Vec<(IxAtom, i64)>,
    /// May mention size symbols.
    pub constant: Dim,
}

/// What an index expression is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IxAtom {
    /// An axis.
    Axis(AxisId),
    /// `floor(a / c)`, `c > 0`.
    FloorDiv(Box<Ix>, i64),
    /// `a mod c`, `c > 0`, never negative.
    Mod(Box<Ix>, i64),
    /// `a · size`, for strides that are not numbers.
    Scaled(Box<Ix>, Dim),
}

/// A condition over axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    /// `a >= 0`
    NotNegative(Ix),
    /// `a == 0`
    Zero(Ix),
}

/// One coordinate of an operand's element.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// Known from the axes alone; within the operand wherever it is read.
    At(Ix),
    /// From data (i32 or i64); clamped into `0..bound`.
    Data {
        /// The index.
        value: Box<Expr>,
        /// The size of that axis.
        bound: Dim,
    },
    /// In a window of the axis: its start comes from data (i32 or i64), clamped into `0..=last`, the
    /// place in it from the axes.
    Window {
        /// The start; the same at all places.
        start: Box<Expr>,
        /// Where the window starts at most.
        last: Dim,
        /// The place in the window.
        at: Ix,
    },
}

/// The value of one element.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number.
    Literal(Literal),
    /// A size as a number of a dtype.
    Size(DType, Dim),
    /// An index expression as an i32 or i64.
    Position(DType, Ix),
    /// Whether all conditions hold: bool.
    Test(Vec<Cond>),
    /// An element of operand `arg`; `fill` where a condition of `within` does not hold (then nothing is read).
    Operand {
        /// Which operand of the node.
        arg: u32,
        /// One entry for each axis of the operand.
        index: Vec<Index>,
        /// All must hold, else `fill`.
        within: Vec<Cond>,
        /// Of the operand's dtype.
        fill: Literal,
    },
    /// A unary operator.
    Unary(UnaryOp, Box<Expr>),
    /// A binary operator.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// A comparison.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `if a then b else c`, elementwise.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A conversion: float to integer truncates and saturates (NaN: 0), integer to integer wraps,
    /// anything to bool is `!= 0`.
    Cast(DType, Box<Expr>),
    /// One Philox4x32-10 draw, an f32: key = seed, counter = (element / 4, step, low and high half of
    /// site + offset, wrapping).
    Random {
        /// How the word becomes a number.
        distribution: Distribution,
        /// FNV-1a of the path of the call.
        site: u64,
        /// i64
        seed: Box<Expr>,
        /// i64
        step: Box<Expr>,
        /// i64, of the pass of the loops around.
        offset: Box<Expr>,
        /// The element's row-major number.
        element: Ix,
    },
}

/// How values over reduced axes are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Combine {
    /// Sum, from 0.
    Sum,
    /// Product, from 1.
    Prod,
    /// Largest, from the least value (-inf); NaN wins.
    Max,
    /// Smallest, from the greatest value (inf); NaN wins.
    Min,
}

/// Largest or smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extreme {
    /// Largest.
    Max,
    /// Smallest.
    Min,
}

/// What [`Definition::Best`] gives as one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BestPart {
    /// The extreme value.
    Value,
    /// Its row-major number among the reduced axes, in the result's dtype (i32 or u8).
    Position,
}

/// From which end something runs along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Start {
    /// From the first element on.
    Front,
    /// From the last element back.
    Back,
}

/// Which elements come first; NaN counts as largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SortOrder {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}

/// A sum that goes on from another: the outermost summed axis is cut into equal stretches, and what each gives is
/// added to the sum so far, that of the last one first.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// What it goes on from, at the result's index.
    pub start: Expr,
    /// Number of stretches.
    pub count: i64,
}

/// What an op computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// `result[i] = value(i)`
    Map(Expr),
    /// `result[i] = combine over r of value(i, r)`; order of `axes` is the order of the sum, outermost first.
    Reduce {
        /// Extents of the reduced axes.
        axes: Vec<Dim>,
        /// How.
        combine: Combine,
        /// What.
        value: Expr,
        /// Of a sum, in which stretches it is taken if not from front to back.
        blocks: Option<Box<Blocks>>,
    },
    /// `result[i] = Σ over r of left(i, r) · right(i, r)`, each term added by a fused multiply-add.
    Dot {
        /// Extents of the reduced axes.
        axes: Vec<Dim>,
        /// One factor.
        left: Expr,
        /// The other.
        right: Expr,
        /// In which stretches the sum is taken if not from front to back.
        blocks: Option<Box<Blocks>>,
    },
    /// The extreme over the reduced axes and where it is; the first of equals, NaN before all.
    Best {
        /// Extents of the reduced axes.
        axes: Vec<Dim>,
        /// Largest or smallest.
        extreme: Extreme,
        /// What.
        value: Expr,
        /// One for each result of the op.
        results: Vec<BestPart>,
    },
    /// Along a result axis each element is `factor` times the one before plus `value`, both at its own
    /// index; the first is `value`. No factor: 1. Floats are carried in f64 and rounded where they are
    /// results, integers wrap.
    Scan {
        /// Which axis.
        axis: usize,
        /// Which element is the first.
        from: Start,
        /// Of the element before.
        factor: Option<Expr>,
        /// What is added.
        value: Expr,
    },
    /// Sums at coordinates that data names along a result axis: `Σ over r with place(i, r) == i[axis] of
    /// value(i, r)`, in the order of `axes`. Neither expression depends on that axis.
    Scatter {
        /// Which axis.
        axis: usize,
        /// Extents of the summed axes.
        axes: Vec<Dim>,
        /// A coordinate (i32 or i64), clamped into the axis; of the axes before `axis` and the summed ones.
        place: Expr,
        /// What is added there.
        value: Expr,
    },
    /// The coordinates of the only operand's elements along its last axis, in their order; equals keep
    /// theirs.
    Order {
        /// Which come first.
        order: SortOrder,
    },
    /// Operand 0, with operand 1 in a window.
    Update {
        /// Where the window starts along each axis: the operand (an i32 or i64 scalar), clamped so that
        /// the window fits; none where it is the whole axis.
        starts: Vec<Option<u32>>,
    },
    /// The operand's elements in row-major order under another shape.
    Alias,
}

impl Ix {
    /// A constant.
    pub fn constant(value: impl Into<Dim>) -> Ix {
        Ix { terms: Vec::new(), constant: value.into() }
    }

    /// An axis.
    pub fn axis(axis: AxisId) -> Ix {
        Ix { terms: vec![(IxAtom::Axis(axis), 1)], constant: Dim::zero() }
    }

    fn atom(atom: IxAtom) -> Ix {
        Ix { terms: vec![(atom, 1)], constant: Dim::zero() }
    }

    /// The number, if it is one.
    pub fn as_const(&self) -> Option<i64> {
        if self.terms.is_empty() { self.constant.as_const() } else { None }
    }

    /// `self + other`. Constants of shapes that were checked do not overflow.
    #[expect(clippy::should_implement_trait, reason = "an expression builder, named as its siblings")]
    pub fn add(mut self, other: Ix) -> Ix {
        for (atom, coef) in other.terms {
            match self.terms.iter().position(|(a, _)| *a == atom) {
                Some(at) => self.terms[at].1 += coef,
                None => self.terms.push((atom, coef)),
            }
        }
        self.terms.retain(|(_, coef)| *coef != 0);
        self.constant = checked(self.constant.add(&other.constant));
        self
    }

    /// `self - other`.
    #[expect(clippy::should_implement_trait, reason = "an expression builder, named as its siblings")]
    pub fn sub(self, other: Ix) -> Ix {
        self.add(other.times(-1))
    }

    /// `self + k`.
    pub fn plus(self, k: impl Into<Dim>) -> Ix {
        self.add(Ix::constant(k))
    }

    /// `self · k`.
    pub fn times(mut self, k: i64) -> Ix {
        if k == 0 {
            return Ix::constant(0);
        }
        for (_, coef) in &mut self.terms {
            *coef *= k;
        }
        self.constant = checked(self.constant.mul(&Dim::from(k)));
        self
    }

    /// `self · size`.
    pub fn scaled(self, size: &Dim) -> Ix {
        match (size.as_const(), self.terms.is_empty()) {
            (Some(k), _) => self.times(k),
            (None, true) => Ix::constant(checked(self.constant.mul(size))),
            (None, false) => Ix::atom(IxAtom::Scaled(Box::new(self), size.clone())),
        }
    }

    /// `floor(self / k)`, `k > 0`.
    pub fn floor_div(self, k: i64) -> Ix {
        if k == 1 {
            return self;
        }
        if let Some(value) = self.as_const() {
            return Ix::constant(value.div_euclid(k));
        }
        Ix::atom(IxAtom::FloorDiv(Box::new(self), k))
    }

    /// `self mod k`, `k > 0`.
    pub fn modulo(self, k: i64) -> Ix {
        if k == 1 {
            return Ix::constant(0);
        }
        if let Some(value) = self.as_const() {
            return Ix::constant(value.rem_euclid(k));
        }
        Ix::atom(IxAtom::Mod(Box::new(self), k))
    }

    /// Replaces each axis by an expression.
    pub fn substitute(&self, with: &dyn Fn(AxisId) -> Ix) -> Ix {
        self.terms.iter().fold(Ix { terms: Vec::new(), constant: self.constant.clone() }, |sum, (atom, coef)| {
            let value = match atom {
                IxAtom::Axis(axis) => with(*axis),
                IxAtom::FloorDiv(a, k) => a.substitute(with).floor_div(*k),
                IxAtom::Mod(a, k) => a.substitute(with).modulo(*k),
                IxAtom::Scaled(a, size) => a.substitute(with).scaled(size),
            };
            sum.add(value.times(*coef))
        })
    }

    /// Calls `f` for each axis in it.
    pub fn each_axis(&self, f: &mut dyn FnMut(AxisId)) {
        for (atom, _) in &self.terms {
            match atom {
                IxAtom::Axis(axis) => f(*axis),
                IxAtom::FloorDiv(a, _) | IxAtom::Mod(a, _) | IxAtom::Scaled(a, _) => a.each_axis(f),
            }
        }
    }

    /// The row-major number of an element at `index` of a tensor of `shape`.
    pub fn row_major(index: &[Ix], shape: &[Dim]) -> Ix {
        index.iter().zip(shape).fold(Ix::constant(0), |sum, (ix, size)| sum.scaled(size).add(ix.clone()))
    }
}

impl Cond {
    /// `0 <= ix` and `ix < size`.
    pub fn within(ix: &Ix, size: &Dim) -> [Cond; 2] {
        [Cond::NotNegative(ix.clone()), Cond::NotNegative(Ix::constant(size.clone()).sub(ix.clone()).plus(-1))]
    }

    /// Replaces each axis by an expression.
    pub fn substitute(&self, with: &dyn Fn(AxisId) -> Ix) -> Cond {
        match self {
            Cond::NotNegative(a) => Cond::NotNegative(a.substitute(with)),
            Cond::Zero(a) => Cond::Zero(a.substitute(with)),
        }
    }

    /// Whether it holds for all axes because it has none and is decided.
    pub fn is_true(&self) -> bool {
        match self {
            Cond::NotNegative(a) => a.terms.is_empty() && a.constant.range().0 >= 0,
            Cond::Zero(a) => a.as_const() == Some(0),
        }
    }
}

impl Expr {
    /// The element of operand `arg` at `index`, always within it.
    pub fn operand(arg: u32, index: Vec<Ix>, dtype: DType) -> Expr {
        Expr::Operand {
            arg,
            index: index.into_iter().map(Index::At).collect(),
            within: Vec::new(),
            fill: Literal::zero(dtype),
        }
    }

    /// Calls `f` for this expression and all in it.
    pub fn each(&self, f: &mut dyn FnMut(&Expr)) {
        f(self);
        match self {
            Expr::Literal(_) | Expr::Size(..) | Expr::Position(..) | Expr::Test(_) => {}
            Expr::Operand { index, .. } => {
                for index in index {
                    if let Index::Data { value, .. } | Index::Window { start: value, .. } = index {
                        value.each(f);
                    }
                }
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) => a.each(f),
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
                a.each(f);
                b.each(f);
            }
            Expr::Select(c, a, b) => {
                c.each(f);
                a.each(f);
                b.each(f);
            }
            Expr::Random { seed, step, offset, .. } => {
                seed.each(f);
                step.each(f);
                offset.each(f);
            }
        }
    }
}

impl Definition {
    /// The operands that are read where data says, each as often as it is read so.
    pub fn gathered(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut note = |expr: &Expr| {
            if let Expr::Operand { arg, index, .. } = expr
                && index.iter().any(|index| !matches!(index, Index::At(_)))
            {
                found.push(*arg);
            }
        };
        match self {
            Definition::Map(value) | Definition::Best { value, .. } => value.each(&mut note),
            Definition::Reduce { value, blocks, .. } => {
                value.each(&mut note);
                blocks.iter().for_each(|blocks| blocks.start.each(&mut note));
            }
            Definition::Dot { left, right, blocks, .. } => {
                left.each(&mut note);
                right.each(&mut note);
                blocks.iter().for_each(|blocks| blocks.start.each(&mut note));
            }
            Definition::Scan { factor, value, .. } => {
                if let Some(factor) = factor {
                    factor.each(&mut note);
                }
                value.each(&mut note);
            }
            Definition::Scatter { place, value, .. } => {
                place.each(&mut note);
                value.each(&mut note);
            }
            Definition::Order { .. } => found.push(0),
            Definition::Update { starts } => {
                found.push(0);
                found.extend(starts.iter().flatten());
            }
            Definition::Alias => {}
        }
        found
    }
}

/// The first `rank` axes as index expressions.
pub fn result_axes(rank: usize) -> Vec<Ix> {
    (0..rank as u32).map(|axis| Ix::axis(AxisId(axis))).collect()
}

/// `count` reduced axes behind `rank` result axes.
pub fn reduced_axes(rank: usize, count: usize) -> Vec<Ix> {
    (rank as u32..(rank + count) as u32).map(|axis| Ix::axis(AxisId(axis))).collect()
}

fn checked(result: Result<Dim, crate::dim::SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => {
            crate::internal_error("index", &format!("a size that shape inference accepted overflows: {error:?}"))
        }
    }
}
