//! Which names a block assigns, as it is written: what a loop or a branch may hand on.

use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::span::Span;
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
    let mut found = Vec::new();
    in_block(block, &mut found);
    found
}

fn in_block(block: &ast::Block, into: &mut Vec<Assigned>) {
    for stmt in &block.stmts {
        in_stmt(stmt, into);
    }
}

fn in_stmt(stmt: &ast::Stmt, into: &mut Vec<Assigned>) {
    match &stmt.kind {
        StmtKind::Assign { targets, .. } => targets.iter().for_each(|target| in_target(target, into)),
        StmtKind::Annotated { name, .. } => note(&name.text, name.span, into),
        StmtKind::For { names, body, .. } => {
            let mut inner = assigned_in(body);
            inner.retain(|assigned| !names.iter().any(|name| name.text == assigned.name));
            inner.into_iter().for_each(|assigned| note(&assigned.name, assigned.span, into));
        }
        StmtKind::If { then, otherwise, .. } => {
            in_block(then, into);
            otherwise.iter().for_each(|block| in_block(block, into));
        }
        StmtKind::Return(_)
        | StmtKind::Yield(_)
        | StmtKind::Minimize { .. }
        | StmtKind::Metric { .. }
        | StmtKind::Assert { .. }
        | StmtKind::Expr(_) => {}
    }
}

fn in_target(target: &ast::Expr, into: &mut Vec<Assigned>) {
    match &target.kind {
        ExprKind::Name(text) if &**text != "_" => note(text, target.span, into),
        ExprKind::Index { base, .. } => in_target(base, into),
        ExprKind::Tuple(parts) => parts.iter().for_each(|part| in_target(part, into)),
        _ => {}
    }
}

fn note(name: &Arc<str>, span: Span, into: &mut Vec<Assigned>) {
    match into.iter_mut().find(|assigned| assigned.name == *name) {
        Some(assigned) => assigned.span = span,
        None => into.push(Assigned { name: name.clone(), span }),
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
