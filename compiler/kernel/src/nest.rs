//! Nest: what a fused group of ops computes, with no order but that of its sums.
//!
//! A nest has parallel axes (the domain of its stores), at most one reduction over further axes, and
//! stores at the parallel axes. The reduction's [`ReducePlan`] says in which order and grouping terms
//! are put together: it is part of the meaning, so no schedule, thread count or CPU level with FMA
//! changes a bit.

use crate::expr::{Address, Expr, ExprRef};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{SpanId, Value};
use mlc_ir::index::{AxisId, Combine, Extreme, Ix, SortOrder, Start, result_axes};
use mlc_ir::ty::DType;
use std::sync::Arc;

/// A kernel's meaning.
#[derive(Clone, Debug)]
pub struct Nest {
    /// The ops in it, for dumps and symbols.
    pub name: String,
    /// Where its ops were written, the anchor's first.
    pub spans: Vec<SpanId>,
    /// Extents of the parallel axes, `AxisId(0)…`.
    pub par: Vec<Dim>,
    /// Extents of the reduced axes, behind the parallel ones, outermost of the sum first.
    pub red: Vec<Dim>,
    /// Buffers that loads and stores name.
    pub buffers: Vec<Buffer>,
    /// The reduction over `red`.
    pub reduce: Option<Reduction>,
    /// Whether the terms of a fold are dealt to lanes. The op decides alone, whatever is fused with it.
    pub dealt: bool,
    /// Of a float sum that goes on from another.
    pub blocks: Option<Blocks>,
    /// Values at the parallel axes that stores share; each may use earlier ones.
    pub lets: Vec<ExprRef>,
    /// What is written, in order.
    pub stores: Vec<Store>,
    /// The stored buffer of which only a window is written: there the nest's address is the window's.
    pub window: Option<Window>,
}

/// A window of a buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The buffer: a position in [`Nest::buffers`].
    pub buffer: usize,
    /// Where the window starts, along the axes of which it isn't all.
    pub starts: Vec<WindowStart>,
}

/// Where a window starts along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowStart {
    /// An i32 or i64 in memory, clamped into `0..=last`.
    pub value: Value,
    /// Its dtype.
    pub dtype: DType,
    /// Where the window starts at most.
    pub last: Dim,
    /// Bytes from one coordinate to the next.
    pub bytes: Dim,
}

/// A buffer as a nest sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Where it is.
    pub source: Source,
    /// Its elements.
    pub dtype: DType,
    /// Its axes, row-major.
    pub shape: Vec<Dim>,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A value of the entry's region.
    Value(Value),
    /// A copy made for one nest in another layout.
    Copy(u32),
}

/// A reduction.
#[derive(Clone, Debug)]
pub enum Reduction {
    /// Values put together.
    Fold {
        /// How.
        combine: Combine,
        /// Of the result.
        dtype: DType,
        /// What, over all axes.
        value: ExprRef,
    },
    /// Products summed by multiply-add.
    Dot {
        /// Of factors and result.
        dtype: DType,
        /// One factor.
        left: ExprRef,
        /// The other.
        right: ExprRef,
    },
    /// Along a parallel axis: `factor · the one before + value`, the first is `value`. Its value is
    /// [`Expr::Reduced`], in `dtype`.
    Scan {
        /// Which axis.
        axis: usize,
        /// Which element is the first.
        from: Start,
        /// In which it is carried.
        dtype: DType,
        /// Of the element before, in `dtype`; 1 if absent.
        factor: Option<ExprRef>,
        /// What is added, in `dtype`.
        value: ExprRef,
    },
    /// Sums at coordinates along a parallel axis that data names, term after term of the reduced axes:
    /// what the only store, whose own value does not count, stands for.
    Scatter {
        /// Which axis.
        axis: usize,
        /// Of the sums.
        dtype: DType,
        /// The coordinate, within the axis.
        place: ExprRef,
        /// What is added there.
        value: ExprRef,
    },
    /// The coordinates along the last parallel axis of the elements of a buffer, in their order: what
    /// the only store writes.
    Order {
        /// Which come first.
        order: SortOrder,
        /// An element of the buffer at its own place.
        value: ExprRef,
        /// A buffer like that of the store, for its own use.
        spare: usize,
    },
    /// The extreme value and its position; the first of equals, NaN before all.
    Best {
        /// Largest or smallest.
        extreme: Extreme,
        /// Of the value.
        dtype: DType,
        /// What, over all axes.
        value: ExprRef,
    },
}

/// How a sum goes on from another: the outermost reduced axis is cut into equal stretches, and what each gives is
/// added to the sum so far, that of the last one first.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// What it goes on from, at the parallel axes.
    pub start: ExprRef,
    /// Number of stretches.
    pub count: i64,
}

/// A store at the parallel axes.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which buffer; its shape is `par`, or that of parts like this one behind one another.
    pub buffer: usize,
    /// The element's row-major number in it.
    pub at: Ix,
    /// What.
    pub value: ExprRef,
}

/// In which order and grouping a reduction takes its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReducePlan {
    /// One after another in the order of the axes, broken into blocks; the blocks' results are added
    /// in order, from 0. A block is all of the axes behind `axis` for `count` values of `axis`.
    Chain {
        /// The axis (a position in [`Nest::red`]) that blocks cut.
        axis: usize,
        /// How many of its values make a block.
        count: i64,
    },
    /// As [`Nest::blocks`] says; the terms of a block one after another in the order of the axes.
    Blocks,
    /// Terms are dealt to [`logical_lanes`] partial results by their position along the innermost
    /// axis; each takes its terms in order, and the partial results are combined by halving.
    Lanes,
}

/// Terms of one chain at most, where axes allow.
pub const CHAIN_TERMS: i64 = 512;

/// Number of partial results of [`ReducePlan::Lanes`]: twice 64 bytes.
pub fn logical_lanes(dtype: DType) -> i64 {
    128 / dtype.bytes().max(4)
}

/// Outputs below which a contraction sums over a vectorised axis.
const FEW_OUTPUTS: i64 = 8;

impl Nest {
    /// A copy of elements of `source`, from `at` over the axes of `target`.
    pub(crate) fn copy(spans: &[SpanId], source: &Buffer, target: &Buffer, at: Address) -> Nest {
        Nest {
            name: "copy".to_string(),
            spans: spans.to_vec(),
            par: target.shape.clone(),
            red: Vec::new(),
            buffers: vec![source.clone(), target.clone()],
            reduce: None,
            dealt: false,
            blocks: None,
            window: None,
            lets: Vec::new(),
            stores: vec![Store {
                buffer: 1,
                at: Ix::row_major(&result_axes(target.shape.len()), &target.shape),
                value: Arc::new(Expr::Load { buffer: 0, at }),
            }],
        }
    }

    /// The reduction's plan, from the nest's meaning alone; those along parallel axes need none.
    pub fn plan(&self) -> Option<ReducePlan> {
        let reduce = self.reduce.as_ref()?;
        if self.blocks.is_some() {
            return Some(ReducePlan::Blocks);
        }
        let lanes = match reduce {
            Reduction::Scan { .. } | Reduction::Order { .. } | Reduction::Scatter { .. } => return None,
            _ if self.red.is_empty() => false,
            Reduction::Best { .. } => false,
            Reduction::Dot { .. } => self.constant_outputs() < FEW_OUTPUTS,
            Reduction::Fold { .. } => self.dealt,
        };
        if lanes { Some(ReducePlan::Lanes) } else { Some(self.chain()) }
    }

    /// Number of terms, or of outputs without a reduction, at given sizes; saturating.
    pub fn work(&self, sizes: &[i64]) -> i64 {
        let extents = self.par.iter().chain(&self.red);
        extents.map(|extent| extent.eval(sizes).unwrap_or(1)).fold(1, i64::saturating_mul)
    }

    /// Number of outputs, symbols counted as 1.
    fn constant_outputs(&self) -> i64 {
        self.par.iter().filter_map(Dim::as_const).fold(1, i64::saturating_mul)
    }

    /// Whether some load of a fold's value walks its buffer along the innermost parallel axis.
    pub fn contiguous_outputs(&self, value: &ExprRef) -> bool {
        let Some(last) = self.par.len().checked_sub(1) else { return false };
        if self.par[last].is(1) {
            return false;
        }
        let mut found = false;
        value.each(&mut |e| {
            let walk = match e {
                Expr::Load { at: Address::Linear(ix), .. } => Some(ix),
                Expr::Load { at: Address::Axes { index, .. }, .. } => match index.last() {
                    Some(index) => index.affine(),
                    None => None,
                },
                _ => None,
            };
            found |= walk.is_some_and(|ix| axis_coef(ix, AxisId(last as u32)) == Some(1));
        });
        found
    }

    fn chain(&self) -> ReducePlan {
        let mut inner: i64 = 1;
        for axis in (0..self.red.len()).rev() {
            match self.red[axis].as_const() {
                Some(extent) if extent.saturating_mul(inner) <= CHAIN_TERMS => inner *= extent,
                _ => return ReducePlan::Chain { axis, count: (CHAIN_TERMS / inner).max(1) },
            }
        }
        ReducePlan::Chain { axis: 0, count: self.red.first().and_then(Dim::as_const).unwrap_or(1) }
    }
}

/// The coefficient of an axis that occurs only as a plain term; `None` if it is inside a division,
/// remainder or scaled term.
pub fn axis_coef(ix: &Ix, axis: AxisId) -> Option<i64> {
    use mlc_ir::index::IxAtom;
    let mut coef = 0;
    for (atom, k) in &ix.terms {
        match atom {
            IxAtom::Axis(a) if *a == axis => coef = *k,
            IxAtom::Axis(_) => {}
            IxAtom::FloorDiv(inner, _) | IxAtom::Mod(inner, _) | IxAtom::Scaled(inner, _) => {
                let mut inside = false;
                inner.each_axis(&mut |a| inside |= a == axis);
                if inside {
                    return None;
                }
            }
        }
    }
    Some(coef)
}
