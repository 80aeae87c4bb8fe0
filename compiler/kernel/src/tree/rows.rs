//! Work along one parallel axis at a time: running values, rows put in order, terms put where they belong.

use super::builder::TreeBuilder;
use super::{How, Part, Result, Stmt};
use crate::expr::{Address, Expr, ExprRef, Index};
use crate::nest::Reduction;
use mlc_ir::dim::Dim;
use mlc_ir::index::{Ix, Start};
use mlc_ir::scalar::{BinaryOp, Literal};
use std::sync::Arc;

impl TreeBuilder<'_> {
    /// One line after another: the first element, then the others from those before them.
    pub(super) fn scan(&mut self) -> Vec<Part> {
        let Some(Reduction::Scan { axis, from, dtype, factor, value }) = &self.nest.reduce else {
            mlc_ir::internal_error("tree", "a running value without a scan")
        };
        let acc = self.acc(Vec::new(), *dtype, false);
        self.reduced = Some(Result::Acc(acc));
        let before: ExprRef = Arc::new(Expr::Reduced);
        let multiple = match factor {
            None => before,
            Some(factor) => Arc::new(Expr::Binary(BinaryOp::Mul, factor.clone(), before)),
        };
        let next: ExprRef = Arc::new(Expr::Binary(BinaryOp::Add, multiple, value.clone()));
        let tiles = self.tile_vars();
        let inner = self.inner_axes(&[*axis]);
        let extent = self.extent(*axis);
        let others = less_one(&extent);
        let last = Ix::constant(others.clone());
        let body = self.around(&inner, &mut |this| {
            this.at[*axis] = if *from == Start::Front { Ix::constant(0) } else { last.clone() };
            let mut stmts = vec![Stmt::Set { acc, value: this.here(value) }];
            stmts.extend(this.epilogue());
            let var = this.var();
            let step = Ix::axis(var).plus(1);
            this.at[*axis] = if *from == Start::Front { step } else { last.clone().sub(step) };
            let mut turn = vec![Stmt::Set { acc, value: this.here(&next) }];
            turn.extend(this.epilogue());
            stmts.push(Stmt::For { var, extent: others.clone(), how: How::Serial, body: turn });
            stmts.push(Stmt::Release { acc });
            stmts
        });
        vec![Part { tiles, body }]
    }

    /// Zeros, then one term after another added where it belongs.
    pub(super) fn scatter(&mut self) -> Vec<Part> {
        let Some(Reduction::Scatter { axis, dtype, place, value }) = &self.nest.reduce else {
            mlc_ir::internal_error("tree", "terms are scattered without a scatter")
        };
        let ([store], Some(last)) = (self.nest.stores.as_slice(), self.nest.par.len().checked_sub(1)) else {
            mlc_ir::internal_error("tree", "a scatter has one result with axes")
        };
        let zero: ExprRef = Arc::new(Expr::Literal(Literal::zero(*dtype)));
        let tiles = self.tile_vars();
        let rows = self.inner_axes(&[last]);
        let mut body = self.around(&rows, &mut |this| {
            this.along(last, &mut |this| {
                vec![Stmt::Store { buffer: store.buffer, at: this.here_ix(&store.at), value: zero.clone() }]
            })
        });
        let terms: Vec<usize> = (self.nest.par.len()..self.nest.par.len() + self.nest.red.len()).collect();
        let others = self.inner_axes(&[*axis, last]);
        let bound = self.extent(*axis);
        let inner: Vec<usize> = terms.into_iter().chain(others).collect();
        body.extend(self.around(&inner, &mut |this| {
            let add = &mut |this: &mut Self| {
                let mut index: Vec<Index> = this.at[..=last].iter().cloned().map(Index::At).collect();
                index[*axis] = Index::Data { value: this.here(place), bound: bound.clone() };
                vec![Stmt::Add { buffer: store.buffer, index, value: this.here(value) }]
            };
            if *axis == last { add(this) } else { this.along(last, add) }
        }));
        vec![Part { tiles, body }]
    }

    /// The vectors of an axis, one after another.
    fn along(&mut self, axis: usize, body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>) -> Vec<Stmt> {
        let extent = self.extent(axis);
        let segments = self.segments(&extent, self.schedule.vectors);
        let blocks = segments.iter().flat_map(|segment| {
            self.blocks(segment, &mut |this, base, vectors| this.vectors(axis, &base, vectors, segment, body))
        });
        blocks.collect()
    }

    /// One row after another.
    pub(super) fn sort(&mut self) -> Vec<Part> {
        let Some(Reduction::Order { order, value, spare }) = &self.nest.reduce else {
            mlc_ir::internal_error("tree", "rows are sorted without an order")
        };
        let (Expr::Load { buffer: keys, at: Address::Linear(_) }, [store]) = (&**value, self.nest.stores.as_slice())
        else {
            mlc_ir::internal_error("tree", "the elements of a sort are not in memory")
        };
        let Some(axis) = self.nest.par.len().checked_sub(1) else {
            mlc_ir::internal_error("tree", "a scalar is sorted")
        };
        let tiles = self.tile_vars();
        let inner = self.inner_axes(&[axis]);
        let extent = self.extent(axis);
        let body = self.around(&inner, &mut |this| {
            this.at[axis] = Ix::constant(0);
            let row = this.here_ix(&store.at);
            vec![Stmt::Sort {
                keys: *keys,
                into: store.buffer,
                spare: *spare,
                row,
                extent: extent.clone(),
                order: *order,
            }]
        });
        vec![Part { tiles, body }]
    }
}

fn less_one(extent: &Dim) -> Dim {
    match extent.sub(&Dim::one()) {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("tree", &format!("a size that was checked before: {error:?}")),
    }
}
