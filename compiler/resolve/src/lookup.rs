//! What a name means: locals, the block around, members of the layer, the file, the prelude, builtins.

use crate::assigned::{End, ends_in};
use crate::builtins;
use crate::cx::{Cx, FrameKind};
use crate::habits;
use crate::scope::{self, Item};
use crate::value::{AxisNameKind, Callee, Function, InstanceId, Owner, R, ScopeId, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::rc::Rc;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// The value of a name, or an error with what was probably meant.
    pub fn name(&mut self, text: &Arc<str>, span: Span) -> R<Value<'a>> {
        match self.find_name(text, span)? {
            Some(value) => Ok(value),
            None => Err(self.unknown_name(text, span)),
        }
    }

    /// Whether a name means something here, without making its value; an error if not.
    pub fn require_name(&mut self, text: &Arc<str>, span: Span) -> R<()> {
        let frame = self.top();
        let word = matches!(&**text, "inf" | "nan" | "pi" | "training" | "float" | "num" | "f16" | "bf16");
        let known = word
            || frame.locals.contains_key(text)
            || frame.block.values.contains_key(text)
            || self.files.find(frame.file, text).is_some()
            || self.files.alias(frame.file, text).is_some()
            || dtype_word(text).is_some()
            || builtins::find(text).is_some();
        if known { Ok(()) } else { Err(self.unknown_name(text, span)) }
    }

    /// The value of a name, if it has one.
    pub fn find_name(&mut self, text: &Arc<str>, span: Span) -> R<Option<Value<'a>>> {
        if let Some(value) = self.find_nearby(text, span)? {
            return Ok(Some(value));
        }
        let file = self.top().file;
        if self.files.alias(file, text).is_some() {
            return Err(self.file_as_value(text, span));
        }
        if let Some((item, home)) = self.files.find(file, text) {
            return self.item(item, home, text, span).map(Some);
        }
        self.word(text, span)
    }

    /// Locals, the block around, members.
    pub fn find_nearby(&mut self, text: &Arc<str>, span: Span) -> R<Option<Value<'a>>> {
        let frame = self.top();
        let scope = frame.scope;
        if let Some(value) = frame.locals.get(text) {
            let value = value.clone();
            return self.read(value, scope, text, span).map(Some);
        }
        let block = frame.block.clone();
        if let Some(value) = self.optimizer_state(text)? {
            return Ok(Some(value));
        }
        if let Some(value) = block.values.get(text) {
            return self.read(value.clone(), scope, text, span).map(Some);
        }
        if let Some(decl) = block.fns.iter().find(|decl| decl.name.text == *text) {
            let callee = Callee::Fn { decl, file: self.top().file, owner: Owner::Block(block.clone()) };
            return Ok(Some(function(callee)));
        }
        match self.top().instance {
            Some(instance) => self.member(instance, text, span),
            None => Ok(None),
        }
    }

    /// A member of an instance as its own functions see it.
    pub fn member(&mut self, id: InstanceId, text: &Arc<str>, span: Span) -> R<Option<Value<'a>>> {
        let instance = &self.instances[id.0 as usize];
        let (scope, file) = (instance.scope, instance.file);
        if let Some(value) = instance.bindings.get(text) {
            let value = value.clone();
            return self.read(value, scope, text, span).map(Some);
        }
        if instance.complete && instance.members.tensor(text).is_some() {
            return self.read_param(id, text, span).map(|tensor| Some(Value::Tensor(tensor)));
        }
        if let Some(decl) = instance.members.function(text) {
            return Ok(Some(function(Callee::Fn { decl, file, owner: Owner::Instance(id) })));
        }
        if let Some(value) = instance.args.get(text) {
            let value = value.clone();
            return self.read(value, scope, text, span).map(Some);
        }
        let open = match instance.open.get(text) {
            Some(open) => Some(open.as_ref().map(|solved| solved.size.clone())),
            None => self.session_size(text),
        };
        match open {
            Some(Some(size)) => Ok(Some(Value::size(size.named(scope, text, AxisNameKind::Size)))),
            Some(None) => Err(self.unsolved(id, text, span)),
            None => Ok(None),
        }
    }

    /// A stored value as it is read under a name: sizes carry that name.
    fn read(&mut self, value: Value<'a>, scope: ScopeId, text: &Arc<str>, span: Span) -> R<Value<'a>> {
        match value {
            Value::Poison => Err(self.poisoned(span)),
            Value::Deferred(deferred) => self.read_deferred(&deferred, span),
            Value::Number(number) => Ok(Value::Number(named(number, scope, text))),
            other => Ok(other),
        }
    }

    /// An error for a value whose making failed: that was told already.
    fn poisoned(&mut self, span: Span) -> crate::report::Reported {
        if self.report.is_clean() {
            return self.tell(Diagnostic::error(Code::E0101, span, "this value could not be made"));
        }
        self.report.silent()
    }

    /// The value of a declaration.
    pub fn item(&mut self, item: Item<'a>, file: FileId, text: &Arc<str>, span: Span) -> R<Value<'a>> {
        match item {
            Item::Const(decl) => {
                let value = self.constant(decl, file, span)?;
                let scope = self.file_scope(file);
                self.read(value, scope, text, span)
            }
            Item::Fn(decl) => Ok(function(Callee::Fn { decl, file, owner: Owner::File })),
            Item::Layer(decl) => Ok(function(Callee::Layer { decl, file })),
            Item::Optimizer(decl) => Ok(function(Callee::Optimizer { decl, file })),
            Item::Refused => Err(self.report.silent()),
        }
    }

    /// Words that the compiler knows.
    fn word(&mut self, text: &str, span: Span) -> R<Option<Value<'a>>> {
        Ok(Some(match text {
            "inf" => Value::Number(crate::number::Number::float(f64::INFINITY)),
            "nan" => Value::Number(crate::number::Number::float(f64::NAN)),
            "pi" => Value::Number(crate::number::Number::float(std::f64::consts::PI)),
            "training" => Value::Bool(self.training()),
            "float" | "num" if self.class_word(text).is_some() => return Ok(self.class_word(text).map(Value::DType)),
            "f16" | "bf16" => return self.unsupported(span, &format!("`{text}`")),
            _ => match (dtype_word(text), builtins::find(text)) {
                (Some(dtype), _) => Value::DType(dtype),
                (None, Some(builtin)) => function(Callee::Builtin(builtin)),
                (None, None) => return Ok(None),
            },
        }))
    }

    /// The dtype that a class of the signature stands for in this call: `cast(n, float)`.
    fn class_word(&self, text: &str) -> Option<DType> {
        crate::cx::Class::named(text).and_then(|class| self.class_dtype(class))
    }

    /// A function of the prelude, for `activation: "relu"`.
    pub fn prelude_fn(&mut self, name: &str, span: Span) -> R<Value<'a>> {
        if let Some((Item::Fn(decl), file)) = self.files.find_in_prelude(name) {
            return Ok(function(Callee::Fn { decl, file, owner: Owner::File }));
        }
        if let Some(builtin) = builtins::find(name) {
            return Ok(function(Callee::Builtin(builtin)));
        }
        let names: Vec<&str> = self.files.list.iter().flat_map(|file| self.files.names(file.id)).collect();
        let mut error = Diagnostic::error(Code::E0101, span, format!("the prelude has no function `{name}`"));
        let own = self.files.find(self.top().file, name).is_some() || self.top().locals.contains_key(name);
        if own {
            error = error
                .help(format!("a string names what the library has; your own is written without quotes: `{name}`"));
        } else if let Some(near) = scope::nearest(name, names.into_iter().chain(builtins::names())) {
            error = error.help(format!("did you mean `\"{near}\"`?"));
        }
        Err(self.tell(error))
    }

    /// Where a loop or a branch of this function bound a name that ended with it.
    fn ended(&mut self, text: &Arc<str>) -> Option<(Span, &'static str)> {
        let FrameKind::Fn(decl) = self.top().kind else { return None };
        let ends = self.ends.entry(decl.name.span).or_insert_with(|| ends_in(&decl.body));
        ends.get(text).map(|(place, end)| match end {
            End::Pass => (*place, "each pass"),
            End::Branch => (*place, "its branch: the other one does not bind it"),
        })
    }

    /// Whether a name is a tensor of the layer whose bindings are being made.
    fn is_weight(&self, text: &str) -> bool {
        let frame = self.top();
        let Some(id) = frame.instance else { return false };
        matches!(frame.kind, FrameKind::Bindings) && self.instance(id).members.tensor(text).is_some()
    }

    fn unknown_name(&mut self, text: &Arc<str>, span: Span) -> crate::report::Reported {
        if let Some(told) = self.report.count_if_full(Code::E0101, span) {
            return told;
        }
        let mut error = Diagnostic::error(Code::E0101, span, format!("unknown name `{text}`"));
        if let Some((place, why)) = self.ended(text) {
            error = error.also(place, format!("bound here, and it ends with {why}"));
            error = error.help(format!("give `{text}` a value before, so that it is handed on"));
        } else if self.is_weight(text) {
            error = error
                .note(format!("`{text}` is a tensor of the layer, and bindings are made before there are any"))
                .help("compute with it in a `fn`");
        } else if let Some(place) = self.size_of_argument(text) {
            error = error
                .also(place, "a size that a call brings")
                .note("bindings are made before anything is called")
                .help(format!("make it an argument of the layer: `{text}: dim`"));
        } else if let Some(owner) = self.owner_of(text) {
            error = error
                .note(format!("`{owner}` has one, and its names are its own"))
                .help(format!("write `{owner}.{text}`; a `const` of the file is known everywhere in it"));
        } else if let Some(place) = self.bound_in_function(text) {
            error = error
                .also(place, "bound here, and it ends with its function")
                .help("parts of a layer are bound beside its functions");
        } else if let Some(advice) = habits::instead_of(text) {
            error = error.help(advice);
        } else if let Some(advice) = self.constant_elsewhere(text) {
            error = error.help(advice);
        } else if let Some(dtype) = dtype_instead(text) {
            error = error.help(format!("the dtype is written `{dtype}`"));
        } else if let Some(near) = self.nearest_name(text) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        self.tell(error)
    }

    /// Where a function of the layer whose bindings are being made has an argument of that size.
    fn size_of_argument(&self, text: &str) -> Option<Span> {
        let frame = self.top();
        let layer = self.instance(frame.instance.filter(|_| matches!(frame.kind, FrameKind::Bindings))?).layer;
        let fns = layer.members.iter().filter_map(|member| match member {
            ast::Member::Fn(decl) => Some(decl),
            _ => None,
        });
        let params = fns.flat_map(|decl| &decl.params);
        params.filter(|param| crate::names::sizes_in(&param.ty).contains(text)).map(|param| param.ty.span).next()
    }

    /// The instance of the train block around that has an argument or member of that name.
    fn owner_of(&self, text: &str) -> Option<Arc<str>> {
        let values = self.top().block.values.iter().chain(&self.top().locals);
        values.into_iter().find_map(|(name, value)| match value {
            Value::Instance(id) if self.member_names(*id).contains(&text) => Some(name.clone()),
            _ => None,
        })
    }

    /// Where another function of the layer binds a layer to that name, as a constructor would.
    fn bound_in_function(&self, text: &str) -> Option<Span> {
        let layer = self.instance(self.top().instance?).layer;
        let bodies = layer.members.iter().filter_map(|member| match member {
            ast::Member::Fn(decl) => Some(&decl.body),
            _ => None,
        });
        bodies.flat_map(|body| &body.stmts).find_map(|stmt| {
            let ast::StmtKind::Assign { targets, op: None, values } = &stmt.kind else { return None };
            let ([ast::Expr { kind: ExprKind::Name(name), span }], [value]) = (&targets[..], &values[..]) else {
                return None;
            };
            let ExprKind::Call { callee, .. } = &value.kind else { return None };
            let ExprKind::Name(made) = &callee.kind else { return None };
            (**name == *text && made.starts_with(char::is_uppercase)).then_some(*span)
        })
    }

    /// The function that is called `name`, or nearest to it.
    pub fn function_near(&self, name: &str) -> Option<String> {
        let file = self.top().file;
        let is_fn = |name: &&str| matches!(self.files.find(file, name), Some((Item::Fn(_), _)));
        let names = self.files.names(file).into_iter().filter(is_fn).chain(builtins::names());
        let names: Vec<&str> = names.collect();
        match names.contains(&name) {
            true => Some(name.to_string()),
            false => scope::nearest(name, names).map(str::to_string),
        }
    }

    /// The visible name that is nearest to `text`.
    fn nearest_name(&self, text: &str) -> Option<String> {
        let frame = self.top();
        let mut names: Vec<&str> = frame.locals.keys().map(|name| &**name).collect();
        names.extend(frame.block.values.keys().map(|name| &**name));
        names.extend(frame.block.fns.iter().map(|decl| &*decl.name.text));
        if let Some(id) = frame.instance {
            names.extend(self.member_names(id));
        }
        names.extend(self.files.names(frame.file));
        names.extend(builtins::names());
        scope::nearest(text, names).map(str::to_string)
    }

    /// All members of an instance that have names.
    pub fn member_names(&self, id: InstanceId) -> Vec<&str> {
        let instance = &self.instances[id.0 as usize];
        let mut names: Vec<&str> = instance.bindings.keys().chain(instance.args.keys()).map(|name| &**name).collect();
        for member in &instance.layer.members {
            match member {
                ast::Member::Param(tensor) | ast::Member::State(tensor) => names.push(&tensor.name.text),
                ast::Member::Fn(decl) => names.push(&decl.name.text),
                ast::Member::Bind(_) => {}
            }
        }
        names
    }
}

/// A callee as a value.
pub(crate) fn function(callee: Callee<'_>) -> Value<'_> {
    Value::Function(Function { callee, bound: Rc::new(Vec::new()) })
}

fn named(mut number: crate::number::Number, scope: ScopeId, text: &Arc<str>) -> crate::number::Number {
    if let crate::number::NumberKind::Int(size) = &mut number.kind {
        *size = size.clone().named(scope, text, AxisNameKind::Size);
    }
    number
}

/// `f32` … as types and casts write them.
pub(crate) fn dtype_word(text: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| dtype.name() == text)
}

/// The dtype that is meant by a word that is no value: `cast(x, int)`.
fn dtype_instead(text: &str) -> Option<&'static str> {
    match text {
        "int" => Some("i32"),
        "float" => Some("f32"),
        _ => crate::types::meant_dtype(text),
    }
}
