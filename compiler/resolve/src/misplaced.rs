//! Statements of a train block's `step`, and of a `scan`, that stand in a function, and defaults that use arguments
//! behind them: told by the text, so that functions which nothing calls are checked too.

use crate::assigned::each_stmt;
use crate::cx::Cx;
use crate::report::Reported;
use mlc_syntax::ast::{self, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// Reports the misplaced statements in the functions of a declaration.
    pub fn check_statements(&mut self, item: &'a ast::Item) {
        let members = match item {
            ast::Item::Fn(decl) => return self.check_body(decl),
            ast::Item::Layer(layer) => {
                self.check_defaults(&layer.params);
                &layer.members
            }
            ast::Item::Optimizer(optimizer) => {
                self.check_defaults(&optimizer.params);
                &optimizer.members
            }
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

    /// A default may use the arguments before it.
    fn check_defaults(&mut self, params: &'a [ast::Param]) {
        for (at, param) in params.iter().enumerate() {
            let Some(default) = &param.default else { continue };
            let read = crate::names::read_in(default);
            let later = |name: &Arc<str>| params[at + 1..].iter().find(|other| other.name.text == *name);
            if let Some((later, span)) = read.iter().find_map(|(name, span)| Some((later(name)?, *span))) {
                let title = format!("the default of `{}` uses an argument behind it", param.name.text);
                let error = Diagnostic::error(Code::E0103, span, title)
                    .also(later.name.span, "declared here")
                    .help(format!("put `{}` in front of `{}`", later.name.text, param.name.text));
                self.tell(error);
            }
        }
    }

    fn check_body(&mut self, decl: &'a ast::Fn) {
        self.check_defaults(&decl.params);
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
