//! Statements of a train block's `step`, and of a `scan`, that stand in a function: told by the text, so that
//! functions which nothing calls are checked too.

use crate::assigned::each_stmt;
use crate::cx::Cx;
use crate::report::Reported;
use mlc_syntax::ast::{self, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// Reports the misplaced statements in the functions of a declaration.
    pub fn check_statements(&mut self, item: &'a ast::Item) {
        let members = match item {
            ast::Item::Fn(decl) => return self.check_body(decl),
            ast::Item::Layer(layer) => &layer.members,
            ast::Item::Optimizer(optimizer) => &optimizer.members,
            ast::Item::Train(train) => &train.members,
            ast::Item::Import(_)
            | ast::Item::Const(_)
            | ast::Item::Grad(_)
            | ast::Item::Extern(_)
            | ast::Item::Test(_) => return,
        };
        let is_train = matches!(item, ast::Item::Train(_));
        for member in members {
            match member {
                // `fn step` is told to be the block's step.
                ast::Member::Fn(decl) if is_train && *decl.name.text == *"step" => {}
                ast::Member::Fn(decl) => self.check_body(decl),
                ast::Member::Param(_) | ast::Member::State(_) | ast::Member::Bind(_) => {}
            }
        }
    }

    fn check_body(&mut self, decl: &'a ast::Fn) {
        each_stmt(&decl.body, &mut |stmt| {
            match &stmt.kind {
                StmtKind::Minimize { .. } => self.misplaced_minimize(stmt.span),
                StmtKind::Metric { name, .. } => self.misplaced_metric(name.span),
                StmtKind::Yield(_) => self.misplaced_yield(stmt.span),
                _ => return,
            };
        });
    }

    /// A `minimize` outside of a step.
    pub fn misplaced_minimize(&mut self, span: Span) -> Reported {
        let error = Diagnostic::error(Code::E0121, span, "`minimize` belongs in the `step` of a train block")
            .help("`minimize loss over net with opt` stands in the step; a function returns its loss to it");
        self.tell(error)
    }

    /// A `metric` outside of a step.
    pub fn misplaced_metric(&mut self, span: Span) -> Reported {
        let error = Diagnostic::error(Code::E0121, span, "`metric` belongs in the `step` of a train block")
            .help("`metric name = …` stands in the step; a function returns the value to it");
        self.tell(error)
    }

    /// A `yield` outside of a scan.
    pub fn misplaced_yield(&mut self, span: Span) -> Reported {
        let error = Diagnostic::error(Code::E0121, span, "`yield` belongs at the end of a `scan`").help(
            "a function ends with `return`; `ys = scan for x_t in x along T { …; yield y }` stacks what it yields",
        );
        self.tell(error)
    }
}
