//! Cutting an axis into blocks: of vectors, of chunks, of rows.

use super::builder::TreeBuilder;
use super::pieces::{Piece, pieces};
use super::{How, Stmt};
use mlc_ir::dim::{Dim, SizeError};
use mlc_ir::index::{AxisId, Ix};

/// A stretch of an axis cut into equal blocks: block `var` starts at `start + var·length`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) start: Dim,
    pub(super) count: Dim,
    /// Elements of a block.
    pub(super) length: Dim,
    /// Elements that count, if fewer than the block's vectors hold.
    pub(super) partial: bool,
    /// The piece of the axis that it belongs to, if there are several.
    pub(super) piece: Option<Piece>,
}

impl Segment {
    /// All of an axis as one block.
    pub(super) fn all(extent: &Dim) -> Segment {
        let (start, count, length) = (Dim::zero(), Dim::one(), extent.clone());
        Segment { start, count, length, partial: false, piece: None }
    }
}

impl TreeBuilder<'_> {
    /// Cuts an axis into blocks of `vectors` full vectors and what is left, piece by piece.
    pub(super) fn axis_segments(&self, axis: usize, vectors: i64) -> Vec<Segment> {
        let extent = self.extent(axis);
        let pieces = match extent.as_const() {
            Some(extent) => pieces(self.nest, AxisId(axis as u32), extent),
            None => Vec::new(),
        };
        if pieces.len() < 2 {
            return self.segments(&extent, vectors);
        }
        let of_piece = |piece: &Piece| {
            let segments = self.segments(&Dim::from(piece.high - piece.low), vectors);
            let piece = *piece;
            segments.into_iter().map(move |segment| Segment {
                start: add(&segment.start, piece.low),
                piece: Some(piece),
                ..segment
            })
        };
        pieces.iter().flat_map(of_piece).collect()
    }

    /// Cuts an extent into blocks of `vectors` full vectors and what is left.
    pub(super) fn segments(&self, extent: &Dim, vectors: i64) -> Vec<Segment> {
        let lanes = self.schedule.lanes;
        let block = lanes * vectors;
        let Some(total) = extent.as_const() else {
            let full = floor_div(extent, block);
            let start = mul(&full, block);
            let rest = sub(extent, &start);
            let count = floor_div(&add(&rest, lanes - 1), lanes);
            return vec![
                Segment { start: Dim::zero(), count: full, length: Dim::from(block), partial: false, piece: None },
                Segment { start, count, length: Dim::from(lanes), partial: lanes > 1, piece: None },
            ];
        };
        let mut segments = Vec::new();
        if total / block > 0 {
            let count = Dim::from(total / block);
            segments.push(Segment { start: Dim::zero(), count, length: Dim::from(block), partial: false, piece: None });
        }
        if total % block > 0 {
            let (start, length) = (Dim::from(total / block * block), Dim::from(total % block));
            segments.push(Segment { start, count: Dim::one(), length, partial: total % lanes != 0, piece: None });
        }
        segments
    }

    /// The loop over a segment's blocks; `body` gets the first element of the block and the number of its vectors.
    pub(super) fn blocks(
        &mut self,
        segment: &Segment,
        body: &mut dyn FnMut(&mut Self, Ix, i64) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let length = segment.length.as_const().unwrap_or(self.schedule.lanes);
        let vectors = (length + self.schedule.lanes - 1) / self.schedule.lanes;
        let start = Ix::constant(segment.start.clone());
        if segment.count.is(1) {
            return body(self, start, vectors);
        }
        let var = self.var();
        let base = Ix::axis(var).times(length).add(start);
        let body = body(self, base, vectors);
        vec![Stmt::For { var, extent: segment.count.clone(), how: How::Serial, body }]
    }

    /// The vectors of one block side by side, `axis` bound to their elements.
    pub(super) fn vectors(
        &mut self,
        axis: usize,
        base: &Ix,
        vectors: i64,
        segment: &Segment,
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let (unrolled, lane) = (self.var(), self.var());
        self.vectors_with(axis, base, vectors, segment, (unrolled, lane), body)
    }

    pub(super) fn vectors_with(
        &mut self,
        axis: usize,
        base: &Ix,
        vectors: i64,
        segment: &Segment,
        (unrolled, lane): (AxisId, AxisId),
        body: &mut dyn FnMut(&mut Self) -> Vec<Stmt>,
    ) -> Vec<Stmt> {
        let lanes = self.schedule.lanes;
        let offset = Ix::axis(unrolled).times(lanes);
        self.at[axis] = base.clone().add(offset.clone()).add(Ix::axis(lane));
        let valid = segment.partial.then(|| match segment.count.is(1) && segment.length.as_const().is_some() {
            true => Ix::constant(segment.length.clone()).sub(offset),
            false => Ix::constant(self.extent(axis)).sub(base.clone()).sub(offset),
        });
        let body = body(self);
        let vector = if lanes == 1 {
            self.scalar_lane(lane, body)
        } else {
            vec![Stmt::For { var: lane, extent: Dim::from(lanes), how: How::Vector { valid }, body }]
        };
        vec![Stmt::For { var: unrolled, extent: Dim::from(vectors), how: How::Unroll, body: vector }]
    }

    pub(super) fn scalar_lane(&self, lane: AxisId, body: Vec<Stmt>) -> Vec<Stmt> {
        vec![Stmt::For { var: lane, extent: Dim::one(), how: How::Unroll, body }]
    }
}

/// Blocks of `length`, then the rest as one shorter block (of 0 elements if the extent is symbolic and divides).
pub(super) fn cut(extent: &Dim, length: i64) -> Vec<Segment> {
    let segment = |start: Dim, count: Dim, length: Dim| Segment { start, count, length, partial: false, piece: None };
    match extent.as_const() {
        Some(total) => {
            let mut segments = Vec::new();
            if total / length > 0 {
                segments.push(segment(Dim::zero(), Dim::from(total / length), Dim::from(length)));
            }
            if total % length > 0 {
                segments.push(segment(Dim::from(total / length * length), Dim::one(), Dim::from(total % length)));
            }
            segments
        }
        None => {
            let full = floor_div(extent, length);
            let start = mul(&full, length);
            let rest = sub(extent, &start);
            vec![segment(Dim::zero(), full, Dim::from(length)), segment(start, Dim::one(), rest)]
        }
    }
}

/// Blocks of `length`, then the rest: one shorter block if its length is a number, single elements if not.
pub(super) fn cut_rows(extent: &Dim, length: i64) -> Vec<Segment> {
    let mut segments = cut(extent, length);
    if extent.as_const().is_none() {
        if length == 1 {
            segments.truncate(1);
        } else if let Some(rest) = segments.last_mut() {
            std::mem::swap(&mut rest.count, &mut rest.length);
        }
    }
    segments
}

fn checked(result: Result<Dim, SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("tree", &format!("a size that was checked before: {error:?}")),
    }
}

fn add(a: &Dim, b: i64) -> Dim {
    checked(a.add(&Dim::from(b)))
}

fn sub(a: &Dim, b: &Dim) -> Dim {
    checked(a.sub(b))
}

fn mul(a: &Dim, b: i64) -> Dim {
    checked(a.mul(&Dim::from(b)))
}

fn floor_div(a: &Dim, b: i64) -> Dim {
    checked(a.floor_div(b))
}
