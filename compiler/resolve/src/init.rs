//! First values of weights and states: the `init` entry, and the same values in tests.

use crate::calls::{CallSite, Expected, args_of};
use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::nest::Pass;
use crate::value::{InstanceId, R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{GlobalId, GlobalKind, Output};
use mlc_ir::nested::{LoopCut, cut_loop, made_of};
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::region_ops::Trip;
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};

/// How a global gets its first value.
#[derive(Clone, Debug)]
pub(crate) enum Initial<'a> {
    /// As the `param` says.
    Param { instance: InstanceId, tensor: &'a ast::Tensor },
    /// As the optimizer's `state` says.
    Optimizer { file: FileId, tensor: &'a ast::Tensor },
    /// 0: what the compiler counts itself.
    Zero { span: Span },
}

impl<'a> Cx<'a> {
    /// Builds the entry that writes the first value of every global.
    pub fn init_entry(&mut self) -> usize {
        let entry = Entry::new(Mode::Init, "init_weights");
        let count = self.graph.globals.len();
        let (results, entry) = self.with_entry(entry, |cx| {
            let mut results = Vec::new();
            for at in 0..count {
                if cx.graph.globals[at].kind == GlobalKind::Session {
                    continue;
                }
                if let Ok(value) = cx.initial_value(at) {
                    results.push((Output::Global(GlobalId(at as u32)), value.value));
                }
            }
            results
        });
        self.add_entry(entry, results, 1)
    }

    fn initial_value(&mut self, at: usize) -> R<Tensor> {
        let global = self.graph.globals[at].clone();
        let expected = Expected {
            dtype: global.ty.dtype,
            axes: global.ty.shape.iter().map(|dim| Size::plain(dim.clone())).collect(),
        };
        match self.initial[at].clone() {
            Initial::Param { instance, tensor } => {
                let path = self.graph_path(instance, &tensor.name.text);
                self.stacked_value(instance, tensor, &expected, &path)
            }
            Initial::Zero { span } => {
                let zero = self.literal(span, Literal::zero(global.ty.dtype))?;
                self.broadcast_scalar(zero, expected.axes, span)
            }
            Initial::Optimizer { file, tensor } => {
                let mut frame = self.new_frame(FrameKind::Bindings, file);
                frame.path = global.path.to_string();
                self.within(frame, |cx| cx.first_value(tensor, &expected))
            }
        }
    }

    /// The first value of a `param` with the axes of the stacks that it belongs to: each row is made
    /// by its initialiser alone, in a loop over the rows.
    pub fn stacked_value(
        &mut self,
        id: InstanceId,
        tensor: &'a ast::Tensor,
        expected: &Expected,
        path: &str,
    ) -> R<Tensor> {
        // Draws of a first value do not depend on the loop in which it is asked for.
        let loops = std::mem::take(&mut self.entry.loops);
        let value = self.rows_value(id, tensor, expected, path);
        self.entry.loops = loops;
        value
    }

    fn rows_value(&mut self, id: InstanceId, tensor: &'a ast::Tensor, expected: &Expected, path: &str) -> R<Tensor> {
        let leading = self.stacks_over(id).len();
        if leading == 0 {
            return self.param_value(id, tensor, expected, path);
        }
        let (stacks, own) = expected.axes.split_at(leading);
        let row = Expected { dtype: expected.dtype, axes: own.to_vec() };
        let Ok(count) = Dim::product(&shape_of(stacks)) else {
            return self.fail(Code::E0114, tensor.span, "this stack is too large");
        };
        let mark = self.entry.builder.mark();
        let position = self.hole(DType::I64, Vec::new());
        self.entry.loops.push(Pass::Looped(position.value));
        let value = self.param_value(id, tensor, &row, path);
        self.entry.loops.pop();
        let value = value?;
        let region = self.entry.builder.region();
        if !made_of(region, mark, &[position.value])[value.value.index()] {
            let op = Broadcast { shape: shape_of(&expected.axes), axes: (leading..expected.axes.len()).collect() };
            return self.emit(tensor.span, op, &[&value], expected.axes.clone());
        }
        let cut = LoopCut {
            name: "rows".to_string(),
            mark,
            trip: Trip::Exact(count.clone()),
            count: None,
            position: position.value,
            carries: Vec::new(),
            stacks: vec![value.value],
            stop: None,
            whole: false,
            remat: false,
            segment: None,
            apart: false,
            narrow: false,
        };
        self.entry.builder.span = self.place(tensor.span);
        let results = cut_loop(&mut self.graph, &mut self.entry.builder, &cut);
        let axes = std::iter::once(Size::plain(count)).chain(row.axes).collect();
        let flat = Tensor { value: results.stacks[0], dtype: value.dtype, axes };
        self.reshape(&flat, expected.axes.clone(), tensor.span)
    }

    /// The first value of a `param`, of one row where it belongs to a stack.
    pub fn param_value(
        &mut self,
        id: InstanceId,
        tensor: &'a ast::Tensor,
        expected: &Expected,
        path: &str,
    ) -> R<Tensor> {
        let (file, scope) = (self.instance(id).file, self.instance(id).scope);
        let made = self.instance(id).made;
        let mut frame = self.new_frame(FrameKind::Bindings, file);
        (frame.instance, frame.scope, frame.path, frame.call) = (Some(id), scope, path.to_string(), Some(made));
        frame.session = self.session_names(id, None);
        self.within(frame, |cx| cx.first_value(tensor, expected))
    }

    fn first_value(&mut self, tensor: &'a ast::Tensor, expected: &Expected) -> R<Tensor> {
        let Some(init) = &tensor.init else {
            let name = &tensor.name.text;
            let error = Diagnostic::error(Code::E0121, tensor.span, format!("`{name}` has no initial value"))
                .help("write `= zeros()`, or an initialiser such as `glorot_uniform()`");
            return Err(self.tell(error));
        };
        let around = self.first_value.replace(init.span);
        let value = self.initialiser_value(init, expected);
        self.first_value = around;
        let value = value?;
        match self.fit_expected(value, expected, init.span)? {
            Value::Tensor(tensor) => Ok(tensor),
            other => self.fail(
                Code::E0122,
                init.span,
                format!("an initial value is a number or tensor, and this is {}", other.describe()),
            ),
        }
    }

    /// The value of an `init` expression: a call of an initialiser, or the name of one, gets the
    /// declaration's shape.
    fn initialiser_value(&mut self, init: &'a ast::Expr, expected: &Expected) -> R<Value<'a>> {
        let site = |callee: &ast::Expr, cx: &Cx<'a>| CallSite {
            span: init.span,
            callee: callee.span,
            name: cx.sources.text(callee.span).to_string(),
        };
        if let ExprKind::Call { callee, args, .. } = &init.kind {
            let called = self.expr(callee)?;
            let makes = match &called {
                Value::Function(function) => self.makes_shapes(function)?,
                _ => false,
            };
            if makes {
                let site = site(callee, self);
                return self.call_value(called, args_of(args), &site, Some(expected));
            }
        }
        match self.expr(init)? {
            called @ Value::Function(_) => {
                let site = site(init, self);
                self.call_value(called, Vec::new(), &site, Some(expected))
            }
            value => Ok(value),
        }
    }
}
