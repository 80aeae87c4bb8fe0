//! Which cells share memory, and where: values that only become others get the others' memory, so
//! that nothing is copied; where two are wanted at once, a copy stays.

use super::Content;
use super::bands::Bands;
use super::cells::{Cells, Key, View};
use super::chains::Chains;
use super::live::{Lives, output_places};
use super::timeline::Timeline;
use crate::fuse::storage;
use crate::plan::{self, Request};
use crate::program::{Loc, Place, Plan, RunIndex};
use mlc_ir::dim::Dim;
use mlc_ir::graph::Entry;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Where cells that share memory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// In the arena.
    Own,
    /// With the caller.
    Fixed(Loc),
    /// With what is kept from call to call: the n-th copy there.
    Kept(usize),
    /// In a row of a stack, at the position of the loop of that body.
    Row { stack: usize, body: usize },
    /// In memory of the thread's own, for the units of a chain at hand.
    Near { offset: i64, stride: i64 },
}

/// The memory of every cell.
pub(super) struct Homes {
    /// The class of each cell.
    class: Vec<usize>,
    members: Vec<Vec<usize>>,
    homes: Vec<Home>,
    /// Number of a class's buffer in the arena.
    arena: BTreeMap<usize, u32>,
    /// Where each kept copy starts, and the bytes from a position of a loop to the next.
    kept: Vec<(i64, Vec<(usize, i64)>)>,
}

impl Homes {
    pub fn new(cells: &mut Cells<'_>, time: &Timeline, lives: &Lives, entry: &Entry) -> Homes {
        let count = cells.list.len();
        let home = |cell: usize| match cells.list[cell].key {
            Key::Fixed(loc) => Home::Fixed(loc),
            key @ Key::Copy(..) => time.kept.find(key).map_or(Home::Own, Home::Kept),
            _ => Home::Own,
        };
        let mut homes = Homes {
            class: (0..count).collect(),
            members: (0..count).map(|cell| vec![cell]).collect(),
            homes: (0..count).map(home).collect(),
            arena: BTreeMap::new(),
            kept: time.kept.list.iter().map(|copy| (copy.offset, copy.rows.clone())).collect(),
        };
        homes.join_updates(cells, time, lives);
        homes.join_carries(cells, time, lives);
        homes.join_outputs(cells, time, lives, entry);
        homes.put_rows(cells, time, lives);
        homes
    }

    /// The memory of a view: equal classes share it.
    pub fn spot(&self, cells: &Cells<'_>, view: &View) -> (usize, Vec<(usize, Dim)>) {
        let class = self.class[view.cell];
        let Home::Row { stack, body } = self.homes[class] else { return (class, view.rows.clone()) };
        let rows = [(body, cells.list[view.cell].bytes.clone())].into_iter().chain(view.rows.iter().cloned());
        self.spot(cells, &View { cell: stack, rows: rows.collect() })
    }

    // ---- sharing

    /// What an update makes, and the old value.
    fn join_updates(&mut self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives) {
        for scope in 0..cells.scopes.list.len() {
            for group in 0..cells.scopes.list[scope].groups.len() {
                if let Some((old, new)) = cells.scopes.update(scope, group) {
                    let (old, new) = (cells.value(scope, old), cells.value(scope, new));
                    self.join(cells, time, lives, new.cell, &old);
                }
            }
        }
    }

    /// Carries, inner loops' first: the value that an iteration ends with, and the first one.
    fn join_carries(&mut self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives) {
        let scopes = cells.scopes;
        for body in (1..scopes.list.len()).rev() {
            let (op, node, parent) = (scopes.op(body), scopes.node(body), scopes.parent(body));
            for carry in 0..op.carries as usize {
                let own = cells.carry(body, carry);
                let result = scopes.list[body].region.results[op.carry_results().start + carry];
                let last = cells.value(body, result);
                self.join(cells, time, lives, own, &last);
            }
            for carry in 0..op.carries as usize {
                let own = cells.carry(body, carry);
                let first = cells.value(parent, node.args[op.carry_args().start + carry]);
                self.join(cells, time, lives, own, &first);
            }
        }
    }

    /// Outputs: weights and states first, since what they hold is copied otherwise.
    fn join_outputs(&mut self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives, entry: &Entry) {
        let region = cells.scopes.list[0].region;
        let outputs: Vec<_> = region.results.iter().zip(output_places(entry)).collect();
        for globals in [true, false] {
            for (value, place) in &outputs {
                let Some(loc) = place else { continue };
                if matches!(loc, Loc::Global(_)) == globals {
                    let value = storage(region, **value);
                    let target = cells.typed(Key::Fixed(*loc), 0, region.ty(value));
                    let view = cells.value(0, value);
                    self.join(cells, time, lives, target, &view);
                }
            }
        }
    }

    /// Gives the two one memory if their sizes are equal and they are never wanted at once.
    fn join(&mut self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives, cell: usize, view: &View) {
        let (a, b) = (self.class[cell], self.class[view.cell]);
        if !view.rows.is_empty() || a == b {
            return;
        }
        let (one, other) = (&cells.list[cell], &cells.list[view.cell]);
        let alike = one.bytes == other.bytes && one.width == other.width;
        let home = match (self.homes[a], self.homes[b]) {
            (Home::Own, home) | (home, Home::Own) => home,
            _ => return,
        };
        let written = matches!(home, Home::Own | Home::Fixed(Loc::Global(_) | Loc::Result(_)));
        if !alike || !written || self.clash(cells, time, lives, a, b) {
            return;
        }
        let moved = std::mem::take(&mut self.members[b]);
        moved.iter().for_each(|member| self.class[*member] = a);
        self.members[a].extend(moved);
        self.homes[a] = home;
    }

    fn clash(&self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives, a: usize, b: usize) -> bool {
        let pairs = self.members[a].iter().flat_map(|x| self.members[b].iter().map(move |y| (*x, *y)));
        pairs.into_iter().any(|(x, y)| lives.clash(cells, time, x, y))
    }

    /// Values that become rows of a stack are made there, if they live in the iteration alone.
    fn put_rows(&mut self, cells: &mut Cells<'_>, time: &Timeline, lives: &Lives) {
        let scopes = cells.scopes;
        for body in 1..scopes.list.len() {
            let (op, marks) = (scopes.op(body), time.marks[body]);
            for stack in 0..op.stacks as usize {
                let result = scopes.list[body].region.results[op.stack_results().start + stack];
                let view = cells.value(body, result);
                let class = self.class[view.cell];
                let whole = view.rows.is_empty() && self.homes[class] == Home::Own;
                let inside = self.members[class]
                    .iter()
                    .all(|member| lives.hull(*member).is_none_or(|(from, to)| marks.head <= from && to <= marks.turn));
                // Nothing else is written there behind the value.
                let written = |cell: usize| lives.pieces[cell].iter().map(|piece| piece.from).max();
                let last = self.members[class].iter().all(|member| written(*member) <= written(view.cell));
                if whole && inside && last {
                    self.homes[class] = Home::Row { stack: cells.stack(body, stack), body };
                }
            }
        }
    }

    // ---- memory

    /// The first and the last moment at which memory is wanted.
    fn hull(&self, lives: &Lives, class: usize) -> Option<(usize, usize)> {
        let hulls = self.members[class].iter().filter_map(|cell| lives.hull(*cell));
        hulls.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)))
    }

    /// Whether memory would be in the arena, and is wanted at some moments alone.
    pub fn is_own_within(&self, lives: &Lives, class: usize, moments: &RangeInclusive<usize>) -> bool {
        let hull = self.hull(lives, class);
        let inside = hull.is_some_and(|(from, to)| moments.contains(&from) && moments.contains(&to));
        self.homes[class] == Home::Own && inside
    }

    /// Gives what only a chain's kernels use memory of the thread's own.
    pub fn put_near(&mut self, lives: &Lives, chains: &mut Chains) {
        for chain in &mut chains.list {
            let mut requests = Vec::new();
            let mut owners = Vec::new();
            for (class, stride) in &chain.memory {
                if let Some((from, to)) = self.hull(lives, *class) {
                    let bytes = Dim::from(stride * chain.at_once);
                    requests.push(Request { name: String::new(), bytes, from, to });
                    owners.push((*class, *stride));
                }
            }
            let (plan, position) = plan::plan(&requests, &[]);
            let Ok((offsets, total)) = plan.eval(&[]) else {
                mlc_ir::internal_error("lower", "memory of a thread beyond i64")
            };
            for ((class, stride), at) in owners.into_iter().zip(position) {
                self.homes[class] = Home::Near { offset: offsets[at as usize], stride };
            }
            chain.near = total;
        }
    }

    /// Plans the arena for every cell that has no other memory. `exchanges` are cells for copies that
    /// exchange others, each with the moment at which it is used. What is used in bands and chains lives as
    /// long as they run. Also gives what each buffer of the plan holds first.
    pub fn place(
        &mut self,
        cells: &mut Cells<'_>,
        lives: &Lives,
        exchanges: &[(usize, Dim)],
        (bands, chains): (&Bands, &Chains),
        typical: &[i64],
    ) -> (Plan, Vec<Place>, Vec<Option<Content>>) {
        let widened = |(from, to): (usize, usize)| {
            let meets = |range: &&RangeInclusive<usize>| from <= *range.end() && *range.start() <= to;
            let met = bands.stretches().chain(chains.stretches()).filter(meets);
            met.fold((from, to), |(from, to), range| (from.min(*range.start()), to.max(*range.end())))
        };
        let mut requests: Vec<Request> = Vec::new();
        let mut owners = Vec::new();
        for class in 0..self.members.len() {
            if self.homes[class] != Home::Own {
                continue;
            }
            if let Some((from, to)) = self.hull(lives, class) {
                let name = cells.name(self.members[class].iter().copied().min().unwrap_or(class));
                let (from, to) = widened((from, to));
                requests.push(Request { name, bytes: cells.list[class].bytes.clone(), from, to });
                owners.push(class);
            }
        }
        for (number, (moment, bytes)) in exchanges.iter().enumerate() {
            let name = format!("exchange{number}");
            let (from, to) = widened((*moment, *moment));
            requests.push(Request { name, bytes: bytes.clone(), from, to });
        }
        let (plan, position) = plan::plan(&requests, typical);
        self.arena = owners.iter().copied().zip(position.iter().copied()).collect();
        let exchanges = position[owners.len()..].iter().map(|at| Loc::Arena(*at).into()).collect();
        let mut contents = vec![None; plan.buffers.len()];
        for (class, at) in owners.iter().zip(&position) {
            contents[*at as usize] = self.members[*class].iter().find_map(|cell| cells.content(*cell));
        }
        (plan, exchanges, contents)
    }

    /// Where a cell is.
    pub fn cell(&self, cells: &Cells<'_>, cell: usize) -> Place {
        let class = self.class[cell];
        match self.homes[class] {
            Home::Fixed(loc) => loc.into(),
            Home::Row { stack, body } => {
                let index = RunIndex::Loop(cells.scopes.depth(body));
                self.cell(cells, stack).plus(index, cells.list[cell].bytes.clone())
            }
            Home::Kept(number) => {
                let (offset, rows) = &self.kept[number];
                let start: Place = Loc::Kept(offset.unsigned_abs()).into();
                rows.iter().fold(start, |place, (body, bytes)| {
                    place.plus(RunIndex::Loop(cells.scopes.depth(*body)), Dim::from(*bytes))
                })
            }
            Home::Near { offset, stride } => {
                let start: Place = Loc::Near(offset.unsigned_abs()).into();
                start.plus(RunIndex::Unit, Dim::from(-stride))
            }
            Home::Own => match self.arena.get(&class) {
                Some(at) => Loc::Arena(*at).into(),
                None => mlc_ir::internal_error("lower", "a buffer without a place"),
            },
        }
    }

    /// Where a view is.
    pub fn view(&self, cells: &Cells<'_>, view: &View) -> Place {
        let rows = view.rows.iter();
        rows.fold(self.cell(cells, view.cell), |place, (body, bytes)| {
            place.plus(RunIndex::Loop(cells.scopes.depth(*body)), bytes.clone())
        })
    }
}
