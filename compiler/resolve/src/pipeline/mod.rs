//! Data pipelines: a source and its stages, and whether they have the columns that the step asks for.

mod columns;
mod sources;
mod stages;

pub(crate) use stages::divide;

use crate::builtins::{Args, Arity, Builtin, named};
use crate::cx::Cx;
use crate::program::{Pipeline, Stage};
use crate::value::R;
use mlc_syntax::codes::Code;

pub(crate) const ALL: &[Builtin] = &[
    named("idx", &["prefix", "labels"], "images and labels in the IDX format", sources::idx),
    named("csv", &["path", "header"], "columns of numbers in a text file, divided by commas", sources::csv),
    named("arrays", &["path"], "arrays in a .npz or .safetensors file, or in a folder of .npy", sources::arrays),
    named("images", &["dir", "size"], "PNG and JPEG files in one folder for each label", sources::images),
    named("text", &["path", "tokens", "window"], "a text in windows of so many tokens", sources::text),
    named("pairs", &["path", "vocab", "bucket"], "pairs of texts, one a line, divided by a tab", sources::pairs),
    named("resize", &["data", "size"], "column `image` to another height and width", stages::stage),
    named(
        "augment",
        &["data", "flip", "crop", "rotate"],
        "column `image` changed by chance, in training",
        stages::stage,
    ),
    named("shuffle", &["data", "buffer"], "rows in another order, through a buffer of so many", stages::stage),
    named("take", &["data", "n"], "the first n rows", stages::stage),
    named("skip", &["data", "n"], "without the first n rows", stages::stage),
    named("rest", &["data", "part"], "the rows that `split` with the same number leaves out", stages::stage),
    Builtin {
        name: "rename",
        params: &["data"],
        more: "new: \"old\", …",
        arity: Arity::Rest(1),
        initialiser: false,
        doc: "`rename(x: \"image\")`: column `image` under the name `x`",
        run: stages::stage,
    },
    named("batch", &["data", "n"], "n rows at a time; last", stages::stage),
];

/// Most rows of a file, of a batch, or pixels of a side.
const MOST_ROWS: i64 = 1 << 40;
/// Most pixels of an image's side.
const MOST_SIDE: i64 = 1 << 16;

/// Rows of one batch.
pub(crate) fn batch_of(pipeline: &Pipeline) -> Option<i64> {
    pipeline.stages.iter().find_map(|stage| if let Stage::Batch(rows) = stage { Some(*rows) } else { None })
}

/// A static number of rows or tokens, at least `least`.
fn rows<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str, least: i64) -> R<i64> {
    let (value, span) = args.need(cx, name)?;
    let count = cx.as_int(&value, span)?;
    if !(least..=MOST_ROWS).contains(&count) {
        let title = format!("`{name}` of `{}` is {count}, and at least {least} is needed", args.builtin.name);
        return cx.fail(Code::E0205, span, title);
    }
    Ok(count)
}

/// Height and width: `28` or `(28, 32)`.
fn sides<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<(i64, i64)> {
    let (_, span) = args.need(cx, "size")?;
    let sizes = args.ints(cx, "size", 2, 1)?;
    if sizes.iter().any(|size| !(1..=MOST_SIDE).contains(size)) {
        return cx.fail(Code::E0205, span, format!("an image has 1 to {MOST_SIDE} rows and columns"));
    }
    Ok((sizes[0], sizes[1]))
}
