//! Names in code that no entry reaches: functions nobody calls, layers nobody makes. Evaluation
//! tells unknown names where it comes along; this tells the others. Names only, no types: what is
//! assigned anywhere in a function counts as known throughout it.

use crate::cx::{Cx, FrameKind};
use crate::value::{Bindings, Value};
use mlc_syntax::ast::{self, ExprKind, StmtKind, TypeKind};
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// Names that are known in a piece of code, and those it reads.
#[derive(Clone, Debug, Default)]
struct Names {
    known: BTreeSet<Arc<str>>,
    read: Vec<(Arc<str>, Span)>,
    /// `f.NAME` where `f` is no known name: perhaps of an imported file.
    fields: Vec<(Arc<str>, ast::Name)>,
    /// Words of types without axes.
    types: Vec<(Arc<str>, Span)>,
    /// Words of types before their axes.
    elements: Vec<(Arc<str>, Span)>,
    /// Types with more than one pack.
    crowded: Vec<Span>,
}

impl<'a> Cx<'a> {
    /// Reports the unknown names of a file.
    pub fn check_names(&mut self, file: FileId, module: &'a ast::Module) {
        for item in &module.items {
            match item {
                ast::Item::Fn(decl) => self.check_code(file, &of_fn(decl), &Rc::default()),
                ast::Item::Layer(layer) => {
                    let surroundings = of_layer(layer);
                    self.check_code(file, &surroundings, &Rc::default());
                    self.check_fns(file, &layer.members, &surroundings);
                }
                ast::Item::Optimizer(optimizer) => {
                    let surroundings = of_members(&optimizer.params, &optimizer.members);
                    self.check_code(file, &surroundings, &Rc::default());
                    self.check_fns(file, &optimizer.members, &surroundings);
                }
                ast::Item::Train(train) => {
                    let surroundings = of_members(&[], &train.members);
                    self.check_fns(file, &train.members, &surroundings);
                }
                ast::Item::Grad(grad) => {
                    let mut names = Names::default();
                    grad.params.iter().for_each(|param| names.param(param));
                    names.block(&grad.body);
                    self.check_code(file, &names, &Rc::default());
                }
                ast::Item::Import(_) | ast::Item::Const(_) | ast::Item::Extern(_) | ast::Item::Test(_) => {}
            }
        }
    }

    fn check_fns(&mut self, file: FileId, members: &'a [ast::Member], surroundings: &Names) {
        let values = surroundings.known.iter().map(|name| (name.clone(), Value::Nothing)).collect();
        let around = Rc::new(Bindings { values, ..Bindings::default() });
        for member in members {
            if let ast::Member::Fn(decl) = member {
                self.check_code(file, &of_fn(decl), &around);
            }
        }
    }

    /// A piece of code, and the names of the block that it stands in.
    fn check_code(&mut self, file: FileId, names: &Names, around: &Rc<Bindings<'a>>) {
        let mut frame = self.new_frame(FrameKind::File, file);
        frame.locals = names.known.iter().map(|name| (name.clone(), Value::Nothing)).collect();
        frame.block = around.clone();
        self.within(frame, |cx| {
            for (name, span) in &names.read {
                let _ = cx.require_name(name, *span);
            }
            for (word, span) in &names.types {
                let _ = cx.require_type(word, *span);
            }
            for (word, span) in &names.elements {
                let _ = cx.require_element(word, *span);
            }
            for span in &names.crowded {
                if cx.report.told_within(*span).is_none() {
                    cx.tell(crate::matching::two_packs(*span));
                }
            }
            for (base, name) in &names.fields {
                let known = names.known.contains(base) || around.values.contains_key(base);
                if let (false, Some((other, _))) = (known, cx.files.alias(file, base)) {
                    let _ = cx.require_item(other, name);
                }
            }
        });
    }
}

/// The names that a piece of code reads or assigns.
pub(crate) fn mentioned(block: &ast::Block) -> BTreeSet<Arc<str>> {
    let mut names = Names::default();
    names.block(block);
    names.known.extend(names.read.into_iter().map(|(name, _)| name));
    names.known
}

/// Whether a block reads a name before it gives it a value of its own.
pub(crate) fn reads_before_assigning(block: &ast::Block, name: &Arc<str>) -> bool {
    for stmt in &block.stmts {
        let mut names = Names::default();
        names.stmt(stmt);
        let updates = |targets: &[ast::Expr]| {
            targets.iter().any(|target| matches!(&target.kind, ExprKind::Name(text) if text == name))
        };
        let (assigns, adds) = match &stmt.kind {
            StmtKind::Assign { targets, op, .. } => (updates(targets), op.is_some()),
            StmtKind::Annotated { name: other, .. } => (other.text == *name, false),
            _ => (false, false),
        };
        if names.read.iter().any(|(read, _)| read == name) || (assigns && adds) {
            return true;
        }
        if assigns {
            return false;
        }
    }
    false
}

/// Whether code of a file reads a name.
pub(crate) fn are_read(module: &ast::Module, name: &str) -> bool {
    let in_fns = |members: &[ast::Member]| {
        members.iter().any(|member| matches!(member, ast::Member::Fn(decl) if of_fn(decl).reads(name)))
    };
    module.items.iter().any(|item| match item {
        ast::Item::Fn(decl) => of_fn(decl).reads(name),
        ast::Item::Layer(layer) => in_fns(&layer.members),
        ast::Item::Optimizer(optimizer) => in_fns(&optimizer.members),
        ast::Item::Train(train) => mentioned_in_train(train).contains(name),
        ast::Item::Grad(grad) => Names::of_block(&grad.body).reads(name),
        ast::Item::Test(test) => Names::of_block(&test.body).reads(name),
        ast::Item::Import(_) | ast::Item::Const(_) | ast::Item::Extern(_) => false,
    })
}

/// The names that a type gives to sizes.
pub(crate) fn sizes_in(ty: &ast::Type) -> BTreeSet<Arc<str>> {
    let mut names = Names::default();
    names.ty(ty);
    names.known
}

/// The names that an expression reads, and where.
pub(crate) fn read_in(expr: &ast::Expr) -> Vec<(Arc<str>, Span)> {
    let mut names = Names::default();
    names.expr(expr);
    names.read
}

/// The names that the text of a layer reads.
pub(crate) fn mentioned_in(layer: &ast::Layer) -> BTreeSet<Arc<str>> {
    let surroundings = of_layer(layer);
    let mut read = surroundings.read;
    for member in &layer.members {
        match member {
            ast::Member::Fn(decl) => read.extend(of_fn(decl).read),
            // A state may be assigned only.
            ast::Member::State(tensor) => read.push((tensor.name.text.clone(), tensor.name.span)),
            ast::Member::Param(_) | ast::Member::Bind(_) => {}
        }
    }
    read.into_iter().map(|(name, _)| name).collect()
}

/// The names that a train block mentions anywhere but where it binds them.
pub(crate) fn mentioned_in_train(train: &ast::Train) -> BTreeSet<Arc<str>> {
    let mut read = of_members(&[], &train.members).read;
    for member in &train.members {
        if let ast::Member::Fn(decl) = member {
            read.extend(of_fn(decl).read);
        }
    }
    let mut names = Names::default();
    let blocks = train.steps.iter().map(|step| &step.body).chain(train.every.iter().map(|every| &every.body));
    blocks.for_each(|block| names.block(block));
    train.every.iter().for_each(|every| names.expr(&every.count));
    read.extend(names.read);
    read.into_iter().map(|(name, _)| name).collect()
}

/// What the functions of a layer see.
fn of_layer(layer: &ast::Layer) -> Names {
    of_members(&layer.params, &layer.members)
}

fn of_members(params: &[ast::Param], members: &[ast::Member]) -> Names {
    let mut names = Names::default();
    for param in params {
        names.param(param);
    }
    for member in members {
        match member {
            ast::Member::Param(tensor) | ast::Member::State(tensor) => {
                names.known.insert(tensor.name.text.clone());
                names.ty(&tensor.ty);
                tensor.init.iter().for_each(|init| names.expr(init));
            }
            ast::Member::Fn(decl) => {
                names.known.insert(decl.name.text.clone());
            }
            ast::Member::Bind(bind) => {
                names.known.extend(bind.names.iter().map(|name| name.text.clone()));
                names.expr(&bind.value);
            }
        }
    }
    names
}

fn of_fn(decl: &ast::Fn) -> Names {
    let mut names = Names::default();
    for param in &decl.params {
        names.param(param);
    }
    decl.result.iter().for_each(|ty| names.ty(ty));
    decl.requires.iter().for_each(|condition| names.expr(condition));
    names.block(&decl.body);
    names
}

impl Names {
    fn of_block(block: &ast::Block) -> Names {
        let mut names = Names::default();
        names.block(block);
        names
    }

    fn reads(&self, name: &str) -> bool {
        self.read.iter().any(|(read, _)| **read == *name)
    }

    fn param(&mut self, param: &ast::Param) {
        self.known.insert(param.name.text.clone());
        self.ty(&param.ty);
        param.default.iter().for_each(|default| self.expr(default));
    }

    /// The sizes that a type names are known behind it.
    fn ty(&mut self, ty: &ast::Type) {
        match &ty.kind {
            TypeKind::Named { name, axes } => {
                match axes {
                    Some(_) => self.elements.push((name.text.clone(), name.span)),
                    None => self.types.push((name.text.clone(), name.span)),
                }
                let packs = axes.iter().flatten().filter(|axis| crate::matching::is_pack(axis));
                self.crowded.extend(packs.map(|_| ty.span).skip(1));
                for axis in axes.iter().flatten() {
                    self.known.extend(axis.label.iter().map(|label| label.text.clone()));
                    match &axis.kind {
                        ast::AxisKind::Pack(name) => {
                            self.known.insert(name.text.clone());
                        }
                        ast::AxisKind::Size(size) => self.sizes(size),
                        ast::AxisKind::Hole | ast::AxisKind::HolePack => {}
                    }
                }
            }
            TypeKind::Tuple { fields, .. } => fields.iter().for_each(|(_, ty)| self.ty(ty)),
        }
    }

    fn sizes(&mut self, size: &ast::Expr) {
        match &size.kind {
            ExprKind::Name(text) => {
                self.known.insert(text.clone());
            }
            ExprKind::Unary { operand, .. } => self.sizes(operand),
            ExprKind::Binary { left, right, .. } => {
                self.sizes(left);
                self.sizes(right);
            }
            ExprKind::Call { args, .. } => args.iter().for_each(|arg| self.sizes(&arg.value)),
            _ => {}
        }
    }

    fn block(&mut self, block: &ast::Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &ast::Stmt) {
        match &stmt.kind {
            StmtKind::Return(values) | StmtKind::Yield(values) => values.iter().for_each(|value| self.expr(value)),
            StmtKind::Minimize { loss, over, with } => [loss, over, with].into_iter().for_each(|part| self.expr(part)),
            StmtKind::Metric { value, .. } => self.expr(value),
            StmtKind::Assert { condition, .. } => self.expr(condition),
            StmtKind::For { names, iterables, condition, body, .. } => {
                self.known.extend(names.iter().map(|name| name.text.clone()));
                iterables.iter().chain(condition).for_each(|part| self.expr(part));
                self.block(body);
            }
            StmtKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                otherwise.iter().for_each(|block| self.block(block));
            }
            StmtKind::Annotated { name, ty, value } => {
                self.known.insert(name.text.clone());
                self.ty(ty);
                self.expr(value);
            }
            StmtKind::Assign { targets, values, .. } => {
                for target in targets {
                    match &target.kind {
                        ExprKind::Name(text) => {
                            self.known.insert(text.clone());
                        }
                        _ => self.expr(target),
                    }
                }
                values.iter().for_each(|value| self.expr(value));
            }
            StmtKind::Expr(expr) => self.expr(expr),
        }
    }

    fn expr(&mut self, expr: &ast::Expr) {
        match &expr.kind {
            ExprKind::Name(text) => self.read.push((text.clone(), expr.span)),
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) | ExprKind::Bool(_) | ExprKind::Error => {}
            ExprKind::Tuple(parts) | ExprKind::List(parts) => parts.iter().for_each(|part| self.expr(part)),
            ExprKind::Stack { value, count } => {
                self.expr(value);
                self.expr(count);
            }
            ExprKind::Comprehension { value, names, iterable } => {
                self.known.extend(names.iter().map(|name| name.text.clone()));
                self.expr(iterable);
                self.expr(value);
            }
            ExprKind::Splice(inner) => self.expr(inner),
            ExprKind::Call { callee, args, .. } => {
                self.expr(callee);
                let named_axes = |arg: &ast::Arg| arg.name.as_ref().is_some_and(|name| *name.text == *"over");
                args.iter().filter(|arg| !named_axes(arg)).for_each(|arg| self.expr(&arg.value));
            }
            ExprKind::Index { base, indices } => {
                self.expr(base);
                indices.iter().for_each(|index| self.index(index));
            }
            ExprKind::Field { base, name } => {
                if let ExprKind::Name(text) = &base.kind {
                    self.fields.push((text.clone(), name.clone()));
                }
                self.expr(base);
            }
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Range { start, end } => {
                self.expr(start);
                self.expr(end);
            }
            ExprKind::If { condition, then, otherwise } => {
                [condition, then, otherwise].into_iter().for_each(|part| self.expr(part));
            }
            ExprKind::Scan(scan) => self.scan(scan),
        }
    }

    fn index(&mut self, index: &ast::Index) {
        match index {
            ast::Index::Ellipsis(_) | ast::Index::New(_) => {}
            ast::Index::At(at) => self.expr(at),
            ast::Index::Slice { start, end, step, .. } => {
                [start, end, step].into_iter().flatten().for_each(|part| self.expr(part))
            }
        }
    }

    fn scan(&mut self, scan: &ast::Scan) {
        for (name, first) in &scan.carries {
            self.known.insert(name.text.clone());
            self.expr(first);
        }
        self.known.extend(scan.names.iter().map(|name| name.text.clone()));
        scan.iterables.iter().for_each(|part| self.expr(part));
        self.block(&scan.body);
    }
}
