//! States with session sizes (rule 16): which states these are is known when all entries have been
//! evaluated. A state all of whose sizes were numbers everywhere is saved with the weights; one that
//! has a symbolic size in some entry lives for a session, and its global's type gets symbols of its own.

use crate::calls::Expected;
use crate::cx::Cx;
use crate::entry::{Entry, Mode};
use crate::program::Session;
use crate::sizes::Solved;
use crate::value::{InstanceId, Size, shape_of};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{GlobalId, GlobalKind, Output};
use mlc_ir::ty::Type;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A state in an entry: its session sizes there.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    global: GlobalId,
    ty: Type,
    sizes: Vec<(Arc<str>, Solved)>,
}

/// Of all entries.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    owners: BTreeMap<GlobalId, InstanceId>,
    uses: BTreeMap<GlobalId, Vec<(usize, Use)>>,
}

impl Sessions {
    /// Takes the uses of a finished entry.
    pub fn note(&mut self, entry: usize, uses: Vec<Use>) {
        for one in uses {
            self.uses.entry(one.global).or_default().push((entry, one));
        }
    }
}

impl<'a> Cx<'a> {
    /// Remembers what the session sizes of a state are in the current entry.
    pub fn note_session_use(&mut self, global: GlobalId, id: InstanceId, decl: &'a ast::Tensor, ty: &Type) {
        let mut names = Vec::new();
        if let ast::TypeKind::Named { axes: Some(axes), .. } = &decl.ty.kind {
            for axis in axes {
                if let ast::AxisKind::Size(expr) = &axis.kind {
                    crate::instances::names_in(expr, &mut names);
                }
            }
        }
        let mut sizes: Vec<(Arc<str>, Solved)> = Vec::new();
        for (name, _) in names {
            if let Some(solved) = self.entry.session.get(&(id, name.clone()))
                && !sizes.iter().any(|(other, _)| other == name)
            {
                sizes.push((name.clone(), solved.clone()));
            }
        }
        if sizes.is_empty() || self.entry.session_uses.iter().any(|one| one.global == global) {
            return;
        }
        self.sessions.owners.insert(global, id);
        self.entry.session_uses.push(Use { global, ty: ty.clone(), sizes });
    }

    /// Decides for each state whether it is saved or lives for a session.
    pub fn settle_sessions(&mut self) {
        let all: Vec<(GlobalId, Vec<(usize, Use)>)> = std::mem::take(&mut self.sessions.uses).into_iter().collect();
        for (global, uses) in all {
            let symbolic = |one: &Use| one.ty.shape.iter().any(|size| size.as_const().is_none());
            if uses.iter().any(|(_, one)| symbolic(one)) {
                self.make_session(global, &uses);
                self.sessions.uses.insert(global, uses);
            } else {
                self.require_one_type(global, &uses);
            }
        }
    }

    /// A state whose sizes are numbers has the same ones everywhere, as an open size has (rule 5).
    fn require_one_type(&mut self, global: GlobalId, uses: &[(usize, Use)]) {
        let Some((_, first)) = uses.first() else { return };
        let Some((_, other)) = uses.iter().find(|(_, one)| one.ty != first.ty) else { return };
        let differs = first.sizes.iter().zip(&other.sizes).find(|((_, a), (_, b))| a.size.dim != b.size.dim);
        let Some(((name, a), (_, b))) = differs else { return };
        let path = self.graph.globals[global.index()].path.clone();
        let (left, right) = (self.show_dim(&a.size.dim), self.show_dim(&b.size.dim));
        let (a, b) = (a.span, b.span);
        let error =
            Diagnostic::error(Code::E0107, b, format!("the state `{path}` has {name} = {left}, and here {right}"))
                .also(a, format!("{name} = {left} here"))
                .help("a state with sizes that are numbers is saved with the weights, so it has one shape");
        self.tell(error);
    }

    /// Gives a state's global a type in symbols that are named as its declaration names them.
    fn make_session(&mut self, global: GlobalId, uses: &[(usize, Use)]) {
        let (Some((_, first)), Some(id)) = (uses.first(), self.sessions.owners.get(&global).copied()) else { return };
        let Some(decl) = self.state_decl(global, id) else { return };
        let names: Vec<Arc<str>> = first.sizes.iter().map(|(name, _)| name.clone()).collect();
        let (typed, _) = self.with_entry(Entry::new(Mode::Init, "session"), |cx| {
            cx.canonical_sizes(id, &names);
            cx.param_type(id, decl, decl.span)
        });
        if let Ok((dtype, axes)) = typed {
            let all: Vec<Size> = self.stack_axes(id).into_iter().chain(axes).collect();
            let target = &mut self.graph.globals[global.index()];
            (target.kind, target.ty) = (GlobalKind::Session, Type::new(dtype, shape_of(&all)));
        }
    }

    fn canonical_sizes(&mut self, id: InstanceId, names: &[Arc<str>]) {
        for name in names {
            let size = Size::plain(self.graph.symbol(name));
            let span = self.instance(id).made;
            self.entry.session.insert((id, name.clone()), Solved { size, span, calls: Vec::new() });
        }
    }

    fn state_decl(&self, global: GlobalId, id: InstanceId) -> Option<&'a ast::Tensor> {
        let ((_, name), _) = self.globals.iter().find(|((owner, _), known)| **known == global && *owner == id)?;
        self.instance(id).members.state(name)
    }

    /// The entries that write the first values of session states.
    pub fn session_entries(&mut self) -> Vec<Session> {
        let all: Vec<(GlobalId, Vec<(usize, Use)>)> = std::mem::take(&mut self.sessions.uses).into_iter().collect();
        all.into_iter().filter_map(|(global, uses)| self.session_entry(global, uses)).collect()
    }

    fn session_entry(&mut self, global: GlobalId, uses: Vec<(usize, Use)>) -> Option<Session> {
        let id = *self.sessions.owners.get(&global)?;
        let decl = self.state_decl(global, id)?;
        let names: Vec<Arc<str>> = uses.first()?.1.sizes.iter().map(|(name, _)| name.clone()).collect();
        let target = self.graph.globals[global.index()].clone();
        let axes = target.ty.shape.iter().map(|size| Size::plain(size.clone())).collect();
        let expected = Expected { dtype: target.ty.dtype, axes };
        let entry = Entry::new(Mode::Init, &format!("session.{}", target.path));
        let (first, entry) = self.with_entry(entry, |cx| {
            cx.canonical_sizes(id, &names);
            cx.stacked_value(id, decl, &expected, &target.path)
        });
        let init = self.add_entry(entry, vec![(Output::Global(global), first.ok()?.value)], 1);
        let symbols: Vec<Sym> = names.iter().map(|name| self.graph.symbol(name)).collect();
        let sizes = |one: Use| -> Vec<(Sym, Dim)> {
            symbols.iter().zip(one.sizes).map(|(symbol, (_, solved))| (*symbol, solved.size.dim)).collect()
        };
        Some(Session { global, init, uses: uses.into_iter().map(|(entry, one)| (entry, sizes(one))).collect() })
    }
}
