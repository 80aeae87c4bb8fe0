//! Statements and blocks.

use super::node::{Children, Node};
use super::{Cx, exprs, items, lost, types};
use crate::ast::{Attr, BinaryOp, Block, Expr, ExprKind, Name, Scan, Stmt, StmtKind};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::explain::{self, Place};
use crate::grammar::Rule;
use crate::layout::{Body, Line, Segment};
use crate::span::Span;

/// The statements between braces; `head` is the place to show if there are no braces.
pub fn block(cx: &mut Cx, body: Option<&Body>, head: Span) -> Block {
    let Some(body) = body else { return Block { stmts: Vec::new(), span: head } };
    let stmts = body.lines.iter().filter_map(|line| statement(cx, line)).collect();
    Block { stmts, span: Span::new(cx.file, body.lo, body.hi) }
}

fn statement(cx: &mut Cx, line: &Line) -> Option<Stmt> {
    let (first, rest) = line.segments.split_first()?;
    let node = if line.broken { None } else { cx.read(Place::Statement, first) };
    let Some(node) = node else {
        items::read_blocks_of(cx, line, Place::Statement);
        return lost::statement(cx, line);
    };
    let form = node.child();
    if form.rule() == Rule::if_head {
        return Some(if_stmt(cx, form, first, rest));
    }
    items::report_stray_else(cx, rest);
    let body = first.body.as_ref();
    let span = form.span();
    let kind = match form.rule() {
        Rule::for_head => return Some(for_stmt(cx, form.child(), body)),
        Rule::return_stmt => StmtKind::Return(optional_exprs(cx, form)),
        Rule::yield_stmt => StmtKind::Yield(optional_exprs(cx, form)),
        Rule::minimize_stmt => minimize(cx, form),
        Rule::metric_stmt => metric(cx, form),
        Rule::assert_stmt => assertion(cx, form),
        Rule::annotated => annotated(cx, form, body),
        _ => return assign(cx, form, body),
    };
    Some(Stmt { kind, span })
}

fn optional_exprs(cx: &mut Cx, node: Node) -> Vec<Expr> {
    node.children().maybe(Rule::exprs).map_or_else(Vec::new, |part| exprs::exprs(cx, part))
}

fn minimize(cx: &mut Cx, node: Node) -> StmtKind {
    let mut parts = node.children();
    let loss = exprs::expr(cx, parts.expect(Rule::expr));
    let over = exprs::expr(cx, parts.expect(Rule::expr));
    let with = exprs::expr(cx, parts.expect(Rule::expr));
    StmtKind::Minimize { loss, over, with }
}

fn metric(cx: &mut Cx, node: Node) -> StmtKind {
    let mut parts = node.children();
    let name = parts.expect(Rule::name).name();
    StmtKind::Metric { name, value: exprs::expr(cx, parts.expect(Rule::expr)) }
}

fn assertion(cx: &mut Cx, node: Node) -> StmtKind {
    let mut parts = node.children();
    let condition = exprs::expr(cx, parts.expect(Rule::expr));
    StmtKind::Assert { condition, message: parts.maybe(Rule::string).map(|text| text.unquoted().into()) }
}

fn annotated(cx: &mut Cx, node: Node, body: Option<&Body>) -> StmtKind {
    let mut parts = node.children();
    let mut left = parts.expect(Rule::annotated_name).children();
    let name = left.expect(Rule::name).name();
    let ty = types::inner(cx, left.expect(Rule::annotation));
    let value = match parts.maybe(Rule::scan_head) {
        Some(head) => scan(cx, head, body),
        None => exprs::expr(cx, parts.expect(Rule::expr)),
    };
    StmtKind::Annotated { name, ty, value }
}

// ---- blocks

/// The `@name`s at the beginning of `parts`.
pub fn attrs(parts: &mut Children) -> Vec<Attr> {
    std::iter::from_fn(|| parts.maybe(Rule::attr)).map(|attr| Attr { name: attr.child().name() }).collect()
}

fn for_stmt(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Stmt {
    let span = signature.span();
    let mut parts = signature.children();
    let attrs = attrs(&mut parts);
    let names = exprs::names(parts.expect(Rule::names));
    let iterables = exprs::exprs(cx, parts.expect(Rule::exprs));
    let condition = parts.maybe(Rule::while_part).map(|part| exprs::inner(cx, part));
    let body = block(cx, body, span);
    Stmt { kind: StmtKind::For { attrs, names, iterables, condition, body }, span }
}

fn if_stmt(cx: &mut Cx, head: Node, segment: &Segment, rest: &[Segment]) -> Stmt {
    let signature = head.child();
    let span = signature.span();
    let condition = exprs::pipe(cx, signature.child());
    let then = block(cx, segment.body.as_ref(), span);
    let otherwise = otherwise(cx, rest);
    Stmt { kind: StmtKind::If { condition, then, otherwise }, span }
}

/// What follows the first block of an `if`. As deep as there are `else if`s, which the layout limits.
fn otherwise(cx: &mut Cx, segments: &[Segment]) -> Option<Block> {
    let (first, rest) = segments.split_first()?;
    let Some(node) = cx.read(Place::Else, first) else {
        items::read_blocks(cx, segments, Place::Statement);
        return None;
    };
    let span = node.span();
    let Some(head) = node.children().maybe(Rule::if_head) else {
        items::report_stray_else(cx, rest);
        return Some(block(cx, first.body.as_ref(), span));
    };
    let inner = if_stmt(cx, head, first, rest);
    let last = segments.iter().filter_map(|segment| segment.body.as_ref()).next_back();
    let span = last.map_or(inner.span, |body| inner.span.to(Span::new(cx.file, body.lo, body.hi)));
    Some(Block { stmts: vec![inner], span })
}

fn scan(cx: &mut Cx, head: Node, body: Option<&Body>) -> Expr {
    let signature = head.child();
    let span = signature.span();
    let mut parts = signature.children();
    let carries = parts.maybe(Rule::carries).map_or_else(Vec::new, |part| carries(cx, part));
    let names = exprs::names(parts.expect(Rule::names));
    let iterables = exprs::exprs(cx, parts.expect(Rule::exprs));
    let along = exprs::along(cx, parts.expect(Rule::along));
    let body = block(cx, body, span);
    Expr { kind: ExprKind::Scan(Box::new(Scan { carries, names, iterables, along, body })), span }
}

fn carries(cx: &mut Cx, node: Node) -> Vec<(Name, Expr)> {
    let carry = |part: Node| {
        let mut parts = part.children();
        let name = parts.expect(Rule::name).name();
        (name, exprs::expr(cx, parts.expect(Rule::expr)))
    };
    node.children().map(carry).collect()
}

// ---- assignments

fn assign(cx: &mut Cx, node: Node, body: Option<&Body>) -> Option<Stmt> {
    let span = node.span();
    let mut parts = node.children();
    let mut left = exprs::exprs(cx, parts.expect(Rule::exprs));
    let compound = parts.maybe(Rule::compound);
    let op = compound.as_ref().and_then(|sign| compound_op(sign.text()));
    let values = match (parts.maybe(Rule::scan_head), parts.maybe(Rule::exprs)) {
        (Some(head), _) => vec![scan(cx, head, body)],
        (None, Some(right)) => exprs::exprs(cx, right),
        (None, None) if left.len() == 1 => {
            let only = left.remove(0);
            return lone_expression(cx, only, span);
        }
        (None, None) => {
            cx.report(explain::unused_values(span));
            return None;
        }
    };
    if check_targets(cx, &left, compound).is_none() {
        return op.is_none().then(|| names_without_values(left, span));
    }
    Some(Stmt { kind: StmtKind::Assign { targets: left, op, values }, span })
}

/// What a refused assignment was to bind: its names, so that they are not told to be unknown.
fn names_without_values(targets: Vec<Expr>, span: Span) -> Stmt {
    let mut names = Vec::new();
    let mut rest = targets;
    while let Some(target) = rest.pop() {
        match target.kind {
            ExprKind::Name(_) => names.push(target),
            ExprKind::Tuple(parts) | ExprKind::List(parts) => rest.extend(parts),
            _ => {}
        }
    }
    let values = vec![Expr { kind: ExprKind::Error, span }];
    Stmt { kind: StmtKind::Assign { targets: names, op: None, values }, span }
}

fn lone_expression(cx: &mut Cx, only: Expr, span: Span) -> Option<Stmt> {
    if let ExprKind::Name(word) = &only.kind
        && let Some(message) = explain::foreign_statement(word, span)
    {
        cx.report(message);
        return None;
    }
    Some(Stmt { kind: StmtKind::Expr(only), span })
}

fn compound_op(sign: &str) -> Option<BinaryOp> {
    match sign {
        "+=" => Some(BinaryOp::Add),
        "-=" => Some(BinaryOp::Sub),
        "*=" => Some(BinaryOp::Mul),
        "/=" => Some(BinaryOp::Div),
        _ => None,
    }
}

/// Only names, `_` and indexed names can be assigned; `None` after reporting.
fn check_targets(cx: &mut Cx, targets: &[Expr], compound: Option<Node>) -> Option<()> {
    if let (Some(sign), [_, second, ..]) = (&compound, targets) {
        let title = format!("`{}` changes one value at a time", sign.text());
        cx.report(Diagnostic::error(Code::E0001, second.span, title).help("write one statement for each"));
        return None;
    }
    for target in targets {
        if let Some(help) = refused_target(&target.kind) {
            let message = Diagnostic::error(Code::E0001, target.span, "only names and indexed names can be assigned");
            cx.report(match names_without_brackets(targets) {
                Some(names) => message.help(format!("several names stand without parentheses: `{names} = …`")),
                None => message.help(help),
            });
            return None;
        }
    }
    let has_error = targets.iter().any(|target| matches!(target.kind, ExprKind::Error));
    (!has_error).then_some(())
}

/// `a, (b, c)` as `a, b, c`, if there is nothing but names.
fn names_without_brackets(targets: &[Expr]) -> Option<String> {
    let mut names = Vec::new();
    for target in targets {
        match &target.kind {
            ExprKind::Name(name) => names.push(name.to_string()),
            ExprKind::Tuple(parts) => names.push(names_without_brackets(parts)?),
            _ => return None,
        }
    }
    Some(names.join(", "))
}

/// Why `target` cannot be assigned, as a way out.
fn refused_target(target: &ExprKind) -> Option<&'static str> {
    match target {
        ExprKind::Name(_) | ExprKind::Error => None,
        ExprKind::Index { base, .. } => match base.kind {
            ExprKind::Name(_) => None,
            ExprKind::Index { .. } => Some("put all indices into one pair of brackets: `x[i, j] = v`"),
            _ => Some("bind the value to a name first"),
        },
        ExprKind::Tuple(_) => Some("bind each of its parts to a name of its own"),
        ExprKind::Field { .. } => Some("a member is changed by the layer it belongs to, as `state`"),
        ExprKind::Binary { .. } => Some("a comparison is written `==`"),
        _ => Some("the left side of `=` is a name, `_` or `x[…]`"),
    }
}
