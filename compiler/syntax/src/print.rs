//! A readable picture of a syntax tree: one line for each item, member and statement with its place,
//! expressions as S-expressions.
//!
//! It shows structure, not the source: parentheses and layout are gone, a pipe is a `pipe` call. The
//! same tree always gives the same text.

use crate::ast::{
    Arg, Attr, Axis, AxisKind, Bind, Block, Every, Expr, ExprKind, Extern, Fn, Import, Index, Item, Layer, Member,
    Module, Name, Param, Period, Scan, Stmt, StmtKind, Tensor, Train, Type, TypeKind, UnaryOp,
};
use crate::span::{Sources, Span};

/// Pictures `module`, whose spans point into `sources`.
pub fn print(module: &Module, sources: &Sources) -> String {
    picture(module, Some(sources))
}

/// The same without places: two texts that mean the same have the same.
pub fn structure(module: &Module) -> String {
    picture(module, None)
}

fn picture(module: &Module, sources: Option<&Sources>) -> String {
    let mut printer = Printer { sources, out: String::new(), depth: 0 };
    for item in &module.items {
        printer.item(item);
    }
    printer.out
}

struct Printer<'a> {
    /// Where places are looked up, if they are shown.
    sources: Option<&'a Sources>,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn placed(&mut self, span: Span, text: &str) {
        let place = self.sources.map_or_else(String::new, |sources| {
            let (line, column) = sources.file(span.file).line_col(span.lo);
            format!("{line}:{column} ")
        });
        self.line(&format!("{place}{text}"));
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    // ---- items

    fn item(&mut self, item: &Item) {
        match item {
            Item::Import(import) => self.placed(import.span, &import_line(import)),
            Item::Const(constant) => {
                let ty = constant.ty.as_ref().map_or_else(String::new, |t| format!(": {}", ty(t)));
                self.placed(constant.span, &format!("const {}{ty} = {}", constant.name.text, expr(&constant.value)));
            }
            Item::Fn(function) => self.function(function),
            Item::Layer(layer) => self.layer(layer),
            Item::Grad(grad) => {
                self.placed(grad.span, &format!("grad {}", grad.name.text));
                self.nested(|p| {
                    p.params(&grad.params);
                    p.block(&grad.body);
                });
            }
            Item::Extern(external) => self.external(external),
            Item::Optimizer(optimizer) => {
                self.placed(optimizer.span, &format!("optimizer {}", optimizer.name.text));
                self.nested(|p| {
                    p.params(&optimizer.params);
                    p.members(&optimizer.members);
                });
            }
            Item::Train(train) => self.train(train),
            Item::Test(test) => {
                self.placed(test.span, &format!("test {:?}", test.title));
                self.nested(|p| p.block(&test.body));
            }
        }
    }

    fn function(&mut self, function: &Fn) {
        self.placed(function.span, &format!("fn {}{}", function.name.text, attrs(&function.attrs)));
        self.nested(|p| {
            p.params(&function.params);
            if let Some(result) = &function.result {
                p.line(&format!("result {}", ty(result)));
            }
            p.requires(&function.requires);
            p.block(&function.body);
        });
    }

    fn layer(&mut self, layer: &Layer) {
        let word = if layer.is_model { "model" } else { "layer" };
        self.placed(layer.span, &format!("{word} {}{}", layer.name.text, attrs(&layer.attrs)));
        self.nested(|p| {
            p.params(&layer.params);
            p.requires(&layer.requires);
            p.members(&layer.members);
        });
    }

    fn external(&mut self, external: &Extern) {
        let grad = external.grad.as_ref().map_or_else(String::new, |name| format!(" grad {}", name.text));
        let head = &external.head;
        self.placed(external.span, &format!("extern {} = {:?}{grad}", head.name.text, external.symbol));
        self.nested(|p| {
            p.params(&head.params);
            if let Some(result) = &head.result {
                p.line(&format!("result {}", ty(result)));
            }
        });
    }

    fn train(&mut self, train: &Train) {
        self.placed(train.span, &format!("train {}", train.name.text));
        self.nested(|p| {
            p.members(&train.members);
            for step in &train.steps {
                p.placed(step.span, "step");
                p.nested(|p| {
                    p.params(&step.params);
                    p.block(&step.body);
                });
            }
            for every in &train.every {
                p.every(every);
            }
        });
    }

    fn every(&mut self, every: &Every) {
        let unit = match every.period {
            Period::Steps => "steps",
            Period::Epochs => "epochs",
        };
        self.placed(every.span, &format!("every {} {unit}", expr(&every.count)));
        self.nested(|p| p.block(&every.body));
    }

    fn params(&mut self, params: &[Param]) {
        for param in params {
            self.line(&format!("arg {}: {}{}", param.name.text, ty(&param.ty), default(param.default.as_ref())));
        }
    }

    fn requires(&mut self, requires: &[Expr]) {
        for condition in requires {
            self.line(&format!("requires {}", expr(condition)));
        }
    }

    fn members(&mut self, members: &[Member]) {
        for member in members {
            match member {
                Member::Param(tensor) => self.tensor("param", tensor),
                Member::State(tensor) => self.tensor("state", tensor),
                Member::Fn(function) => self.function(function),
                Member::Bind(bind) => self.bind(bind),
            }
        }
    }

    fn tensor(&mut self, word: &str, tensor: &Tensor) {
        let init = default(tensor.init.as_ref());
        self.placed(tensor.span, &format!("{word} {}: {}{init}", tensor.name.text, ty(&tensor.ty)));
    }

    fn bind(&mut self, bind: &Bind) {
        let ty = bind.ty.as_ref().map_or_else(String::new, |t| format!(": {}", ty(t)));
        self.placed(bind.span, &format!("bind {}{ty} = {}", names(&bind.names), expr(&bind.value)));
    }

    // ---- statements

    fn block(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.stmt(stmt);
        }
    }

    fn inner_block(&mut self, word: &str, block: &Block) {
        if !word.is_empty() {
            self.line(word);
        }
        self.nested(|p| p.block(block));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        self.placed(stmt.span, &stmt_line(&stmt.kind));
        match &stmt.kind {
            StmtKind::For { body, .. } => self.inner_block("", body),
            StmtKind::If { then, otherwise, .. } => {
                self.inner_block("", then);
                if let Some(otherwise) = otherwise {
                    self.inner_block("else", otherwise);
                }
            }
            StmtKind::Annotated { value, .. } => self.scan_body(value),
            StmtKind::Assign { values, .. } => values.iter().for_each(|value| self.scan_body(value)),
            StmtKind::Return(_)
            | StmtKind::Yield(_)
            | StmtKind::Minimize { .. }
            | StmtKind::Metric { .. }
            | StmtKind::Assert { .. }
            | StmtKind::Expr(_) => {}
        }
    }

    fn scan_body(&mut self, value: &Expr) {
        if let ExprKind::Scan(scan) = &value.kind {
            self.inner_block("", &scan.body);
        }
    }
}

fn stmt_line(kind: &StmtKind) -> String {
    match kind {
        StmtKind::Return(values) => format!("return {}", exprs(values, " ")),
        StmtKind::Yield(values) => format!("yield {}", exprs(values, " ")),
        StmtKind::Minimize { loss, over, with } => {
            format!("minimize {} over {} with {}", expr(loss), expr(over), expr(with))
        }
        StmtKind::Metric { name, value } => format!("metric {} = {}", name.text, expr(value)),
        StmtKind::Assert { condition, message } => {
            let message = message.as_ref().map_or_else(String::new, |text| format!(" {text:?}"));
            format!("assert {}{message}", expr(condition))
        }
        StmtKind::For { attrs: marks, names: loop_names, iterables, condition, .. } => {
            let condition = condition.as_ref().map_or_else(String::new, |c| format!(" while {}", expr(c)));
            format!("for {} in {}{condition}{}", names(loop_names), exprs(iterables, ", "), attrs(marks))
        }
        StmtKind::If { condition, .. } => format!("if {}", expr(condition)),
        StmtKind::Annotated { name, ty: wanted, value } => {
            format!("let {}: {} = {}", name.text, ty(wanted), expr(value))
        }
        StmtKind::Assign { targets, op, values } => {
            let op = op.map_or("", |op| op.symbol());
            format!("assign {} {op}= {}", exprs(targets, ", "), exprs(values, ", "))
        }
        StmtKind::Expr(value) => expr(value),
    }
}

fn import_line(import: &Import) -> String {
    let alias = import.alias.as_ref().map_or_else(String::new, |name| format!(" as {}", name.text));
    format!("import {:?}{alias}", import.path)
}

fn attrs(attrs: &[Attr]) -> String {
    attrs.iter().map(|attr| format!(" @{}", attr.name.text)).collect()
}

fn names(names: &[Name]) -> String {
    names.iter().map(|name| &*name.text).collect::<Vec<_>>().join(", ")
}

fn default(value: Option<&Expr>) -> String {
    value.map_or_else(String::new, |value| format!(" = {}", expr(value)))
}

// ---- types

fn ty(ty: &Type) -> String {
    match &ty.kind {
        TypeKind::Named { name, axes: None } => name.text.to_string(),
        TypeKind::Named { name, axes: Some(axes) } => format!("{}[{}]", name.text, join(axes, ", ", axis)),
        TypeKind::Tuple { fields, variadic } => {
            let dots = if *variadic { ", …" } else { "" };
            format!("({}{dots})", join(fields, ", ", field))
        }
    }
}

fn field((name, part): &(Option<Name>, Type)) -> String {
    format!("{}{}", label(name.as_ref()), ty(part))
}

fn label(name: Option<&Name>) -> String {
    name.map_or_else(String::new, |name| format!("{}: ", name.text))
}

fn axis(axis: &Axis) -> String {
    let size = match &axis.kind {
        AxisKind::Hole => "_".to_owned(),
        AxisKind::HolePack => "*_".to_owned(),
        AxisKind::Pack(name) => format!("*{}", name.text),
        AxisKind::Size(size) => expr(size),
    };
    format!("{}{size}", label(axis.label.as_ref()))
}

// ---- expressions

fn join<T>(parts: &[T], between: &str, show: fn(&T) -> String) -> String {
    parts.iter().map(show).collect::<Vec<_>>().join(between)
}

fn exprs(values: &[Expr], between: &str) -> String {
    join(values, between, expr)
}

/// `(head part part …)`
fn group(head: &str, parts: &[String]) -> String {
    let parts: String = parts.iter().map(|part| format!(" {part}")).collect();
    format!("({head}{parts})")
}

fn expr(value: &Expr) -> String {
    match &value.kind {
        ExprKind::Name(word) => word.to_string(),
        ExprKind::Int(value) => value.to_string(),
        ExprKind::Float(value) => format!("{value:?}"),
        ExprKind::Str(text) => format!("{text:?}"),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Tuple(parts) => group("tuple", &parts.iter().map(expr).collect::<Vec<_>>()),
        ExprKind::List(parts) => group("list", &parts.iter().map(expr).collect::<Vec<_>>()),
        ExprKind::Stack { value, count } => group("stack", &[expr(value), expr(count)]),
        ExprKind::Comprehension { value, names: loop_names, iterable } => {
            format!("(list-of {} for {} in {})", expr(value), names(loop_names), expr(iterable))
        }
        ExprKind::Splice(pack) => group("splice", &[expr(pack)]),
        ExprKind::Call { callee, args, piped } => {
            let head = if *piped { "pipe" } else { "call" };
            format!("({head} {}{})", expr(callee), args.iter().map(arg).collect::<String>())
        }
        ExprKind::Index { base, indices } => format!("(index {} [{}])", expr(base), join(indices, ", ", index)),
        ExprKind::Field { base, name } => format!("{}.{}", expr(base), name.text),
        ExprKind::Unary { op, operand } => {
            let sign = match op {
                UnaryOp::Neg => "neg",
                UnaryOp::Not => "not",
            };
            group(sign, &[expr(operand)])
        }
        ExprKind::Binary { op, left, right, .. } => group(op.symbol(), &[expr(left), expr(right)]),
        ExprKind::Range { start, end } => group("..", &[expr(start), expr(end)]),
        ExprKind::If { condition, then, otherwise } => group("if", &[expr(condition), expr(then), expr(otherwise)]),
        ExprKind::Scan(scan) => scan_head(scan),
        ExprKind::Error => "(error)".to_owned(),
    }
}

fn arg(arg: &Arg) -> String {
    format!(" {}{}", label(arg.name.as_ref()), expr(&arg.value))
}

fn index(entry: &Index) -> String {
    let part = |value: &Option<Expr>| value.as_ref().map_or_else(String::new, expr);
    match entry {
        Index::Ellipsis(_) => "...".to_owned(),
        Index::New(_) => "new".to_owned(),
        Index::At(at) => expr(at),
        Index::Slice { start, end, step, .. } => {
            let step = step.as_ref().map_or_else(String::new, |step| format!(":{}", expr(step)));
            format!("{}:{}{step}", part(start), part(end))
        }
    }
}

fn scan_head(scan: &Scan) -> String {
    let carry = |(name, value): &(Name, Expr)| format!("{} = {}", name.text, expr(value));
    let carries = join(&scan.carries, ", ", carry);
    let inputs = exprs(&scan.iterables, ", ");
    format!("(scan [{carries}] for {} in {inputs} along {})", names(&scan.names), expr(&scan.along))
}
