//! Cells: what needs memory. A value of any scope resolves to a cell, or to a row of one: the rows of
//! a slice are the operand's, an invariant is the value outside.

use super::scope::Scopes;
use super::{Content, checked};
use crate::fuse::storage;
use crate::nest::{Buffer, Source};
use crate::program::Loc;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Entry, Input, Value};
use mlc_ir::ty::Type;
use std::collections::BTreeMap;

/// What a cell holds. Loops are named by the scopes of their bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// What a group of a scope stores.
    Value(usize, Value),
    /// A copy that a group of a scope makes of an operand.
    Copy(usize, u32),
    /// A loop's position.
    Position(usize),
    /// A loop's n-th carry: its parameter in the body, and its result behind the loop.
    Carry(usize, usize),
    /// A loop's n-th stack.
    Stack(usize, usize),
    /// The number of iterations that a loop ran.
    Count(usize),
    /// What the caller owns.
    Fixed(Loc),
}

/// Memory for one value at a time.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub key: Key,
    pub bytes: Dim,
    /// Bytes of an element.
    pub width: i64,
    /// The scope one run of which it lives in; of a carry, that of its loop.
    pub owner: usize,
}

/// A cell, or a row of it: at the position of each loop named, times so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub cell: usize,
    pub rows: Vec<(usize, Dim)>,
}

/// Cells by their keys.
pub(super) struct Cells<'a> {
    pub scopes: &'a Scopes<'a>,
    pub list: Vec<Cell>,
    known: BTreeMap<Key, usize>,
    /// Where the entry's parameters are.
    params: Vec<Loc>,
}

/// Bytes of a value.
pub(super) fn bytes_of(ty: &Type) -> Dim {
    checked(ty.elements().and_then(|n| n.mul(&Dim::from(ty.dtype.bytes()))))
}

/// Where the parameters of an entry are.
fn param_places(entry: &Entry) -> Vec<Loc> {
    let mut args = 0;
    let place = |input: &Input| match input {
        Input::Arg(_) => {
            args += 1;
            Loc::Arg(args - 1)
        }
        Input::Global(id) => Loc::Global(id.0),
        Input::Seed => Loc::Seed,
        Input::Step => Loc::Step,
        Input::Done => Loc::Done,
        Input::Epoch => Loc::Epoch,
        Input::TotalSteps => Loc::TotalSteps,
    };
    entry.inputs.iter().map(place).collect()
}

impl<'a> Cells<'a> {
    pub fn new(scopes: &'a Scopes<'a>, entry: &Entry) -> Cells<'a> {
        Cells { scopes, list: Vec::new(), known: BTreeMap::new(), params: param_places(entry) }
    }

    /// The cell of a key, if anything has asked for it.
    pub fn find(&self, key: Key) -> Option<usize> {
        self.known.get(&key).copied()
    }

    /// The cell of a key, made if there is none.
    pub fn cell(&mut self, key: Key, owner: usize, bytes: impl FnOnce() -> Dim, width: i64) -> usize {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        self.list.push(Cell { key, bytes: bytes(), width, owner });
        self.known.insert(key, self.list.len() - 1);
        self.list.len() - 1
    }

    /// The cell for a value of a type.
    pub fn typed(&mut self, key: Key, owner: usize, ty: &Type) -> usize {
        self.cell(key, owner, || bytes_of(ty), ty.dtype.bytes())
    }

    /// A whole cell.
    fn whole(cell: usize) -> View {
        View { cell, rows: Vec::new() }
    }

    /// A cell of a loop's body, which the scope around owns.
    pub fn of_loop(&mut self, key: Key, body: usize, ty: &Type) -> usize {
        let owner = self.scopes.parent(body);
        self.typed(key, owner, ty)
    }

    /// A loop's n-th carry.
    pub fn carry(&mut self, body: usize, carry: usize) -> usize {
        let region = self.scopes.list[body].region;
        let param = region.params[self.scopes.op(body).carry_params().start + carry];
        self.of_loop(Key::Carry(body, carry), body, region.ty(param))
    }

    /// A loop's n-th stack.
    pub fn stack(&mut self, body: usize, stack: usize) -> usize {
        let result = self.scopes.op(body).stack_results().start + stack;
        let parent = self.scopes.list[self.scopes.parent(body)].region;
        self.of_loop(Key::Stack(body, stack), body, parent.ty(self.scopes.node(body).results[result]))
    }

    /// Where a value of a scope is.
    pub fn value(&mut self, scope: usize, value: Value) -> View {
        let scopes = self.scopes;
        let region = scopes.list[scope].region;
        let value = storage(region, value);
        match region.values[value.index()].def {
            Def::Hole => mlc_ir::internal_error("lower", "a finished region has a hole"),
            Def::Param(at) => match scopes.list[scope].parent {
                None => {
                    let loc = self.params[at as usize];
                    Cells::whole(self.typed(Key::Fixed(loc), 0, region.ty(value)))
                }
                Some((parent, _)) => self.param(scope, parent, at as usize, region.ty(value)),
            },
            Def::Node(node, result) => match scopes.body(scope, node) {
                Some(body) => Cells::whole(self.result(body, result as usize, region.ty(value))),
                None => Cells::whole(self.typed(Key::Value(scope, value), scope, region.ty(value))),
            },
        }
    }

    /// A parameter of a loop's body.
    fn param(&mut self, body: usize, parent: usize, at: usize, ty: &Type) -> View {
        let (op, node) = (self.scopes.op(body), self.scopes.node(body));
        if at == 0 {
            return Cells::whole(self.of_loop(Key::Position(body), body, ty));
        }
        if op.carry_params().contains(&at) {
            return Cells::whole(self.carry(body, at - op.carry_params().start));
        }
        let Some(operand) = node.args.get(at - 1 + op.carry_args().start) else {
            mlc_ir::internal_error("lower", "a parameter without an operand")
        };
        let mut view = self.value(parent, *operand);
        if op.slice_params().contains(&at) {
            view.rows.push((body, bytes_of(ty)));
        }
        view
    }

    /// A result of a loop.
    fn result(&mut self, body: usize, at: usize, ty: &Type) -> usize {
        let op = self.scopes.op(body);
        if op.carry_results().contains(&at) {
            return self.carry(body, at - op.carry_results().start);
        }
        if op.stack_results().contains(&at) {
            return self.stack(body, at - op.stack_results().start);
        }
        self.of_loop(Key::Count(body), body, ty)
    }

    /// Where a buffer of a nest of a scope is; `home` is the scope in which the nest runs.
    pub fn buffer(&mut self, scope: usize, home: usize, buffer: &Buffer) -> View {
        match buffer.source {
            Source::Value(value) => self.value(scope, value),
            Source::Copy(number) => {
                let bytes =
                    || checked(Dim::product(&buffer.shape).and_then(|n| n.mul(&Dim::from(buffer.dtype.bytes()))));
                Cells::whole(self.cell(Key::Copy(scope, number), home, bytes, buffer.dtype.bytes()))
            }
        }
    }

    /// The value that a cell holds, if a node makes it.
    pub fn content(&self, cell: usize) -> Option<Content> {
        let scopes = self.scopes;
        let result = |body: usize, at: usize| (scopes.parent(body), scopes.node(body).results[at]);
        let (scope, value) = match self.list[cell].key {
            Key::Value(scope, value) => (scope, value),
            Key::Carry(body, carry) => result(body, scopes.op(body).carry_results().start + carry),
            Key::Stack(body, stack) => result(body, scopes.op(body).stack_results().start + stack),
            Key::Copy(..) | Key::Position(_) | Key::Count(_) | Key::Fixed(_) => return None,
        };
        Some(Content { region: scopes.list[scope].id, value })
    }

    /// For dumps.
    pub fn name(&self, cell: usize) -> String {
        let of = |scope: usize| match scope {
            0 => String::new(),
            _ => format!("{}{scope}.", self.scopes.list[scope].region.name),
        };
        match self.list[cell].key {
            Key::Value(scope, value) => format!("{}%{}", of(scope), value.0),
            Key::Copy(scope, number) => format!("{}copy{number}", of(scope)),
            Key::Position(body) => format!("{}position", of(body)),
            Key::Carry(body, carry) => format!("{}carry{carry}", of(body)),
            Key::Stack(body, stack) => format!("{}stack{stack}", of(body)),
            Key::Count(body) => format!("{}count", of(body)),
            Key::Fixed(loc) => format!("{loc:?}"),
        }
    }
}
