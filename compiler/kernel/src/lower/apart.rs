//! Whether kernels can be run unit by unit: which of them have to do with each other, and whether no unit touches
//! what another one does.

use super::reach::{Access, Reach, Rows, Tiled};
use mlc_ir::dim::Dim;
use std::collections::BTreeMap;

/// Whether the last kernel reads what another has made.
pub(super) fn is_linked(kernels: &[&Tiled]) -> bool {
    kernels.split_last().is_some_and(|(last, others)| others.iter().any(|other| reads_of(last, other)))
}

/// Whether a kernel must be run behind some before it, or makes what others behind it read.
pub(super) fn has_link(kernels: &[&Tiled], at: usize) -> bool {
    let behind = &kernels[at + 1..];
    !is_free(&kernels[at].accesses, &kernels[..at]) || behind.iter().any(|other| reads_of(other, kernels[at]))
}

fn reads_of(reader: &Tiled, maker: &Tiled) -> bool {
    let mut made = maker.accesses.iter().filter(|access| access.written);
    made.any(|made| reader.accesses.iter().any(|access| !access.written && access.memory == made.memory))
}

/// Whether nothing that is accessed depends on what kernels before do, nor the other way round.
pub(super) fn is_free(accesses: &[Access], kernels: &[&Tiled]) -> bool {
    let others = || kernels.iter().flat_map(|kernel| &kernel.accesses);
    accesses.iter().all(|own| others().all(|other| own.memory != other.memory || !own.written && !other.written))
}

/// Bytes of a unit that several kernels use, if no two units meet.
pub(super) fn unit_bytes(kernels: &[&Tiled], tiles: &[i64]) -> Option<i64> {
    let memory = memory_of(kernels, tiles);
    let fine = memory.values().all(|memory| !memory.written || memory.is_of_one_kernel() || memory.is_apart());
    let shared = memory.values().filter(|memory| !memory.is_of_one_kernel());
    fine.then(|| shared.filter_map(|memory| memory.uses[0].reach).map(|reach| reach.stride).sum())
}

/// How kernels use memory, if so many tiles of each are a unit.
pub(super) fn memory_of<'a>(kernels: &[&'a Tiled], tiles: &[i64]) -> BTreeMap<usize, Memory<'a>> {
    let mut memory: BTreeMap<usize, Memory> = BTreeMap::new();
    for (number, (kernel, tiles)) in kernels.iter().zip(tiles).enumerate() {
        for access in &kernel.accesses {
            let here = memory.entry(access.memory).or_default();
            here.written |= access.written;
            here.uses.push(Use { kernel: number, rows: &access.rows, reach: kernel.reach(access, *tiles) });
        }
    }
    memory
}

/// How memory is used in a chain.
#[derive(Default)]
pub(super) struct Memory<'a> {
    written: bool,
    uses: Vec<Use<'a>>,
}

/// Which rows of memory a kernel uses, and what of them a unit reaches.
struct Use<'a> {
    kernel: usize,
    rows: &'a Rows,
    reach: Option<Reach>,
}

impl Memory<'_> {
    /// Whether units do not meet since the tiles of a kernel don't.
    fn is_of_one_kernel(&self) -> bool {
        self.uses.iter().all(|used| used.kernel == self.uses[0].kernel)
    }

    /// Bytes from unit to unit of what the kernels make, if it is all of some memory and no units meet.
    pub(super) fn stride_if_made(&self) -> Option<i64> {
        let whole = self.uses[0].rows.is_empty();
        self.uses[0].reach.filter(|_| self.written && whole && self.is_apart()).map(|reach| reach.stride)
    }

    /// Whether each unit reaches a stretch of its own.
    fn is_apart(&self) -> bool {
        let Use { rows, reach: Some(first), .. } = &self.uses[0] else { return false };
        let inside = |reach: &Reach| reach.stride == first.stride && reach.is_inside();
        self.uses.iter().all(|used| used.rows == *rows && used.reach.as_ref().is_some_and(inside))
    }
}

/// How often `part` is in `whole`, whatever the sizes.
pub(super) fn ratio(whole: &Dim, part: &Dim) -> Option<i64> {
    let (whole, part) = match (whole.as_const(), part.as_const()) {
        (Some(whole), Some(part)) => (whole, part),
        (None, None) if whole == part => return Some(1),
        (None, None) => {
            let ((many, sym, 0), (few, other, 0)) = (whole.linear()?, part.linear()?) else { return None };
            if sym != other {
                return None;
            }
            (many, few)
        }
        _ => return None,
    };
    (part > 0 && whole % part == 0).then(|| whole / part)
}
