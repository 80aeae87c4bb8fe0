//! Data pipelines: a source and its stages, and whether they have the columns that the step asks for.

use crate::builtins::{Args, Builtin, named};
use crate::cx::Cx;
use crate::program::{Pipeline, Stage};
use crate::scope;
use crate::train::Block;
use crate::types::{Element, Form};
use crate::value::{R, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::rc::Rc;

pub(crate) const ALL: &[Builtin] = &[
    named("idx", &["prefix", "labels"], "images and labels in the IDX format", idx),
    named("resize", &["data", "size"], "column `image` to another height and width", stage),
    named("shuffle", &["data", "buffer"], "rows in another order, through a buffer of so many", stage),
    named("take", &["data", "n"], "the first n rows", stage),
    named("skip", &["data", "n"], "without the first n rows", stage),
    named("batch", &["data", "n"], "n rows at a time; last", stage),
];

/// A column of one row: its dtype, and its sizes as far as they are known when compiling.
struct Column {
    name: &'static str,
    dtype: DType,
    sizes: Vec<Option<i64>>,
}

fn idx<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let (prefix, _) = args.text(cx, "prefix")?;
    let labels = args.bool_or(cx, "labels", true)?;
    let source = Stage::Idx { prefix: prefix.to_string(), labels };
    Ok(Value::Pipeline(Rc::new(Pipeline { stages: vec![source], span: args.site.span })))
}

fn stage<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let name = args.builtin.name;
    let (data, span) = args.need(cx, "data")?;
    let Value::Pipeline(before) = data else {
        let error = Diagnostic::error(
            Code::E0205,
            span,
            format!("`{name}` is a stage of a data pipeline, and this is {}", data.describe()),
        )
        .help(format!("write `idx(\"data/train\") |> {name}(…)`"));
        return Err(cx.tell(error));
    };
    if let Some(Stage::Batch(_)) = before.stages.last() {
        return cx.fail(Code::E0205, args.site.callee, format!("`{name}` stands behind `batch`, which comes last"));
    }
    let stage = match name {
        "resize" => resize(cx, &args)?,
        "shuffle" => Stage::Shuffle { buffer: rows(cx, &args, "buffer", 1)? },
        "take" => Stage::Take(rows(cx, &args, "n", 1)?),
        "skip" => Stage::Skip(rows(cx, &args, "n", 0)?),
        _ => Stage::Batch(rows(cx, &args, "n", 1)?),
    };
    let mut stages = before.stages.clone();
    stages.push(stage);
    Ok(Value::Pipeline(Rc::new(Pipeline { stages, span: before.span.to(args.site.span) })))
}

fn rows<'a>(cx: &mut Cx<'a>, args: &Args<'a>, name: &str, least: i64) -> R<i64> {
    let (value, span) = args.need(cx, name)?;
    let count = cx.as_int(&value, span)?;
    if !(least..=1 << 40).contains(&count) {
        return cx.fail(
            Code::E0205,
            span,
            format!("`{name}` of `{}` is {count}, and at least {least} is needed", args.builtin.name),
        );
    }
    Ok(count)
}

fn resize<'a>(cx: &mut Cx<'a>, args: &Args<'a>) -> R<Stage> {
    let (_, span) = args.need(cx, "size")?;
    let sizes = args.ints(cx, "size", 2, 1)?;
    if sizes.iter().any(|size| !(1..=1 << 16).contains(size)) {
        return cx.fail(Code::E0205, span, "an image has 1 to 65536 rows and columns");
    }
    Ok(Stage::Resize { height: sizes[0], width: sizes[1] })
}

/// Rows of one batch.
pub(crate) fn batch_of(pipeline: &Pipeline) -> Option<i64> {
    pipeline.stages.iter().find_map(|stage| match stage {
        Stage::Batch(rows) => Some(*rows),
        Stage::Idx { .. } | Stage::Resize { .. } | Stage::Shuffle { .. } | Stage::Take(_) | Stage::Skip(_) => None,
    })
}

fn columns_of(pipeline: &Pipeline) -> Vec<Column> {
    let mut columns = Vec::new();
    for stage in &pipeline.stages {
        match stage {
            Stage::Idx { labels, .. } => {
                columns.push(Column { name: "image", dtype: DType::U8, sizes: vec![None, None, Some(1)] });
                if *labels {
                    columns.push(Column { name: "label", dtype: DType::U8, sizes: Vec::new() });
                }
            }
            Stage::Resize { height, width } => {
                for column in columns.iter_mut().filter(|column: &&mut Column| column.name == "image") {
                    column.sizes[0] = Some(*height);
                    column.sizes[1] = Some(*width);
                }
            }
            Stage::Shuffle { .. } | Stage::Take(_) | Stage::Skip(_) | Stage::Batch(_) => {}
        }
    }
    columns
}

impl<'a> Cx<'a> {
    /// Whether `data`, `valid` and what is evaluated have the step's columns.
    pub fn check_columns(&mut self, block: &Block<'a>, step: &'a ast::Step, pipelines: &[(String, Pipeline)]) -> R<()> {
        self.within_block(block, crate::cx::FrameKind::Bindings, |cx| {
            for name in ["data", "valid"] {
                if let (Some(value), Some(span)) = (block.bindings.values.get(name), block.places.get(name))
                    && !matches!(value, Value::Pipeline(_) | Value::Poison)
                {
                    let title = format!("`{name}` is a data pipeline, and this is {}", value.describe());
                    return cx.fail(Code::E0203, *span, title);
                }
            }
            for (name, pipeline) in pipelines {
                if batch_of(pipeline).is_none() {
                    let error =
                        Diagnostic::error(Code::E0205, pipeline.span, format!("the pipeline `{name}` has no `batch`"))
                            .help("end it with `|> batch(32)`");
                    return Err(cx.tell(error));
                }
                for param in &step.params {
                    cx.check_column(name, pipeline, param)?;
                }
            }
            Ok(())
        })
    }

    fn check_column(&mut self, pipeline_name: &str, pipeline: &Pipeline, param: &'a ast::Param) -> R<()> {
        let columns = columns_of(pipeline);
        let name = &*param.name.text;
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            let mut error = Diagnostic::error(
                Code::E0204,
                param.name.span,
                format!("the pipeline `{pipeline_name}` has no column `{name}`"),
            )
            .also(pipeline.span, format!("its columns: {}", names.join(", ")));
            if let Some(near) = scope::nearest(name, names) {
                error = error.help(format!("did you mean `{near}`?"));
            }
            return Err(self.tell(error));
        };
        let Form::Tensor { element, axes } = self.form(&param.ty)? else { return Ok(()) };
        let row = row_type(column);
        let fits = match element {
            Element::Exact(dtype) => dtype != DType::Bool && (dtype.is_float() || !column.dtype.is_float()),
            Element::Class(_) => true,
        };
        if !fits {
            let wanted = self.sources.text(param.ty.span).to_string();
            let title = format!("the column `{name}` is {row} and cannot be read as {wanted}");
            return self.fail(Code::E0204, param.ty.span, title);
        }
        if axes.len() != column.sizes.len() + 1 {
            let wanted = self.sources.text(param.ty.span).to_string();
            let error = Diagnostic::error(
                Code::E0204,
                param.ty.span,
                format!("the column `{name}` is {row} for each row, and the step takes {wanted}"),
            )
            .also(pipeline.span, "the data comes from here")
            .help("`batch` adds one axis in front");
            return Err(self.tell(error));
        }
        self.check_column_sizes(column, pipeline, param, &axes[1..])
    }

    fn check_column_sizes(
        &mut self,
        column: &Column,
        pipeline: &Pipeline,
        param: &'a ast::Param,
        axes: &'a [ast::Axis],
    ) -> R<()> {
        for (axis, size) in axes.iter().zip(&column.sizes) {
            let (ast::AxisKind::Size(expr), Some(size)) = (&axis.kind, size) else { continue };
            if self.unbound_in(expr)?.is_some() {
                continue;
            }
            let wanted = self.size_expr(expr)?;
            if wanted.dim.as_const().is_some_and(|wanted| wanted != *size) {
                let (row, wanted) = (row_type(column), self.show_dim(&wanted.dim));
                let error = Diagnostic::error(
                    Code::E0204,
                    axis.span,
                    format!("the column `{}` has {size} here, and the step takes {wanted}", column.name),
                )
                .also(pipeline.span, format!("each row is {row}"))
                .also(param.span, "the step's column");
                return Err(self.tell(error));
            }
        }
        Ok(())
    }
}

/// `u8[28, 28, 1]`; sizes that the file tells are `?`.
fn row_type(column: &Column) -> String {
    if column.sizes.is_empty() {
        return column.dtype.to_string();
    }
    let sizes: Vec<String> =
        column.sizes.iter().map(|size| size.map_or_else(|| "?".to_string(), |size| size.to_string())).collect();
    format!("{}[{}]", column.dtype, sizes.join(", "))
}
