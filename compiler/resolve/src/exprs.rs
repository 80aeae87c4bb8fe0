//! Expressions: one function for each form.

use crate::arith::Operation;
use crate::calls::{CallSite, args_of};
use crate::cx::Cx;
use crate::habits;
use crate::number::{self, Number};
use crate::report::Reported;
use crate::scope;
use crate::sizes::compare_op;
use crate::stacks::Placed;
use crate::value::{InstanceId, R, Range, Value};
use mlc_ir::dim::Dim;
use mlc_ir::scalar::{BinaryOp, UnaryOp};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// A loop that is unrolled, a list and a range have at most so many parts.
pub(crate) const MOST_PARTS: i64 = 1024;

impl<'a> Cx<'a> {
    /// The value of an expression.
    pub fn expr(&mut self, expr: &'a ast::Expr) -> R<Value<'a>> {
        self.deeper(expr.span, |cx| cx.expr_form(expr))
    }

    fn expr_form(&mut self, expr: &'a ast::Expr) -> R<Value<'a>> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Name(text) => self.name(text, span),
            ExprKind::Int(value) => Ok(Value::int(*value)),
            ExprKind::Float(value) => Ok(Value::Number(Number::float(*value))),
            ExprKind::Str(text) => Ok(Value::Str(text.clone())),
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Tuple(parts) => self.tuple(parts),
            ExprKind::List(parts) => self.list(parts),
            ExprKind::Stack { value, count } => self.stack(value, count, span),
            ExprKind::Comprehension { value, names, iterable } => self.comprehension(value, names, iterable),
            ExprKind::Splice(_) => self.fail(Code::E0122, span, "`*` splices sizes inside a list: `[*K, I]`"),
            ExprKind::Call { callee, args, .. } => self.call(callee, args, span),
            ExprKind::Index { base, indices } => self.index(base, indices, span),
            ExprKind::Field { base, name } => self.field(base, name),
            ExprKind::Unary { op, operand } => self.unary(*op, operand, span),
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right),
            ExprKind::Range { start, end } => self.range(start, end, span),
            ExprKind::If { condition, then, otherwise } => self.choice(condition, then, otherwise, span),
            ExprKind::Scan(scan) => self.scan(scan, span),
            ExprKind::Error => Err(self.report.silent()),
        }
    }

    /// Values of several expressions; all are evaluated, so that all mistakes are told.
    pub fn exprs(&mut self, exprs: &'a [ast::Expr]) -> R<Vec<Value<'a>>> {
        let results: Vec<R<Value<'a>>> = exprs.iter().map(|expr| self.expr(expr)).collect();
        results.into_iter().collect()
    }

    /// Several expressions as one value: a tuple, or the only one.
    pub fn exprs_value(&mut self, exprs: &'a [ast::Expr]) -> R<Value<'a>> {
        let mut values = self.exprs(exprs)?;
        match values.len() {
            1 => Ok(values.remove(0)),
            _ => Ok(Value::Tuple(Rc::new(values))),
        }
    }

    fn tuple(&mut self, parts: &'a [ast::Expr]) -> R<Value<'a>> {
        Ok(Value::Tuple(Rc::new(self.exprs(parts)?)))
    }

    fn list(&mut self, parts: &'a [ast::Expr]) -> R<Value<'a>> {
        let mut values = Vec::new();
        for part in parts {
            match &part.kind {
                ExprKind::Splice(inner) => {
                    let value = self.expr(inner)?;
                    values.extend(self.as_shape(&value, inner.span)?.into_iter().map(Value::size));
                }
                _ => values.push(self.expr(part)?),
            }
        }
        Ok(Value::List(Rc::new(values)))
    }

    fn comprehension(&mut self, value: &'a ast::Expr, names: &'a [ast::Name], iterable: &'a ast::Expr) -> R<Value<'a>> {
        let iterated = self.expr(iterable)?;
        let items = self.items(iterated, iterable.span)?;
        let before = self.top().locals.clone();
        let mut values = Vec::new();
        let mut failed = None;
        for item in items {
            let part = self.unpack(item, names, iterable.span).and_then(|parts| {
                for (name, part) in names.iter().zip(parts) {
                    self.set_local(&name.text, part);
                }
                self.expr(value)
            });
            match part {
                Ok(part) => values.push(part),
                Err(reported) => failed = Some(reported),
            }
        }
        self.frame().locals = before;
        match failed {
            Some(reported) => Err(reported),
            None => Ok(Value::List(Rc::new(values))),
        }
    }

    /// The parts of what a `for` or a comprehension runs over.
    pub fn items(&mut self, value: Value<'a>, span: Span) -> R<Vec<Value<'a>>> {
        match value {
            Value::List(parts) | Value::Tuple(parts) => Ok(parts.to_vec()),
            Value::Pack(sizes) => Ok(sizes.iter().cloned().map(Value::size).collect()),
            Value::Range(range) => self.range_items(&range, span),
            Value::Stack(placed) => Ok(self.stack_rows(&placed)),
            Value::Zip(parts) => {
                let mut columns = Vec::new();
                for part in parts.iter() {
                    columns.push(self.items(part.clone(), span)?);
                }
                let length = columns.first().map_or(0, Vec::len);
                let row = |at: usize| columns.iter().map(|column: &Vec<Value<'a>>| column[at].clone()).collect();
                Ok((0..length).map(|at| Value::Tuple(Rc::new(row(at)))).collect())
            }
            Value::Tensor(_) | Value::Lazy(_) => {
                let error = Diagnostic::error(Code::E0122, span, "a loop does not run over a tensor")
                    .label(self.show_value(&value))
                    .help("walk along an axis with `ys = scan for x_t in x along T { …; yield y }`");
                Err(self.tell(error))
            }
            Value::Poison => Err(self.report.silent()),
            Value::Number(_) => {
                let error =
                    Diagnostic::error(Code::E0122, span, "a loop runs over a list or a range, and this is a number")
                        .help(format!("write `for i in 0..{}`", self.sources.text(span)));
                Err(self.tell(error))
            }
            other => {
                let title = format!("a loop runs over a list or a range, and this is {}", other.describe());
                self.fail(Code::E0122, span, title)
            }
        }
    }

    /// One value for each of several names.
    pub fn unpack(&mut self, value: Value<'a>, names: &[ast::Name], span: Span) -> R<Vec<Value<'a>>> {
        if names.len() == 1 {
            return Ok(vec![value]);
        }
        match value {
            Value::Tuple(parts) | Value::List(parts) if parts.len() == names.len() => Ok(parts.to_vec()),
            Value::Tuple(parts) | Value::List(parts) => {
                let values = if parts.len() == 1 { "1 value".to_string() } else { format!("{} values", parts.len()) };
                let error = Diagnostic::error(Code::E0119, span, format!("{} names for {values}", names.len()))
                    .label(self.show_parts(&parts))
                    .help(take_all(names, parts.len()));
                Err(self.tell(error))
            }
            Value::Poison => Err(self.report.silent()),
            other => {
                let title = format!("{} names for one value: this is {}", names.len(), self.show_value(&other));
                let error = Diagnostic::error(Code::E0119, span, title);
                let first = names.iter().find(|name| &*name.text != "_");
                let help = first.map(|name| format!("take it under one name: `{} = …`", name.text));
                Err(self.tell(help.into_iter().fold(error, Diagnostic::help)))
            }
        }
    }

    fn call(&mut self, callee: &'a ast::Expr, args: &'a [ast::Arg], span: Span) -> R<Value<'a>> {
        let value = match self.callee(callee) {
            Ok(value) => value,
            Err(reported) => {
                for arg in args {
                    let Some(name) = &arg.name else { continue };
                    self.report.uncalled(name.span.to(arg.value.span), callee.span);
                }
                return Err(reported);
            }
        };
        let site = CallSite { span, callee: callee.span, name: self.sources.text(callee.span).to_string() };
        self.call_value(value, args_of(args), &site, None)
    }

    /// What is called; a method of a tensor is told with the function's name.
    fn callee(&mut self, callee: &'a ast::Expr) -> R<Value<'a>> {
        self.expr(callee)
    }

    fn field(&mut self, base: &'a ast::Expr, name: &'a ast::Name) -> R<Value<'a>> {
        if let ExprKind::Name(text) = &base.kind
            && let Some(file) = self.file_alias(text, base.span)?
        {
            return self.item_of_file(file, name);
        }
        if let Some(advice) = self.instead_of_library(base, name)? {
            return Err(advice);
        }
        let value = self.expr(base)?;
        let owner = self.sources.text(base.span).to_string();
        match value {
            Value::View(placed, view) => match self.member_through(&placed, view, name)? {
                Some(value) => Ok(value),
                None => Err(self.no_member(placed.id, name)),
            },
            Value::Instance(id) => match self.member(id, &name.text, name.span)? {
                Some(value) => Ok(value),
                None => Err(self.no_member(id, name)),
            },
            Value::Row(placed) => {
                let found = self.with_rows(&placed.rows, |cx| cx.member(placed.id, &name.text, name.span))?;
                match found {
                    Some(value) => Ok(self.through_rows(value, &placed.rows)),
                    None => Err(self.no_member(placed.id, name)),
                }
            }
            Value::Stack(placed) => self.stack_field(&placed, name, &owner),
            Value::Tensor(_) | Value::Lazy(_) | Value::Number(_) => {
                let title = format!("`{owner}` is a tensor and has no `.{}`", name.text);
                let error = Diagnostic::error(Code::E0120, name.span, title).also(base.span, self.show_value(&value));
                let help = self.instead_of_method(&name.text);
                Err(self.tell(help.into_iter().fold(error, Diagnostic::help)))
            }
            other => {
                let title = format!("`{owner}` is {} and has no `.{}`", other.describe(), name.text);
                let error = Diagnostic::error(Code::E0120, name.span, title);
                let known = matches!(&*name.text, "step" | "zero_grad" | "parameters" | "fit" | "minimize");
                let help = match (&other, &*name.text) {
                    (Value::List(_), "append" | "add" | "push") => {
                        Some(format!("write `{owner} = append({owner}, x)`"))
                    }
                    _ => habits::instead_of_method(&name.text).filter(|_| known).map(str::to_string),
                };
                Err(self.tell(help.into_iter().fold(error, Diagnostic::help)))
            }
        }
    }

    fn no_member(&mut self, id: InstanceId, name: &'a ast::Name) -> Reported {
        let layer = self.instance(id).layer.name.text.clone();
        let near = scope::nearest(&name.text, self.member_names(id)).map(str::to_string);
        let mut error = Diagnostic::error(Code::E0101, name.span, format!("`{layer}` has no member `{}`", name.text));
        if let Some(near) = near {
            error = error.help(format!("did you mean `{near}`?"));
        } else {
            error = habits::instead_of_member(&name.text).into_iter().fold(error, Diagnostic::help);
        }
        self.tell(error)
    }

    /// `nn.Linear`, `torch.optim.Adam`: told with the name that it has here.
    fn instead_of_library(&mut self, base: &'a ast::Expr, name: &'a ast::Name) -> R<Option<Reported>> {
        let mut root = base;
        while let ExprKind::Field { base, .. } = &root.kind {
            root = base;
        }
        let ExprKind::Name(text) = &root.kind else { return Ok(None) };
        if !habits::is_library(text) || self.find_name(text, root.span)?.is_some() {
            return Ok(None);
        }
        let here = match habits::instead_of(&name.text) {
            Some(advice) => Some(advice.to_string()),
            None => {
                let prefix = self.sources.text(base.span);
                self.find_name(&name.text, name.span)?.map(|_| format!("leave `{prefix}.` out: `{}`", name.text))
            }
        };
        let near = || self.function_near(&name.text).map(|near| format!("did you mean `{near}`?"));
        let Some(here) = here.or_else(near) else { return Ok(None) };
        let title = format!("unknown name `{text}`");
        let error = Diagnostic::error(Code::E0101, root.span, title).help(here);
        Ok(Some(self.tell(error)))
    }

    /// What to write for `x.NAME`: a habit's word here, or the function of that name or of one that is near.
    fn instead_of_method(&self, name: &str) -> Option<String> {
        if let Some(habit) = habits::instead_of_method(name) {
            return Some(habit.to_string());
        }
        match self.function_near(name)? {
            known if known == name => Some(format!("write `{name}(x, …)` or `x |> {name}(…)`")),
            near => Some(format!("did you mean `{near}(x, …)`?")),
        }
    }

    /// A member of all layers of a stack: its weights as one tensor with a leading axis, its parts as stacks.
    fn stack_field(&mut self, placed: &Placed, name: &'a ast::Name, owner: &str) -> R<Value<'a>> {
        let found = self.with_rows(&placed.rows, |cx| cx.member(placed.id, &name.text, name.span))?;
        match found {
            Some(Value::Function(_)) => {
                let title = format!("`{owner}` is a stack of layers, and `{}` is called on one of them", name.text);
                let error = Diagnostic::error(Code::E0122, name.span, title)
                    .help(format!("walk through it: `for block in {owner} {{ x = block.{}(x) }}`", name.text));
                Err(self.tell(error))
            }
            Some(Value::Instance(id)) => Ok(Value::Stack(Placed { id, rows: placed.rows.clone() })),
            Some(value) => Ok(value),
            None => Err(self.no_member(placed.id, name)),
        }
    }

    fn unary(&mut self, op: ast::UnaryOp, operand: &'a ast::Expr, span: Span) -> R<Value<'a>> {
        let value = self.expr(operand)?;
        match (op, value) {
            (ast::UnaryOp::Neg, Value::Number(number)) => match number::unary(UnaryOp::Neg, &number) {
                Ok(number) => Ok(Value::Number(number)),
                Err(_) => self.fail(Code::E0114, span, "this number is too large"),
            },
            (ast::UnaryOp::Not, Value::Bool(value)) => Ok(Value::Bool(!value)),
            (ast::UnaryOp::Neg, value) => {
                let x = self.tensor(value, operand.span)?;
                if x.dtype == DType::Bool {
                    return self.fail(Code::E0104, span, "`-` does not take bool");
                }
                self.unary_tensor(UnaryOp::Neg, &x, span).map(Value::Tensor)
            }
            (ast::UnaryOp::Not, value) => {
                let x = self.tensor(value, operand.span)?;
                if x.dtype != DType::Bool {
                    return self.fail(Code::E0104, span, format!("`not` takes bool, and this is {}", self.show(&x)));
                }
                self.unary_tensor(UnaryOp::Not, &x, span).map(Value::Tensor)
            }
        }
    }

    fn binary(&mut self, op: ast::BinaryOp, op_span: Span, left: &'a ast::Expr, right: &'a ast::Expr) -> R<Value<'a>> {
        let place = Operation { symbol: op.symbol(), span: op_span, left: left.span, right: right.span };
        let a = self.expr(left);
        if let (ast::BinaryOp::And, Ok(Value::Bool(false))) | (ast::BinaryOp::Or, Ok(Value::Bool(true))) = (op, &a) {
            return a;
        }
        let b = self.expr(right);
        self.operate(op, a?, b?, place)
    }

    /// `a op b` for any operator.
    pub fn operate(&mut self, op: ast::BinaryOp, a: Value<'a>, b: Value<'a>, place: Operation<'_>) -> R<Value<'a>> {
        if let Some(op) = compare_op(op) {
            return self.compare_values(op, a, b, place);
        }
        match op {
            ast::BinaryOp::Add => self.binary_values(BinaryOp::Add, a, b, place),
            ast::BinaryOp::Sub => self.binary_values(BinaryOp::Sub, a, b, place),
            ast::BinaryOp::Mul => self.binary_values(BinaryOp::Mul, a, b, place),
            ast::BinaryOp::Div => self.binary_values(BinaryOp::Div, a, b, place),
            ast::BinaryOp::Rem => self.binary_values(BinaryOp::Rem, a, b, place),
            ast::BinaryOp::Pow => self.binary_values(BinaryOp::Pow, a, b, place),
            ast::BinaryOp::MatMul => self.matmul(a, b, place),
            ast::BinaryOp::And => self.logic_values(BinaryOp::And, a, b, place),
            ast::BinaryOp::Or => self.logic_values(BinaryOp::Or, a, b, place),
            ast::BinaryOp::Eq
            | ast::BinaryOp::Ne
            | ast::BinaryOp::Lt
            | ast::BinaryOp::Le
            | ast::BinaryOp::Gt
            | ast::BinaryOp::Ge => mlc_ir::internal_error("resolver", "a comparison that is none"),
        }
    }

    fn range(&mut self, start: &'a ast::Expr, end: &'a ast::Expr, span: Span) -> R<Value<'a>> {
        if let ExprKind::Range { .. } = start.kind {
            let error = Diagnostic::error(Code::E0122, span, "a range has no step")
                .help("run over fewer numbers and multiply: `for i in 0..5 { x = x + 2 * i }`");
            return Err(self.tell(error));
        }
        let (low, high) = (self.range_end(start), self.range_end(end));
        let (low, high) = (low?, high?);
        let counts_down = |length: &Dim| length.range().1 < 0;
        let length = match high.sub(&low) {
            Ok(length) if counts_down(&length) && is_meant_down(start, end, &high) => {
                return Err(self.counts_down(start, end, span));
            }
            Ok(length) if length.as_const().is_some_and(|length| length < 0) => Dim::zero(),
            Ok(length) => length,
            Err(_) => return self.fail(Code::E0114, span, "this range is too large"),
        };
        Ok(Value::Range(Rc::new(Range { low, length })))
    }

    fn counts_down(&mut self, start: &'a ast::Expr, end: &'a ast::Expr, span: Span) -> Reported {
        let (low, high) = (self.sources.text(end.span), self.sources.text(start.span));
        let error = Diagnostic::error(Code::E0122, span, "this range counts down, so there is nothing in it")
            .note("a range goes up from its start to the number before its end")
            .help(format!("count up, `{low}..{high}`, or from above: `reversed({low}..{high})`"));
        self.tell(error)
    }

    fn range_end(&mut self, expr: &'a ast::Expr) -> R<Dim> {
        let value = self.expr(expr)?;
        if let Value::Tensor(_) | Value::Lazy(_) = &value {
            let text = self.sources.text(expr.span).to_string();
            let title = format!("the end of a range is known when compiling, and this is {}", self.show_value(&value));
            let error = Diagnostic::error(Code::E0110, expr.span, title)
                .help(format!("give a bound and stop earlier: `for k in 0..256 while k < {text}`"));
            return Err(self.tell(error));
        }
        Ok(self.as_size(value, expr.span)?.dim)
    }

    /// The numbers of a range, as a list.
    fn range_items(&mut self, range: &Range, span: Span) -> R<Vec<Value<'a>>> {
        let (Some(low), Some(length)) = (range.low.as_const(), range.length.as_const()) else {
            let shown = self.show_dim(&range.length);
            let title = format!("this range has `{shown}` numbers, and a list is known when compiling");
            return self.fail(Code::E0110, span, title);
        };
        if length > MOST_PARTS {
            let error = Diagnostic::error(Code::E0003, span, format!("a list of {length} numbers is too long"))
                .note(format!("lists have at most {MOST_PARTS} parts, and so many passes of a loop are unrolled"));
            return Err(self.tell(error));
        }
        Ok((low..low + length).map(Value::int).collect())
    }

    /// An integer that is known when compiling.
    pub fn static_int(&mut self, expr: &'a ast::Expr) -> R<i64> {
        let value = self.expr(expr)?;
        self.as_int(&value, expr.span)
    }

    /// A value as an integer that is known when compiling.
    pub fn as_int(&mut self, value: &Value<'a>, span: Span) -> R<i64> {
        match value {
            Value::Number(number) => match (number.as_int(), number.as_size()) {
                (Some(value), _) => Ok(value),
                (None, Some(size)) => {
                    let title = format!("`{}` is not known when compiling", self.show_dim(&size.dim));
                    self.fail(Code::E0110, span, title)
                }
                (None, None) => self.fail(Code::E0122, span, "an integer is needed here, and this is a float"),
            },
            Value::Poison => Err(self.report.silent()),
            Value::Tensor(_) | Value::Lazy(_) => {
                let title =
                    format!("an integer known when compiling is needed here, and this is {}", self.show_value(value));
                self.fail(Code::E0110, span, title)
            }
            other => {
                let title = format!("an integer is needed here, and this is {}", self.show_value(other));
                self.fail(Code::E0122, span, title)
            }
        }
    }

    /// A condition: known, or a run-time scalar. A tensor is refused with the way out.
    pub fn truth(&mut self, value: Value<'a>, span: Span) -> R<Truth> {
        match value {
            Value::Bool(value) => Ok(Truth::Known(value)),
            Value::Tensor(tensor) if tensor.dtype == DType::Bool && tensor.axes.is_empty() => {
                Ok(Truth::Runtime(tensor))
            }
            Value::Poison => Err(self.report.silent()),
            Value::Tensor(tensor) if !tensor.axes.is_empty() => {
                let shown = self.show(&tensor);
                let error = Diagnostic::error(
                    Code::E0116,
                    span,
                    format!("the condition is {shown}, and one truth value is needed"),
                )
                .help("choose element by element with `where(x > 0, a, b)`, or ask `any(…)` or `all(…)`");
                Err(self.tell(error))
            }
            other => {
                let shown = self.show_value(&other);
                let error = Diagnostic::error(
                    Code::E0116,
                    span,
                    format!("the condition is {shown}, and a truth value is needed"),
                )
                .help(match self.sources.text(span) {
                    name if name.chars().all(|c| c.is_alphanumeric() || c == '_') => format!("compare: `{name} != 0`"),
                    _ => "compare: `x != 0`".to_string(),
                });
                Err(self.tell(error))
            }
        }
    }
}

/// What is known of a condition.
#[derive(Debug)]
pub(crate) enum Truth {
    Known(bool),
    Runtime(crate::value::Tensor),
}

/// Whether somebody who wrote a range that has no numbers meant it to count down: both ends are written as numbers,
/// or it ends at 0 or below. Where ends are computed a range may come to nothing, as in `2..Depth`.
fn is_meant_down(start: &ast::Expr, end: &ast::Expr, high: &Dim) -> bool {
    is_written(end) && (is_written(start) || high.range().1 <= 0)
}

/// Whether an expression is a number as it stands.
fn is_written(expr: &ast::Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) => true,
        ExprKind::Unary { operand, .. } => is_written(operand),
        ExprKind::Binary { left, right, .. } => is_written(left) && is_written(right),
        _ => false,
    }
}

/// `a, b, _ = …` for the names that were written, and as many as there are values.
fn take_all(names: &[ast::Name], count: usize) -> String {
    if names.len() > count {
        return "give as many names as there are values".to_string();
    }
    let written = names.iter().map(|name| &*name.text);
    let all: Vec<&str> = written.chain(std::iter::repeat("_")).take(count).collect();
    format!("take all of them, `{} = …`; `_` drops one", all.join(", "))
}
