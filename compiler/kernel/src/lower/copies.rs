//! Copies that happen at once: each source is read before anything is written over it.

use super::cells::{Cells, View};
use super::homes::Homes;
use mlc_ir::dim::Dim;

/// A copy to be made: of a view to a whole cell or to a row.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub from: End,
    pub to: End,
    pub bytes: Dim,
}

/// One side of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Cell(View),
    /// The n-th cell for exchanges.
    Exchange(usize),
}

/// Puts copies in order; one of each circle goes by way of a new cell, whose size `exchanges` notes.
pub(super) fn sequence(cells: &Cells<'_>, homes: &Homes, mut moves: Vec<Move>, exchanges: &mut Vec<Dim>) -> Vec<Move> {
    let spot = |end: &End| match end {
        End::Cell(view) => Some(homes.spot(cells, view)),
        End::Exchange(_) => None,
    };
    let mut ends: Vec<(Option<usize>, Option<usize>)> = Vec::with_capacity(moves.len());
    moves.retain(|it| {
        let (from, to) = (spot(&it.from), spot(&it.to));
        let stays = from != to;
        if stays {
            ends.push((from.map(|it| it.0), to.map(|it| it.0)));
        }
        stays
    });
    let mut ordered = Vec::new();
    while !moves.is_empty() {
        let free = (0..moves.len()).find(|at| {
            let mut others = ends.iter().enumerate().filter(|(other, _)| other != at);
            !others.any(|(_, (from, _))| from.is_some() && *from == ends[*at].1)
        });
        match free {
            Some(at) => {
                ends.remove(at);
                ordered.push(moves.remove(at));
            }
            None => {
                let aside = End::Exchange(exchanges.len());
                exchanges.push(moves[0].bytes.clone());
                let from = std::mem::replace(&mut moves[0].from, aside.clone());
                ends[0].0 = None;
                ordered.push(Move { from, to: aside, bytes: moves[0].bytes.clone() });
            }
        }
    }
    ordered
}
