//! Functions that call themselves and layers that contain themselves, in code that no entry reaches:
//! evaluation tells of the others. Only what is called by its name counts, and only where it stands
//! outside of every `if`, which may end the descent.

use crate::cx::Cx;
use crate::imports::Source;
use crate::members::Members;
use crate::scope::Item;
use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A function or layer, and what it calls.
struct Unit<'a> {
    name: &'a ast::Name,
    is_layer: bool,
    calls: Vec<(Key, Span)>,
}

/// A declaration by the place of its name.
type Key = Span;

/// How far the search from a unit is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Underway,
    Done,
}

impl<'a> Cx<'a> {
    /// Reports the recursion that evaluation has not met.
    pub fn report_recursion(&mut self, sources: &[Source<'a>]) {
        let mut units = BTreeMap::new();
        for source in sources {
            for item in &source.module.items {
                match item {
                    ast::Item::Fn(decl) => self.add_fn(decl, source.file, &Members::default(), &mut units),
                    ast::Item::Layer(layer) => self.add_layer(layer, source.file, &mut units),
                    _ => {}
                }
            }
        }
        let mut visits: BTreeMap<Key, Visit> = BTreeMap::new();
        let keys: Vec<Key> = units.keys().copied().collect();
        for key in keys {
            self.search(key, &units, &mut visits);
        }
    }

    /// Depth first, without a stack of calls: chains may be long.
    fn search(&mut self, start: Key, units: &BTreeMap<Key, Unit<'a>>, visits: &mut BTreeMap<Key, Visit>) {
        if visits.contains_key(&start) {
            return;
        }
        visits.insert(start, Visit::Underway);
        let mut open: Vec<(Key, usize)> = vec![(start, 0)];
        while let Some((key, at)) = open.pop() {
            let Some((callee, span)) = units.get(&key).and_then(|unit| unit.calls.get(at).copied()) else {
                visits.insert(key, Visit::Done);
                continue;
            };
            open.push((key, at + 1));
            match visits.get(&callee) {
                Some(Visit::Done) => {}
                Some(Visit::Underway) => {
                    let from = open.iter().position(|(key, _)| *key == callee).unwrap_or(0);
                    let circle: Vec<&Unit<'a>> = open[from..].iter().filter_map(|(key, _)| units.get(key)).collect();
                    self.tell_recursion(&circle, span);
                }
                None => {
                    visits.insert(callee, Visit::Underway);
                    open.push((callee, 0));
                }
            }
        }
    }

    fn tell_recursion(&mut self, circle: &[&Unit<'a>], span: Span) {
        let places: Vec<Span> = circle.iter().flat_map(|unit| unit.calls.iter().map(|(_, span)| *span)).collect();
        if self.report.has_any(Code::E0111, &places) {
            return; // the same circle, entered elsewhere
        }
        let Some(first) = circle.first() else { return };
        let name = &first.name.text;
        let (title, help) = match first.is_layer {
            true => (
                format!("`{name}` contains itself"),
                "a layer has a fixed number of parts: use a list, `[Block(D) for i in 0..n]`".to_string(),
            ),
            false => (format!("`{name}` calls itself"), self.instead_of_recursion(name)),
        };
        let mut error = Diagnostic::error(Code::E0111, span, title).also(first.name.span, "declared here");
        if circle.len() > 1 {
            let way: Vec<String> = circle.iter().map(|unit| format!("`{}`", unit.name.text)).collect();
            error = error.note(format!("by way of {}", way[1..].join(", ")));
        }
        self.tell(error.help(help));
    }

    fn add_layer(&self, layer: &'a ast::Layer, file: FileId, units: &mut BTreeMap<Key, Unit<'a>>) {
        let own: BTreeSet<&Arc<str>> = layer.params.iter().map(|param| &param.name.text).collect();
        let members = Members::of(layer);
        let mut calls = Vec::new();
        for member in &layer.members {
            match member {
                ast::Member::Bind(bind) => each_call(&bind.value, &mut |name, span| {
                    let found = self.files.visible(file, name).filter(|_| !own.contains(name));
                    calls
                        .extend(found.filter(|(item, ..)| matches!(item, Item::Layer(_))).map(|(.., key)| (key, span)));
                }),
                ast::Member::Fn(decl) => self.add_fn(decl, file, &members, units),
                ast::Member::Param(_) | ast::Member::State(_) => {}
            }
        }
        units.insert(layer.name.span, Unit { name: &layer.name, is_layer: true, calls });
    }

    /// A function; `around` are the members of its layer.
    fn add_fn(&self, decl: &'a ast::Fn, file: FileId, around: &Members<'a>, units: &mut BTreeMap<Key, Unit<'a>>) {
        let mut local: BTreeSet<Arc<str>> = decl.params.iter().map(|param| param.name.text.clone()).collect();
        local.extend(crate::assigned::assigned_in(&decl.body).into_iter().map(|assigned| assigned.name));
        let mut calls = Vec::new();
        block_calls(&decl.body, &mut |name, span| {
            if local.contains(name) {
                return;
            }
            let key = match (around.function(name), around.binding(name)) {
                (Some(decl), _) => Some(decl.name.span),
                (None, Some(_)) => None,
                (None, None) => match self.files.visible(file, name) {
                    Some((Item::Fn(_), _, key)) => Some(key),
                    _ => None,
                },
            };
            calls.extend(key.map(|key| (key, span)));
        });
        units.insert(decl.name.span, Unit { name: &decl.name, is_layer: false, calls });
    }
}

/// Calls of names in a block that are made whenever it is run.
fn block_calls(block: &ast::Block, f: &mut dyn FnMut(&Arc<str>, Span)) {
    for stmt in &block.stmts {
        match &stmt.kind {
            StmtKind::Return(values) | StmtKind::Yield(values) => values.iter().for_each(|value| each_call(value, f)),
            StmtKind::Annotated { value, .. } | StmtKind::Metric { value, .. } | StmtKind::Expr(value) => {
                each_call(value, f)
            }
            StmtKind::Assign { values, .. } => values.iter().for_each(|value| each_call(value, f)),
            StmtKind::For { body, .. } => block_calls(body, f),
            StmtKind::Minimize { .. } | StmtKind::Assert { .. } | StmtKind::If { .. } => {}
        }
    }
}

/// Calls of names in an expression that are made whenever it is evaluated.
fn each_call(expr: &ast::Expr, f: &mut dyn FnMut(&Arc<str>, Span)) {
    let mut each = |parts: &mut dyn Iterator<Item = &ast::Expr>| parts.for_each(|part| each_call(part, f));
    match &expr.kind {
        ExprKind::Call { callee, args, .. } => {
            each(&mut args.iter().map(|arg| &arg.value));
            match &callee.kind {
                ExprKind::Name(text) => f(text, expr.span),
                _ => each_call(callee, f),
            }
        }
        ExprKind::Tuple(parts) | ExprKind::List(parts) => each(&mut parts.iter()),
        ExprKind::Stack { value, .. } | ExprKind::Comprehension { value, .. } | ExprKind::Splice(value) => {
            each_call(value, f)
        }
        ExprKind::Index { base, .. } | ExprKind::Field { base, .. } => each_call(base, f),
        ExprKind::Unary { operand, .. } => each_call(operand, f),
        ExprKind::Binary { left, right, .. } => each(&mut [&**left, &**right].into_iter()),
        ExprKind::Scan(scan) => block_calls(&scan.body, f),
        ExprKind::Range { .. }
        | ExprKind::If { .. }
        | ExprKind::Name(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::Error => {}
    }
}
