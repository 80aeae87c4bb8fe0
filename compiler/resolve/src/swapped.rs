//! Arguments that stand in each other's places: `cross_entropy(label, logits)`.

use crate::calls::{CallSite, Given};
use crate::cx::Cx;
use crate::types::{Element, Form};
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// Refuses two tensors that fit only each other's types: one mistake, and not one for each.
    pub fn refuse_swapped(&mut self, params: &'a [ast::Param], given: &[Option<Given<'a>>], site: &CallSite) -> R<()> {
        let mut amiss = Vec::new();
        for (param, given) in params.iter().zip(given) {
            if let Some((value @ Value::Tensor(_), span)) = given
                && !self.could_be(&param.ty, value)?
            {
                amiss.push((param, value, *span));
            }
        }
        let [(first, a, a_span), (second, b, b_span)] = amiss[..] else { return Ok(()) };
        if !self.could_be(&first.ty, b)? || !self.could_be(&second.ty, a)? {
            return Ok(());
        }
        let name = &site.name;
        let title = format!("two arguments of `{name}` stand in each other's places");
        let takes = |param: &ast::Param| format!("`{}: {}`", param.name.text, self.sources.text(param.ty.span));
        let error = Diagnostic::error(Code::E0103, site.callee, title)
            .also(a_span, format!("{}, given for {}", self.show_value(a), takes(first)))
            .also(b_span, format!("{}, given for {}", self.show_value(b), takes(second)));
        let help = match self.with_swapped(site.span, a_span, b_span) {
            Some(call) => format!("write `{call}`"),
            None => "give each argument in the other's place".to_string(),
        };
        Err(self.tell(error.help(help)))
    }

    /// Whether a tensor's dtype and number of axes are such as a type has.
    fn could_be(&mut self, ty: &'a ast::Type, value: &Value<'a>) -> R<bool> {
        let (Value::Tensor(tensor), Form::Tensor { element, axes }) = (value, self.form(ty)?) else { return Ok(true) };
        let is_dtype = match element {
            Element::Exact(dtype) => dtype == tensor.dtype,
            Element::Class(class) => class.takes(tensor.dtype),
        };
        let is_pack = |axis: &ast::Axis| matches!(axis.kind, ast::AxisKind::Pack(_) | ast::AxisKind::HolePack);
        let is_rank = match axes.iter().any(is_pack) {
            true => tensor.rank() + 1 >= axes.len(),
            false => tensor.rank() == axes.len(),
        };
        Ok(is_dtype && is_rank)
    }

    /// The text of a call with two of its parts exchanged; not of one over several lines.
    fn with_swapped(&self, call: Span, a: Span, b: Span) -> Option<String> {
        let (first, second) = if a.lo < b.lo { (a, b) } else { (b, a) };
        if first.lo < call.lo || second.hi > call.hi || first.hi > second.lo || a.file != call.file {
            return None;
        }
        let between = |lo, hi| self.sources.text(Span { file: call.file, lo, hi });
        let parts = [
            between(call.lo, first.lo),
            self.sources.text(second),
            between(first.hi, second.lo),
            self.sources.text(first),
            between(second.hi, call.hi),
        ];
        let text = parts.concat();
        (!text.contains('\n')).then_some(text)
    }
}
