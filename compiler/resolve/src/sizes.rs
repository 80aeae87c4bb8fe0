//! Sizes: what a name in a type stands for, and what happens where two sizes must agree (rules 4 to 6).

use crate::cx::Cx;
use crate::number;
use crate::report::Reported;
use crate::value::{AxisNameKind, InstanceId, R, Size, Value};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::graph::{Relation, SizeCheck};
use mlc_ir::scalar::CompareOp;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// An open size of an instance, solved.
#[derive(Clone, Debug)]
pub(crate) struct Solved {
    pub size: Size,
    /// The user's line whose call solved it.
    pub span: Span,
    /// The user's calls that led there, innermost first.
    pub calls: Vec<Span>,
}

/// What a name in a type stands for.
#[derive(Clone, Debug)]
pub(crate) enum SizeName<'a> {
    /// Something with a value; whether it is a size is seen later.
    Bound(Value<'a>),
    /// An open size of the instance, not solved yet.
    Open(InstanceId),
    /// Fresh.
    Unbound,
}

/// What to do where it cannot be decided when compiling whether two sizes are equal (rule 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// An error.
    Refuse,
    /// A check at run time.
    Check,
}

/// The relation of two sizes that must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    Agree,
    Differ,
    /// They may be equal at run time, and nothing says that they must be.
    Unknown,
}

impl<'a> Cx<'a> {
    /// What `text` stands for where a type mentions it (rule 4).
    pub fn size_name(&mut self, text: &Arc<str>, span: Span) -> R<SizeName<'a>> {
        let frame = self.top();
        let (file, scope) = (frame.file, frame.scope);
        if let Some(value) = frame.locals.get(text).or_else(|| frame.block.values.get(text)) {
            return Ok(SizeName::Bound(with_name(value.clone(), scope, text)));
        }
        if let Some(id) = frame.instance {
            let instance = &self.instances[id.0 as usize];
            let scope = instance.scope;
            if let Some(value) = instance.bindings.get(text).or_else(|| instance.args.get(text)) {
                return Ok(SizeName::Bound(with_name(value.clone(), scope, text)));
            }
            match instance.open.get(text) {
                Some(Some(solved)) => {
                    let value = Value::size(solved.size.clone());
                    return Ok(SizeName::Bound(with_name(value, scope, text)));
                }
                Some(None) => return Ok(SizeName::Open(id)),
                None => {}
            }
            match self.session_size(text) {
                Some(Some(size)) => return Ok(SizeName::Bound(with_name(Value::size(size), scope, text))),
                Some(None) => return Ok(SizeName::Open(id)),
                None => {}
            }
        }
        match self.files.find(file, text) {
            Some((crate::scope::Item::Const(decl), home)) => {
                let value = self.constant(decl, home, span)?;
                let scope = self.file_scope(home);
                Ok(SizeName::Bound(with_name(value, scope, text)))
            }
            Some(_) | None => Ok(SizeName::Unbound),
        }
    }

    /// The value of a size expression all of whose names are bound.
    pub fn size_expr(&mut self, expr: &'a ast::Expr) -> R<Size> {
        if let ast::ExprKind::Name(text) = &expr.kind {
            return match self.size_name(text, expr.span)? {
                SizeName::Bound(value) => self.as_size(value, expr.span),
                SizeName::Open(id) => Err(self.unsolved(id, text, expr.span)),
                SizeName::Unbound => Err(self.unbound_size(text, expr.span)),
            };
        }
        let value = self.expr(expr)?;
        self.as_size(value, expr.span)
    }

    /// The first name in a size expression that has no value yet.
    pub fn unbound_in(&mut self, expr: &'a ast::Expr) -> R<Option<(Arc<str>, Span)>> {
        match &expr.kind {
            ast::ExprKind::Name(text) => match self.size_name(text, expr.span)? {
                SizeName::Unbound if text.starts_with(char::is_uppercase) => Ok(Some((text.clone(), expr.span))),
                SizeName::Open(_) => Ok(Some((text.clone(), expr.span))),
                SizeName::Unbound | SizeName::Bound(_) => Ok(None),
            },
            ast::ExprKind::Unary { operand, .. } => self.unbound_in(operand),
            ast::ExprKind::Binary { left, right, .. } => match self.unbound_in(left)? {
                Some(found) => Ok(Some(found)),
                None => self.unbound_in(right),
            },
            ast::ExprKind::Call { args, .. } => {
                for arg in args {
                    if let Some(found) = self.unbound_in(&arg.value)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// A value as a size.
    pub fn as_size(&mut self, value: Value<'a>, span: Span) -> R<Size> {
        match &value {
            Value::Number(number) => match number.as_size() {
                Some(size) => Ok(size.clone()),
                None => self.fail(Code::E0122, span, "a size must be an integer, and this is a float"),
            },
            Value::Poison => Err(self.report.silent()),
            Value::Tensor(tensor) => {
                let shown = self.show(tensor);
                let text = self.sources.text(span);
                let is_name = text.chars().all(|c| c.is_alphanumeric() || c == '_');
                let what = if is_name { format!("`{text}`") } else { "this".to_string() };
                let error = Diagnostic::error(Code::E0122, span, format!("{what} is {shown}, not a size"))
                    .help("sizes are known when compiling: a name from a type, an integer, or arithmetic of these");
                Err(self.tell(error))
            }
            other => {
                let title = format!("a size must be an integer, and this is {}", other.describe());
                self.fail(Code::E0122, span, title)
            }
        }
    }

    fn unbound_size(&mut self, text: &Arc<str>, span: Span) -> Reported {
        let is_known = self.top().locals.contains_key(text) || self.files.find(self.top().file, text).is_some();
        if text.starts_with(char::is_lowercase) && is_known {
            return match self.name(text, span) {
                Ok(value) => {
                    let title = format!("`{text}` is {}, not a size", value.describe());
                    self.tell(Diagnostic::error(Code::E0122, span, title))
                }
                Err(reported) => reported,
            };
        }
        if text.starts_with(char::is_lowercase) {
            let error = Diagnostic::error(Code::E0101, span, format!("no size is called `{text}` here"))
                .help(format!("the names of sizes begin with a capital: `{}`", text.to_uppercase()));
            return self.tell(error);
        }
        let error = Diagnostic::error(Code::E0101, span, format!("no size is called `{text}` here"))
            .help("a size gets its name from the type of an argument, or from an annotation: `x: f32[B, P] = …`");
        self.tell(error)
    }

    /// An open size that is needed before anything told it.
    pub fn unsolved(&mut self, id: InstanceId, text: &Arc<str>, span: Span) -> Reported {
        let path = self.instance_name(id);
        let error = Diagnostic::error(Code::E0106, span, format!("the size `{text}` of `{path}` is not known yet"))
            .help("open sizes are found by the first call of a function whose arguments mention them");
        self.tell(error)
    }

    /// Solves an open size of an instance.
    pub fn solve(&mut self, id: InstanceId, text: &Arc<str>, size: &Size, span: Span) -> R<()> {
        let span = self.user_span(span);
        let is_session = self.instance(id).session.contains(text);
        if size.dim.as_const().is_none() && !is_session {
            let (path, dim) = (self.instance_name(id), self.show_dim(&size.dim));
            let error = Diagnostic::error(Code::E0106, span, format!("the size `{text}` of `{path}` would be `{dim}`"))
                .note(format!("`{dim}` changes from call to call, and the sizes of weights never do"))
                .help("give the argument's type a number there, or move the axis: the features of a layer come last");
            return Err(self.tell(error));
        }
        let solved = Solved { size: Size { names: Vec::new(), ..size.clone() }, span, calls: self.users_calls() };
        if is_session {
            self.entry.session.insert((id, text.clone()), solved);
        } else {
            for twin in self.twins(id) {
                let open = &mut self.instances[twin.0 as usize].open;
                open.entry(text.clone()).and_modify(|known| *known = Some(solved.clone()));
            }
            self.instances[id.0 as usize].open.insert(text.clone(), Some(solved));
        }
        Ok(())
    }

    /// The calls under way that stand in the user's files, innermost first.
    pub fn users_calls(&self) -> Vec<Span> {
        let is_users = |call: &Span| self.files.origin(call.file) == crate::scope::Origin::User;
        self.frames.iter().rev().filter_map(|frame| frame.call).filter(is_users).collect()
    }

    /// Compares two sizes; under [`Undecided::Check`] what cannot be decided becomes a check of the entry.
    pub fn agree(&mut self, left: &Dim, right: &Dim, undecided: Undecided, span: Span, text: &str) -> Agreement {
        match (left.decide(right), undecided) {
            (Decision::Equal, _) => Agreement::Agree,
            (Decision::Never, _) => Agreement::Differ,
            (Decision::Ask, Undecided::Refuse) => Agreement::Unknown,
            (Decision::Ask, Undecided::Check) => {
                self.check_sizes(left, Relation::Equal, right, span, text);
                Agreement::Agree
            }
        }
    }

    /// Has a relation tested at each call of the entry; the rest may rely on it.
    pub fn check_sizes(&mut self, left: &Dim, relation: Relation, right: &Dim, span: Span, text: &str) {
        if relation == Relation::Equal {
            self.learn(left, right);
        }
        let span = self.place(span);
        let check = SizeCheck { left: left.clone(), relation, right: right.clone(), span, text: text.to_string() };
        if !self.entry.checks.contains(&check) {
            self.entry.checks.push(check);
        }
    }

    /// Tests the conditions of a `requires`; static parts now, the rest of the sizes at run time.
    pub fn requires(&mut self, conditions: &'a [ast::Expr], call: Option<Span>) -> R<()> {
        for condition in conditions {
            self.require(condition, condition, call)?;
        }
        Ok(())
    }

    /// Tests a condition; a message shows `shown`, which is all of an `or` of which this is the last part.
    fn require(&mut self, condition: &'a ast::Expr, shown: &'a ast::Expr, call: Option<Span>) -> R<()> {
        if let ast::ExprKind::Binary { op: ast::BinaryOp::And, left, right, .. } = &condition.kind {
            self.require(left, left, call)?;
            return self.require(right, right, call);
        }
        if let ast::ExprKind::Binary { op: ast::BinaryOp::Or, left, right, .. } = &condition.kind {
            return match (self.static_truth(left)?, holds_static(right)) {
                (true, _) => Ok(()),
                (false, true) if !self.static_truth(right)? => Err(self.requirement_broken(condition, call, None)),
                (false, true) => Ok(()),
                (false, false) => self.require(right, shown, call),
            };
        }
        if let Some((op, left, right)) = comparison(condition) {
            return self.require_relation(condition, shown, (op, left, right), call);
        }
        match self.static_truth(condition)? {
            true => Ok(()),
            false => Err(self.requirement_broken(shown, call, None)),
        }
    }

    /// A condition that must be known when compiling.
    pub fn static_truth(&mut self, condition: &'a ast::Expr) -> R<bool> {
        match self.expr(condition)? {
            Value::Bool(value) => Ok(value),
            other => {
                let title = format!("a condition of static values is needed here, and this is {}", other.describe());
                let error = Diagnostic::error(Code::E0110, condition.span, title).help(
                    "sizes and static arguments are compared; what depends on values is chosen by `where(c, a, b)`",
                );
                Err(self.tell(error))
            }
        }
    }

    fn require_relation(
        &mut self,
        condition: &'a ast::Expr,
        shown: &'a ast::Expr,
        (op, left, right): (CompareOp, &'a ast::Expr, &'a ast::Expr),
        call: Option<Span>,
    ) -> R<()> {
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        let (Value::Number(x), Value::Number(y)) = (&a, &b) else {
            return match self.static_truth(condition)? {
                true => Ok(()),
                false => Err(self.requirement_broken(shown, call, None)),
            };
        };
        match number::compare(op, x, y) {
            Some(true) => return Ok(()),
            Some(false) => return Err(self.requirement_broken(shown, call, Some([(left, &a), (right, &b)]))),
            None => {}
        }
        let (x, y) = (self.as_size(a, left.span)?.dim, self.as_size(b, right.span)?.dim);
        let text = self.sources.text(condition.span).to_string();
        let one = Dim::one();
        let (low, relation, high) = match op {
            CompareOp::Eq => (x, Relation::Equal, y),
            CompareOp::Le => (x, Relation::AtMost, y),
            CompareOp::Ge => (y, Relation::AtMost, x),
            CompareOp::Lt => (self.plus(&x, &one, condition.span)?, Relation::AtMost, y),
            CompareOp::Gt => (self.plus(&y, &one, condition.span)?, Relation::AtMost, x),
            CompareOp::Ne => (x, Relation::Differ, y),
        };
        self.check_sizes(&low, relation, &high, condition.span, &text);
        Ok(())
    }

    fn plus(&mut self, a: &Dim, b: &Dim, span: Span) -> R<Dim> {
        match a.add(b) {
            Ok(sum) => Ok(sum),
            Err(_) => self.fail(Code::E0114, span, "this size is too large"),
        }
    }

    fn requirement_broken(
        &mut self,
        condition: &'a ast::Expr,
        call: Option<Span>,
        sides: Option<[(&'a ast::Expr, &Value<'a>); 2]>,
    ) -> Reported {
        let text = self.sources.text(condition.span).to_string();
        let title = format!("`requires {text}` does not hold");
        let mut error = match call {
            Some(call) => Diagnostic::error(Code::E0108, call, title).also(condition.span, "required here"),
            None => Diagnostic::error(Code::E0108, condition.span, title),
        };
        if let Some([(left, a), (right, b)]) = sides
            && let (Some(a), Some(b)) = (self.shown_sum(left, a), self.shown_sum(right, b))
        {
            error = error.note([a, b].into_iter().filter(|side| !side.is_empty()).collect::<Vec<_>>().join(", and "));
        }
        if let Some(help) = self.divisor_help(condition) {
            error = error.help(help);
        }
        self.tell(error)
    }

    /// `D % Heads` with what it is made of: "`D % Heads` is 100 % 12 = 4"; nothing for a literal.
    fn shown_sum(&mut self, expr: &'a ast::Expr, value: &Value<'a>) -> Option<String> {
        let (text, value) = (self.sources.text(expr.span).to_string(), self.show_static(value)?);
        if text == value {
            return Some(String::new());
        }
        let inner = self.with_values(expr).filter(|inner| *inner != value && *inner != text);
        Some(inner.map_or_else(|| format!("`{text}` is {value}"), |inner| format!("`{text}` is {inner} = {value}")))
    }

    /// An expression with the values of its names.
    fn with_values(&mut self, expr: &'a ast::Expr) -> Option<String> {
        match &expr.kind {
            ast::ExprKind::Binary { op, left, right, .. } => {
                let mut side = |side: &'a ast::Expr| {
                    let shown = self.with_values(side)?;
                    let compound = matches!(side.kind, ast::ExprKind::Binary { .. });
                    Some(if compound { format!("({shown})") } else { shown })
                };
                Some(format!("{} {} {}", side(left)?, op.symbol(), side(right)?))
            }
            _ => {
                let value = self.expr(expr).ok()?;
                self.show_static(&value)
            }
        }
    }

    /// `requires D % Heads == 0`: which numbers near the divisor would do.
    fn divisor_help(&mut self, condition: &'a ast::Expr) -> Option<String> {
        let ast::ExprKind::Binary { op: ast::BinaryOp::Eq, left, right, .. } = &condition.kind else { return None };
        let ast::ExprKind::Binary { op: ast::BinaryOp::Rem, left: whole, right: part, .. } = &left.kind else {
            return None;
        };
        if !matches!(right.kind, ast::ExprKind::Int(0)) {
            return None;
        }
        let (n, by) = (self.static_int(whole).ok()?, self.static_int(part).ok()?);
        if matches!(part.kind, ast::ExprKind::Int(_)) && by > 0 {
            let below = n / by * by;
            let found = [below, below.checked_add(by)?].into_iter().filter(|near| *near > 0);
            let found: Vec<String> = found.map(|near| near.to_string()).collect();
            return Some(format!(
                "{} {} of {by}",
                found.join(" and "),
                if found.len() == 1 { "is a multiple" } else { "are multiples" }
            ));
        }
        const FAR: i64 = 10_000;
        let divides = |at: &i64| *at > 0 && n % *at == 0;
        let below = (1..by).rev().take(FAR as usize).find(divides);
        let above = (by..=n.min(by.saturating_add(FAR))).find(divides);
        let found: Vec<String> = [below, above].iter().flatten().map(i64::to_string).collect();
        let verb = if found.len() == 1 { "divides" } else { "divide" };
        (!found.is_empty()).then(|| format!("{} {verb} {n}", found.join(" and ")))
    }
}

fn with_name<'a>(value: Value<'a>, scope: crate::value::ScopeId, text: &Arc<str>) -> Value<'a> {
    match value {
        Value::Number(mut number) => {
            if let number::NumberKind::Int(size) = &mut number.kind {
                *size = size.clone().named(scope, text, AxisNameKind::Size);
            }
            Value::Number(number)
        }
        other => other,
    }
}

/// Whether a condition compares texts or is made of such: it has no sizes to be checked at run time.
fn holds_static(condition: &ast::Expr) -> bool {
    match &condition.kind {
        ast::ExprKind::Binary { op: ast::BinaryOp::Or | ast::BinaryOp::And, left, right, .. } => {
            holds_static(left) && holds_static(right)
        }
        ast::ExprKind::Binary { left, right, .. } => {
            let is_text = |side: &ast::Expr| matches!(side.kind, ast::ExprKind::Str(_));
            is_text(left) || is_text(right)
        }
        ast::ExprKind::Bool(_) => true,
        _ => false,
    }
}

/// `a < b` and its like.
fn comparison(expr: &ast::Expr) -> Option<(CompareOp, &ast::Expr, &ast::Expr)> {
    let ast::ExprKind::Binary { op, left, right, .. } = &expr.kind else { return None };
    Some((compare_op(*op)?, left, right))
}

/// The comparison that an operator writes.
pub(crate) fn compare_op(op: ast::BinaryOp) -> Option<CompareOp> {
    Some(match op {
        ast::BinaryOp::Eq => CompareOp::Eq,
        ast::BinaryOp::Ne => CompareOp::Ne,
        ast::BinaryOp::Lt => CompareOp::Lt,
        ast::BinaryOp::Le => CompareOp::Le,
        ast::BinaryOp::Gt => CompareOp::Gt,
        ast::BinaryOp::Ge => CompareOp::Ge,
        ast::BinaryOp::Or
        | ast::BinaryOp::And
        | ast::BinaryOp::Add
        | ast::BinaryOp::Sub
        | ast::BinaryOp::Mul
        | ast::BinaryOp::Div
        | ast::BinaryOp::Rem
        | ast::BinaryOp::MatMul
        | ast::BinaryOp::Pow => return None,
    })
}
