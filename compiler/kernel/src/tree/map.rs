//! Loops of a nest without a reduction: vectors along the last axis, tiles over the others or over
//! chunks of the only one. What is read across vectors is read in strips: some rows for one vector
//! after another, so that a line of memory is used up while it is near.

use super::builder::TreeBuilder;
use super::cut::{Segment, cut};
use super::{How, Part, Stmt};
use mlc_ir::index::Ix;

impl TreeBuilder<'_> {
    pub(super) fn map(&mut self) -> Vec<Part> {
        let Some(vector) = self.schedule.vector else {
            return vec![Part { tiles: Vec::new(), body: self.epilogue() }];
        };
        let extent = self.extent(vector);
        if let Some((row, rows)) = self.schedule.rows {
            return self.strips(vector, (row, rows));
        }
        if self.nest.par.len() > 1 {
            let tiles = self.tile_vars();
            let inner = self.inner_axes(&[vector]);
            let body = self.around(&inner, &mut |this| {
                let segments = this.axis_segments(vector, this.schedule.vectors);
                segments.iter().flat_map(|segment| this.map_segment(vector, segment, &Ix::constant(0))).collect()
            });
            return vec![Part { tiles, body }];
        }
        if extent.as_const().is_some_and(|extent| extent <= self.schedule.chunk) {
            let segments = self.axis_segments(vector, self.schedule.vectors);
            let body =
                segments.iter().flat_map(|segment| self.map_segment(vector, segment, &Ix::constant(0))).collect();
            return vec![Part { tiles: Vec::new(), body }];
        }
        let mut parts = Vec::new();
        for chunk in cut(&extent, self.schedule.chunk) {
            let var = self.var();
            let start = if chunk.count.is(1) {
                Ix::constant(chunk.start.clone())
            } else {
                Ix::axis(var).scaled(&chunk.length).plus(chunk.start.clone())
            };
            let tiles = if chunk.count.is(1) { Vec::new() } else { vec![(var, chunk.count.clone())] };
            let segments = self.segments(&chunk.length, self.schedule.vectors);
            let body = segments.iter().flat_map(|segment| self.map_segment(vector, segment, &start)).collect();
            parts.push(Part { tiles, body });
        }
        parts
    }

    /// Strips of `rows` values of an axis as tiles; within one, all rows for each block of vectors.
    fn strips(&mut self, vector: usize, (axis, rows): (usize, i64)) -> Vec<Part> {
        let mut parts = Vec::new();
        for strip in cut(&self.extent(axis), rows) {
            let mut tiles = self.tile_vars();
            let number = self.var();
            let mut first = Ix::constant(strip.start.clone());
            if !strip.count.is(1) {
                tiles.push((number, strip.count.clone()));
                first = first.add(Ix::axis(number).scaled(&strip.length));
            }
            let inner = self.inner_axes(&[vector, axis]);
            let body = self.around(&inner, &mut |this| {
                let segments = this.axis_segments(vector, this.schedule.vectors);
                segments
                    .iter()
                    .flat_map(|segment| this.strip_segment(vector, segment, (axis, &first, &strip)))
                    .collect()
            });
            parts.push(Part { tiles, body });
        }
        parts
    }

    fn strip_segment(
        &mut self,
        vector: usize,
        segment: &Segment,
        (axis, first, strip): (usize, &Ix, &Segment),
    ) -> Vec<Stmt> {
        self.piece = segment.piece;
        let stmts = self.blocks(segment, &mut |this, base, vectors| {
            let row = this.var();
            this.at[axis] = first.clone().add(Ix::axis(row));
            let body = this.vectors(vector, &base, vectors, segment, &mut |this| this.epilogue());
            vec![Stmt::For { var: row, extent: strip.length.clone(), how: How::Serial, body }]
        });
        self.piece = None;
        stmts
    }

    fn map_segment(&mut self, axis: usize, segment: &Segment, start: &Ix) -> Vec<Stmt> {
        self.piece = segment.piece;
        let stmts = self.blocks(segment, &mut |this, base, vectors| {
            this.vectors(axis, &start.clone().add(base), vectors, segment, &mut |this| this.epilogue())
        });
        self.piece = None;
        stmts
    }
}
