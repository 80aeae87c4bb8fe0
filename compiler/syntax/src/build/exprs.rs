//! Expressions.

use super::Cx;
use super::node::{Children, Node};
use crate::ast::{Arg, BinaryOp, Expr, ExprKind, Index, Name, UnaryOp};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::explain;
use crate::grammar::{PRATT, Rule};
use crate::span::Span;
use pest::iterators::Pairs;

/// An `expr`.
pub fn expr(cx: &mut Cx, node: Node) -> Expr {
    let span = node.span();
    let form = node.child();
    if form.rule() == Rule::pipe {
        return pipe(cx, form);
    }
    let mut parts = form.children();
    let condition = Box::new(pipe(cx, parts.expect(Rule::pipe)));
    let then = Box::new(pipe(cx, parts.expect(Rule::pipe)));
    let otherwise = Box::new(expr(cx, parts.expect(Rule::expr)));
    Expr { kind: ExprKind::If { condition, then, otherwise }, span }
}

/// The expressions of an `exprs`.
pub fn exprs(cx: &mut Cx, node: Node) -> Vec<Expr> {
    node.children().map(|part| expr(cx, part)).collect()
}

/// The expression in a node that has nothing else in it.
pub fn inner(cx: &mut Cx, node: Node) -> Expr {
    expr(cx, node.child())
}

/// The expressions of an `exprs` as one: a tuple if there are several.
pub fn joined(cx: &mut Cx, node: Node) -> Expr {
    let span = node.span();
    one_or_tuple(exprs(cx, node), span)
}

/// A tuple of one is its element.
fn one_or_tuple(mut values: Vec<Expr>, span: Span) -> Expr {
    match values.pop() {
        Some(only) if values.is_empty() => Expr { kind: only.kind, span },
        Some(last) => {
            values.push(last);
            Expr { kind: ExprKind::Tuple(values), span }
        }
        None => Expr { kind: ExprKind::Tuple(values), span },
    }
}

/// The names of a `names`.
pub fn names(node: Node) -> Vec<Name> {
    node.children().map(|part| part.name()).collect()
}

/// A `pipe`: `x |> f |> g(a)`.
pub fn pipe(cx: &mut Cx, node: Node) -> Expr {
    let mut parts = node.children();
    let mut value = ops(cx, parts.expect(Rule::ops));
    for target in parts {
        value = piped(value, postfix(cx, target));
    }
    value
}

fn piped(value: Expr, target: Expr) -> Expr {
    let span = value.span.to(target.span);
    let first = Arg { name: None, value };
    let (callee, args) = match target.kind {
        ExprKind::Call { callee, mut args, .. } => {
            args.insert(0, first);
            (callee, args)
        }
        _ => (Box::new(target), vec![first]),
    };
    Expr { kind: ExprKind::Call { callee, args, piped: true }, span }
}

// ---- operators

fn ops(cx: &mut Cx, node: Node) -> Expr {
    let span = node.span();
    let (pairs, origin) = node.into_pairs();
    if let Some((first, second)) = chained_comparison(pairs.clone()) {
        return chain_error(cx, Node::new(first, origin).span(), Node::new(second, origin).span(), span);
    }
    if pairs.len() == 1 {
        return pairs
            .map(|pair| Node::new(pair, origin))
            .map(|only| postfix(cx, only))
            .next()
            .unwrap_or(Expr { kind: ExprKind::Error, span });
    }
    PRATT
        .map_primary(|pair| postfix(cx, Node::new(pair, origin)))
        .map_prefix(|op, operand| prefix(Node::new(op, origin), operand))
        .map_postfix(|operand, dots| open_range(operand, Node::new(dots, origin)))
        .map_infix(|left, op, right| infix(left, Node::new(op, origin), right))
        .parse(pairs)
}

type Pair<'t> = pest::iterators::Pair<'t, Rule>;

/// The first two comparisons without `and` or `or` between them.
fn chained_comparison<'t>(pairs: Pairs<'t, Rule>) -> Option<(Pair<'t>, Pair<'t>)> {
    let mut before = None;
    for pair in pairs {
        match pair.as_rule() {
            Rule::op_and | Rule::op_or => before = None,
            rule if comparison(rule) => match before {
                Some(first) => return Some((first, pair)),
                None => before = Some(pair),
            },
            _ => {}
        }
    }
    None
}

fn comparison(rule: Rule) -> bool {
    matches!(rule, Rule::op_eq | Rule::op_ne | Rule::op_lt | Rule::op_le | Rule::op_gt | Rule::op_ge)
}

fn chain_error(cx: &mut Cx, first: Span, second: Span, span: Span) -> Expr {
    let message = Diagnostic::error(Code::E0001, second, "comparisons do not chain")
        .also(first, "the first comparison")
        .help("join two comparisons with `and`: `a < b and b < c`");
    cx.report(message);
    Expr { kind: ExprKind::Error, span }
}

fn prefix(op: Node, operand: Expr) -> Expr {
    let span = op.span().to(operand.span);
    let op = if op.rule() == Rule::op_not { UnaryOp::Not } else { UnaryOp::Neg };
    Expr { kind: ExprKind::Unary { op, operand: Box::new(operand) }, span }
}

/// `a..` reaches to infinity.
fn open_range(start: Expr, dots: Node) -> Expr {
    let span = start.span.to(dots.span());
    let end = Expr { kind: ExprKind::Name("inf".into()), span: Span { lo: span.hi, ..span } };
    Expr { kind: ExprKind::Range { start: Box::new(start), end: Box::new(end) }, span }
}

fn infix(left: Expr, op: Node, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    let (left, right) = (Box::new(left), Box::new(right));
    let kind = match binary_op(op.rule()) {
        Some(binary) => ExprKind::Binary { op: binary, op_span: op.span(), left, right },
        None => ExprKind::Range { start: left, end: right },
    };
    Expr { kind, span }
}

/// The operator of a rule; `..` is none.
fn binary_op(rule: Rule) -> Option<BinaryOp> {
    Some(match rule {
        Rule::op_or => BinaryOp::Or,
        Rule::op_and => BinaryOp::And,
        Rule::op_eq => BinaryOp::Eq,
        Rule::op_ne => BinaryOp::Ne,
        Rule::op_lt => BinaryOp::Lt,
        Rule::op_le => BinaryOp::Le,
        Rule::op_gt => BinaryOp::Gt,
        Rule::op_ge => BinaryOp::Ge,
        Rule::op_add => BinaryOp::Add,
        Rule::op_sub => BinaryOp::Sub,
        Rule::op_mul => BinaryOp::Mul,
        Rule::op_div => BinaryOp::Div,
        Rule::op_rem => BinaryOp::Rem,
        Rule::op_mat => BinaryOp::MatMul,
        Rule::op_pow => BinaryOp::Pow,
        _ => return None,
    })
}

// ---- calls, indices, fields

fn postfix(cx: &mut Cx, node: Node) -> Expr {
    let mut parts = node.children();
    let first = parts.one();
    let mut value = atom(cx, first);
    for part in parts {
        value = match part.rule() {
            Rule::call => call(cx, value, part),
            Rule::index => index(cx, value, part),
            _ => field(cx, value, part),
        };
    }
    value
}

fn call(cx: &mut Cx, callee: Expr, node: Node) -> Expr {
    let span = callee.span.to(node.span());
    let args = node.children().map(|part| arg(cx, part.child())).collect();
    Expr { kind: ExprKind::Call { callee: Box::new(callee), args, piped: false }, span }
}

/// A longer value is not repeated in a help.
const LONGEST_SHOWN: usize = 40;

fn arg(cx: &mut Cx, form: Node) -> Arg {
    if form.rule() == Rule::expr {
        return Arg { name: None, value: expr(cx, form) };
    }
    let with_equals = form.rule() == Rule::equals_arg;
    let mut parts = form.children();
    let name = parts.expect(Rule::word).name();
    let value = parts.expect(Rule::expr);
    let written = value.text().trim();
    let value = expr(cx, value);
    if with_equals {
        let place = name.span.to(value.span);
        let message = Diagnostic::error(Code::E0008, place, "arguments are named with `:`").help(
            match written.len() <= LONGEST_SHOWN && !written.contains('\n') {
                true => format!("write `{}: {written}`", name.text),
                false => format!("write `{}: …`", name.text),
            },
        );
        cx.report(message);
    }
    Arg { name: Some(name), value }
}

fn index(cx: &mut Cx, base: Expr, node: Node) -> Expr {
    let span = base.span.to(node.span());
    let indices = node.children().map(|part| entry(cx, part)).collect();
    Expr { kind: ExprKind::Index { base: Box::new(base), indices }, span }
}

fn entry(cx: &mut Cx, node: Node) -> Index {
    let span = node.span();
    let text = node.text().trim();
    let mut parts = node.children();
    if parts.maybe(Rule::ellipsis).is_some() {
        return Index::Ellipsis(span);
    }
    if parts.maybe(Rule::kw_new).is_some() {
        return Index::New(span);
    }
    if let Some(message) = explain::absent_index(text, span) {
        cx.report(message);
        return Index::New(span);
    }
    let start = parts.maybe(Rule::expr).map(|start| expr(cx, start));
    match (start, parts.maybe(Rule::slice_tail)) {
        (Some(at), None) => Index::At(at),
        (start, tail) => slice(cx, start, tail.map(Node::children), span),
    }
}

fn slice(cx: &mut Cx, start: Option<Expr>, tail: Option<Children>, span: Span) -> Index {
    let (mut end, mut step) = (None, None);
    if let Some(mut parts) = tail {
        end = parts.maybe(Rule::slice_end).map(|part| inner(cx, part));
        step = parts.maybe(Rule::slice_step).map(|part| inner(cx, part));
    }
    Index::Slice { start, end, step, span }
}

fn field(cx: &mut Cx, base: Expr, node: Node) -> Expr {
    let span = base.span.to(node.span());
    let name = node.child().name();
    match &base.kind {
        ExprKind::Name(word) if &**word == "self" => {
            let message = Diagnostic::error(Code::E0007, base.span, "there is no `self`")
                .help(format!("a layer's functions name its members directly: `{}`", name.text));
            cx.report(message);
            Expr { kind: ExprKind::Error, span }
        }
        ExprKind::Int(_) | ExprKind::Float(_) => {
            cx.report(explain::digits_behind_point(span));
            Expr { kind: ExprKind::Error, span }
        }
        _ => Expr { kind: ExprKind::Field { base: Box::new(base), name }, span },
    }
}

// ---- atoms

fn atom(cx: &mut Cx, node: Node) -> Expr {
    let span = node.span();
    let kind = match node.rule() {
        Rule::number => number(cx, node.text(), span),
        Rule::string => ExprKind::Str(node.unquoted().into()),
        Rule::boolean => ExprKind::Bool(node.text() == "true"),
        Rule::tuple => one_or_tuple(exprs(cx, node), span).kind,
        Rule::list => list(cx, node),
        _ => word(cx, node.text(), span),
    };
    Expr { kind, span }
}

fn word(cx: &mut Cx, text: &str, span: Span) -> ExprKind {
    match explain::foreign_value(text, span) {
        Some(message) => {
            cx.report(message);
            ExprKind::Error
        }
        None => ExprKind::Name(text.into()),
    }
}

fn number(cx: &mut Cx, text: &str, span: Span) -> ExprKind {
    let digits = text.replace('_', "");
    let is_float = digits.contains(['.', 'e', 'E']);
    let float = digits.parse::<f64>().ok().filter(|value| is_float && value.is_finite());
    let int = digits.parse::<i64>().ok();
    match (float, int) {
        (Some(value), _) => ExprKind::Float(value),
        (None, Some(value)) => ExprKind::Int(value),
        (None, None) => {
            let limit = if is_float { "f64" } else { "i64" };
            let title = format!("this number is too large: no {limit} holds it");
            cx.report(Diagnostic::error(Code::E0006, span, title));
            ExprKind::Error
        }
    }
}

fn list(cx: &mut Cx, node: Node) -> ExprKind {
    let mut elements = Vec::new();
    let mut tail = None;
    for part in node.children() {
        match part.rule() {
            Rule::element => elements.push(element(cx, part.child())),
            _ => tail = Some(part),
        }
    }
    match (tail, elements.pop()) {
        (Some(tail), Some(value)) => repeated(cx, value, tail),
        (_, Some(last)) => {
            elements.push(last);
            ExprKind::List(elements)
        }
        (_, None) => ExprKind::List(elements),
    }
}

fn element(cx: &mut Cx, form: Node) -> Expr {
    if form.rule() == Rule::expr {
        return expr(cx, form);
    }
    let span = form.span();
    let pack = postfix(cx, form.child());
    Expr { kind: ExprKind::Splice(Box::new(pack)), span }
}

/// `[value; n]` or `[value for names in xs]`.
fn repeated(cx: &mut Cx, value: Expr, tail: Node) -> ExprKind {
    if matches!(value.kind, ExprKind::Splice(_)) {
        let title = "a pack is spliced into a list of sizes, not repeated";
        cx.report(Diagnostic::error(Code::E0001, value.span, title));
    }
    let value = Box::new(value);
    let is_stack = tail.rule() == Rule::stack_tail;
    let mut parts = tail.children();
    if is_stack {
        return ExprKind::Stack { value, count: Box::new(expr(cx, parts.expect(Rule::expr))) };
    }
    let names = names(parts.expect(Rule::names));
    ExprKind::Comprehension { value, names, iterable: Box::new(expr(cx, parts.expect(Rule::expr))) }
}

/// What stands after `along`: a name or a whole number.
pub fn along(cx: &mut Cx, node: Node) -> Expr {
    let span = node.span();
    let mut parts = node.children();
    let sign = parts.maybe(Rule::op_neg);
    let last = parts.one();
    let value = atom(cx, last);
    match sign {
        Some(sign) => prefix(sign, value),
        None => Expr { kind: value.kind, span },
    }
}
