//! What is done to rows on their way, and the order it is done in.

use super::columns::Columns;
use super::{rows, sides};
use crate::builtins::Args;
use crate::cx::Cx;
use crate::program::{Pipeline, Stage};
use crate::scope;
use crate::value::{R, Value};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::rc::Rc;

/// A stage behind the pipeline in the argument `data`.
pub(super) fn stage<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let name = args.builtin.name;
    let (data, span) = args.need(cx, "data")?;
    let Value::Pipeline(before) = data else {
        let title = format!("`{name}` is a stage of a data pipeline, and this is {}", data.describe());
        let error =
            Diagnostic::error(Code::E0205, span, title).help(format!("write `idx(\"data/train\") |> {name}(…)`"));
        return Err(cx.tell(error));
    };
    check_order(cx, &args, &before)?;
    let stage = match name {
        "resize" => {
            let (height, width) = sides(cx, &args)?;
            Stage::Resize { height, width }
        }
        "augment" => augment(cx, &args)?,
        "shuffle" => Stage::Shuffle { buffer: rows(cx, &args, "buffer", 1)? },
        "take" => Stage::Take(rows(cx, &args, "n", 1)?),
        "skip" => Stage::Skip(rows(cx, &args, "n", 0)?),
        "rest" => Stage::Rest(part(cx, &args, "part")?),
        "rename" => rename(cx, &args, &before)?,
        _ => Stage::Batch(rows(cx, &args, "n", 1)?),
    };
    Ok(behind(&before, stage, &args))
}

fn behind<'a>(before: &Pipeline, stage: Stage, args: &Args<'a>) -> Value<'a> {
    let mut stages = before.stages.clone();
    stages.push(stage);
    Value::Pipeline(Rc::new(Pipeline { stages, span: before.span.to(args.site.span) }))
}

/// `split(0.9)` of a pipeline; the function of that name hands it on.
pub(crate) fn divide<'a>(cx: &mut Cx<'a>, before: &Pipeline, args: &Args<'a>) -> R<Value<'a>> {
    check_order(cx, args, before)?;
    let stage = Stage::Split(part(cx, args, "n")?);
    Ok(behind(before, stage, args))
}

/// `batch` comes last; what changes images needs a column `image` and comes before `augment`.
fn check_order<'a>(cx: &mut Cx<'a>, args: &Args<'a>, before: &Pipeline) -> R<()> {
    let name = args.builtin.name;
    if let Some(Stage::Batch(_)) = before.stages.last() {
        let title = format!("`{name}` stands behind `batch`, which comes last");
        let error =
            Diagnostic::error(Code::E0205, args.site.callee, title).help(format!("write `|> {name}(…) |> batch(…)`"));
        return Err(cx.tell(error));
    }
    if !matches!(name, "resize" | "augment") {
        return Ok(());
    }
    if before.stages.iter().any(|stage| matches!(stage, Stage::Augment { .. })) {
        let error = Diagnostic::error(Code::E0205, args.site.callee, format!("`{name}` stands behind `augment`"))
            .note("`augment` changes images anew in each epoch; what is done once comes before it")
            .help("put `augment` behind it, and only once");
        return Err(cx.tell(error));
    }
    let columns = Columns::of(before);
    if columns.may_have("image") {
        return Ok(());
    }
    let error = Diagnostic::error(
        Code::E0205,
        args.site.callee,
        format!("`{name}` changes a column `image`, and there is none"),
    )
    .also(before.span, columns.list());
    Err(cx.tell(error))
}

/// A part of all rows, above 0 and below 1.
fn part<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str) -> R<f64> {
    let (value, span) = args.need(cx, name)?;
    match &value {
        Value::Number(number) if number.as_f64().is_some_and(|part| part > 0.0 && part < 1.0) => {
            Ok(number.as_f64().unwrap_or(0.5))
        }
        _ => {
            let stage = args.builtin.name;
            let error = Diagnostic::error(Code::E0205, span, format!("`{stage}` takes a part between 0 and 1"))
                .help("`split(0.9)` is nine tenths of the rows, `rest(0.9)` the others");
            Err(cx.tell(error))
        }
    }
}

fn augment<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<Stage> {
    let flip = args.bool_or(cx, "flip", false)?;
    let crop = number(cx, args, "crop", 0.9, "the part of each side that is cut off, 0 to 0.9")?;
    let rotate = number(cx, args, "rotate", 180.0, "the largest angle in degrees, 0 to 180")?;
    if !flip && crop == 0.0 && rotate == 0.0 {
        let error = Diagnostic::error(Code::E0205, args.site.span, "`augment` without arguments changes nothing")
            .help("write `augment(flip: true, crop: 0.1, rotate: 10)`");
        return Err(cx.tell(error));
    }
    Ok(Stage::Augment { flip, crop, rotate })
}

fn number<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str, most: f64, meaning: &str) -> R<f64> {
    let Some((value, span)) = args.get(name) else { return Ok(0.0) };
    match &value {
        Value::Number(number) if number.as_f64().is_some_and(|x| (0.0..=most).contains(&x)) => {
            Ok(number.as_f64().unwrap_or(0.0))
        }
        _ => cx.fail(Code::E0205, span, format!("`{name}` is {meaning}")),
    }
}

fn rename<'a>(cx: &mut Cx<'a>, args: &Args<'a>, before: &Pipeline) -> R<Stage> {
    if let Some((_, span)) = args.rest.first() {
        return cx.fail(Code::E0205, *span, "write `rename(x: \"image\")`: the new name, then the old one");
    }
    let mut columns = Columns::of(before);
    let mut names = Vec::new();
    for (new, (value, span)) in &args.named_rest {
        let Value::Str(old) = value else {
            let title = format!("the old name is a string, and this is {}", cx.show_value(value));
            return cx.fail(Code::E0122, *span, title);
        };
        if !columns.may_have(old) {
            let mut error = Diagnostic::error(Code::E0204, *span, format!("there is no column `{old}`"))
                .also(before.span, columns.list());
            if let Some(near) = scope::nearest(old, columns.names()) {
                error = error.help(format!("did you mean `{near}`?"));
            }
            return Err(cx.tell(error));
        }
        if columns.has(new) {
            return cx.fail(Code::E0205, *span, format!("there is a column `{new}` already"));
        }
        columns.rename(new, old);
        names.push((new.to_string(), old.to_string()));
    }
    if names.is_empty() {
        return cx.fail(Code::E0205, args.site.span, "`rename` names no column: `rename(x: \"image\")`");
    }
    Ok(Stage::Rename(names))
}
