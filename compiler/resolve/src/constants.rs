//! Members and constants of a file that are tensors: `abar = cumprod(1 - linspace(1e-4, 0.02, 1000), axis: 0)`
//! (rule 13), `const Mean: f32[3] = [0.485, 0.456, 0.406]`.
//!
//! A binding is evaluated where no region is; if it turns out to be a tensor, its expression is kept
//! and evaluated in each entry that reads it. It is not saved with the weights.

use crate::cx::{Cx, FrameKind};
use crate::entry::{Entry, Mode};
use crate::matching::Matched;
use crate::value::{Bindings, InstanceId, R, Value};
use mlc_ir::ops::Op;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What binds names to a value outside of any region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub names: &'a [ast::Name],
    pub ty: Option<&'a ast::Type>,
    pub value: &'a ast::Expr,
    /// As messages call it: `binding`.
    pub what: &'static str,
}

impl<'a> Source<'a> {
    /// A binding of a layer or train block.
    pub fn of(bind: &'a ast::Bind) -> Source<'a> {
        Source { names: &bind.names, ty: bind.ty.as_ref(), value: &bind.value, what: "binding" }
    }
}

/// A binding whose value is a tensor, and what its expression sees.
#[derive(Debug)]
pub(crate) struct Deferred<'a> {
    source: Source<'a>,
    /// Which of several names it is.
    part: usize,
    key: u32,
    file: FileId,
    instance: Option<InstanceId>,
    locals: BTreeMap<Arc<str>, Value<'a>>,
    block: Rc<Bindings<'a>>,
}

impl<'a> Cx<'a> {
    /// The values of a binding's names.
    pub fn binding_values(&mut self, source: Source<'a>) -> Vec<Value<'a>> {
        let (told, made) = (self.report.mark(), self.instances.len());
        let asked = std::mem::replace(&mut self.entry.wants_region, false);
        let value = self.bound_value(source);
        let wants_region = std::mem::replace(&mut self.entry.wants_region, asked);
        match value {
            Ok(values) => values,
            Err(_) if wants_region && self.entry.mode == Mode::Static => {
                self.report.rewind(told);
                self.instances.truncate(made);
                self.deferred(source)
            }
            Err(_) => vec![Value::Poison; source.names.len()],
        }
    }

    /// The values in the region that is there, with the type that the binding says.
    fn bound_value(&mut self, source: Source<'a>) -> R<Vec<Value<'a>>> {
        let value = match source.ty {
            Some(ty) => self.declared_value(ty, source.value)?,
            None => self.expr(source.value)?,
        };
        let value = match (source.ty, source.names.first()) {
            (Some(ty), Some(name)) => {
                let what = Matched::Annotation { name: name.text.clone() };
                self.match_value(ty, value, source.value.span, what)?
            }
            _ => value,
        };
        self.unpack(value, source.names, source.value.span)
    }

    fn deferred(&mut self, source: Source<'a>) -> Vec<Value<'a>> {
        let key = self.new_scope().0;
        let frame = self.top();
        let (file, instance) = (frame.file, frame.instance);
        let (locals, block) = (frame.locals.clone(), frame.block.clone());
        let make = |part| {
            let (locals, block) = (locals.clone(), block.clone());
            Value::Deferred(Rc::new(Deferred { source, part, key, file, instance, locals, block }))
        };
        let values: Vec<Value<'a>> = (0..source.names.len()).map(make).collect();
        let Some(Value::Deferred(first)) = values.first() else { return values };
        let first = first.clone();
        // Evaluated once for its mistakes.
        let (result, entry) = self.with_entry(Entry::new(Mode::Test, "constant"), |cx| cx.evaluate_deferred(&first));
        let region = entry.builder.region();
        let reads = !region.params.is_empty();
        let draws = region.nodes.iter().any(|node| matches!(node.op, Op::Random(_)));
        match result {
            Ok(_) if reads || draws => {
                let what = if reads { "reads weights" } else { "draws random numbers" };
                let error = Diagnostic::error(
                    Code::E0110,
                    source.value.span,
                    format!("this {} {what}, and a tensor here is constant", source.what),
                )
                .help("compute it in a `fn`; what is learned is a `param`, what is drawn once is a `state`");
                self.tell(error);
                vec![Value::Poison; source.names.len()]
            }
            Ok(_) => values,
            Err(_) => vec![Value::Poison; source.names.len()],
        }
    }

    fn evaluate_deferred(&mut self, deferred: &Rc<Deferred<'a>>) -> R<Vec<Value<'a>>> {
        let mut frame = self.new_frame(FrameKind::Bindings, deferred.file);
        (frame.instance, frame.block) = (deferred.instance, deferred.block.clone());
        frame.locals = deferred.locals.clone();
        frame.path = format!("constant/{}", deferred.key);
        self.within(frame, |cx| cx.bound_value(deferred.source))
    }

    /// The value of a constant member in the entry under construction.
    pub fn read_deferred(&mut self, deferred: &Rc<Deferred<'a>>, span: Span) -> R<Value<'a>> {
        self.require_region(span)?;
        let known = self.entry.constants.get(&deferred.key).cloned();
        let values = match known {
            Some(values) => values,
            None => self.as_stored(|cx| cx.evaluate_deferred(deferred))?,
        };
        self.entry.constants.insert(deferred.key, values.clone());
        self.seen_value(values[deferred.part].clone(), span)
    }
}
