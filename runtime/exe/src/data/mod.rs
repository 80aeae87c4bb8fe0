//! Data pipelines: from files to batches.
//!
//! A pipeline's rows are read once and kept as they are in the file; a batch is gathered and converted
//! into buffers that live as long as the data set, so that a training step allocates nothing.

pub mod convert;
pub mod idx;
pub mod order;
pub mod resize;

use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result, did_you_mean, list};
use crate::files;
use crate::mem::Aligned;
use crate::meta::{Pipeline, Port, Stage};
use crate::npy;
use crate::tensor::{Tensor, bytes_of, type_text};
use std::path::{Path, PathBuf};

/// One `--data COL=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The column that it replaces.
    pub column: String,
    /// An `.npy` file.
    pub path: PathBuf,
}

/// What a pipeline is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Open<'a> {
    /// Where relative paths of the `.dl` start.
    pub root: &'a Path,
    /// The step's columns.
    pub columns: &'a [Port],
    /// Columns replaced on the command line.
    pub overrides: &'a [Override],
    /// Rows of a batch where no stage says so.
    pub batch: usize,
}

/// One column of all rows.
#[derive(Debug)]
struct Column {
    tensor: Tensor,
    to: Dtype,
    from_bytes: usize,
    to_bytes: usize,
    /// Shape of one row.
    row: Vec<usize>,
}

/// Rows, and buffers for a batch of them.
#[derive(Debug)]
pub struct Dataset {
    columns: Vec<Column>,
    stages: Vec<Stage>,
    total: usize,
    /// Rows after all stages.
    pub rows: usize,
    /// Rows of a batch.
    pub batch: usize,
    buffers: Vec<Aligned>,
    pointers: Vec<*const u8>,
    order: Vec<usize>,
}

impl Dataset {
    /// Opens a pipeline (or none: then all columns must be replaced) and checks it against the step's columns.
    pub fn open(cx: &Open<'_>, pipeline: Option<&Pipeline>) -> Result<Self> {
        let place = pipeline.map_or("", |p| p.place.as_str());
        Self::open_at(cx, pipeline).map_err(|failure| failure.or_at(place))
    }

    fn open_at(cx: &Open<'_>, pipeline: Option<&Pipeline>) -> Result<Self> {
        check_overrides(cx)?;
        let stages = pipeline.map_or(&[][..], |p| &p.stages);
        let tensors = read_columns(cx, stages)?;
        let total = common_rows(&tensors)?;
        let batch = stages.iter().rev().find_map(|s| if let Stage::Batch(n) = s { Some(*n) } else { None });
        let batch = batch.unwrap_or(cx.batch).max(1);
        let columns: Result<Vec<Column>> =
            cx.columns.iter().zip(tensors).map(|(port, (_, tensor))| column(port, tensor, stages)).collect();
        let columns = columns?;
        let rows = order::count(stages, total);
        if rows == 0 {
            return Err(Failure::data(DATA, "the data has no rows").note(format!("{total} were read")));
        }
        let mut buffers = Vec::new();
        let batch_rows = batch.min(rows);
        for column in &columns {
            let bytes = column.to_bytes.checked_mul(batch_rows);
            buffers.push(Aligned::new(bytes.ok_or_else(|| Failure::plain("a batch is beyond any memory"))?)?);
        }
        let pointers = buffers.iter().map(|b| b.pointer().cast_const()).collect();
        let stages = stages.to_vec();
        Ok(Self { columns, stages, total, rows, batch, buffers, pointers, order: Vec::new() })
    }

    /// Puts the rows in the order of an epoch.
    pub fn begin(&mut self, seed: i64, epoch: i64) {
        order::order(&self.stages, self.total, seed, epoch, &mut self.order);
    }

    /// Gathers batch `n` of the epoch; returns how many rows it has (fewer than `batch` at the end, 0 after it).
    pub fn load(&mut self, n: usize) -> usize {
        let start = n.saturating_mul(self.batch).min(self.order.len());
        let end = start.saturating_add(self.batch).min(self.order.len());
        for (column, buffer) in self.columns.iter().zip(&mut self.buffers) {
            let all = &column.tensor.data;
            for (slot, &row) in buffer.chunks_exact_mut(column.to_bytes.max(1)).zip(&self.order[start..end]) {
                let from = &all[row * column.from_bytes..][..column.from_bytes];
                convert::convert(column.tensor.dtype, from, column.to, slot);
            }
        }
        end - start
    }

    /// The batch, for compiled code: one pointer for each column.
    pub fn pointers(&self) -> &[*const u8] {
        &self.pointers
    }

    /// Types of the columns of a batch with so many rows.
    pub fn types(&self, rows: usize) -> Vec<(Dtype, Vec<usize>)> {
        let shape = |c: &Column| [&[rows][..], &c.row].concat();
        self.columns.iter().map(|c| (c.to, shape(c))).collect()
    }

    /// Row of the file (from 0) that is row `row` of batch `n`.
    pub fn file_row(&self, n: usize, row: usize) -> Option<usize> {
        self.order.get(n.checked_mul(self.batch)?.checked_add(row)?).copied()
    }

    /// Columns (and the row in the batch) whose element `element` is `value` now.
    pub fn holders(&self, element: i64, value: i64) -> Vec<(usize, usize)> {
        let Ok(element) = usize::try_from(element) else { return Vec::new() };
        let holds = |(i, c): (usize, &Column)| {
            let found = crate::tensor::int_at(c.to, &self.buffers[i], element)? == value;
            let elements = c.to_bytes / c.to.bytes();
            (found && elements > 0).then(|| (i, element / elements))
        };
        self.columns.iter().enumerate().filter_map(holds).collect()
    }
}

fn check_overrides(cx: &Open<'_>) -> Result<()> {
    for (i, given) in cx.overrides.iter().enumerate() {
        let names = cx.columns.iter().map(|c| c.name.as_str());
        if !names.clone().any(|n| n == given.column) {
            return Err(Failure::usage(format!("--data: the step has no column `{}`", given.column))
                .note(format!("its columns are {}", list(names.clone())))
                .help_opt(did_you_mean(&given.column, names)));
        }
        if cx.overrides[..i].iter().any(|o| o.column == given.column) {
            return Err(Failure::usage(format!("--data: column `{}` is given twice", given.column)));
        }
    }
    Ok(())
}

/// The step's columns in its order, each with its name.
fn read_columns(cx: &Open<'_>, stages: &[Stage]) -> Result<Vec<(String, Tensor)>> {
    if let Some(Stage::Unknown(name)) = stages.iter().find(|s| matches!(s, Stage::Unknown(_))) {
        return Err(Failure::usage(format!("`{name}` in a data pipeline is not supported yet")));
    }
    let replaced = |name: &str| cx.overrides.iter().find(|o| o.column == name);
    let mut columns = Vec::new();
    for port in cx.columns {
        let tensor = match (replaced(&port.name), stages.first()) {
            (Some(given), _) => read_npy(&given.path)?,
            (None, Some(Stage::Idx { prefix, labels })) => match (port.name.as_str(), labels) {
                ("image", _) => idx::images(cx.root, prefix)?,
                ("label", true) => idx::labels(cx.root, prefix)?,
                _ => return Err(missing_column(&port.name, if *labels { &["image", "label"] } else { &["image"] })),
            },
            (None, _) => {
                return Err(Failure::data(DATA, format!("there is no data for column `{}`", port.name))
                    .help(format!("give it with `--data {}=FILE.npy`", port.name)));
            }
        };
        columns.push((port.name.clone(), tensor));
    }
    Ok(columns)
}

fn missing_column(name: &str, known: &[&str]) -> Failure {
    Failure::data(DATA, format!("the step takes a column `{name}`, the data has {}", list(known.iter().copied())))
        .help_opt(did_you_mean(name, known.iter().copied()))
}

/// Reads an `.npy` file as a column.
fn read_npy(path: &Path) -> Result<Tensor> {
    let bytes = files::read(path, DATA)?;
    let tensor = npy::parse(&bytes).map_err(|e| Failure::data(DATA, format!("`{}` {e}", path.display())))?;
    if tensor.shape.is_empty() {
        return Err(Failure::data(
            DATA,
            format!("`{}` is a single number; its first axis would be the rows", path.display()),
        ));
    }
    Ok(tensor)
}

fn common_rows(columns: &[(String, Tensor)]) -> Result<usize> {
    let rows = |t: &Tensor| t.shape.first().copied().unwrap_or(0);
    let Some((first, tensor)) = columns.first() else {
        return Err(Failure::data(DATA, "the step has no columns"));
    };
    let total = rows(tensor);
    match columns.iter().find(|(_, t)| rows(t) != total) {
        None => Ok(total),
        Some((name, other)) => {
            Err(Failure::data(DATA, format!("column `{first}` has {total} rows, column `{name}` has {}", rows(other))))
        }
    }
}

/// Applies stages that change rows, and checks the result against the declaration.
fn column(port: &Port, mut tensor: Tensor, stages: &[Stage]) -> Result<Column> {
    for stage in stages {
        if let (Stage::Resize { height, width }, "image") = (stage, port.name.as_str()) {
            tensor = resize::resize(tensor, *height, *width)?;
        }
    }
    let row = tensor.shape.get(1..).unwrap_or_default().to_vec();
    let declared = port.shape.get(1..).unwrap_or_default();
    let fits = port.shape.len() == tensor.shape.len()
        && declared.iter().zip(&row).all(|(d, &n)| d.number().is_none_or(|d| i64::try_from(n) == Ok(d)));
    if !fits {
        return Err(wrong_rows(port, &tensor, &row));
    }
    convert::check(tensor.dtype, &tensor.data, port.dtype).map_err(|why| {
        Failure::data(
            DATA,
            format!("column `{}` is {}, the step takes {}: {why}", port.name, tensor.dtype.name(), port.text()),
        )
    })?;
    let beyond = || Failure::plain("a row is beyond any memory");
    Ok(Column {
        from_bytes: bytes_of(tensor.dtype, &row).ok_or_else(beyond)?,
        to_bytes: bytes_of(port.dtype, &row).ok_or_else(beyond)?,
        to: port.dtype,
        row,
        tensor,
    })
}

fn wrong_rows(port: &Port, tensor: &Tensor, row: &[usize]) -> Failure {
    let failure = Failure::data(
        DATA,
        format!("a row of column `{}` is {}, the step takes {}", port.name, type_text(tensor.dtype, row), port.text()),
    );
    let sides: Vec<Option<i64>> = port.shape.iter().map(crate::dim::Dim::number).collect();
    match (port.name.as_str(), &sides[..]) {
        ("image", [_, Some(h), Some(w), _]) if row.len() == 3 && row[..2] != [*h as usize, *w as usize] => {
            let size = if h == w { h.to_string() } else { format!("({h}, {w})") };
            failure.help(format!("add `resize({size})` to the pipeline"))
        }
        _ => failure,
    }
}
