//! When cells hold a value that is still wanted, and which two may share memory.
//!
//! Moment `t` reads at time `2t` and writes at `2t + 1`; a kernel reads and writes at `2t + 1`, as its
//! tiles may run in any order. What is read at the very element that is written may be written over.

use super::cells::{Cells, Key, View};
use super::scope::Pending;
use super::timeline::{Moment, Timeline};
use crate::expr::{Address, Expr, ExprRef};
use crate::fuse::storage;
use crate::nest::{Nest, Reduction, Source, Store};
use crate::program::Loc;
use crate::schedule::each_root;
use crate::to_lane::FrameWord;
use mlc_ir::graph::{Entry, Output, Value};

/// A stretch of time in which a cell's value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub from: i64,
    pub to: i64,
    /// The kernel that writes the value at `from`.
    begins: Option<usize>,
    /// The kernel that reads it last, at `to`.
    ends: Option<usize>,
}

const FOREVER: i64 = i64::MAX;

/// First write and last read.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: Option<(i64, Option<usize>)>,
    to: Option<(i64, Option<usize>)>,
}

impl Span {
    fn write(&mut self, time: i64, kernel: Option<usize>) {
        if self.from.is_none_or(|(first, _)| time < first) {
            self.from = Some((time, kernel));
        }
    }

    fn read(&mut self, time: i64, kernel: Option<usize>) {
        match self.to {
            Some((last, _)) if time < last => {}
            Some((last, by)) if time == last && by != kernel => self.to = Some((last, None)),
            _ => self.to = Some((time, kernel)),
        }
    }

    fn piece(self) -> Option<Piece> {
        let (from, begins) = self.from?;
        let (to, ends) = self.to.filter(|(to, _)| *to >= from).unwrap_or((from, None));
        Some(Piece { from, to, begins, ends })
    }
}

fn always(from: i64, to: i64) -> Piece {
    Piece { from, to, begins: None, ends: None }
}

/// The pieces of every cell.
pub(super) struct Lives {
    pub pieces: Vec<Vec<Piece>>,
}

/// What a moment reads: a cell, and whether it is read while the moment writes.
struct Read {
    cell: usize,
    meanwhile: bool,
}

fn quiet(view: View) -> Read {
    Read { cell: view.cell, meanwhile: false }
}

/// Where an output goes, unless it is a check.
pub(super) fn output_places(entry: &Entry) -> Vec<Option<Loc>> {
    let mut results = 0;
    let place = |output: &Output| match output {
        Output::Fault(_) => None,
        Output::Global(id) => Some(Loc::Global(id.0)),
        Output::Result(_) => {
            results += 1;
            Some(Loc::Result(results - 1))
        }
    };
    entry.outputs.iter().map(place).collect()
}

impl Lives {
    pub fn new(cells: &mut Cells<'_>, time: &Timeline, entry: &Entry) -> Lives {
        let mut events = Events { spans: Vec::new(), inner: Vec::new() };
        for (at, moment) in time.moments.iter().enumerate() {
            for read in reads(cells, time, *moment, entry) {
                events.read(cells, time, at, read);
            }
            for cell in writes(cells, *moment) {
                events.write(cells, time, at, cell);
            }
        }
        for (value, place) in cells.scopes.list[0].region.results.iter().zip(output_places(entry)) {
            if let Some(loc) = place {
                cells.typed(Key::Fixed(loc), 0, cells.scopes.list[0].region.ty(*value));
            }
        }
        events.grow(cells.list.len());
        let pieces = (0..cells.list.len()).map(|cell| events.pieces(cells, time, entry, cell)).collect();
        Lives { pieces }
    }

    /// The first and the last moment at which a cell is wanted.
    pub fn hull(&self, cell: usize) -> Option<(usize, usize)> {
        let from = self.pieces[cell].iter().map(|piece| piece.from).min()?;
        let to = self.pieces[cell].iter().map(|piece| piece.to).max()?;
        Some(((from.max(0) / 2) as usize, (to / 2) as usize))
    }

    /// Whether two cells can't have the same memory.
    pub fn clash(&self, cells: &mut Cells<'_>, time: &Timeline, a: usize, b: usize) -> bool {
        for p in &self.pieces[a] {
            for q in &self.pieces[b] {
                let together = p.from <= q.to && q.from <= p.to;
                if together && !hand_over(cells, time, (a, p), (b, q)) && !hand_over(cells, time, (b, q), (a, p)) {
                    return true;
                }
            }
        }
        false
    }
}

/// Whether the only moment in common is that of a kernel that reads the last of `old` at the element
/// at which it writes `new`.
fn hand_over(cells: &mut Cells<'_>, time: &Timeline, old: (usize, &Piece), new: (usize, &Piece)) -> bool {
    if old.1.to != new.1.from || old.1.ends.is_none() || old.1.ends != new.1.begins {
        return false;
    }
    let Some(Moment::Kernel { scope, group, at, home }) = old.1.ends.map(|moment| time.moments[moment]) else {
        return false;
    };
    let pending = &cells.scopes.list[scope].groups[group][at];
    let views: Vec<View> = pending.nest.buffers.iter().map(|buffer| cells.buffer(scope, home, buffer)).collect();
    let is = |buffer: usize, cell: usize| views[buffer].cell == cell;
    let Some(first) = pending.nest.stores.iter().position(|store| is(store.buffer, new.0)) else { return false };
    let store = &pending.nest.stores[first];
    let plain =
        (0..views.len()).all(|buffer| !(is(buffer, old.0) || is(buffer, new.0)) || views[buffer].rows.is_empty());
    let reads = |buffer: usize| is(buffer, old.0);
    plain && !reads_elsewhere(&pending.nest, store, &reads) && !reads_after(&pending.nest, first, &reads)
}

/// Whether a nest reads one of the buffers at another element than the one that `store` writes.
fn reads_elsewhere(nest: &Nest, store: &Store, buffers: &dyn Fn(usize) -> bool) -> bool {
    if let Some(Reduction::Order { .. } | Reduction::Scatter { .. }) = nest.reduce {
        return true;
    }
    let mut elsewhere = false;
    each_root(nest, &mut |root| {
        each_load(root, buffers, &mut |at| elsewhere |= *at != Address::Linear(store.at.clone()))
    });
    elsewhere
}

/// Whether a store behind the one at `first` reads one of the buffers.
fn reads_after(nest: &Nest, first: usize, buffers: &dyn Fn(usize) -> bool) -> bool {
    let mut found = false;
    for store in &nest.stores[first + 1..] {
        each_load(&store.value, buffers, &mut |_| found = true);
    }
    found
}

fn each_load(root: &ExprRef, buffers: &dyn Fn(usize) -> bool, f: &mut dyn FnMut(&Address)) {
    root.each(&mut |e| {
        if let Expr::Load { buffer, at } = e
            && buffers(*buffer)
        {
            f(at);
        }
    });
}

// ---- events

struct Events {
    /// For each cell; of a carry, what happens behind its loop.
    spans: Vec<Span>,
    /// Of a carry, what happens in its loop.
    inner: Vec<Span>,
}

impl Events {
    fn grow(&mut self, cells: usize) {
        self.spans.resize(cells, Span::default());
        self.inner.resize(cells, Span::default());
    }

    /// The span in which an event in scope `from` counts, and the scope that it is a part of.
    fn side(&mut self, cells: &Cells<'_>, cell: usize, from: usize) -> (&mut Span, usize) {
        self.grow(cells.list.len());
        match cells.list[cell].key {
            Key::Carry(body, _) if cells.scopes.is_within(from, body) => (&mut self.inner[cell], body),
            _ => (&mut self.spans[cell], cells.list[cell].owner),
        }
    }

    fn read(&mut self, cells: &Cells<'_>, time: &Timeline, at: usize, read: Read) {
        let from = time.scope(cells.scopes, time.moments[at]);
        let (span, owner) = self.side(cells, read.cell, from);
        match around(cells, owner, from) {
            None => {
                let kernel = matches!(time.moments[at], Moment::Kernel { .. }).then_some(at);
                span.read(2 * at as i64 + i64::from(read.meanwhile), kernel);
            }
            Some(body) => span.read(2 * time.marks[body].end as i64 + 1, None),
        }
    }

    fn write(&mut self, cells: &Cells<'_>, time: &Timeline, at: usize, cell: usize) {
        let from = time.scope(cells.scopes, time.moments[at]);
        let (span, owner) = self.side(cells, cell, from);
        match around(cells, owner, from) {
            None => {
                let kernel = matches!(time.moments[at], Moment::Kernel { .. }).then_some(at);
                span.write(2 * at as i64 + 1, kernel);
            }
            Some(body) => span.write(2 * time.marks[body].begin as i64 + 1, None),
        }
    }

    fn pieces(&self, cells: &Cells<'_>, time: &Timeline, entry: &Entry, cell: usize) -> Vec<Piece> {
        let (mut span, begin_end) = (self.spans[cell], |body: usize| {
            let marks = time.marks[body];
            (2 * marks.begin as i64 + 1, 2 * marks.end as i64 + 1)
        });
        match cells.list[cell].key {
            Key::Value(..) | Key::Copy(..) => Vec::from_iter(span.piece()),
            Key::Position(body) => {
                let (begin, end) = begin_end(body);
                vec![always(begin, end)]
            }
            Key::Count(body) => {
                span.write(begin_end(body).1, None);
                Vec::from_iter(span.piece())
            }
            Key::Stack(body, _) => {
                let (begin, end) = begin_end(body);
                span.write(begin, None);
                span.read(end, None);
                Vec::from_iter(span.piece())
            }
            Key::Carry(body, _) => {
                let (marks, (begin, end)) = (time.marks[body], begin_end(body));
                let mut inner = self.inner[cell];
                inner.from = inner.to.map(|_| (2 * marks.head as i64, None));
                span.write(end, None);
                let mut pieces = vec![always(begin, 2 * marks.head as i64 + 1), always(2 * marks.turn as i64 + 1, end)];
                pieces.extend(inner.piece());
                pieces.extend(span.piece());
                pieces
            }
            Key::Fixed(loc) => Vec::from_iter(fixed(time, entry, loc, span)),
        }
    }
}

/// What the caller gives is there from the start. The old value of a weight or state is wanted until
/// the last check has passed, and for ever if no other replaces it.
fn fixed(time: &Timeline, entry: &Entry, loc: Loc, mut span: Span) -> Option<Piece> {
    match loc {
        Loc::Result(_) => return None,
        Loc::Global(id) => {
            let replaced = entry.outputs.iter().any(|output| matches!(output, Output::Global(other) if other.0 == id));
            match time.last_fault() {
                _ if !replaced => span.read(FOREVER, None),
                Some(fault) => span.read(2 * fault as i64 + 1, None),
                None => {}
            }
        }
        _ => span.read(FOREVER, None),
    }
    span.to?;
    span.write(-1, None);
    span.piece()
}

/// The loop directly in `owner` that `from` is in.
fn around(cells: &Cells<'_>, owner: usize, mut from: usize) -> Option<usize> {
    let mut inner = None;
    while from != owner {
        inner = Some(from);
        match cells.scopes.list[from].parent {
            Some((parent, _)) => from = parent,
            None => break,
        }
    }
    inner
}

// ---- what moments read and write

fn kernel<'a>(cells: &Cells<'a>, moment: Moment) -> Option<(&'a Pending, usize, usize)> {
    let Moment::Kernel { scope, group, at, home } = moment else { return None };
    Some((&cells.scopes.list[scope].groups[group][at], scope, home))
}

fn reads(cells: &mut Cells<'_>, time: &Timeline, moment: Moment, entry: &Entry) -> Vec<Read> {
    let scopes = cells.scopes;
    match moment {
        Moment::Kernel { .. } => {
            let Some((pending, scope, home)) = kernel(cells, moment) else { return Vec::new() };
            let read = |source: &Source| {
                let buffer = pending.nest.buffers.iter().find(|buffer| buffer.source == *source)?;
                Some(Read { cell: cells.buffer(scope, home, buffer).cell, meanwhile: true })
            };
            let mut list: Vec<Read> = pending.reads.iter().filter_map(read).collect();
            let starts = pending.nest.window.iter().flat_map(|window| &window.starts);
            list.extend(starts.map(|start| quiet(cells.value(scope, start.value))));
            list
        }
        Moment::Renew { scope, group } => {
            let old = scopes.update(scope, group).map(|(old, _)| cells.value(scope, old));
            old.into_iter().map(quiet).collect()
        }
        // The function may write its results before it has read all of its operands.
        Moment::Call { scope, node } => {
            let args = scopes.call(scope, node).1.args.iter();
            args.map(|arg| Read { meanwhile: true, ..quiet(cells.value(scope, *arg)) }).collect()
        }
        Moment::Begin(body) => {
            let (op, node, parent) = (scopes.op(body), scopes.node(body), scopes.parent(body));
            let mut list = Vec::new();
            if op.has_count() {
                // The first values of carries must not be written over it.
                list.push(Read { meanwhile: true, ..quiet(cells.value(parent, node.args[0])) });
            }
            list.extend(op.carry_args().map(|arg| quiet(cells.value(parent, node.args[arg]))));
            list
        }
        Moment::Save { body, stack } => {
            let result = scopes.op(body).stack_results().start + stack;
            vec![quiet(cells.value(body, scopes.list[body].region.results[result]))]
        }
        Moment::Turn(body) => {
            let last = scopes.op(body).carry_results().end;
            scopes.list[body].region.results[..last].iter().map(|value| quiet(cells.value(body, *value))).collect()
        }
        Moment::Fault(number) => {
            let check = &time.checks[number];
            let tensor = check.indices.map(|(value, _)| value);
            [Some(check.first_bad), tensor].into_iter().flatten().map(|value| quiet(cells.value(0, value))).collect()
        }
        Moment::Finish => {
            let values: Vec<Value> = outputs(cells, entry).collect();
            values.into_iter().map(|value| quiet(cells.value(0, value))).collect()
        }
        Moment::Head(_) | Moment::End(_) => Vec::new(),
    }
}

fn outputs<'a>(cells: &Cells<'a>, entry: &'a Entry) -> impl Iterator<Item = Value> + 'a {
    let region = cells.scopes.list[0].region;
    let outputs = region.results.iter().zip(&entry.outputs);
    let kept = outputs.filter(|(_, output)| !matches!(output, Output::Fault(_)));
    kept.map(|(value, _)| storage(region, *value))
}

/// What a moment writes, except for what [`Events::pieces`] knows of carries, stacks and counts.
fn writes(cells: &mut Cells<'_>, moment: Moment) -> Vec<usize> {
    match moment {
        Moment::Kernel { .. } => {
            let Some((pending, scope, home)) = kernel(cells, moment) else { return Vec::new() };
            // What is not read is a result or memory of the kernel's own.
            let stored: Vec<Source> =
                pending.nest.stores.iter().map(|it| pending.nest.buffers[it.buffer].source).collect();
            let used = |source: &Source| pending.lowered.frame.contains(&FrameWord::Buffer(*source));
            let written = pending.nest.buffers.iter().filter(|buffer| {
                stored.contains(&buffer.source) || used(&buffer.source) && !pending.reads.contains(&buffer.source)
            });
            written.map(|buffer| cells.buffer(scope, home, buffer).cell).collect()
        }
        Moment::Renew { scope, group } => {
            let new = cells.scopes.update(scope, group).map(|(_, new)| cells.value(scope, new).cell);
            new.into_iter().collect()
        }
        Moment::Call { scope, node } => {
            let results = cells.scopes.call(scope, node).1.results.iter();
            results.map(|result| cells.value(scope, *result).cell).collect()
        }
        Moment::Begin(body) => {
            // All of a loop's cells, whether anything reads them or not.
            let op = cells.scopes.op(body);
            (0..op.carries as usize).for_each(|carry| _ = cells.carry(body, carry));
            (0..op.stacks as usize).for_each(|stack| _ = cells.stack(body, stack));
            Vec::new()
        }
        _ => Vec::new(),
    }
}
