//! `gradient(y, x)`: a gradient as a value (rule 24).

use super::{Args, Builtin, named};
use crate::cx::Cx;
use crate::nest::Places;
use crate::report::Reported;
use crate::value::{R, Tensor, Value};
use mlc_ir::autodiff::Cut;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

pub(super) const ALL: &[Builtin] =
    &[named("gradient", &["y", "x"], "the gradient of the scalar y by the value of a name bound before it", gradient)];

fn gradient<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (y, y_span) = args.tensor(cx, "y")?;
    if !y.dtype.is_float() || !y.axes.is_empty() {
        let shown = cx.show(&y);
        let title = format!("`gradient` needs a float scalar, and this is {shown}");
        let mut error = Diagnostic::error(Code::E0201, y_span, title);
        if y.dtype.is_float() {
            error = error.help("sum it up: `gradient(sum(y), x)`");
        }
        return Err(cx.tell(error));
    }
    let (by, by_span) = args.need(cx, "x")?;
    let mut wrt = Vec::new();
    collect(cx, &by, by_span, &mut wrt)?;
    let values = cx.gradients_of(&y, &wrt, Places { call: args.site.span, y: y_span, x: by_span })?;
    let mut parts: Vec<Value<'a>> =
        wrt.into_iter().zip(values).map(|(tensor, value)| Value::Tensor(Tensor { value, ..tensor })).collect();
    match by {
        Value::Tuple(_) => Ok(Value::Tuple(Rc::new(parts))),
        _ => Ok(parts.remove(0)),
    }
}

fn collect<'a>(cx: &mut Cx<'a>, value: &Value<'a>, span: Span, into: &mut Vec<Tensor>) -> R<()> {
    match value {
        Value::Tensor(tensor) if tensor.dtype.is_float() => {
            into.push(tensor.clone());
            Ok(())
        }
        Value::Tuple(parts) if !parts.is_empty() => parts.iter().try_for_each(|part| collect(cx, part, span, into)),
        Value::Poison => Err(cx.report.silent()),
        other => {
            let title = format!("a gradient is taken by a float tensor, and this is {}", cx.show_value(other));
            let error = Diagnostic::error(Code::E0122, span, title)
                .help("name a tensor or a parameter, `net.fc.weight`; `minimize` takes the gradients of a whole layer");
            Err(cx.tell(error))
        }
    }
}

impl<'a> Cx<'a> {
    /// E0212: `y` does not depend on `x`, or not in a differentiable way.
    pub fn no_gradient_by(&mut self, cut: Cut, y: Span, x: Span) -> Reported {
        let (value, by) = (self.sources.text(y).to_string(), self.sources.text(x).to_string());
        let mut error = Diagnostic::error(Code::E0212, x, format!("`{by}` gets no gradient from `{value}`"));
        error = match cut.at {
            Some((place, reason)) => {
                let text = format!("the gradient ends here: {}", reason.text());
                match self.span_of_place(place) {
                    Some(span) => error.also(span, text),
                    None => error.note(text),
                }
            }
            None => error
                .label(format!("`{value}` is not computed from this"))
                .also(y, "this does not use it")
                .help("the name is bound before, and the value is computed from that name"),
        };
        self.tell(error)
    }
}
