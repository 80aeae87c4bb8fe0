//! `gradient(y, x)`: a gradient as a value (rule 24).

use super::{Args, Builtin, named};
use crate::cx::Cx;
use crate::nest::Pass;
use crate::report::Reported;
use crate::value::{R, Tensor, Value};
use mlc_ir::autodiff::{self, Cut};
use mlc_ir::nested::made_of;
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
    cx.refuse_partial_gradient(&y, &wrt, args.site.span)?;
    cx.entry.builder.span = cx.place(args.site.span);
    let values: Vec<_> = wrt.iter().map(|tensor| tensor.value).collect();
    let found = autodiff::gradient(&mut cx.graph, &mut cx.entry.builder, y.value, &values);
    let mut parts = Vec::new();
    let mut failed = None;
    for (tensor, found) in wrt.into_iter().zip(found) {
        match found {
            Ok(value) => parts.push(Value::Tensor(Tensor { value, ..tensor })),
            Err(cut) => failed = Some(cx.no_gradient_by(cut, y_span, by_span)),
        }
    }
    match (failed, by) {
        (Some(reported), _) => Err(reported),
        (None, Value::Tuple(_)) => Ok(Value::Tuple(Rc::new(parts))),
        (None, _) => Ok(parts.remove(0)),
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
    /// In a run-time loop, `y` may depend on a value from outside through earlier passes, which are not
    /// seen here.
    fn refuse_partial_gradient(&mut self, y: &Tensor, wrt: &[Tensor], span: Span) -> R<()> {
        let Some(Pass::Looped(_)) = self.entry.loops.last() else { return Ok(()) };
        let region = self.entry.builder.region();
        let holes: Vec<_> = (0..region.values.len())
            .filter(|at| region.values[*at].def == mlc_ir::graph::Def::Hole)
            .map(|at| mlc_ir::graph::Value(at as u32))
            .filter(|value| region.ty(*value).dtype.is_float())
            .collect();
        let made = made_of(region, 0, &holes);
        let outer = wrt.iter().any(|tensor| !made[tensor.value.index()]);
        if !made[y.value.index()] || !outer {
            return Ok(());
        }
        let title = "a gradient through what a run-time loop hands on is not supported yet";
        let error = Diagnostic::error(Code::E0009, span, title)
            .note("between the two lie earlier passes, of which the loop keeps nothing here")
            .help("take the gradient behind the loop, or let the loop be unrolled: `for i in 0..8`, without `while`");
        Err(self.tell(error))
    }

    /// E0212: `y` does not depend on `x`, or not in a differentiable way.
    fn no_gradient_by(&mut self, cut: Cut, y: Span, x: Span) -> Reported {
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
