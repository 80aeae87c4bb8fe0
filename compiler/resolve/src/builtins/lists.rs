//! Static lists: `append`, `zip`, `reversed`, `len`.

use super::{Args, Arity, Builtin, named};
use crate::cx::Cx;
use crate::value::{R, Value};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::rc::Rc;

pub(super) const ALL: &[Builtin] = &[
    named("append", &["xs", "x"], "the list with one more part", append),
    named("reversed", &["xs"], "the list from back to front", reversed),
    named("len", &["xs"], "the number of parts of a list", len),
    Builtin {
        name: "zip",
        params: &[],
        more: "xs, ys, …",
        arity: Arity::Rest(0),
        initialiser: false,
        doc: "lists side by side",
        run: zip,
    },
];

fn parts<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str) -> R<Vec<Value<'a>>> {
    let (value, span) = args.need(cx, name)?;
    match value {
        Value::List(parts) | Value::Tuple(parts) => Ok(parts.to_vec()),
        Value::Pack(_) | Value::Range(_) | Value::Stack(_) | Value::Zip(_) => cx.items(value, span),
        Value::Tensor(_) | Value::Lazy(_) => {
            let error = Diagnostic::error(
                Code::E0120,
                span,
                format!("`{}` takes a list, and this is a tensor", args.builtin.name),
            )
            .help("its sizes have names in the signature, or annotate: `x: f32[B, P] = …`");
            Err(cx.tell(error))
        }
        other => cx.fail(
            Code::E0122,
            span,
            format!("`{}` takes a list, and this is {}", args.builtin.name, other.describe()),
        ),
    }
}

fn append<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let mut list = parts(cx, &args, "xs")?;
    list.push(args.need(cx, "x")?.0);
    Ok(Value::List(Rc::new(list)))
}

fn reversed<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let list = parts(cx, &args, "xs")?;
    Ok(Value::List(Rc::new(list.into_iter().rev().collect())))
}

fn len<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    Ok(Value::int(parts(cx, &args, "xs")?.len() as i64))
}

fn zip<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    cx.zip(args.rest.clone(), args.site.span)
}
