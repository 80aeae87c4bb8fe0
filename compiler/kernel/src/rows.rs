//! Nests that go through their first axis row by row: what a row of the result needs of each buffer is
//! one row of that, or the same for all rows. Such a nest can be run for some rows alone.

use crate::expr::{Address, Expr, Index};
use crate::nest::{Buffer, Nest, Reduction, axis_coef};
use crate::schedule::{each_root, mentions};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::index::{AxisId, Cond, Ix, IxAtom};

const FIRST: AxisId = AxisId(0);

/// How the accesses of one buffer follow the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Bytes from what one row accesses to what the next does; `None`: all access the same.
    pub stride: Option<i64>,
    /// Whether a row's accesses are between its own first element and the next row's.
    pub own: bool,
}

/// The symbol whose value is the number of rows of a nest.
pub fn symbol(nest: &Nest) -> Option<Sym> {
    nest.par.first().and_then(multiple).map(|(_, sym)| sym)
}

/// How each buffer follows the rows that `sym` counts; `None` if rows can't be run by themselves.
pub fn follow(nest: &Nest, sym: Sym) -> Option<Vec<Follows>> {
    let (per_row, _) = nest.par.first().and_then(multiple).filter(|(_, found)| *found == sym)?;
    let apart = match nest.reduce {
        Some(Reduction::Scan { axis, .. }) => axis != 0,
        Some(Reduction::Order { .. } | Reduction::Scatter { .. }) => false,
        Some(Reduction::Fold { .. } | Reduction::Dot { .. } | Reduction::Best { .. }) | None => true,
    };
    let inner = nest.par[1..].iter().chain(&nest.red);
    if !apart || nest.window.is_some() || inner.clone().any(|extent| has(extent, sym)) {
        return None;
    }
    let mut walk = Walk { nest, sym, per_row, found: vec![None; nest.buffers.len()], fine: true };
    each_root(nest, &mut |root| root.each(&mut |expr| walk.expr(expr)));
    for store in &nest.stores {
        walk.linear(store.buffer, &store.at);
    }
    let same = Follows { stride: None, own: false };
    walk.fine.then(|| walk.found.into_iter().map(|found| found.unwrap_or(same)).collect())
}

/// `(c, sym)` of `c · sym`.
fn multiple(extent: &Dim) -> Option<(i64, Sym)> {
    extent.linear().filter(|(coef, _, constant)| *coef > 0 && *constant == 0).map(|(coef, sym, _)| (coef, sym))
}

/// Whether a size depends on a symbol.
pub fn has(dim: &Dim, sym: Sym) -> bool {
    let mut found = false;
    dim.each_symbol(&mut |other| found |= other == sym);
    found
}

struct Walk<'a> {
    nest: &'a Nest,
    sym: Sym,
    /// Elements of the first axis in a row.
    per_row: i64,
    found: Vec<Option<Follows>>,
    fine: bool,
}

impl Walk<'_> {
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Load { buffer, at: Address::Linear(ix) } => self.linear(*buffer, ix),
            Expr::Load { buffer, at: Address::Axes { index, within, .. } } => {
                self.fine &= within.iter().all(|cond| self.is_apart(cond));
                self.axes(*buffer, index);
            }
            Expr::Position(_, ix) | Expr::Random { element: ix, .. } => self.fine &= self.is_same(ix),
            Expr::Test(conds) => self.fine &= conds.iter().all(|cond| self.is_apart(cond)),
            Expr::Size(_, dim) => self.fine &= !has(dim, self.sym),
            Expr::Literal(_)
            | Expr::Reduced
            | Expr::BestPosition(_)
            | Expr::Let(_)
            | Expr::Unary(..)
            | Expr::Binary(..)
            | Expr::Compare(..)
            | Expr::Select(..)
            | Expr::Cast(..) => {}
        }
    }

    fn is_apart(&self, cond: &Cond) -> bool {
        let (Cond::NotNegative(ix) | Cond::Zero(ix)) = cond;
        self.is_same(ix)
    }

    /// Whether an index is the same for all rows, and however many there are.
    fn is_same(&self, ix: &Ix) -> bool {
        !mentions(ix, FIRST) && !depends(ix, self.sym)
    }

    fn linear(&mut self, buffer: usize, ix: &Ix) {
        let Some(coef) = axis_coef(ix, FIRST).filter(|_| !depends(ix, self.sym)) else {
            self.fine = false;
            return;
        };
        let own = coef > 0 && self.is_within(ix, coef);
        self.note(buffer, (coef != 0).then_some(coef), own);
    }

    /// Whether the rest of `ix` is in `0..coef`, whatever the other axes.
    fn is_within(&self, ix: &Ix, coef: i64) -> bool {
        let Some(mut last) = ix.constant.as_const().filter(|least| *least >= 0) else { return false };
        for (atom, factor) in ix.terms.iter().filter(|(atom, _)| *atom != IxAtom::Axis(FIRST)) {
            let most = match atom {
                IxAtom::Axis(AxisId(axis)) => self.extent(*axis as usize).map(|extent| extent - 1),
                IxAtom::Mod(_, divisor) => Some(divisor - 1),
                IxAtom::FloorDiv(..) | IxAtom::Scaled(..) => None,
            };
            let Some(most) = most.filter(|_| *factor >= 0).and_then(|most| most.checked_mul(*factor)) else {
                return false;
            };
            last = last.saturating_add(most);
        }
        last < coef
    }

    fn extent(&self, axis: usize) -> Option<i64> {
        let par = self.nest.par.len();
        if axis < par { self.nest.par[axis].as_const() } else { self.nest.red.get(axis - par)?.as_const() }
    }

    fn axes(&mut self, buffer: usize, index: &[Index]) {
        let bounds = index.iter().all(|index| match index {
            Index::At(_) => true,
            Index::Data { bound, .. } => !has(bound, self.sym),
            Index::Window { last, .. } => !has(last, self.sym),
        });
        let same = |index: &Index| index.affine().is_none_or(|ix| self.is_same(ix));
        let Buffer { shape, .. } = &self.nest.buffers[buffer];
        let shared = shape.iter().any(|extent| has(extent, self.sym));
        if index.iter().all(same) && bounds && !shared {
            return self.note(buffer, None, false);
        }
        let own = index.first().is_some_and(|first| *first == Index::At(Ix::axis(FIRST)));
        let row = Dim::product(&shape[1.min(shape.len())..]).ok().and_then(|row| row.as_const());
        match row.filter(|_| own && bounds && index[1..].iter().all(same)) {
            Some(row) => self.note(buffer, Some(row), true),
            None => self.fine = false,
        }
    }

    /// `coef` elements of the buffer for one of the first axis.
    fn note(&mut self, buffer: usize, coef: Option<i64>, own: bool) {
        let width = self.nest.buffers[buffer].dtype.bytes();
        let stride = coef.and_then(|coef| coef.checked_mul(self.per_row)?.checked_mul(width));
        self.fine &= stride.is_some() == coef.is_some();
        match &mut self.found[buffer] {
            None => self.found[buffer] = Some(Follows { stride, own }),
            Some(known) => {
                self.fine &= known.stride == stride;
                known.own &= own;
            }
        }
    }
}

/// Whether an index depends on a symbol.
fn depends(ix: &Ix, sym: Sym) -> bool {
    has(&ix.constant, sym)
        || ix.terms.iter().any(|(atom, _)| match atom {
            IxAtom::Axis(_) => false,
            IxAtom::FloorDiv(inner, _) | IxAtom::Mod(inner, _) => depends(inner, sym),
            IxAtom::Scaled(inner, size) => has(size, sym) || depends(inner, sym),
        })
}
