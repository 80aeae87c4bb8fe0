//! Which operands of a contraction are packed, and how: estimated, or as measuring found.

use super::{CHUNK, VECTORS};
use crate::nest::CHAIN_TERMS;
use std::fmt;
use std::str::FromStr;

/// How the operands of a contraction are packed; `panels 4 chunks never` as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Packing {
    /// The operand that vectors lie along: vectors of a panel.
    pub panels: Pack,
    /// The other one: terms of a chunk.
    pub chunks: Pack,
}

/// Whether an operand is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pack {
    /// Where it pays by estimate.
    #[default]
    Estimated,
    /// In no case.
    Never,
    /// Wherever it is possible, so wide.
    Wide(i64),
}

/// Vectors of a panel that are tried.
const PANELS: [i64; 4] = [1, 2, 3, 4];

/// Terms of a chunk that are tried.
const CHUNKS: [i64; 3] = [128, 256, 512];

/// Vectors of a panel at most, and terms of a chunk at least.
const LIMITS: (i64, i64) = (8, 16);

impl Pack {
    /// The width, if packing is possible at all; `estimated` where the estimate decides.
    pub(super) fn or(self, estimated: i64) -> Option<i64> {
        match self {
            Pack::Estimated => Some(estimated),
            Pack::Never => None,
            Pack::Wide(width) => Some(width),
        }
    }

    /// Whether to pack what can be packed; `pays` is the estimate.
    pub(super) fn is_wanted(self, pays: impl FnOnce() -> bool) -> bool {
        match self {
            Pack::Estimated => pays(),
            Pack::Never => false,
            Pack::Wide(_) => true,
        }
    }

    fn is_within(self, fits: impl FnOnce(i64) -> bool) -> bool {
        match self {
            Pack::Estimated | Pack::Never => true,
            Pack::Wide(width) => fits(width),
        }
    }
}

impl Packing {
    /// Operands stay where they are.
    pub const NONE: Packing = Packing { panels: Pack::Never, chunks: Pack::Never };

    /// This if it changes no bit and gives code of sensible length, whoever wrote it: chains must break where they
    /// do without chunks.
    pub fn checked(self) -> Option<Packing> {
        let panels = self.panels.is_within(|vectors| (1..=LIMITS.0).contains(&vectors));
        let chunks =
            self.chunks.is_within(|terms| (LIMITS.1..=CHAIN_TERMS).contains(&terms) && CHAIN_TERMS % terms == 0);
        (panels && chunks).then_some(self)
    }
}

/// All that is tried, the estimate first.
pub fn packings() -> Vec<Packing> {
    let all = |estimated: i64, widths: &[i64]| -> Vec<Pack> {
        let others = widths.iter().filter(|width| **width != estimated).map(|width| Pack::Wide(*width));
        [Pack::Estimated, Pack::Never, Pack::Wide(estimated)].into_iter().chain(others).collect()
    };
    let panels = all(VECTORS, &PANELS).into_iter().map(|panels| Packing { panels, ..Packing::default() });
    let chunks = all(CHUNK, &CHUNKS).into_iter().skip(1).map(|chunks| Packing { chunks, ..Packing::default() });
    panels.chain(chunks).chain([Packing::NONE]).collect()
}

impl fmt::Display for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pack::Estimated => f.write_str("estimated"),
            Pack::Never => f.write_str("never"),
            Pack::Wide(width) => write!(f, "{width}"),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panels {} chunks {}", self.panels, self.chunks)
    }
}

/// A text that is no [`Packing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPacking;

impl FromStr for Packing {
    type Err = NotPacking;

    fn from_str(text: &str) -> Result<Packing, NotPacking> {
        let pack = |text: &str| match text {
            "estimated" => Ok(Pack::Estimated),
            "never" => Ok(Pack::Never),
            width => width.parse::<u16>().map(|width| Pack::Wide(width.into())).map_err(|_| NotPacking),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["panels", panels, "chunks", chunks] = words[..] else { return Err(NotPacking) };
        Ok(Packing { panels: pack(panels)?, chunks: pack(chunks)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for packing in packings() {
            assert_eq!(packing.to_string().parse(), Ok(packing));
            assert_eq!(packing.checked(), Some(packing));
        }
        for text in
            ["", "panels 2", "panels 2 chunks", "panels two chunks never", "panels 2 chunks -1", "chunks 2 panels 2"]
        {
            assert_eq!(text.parse::<Packing>(), Err(NotPacking), "{text}");
        }
    }

    #[test]
    fn what_would_change_sums_is_refused() {
        for (panels, chunks) in [(0, 256), (9, 256), (2, 0), (2, 8), (2, 48), (2, 1024)] {
            let packing = Packing { panels: Pack::Wide(panels), chunks: Pack::Wide(chunks) };
            assert_eq!(packing.checked(), None, "{packing}");
        }
    }
}
