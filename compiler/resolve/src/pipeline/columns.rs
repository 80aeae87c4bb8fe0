//! Columns of pipelines, as far as they are known when compiling, against those of the step.

use super::batch_of;
use crate::blocks::Block;
use crate::cx::Cx;
use crate::program::{Pipeline, Stage};
use crate::scope;
use crate::types::{Element, Form};
use crate::value::{R, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// A column of one row: its dtype, and its sizes as far as they are known when compiling.
pub(super) struct Column {
    name: String,
    dtype: DType,
    sizes: Vec<Option<i64>>,
}

/// Whose header has the names that only a run finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// Numbers, and lists of numbers.
    Csv,
    /// Arrays of any type.
    Arrays,
}

/// The columns of a pipeline.
pub(super) struct Columns {
    known: Vec<Column>,
    /// Where not all are known.
    open: Option<Open>,
    /// Names that `rename` took away.
    gone: Vec<String>,
    /// Names that `rename` gave.
    given: Vec<String>,
}

impl Columns {
    /// After all stages.
    pub fn of(pipeline: &Pipeline) -> Columns {
        let mut columns = Columns { known: Vec::new(), open: None, gone: Vec::new(), given: Vec::new() };
        for stage in &pipeline.stages {
            columns.apply(stage);
        }
        columns
    }

    fn apply(&mut self, stage: &Stage) {
        match stage {
            Stage::Idx { labels, .. } => {
                self.add("image", DType::U8, vec![None, None, Some(1)]);
                if *labels {
                    self.add("label", DType::U8, Vec::new());
                }
            }
            Stage::Csv { .. } => self.open = Some(Open::Csv),
            Stage::Arrays { .. } => self.open = Some(Open::Arrays),
            Stage::Images { height, width, .. } => {
                self.add("image", DType::U8, vec![Some(*height), Some(*width), Some(3)]);
                self.add("label", DType::I32, Vec::new());
            }
            Stage::Text { window, .. } => {
                self.add("ids", DType::I32, vec![Some(*window)]);
                self.add("gold", DType::I32, vec![Some(*window)]);
            }
            Stage::Pairs { buckets, .. } => {
                let size = if let [only] = buckets[..] { Some(only) } else { None };
                for name in ["src", "tgt", "gold"] {
                    self.add(name, DType::I32, vec![size]);
                }
            }
            Stage::Resize { height, width } => {
                for column in self.known.iter_mut().filter(|column| column.name == "image") {
                    (column.sizes[0], column.sizes[1]) = (Some(*height), Some(*width));
                }
            }
            Stage::Rename(names) => names.iter().for_each(|(new, old)| self.rename(new, old)),
            Stage::Augment { .. }
            | Stage::Shuffle { .. }
            | Stage::Take(_)
            | Stage::Skip(_)
            | Stage::Split(_)
            | Stage::Rest(_)
            | Stage::Batch(_) => {}
        }
    }

    fn add(&mut self, name: &str, dtype: DType, sizes: Vec<Option<i64>>) {
        self.known.push(Column { name: name.to_string(), dtype, sizes });
    }

    pub fn rename(&mut self, new: &str, old: &str) {
        for column in self.known.iter_mut().filter(|column| column.name == old) {
            column.name = new.to_string();
        }
        self.given.retain(|name| name != old);
        self.gone.retain(|name| name != new);
        self.gone.push(old.to_string());
        self.given.push(new.to_string());
    }

    /// The columns whose names are known.
    pub fn names(&self) -> Vec<&str> {
        match self.open {
            None => self.known.iter().map(|column| column.name.as_str()).collect(),
            Some(_) => self.given.iter().map(String::as_str).collect(),
        }
    }

    /// Whether the column is surely there.
    pub fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// Whether the column may be there.
    pub fn may_have(&self, name: &str) -> bool {
        match self.open {
            None => self.has(name),
            // The rows of a csv are no images.
            Some(Open::Csv) if name == "image" => self.has(name),
            Some(_) => self.has(name) || !self.gone.iter().any(|gone| gone == name),
        }
    }

    /// `its columns: image, label`
    pub fn list(&self) -> String {
        match self.open {
            None => format!("its columns: {}", self.names().join(", ")),
            Some(Open::Csv) => "its columns stand in the file's header; they are numbers".to_string(),
            Some(Open::Arrays) => "its columns are the arrays of the file".to_string(),
        }
    }
}

impl Pipeline {
    /// What a row holds, as far as it is known when compiling: `{image: u8[_, _, 1], label: u8}`.
    pub fn row(&self) -> String {
        let columns = Columns::of(self);
        let size = |size: &Option<i64>| size.map_or_else(|| "_".to_string(), |size| size.to_string());
        let column = |column: &Column| {
            let sizes: Vec<String> = column.sizes.iter().map(size).collect();
            let sizes = if sizes.is_empty() { String::new() } else { format!("[{}]", sizes.join(", ")) };
            format!("{}: {}{sizes}", column.name, column.dtype.name())
        };
        let mut parts: Vec<String> = match columns.open {
            None => columns.known.iter().map(column).collect(),
            Some(_) => columns.given,
        };
        parts.extend(columns.open.map(|open| match open {
            Open::Csv => "the columns of the header".to_string(),
            Open::Arrays => "the arrays of the file".to_string(),
        }));
        format!("{{{}}}", parts.join(", "))
    }
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
        let columns = Columns::of(pipeline);
        let name = &*param.name.text;
        let is_open = columns.open.filter(|_| !columns.gone.iter().any(|gone| gone == name) || columns.has(name));
        if let Some(open) = is_open {
            return self.check_open_column(open, pipeline, param);
        }
        let Some(column) = columns.known.iter().find(|column| column.name == name) else {
            let mut error = Diagnostic::error(
                Code::E0204,
                param.name.span,
                format!("the pipeline `{pipeline_name}` has no column `{name}`"),
            )
            .also(pipeline.span, columns.list());
            if let Some(near) = scope::nearest(name, columns.names()) {
                error = error.help(format!("did you mean `{near}`?"));
            }
            return Err(self.tell(error));
        };
        self.check_known_column(column, pipeline, param)
    }

    /// A column whose name and type stand in the file: is it one that such a file can have?
    fn check_open_column(&mut self, open: Open, pipeline: &Pipeline, param: &'a ast::Param) -> R<()> {
        let Form::Tensor { element, axes } = self.form(&param.ty)? else { return Ok(()) };
        let wanted = || self.sources.text(param.ty.span).to_string();
        let (title, help) = match (open, element) {
            (Open::Csv, Element::Exact(DType::Bool)) => (
                format!("a column of a csv is of numbers, and the step takes {}", wanted()),
                "take i32 and compare: `x != 0`",
            ),
            (Open::Csv, _) if axes.len() > 2 => (
                format!("a column of a csv is a number or a list for each row, and the step takes {}", wanted()),
                "take `f32[B, 4]`, the columns x0 … x3 of `x`, and `reshape` in the step",
            ),
            (_, _) if axes.is_empty() => (
                format!("a column has at least the axis of the batch, and the step takes {}", wanted()),
                "`batch` adds one axis in front",
            ),
            _ => return Ok(()),
        };
        let error = Diagnostic::error(Code::E0204, param.ty.span, title)
            .also(pipeline.span, "the data comes from here")
            .help(help);
        Err(self.tell(error))
    }

    fn check_known_column(&mut self, column: &Column, pipeline: &Pipeline, param: &'a ast::Param) -> R<()> {
        let name = &column.name;
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
