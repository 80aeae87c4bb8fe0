//! `if` on a run-time value in an `every` block: what it computes is computed always, what it does is
//! done if the condition holds.

use crate::cx::{Cx, FrameKind};
use crate::program::Action;
use crate::value::{R, Tensor, Value};
use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::span::Span;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// Whether an `if` stands in an `every` block and does something.
    pub fn has_actions(&self, then: &ast::Block, otherwise: Option<&ast::Block>) -> bool {
        matches!(self.top().kind, FrameKind::Every) && (acts(then) || otherwise.is_some_and(acts))
    }

    /// The branches of such an `if`.
    pub fn guarded(
        &mut self,
        condition: Tensor,
        span: Span,
        then: &'a ast::Block,
        otherwise: Option<&'a ast::Block>,
    ) -> R<()> {
        let value = self.watched(Value::Tensor(condition), span)?;
        self.guarded_block(value, true, then)?;
        match otherwise {
            Some(block) => self.guarded_block(value, false, block),
            None => Ok(()),
        }
    }

    fn guarded_block(&mut self, value: usize, holds: bool, block: &'a ast::Block) -> R<()> {
        let before: Vec<Arc<str>> = self.top().locals.keys().cloned().collect();
        if let Some(span) = rebound(block, &before) {
            return self.unsupported(span, "an `if` of an `every` block that both does something and changes a name");
        }
        let at = self.every_state.actions.len();
        self.every_state.actions.push(Action::When { value, holds, count: 0 });
        self.block(block)?;
        let inside = self.every_state.actions.len() - at - 1;
        if let Some(Action::When { count, .. }) = self.every_state.actions.get_mut(at) {
            *count = inside;
        }
        self.frame().locals.retain(|name, _| before.contains(name));
        Ok(())
    }
}

fn acts(block: &ast::Block) -> bool {
    block.stmts.iter().any(|stmt| match &stmt.kind {
        StmtKind::Expr(_) => true,
        StmtKind::If { then, otherwise, .. } => acts(then) || otherwise.as_ref().is_some_and(acts),
        _ => false,
    })
}

/// A name that stands before the block and is bound anew in it.
fn rebound(block: &ast::Block, before: &[Arc<str>]) -> Option<Span> {
    block.stmts.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Assign { targets, .. } => targets.iter().find_map(|target| match &target.kind {
            ExprKind::Name(name) if before.contains(name) => Some(target.span),
            _ => None,
        }),
        StmtKind::Annotated { name, .. } => before.contains(&name.text).then_some(name.span),
        _ => None,
    })
}
