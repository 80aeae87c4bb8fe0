//! Which names a block assigns, as it is written: what a loop or a branch may hand on.

use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A name that a block assigns, with the last place where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub name: Arc<str>,
    pub span: Span,
}

/// The names that a block assigns, in order of first assignment; names of inner loops and carries of
/// a `scan` are their own.
pub(crate) fn assigned_in(block: &ast::Block) -> Vec<Assigned> {
    let mut found = Found::default();
    found.block(block);
    found.list
}

/// What ends a name that is first bound in a loop or a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Pass,
    Branch,
}

/// The names that loops and branches of a block bind, with the place, and with what ends them there. Of
/// several the outermost counts, then the first.
pub(crate) fn ends_in(block: &ast::Block) -> BTreeMap<Arc<str>, (Span, End)> {
    let mut ends = BTreeMap::new();
    note_ends(block, &mut ends);
    ends
}

fn note_ends(block: &ast::Block, into: &mut BTreeMap<Arc<str>, (Span, End)>) {
    for stmt in &block.stmts {
        let (blocks, end): (Vec<&ast::Block>, End) = match &stmt.kind {
            StmtKind::For { body, .. } => (vec![body], End::Pass),
            StmtKind::If { then, otherwise, .. } => (std::iter::once(then).chain(otherwise).collect(), End::Branch),
            _ => continue,
        };
        for assigned in blocks.iter().flat_map(|block| assigned_in(block)) {
            into.entry(assigned.name).or_insert((assigned.span, end));
        }
        blocks.into_iter().for_each(|block| note_ends(block, into));
    }
}

/// The names found so far.
#[derive(Default)]
struct Found {
    list: Vec<Assigned>,
    /// Where each stands in the list.
    at: BTreeMap<Arc<str>, usize>,
}

impl Found {
    fn block(&mut self, block: &ast::Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &ast::Stmt) {
        match &stmt.kind {
            StmtKind::Assign { targets, .. } => targets.iter().for_each(|target| self.target(target)),
            StmtKind::Annotated { name, .. } => self.note(&name.text, name.span),
            StmtKind::For { names, body, .. } => {
                let inner = assigned_in(body).into_iter();
                let inner = inner.filter(|assigned| !names.iter().any(|name| name.text == assigned.name));
                inner.for_each(|assigned| self.note(&assigned.name, assigned.span));
            }
            StmtKind::If { then, otherwise, .. } => {
                self.block(then);
                otherwise.iter().for_each(|block| self.block(block));
            }
            StmtKind::Return(_)
            | StmtKind::Yield(_)
            | StmtKind::Minimize { .. }
            | StmtKind::Metric { .. }
            | StmtKind::Assert { .. }
            | StmtKind::Expr(_) => {}
        }
    }

    fn target(&mut self, target: &ast::Expr) {
        match &target.kind {
            ExprKind::Name(text) if &**text != "_" => self.note(text, target.span),
            ExprKind::Index { base, .. } => self.target(base),
            ExprKind::Tuple(parts) => parts.iter().for_each(|part| self.target(part)),
            _ => {}
        }
    }

    fn note(&mut self, name: &Arc<str>, span: Span) {
        match self.at.get(name) {
            Some(at) => self.list[*at].span = span,
            None => {
                self.at.insert(name.clone(), self.list.len());
                self.list.push(Assigned { name: name.clone(), span });
            }
        }
    }
}

/// All statements of a block, at any depth.
pub(crate) fn each_stmt<'b>(block: &'b ast::Block, f: &mut dyn FnMut(&'b ast::Stmt)) {
    for stmt in &block.stmts {
        f(stmt);
        match &stmt.kind {
            StmtKind::For { body, .. } => each_stmt(body, f),
            StmtKind::If { then, otherwise, .. } => {
                std::iter::once(then).chain(otherwise).for_each(|block| each_stmt(block, f))
            }
            _ => {}
        }
    }
}

/// Where a statement of some kind stands in a block, at any depth.
pub(crate) fn find_stmt<'b>(block: &'b ast::Block, is: &dyn Fn(&StmtKind) -> bool) -> Option<&'b ast::Stmt> {
    block.stmts.iter().find_map(|stmt| match &stmt.kind {
        kind if is(kind) => Some(stmt),
        StmtKind::For { body, .. } => find_stmt(body, is),
        StmtKind::If { then, otherwise, .. } => {
            find_stmt(then, is).or_else(|| otherwise.as_ref().and_then(|block| find_stmt(block, is)))
        }
        _ => None,
    })
}
