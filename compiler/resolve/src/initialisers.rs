//! Initialisers: functions whose result type is matched against the declaration that uses them.

use crate::calls::{CallSite, Expected};
use crate::cx::Cx;
use crate::listed::Listed;
use crate::matching::{Match, Matched};
use crate::types::Form;
use crate::value::{Callee, Function, R, Size, Tensor, Value, shape_of};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::span::Span;
use std::rc::Rc;
use std::sync::Arc;

impl<'a> Cx<'a> {
    /// Whether a function is an initialiser: its shape comes from the declaration that uses it.
    pub fn makes_shapes(&mut self, function: &Function<'a>) -> R<bool> {
        match &function.callee {
            Callee::Builtin(builtin) => Ok(builtin.initialiser),
            Callee::Fn { decl, .. } => self.is_initialiser(decl),
            Callee::Layer { .. } | Callee::Optimizer { .. } => Ok(false),
        }
    }

    fn is_initialiser(&mut self, decl: &'a ast::Fn) -> R<bool> {
        let Some(ast::Type { kind: ast::TypeKind::Named { axes: Some(axes), .. }, .. }) = &decl.result else {
            return Ok(false);
        };
        let no_tensors = decl.params.iter().all(|param| match &param.ty.kind {
            ast::TypeKind::Named { axes, .. } => axes.is_none(),
            ast::TypeKind::Tuple { .. } => true,
        });
        let named = |axis: &ast::Axis| match &axis.kind {
            ast::AxisKind::Pack(_) => true,
            ast::AxisKind::Size(expr) => matches!(expr.kind, ast::ExprKind::Name(_)),
            ast::AxisKind::Hole | ast::AxisKind::HolePack => false,
        };
        Ok(no_tensors && !axes.is_empty() && axes.iter().any(named))
    }

    /// An initialiser with some of its arguments: `normal(std: 0.02)`.
    pub fn partial(&mut self, function: Function<'a>, args: &'a [ast::Arg]) -> R<Value<'a>> {
        let names: Vec<Arc<str>> = match &function.callee {
            Callee::Fn { decl, .. } => decl.params.iter().map(|param| param.name.text.clone()).collect(),
            Callee::Builtin(builtin) => {
                builtin.params.iter().filter(|name| **name != "shape").map(|name| Arc::from(*name)).collect()
            }
            Callee::Layer { .. } | Callee::Optimizer { .. } => Vec::new(),
        };
        let mut bound = function.bound.to_vec();
        for (position, arg) in args.iter().enumerate() {
            let value = self.expr(&arg.value)?;
            let name = match (&arg.name, names.get(position)) {
                (Some(name), _) => name.text.clone(),
                (None, Some(name)) => name.clone(),
                (None, None) => return self.fail(Code::E0103, arg.value.span, "too many arguments for an initialiser"),
            };
            bound.push((name, value));
        }
        Ok(Value::Function(Function { callee: function.callee, bound: Rc::new(bound) }))
    }

    /// Binds the names of an initialiser's result type from the declaration; rank 1 is read as `[1, O]`.
    pub fn bind_expected(&mut self, result: &'a ast::Type, expected: &Expected, site: &CallSite) -> R<()> {
        let Form::Tensor { element, axes } = self.form(result)? else { return Ok(()) };
        let needed = axes.iter().filter(|axis| matches!(axis.kind, ast::AxisKind::Size(_))).count();
        let mut sizes = expected.axes.clone();
        if sizes.len() + 1 == needed && sizes.len() == 1 {
            sizes.insert(0, Size::plain(1));
        }
        let shown = format!("{}{}", expected.dtype, self.show_axes(&expected.axes));
        let mut found = Match { what: Matched::Declaration, span: site.span, ty: result, shown, later: Vec::new() };
        self.match_element(element, expected.dtype, &found)?;
        self.match_axes(axes, &sizes, &mut found)?;
        Ok(())
    }

    /// The value of an initialiser in the shape of the declaration.
    pub fn fit_expected(&mut self, value: Value<'a>, expected: &Expected, span: Span) -> R<Value<'a>> {
        let listed = match &value {
            Value::List(parts) => Listed::of(parts),
            _ => None,
        };
        let tensor = match listed {
            Some(listed) => self.listed_tensor(listed, expected.dtype, span)?,
            None => self.materialise(value, expected.dtype, span)?,
        };
        if tensor.dtype != expected.dtype {
            let title = format!("the initial value is {}, and {} is wanted", tensor.dtype, expected.dtype);
            return self.fail(Code::E0104, span, title);
        }
        if tensor.axes.is_empty() {
            return Ok(Value::Tensor(self.broadcast_scalar(tensor, expected.axes.clone(), span)?));
        }
        if tensor.shape() == shape_of(&expected.axes) {
            return Ok(Value::Tensor(Tensor { axes: expected.axes.clone(), ..tensor }));
        }
        if tensor.axes.len() == expected.axes.len() + 1 && tensor.axes[0].dim.is(1) {
            return Ok(Value::Tensor(self.reshape(&tensor, expected.axes.clone(), span)?));
        }
        let (is, wanted) = (self.show(&tensor), self.show_axes(&expected.axes));
        self.fail(Code::E0105, span, format!("the initial value is {is}, and the shape {wanted} is wanted"))
    }
}
