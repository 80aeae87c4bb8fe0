//! The passes of a loop whose body is evaluated once: what its names stand for at a position, and the
//! statements of the body.

use crate::cx::Cx;
use crate::nest::{KnownIndex, LoopForm, Pass, Source};
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::ops::gather::Gather;
use mlc_ir::scalar::{BinaryOp, CompareOp};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

impl<'a> Cx<'a> {
    /// Binds the names of a pass.
    pub fn bind_items(&mut self, form: &LoopForm<'a>, position: &Tensor) -> R<()> {
        for (names, source) in &form.items {
            let span = names.first().map_or(form.span, |name| name.span);
            let value = self.item_at(source, position, &form.trip, span)?;
            let values = self.unpack(value, names, span)?;
            for (name, value) in names.iter().zip(values) {
                if &*name.text != "_" {
                    self.set_local(&name.text, value);
                }
            }
        }
        Ok(())
    }

    /// What a source gives at a position.
    fn item_at(&mut self, source: &Source, position: &Tensor, trip: &Dim, span: Span) -> R<Value<'a>> {
        match source {
            Source::Count { low } => {
                let index = self.cast(position, DType::I32, span)?;
                let index = match low.is(0) {
                    true => index,
                    false => {
                        let low = self.dim_tensor(low, DType::I32, span)?;
                        self.binary_tensor(BinaryOp::Add, &index, &low, span)?
                    }
                };
                let high = low.add(trip).unwrap_or_else(|_| trip.clone());
                if matches!(self.entry.loops.last(), Some(Pass::Looped(own)) if *own == position.value) {
                    self.entry.indices.push(KnownIndex { value: index.value, low: low.clone(), high });
                }
                Ok(Value::index(index))
            }
            Source::Rows(whole) => {
                let axes = whole.axes[1..].to_vec();
                self.emit(span, Gather { axis: 0, batch: 0 }, &[whole, position], axes).map(Value::Tensor)
            }
            Source::Stack(id, rows) => Ok(self.stack_row(*id, rows, crate::stacks::RowAt::Position(position.clone()))),
            Source::Zip(parts) => {
                let parts: R<Vec<Value<'a>>> =
                    parts.iter().map(|part| self.item_at(part, position, trip, span)).collect();
                Ok(Value::Tuple(Rc::new(parts?)))
            }
        }
    }

    /// Runs the statements of a body; gives what it yields.
    pub fn run_body(&mut self, form: &LoopForm<'a>) -> R<Vec<Tensor>> {
        let mut failed = None;
        let mut yields = Vec::new();
        for stmt in &form.body.stmts {
            let result = match &stmt.kind {
                StmtKind::Yield(values) if form.what == "scan" => self.yielded(values).map(|found| {
                    yields = found;
                    None
                }),
                _ => self.run_stmt(stmt),
            };
            match result {
                Ok(None) => {}
                Ok(Some((_, span))) => failed = Some(self.returns(span)),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(yields),
        }
    }

    /// E0121: `return` in a loop.
    pub fn returns(&mut self, span: Span) -> Reported {
        let error = Diagnostic::error(Code::E0121, span, "there is no `return` from a loop")
            .help("give the value a name before the loop, assign it inside, and return it behind");
        self.tell(error)
    }

    fn yielded(&mut self, values: &'a [ast::Expr]) -> R<Vec<Tensor>> {
        let mut tensors = Vec::new();
        let mut failed = None;
        for expr in values {
            match self.expr(expr).and_then(|value| self.yielded_tensors(value, expr.span)) {
                Ok(found) => tensors.extend(found),
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(tensors),
        }
    }

    fn yielded_tensors(&mut self, value: Value<'a>, span: Span) -> R<Vec<Tensor>> {
        match value {
            Value::Tuple(parts) => {
                let mut tensors = Vec::new();
                for part in parts.iter() {
                    tensors.extend(self.yielded_tensors(part.clone(), span)?);
                }
                Ok(tensors)
            }
            single => Ok(vec![self.tensor(single, span)?]),
        }
    }

    /// `a op b` of two tensors of one type.
    pub fn binary_tensor(&mut self, op: BinaryOp, a: &Tensor, b: &Tensor, span: Span) -> R<Tensor> {
        self.emit(span, mlc_ir::ops::binary::Binary { op }, &[a, b], a.axes.clone())
    }

    /// `a op b` of two tensors of one type.
    pub fn compare_tensors(&mut self, op: CompareOp, a: &Tensor, b: &Tensor, span: Span) -> R<Tensor> {
        self.emit(span, mlc_ir::ops::compare::Compare { op }, &[a, b], a.axes.clone())
    }

    /// A size as a scalar.
    pub fn dim_tensor(&mut self, dim: &Dim, dtype: DType, span: Span) -> R<Tensor> {
        self.materialise(Value::size(Size::plain(dim.clone())), dtype, span)
    }
}
