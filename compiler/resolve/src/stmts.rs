//! Statements: bindings, static `if` and `for`, `return`; those of training are handed on.

use crate::arith::Operation;
use crate::cx::{Cx, FrameKind};
use crate::loops::For;
use crate::matching::Matched;
use crate::report::Reported;
use crate::updates::Part;
use crate::value::{R, Value};
use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;
use std::sync::Arc;

/// What a block came to: the returned value and where, if it returned.
pub(crate) type Returned<'a> = Option<(Value<'a>, Span)>;

/// What stands on the left of an assignment.
enum Target<'a> {
    Name(ast::Name),
    Part(Part<'a>),
}

impl Target<'_> {
    fn name(&self) -> &ast::Name {
        match self {
            Target::Name(name) => name,
            Target::Part(part) => &part.name,
        }
    }
}

impl<'a> Cx<'a> {
    /// Runs a block. After a mistake the statements behind it are run too, for their own mistakes.
    pub fn block(&mut self, block: &'a ast::Block) -> R<Returned<'a>> {
        let mut failed = None;
        for stmt in &block.stmts {
            match self.run_stmt(stmt) {
                Ok(None) => {}
                Ok(Some(returned)) => {
                    self.warn_of_unreached(stmt, block);
                    return match failed {
                        Some(reported) => Err(reported),
                        None => Ok(Some(returned)),
                    };
                }
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(None),
        }
    }

    /// W0003: what stands behind a `return` in its block.
    fn warn_of_unreached(&mut self, stmt: &'a ast::Stmt, block: &'a ast::Block) {
        let behind = block.stmts.iter().find(|other| other.span.lo > stmt.span.lo);
        if let (StmtKind::Return(_), Some(behind)) = (&stmt.kind, behind) {
            let warning = Diagnostic::warning(Code::W0003, behind.span, "this is never reached")
                .also(stmt.span, "the function ends here")
                .help("take it out, or put it before the `return`");
            self.tell(warning);
        }
    }

    /// Runs one statement.
    pub fn run_stmt(&mut self, stmt: &'a ast::Stmt) -> R<Returned<'a>> {
        self.deeper(stmt.span, |cx| cx.stmt(stmt))
    }

    fn stmt(&mut self, stmt: &'a ast::Stmt) -> R<Returned<'a>> {
        match &stmt.kind {
            StmtKind::Return(values) => self.return_stmt(values, stmt.span),
            StmtKind::Yield(_) => Err(self.misplaced_yield(stmt.span)),
            StmtKind::Minimize { loss, over, with } => self.minimize(loss, over, with, stmt.span).map(|()| None),
            StmtKind::Metric { name, value } => self.metric(name, value).map(|()| None),
            StmtKind::Assert { condition, message } => {
                self.assert_stmt(condition, message.as_ref(), stmt.span).map(|()| None)
            }
            StmtKind::For { attrs, names, iterables, condition, body } => {
                self.for_stmt(For { attrs, names, iterables, condition: condition.as_ref(), body })
            }
            StmtKind::If { condition, then, otherwise } => self.if_stmt(condition, then, otherwise.as_ref()),
            StmtKind::Annotated { name, ty, value } => self.annotated(name, ty, value).map(|()| None),
            StmtKind::Assign { targets, op, values } => self.assign(targets, *op, values, stmt.span).map(|()| None),
            StmtKind::Expr(expr) => self.expr_stmt(expr).map(|()| None),
        }
    }

    fn return_stmt(&mut self, values: &'a [ast::Expr], span: Span) -> R<Returned<'a>> {
        let value_span = match (values.first(), values.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => span,
        };
        match self.top().kind {
            FrameKind::Fn(_) | FrameKind::Update | FrameKind::Grad => {}
            FrameKind::Step
            | FrameKind::Every
            | FrameKind::Test
            | FrameKind::File
            | FrameKind::Bindings
            | FrameKind::OptimizerArgs => {
                let error = Diagnostic::error(Code::E0121, span, "`return` belongs in a `fn`")
                    .help("a `step` reports with `metric NAME = …`");
                return Err(self.tell(error));
            }
        }
        let lengths = self.top().lengths.clone();
        let value = if lengths.is_empty() { self.exprs_value(values)? } else { self.return_cut(values, &lengths)? };
        Ok(Some((value, value_span)))
    }

    fn annotated(&mut self, name: &'a ast::Name, ty: &'a ast::Type, value: &'a ast::Expr) -> R<()> {
        let result = self.check_assignable(name).and_then(|()| self.declared_value(ty, value)).and_then(|found| {
            let what = Matched::Annotation { name: name.text.clone() };
            self.match_value(ty, found, value.span, what)
        });
        self.bind(&name.text, result, value.span)
    }

    /// Gives a name its value; assigning to a state updates it.
    fn bind(&mut self, name: &Arc<str>, value: R<Value<'a>>, span: Span) -> R<()> {
        if let Some((id, decl)) = self.state_named(name) {
            return value.and_then(|value| self.write_state(id, decl, value, span));
        }
        match value {
            Ok(value) => {
                self.set_local(name, value);
                self.frame().places.insert(name.clone(), span);
                Ok(())
            }
            Err(reported) => {
                self.set_local(name, Value::Poison);
                Err(reported)
            }
        }
    }

    fn assign(
        &mut self,
        targets: &'a [ast::Expr],
        op: Option<ast::BinaryOp>,
        values: &'a [ast::Expr],
        span: Span,
    ) -> R<()> {
        let targets = self.targets(targets)?;
        let names: Vec<ast::Name> = targets.iter().map(|target| target.name().clone()).collect();
        let value = match (op, targets.as_slice(), values) {
            (Some(op), [Target::Name(name)], [value]) => self.updated(op, name, value, span),
            (Some(op), [Target::Part(part)], [value]) => {
                let whole = self.check_assignable(&part.name);
                let whole = whole.and_then(|()| self.with_part_updated(op, part, value, span));
                return self.bind(&part.name.text, whole, value.span);
            }
            (Some(_), _, _) => self.fail(Code::E0119, span, "this operator takes one name and one value"),
            (None, _, _) => self.assigned(values, &names),
        };
        let value = value.and_then(|value| {
            let span = values.first().map_or(span, |value| value.span);
            self.unpack(value, &names, span)
        });
        let mut failed = None;
        for (at, name) in names.iter().enumerate() {
            if &*name.text == "_" {
                continue;
            }
            if let Err(reported) = self.check_assignable(name) {
                // What the name was to be is not known, so nothing is said of its uses.
                self.set_local(&name.text, Value::Poison);
                failed = Some(reported);
                continue;
            }
            let part = match &value {
                Ok(parts) => Ok(parts[at].clone()),
                Err(reported) => Err(*reported),
            };
            let span = values.get(at).or(values.first()).map_or(span, |value| value.span);
            let part = match &targets[at] {
                Target::Name(_) => part,
                Target::Part(target) => part.and_then(|part| self.with_part(target, part, span)),
            };
            if let Err(reported) = self.bind(&name.text, part, span) {
                failed = Some(reported);
            }
        }
        match (failed, value) {
            (Some(reported), _) | (None, Err(reported)) => Err(reported),
            (None, Ok(_)) => Ok(()),
        }
    }

    fn assigned(&mut self, values: &'a [ast::Expr], names: &[ast::Name]) -> R<Value<'a>> {
        if let Some(name) = names.first()
            && let Err(reported) = self.check_assignable(name)
        {
            return Err(reported);
        }
        match values {
            [value] => match self.expr(value)? {
                Value::Nothing => Err(self.no_value(value)),
                found => Ok(found),
            },
            values => Ok(Value::Tuple(Rc::new(self.exprs(values)?))),
        }
    }

    /// A call of a function without a result where a value is needed.
    fn no_value(&mut self, expr: &'a ast::Expr) -> Reported {
        let error = Diagnostic::error(Code::E0122, expr.span, "this gives no value")
            .help("a function gives a value if it declares a type behind `->` and has a `return`");
        self.tell(error)
    }

    fn updated(&mut self, op: ast::BinaryOp, name: &ast::Name, value: &'a ast::Expr, span: Span) -> R<Value<'a>> {
        let before = self.name(&name.text, name.span)?;
        let value_now = self.expr(value)?;
        let place = Operation { symbol: op.symbol(), span, left: name.span, right: value.span };
        self.operate(op, before, value_now, place)
    }

    fn targets(&mut self, targets: &'a [ast::Expr]) -> R<Vec<Target<'a>>> {
        let mut found = Vec::new();
        for target in targets {
            let name = |text: &Arc<str>, span| ast::Name { text: text.clone(), span };
            match &target.kind {
                ExprKind::Name(text) => found.push(Target::Name(name(text, target.span))),
                ExprKind::Index { base, indices } => match &base.kind {
                    ExprKind::Name(text) => {
                        let name = name(text, base.span);
                        found.push(Target::Part(Part { name, indices, span: target.span }));
                    }
                    _ => return self.fail(Code::E0112, base.span, "only parts of names can be assigned"),
                },
                ExprKind::Field { .. } => {
                    return self.fail(Code::E0112, target.span, "a member of a layer is not assigned from outside");
                }
                ExprKind::Error => return Err(self.report.silent()),
                _ => return self.fail(Code::E0112, target.span, "only names can be assigned"),
            }
        }
        Ok(found)
    }

    /// Refuses to assign to sub-layers, params, functions and constants (rule 14).
    pub fn check_assignable(&mut self, name: &ast::Name) -> R<()> {
        let frame = self.top();
        if frame.locals.contains_key(&name.text) {
            return Ok(());
        }
        let taken = self.taken(&name.text);
        let Some((what, span)) = taken else { return Ok(()) };
        Err(self.refuse_assignment(name, what, span))
    }

    /// The name of a loop is its own; a state's name would hide the state.
    pub fn refuse_state_name(&mut self, name: &ast::Name) -> R<()> {
        match self.state_named(&name.text) {
            Some((_, decl)) => Err(self.refuse_assignment(name, "a `state` of the layer", Some(decl.name.span))),
            None => Ok(()),
        }
    }

    /// What of the surroundings a name stands for, if it may not be assigned.
    fn taken(&self, text: &Arc<str>) -> Option<(&'static str, Option<Span>)> {
        if &**text == "training" {
            return Some(("a word for what runs", None));
        }
        let frame = self.top();
        if frame.block.values.contains_key(text) {
            return Some(("a binding of the block around", None));
        }
        if let Some(decl) = frame.block.fns.iter().find(|decl| decl.name.text == *text) {
            return Some(("a function", Some(decl.name.span)));
        }
        if let Some(id) = frame.instance {
            let members = &self.instance(id).members;
            if members.state(text).is_some() {
                return None;
            }
            if let Some(tensor) = members.tensor(text) {
                return Some(("a `param` of the layer", Some(tensor.name.span)));
            }
            if let Some(decl) = members.function(text) {
                return Some(("a function of the layer", Some(decl.name.span)));
            }
            if let Some(span) = members.binding(text) {
                return Some(("a member of the layer", Some(span)));
            }
        }
        match self.files.find(frame.file, text) {
            Some((crate::scope::Item::Const(decl), home)) if home == frame.file => {
                Some(("a constant", Some(decl.name.span)))
            }
            Some((crate::scope::Item::Fn(decl), home))
                if home == frame.file && self.files.origin(home) == crate::scope::Origin::User =>
            {
                Some(("a function", Some(decl.name.span)))
            }
            _ => None,
        }
    }

    fn refuse_assignment(&mut self, name: &ast::Name, what: &str, declared: Option<Span>) -> Reported {
        let mut error =
            Diagnostic::error(Code::E0112, name.span, format!("`{}` is {what} and cannot be assigned", name.text));
        if let Some(declared) = declared {
            error = error.also(declared, "declared here");
        }
        if &*name.text == "training" {
            let error = error
                .note("it is true in the step of a training, false in evaluations and exported functions")
                .help("an instance computes as in inference by `infer(net)(x)`");
            return self.tell(error);
        }
        self.tell(error.help("give the new value another name"))
    }

    /// The result type of the function under way, if `expr` is its last statement.
    fn is_meant_as_result(&self, expr: &ast::Expr) -> Option<Span> {
        let FrameKind::Fn(decl) = self.top().kind else { return None };
        let is_last = matches!(decl.body.stmts.last(), Some(ast::Stmt { kind: StmtKind::Expr(last), .. }) if std::ptr::eq(last, expr));
        decl.result.as_ref().filter(|_| is_last).map(|ty| ty.span)
    }

    /// The text at a place, shortened if it is long.
    pub fn excerpt(&self, span: Span) -> String {
        const LONGEST: usize = 40;
        let text = self.sources.text(span);
        match text.char_indices().find(|(at, c)| *c == '\n' || *at >= LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_string(),
        }
    }

    fn expr_stmt(&mut self, expr: &'a ast::Expr) -> R<()> {
        match self.top().kind {
            FrameKind::Every => self.every_stmt(expr),
            FrameKind::Test
            | FrameKind::Fn(_)
            | FrameKind::Step
            | FrameKind::Update
            | FrameKind::Grad
            | FrameKind::File
            | FrameKind::Bindings
            | FrameKind::OptimizerArgs => match self.expr(expr)? {
                Value::Nothing => Ok(()),
                value => {
                    let shown = self.show_value(&value);
                    let error = Diagnostic::error(Code::E0121, expr.span, "the value of this expression is not used")
                        .label(shown);
                    let error = match self.is_meant_as_result(expr) {
                        Some(ty) => error.also(ty, "a value of this type is to be returned").help(format!(
                            "a function returns what stands behind `return`: `return {}`",
                            self.excerpt(expr.span)
                        )),
                        None if matches!(value, Value::List(_)) => error
                            .note("a list does not change: `append` gives a longer one")
                            .help("give it the name again: `xs = append(xs, x)`"),
                        None => error.help("bind it to a name, or `return` it"),
                    };
                    Err(self.tell(error))
                }
            },
        }
    }
}
