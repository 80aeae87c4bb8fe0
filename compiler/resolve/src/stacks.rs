//! Stacks `[Block(D); n]`: one instance whose weights and states have a leading axis of n, and its
//! rows, each a block of its own (rules 15, 18, 19).

use crate::cx::Cx;
use crate::faults::Indices;
use crate::value::{Callee, Function, InstanceId, Owner, R, Size, Tensor, Value};
use mlc_ir::dim::Dim;
use mlc_ir::graph::Checked;
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// A row that was chosen of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub stack: InstanceId,
    pub at: RowAt,
}

/// Which row.
#[derive(Clone, Debug)]
pub(crate) enum RowAt {
    /// Known when compiling.
    Number(Dim),
    /// An integer scalar that is known to be in range.
    Position(Tensor),
}

/// An instance seen through rows of the stacks that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub id: InstanceId,
    pub rows: Rc<Vec<Row>>,
}

impl<'a> Cx<'a> {
    /// `[value; count]`
    pub fn stack(&mut self, value: &'a ast::Expr, count: &'a ast::Expr, span: Span) -> R<Value<'a>> {
        let made = self.expr(value)?;
        let number = self.expr(count)?;
        let size = self.as_size(number, count.span)?;
        match (made, size.dim.as_const()) {
            (_, Some(count_now)) if count_now < 1 => {
                self.fail(Code::E0114, count.span, format!("a stack of {count_now}: it has at least one layer"))
            }
            (Value::Instance(id), Some(_)) if self.is_new(id) => {
                self.instances[id.0 as usize].stack = Some(size);
                Ok(Value::Stack(Placed { id, rows: Rc::new(Vec::new()) }))
            }
            (Value::Instance(_), Some(_)) => {
                let error = Diagnostic::error(Code::E0122, value.span, "this layer has been made before")
                    .note("a stack makes its own layers, each with its own weights")
                    .help("make it in the stack: `[Block(D); 12]`");
                Err(self.tell(error))
            }
            (Value::Instance(_), None) => {
                let shown = self.show_dim(&size.dim);
                let title = format!("the number of layers is `{shown}`, which changes from call to call");
                self.fail(Code::E0110, count.span, title)
            }
            (other, _) => {
                let title = format!("a stack repeats a layer, and this is {}", self.show_value(&other));
                let text = (self.sources.text(value.span), self.sources.text(count.span));
                let error = Diagnostic::error(Code::E0122, span, title)
                    .help(format!("write a list: `[{} for i in 0..{}]`", text.0, text.1));
                Err(self.tell(error))
            }
        }
    }

    /// Whether nobody has bound an instance yet, and it is not a stack.
    fn is_new(&self, id: InstanceId) -> bool {
        let instance = self.instance(id);
        instance.place == crate::instances::Place::Loose && instance.stack.is_none()
    }

    /// The number of layers in a stack.
    pub fn stack_count(&self, id: InstanceId) -> Size {
        self.instance(id).stack.clone().unwrap_or_else(|| Size::plain(1))
    }

    /// A row of a stack.
    pub fn stack_row(&self, id: InstanceId, outer: &Rc<Vec<Row>>, at: RowAt) -> Value<'a> {
        let mut rows = outer.to_vec();
        rows.push(Row { stack: id, at });
        Value::Row(Placed { id, rows: Rc::new(rows) })
    }

    /// The rows of a stack, one by one.
    pub fn stack_rows(&self, placed: &Placed) -> Vec<Value<'a>> {
        let count = self.stack_count(placed.id).dim.as_const().unwrap_or(0);
        (0..count).map(|at| self.stack_row(placed.id, &placed.rows, RowAt::Number(Dim::from(at)))).collect()
    }

    /// `blocks[i]`
    pub fn index_stack(&mut self, placed: &Placed, indices: &'a [ast::Index], span: Span) -> R<Value<'a>> {
        let [ast::Index::At(expr)] = indices else {
            return self.fail(Code::E0122, span, "a stack is indexed by one integer");
        };
        let count = self.stack_count(placed.id).dim;
        match self.expr(expr)? {
            value @ Value::Number(_) => {
                let place = self.as_size(value, expr.span)?.dim;
                let place = match (place.as_const(), count.add(&place)) {
                    (Some(number), Ok(from_end)) if number < 0 => from_end,
                    _ => place,
                };
                match (place.as_const(), count.as_const()) {
                    (Some(at), Some(count)) if (0..count).contains(&at) => {
                        Ok(self.stack_row(placed.id, &placed.rows, RowAt::Number(place)))
                    }
                    (Some(at), Some(count)) => {
                        self.fail(Code::E0117, expr.span, format!("there is no layer {at} in a stack of {count}"))
                    }
                    _ => {
                        let at = self.dim_tensor(&place, DType::I32, expr.span)?;
                        self.row_at(placed, &at, &count, expr.span)
                    }
                }
            }
            value @ (Value::Tensor(_) | Value::Lazy(_)) => {
                let at = self.tensor(value, expr.span)?;
                if !at.axes.is_empty() || at.dtype.is_float() || at.dtype == DType::Bool {
                    let shown = self.show(&at);
                    let title = format!("a stack is indexed by one integer, and this is {shown}");
                    return self.fail(Code::E0122, expr.span, title);
                }
                self.row_at(placed, &at, &count, expr.span)
            }
            other => {
                let title = format!("a stack is indexed by one integer, and this is {}", self.show_value(&other));
                self.fail(Code::E0122, expr.span, title)
            }
        }
    }

    fn row_at(&mut self, placed: &Placed, at: &Tensor, count: &Dim, span: Span) -> R<Value<'a>> {
        let text = format!("layer of `{}`", self.instance_name(placed.id));
        self.fault_outside(&Indices { ids: at, bound: count.clone(), text, checked: Checked::Index }, span)?;
        let at = self.cast(at, DType::I64, span)?;
        Ok(self.stack_row(placed.id, &placed.rows, RowAt::Position(at)))
    }

    /// The stacks that an instance belongs to, outermost first.
    pub fn stacks_over(&self, id: InstanceId) -> Vec<InstanceId> {
        let instance = self.instance(id);
        let mut stacks = match &instance.place {
            crate::instances::Place::In(owner, _) => self.stacks_over(*owner),
            _ => Vec::new(),
        };
        if instance.stack.is_some() {
            stacks.push(id);
        }
        stacks
    }

    /// The leading axes of the tensors of an instance.
    pub fn stack_axes(&self, id: InstanceId) -> Vec<Size> {
        self.stacks_over(id).into_iter().map(|stack| self.stack_count(stack)).collect()
    }

    /// The row that is meant of a stack here.
    fn chosen_row(&self, stack: InstanceId) -> Option<RowAt> {
        let rows = &self.top().rows;
        rows.iter().rev().find(|row| row.stack == stack).map(|row| row.at.clone())
    }

    /// What the code of an instance sees of a whole tensor of its: the rows that were chosen.
    pub fn rows_of(&mut self, id: InstanceId, whole: &Tensor, span: Span) -> R<Tensor> {
        let mut tensor = whole.clone();
        let mut axis = 0;
        for stack in self.stacks_over(id) {
            match self.chosen_row(stack) {
                Some(at) => tensor = self.row_of(&tensor, axis, &at, span)?,
                None => axis += 1,
            }
        }
        Ok(tensor)
    }

    fn row_of(&mut self, whole: &Tensor, axis: usize, at: &RowAt, span: Span) -> R<Tensor> {
        let mut axes = whole.axes.clone();
        match at {
            RowAt::Number(place) => {
                axes[axis] = Size::plain(1);
                let mut starts = vec![Dim::zero(); axes.len()];
                starts[axis] = place.clone();
                let sizes = crate::value::shape_of(&axes);
                let op = Slice { starts, sizes, steps: vec![1; axes.len()] };
                let cut = self.emit(span, op, &[whole], axes.clone())?;
                axes.remove(axis);
                self.reshape(&cut, axes, span)
            }
            RowAt::Position(position) => {
                axes.remove(axis);
                self.emit(span, Gather { axis, batch: 0 }, &[whole, position], axes)
            }
        }
    }

    /// A whole tensor with a new value in the row that was chosen.
    pub fn with_row(&mut self, id: InstanceId, whole: &Tensor, row: &Tensor, span: Span) -> R<Tensor> {
        let Some(mut starts) = self.row_places(id, span)? else {
            let name = self.instance_name(id);
            return self.fail(Code::E0122, span, format!("the layers of `{name}` are changed one at a time"));
        };
        let ones = std::iter::repeat_n(Size::plain(1), starts.len());
        let part = self.reshape(row, ones.chain(row.axes.iter().cloned()).collect(), span)?;
        let zero = self.dim_tensor(&Dim::zero(), DType::I64, span)?;
        starts.resize(whole.rank(), zero);
        let args: Vec<&Tensor> = [whole, &part].into_iter().chain(&starts).collect();
        self.emit(span, UpdateSlice, &args, whole.axes.clone())
    }

    /// The places of the rows that were chosen, one for each stack over an instance, as i64 scalars;
    /// nothing where a whole stack is meant.
    fn row_places(&mut self, id: InstanceId, span: Span) -> R<Option<Vec<Tensor>>> {
        let mut places = Vec::new();
        for stack in self.stacks_over(id) {
            match self.chosen_row(stack) {
                Some(RowAt::Number(place)) => places.push(self.dim_tensor(&place, DType::I64, span)?),
                Some(RowAt::Position(position)) => places.push(self.cast(&position, DType::I64, span)?),
                None => return Ok(None),
            }
        }
        Ok(Some(places))
    }

    /// Runs `job` with rows chosen.
    pub fn with_rows<T>(&mut self, rows: &Rc<Vec<Row>>, job: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        let all = self.joined_rows(rows);
        let before = std::mem::replace(&mut self.frame().rows, all);
        let result = job(self);
        self.frame().rows = before;
        result
    }

    /// The rows of this frame and `rows` behind them.
    pub fn joined_rows(&mut self, rows: &Rc<Vec<Row>>) -> Rc<Vec<Row>> {
        let own = &self.frame().rows;
        if rows.is_empty() {
            return own.clone();
        }
        Rc::new(own.iter().chain(rows.iter()).cloned().collect())
    }

    /// A member that was read through rows keeps them.
    pub fn through_rows(&self, value: Value<'a>, rows: &Rc<Vec<Row>>) -> Value<'a> {
        let joined = |own: &Rc<Vec<Row>>| Rc::new(rows.iter().chain(own.iter()).cloned().collect::<Vec<Row>>());
        match value {
            Value::Instance(id) => Value::Row(Placed { id, rows: rows.clone() }),
            Value::Row(placed) => Value::Row(Placed { rows: joined(&placed.rows), ..placed }),
            Value::Stack(placed) => Value::Stack(Placed { rows: joined(&placed.rows), ..placed }),
            Value::List(parts) => {
                Value::List(Rc::new(parts.iter().map(|part| self.through_rows(part.clone(), rows)).collect()))
            }
            Value::Tuple(parts) => {
                Value::Tuple(Rc::new(parts.iter().map(|part| self.through_rows(part.clone(), rows)).collect()))
            }
            Value::Function(Function { callee: Callee::Fn { decl, file, owner: Owner::Instance(id) }, bound }) => {
                let owner = Owner::Row(Placed { id, rows: rows.clone() });
                Value::Function(Function { callee: Callee::Fn { decl, file, owner }, bound })
            }
            other => other,
        }
    }
}
