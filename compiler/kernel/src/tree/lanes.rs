//! One output at a time, terms dealt to lanes: sums over the axis that vectors lie along.

use super::builder::TreeBuilder;
use super::cut::cut;
use super::{How, Part, Result, Stmt, identity};
use crate::nest::{Reduction, logical_lanes};
use mlc_ir::dim::Dim;
use mlc_ir::index::{Combine, Ix};

impl TreeBuilder<'_> {
    pub(super) fn lanes(&mut self) -> Vec<Part> {
        let tiles = self.tile_vars();
        let inner = self.inner_axes(&[]);
        let body = self.around(&inner, &mut |this| this.lanes_body());
        vec![Part { tiles, body }]
    }

    fn lanes_body(&mut self) -> Vec<Stmt> {
        let (dtype, combine) = match &self.nest.reduce {
            Some(Reduction::Fold { dtype, combine, .. }) => (*dtype, *combine),
            Some(Reduction::Dot { dtype, .. }) => (*dtype, Combine::Sum),
            Some(
                Reduction::Best { .. } | Reduction::Scan { .. } | Reduction::Order { .. } | Reduction::Scatter { .. },
            )
            | None => mlc_ir::internal_error("tree", "this reduction is not dealt to lanes"),
        };
        let axis = self.nest.par.len() + self.nest.red.len() - 1;
        let extent = self.extent(axis);
        let logical = logical_lanes(dtype);
        let lanes = self.schedule.lanes;
        let parts = extent.as_const().map_or(logical, |extent| extent.clamp(1, logical));
        let parts = i64::from(((parts + lanes - 1) / lanes).clamp(1, 64).unsigned_abs().next_power_of_two() as i32);
        let unrolled = self.var();
        let acc = self.acc(vec![unrolled], dtype, lanes > 1);
        let into = self.acc(Vec::new(), dtype, false);
        self.reduced = Some(Result::Acc(into));
        let unroll = |body: Vec<Stmt>| Stmt::For { var: unrolled, extent: Dim::from(parts), how: How::Unroll, body };
        let init = vec![Stmt::Init { acc, value: identity(combine, dtype) }];
        let mut stmts = vec![unroll(init)];
        let outer: Vec<usize> = (self.nest.par.len()..axis).collect();
        stmts.extend(self.around(&outer, &mut |this| {
            let mut stmts = Vec::new();
            for part in cut(&extent, logical) {
                let turn = this.var();
                let lane = this.var();
                let first = Ix::constant(part.start.clone());
                let first = if part.count.is(1) { first } else { first.add(Ix::axis(turn).times(logical)) };
                let offset = Ix::axis(unrolled).times(lanes);
                this.at[axis] = first.add(offset.clone()).add(Ix::axis(lane));
                let partial = part.length.as_const() != Some(logical);
                let valid = partial.then(|| Ix::constant(part.length.clone()).sub(offset));
                let term = this.term_into(acc);
                let body = vec![unroll(vec![Stmt::For {
                    var: lane,
                    extent: Dim::from(lanes),
                    how: How::Vector { valid },
                    body: term,
                }])];
                if part.count.is(1) {
                    stmts.extend(body);
                } else {
                    stmts.push(Stmt::For { var: turn, extent: part.count, how: How::Serial, body });
                }
            }
            stmts
        }));
        stmts.push(Stmt::Halve { from: acc, parts, into, combine });
        stmts.extend(self.epilogue());
        stmts.extend((0..self.accs.len()).map(|acc| Stmt::Release { acc }));
        stmts
    }
}
