//! Items, and the members of layers, optimizers and train blocks.

use super::node::{Children, Node};
use super::{Cx, exprs, lost, stmts, types};
use crate::ast::{
    Attr, Bind, Block, Const, Every, Expr, Extern, Fn, Grad, Import, Item, Layer, Member, Module, Optimizer, Param,
    Period, Step, Tensor, Test, Train, Type,
};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::explain::{self, Place};
use crate::grammar::{ITEM_WORDS, Rule};
use crate::layout::{Body, Line, Segment, first_word};
use crate::span::Span;

/// The items of a file. After a line that is none, lines without a block are passed over in silence
/// up to the next that begins like an item: they are most likely what it was to contain.
pub fn items(cx: &mut Cx, lines: &[Line]) -> Module {
    let mut module = Module::default();
    let mut lost = false;
    for line in lines {
        if lost && !line.broken && !starts_anew(cx, line) {
            continue;
        }
        let item = item(cx, line);
        lost = item.is_none();
        if lost {
            module.lost.extend(lost::item(cx, line));
        }
        module.items.extend(item);
    }
    module
}

/// The imports among the lines of a file.
pub fn imports(cx: &mut Cx, lines: &[Line]) -> Vec<Import> {
    let mut found = Vec::new();
    for line in lines.iter().filter(|line| !line.broken) {
        let Some(segment) = line.segments.first() else { continue };
        if first_word(cx.segment_text(segment)) == "import"
            && let Some(Item::Import(import)) = item(cx, line)
        {
            found.push(import);
        }
    }
    found
}

fn starts_anew(cx: &Cx, line: &Line) -> bool {
    let has_block = |segment: &Segment| segment.body.as_ref().is_some_and(|body| !body.follows_colon);
    // `from` begins an import of Python.
    let begins = |word: &str| ITEM_WORDS.contains(&word) || word == "from";
    line.segments.iter().any(|segment| has_block(segment) || begins(first_word(cx.segment_text(segment))))
}

fn item(cx: &mut Cx, line: &Line) -> Option<Item> {
    let (first, rest) = line.segments.split_first()?;
    let node = if line.broken { None } else { cx.read(Place::Item, first) };
    let Some(node) = node else {
        read_blocks_of(cx, line, Place::Item);
        return None;
    };
    report_stray_else(cx, rest);
    let body = first.body.as_ref();
    let form = node.child();
    Some(match form.rule() {
        Rule::import => Item::Import(import(form)),
        Rule::const_item => Item::Const(constant(cx, form)),
        Rule::extern_item => Item::Extern(external(cx, form)),
        Rule::grad_head => Item::Grad(grad(cx, form.child(), body)),
        Rule::optimizer_head => Item::Optimizer(optimizer(cx, form.child(), body)),
        Rule::train_head => Item::Train(train(cx, form.child(), body)),
        Rule::test_head => Item::Test(test(cx, form.child(), body)),
        _ => attributed(cx, form, body),
    })
}

fn import(node: Node) -> Import {
    let span = node.span();
    let mut parts = node.children();
    let path = parts.one();
    let path_span = path.span();
    let text = match path.rule() {
        Rule::string => path.unquoted().to_owned(),
        _ => path.children().map(|word| word.text()).collect::<Vec<_>>().join("."),
    };
    Import { path: text.into(), path_span, alias: parts.next().map(|alias| alias.name()), span }
}

fn constant(cx: &mut Cx, node: Node) -> Const {
    let span = node.span();
    let mut parts = node.children();
    let name = parts.expect(Rule::name).name();
    let ty = parts.maybe(Rule::annotation).map(|part| types::inner(cx, part));
    Const { name, ty, value: exprs::expr(cx, parts.expect(Rule::expr)), span }
}

fn external(cx: &mut Cx, node: Node) -> Extern {
    let span = node.span();
    let mut parts = node.children();
    parts.expect(Rule::kw_fn);
    let name = parts.expect(Rule::name).name();
    let params = params(cx, parts.expect(Rule::params));
    let result = result(cx, &mut parts);
    let symbol = parts.expect(Rule::string);
    let (symbol_span, symbol) = (symbol.span(), symbol.unquoted().into());
    let grad = parts.maybe(Rule::gradient).map(|part| part.child().name());
    let signature = Span { hi: symbol_span.lo, ..span };
    let body = Block { stmts: Vec::new(), span: signature };
    let (attrs, requires) = (Vec::new(), Vec::new());
    let head = Fn { attrs, name, params, result, requires, body, span: signature };
    Extern { head, symbol, symbol_span, grad, span }
}

fn grad(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Grad {
    let span = signature.span();
    let mut parts = signature.children();
    let name = parts.expect(Rule::name).name();
    let params = params(cx, parts.expect(Rule::params));
    Grad { name, params, body: stmts::block(cx, body, span), span }
}

fn optimizer(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Optimizer {
    let span = signature.span();
    let mut parts = signature.children();
    let name = parts.expect(Rule::name).name();
    let params = params(cx, parts.expect(Rule::params));
    Optimizer { name, params, members: members(cx, Container::Optimizer, body).members, span }
}

fn train(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Train {
    let span = signature.span();
    let name = signature.child().name();
    let Members { members, steps, every, lost } = members(cx, Container::Train, body);
    Train { name, members, steps, every, lost, span }
}

fn test(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Test {
    let span = signature.span();
    let title = signature.child().unquoted().into();
    Test { title, body: stmts::block(cx, body, span), span }
}

fn attributed(cx: &mut Cx, node: Node, body: Option<&Body>) -> Item {
    let mut parts = node.children();
    let attrs = stmts::attrs(&mut parts);
    match parts.maybe(Rule::fn_head) {
        Some(head) => Item::Fn(function(cx, attrs, head.child(), body)),
        None => Item::Layer(layer(cx, attrs, parts.expect(Rule::layer_head), body)),
    }
}

fn function(cx: &mut Cx, attrs: Vec<Attr>, signature: Node, body: Option<&Body>) -> Fn {
    let span = signature.span();
    let mut parts = signature.children();
    parts.expect(Rule::kw_fn);
    let name = parts.expect(Rule::name).name();
    if &*name.text == "__init__" {
        cx.report(explain::no_constructor(name.span));
    }
    let params = params(cx, parts.expect(Rule::params));
    let result = result(cx, &mut parts);
    let requires = requires(cx, &mut parts);
    Fn { attrs, name, params, result, requires, body: stmts::block(cx, body, span), span }
}

fn layer(cx: &mut Cx, attrs: Vec<Attr>, head: Node, body: Option<&Body>) -> Layer {
    let mut parts = head.children();
    let signature = parts.expect(Rule::layer_signature);
    let span = signature.span();
    let mut words = signature.children();
    let is_model = words.one().rule() == Rule::kw_model;
    let name = words.expect(Rule::name).name();
    let params = parts.maybe(Rule::params).map_or_else(Vec::new, |part| params(cx, part));
    let requires = requires(cx, &mut parts);
    Layer { attrs, is_model, name, params, requires, members: members(cx, Container::Layer, body).members, span }
}

// ---- parts of signatures

fn params(cx: &mut Cx, node: Node) -> Vec<Param> {
    node.children().map(|part| param(cx, part)).collect()
}

fn param(cx: &mut Cx, node: Node) -> Param {
    let span = node.span();
    let (name, ty, default) = typed(cx, node.children());
    Param { name, ty, default, span }
}

/// `name: type = value`
fn typed(cx: &mut Cx, mut parts: Children) -> (crate::ast::Name, Type, Option<Expr>) {
    let name = parts.expect(Rule::name).name();
    let ty = types::ty(cx, parts.expect(Rule::r#type));
    (name, ty, parts.maybe(Rule::expr).map(|value| exprs::expr(cx, value)))
}

fn result(cx: &mut Cx, parts: &mut Children) -> Option<Type> {
    parts.maybe(Rule::result).map(|part| types::inner(cx, part))
}

fn requires(cx: &mut Cx, parts: &mut Children) -> Vec<Expr> {
    parts.maybe(Rule::requires).map_or_else(Vec::new, |part| exprs::exprs(cx, part))
}

// ---- members

/// What has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Layer,
    Optimizer,
    Train,
}

#[derive(Default)]
struct Members {
    members: Vec<Member>,
    steps: Vec<Step>,
    every: Vec<Every>,
    /// Whether a line could not be read.
    lost: bool,
}

fn members(cx: &mut Cx, container: Container, body: Option<&Body>) -> Members {
    let mut members = Members::default();
    for line in body.map_or(&[][..], |body| &body.lines) {
        member(cx, container, line, &mut members);
    }
    members
}

fn member(cx: &mut Cx, container: Container, line: &Line, out: &mut Members) {
    let Some((first, rest)) = line.segments.split_first() else { return };
    let is_loop = container == Container::Train && first_word(cx.segment_text(first)) == "for";
    if is_loop {
        let span = Span::new(cx.file, first.lo, first.lo + "for".len());
        let title = "a train block is itself the loop over epochs and batches";
        let message = Diagnostic::error(Code::E0001, span, title)
            .help("`epochs = 10`, and what is done with a batch: `step(x: f32[B, 4], y: i32[B]) { … }`");
        cx.report(message);
    }
    let node = if line.broken || is_loop { None } else { cx.read(Place::Member, first) };
    let Some(node) = node else {
        out.lost = true;
        out.members.extend(lost::member(cx, line));
        return read_blocks_of(cx, line, Place::Member);
    };
    report_stray_else(cx, rest);
    let form = node.child();
    check_container(cx, container, &form);
    let body = first.body.as_ref();
    match form.rule() {
        Rule::tensor => out.members.push(tensor(cx, form)),
        Rule::step_head => out.steps.push(step(cx, form.child(), body)),
        Rule::every_head => out.every.push(every(cx, form.child(), body)),
        Rule::bind => out.members.push(Member::Bind(bind(cx, form))),
        _ => {
            let mut parts = form.children();
            let attrs = stmts::attrs(&mut parts);
            let head = parts.expect(Rule::fn_head);
            out.members.push(Member::Fn(function(cx, attrs, head.child(), body)));
        }
    }
}

fn check_container(cx: &mut Cx, container: Container, form: &Node) {
    let word = first_word(form.text());
    let allowed = match form.rule() {
        Rule::tensor if word == "param" => container == Container::Layer,
        Rule::step_head | Rule::every_head => container == Container::Train,
        Rule::bind => container != Container::Optimizer,
        _ => true,
    };
    if allowed {
        return;
    }
    let (title, help) = match form.rule() {
        Rule::tensor => ("`param` stands in a layer", "a train block and an optimizer have `state`"),
        Rule::bind => {
            ("an optimizer has only `state` and `fn`", "compute the value in `update`, or make it an argument")
        }
        _ => ("`step` and `every` stand in a train block", "a layer's functions are `fn`"),
    };
    cx.report(Diagnostic::error(Code::E0001, form.span(), title).help(help));
}

fn tensor(cx: &mut Cx, node: Node) -> Member {
    let span = node.span();
    let mut parts = node.children();
    let is_param = parts.one().rule() == Rule::kw_param;
    let (name, ty, init) = typed(cx, parts);
    let tensor = Tensor { name, ty, init, span };
    if is_param { Member::Param(tensor) } else { Member::State(tensor) }
}

fn bind(cx: &mut Cx, node: Node) -> Bind {
    let span = node.span();
    let mut parts = node.children();
    if let Some(left) = parts.maybe(Rule::annotated_name) {
        let mut left = left.children();
        let names = vec![left.expect(Rule::name).name()];
        let ty = types::inner(cx, left.expect(Rule::annotation));
        return Bind { names, ty: Some(ty), value: exprs::expr(cx, parts.expect(Rule::expr)), span };
    }
    let names = exprs::names(parts.expect(Rule::names));
    Bind { names, ty: None, value: exprs::joined(cx, parts.expect(Rule::exprs)), span }
}

fn step(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Step {
    let span = signature.span();
    let params = params(cx, signature.child());
    Step { params, body: stmts::block(cx, body, span), span }
}

fn every(cx: &mut Cx, signature: Node, body: Option<&Body>) -> Every {
    let span = signature.span();
    let mut parts = signature.children();
    let count = exprs::expr(cx, parts.expect(Rule::expr));
    let unit = parts.expect(Rule::period).text();
    let period = if unit.starts_with("step") { Period::Steps } else { Period::Epochs };
    Every { count, period, body: stmts::block(cx, body, span), span }
}

// ---- recovery

/// Reads the blocks of a line that could not be read itself, for the errors in them.
pub fn read_blocks_of(cx: &mut Cx, line: &Line, place: Place) {
    read_blocks(cx, &line.segments, place);
}

/// As [`read_blocks_of`], for a part of a line.
pub fn read_blocks(cx: &mut Cx, segments: &[Segment], place: Place) {
    for segment in segments {
        let word = explain::meant_word(first_word(cx.segment_text(segment)), place);
        let body = segment.body.as_ref().filter(|body| !body.follows_colon);
        let head = Span::new(cx.file, segment.lo, segment.hi);
        match word {
            "layer" | "model" => drop(members(cx, Container::Layer, body)),
            "optimizer" => drop(members(cx, Container::Optimizer, body)),
            "train" => drop(members(cx, Container::Train, body)),
            "fn" | "grad" | "test" | "step" | "every" | "for" | "if" | "else" | "elif" | "while" => {
                drop(stmts::block(cx, body, head));
            }
            _ if cx.segment_text(segment).contains("scan") => drop(stmts::block(cx, body, head)),
            _ => {}
        }
    }
}

/// Reports what follows the block of a line in which nothing can follow.
pub fn report_stray_else(cx: &mut Cx, rest: &[Segment]) {
    let Some(first) = rest.first() else { return };
    let span = Span::new(cx.file, first.lo, first.lo + "else".len());
    cx.report(Diagnostic::error(Code::E0001, span, "`else` without an `if` before it"));
    read_blocks(cx, rest, Place::Statement);
}
