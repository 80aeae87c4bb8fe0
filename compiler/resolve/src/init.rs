//! First values of weights and states: the `init` entry, and the same values in tests.

use crate::calls::{CallSite, Expected, args_of};
use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::value::{InstanceId, R, Tensor, Value};
use mlc_ir::graph::{GlobalId, GlobalKind, Output};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::FileId;

/// How a global gets its first value.
#[derive(Clone, Debug)]
pub(crate) enum Initial<'a> {
    /// As the `param` says.
    Param { instance: InstanceId, tensor: &'a ast::Tensor },
    /// As the optimizer's `state` says.
    Optimizer { file: FileId, tensor: &'a ast::Tensor },
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
            axes: global.ty.shape.iter().map(|dim| crate::value::Size::plain(dim.clone())).collect(),
        };
        match self.initial[at].clone() {
            Initial::Param { instance, tensor } => self.param_value(instance, tensor, &expected, &global.path),
            Initial::Optimizer { file, tensor } => {
                let mut frame = self.new_frame(FrameKind::Bindings, file);
                frame.path = global.path.to_string();
                self.within(frame, |cx| cx.first_value(tensor, &expected))
            }
        }
    }

    /// The first value of a `param`.
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
        let value = self.initialiser_value(init, expected)?;
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
