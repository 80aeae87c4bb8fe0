//! What the tiles of a kernel reach of its buffers: which bytes some tiles one after another touch, as far
//! as that moves on evenly from tile to tile.

use super::cells::Cells;
use super::checked;
use super::homes::Homes;
use super::scope::Pending;
use super::timeline::Moment;
use crate::expr::{Address, Expr};
use crate::nest::{Nest, Reduction, axis_coef};
use crate::schedule::{Schedule, Shape, Tile, each_root};
use mlc_ir::dim::Dim;
use mlc_ir::index::{AxisId, Ix, IxAtom};

/// Bytes that a unit accesses: from `low` to `high` behind `stride` times its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub stride: i64,
    pub low: i64,
    pub high: i64,
}

impl Reach {
    /// Whether nothing of the stretch between two units is left.
    pub fn is_inside(&self) -> bool {
        self.low >= 0 && self.high <= self.stride
    }
}

/// Rows of memory: at the positions of loops, times so many bytes.
pub(super) type Rows = Vec<(usize, Dim)>;

/// How a kernel goes through a buffer.
pub(super) struct Access {
    /// Whose memory it is: buffers with equal numbers share it.
    pub memory: usize,
    pub rows: Rows,
    pub written: bool,
    /// Absent where it isn't known.
    at: Option<Ix>,
    /// Bytes of an element.
    width: i64,
}

/// A kernel whose tiles are the values of some axes of its nest, or blocks of such an axis.
pub(super) struct Tiled {
    pub tiles: Dim,
    pub accesses: Vec<Access>,
    /// What number a tile, outermost first.
    vars: Vec<TileVar>,
    /// Coordinates of each axis in one tile, where they are a number.
    extents: Vec<Option<i64>>,
}

/// A digit of a tile's number.
#[derive(Clone)]
struct TileVar {
    axis: AxisId,
    extent: Dim,
    /// Coordinates from a value to the next.
    step: i64,
}

/// The tiles of a kernel as units of some of them.
struct Units<'a> {
    /// What number a unit, outermost first.
    outer: Vec<TileVar>,
    /// What number a tile in its unit.
    inner: Vec<TileVar>,
    of: &'a Tiled,
}

/// The kernel of a moment, if its tiles are known by axes.
pub(super) fn tiled(cells: &mut Cells<'_>, homes: &Homes, moment: Moment) -> Option<Tiled> {
    let Moment::Kernel { scope, group, at, .. } = moment else { return None };
    let pending: &Pending = &cells.scopes.list[scope].groups[group][at];
    let (nest, schedule) = (pending.nest.clone(), &pending.schedule);
    let [part] = pending.tree.parts.as_slice() else { return None };
    let plain = match schedule.shape {
        Shape::Map => nest.par.len() > 1,
        Shape::Block => schedule.stream == 0,
        Shape::Lanes => true,
        Shape::Scan | Shape::Sort | Shape::Scatter => false,
    };
    let apart =
        !matches!(nest.reduce, Some(Reduction::Scan { .. } | Reduction::Order { .. } | Reduction::Scatter { .. }));
    if !plain || !apart || nest.window.is_some() {
        return None;
    }
    let (vars, extents) = vars(&nest, schedule)?;
    let told = part.tiles.iter().map(|(_, extent)| extent);
    if vars.is_empty() || !told.eq(vars.iter().map(|var| &var.extent)) {
        return None;
    }
    let accesses = accesses(cells, homes, moment)?;
    let tiles = checked(Dim::product(vars.iter().map(|var| &var.extent)));
    (tiles == pending.lowered.tiles).then_some(Tiled { tiles, accesses, vars, extents })
}

/// What the kernel of a moment accesses; `None` for other moments.
pub(super) fn accesses(cells: &mut Cells<'_>, homes: &Homes, moment: Moment) -> Option<Vec<Access>> {
    let Moment::Kernel { scope, group, at, home } = moment else { return None };
    let nest = cells.scopes.list[scope].groups[group][at].nest.clone();
    let mut found: Vec<(usize, bool, Option<Ix>)> = Vec::new();
    each_root(&nest, &mut |root| {
        root.each(&mut |e| {
            let Expr::Load { buffer, at } = e else { return };
            let at = match at {
                Address::Linear(ix) => Some(ix.clone()),
                Address::Axes { .. } => None,
            };
            found.push((*buffer, false, at));
        });
    });
    found.extend(nest.stores.iter().map(|store| (store.buffer, true, Some(store.at.clone()))));
    let access = |(buffer, written, at): (usize, bool, Option<Ix>)| {
        let buffer = &nest.buffers[buffer];
        let view = cells.buffer(scope, home, buffer);
        let (memory, rows) = homes.spot(cells, &view);
        Access { memory, rows, written, at, width: buffer.dtype.bytes() }
    };
    Some(found.into_iter().map(access).collect())
}

/// The digits of a tile's number in the order of `tree`, and the extents of all axes in a tile.
fn vars(nest: &Nest, schedule: &Schedule) -> Option<(Vec<TileVar>, Vec<Option<i64>>)> {
    let mut extents: Vec<Option<i64>> = nest.par.iter().chain(&nest.red).map(Dim::as_const).collect();
    // Blocks of an axis: as many as there are if they are all of one length, none if it is one.
    let mut blocks = |axis: usize, length: i64| match nest.par[axis].as_const()? {
        extent if extent <= length => Some(None),
        extent if extent % length == 0 => {
            extents[axis] = Some(length);
            Some(Some(TileVar { axis: AxisId(axis as u32), extent: Dim::from(extent / length), step: length }))
        }
        _ => None,
    };
    let (mut vars, mut single) = (Vec::new(), Vec::new());
    for tile in &schedule.tiles {
        match tile {
            Tile::Axis(axis) if nest.par[*axis].is(1) => {}
            Tile::Axis(axis) => {
                single.push(*axis);
                vars.push(TileVar { axis: AxisId(*axis as u32), extent: nest.par[*axis].clone(), step: 1 });
            }
            Tile::Rows(rows) => vars.extend(blocks(schedule.rows?.0, *rows)?),
            Tile::Blocks => vars.extend(blocks(schedule.vector?, schedule.vectors * schedule.lanes)?),
        }
    }
    if let (Shape::Map, Some((axis, rows))) = (schedule.shape, schedule.rows) {
        vars.extend(blocks(axis, rows)?);
    }
    single.into_iter().for_each(|axis| extents[axis] = Some(1));
    Some((vars, extents))
}

impl Tiled {
    /// All numbers of units that its tiles can be made into, finest first.
    pub fn units(&self) -> Vec<Dim> {
        (1..=self.vars.len()).rev().map(|n| checked(Dim::product(self.vars[..n].iter().map(|v| &v.extent)))).collect()
    }

    /// What units of so many tiles reach of a buffer, if that moves on by the same bytes from unit to unit.
    pub fn reach(&self, access: &Access, tiles: i64) -> Option<Reach> {
        self.split(tiles)?.reach(access)
    }

    fn split(&self, tiles: i64) -> Option<Units<'_>> {
        let (mut outer, mut inner, mut left) = (self.vars.clone(), Vec::new(), tiles);
        while left > 1 {
            let var = outer.pop()?;
            if let Some(extent) = var.extent.as_const().filter(|extent| left % extent == 0) {
                left /= extent;
                inner.push(var);
                continue;
            }
            inner.push(TileVar { extent: Dim::from(left), ..var.clone() });
            outer.push(TileVar { extent: divided(&var.extent, left)?, step: var.step * left, ..var });
            left = 1;
        }
        Some(Units { outer, inner, of: self })
    }
}

impl Units<'_> {
    fn reach(&self, access: &Access) -> Option<Reach> {
        let ix = access.at.as_ref()?;
        let start = ix.constant.as_const()?;
        let (mut low, mut high) = (start, start);
        let mut span = |coef: i64, extent: i64| {
            let span = coef.checked_mul(extent - 1)?;
            *(if span > 0 { &mut high } else { &mut low }) += span;
            Some(())
        };
        for (atom, coef) in &ix.terms {
            let IxAtom::Axis(AxisId(axis)) = atom else { return None };
            span(*coef, self.of.extents[*axis as usize]?)?;
        }
        for var in &self.inner {
            span(axis_coef(ix, var.axis)?.checked_mul(var.step)?, var.extent.as_const()?)?;
        }
        let stride_of = |var: &TileVar| axis_coef(ix, var.axis)?.checked_mul(var.step);
        let stride = stride_of(self.outer.last()?).filter(|stride| *stride > 0)?;
        let mut step = stride;
        for pair in self.outer.windows(2).rev() {
            step = step.checked_mul(pair[1].extent.as_const()?)?;
            if stride_of(&pair[0]) != Some(step) {
                return None;
            }
        }
        let bytes = |elements: i64| elements.checked_mul(access.width);
        Some(Reach { stride: bytes(stride)?, low: bytes(low)?, high: bytes(high.checked_add(1)?)? })
    }
}

/// An extent that is a multiple of a number, by that number.
fn divided(extent: &Dim, by: i64) -> Option<Dim> {
    match extent.as_const() {
        Some(extent) => (extent % by == 0).then(|| Dim::from(extent / by)),
        None => match extent.linear()? {
            (coef, sym, 0) if coef % by == 0 => Dim::from(sym).mul(&Dim::from(coef / by)).ok(),
            _ => None,
        },
    }
}
