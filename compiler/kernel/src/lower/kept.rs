//! Copies of weights that an entry only reads, in panels as a rule: they are the same in every call, so
//! they are made once and kept. Of a stack of layers all rows are copied at once.

use super::cells::{Cells, Key};
use super::checked;
use super::scope::{Pending, Scopes};
use crate::nest::{Buffer, Source};
use crate::program::Loc;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Entry, Input, Output, Value};
use mlc_ir::region_ops::Trip;
use std::collections::BTreeSet;

/// A copy that is kept.
pub(super) struct KeptCopy {
    /// The kernel that makes it.
    pub scope: usize,
    pub group: usize,
    pub at: usize,
    /// Its cell's key.
    pub key: Key,
    /// Bytes before it.
    pub offset: i64,
    /// The loops at whose positions there are copies of their own, outermost first, with the bytes from one
    /// position to the next.
    pub rows: Vec<(usize, i64)>,
}

/// All of an entry.
#[derive(Default)]
pub(super) struct KeptCopies {
    pub list: Vec<KeptCopy>,
    /// Bytes of all.
    pub bytes: i64,
    /// The globals that are copied.
    pub of: BTreeSet<u32>,
}

/// Alignment of a copy.
const ALIGN: i64 = 64;

/// The globals that an entry reads and doesn't write.
pub(super) fn constants(entry: &Entry) -> BTreeSet<u32> {
    let written = |id: u32| entry.outputs.iter().any(|output| matches!(output, Output::Global(other) if other.0 == id));
    let read = entry.inputs.iter().filter_map(|input| match input {
        Input::Global(id) => Some(id.0),
        _ => None,
    });
    read.filter(|id| !written(*id)).collect()
}

/// The parameters of each scope that are such globals, whatever the positions of loops: copies of them can be kept.
pub(super) fn values(scopes: &Scopes<'_>, entry: &Entry) -> Vec<BTreeSet<Source>> {
    let mut cells = Cells::new(scopes, entry);
    let mut of_scope = |at: usize| {
        let params = scopes.list[at].region.params.iter().filter(|_| !scopes.constants.is_empty());
        let mut is_constant = |value: &Value| {
            let view = cells.value(at, *value);
            let constant = |id| scopes.constants.contains(&id);
            view.rows.is_empty() && matches!(cells.list[view.cell].key, Key::Fixed(Loc::Global(id)) if constant(id))
        };
        params.copied().filter(&mut is_constant).map(Source::Value).collect()
    };
    (0..scopes.list.len()).map(&mut of_scope).collect()
}

impl KeptCopies {
    /// Keeps the copy that a kernel of a scope makes, if it is one of constant weights alone.
    pub fn keep(&mut self, cells: &mut Cells<'_>, (scope, group, at): (usize, usize, usize)) -> bool {
        let scopes = cells.scopes;
        let pending = &scopes.list[scope].groups[group][at];
        let Some((number, bytes)) = target(pending) else { return false };
        let Some(sources) = sources(cells, scope, pending) else { return false };
        let bodies: BTreeSet<usize> = sources.iter().flat_map(|(_, bodies)| bodies.iter().copied()).collect();
        let Some((rows, total)) = strides(scopes, &bodies, bytes) else { return false };
        let Some(end) = self.bytes.checked_add(total) else { return false };
        let key = Key::Copy(scope, number);
        self.list.push(KeptCopy { scope, group, at, key, offset: self.bytes, rows });
        self.bytes = end;
        self.of.extend(sources.iter().map(|(global, _)| *global));
        true
    }

    /// The copy that a cell holds.
    pub fn find(&self, key: Key) -> Option<usize> {
        self.list.iter().position(|copy| copy.key == key)
    }
}

impl KeptCopy {
    /// The loops of a kernel's run: those around its innermost row, each with how often it runs here.
    pub fn loops(&self, scopes: &Scopes<'_>) -> Vec<Dim> {
        let mut chain = Vec::new();
        let mut body = self.rows.last().map(|(body, _)| *body);
        while let Some(at) = body.filter(|at| scopes.list[*at].parent.is_some()) {
            let is_row = self.rows.iter().any(|(row, _)| *row == at);
            chain.push(if is_row { scopes.op(at).trip.bound().clone() } else { Dim::one() });
            body = Some(scopes.parent(at));
        }
        chain.reverse();
        chain
    }
}

/// The number and the bytes of what a kernel writes, if that is one copy whose size is known.
fn target(pending: &Pending) -> Option<(u32, i64)> {
    let [store] = &pending.nest.stores[..] else { return None };
    let Buffer { source: Source::Copy(number), dtype, shape } = &pending.nest.buffers[store.buffer] else {
        return None;
    };
    let elements = checked(Dim::product(shape)).as_const()?;
    Some((*number, elements.checked_mul(dtype.bytes())?))
}

/// The globals that a kernel reads, each with the loops whose positions choose its row; `None` if it reads
/// anything else.
fn sources(cells: &mut Cells<'_>, scope: usize, pending: &Pending) -> Option<Vec<(u32, Vec<usize>)>> {
    let mut found = Vec::new();
    for source in &pending.reads {
        let Source::Value(value) = source else { return None };
        let view = cells.value(scope, *value);
        let Key::Fixed(Loc::Global(id)) = cells.list[view.cell].key else { return None };
        let known = cells.scopes.constants.contains(&id) && cells.list[view.cell].bytes.as_const().is_some();
        if !known {
            return None;
        }
        found.push((id, view.rows.iter().map(|(body, _)| *body).collect()));
    }
    Some(found)
}

/// The bytes from a row to the next for each loop, and of all rows.
fn strides(scopes: &Scopes<'_>, bodies: &BTreeSet<usize>, bytes: i64) -> Option<(Vec<(usize, i64)>, i64)> {
    let mut total = bytes.checked_add(ALIGN - 1)? / ALIGN * ALIGN;
    let mut rows = Vec::new();
    // Inner loops have higher numbers.
    for body in bodies.iter().rev() {
        let Trip::Exact(trip) = &scopes.op(*body).trip else { return None };
        rows.push((*body, total));
        total = total.checked_mul(trip.as_const()?)?;
    }
    rows.reverse();
    Some((rows, total))
}
