//! Kernels one after another whose tiles don't meet, as those of a softmax or a norm: what a tile reads of
//! another kernel's results is made by the tile of the same number. They are run unit by unit
//! ([`crate::program::Chain`]), so that what one makes is near when the next reads it.

use super::bands::Bands;
use super::cells::{Cells, View};
use super::copies::Move;
use super::homes::Homes;
use super::scope::Pending;
use super::timeline::{Moment, Timeline};
use crate::expr::{Address, Expr};
use crate::nest::{Reduction, axis_coef};
use crate::schedule::{Shape, each_root, size_at};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix, IxAtom};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The chains of an entry.
#[derive(Default)]
pub(super) struct Chains {
    /// In the order of their moments.
    pub list: Vec<Chain>,
}

/// Kernels that are run unit by unit.
pub(super) struct Chain {
    pub moments: RangeInclusive<usize>,
    pub units: Dim,
    /// Tiles of a unit, of each kernel.
    pub tiles: Vec<i64>,
    /// Units gone through at a time.
    pub at_once: i64,
}

/// Bytes that stay near from a kernel to the next.
const NEAR: i64 = 32 << 10;

/// Units at least, at the least batch, where a unit has several tiles of some kernel: fewer could not be
/// split as those can.
const UNITS: i64 = 16;

/// Kernels of a chain at most.
const MOST: usize = 16;

/// Bytes that a tile accesses: from `low` to `high` behind `stride` times its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    stride: i64,
    low: i64,
    high: i64,
}

/// How a kernel goes through a buffer.
struct Access {
    view: View,
    written: bool,
    /// Absent where it isn't known, or the same for all tiles.
    reach: Option<Reach>,
}

/// A kernel whose tiles are rows of its nest.
struct Tiled {
    tiles: Dim,
    accesses: Vec<Access>,
}

/// A chain under construction.
struct Open {
    first: usize,
    kernels: Vec<Tiled>,
    units: Dim,
    tiles: Vec<i64>,
    bytes: i64,
}

impl Chains {
    /// `copies` are those of each moment.
    pub fn new(cells: &mut Cells<'_>, time: &Timeline, homes: &Homes, copies: &[Vec<Move>], bands: &Bands) -> Chains {
        let mut chains = Chains::default();
        let mut open: Option<(Open, usize)> = None;
        for (at, moment) in time.moments.iter().enumerate() {
            let free = bands.at(at).is_none() && copies[at].is_empty();
            let next = if free { tiled(cells, *moment) } else { None };
            let scope = time.scope(cells.scopes, *moment);
            open = match (open, next) {
                (Some((chain, own)), Some(next)) if own == scope => match chain.with(next, cells, homes) {
                    Ok(longer) => Some((longer, own)),
                    Err((chain, next)) => {
                        chains.close(chain);
                        Some((Open::new(at, next), scope))
                    }
                },
                (before, next) => {
                    before.into_iter().for_each(|(chain, _)| chains.close(chain));
                    next.map(|next| (Open::new(at, next), scope))
                }
            };
        }
        open.into_iter().for_each(|(chain, _)| chains.close(chain));
        chains
    }

    fn close(&mut self, open: Open) {
        if open.kernels.len() < 2 {
            return;
        }
        let moments = open.first..=open.first + open.kernels.len() - 1;
        let at_once = (NEAR / open.bytes.max(1)).clamp(1, 64);
        self.list.push(Chain { moments, units: open.units, tiles: open.tiles, at_once });
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

impl Open {
    fn new(first: usize, kernel: Tiled) -> Open {
        let units = kernel.tiles.clone();
        Open { first, kernels: vec![kernel], units, tiles: vec![1], bytes: 0 }
    }

    /// The chain with one more kernel, or both as they were.
    fn with(self, next: Tiled, cells: &Cells<'_>, homes: &Homes) -> Result<Open, (Open, Tiled)> {
        if self.kernels.len() == MOST {
            return Err((self, next));
        }
        let mut longer = self;
        let (units, tiles) = (longer.units.clone(), longer.tiles.clone());
        longer.kernels.push(next);
        match longer.divided().and_then(|found| Some((longer.bytes(&found.1, cells, homes)?, found))) {
            Some((bytes, (units, tiles))) => Ok(Open { units, tiles, bytes, ..longer }),
            None => match longer.kernels.pop() {
                Some(next) => Err((Open { units, tiles, ..longer }, next)),
                None => mlc_ir::internal_error("lower", "a chain lost its kernel"),
            },
        }
    }

    /// Units, and how many tiles of each kernel make one.
    fn divided(&self) -> Option<(Dim, Vec<i64>)> {
        let all = self.kernels.iter().map(|kernel| &kernel.tiles);
        let units = all.clone().find(|units| all.clone().all(|tiles| ratio(tiles, units).is_some()))?;
        let tiles: Vec<i64> = all.filter_map(|tiles| ratio(tiles, units)).collect();
        let least = size_at(units, &[]);
        let enough = least >= UNITS || tiles.iter().all(|tiles| *tiles == 1) && !units.is(1);
        enough.then(|| (units.clone(), tiles))
    }

    /// Bytes of a unit, if no two units meet and the last kernel reads what another has made.
    fn bytes(&self, tiles: &[i64], cells: &Cells<'_>, homes: &Homes) -> Option<i64> {
        let mut memory: BTreeMap<usize, Memory> = BTreeMap::new();
        let mut linked = false;
        for (number, (kernel, tiles)) in self.kernels.iter().zip(tiles).enumerate() {
            let last = number + 1 == self.kernels.len();
            for access in &kernel.accesses {
                let (class, rows) = homes.spot(cells, &access.view);
                let here = memory.entry(class).or_default();
                linked |= last && here.written && !access.written;
                here.written |= access.written;
                let reach = access.reach.map(|reach| Reach {
                    stride: reach.stride * tiles,
                    low: reach.low,
                    high: reach.stride * (tiles - 1) + reach.high,
                });
                here.uses.push((rows, reach));
            }
        }
        let fine = memory.values().all(|memory| !memory.written || memory.is_apart());
        let bytes = memory.values().filter_map(|memory| memory.uses[0].1).map(|reach| reach.stride).sum();
        (fine && linked).then_some(bytes)
    }
}

/// Rows of a cell's memory: at the positions of loops, times so many bytes.
type Rows = Vec<(usize, Dim)>;

/// How memory is used in a chain: which rows of it, and what of them a unit reaches.
#[derive(Default)]
struct Memory {
    written: bool,
    uses: Vec<(Rows, Option<Reach>)>,
}

impl Memory {
    /// Whether each unit reaches a stretch of its own.
    fn is_apart(&self) -> bool {
        let (rows, Some(first)) = &self.uses[0] else { return false };
        self.uses.iter().all(|(others, reach)| {
            let inside = |reach: &Reach| reach.stride == first.stride && reach.low >= 0 && reach.high <= reach.stride;
            others == rows && reach.as_ref().is_some_and(inside)
        })
    }
}

/// How often `part` is in `whole`, whatever the sizes.
fn ratio(whole: &Dim, part: &Dim) -> Option<i64> {
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

/// The kernel of a moment, if its tiles are the values of some axes of its nest.
fn tiled(cells: &mut Cells<'_>, moment: Moment) -> Option<Tiled> {
    let Moment::Kernel { scope, group, at, home } = moment else { return None };
    let pending: &Pending = &cells.scopes.list[scope].groups[group][at];
    let (nest, schedule) = (pending.nest.clone(), &pending.schedule);
    let plain = match schedule.shape {
        Shape::Map => schedule.rows.is_none() && nest.par.len() > 1,
        Shape::Block => schedule.stream == 0 && !schedule.tile_blocks && schedule.tile_rows.is_none(),
        Shape::Lanes => true,
        Shape::Scan | Shape::Sort | Shape::Scatter => false,
    };
    let apart =
        !matches!(nest.reduce, Some(Reduction::Scan { .. } | Reduction::Order { .. } | Reduction::Scatter { .. }));
    if !plain || !apart || nest.window.is_some() || pending.tree.parts.len() != 1 {
        return None;
    }
    let axes: Vec<usize> = schedule.tiles.iter().copied().filter(|axis| !nest.par[*axis].is(1)).collect();
    let tiles = super::checked(Dim::product(axes.iter().map(|axis| &nest.par[*axis])));
    if tiles != pending.lowered.tiles || axes.is_empty() {
        return None;
    }
    let mut found: Vec<(usize, bool, Option<Reach>)> = Vec::new();
    let reach = |buffer: usize, ix: &Ix| reach(ix, &axes, &nest.par, &nest.red, nest.buffers[buffer].dtype.bytes());
    each_root(&nest, &mut |root| {
        root.each(&mut |e| {
            let Expr::Load { buffer, at } = e else { return };
            let reach = match at {
                Address::Linear(ix) => reach(*buffer, ix),
                Address::Axes { .. } => None,
            };
            found.push((*buffer, false, reach));
        });
    });
    found.extend(nest.stores.iter().map(|store| (store.buffer, true, reach(store.buffer, &store.at))));
    let access = |(buffer, written, reach): (usize, bool, Option<Reach>)| {
        let view = cells.buffer(scope, home, &nest.buffers[buffer]);
        Access { view, written, reach }
    };
    Some(Tiled { tiles, accesses: found.into_iter().map(access).collect() })
}

/// What the tiles of `axes` reach of a buffer, if that moves on by the same bytes from tile to tile.
fn reach(ix: &Ix, axes: &[usize], par: &[Dim], red: &[Dim], width: i64) -> Option<Reach> {
    let start = ix.constant.as_const()?;
    let (mut low, mut high) = (start, start);
    for (atom, coef) in &ix.terms {
        let IxAtom::Axis(AxisId(axis)) = atom else { return None };
        let axis = *axis as usize;
        if axes.contains(&axis) {
            continue;
        }
        let extent = if axis < par.len() { &par[axis] } else { &red[axis - par.len()] };
        let span = coef.checked_mul(extent.as_const()? - 1)?;
        if span > 0 { high = high.checked_add(span)? } else { low = low.checked_add(span)? }
    }
    let stride = axis_coef(ix, AxisId(*axes.last()? as u32)).filter(|stride| *stride > 0)?;
    let mut step = stride;
    for pair in axes.windows(2).rev() {
        step = step.checked_mul(par[pair[1]].as_const()?)?;
        if axis_coef(ix, AxisId(pair[0] as u32)) != Some(step) {
            return None;
        }
    }
    let bytes = |elements: i64| elements.checked_mul(width);
    Some(Reach { stride: bytes(stride)?, low: bytes(low)?, high: bytes(high.checked_add(1)?)? })
}
