//! Types.

use super::node::Node;
use super::{Cx, exprs};
use crate::ast::{Axis, AxisKind, Expr, ExprKind, Name, Type, TypeKind};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::explain;
use crate::grammar::Rule;

/// A `type`.
pub fn ty(cx: &mut Cx, node: Node) -> Type {
    let span = node.span();
    let form = node.child();
    match form.rule() {
        Rule::kw_fn => Type { kind: TypeKind::Named { name: form.name(), axes: None }, span },
        Rule::named_type => named(cx, form),
        _ => tuple(cx, form),
    }
}

/// The type in a node that has nothing else in it (`-> T`, `: T`).
pub fn inner(cx: &mut Cx, node: Node) -> Type {
    ty(cx, node.child())
}

fn named(cx: &mut Cx, node: Node) -> Type {
    let span = node.span();
    let mut parts = node.children();
    let name = parts.expect(Rule::name).name();
    let axes = parts.maybe(Rule::axes).map(|axes| axes.children().map(|part| axis(cx, part)).collect());
    Type { kind: TypeKind::Named { name, axes }, span }
}

fn tuple(cx: &mut Cx, node: Node) -> Type {
    let span = node.span();
    let mut fields: Vec<(Option<Name>, Type)> = Vec::new();
    let mut variadic: Option<Node> = None;
    for part in node.children() {
        if let Some(dots) = &variadic {
            cx.report(Diagnostic::error(Code::E0001, dots.span(), "`…` stands at the end of a tuple type"));
            break;
        }
        if part.rule() == Rule::variadic {
            variadic = Some(part);
        } else {
            fields.push(field(cx, part));
        }
    }
    match (fields.len(), &variadic) {
        (1, None) if fields[0].0.is_none() => Type { kind: fields.remove(0).1.kind, span },
        _ => Type { kind: TypeKind::Tuple { fields, variadic: variadic.is_some() }, span },
    }
}

fn field(cx: &mut Cx, node: Node) -> (Option<Name>, Type) {
    let mut parts = node.children();
    let name = parts.maybe(Rule::label).map(|label| label.child().name());
    (name, ty(cx, parts.expect(Rule::r#type)))
}

fn axis(cx: &mut Cx, node: Node) -> Axis {
    let span = node.span();
    if let Some(message) = explain::absent_size(node.text().trim(), span) {
        cx.report(message);
        return Axis { kind: AxisKind::Size(Expr { kind: ExprKind::Error, span }), label: None, span };
    }
    let mut parts = node.children();
    if let Some(pack) = parts.maybe(Rule::pack) {
        let name = pack.child().name();
        let kind = if &*name.text == "_" { AxisKind::HolePack } else { AxisKind::Pack(name) };
        return Axis { kind, label: None, span };
    }
    let label = parts.maybe(Rule::label).map(|label| label.child().name());
    let kind = match parts.maybe(Rule::hole) {
        Some(_) => AxisKind::Hole,
        None => AxisKind::Size(exprs::expr(cx, parts.expect(Rule::expr))),
    };
    Axis { kind, label, span }
}
