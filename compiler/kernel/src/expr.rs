//! Scalar expressions of a kernel: what one element of a stage is, over axes and buffers.
//!
//! The same shape as [`mlc_ir::index::Expr`], with operands replaced by loads from buffers and by the
//! value of the nest's reduction. Shared subexpressions are shared nodes.

use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Cond, Ix};
use mlc_ir::scalar::{BinaryOp, CompareOp, Distribution, Literal, UnaryOp};
use mlc_ir::ty::DType;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// A shared expression.
pub type ExprRef = Arc<Expr>;

/// The value of one element.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number.
    Literal(Literal),
    /// A size as a number.
    Size(DType, Dim),
    /// An index expression as a number (i32 or i64).
    Position(DType, Ix),
    /// Whether all conditions hold.
    Test(Vec<Cond>),
    /// An element of a buffer of the nest.
    Load {
        /// Which.
        buffer: usize,
        /// Where.
        at: Address,
    },
    /// The value of the nest's reduction.
    Reduced,
    /// The position that a [`crate::nest::Reduction::Best`] found, as an integer of a dtype.
    BestPosition(DType),
    /// The n-th `let` of the nest.
    Let(usize),
    /// A unary operator.
    Unary(UnaryOp, ExprRef),
    /// A binary operator.
    Binary(BinaryOp, ExprRef, ExprRef),
    /// A comparison.
    Compare(CompareOp, ExprRef, ExprRef),
    /// `if a then b else c`.
    Select(ExprRef, ExprRef, ExprRef),
    /// A conversion.
    Cast(DType, ExprRef),
    /// A Philox draw, an f32.
    Random {
        /// How the word becomes a number.
        distribution: Distribution,
        /// Of the call.
        site: u64,
        /// i64
        seed: ExprRef,
        /// i64
        step: ExprRef,
        /// i64, added to the site.
        offset: ExprRef,
        /// The element's row-major number.
        element: Ix,
    },
}

/// Where an element of a buffer is.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// Its row-major number; always within the buffer.
    Linear(Ix),
    /// One index for each axis.
    Axes {
        /// Indices; affine ones are within the axis where `within` holds.
        index: Vec<Index>,
        /// All must hold, else nothing is read and the value is `fill`.
        within: Vec<Cond>,
        /// Of the buffer's dtype.
        fill: Literal,
    },
}

/// An index of one axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// From the axes.
    At(Ix),
    /// From data, clamped into `0..bound`.
    Data {
        /// i32 or i64.
        value: ExprRef,
        /// Size of the axis.
        bound: Dim,
    },
    /// In a window of the axis, which lies within it.
    Window {
        /// i32 or i64, clamped into `0..=last`.
        start: ExprRef,
        /// Where the window starts at most.
        last: Dim,
        /// The place in it.
        at: Ix,
    },
}

impl Index {
    /// What of it comes from the axes.
    pub fn affine(&self) -> Option<&Ix> {
        match self {
            Index::At(ix) | Index::Window { at: ix, .. } => Some(ix),
            Index::Data { .. } => None,
        }
    }

    /// What of it comes from data.
    pub fn data(&self) -> Option<&ExprRef> {
        match self {
            Index::At(_) => None,
            Index::Data { value, .. } | Index::Window { start: value, .. } => Some(value),
        }
    }
}

impl Expr {
    /// Replaces each axis by an expression of other axes. What is shared stays shared.
    pub fn substitute(self: &ExprRef, with: &dyn Fn(AxisId) -> Ix) -> ExprRef {
        Substitution { with, done: FxHashMap::default() }.expr(self)
    }

    /// Replaces what `f` gives something for; everything around is rebuilt. What is shared stays shared.
    pub fn rewrite(self: &ExprRef, f: &mut dyn FnMut(&Expr) -> Option<ExprRef>) -> ExprRef {
        self.rewrite_unseen(&mut FxHashMap::default(), f)
    }

    fn rewrite_unseen(
        self: &ExprRef,
        done: &mut FxHashMap<*const Expr, ExprRef>,
        f: &mut dyn FnMut(&Expr) -> Option<ExprRef>,
    ) -> ExprRef {
        let key = Arc::as_ptr(self);
        if let Some(known) = done.get(&key) {
            return known.clone();
        }
        let new = f(self).unwrap_or_else(|| self.with_parts(&mut |part| part.rewrite_unseen(done, f)));
        done.insert(key, new.clone());
        new
    }

    /// The same expression with other parts, in the order of [`Expr::parts`].
    fn with_parts(self: &ExprRef, part: &mut dyn FnMut(&ExprRef) -> ExprRef) -> ExprRef {
        Arc::new(match &**self {
            Expr::Unary(op, a) => Expr::Unary(*op, part(a)),
            Expr::Cast(dtype, a) => Expr::Cast(*dtype, part(a)),
            Expr::Binary(op, a, b) => Expr::Binary(*op, part(a), part(b)),
            Expr::Compare(op, a, b) => Expr::Compare(*op, part(a), part(b)),
            Expr::Select(c, a, b) => Expr::Select(part(c), part(a), part(b)),
            Expr::Random { distribution, site, seed, step, offset, element } => Expr::Random {
                distribution: *distribution,
                site: *site,
                seed: part(seed),
                step: part(step),
                offset: part(offset),
                element: element.clone(),
            },
            Expr::Load { buffer, at: Address::Axes { index, within, fill } } => {
                let index = index
                    .iter()
                    .map(|index| match index {
                        Index::At(ix) => Index::At(ix.clone()),
                        Index::Data { value, bound } => Index::Data { value: part(value), bound: bound.clone() },
                        Index::Window { start, last, at } => {
                            Index::Window { start: part(start), last: last.clone(), at: at.clone() }
                        }
                    })
                    .collect();
                Expr::Load { buffer: *buffer, at: Address::Axes { index, within: within.clone(), fill: *fill } }
            }
            Expr::Literal(_)
            | Expr::Size(..)
            | Expr::Position(..)
            | Expr::Test(_)
            | Expr::Reduced
            | Expr::BestPosition(_)
            | Expr::Let(_)
            | Expr::Load { at: Address::Linear(_), .. } => return self.clone(),
        })
    }

    /// Calls `f` for this expression and everything in it, once for each shared node.
    pub fn each(&self, f: &mut dyn FnMut(&Expr)) {
        self.each_unseen(&mut FxHashSet::default(), f);
    }

    fn each_unseen(&self, seen: &mut FxHashSet<*const Expr>, f: &mut dyn FnMut(&Expr)) {
        if !seen.insert(std::ptr::from_ref(self)) {
            return;
        }
        f(self);
        for part in self.parts() {
            part.each_unseen(seen, f);
        }
    }

    /// The expressions directly in it.
    pub fn parts(&self) -> SmallVec<[&ExprRef; 3]> {
        match self {
            Expr::Literal(_)
            | Expr::Size(..)
            | Expr::Position(..)
            | Expr::Test(_)
            | Expr::Reduced
            | Expr::BestPosition(_)
            | Expr::Let(_)
            | Expr::Load { at: Address::Linear(_), .. } => SmallVec::new(),
            Expr::Load { at: Address::Axes { index, .. }, .. } => index.iter().filter_map(Index::data).collect(),
            Expr::Unary(_, a) | Expr::Cast(_, a) => smallvec![a],
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => smallvec![a, b],
            Expr::Select(c, a, b) => smallvec![c, a, b],
            Expr::Random { seed, step, offset, .. } => smallvec![seed, step, offset],
        }
    }
}

struct Substitution<'a> {
    with: &'a dyn Fn(AxisId) -> Ix,
    done: FxHashMap<*const Expr, ExprRef>,
}

impl Substitution<'_> {
    fn expr(&mut self, expr: &ExprRef) -> ExprRef {
        let key = Arc::as_ptr(expr);
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        let with = self.with;
        let new = Arc::new(match &**expr {
            Expr::Literal(_) | Expr::Size(..) | Expr::Reduced | Expr::BestPosition(_) | Expr::Let(_) => {
                return expr.clone();
            }
            Expr::Position(dtype, ix) => Expr::Position(*dtype, ix.substitute(with)),
            Expr::Test(conds) => Expr::Test(conds.iter().map(|c| c.substitute(with)).collect()),
            Expr::Load { buffer, at } => Expr::Load { buffer: *buffer, at: self.address(at) },
            Expr::Unary(op, a) => Expr::Unary(*op, self.expr(a)),
            Expr::Binary(op, a, b) => Expr::Binary(*op, self.expr(a), self.expr(b)),
            Expr::Compare(op, a, b) => Expr::Compare(*op, self.expr(a), self.expr(b)),
            Expr::Select(c, a, b) => Expr::Select(self.expr(c), self.expr(a), self.expr(b)),
            Expr::Cast(dtype, a) => Expr::Cast(*dtype, self.expr(a)),
            Expr::Random { distribution, site, seed, step, offset, element } => Expr::Random {
                distribution: *distribution,
                site: *site,
                seed: self.expr(seed),
                step: self.expr(step),
                offset: self.expr(offset),
                element: element.substitute(with),
            },
        });
        self.done.insert(key, new.clone());
        new
    }

    fn address(&mut self, at: &Address) -> Address {
        let with = self.with;
        match at {
            Address::Linear(ix) => Address::Linear(ix.substitute(with)),
            Address::Axes { index, within, fill } => Address::Axes {
                index: index
                    .iter()
                    .map(|index| match index {
                        Index::At(ix) => Index::At(ix.substitute(with)),
                        Index::Data { value, bound } => Index::Data { value: self.expr(value), bound: bound.clone() },
                        Index::Window { start, last, at } => {
                            Index::Window { start: self.expr(start), last: last.clone(), at: at.substitute(with) }
                        }
                    })
                    .collect(),
                within: within.iter().map(|c| c.substitute(with)).collect(),
                fill: *fill,
            },
        }
    }
}
