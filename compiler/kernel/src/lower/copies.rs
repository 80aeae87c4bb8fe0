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
    moves.retain(|it| spot(&it.from) != spot(&it.to));
    let overlap = |a: &End, b: &End| match (spot(a), spot(b)) {
        (Some((a, _)), Some((b, _))) => a == b,
        _ => false,
    };
    let mut ordered = Vec::new();
    while !moves.is_empty() {
        let free = (0..moves.len()).find(|at| {
            let mut others = (0..moves.len()).filter(|other| other != at);
            !others.any(|other| overlap(&moves[other].from, &moves[*at].to))
        });
        match free {
            Some(at) => ordered.push(moves.remove(at)),
            None => {
                let aside = End::Exchange(exchanges.len());
                exchanges.push(moves[0].bytes.clone());
                let from = std::mem::replace(&mut moves[0].from, aside.clone());
                ordered.push(Move { from, to: aside, bytes: moves[0].bytes.clone() });
            }
        }
    }
    ordered
}
