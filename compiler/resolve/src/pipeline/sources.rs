//! Where rows come from. Files are not opened here: that is done when the run starts.

use super::{rows, sides};
use crate::builtins::Args;
use crate::cx::Cx;
use crate::program::{Pipeline, Stage, Tokens};
use crate::value::{R, Value};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::rc::Rc;

/// Longest row of tokens.
const MOST_TOKENS: i64 = 1 << 24;

fn source<'a>(args: &Args<'a>, stage: Stage) -> Value<'a> {
    Value::Pipeline(Rc::new(Pipeline { stages: vec![stage], span: args.site.span }))
}

pub(super) fn idx<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let prefix = path(cx, &args, "prefix")?;
    let labels = args.bool_or(cx, "labels", true)?;
    Ok(source(&args, Stage::Idx { prefix, labels }))
}

pub(super) fn csv<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let path = path(cx, &args, "path")?;
    let header = args.bool_or(cx, "header", true)?;
    Ok(source(&args, Stage::Csv { path, header }))
}

pub(super) fn arrays<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let path = path(cx, &args, "path")?;
    Ok(source(&args, Stage::Arrays { path }))
}

pub(super) fn images<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let dir = path(cx, &args, "dir")?;
    let (height, width) = sides(cx, &args)?;
    Ok(source(&args, Stage::Images { dir, height, width }))
}

pub(super) fn text<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let path = path(cx, &args, "path")?;
    let (tokens, _) = args.text(cx, "tokens")?;
    let tokens = match &*tokens {
        "chars" => Tokens::Chars,
        "bytes" => Tokens::Bytes,
        file => Tokens::File(file.to_string()),
    };
    let window = tokens_in(cx, &args, "window")?;
    Ok(source(&args, Stage::Text { path, tokens, window }))
}

fn tokens_in<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str) -> R<i64> {
    let count = rows(cx, args, name, 1)?;
    if count > MOST_TOKENS {
        let (_, span) = args.need(cx, name)?;
        return cx.fail(Code::E0205, span, format!("`{name}` is {count}, and at most {MOST_TOKENS} is possible"));
    }
    Ok(count)
}

pub(super) fn pairs<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (path, vocab) = (path(cx, &args, "path")?, path(cx, &args, "vocab")?);
    let (value, span) = args.need(cx, "bucket")?;
    let parts = match &value {
        Value::List(parts) | Value::Tuple(parts) => parts.to_vec(),
        single => vec![single.clone()],
    };
    let mut buckets: Vec<i64> = Vec::new();
    for part in &parts {
        let size = cx.as_int(part, span)?;
        let rises = buckets.last().is_none_or(|last| *last < size);
        if !(1..=MOST_TOKENS).contains(&size) || !rises {
            let error = Diagnostic::error(Code::E0205, span, "buckets are lengths that rise, each at least 1")
                .help("write `bucket: [16, 32, 64]`");
            return Err(cx.tell(error));
        }
        buckets.push(size);
    }
    if buckets.is_empty() {
        return cx.fail(Code::E0205, span, "there is no bucket: `bucket: [16, 32, 64]`");
    }
    Ok(source(&args, Stage::Pairs { path, vocab, buckets }))
}

fn path<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str) -> R<String> {
    let (path, span) = args.text(cx, name)?;
    if path.is_empty() {
        return cx.fail(Code::E0205, span, format!("`{name}` of `{}` is empty", args.builtin.name));
    }
    Ok(path.to_string())
}
