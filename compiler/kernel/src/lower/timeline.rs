//! The one order in which an entry does everything, bodies of loops written out in their place.
//!
//! At the entry's level, what the index checks need comes first, then the checks, then the rest: so
//! whatever writes weights or states can stand behind the last check.

use super::cells::{Cells, Key, View};
use super::kept::KeptCopies;
use super::order::reads;
use super::scope::{Item, Pending, Scopes};
use crate::fuse::storage;
use crate::nest::Source;
use mlc_ir::graph::{Checked, Entry, NodeId, Output, Value};
use mlc_ir::ty::DType;
use std::collections::{BTreeSet, VecDeque};

/// One moment of an entry. Loops are named by the scopes of their bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A kernel of a scope's group runs, in the scope `home`.
    Kernel { scope: usize, group: usize, at: usize, home: usize },
    /// A C function of a scope runs.
    Call { scope: usize, node: NodeId },
    /// The memory of an update's result takes the old value.
    Renew { scope: usize, group: usize },
    /// A loop takes the first values of its carries.
    Begin(usize),
    /// An iteration begins.
    Head(usize),
    /// The value of a stack's row is there.
    Save { body: usize, stack: usize },
    /// An iteration ends: carries take their new values.
    Turn(usize),
    /// A loop ends.
    End(usize),
    /// The n-th index check.
    Fault(usize),
    /// Results, weights and states take their values.
    Finish,
}

/// An index check.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// The row-major number of the first bad element.
    pub first_bad: Value,
    /// The tensor that is searched, if it is kept in memory.
    pub indices: Option<(Value, DType)>,
}

/// When a loop does what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub begin: usize,
    pub head: usize,
    pub turn: usize,
    pub end: usize,
}

/// All moments, in order.
pub(super) struct Timeline {
    pub moments: Vec<Moment>,
    /// For each scope that is a loop's body.
    pub marks: Vec<Marks>,
    pub checks: Vec<Check>,
    /// What is not made at any of them.
    pub kept: KeptCopies,
}

impl Timeline {
    pub fn new(cells: &mut Cells<'_>, entry: &Entry) -> Timeline {
        let scopes = cells.scopes;
        let checks = checks(scopes, entry);
        let (homes, kept) = homes(cells);
        let mut writer =
            Writer { scopes, homes, moments: Vec::new(), marks: vec![Marks::default(); scopes.list.len()] };
        let early = early(scopes, &checks);
        let (first, then): (Vec<Item>, Vec<Item>) = scopes.list[0].items.iter().partition(|item| early.contains(item));
        first.into_iter().for_each(|item| writer.item(0, item));
        writer.moments.extend((0..checks.len()).map(Moment::Fault));
        then.into_iter().for_each(|item| writer.item(0, item));
        writer.moments.push(Moment::Finish);
        Timeline { moments: writer.moments, marks: writer.marks, checks, kept }
    }

    /// The last index check.
    pub fn last_fault(&self) -> Option<usize> {
        self.moments.iter().rposition(|moment| matches!(moment, Moment::Fault(_)))
    }

    /// The scope that a moment belongs to.
    pub fn scope(&self, scopes: &Scopes<'_>, moment: Moment) -> usize {
        match moment {
            Moment::Kernel { home, .. } => home,
            Moment::Renew { scope, .. } | Moment::Call { scope, .. } => scope,
            Moment::Head(body) | Moment::Save { body, .. } | Moment::Turn(body) => body,
            Moment::Begin(body) | Moment::End(body) => scopes.parent(body),
            Moment::Fault(_) | Moment::Finish => 0,
        }
    }
}

// ---- index checks

fn checks(scopes: &Scopes<'_>, entry: &Entry) -> Vec<Check> {
    let region = scopes.list[0].region;
    let outputs = region.results.iter().zip(&entry.outputs);
    let faults = outputs.filter_map(|(value, output)| match output {
        Output::Fault(fault) => Some((value, fault.checked)),
        Output::Result(_) | Output::Global(_) => None,
    });
    let indices = |value: Value, checked| match checked {
        Checked::Index | Checked::Length => index_tensor(scopes, value),
        Checked::Status => None,
    };
    faults
        .map(|(value, checked)| Check { first_bad: storage(region, *value), indices: indices(*value, checked) })
        .collect()
}

/// The tensor whose first bad element a fault looks for, if it is kept in memory: the nearest
/// integers that the fault is computed from, of as many elements as it searches.
fn index_tensor(scopes: &Scopes<'_>, fault: Value) -> Option<(Value, DType)> {
    let region = scopes.list[0].region;
    let search = region.producer(fault).filter(|node| node.op.primitive().is_some())?;
    let searched = region.ty(*search.args.first()?).elements();
    let stored = |value: Value| {
        region.params.contains(&storage(region, value)) || matches!(scopes.item_of(0, value), Some(Item::Group(_)))
    };
    let mut queue = VecDeque::from([fault]);
    let mut seen = BTreeSet::new();
    while let Some(value) = queue.pop_front() {
        if !seen.insert(value) {
            continue;
        }
        let ty = region.ty(value);
        let integers = matches!(ty.dtype, DType::I32 | DType::I64);
        if value != fault && integers && ty.elements() == searched && stored(value) {
            return Some((storage(region, value), ty.dtype));
        }
        queue.extend(region.producer(value).iter().flat_map(|node| node.args.iter().copied()));
    }
    None
}

/// The entry's items that the checks need.
fn early(scopes: &Scopes<'_>, checks: &[Check]) -> BTreeSet<Item> {
    let tensors = checks.iter().filter_map(|check| check.indices.map(|(value, _)| value));
    let mut queue: Vec<Value> = checks.iter().map(|check| check.first_bad).chain(tensors).collect();
    let mut found = BTreeSet::new();
    while let Some(value) = queue.pop() {
        let Some(item) = scopes.item_of(0, value) else { continue };
        if !found.insert(item) {
            continue;
        }
        queue.extend(reads(scopes, 0, item));
    }
    found
}

// ---- copies that stay the same

/// The scope in which each kernel runs: a copy of what doesn't change in a loop is made before it, and one
/// that is kept in none.
fn homes(cells: &mut Cells<'_>) -> (Vec<Vec<Vec<Option<usize>>>>, KeptCopies) {
    let scopes = cells.scopes;
    let mut kept = KeptCopies::default();
    let mut homes = Vec::with_capacity(scopes.list.len());
    for (scope, it) in scopes.list.iter().enumerate() {
        let mut home = |group: usize, at: usize, pending: &Pending| match makes_copy(pending) {
            true if kept.keep(cells, (scope, group, at)) => None,
            true => Some(copy_home(cells, scope, pending)),
            false => Some(scope),
        };
        let of_group = |(group, list): (usize, &Vec<Pending>)| {
            list.iter().enumerate().map(|(at, pending)| home(group, at, pending)).collect()
        };
        homes.push(it.groups.iter().enumerate().map(of_group).collect());
    }
    (homes, kept)
}

fn makes_copy(pending: &Pending) -> bool {
    let target = |store: &crate::nest::Store| pending.nest.buffers[store.buffer].source;
    pending.nest.stores.iter().all(|store| matches!(target(store), Source::Copy(_)))
}

fn copy_home(cells: &mut Cells<'_>, scope: usize, pending: &Pending) -> usize {
    let mut views = Vec::new();
    for source in &pending.reads {
        match source {
            Source::Value(value) => views.push(cells.value(scope, *value)),
            Source::Copy(_) => return scope,
        }
    }
    let mut home = scope;
    while let Some((parent, _)) = cells.scopes.list[home].parent {
        if !views.iter().all(|view| is_outside(cells, view, home)) {
            break;
        }
        home = parent;
    }
    home
}

/// Whether a view is the same in all iterations of a loop.
fn is_outside(cells: &Cells<'_>, view: &View, body: usize) -> bool {
    let cell = &cells.list[view.cell];
    let own = matches!(cell.key, Key::Carry(of, _) | Key::Stack(of, _) | Key::Position(of) if of == body);
    !own && !cells.scopes.is_within(cell.owner, body) && view.rows.iter().all(|(of, _)| *of != body)
}

// ---- writing it out

struct Writer<'a> {
    scopes: &'a Scopes<'a>,
    homes: Vec<Vec<Vec<Option<usize>>>>,
    moments: Vec<Moment>,
    marks: Vec<Marks>,
}

impl Writer<'_> {
    fn now(&mut self, moment: Moment) -> usize {
        self.moments.push(moment);
        self.moments.len() - 1
    }

    fn item(&mut self, scope: usize, item: Item) {
        match item {
            Item::Group(group) => self.group(scope, group, scope),
            Item::Loop(body) => self.looped(body),
            Item::Call(node) => _ = self.now(Moment::Call { scope, node }),
        }
    }

    /// The kernels of a group that run in the scope `home`.
    fn group(&mut self, scope: usize, group: usize, home: usize) {
        for at in 0..self.homes[scope][group].len() {
            if self.homes[scope][group][at] == Some(home) {
                if self.scopes.list[scope].groups[group][at].nest.window.is_some() {
                    self.now(Moment::Renew { scope, group });
                }
                self.now(Moment::Kernel { scope, group, at, home });
            }
        }
    }

    fn looped(&mut self, body: usize) {
        let home = self.scopes.parent(body);
        for scope in (body..self.scopes.list.len()).filter(|scope| self.scopes.is_within(*scope, body)) {
            for group in 0..self.homes[scope].len() {
                self.group(scope, group, home);
            }
        }
        let begin = self.now(Moment::Begin(body));
        let head = self.now(Moment::Head(body));
        self.saves(body, None);
        for item in &self.scopes.list[body].items {
            self.item(body, *item);
            self.saves(body, Some(*item));
        }
        let turn = self.now(Moment::Turn(body));
        let end = self.now(Moment::End(body));
        self.marks[body] = Marks { begin, head, turn, end };
    }

    /// The rows of stacks that `item` makes; without one, those that are parameters.
    fn saves(&mut self, body: usize, item: Option<Item>) {
        let (op, region) = (self.scopes.op(body), self.scopes.list[body].region);
        for (stack, result) in op.stack_results().enumerate() {
            if self.scopes.item_of(body, region.results[result]) == item {
                self.now(Moment::Save { body, stack });
            }
        }
    }
}
