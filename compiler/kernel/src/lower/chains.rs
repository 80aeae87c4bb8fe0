//! Kernels one after another whose tiles don't meet, as those of a softmax, a norm or an attention: what a tile
//! reads of another kernel's results is made by tiles of the same numbers. They are run unit by unit
//! ([`crate::program::Chain`]), so that what one makes is near when the next reads it.

use super::apart::{has_link, is_free, is_linked, memory_of, ratio, unit_bytes};
use super::bands::Bands;
use super::cells::Cells;
use super::copies::Move;
use super::homes::Homes;
use super::live::Lives;
use super::reach::{Access, Tiled, accesses, tiled};
use super::timeline::{Moment, Timeline};
use crate::schedule::size_at;
use mlc_ir::dim::{Dim, Sym};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The chains of an entry.
#[derive(Default)]
pub(super) struct Chains {
    /// In the order of their moments.
    pub list: Vec<Chain>,
}

/// Kernels that are run unit by unit.
#[derive(Clone)]
pub(super) struct Chain {
    pub moments: RangeInclusive<usize>,
    /// What becomes of each moment.
    pub roles: Vec<ChainRole>,
    pub units: Dim,
    /// Units gone through at a time.
    pub at_once: i64,
    /// Memory that no kernel but these uses, and the bytes of it from unit to unit.
    pub memory: Vec<(usize, i64)>,
    /// Bytes of the thread's own memory.
    pub near: i64,
}

impl Chain {
    /// Bytes, at typical sizes, that need not be stored for all units.
    fn spared(&self, typical: &[(Sym, i64)]) -> i64 {
        let units = size_at(&self.units, typical);
        self.memory.iter().map(|(_, stride)| stride.saturating_mul(units)).fold(0, i64::saturating_add)
    }

    fn kernels(&self) -> usize {
        self.roles.iter().filter(|role| matches!(role, ChainRole::Unit(_))).count()
    }
}

/// What a moment is in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainRole {
    /// A kernel, of which so many tiles are a unit.
    Unit(i64),
    /// A kernel that the chain does not wait for: it runs before.
    Before,
    /// Nothing is done at it.
    Idle,
}

/// Bytes that stay near from a kernel to the next.
const NEAR: i64 = 32 << 10;

/// Bytes of a unit at most: what a thread's own cache holds.
const OWN: i64 = 1 << 20;

/// Bytes of a unit at most where what no cache holds need not be stored for all units at once.
const WIDE: i64 = 128 << 20;

/// Bytes, at typical sizes, that no cache holds.
const LARGE: i64 = 16 << 20;

/// Units at least: at the least batch, and at a typical one. Fewer could not be split as tiles can.
const UNITS: (i64, i64) = (4, 16);

/// Kernels of a chain at most.
const MOST: usize = 16;

/// Kernels at most that are in a chain's way and run before it.
const BEFORE: usize = 8;

/// A moment as chains see it.
struct Seen {
    scope: usize,
    kind: Kind,
}

enum Kind {
    /// A kernel that can be run unit by unit.
    Tiled(Tiled),
    /// Another kernel.
    Kernel(Vec<Access>),
    /// Nothing is done.
    Idle,
    /// What chains end at.
    Wall,
}

impl Seen {
    fn accesses(&self) -> &[Access] {
        match &self.kind {
            Kind::Tiled(tiled) => &tiled.accesses,
            Kind::Kernel(accesses) => accesses,
            Kind::Idle | Kind::Wall => &[],
        }
    }
}

/// Looks for chains.
#[derive(Clone, Copy)]
struct Search<'a> {
    seen: &'a [Seen],
    typical: &'a [(Sym, i64)],
    /// Bytes of a unit at most.
    most: i64,
    homes: &'a Homes,
    lives: &'a Lives,
}

/// How a chain's kernels are run.
#[derive(Clone)]
struct Split {
    units: Dim,
    /// Tiles of a unit, of each kernel.
    tiles: Vec<i64>,
    bytes: i64,
}

impl Chains {
    /// `copies` are those of each moment.
    pub fn new(
        cells: &mut Cells<'_>,
        time: &Timeline,
        (homes, lives): (&Homes, &Lives),
        copies: &[Vec<Move>],
        bands: &Bands,
        typical: &[(Sym, i64)],
    ) -> Chains {
        let mut seen = Vec::with_capacity(time.moments.len());
        for (at, moment) in time.moments.iter().enumerate() {
            let scope = time.scope(cells.scopes, *moment);
            let kind = match moment {
                _ if bands.at(at).is_some() || !copies[at].is_empty() => Kind::Wall,
                Moment::Save { .. } => Kind::Idle,
                Moment::Kernel { .. } => match tiled(cells, homes, *moment) {
                    Some(tiled) => Kind::Tiled(tiled),
                    None => accesses(cells, homes, *moment).map_or(Kind::Wall, Kind::Kernel),
                },
                _ => Kind::Wall,
            };
            seen.push(Seen { scope, kind });
        }
        let large = cells.list.iter().any(|cell| size_at(&cell.bytes, typical) >= LARGE);
        let near = Search { seen: &seen, typical, most: OWN, homes, lives };
        let wide = large.then_some(Search { most: WIDE, ..near });
        let (mut found, mut found_wide) = (BTreeMap::new(), BTreeMap::new());
        let mut chains = Chains::default();
        let mut at = 0;
        while at < seen.len() {
            let sparing = |wide: &Search<'_>| wide.sparing_chain(at, &mut found_wide, (&near, &mut found));
            let chain = match wide.as_ref().and_then(sparing) {
                Some(chain) => Some(chain),
                None => near.best_chain(at, &mut found),
            };
            at = chain.as_ref().map_or(at, |chain| *chain.moments.end()) + 1;
            chains.list.extend(chain);
        }
        chains
    }

    /// The chain that a moment belongs to, with its number.
    pub fn at(&self, moment: usize) -> Option<(usize, &Chain)> {
        let number = self.list.partition_point(|chain| *chain.moments.end() < moment);
        self.list.get(number).filter(|chain| chain.moments.contains(&moment)).map(|chain| (number, chain))
    }

    /// Stretches of moments in which no two values may share memory, since units are at different ones.
    pub fn stretches(&self) -> impl Iterator<Item = &RangeInclusive<usize>> {
        self.list.iter().map(|chain| &chain.moments)
    }
}

/// A chain under construction: what becomes of each of its moments so far.
struct Draft<'a> {
    seen: &'a [Seen],
    roles: Vec<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Unit,
    Before,
    Idle,
}

impl<'a> Draft<'a> {
    /// The kernels that are run unit by unit.
    fn kernels(&self) -> Vec<&'a Tiled> {
        let kernel = |(role, seen): (&Role, &'a Seen)| match &seen.kind {
            Kind::Tiled(tiled) if *role == Role::Unit => Some(tiled),
            _ => None,
        };
        self.roles.iter().zip(self.seen).filter_map(kernel).collect()
    }

    /// Has kernels that have nothing to do with others run before; gives whether there were some.
    fn put_before(&mut self) -> bool {
        let kernels = self.kernels();
        let mut linked = (0..kernels.len()).map(|at| has_link(&kernels, at));
        let mut changed = false;
        for role in self.roles.iter_mut().filter(|role| **role == Role::Unit) {
            if linked.next() == Some(false) {
                *role = Role::Before;
                changed = true;
            }
        }
        changed
    }
}

impl Search<'_> {
    /// The chain that begins with the kernel of a moment, if it spares much more memory than those of `near` in its
    /// place would.
    fn sparing_chain(
        &self,
        first: usize,
        found: &mut BTreeMap<usize, Option<Chain>>,
        (near, found_near): (&Search<'_>, &mut BTreeMap<usize, Option<Chain>>),
    ) -> Option<Chain> {
        let chain = self.best_chain(first, found)?;
        let spared = chain.spared(self.typical);
        if spared < LARGE {
            return None;
        }
        let (mut at, mut others) = (first, 0);
        while at <= *chain.moments.end() {
            let other = near.best_chain(at, found_near);
            at = other.as_ref().map_or(at, |other| *other.moments.end()) + 1;
            others += other.map_or(0, |other| other.spared(self.typical));
        }
        (spared >= 2 * others).then_some(chain)
    }

    /// The chain that begins with the kernel of a moment, unless a later one of its moments begins one of more
    /// kernels.
    fn best_chain(&self, first: usize, found: &mut BTreeMap<usize, Option<Chain>>) -> Option<Chain> {
        let chain = found.entry(first).or_insert_with(|| self.chain(first)).clone()?;
        let mut longer = |later: usize| {
            let other = found.entry(later).or_insert_with(|| self.chain(later));
            other.as_ref().is_some_and(|other| other.kernels() > chain.kernels())
        };
        (!chain.moments.clone().skip(1).any(&mut longer)).then_some(chain)
    }

    /// The longest chain that begins with the kernel of a moment.
    fn chain(&self, first: usize) -> Option<Chain> {
        let Seen { scope, kind: Kind::Tiled(_) } = &self.seen[first] else { return None };
        let mut draft = Draft { seen: &self.seen[first..], roles: vec![Role::Unit] };
        let mut best: Option<(usize, Split)> = None;
        for moment in &self.seen[first + 1..] {
            let ahead = draft.roles.iter().filter(|role| **role == Role::Before).count();
            if moment.scope != *scope || draft.kernels().len() == MOST || ahead > BEFORE {
                break;
            }
            let role = match &moment.kind {
                Kind::Wall => break,
                Kind::Idle => Role::Idle,
                Kind::Tiled(next) => match self.joined(&draft, next, &mut best) {
                    true => Role::Unit,
                    false if draft.put_before() && self.joined(&draft, next, &mut best) => Role::Unit,
                    false => Role::Before,
                },
                Kind::Kernel(_) => Role::Before,
            };
            if role == Role::Before && !is_free(moment.accesses(), &draft.kernels()) {
                break;
            }
            draft.roles.push(role);
            if draft.roles[0] != Role::Unit {
                return None;
            }
        }
        draft.roles.truncate(best?.0);
        draft.put_before();
        (draft.roles[0] == Role::Unit).then(|| self.chain_of(first, &draft)).flatten()
    }

    /// Whether a kernel can be run unit by unit with those before: one that reads what they make, or one that
    /// leaves units as they are. Where it reads, the chain up to it is the best so far.
    fn joined<'a>(&self, draft: &Draft<'a>, next: &'a Tiled, best: &mut Option<(usize, Split)>) -> bool {
        let mut kernels = draft.kernels();
        kernels.push(next);
        let linked = is_linked(&kernels);
        let as_fine = |split: &Split| best.as_ref().is_none_or(|(_, best)| best.units == split.units);
        let Some(split) = self.split(&kernels).filter(|split| linked || as_fine(split)) else { return false };
        if linked {
            *best = Some((draft.roles.len() + 1, split));
        }
        true
    }

    fn chain_of(&self, first: usize, draft: &Draft<'_>) -> Option<Chain> {
        let kernels = draft.kernels();
        let split = self.split(&kernels)?;
        let mut tiles = split.tiles.iter().copied();
        let role = |role: &Role| match role {
            Role::Unit => tiles.next().map_or(ChainRole::Idle, ChainRole::Unit),
            Role::Before => ChainRole::Before,
            Role::Idle => ChainRole::Idle,
        };
        let roles: Vec<ChainRole> = draft.roles.iter().map(role).collect();
        Some(Chain {
            moments: first..=first + roles.len() - 1,
            roles,
            at_once: (NEAR / split.bytes.max(1)).clamp(1, 64),
            memory: self.own_memory(draft, (&kernels, &split.tiles), first..=first + draft.roles.len() - 1),
            units: split.units,
            near: 0,
        })
    }

    /// The finest units of which no two meet.
    fn split(&self, kernels: &[&Tiled]) -> Option<Split> {
        let mut all: Vec<Dim> = kernels.iter().flat_map(|kernel| kernel.units()).collect();
        all.sort_by_key(|units| Reverse(size_at(units, self.typical)));
        all.dedup();
        all.into_iter().find_map(|units| {
            let tiles: Option<Vec<i64>> = kernels.iter().map(|kernel| ratio(&kernel.tiles, &units)).collect();
            let tiles = tiles?;
            let many = size_at(&units, &[]) >= UNITS.0 && size_at(&units, self.typical) >= UNITS.1;
            let enough = many || tiles.iter().all(|tiles| *tiles == 1) && !units.is(1);
            let bytes = unit_bytes(kernels, &tiles).filter(|bytes| enough && *bytes <= self.most)?;
            Some(Split { units, tiles, bytes })
        })
    }

    /// What a chain's kernels alone use, unit apart from unit.
    fn own_memory(
        &self,
        draft: &Draft<'_>,
        (kernels, tiles): (&[&Tiled], &[i64]),
        moments: RangeInclusive<usize>,
    ) -> Vec<(usize, i64)> {
        let before = draft.roles.iter().zip(draft.seen).filter(|(role, _)| **role == Role::Before);
        let others: BTreeSet<usize> =
            before.flat_map(|(_, seen)| seen.accesses()).map(|access| access.memory).collect();
        let own = |memory: &usize| !others.contains(memory) && self.homes.is_own_within(self.lives, *memory, &moments);
        let all = memory_of(kernels, tiles).into_iter().filter(|(memory, _)| own(memory));
        all.filter_map(|(memory, used)| Some((memory, used.stride_if_made()?))).collect()
    }
}
