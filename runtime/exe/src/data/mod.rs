//! Data pipelines: from files to batches.
//!
//! A pipeline's rows are read once and kept as they are in the file; a batch is gathered and converted
//! into buffers that live as long as the data set, so that a training step allocates nothing.

pub mod arrays;
pub mod augment;
pub mod convert;
pub mod csv;
pub mod idx;
pub mod images;
pub mod order;
pub mod resize;
pub mod source;
pub mod table;
pub mod text;
pub mod vocabulary;
pub mod zip;

use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result, did_you_mean, list};
use crate::mem::Aligned;
use crate::meta::{Pipeline, Port, Stage};
use crate::tensor::bytes_of;
use augment::Augment;
use order::Batch;
use source::Readers;
use std::path::PathBuf;
use std::rc::Rc;
use table::{Block, Table};

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
    /// What reads sources.
    pub readers: &'a Readers<'a>,
    /// The step's columns.
    pub columns: &'a [Port],
    /// Columns replaced on the command line.
    pub overrides: &'a [Override],
    /// Rows of a batch where no stage says so.
    pub batch: usize,
}

/// A column that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the source.
    pub name: String,
    /// The type it will be converted to.
    pub dtype: Dtype,
    /// Shape of a row; `None` where any size will do.
    pub row: Vec<Option<usize>>,
}

/// Which rows come when, and how they are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Of the training.
    pub seed: i64,
    /// Its number.
    pub number: i64,
    /// Are images augmented?
    pub training: bool,
}

/// One column of all rows.
#[derive(Debug)]
struct Column {
    blocks: Vec<Block>,
    to: Dtype,
    /// Bytes of a converted row in each block.
    bytes: Vec<usize>,
    augment: Option<Augment>,
}

/// Rows, and buffers for a batch of them.
#[derive(Debug)]
pub struct Dataset {
    columns: Vec<Column>,
    stages: Vec<Stage>,
    places: Option<Rc<Vec<(u32, u32)>>>,
    total: usize,
    /// Rows after all stages.
    pub rows: usize,
    /// Rows of a batch.
    pub batch: usize,
    buffers: Vec<Aligned>,
    pointers: Vec<*const u8>,
    epoch: Epoch,
    order: Vec<usize>,
    batches: Vec<Batch>,
}

impl Dataset {
    /// Opens a pipeline (or none: then all columns must be replaced) and checks it against the step's columns.
    pub fn open(cx: &Open<'_>, pipeline: Option<&Pipeline>) -> Result<Self> {
        let place = pipeline.map_or("", |p| p.place.as_str());
        Self::open_at(cx, pipeline).map_err(|failure| {
            if failure.has_place() && !place.is_empty() {
                return failure.note(format!("read by the pipeline at {place}"));
            }
            failure.or_at(place)
        })
    }

    fn open_at(cx: &Open<'_>, pipeline: Option<&Pipeline>) -> Result<Self> {
        check_overrides(cx)?;
        let stages = pipeline.map_or(&[][..], |p| &p.stages);
        if let Some(Stage::Unknown(name)) = stages.iter().find(|s| matches!(s, Stage::Unknown(_))) {
            return Err(Failure::usage(format!("`{name}` in a data pipeline is not supported yet")));
        }
        let table = read_columns(cx, stages)?;
        let total = common_rows(&table)?;
        let batch = stages.iter().rev().find_map(|s| if let Stage::Batch(n) = s { Some(*n) } else { None });
        let batch = batch.unwrap_or(cx.batch).max(1);
        let pairs = cx.columns.iter().zip(table.columns);
        let columns = pairs.map(|(port, (_, blocks))| column(port, blocks, stages)).collect::<Result<Vec<Column>>>()?;
        let mut new = Self {
            columns,
            stages: stages.to_vec(),
            places: table.places,
            total,
            rows: 0,
            batch,
            buffers: Vec::new(),
            pointers: Vec::new(),
            epoch: Epoch { seed: 0, number: 0, training: false },
            order: Vec::new(),
            batches: Vec::new(),
        };
        new.begin(new.epoch);
        new.rows = new.order.len();
        if new.rows == 0 {
            return Err(Failure::data(DATA, "the data has no rows").note(format!("{total} were read")));
        }
        let most = new.batch.min(new.rows);
        for column in &new.columns {
            let bytes = column.bytes.iter().max().and_then(|b| b.checked_mul(most));
            new.buffers.push(Aligned::new(bytes.ok_or_else(|| Failure::plain("a batch is beyond any memory"))?)?);
        }
        new.pointers = new.buffers.iter().map(|b| b.pointer().cast_const()).collect();
        Ok(new)
    }

    /// Puts the rows in the order of an epoch.
    pub fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        order::order(&self.stages, self.total, epoch.seed, epoch.number, &mut self.order);
        let buckets = self.columns.first().map_or(1, |c| c.blocks.len());
        let places = self.places.clone();
        self.batches = order::batches(&mut self.order, self.batch, buckets, |row| place(places.as_deref(), row).0);
    }

    /// The batches of the epoch; short ones come last.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Gathers batch `n` of the epoch; it has no rows after the last one.
    pub fn load(&mut self, n: usize) -> Batch {
        let Some(&batch) = self.batches.get(n) else { return Batch { start: 0, rows: 0, bucket: 0 } };
        let rows = &self.order[batch.start..][..batch.rows];
        let places = self.places.as_deref();
        for (column, buffer) in self.columns.iter_mut().zip(&mut self.buffers) {
            let size = column.bytes[batch.bucket];
            if size == 0 {
                continue;
            }
            for (slot, &row) in buffer.chunks_exact_mut(size).zip(rows) {
                let (bucket, at) = place(places, row);
                let block = &column.blocks[bucket];
                let bytes = match &mut column.augment {
                    Some(augment) if self.epoch.training => augment.run(block.bytes(at), self.epoch, row),
                    _ => block.bytes(at),
                };
                convert::convert(block.dtype, bytes, column.to, slot);
            }
        }
        batch
    }

    /// The batch, for compiled code: one pointer for each column.
    pub fn pointers(&self) -> &[*const u8] {
        &self.pointers
    }

    /// Types of the columns of a batch.
    pub fn types(&self, batch: Batch) -> Vec<(Dtype, Vec<usize>)> {
        let shape = |c: &Column| [&[batch.rows][..], &c.blocks[batch.bucket].row].concat();
        self.columns.iter().map(|c| (c.to, shape(c))).collect()
    }

    /// Row of the file (from 0) that is row `row` of batch `n`.
    pub fn file_row(&self, n: usize, row: usize) -> Option<usize> {
        self.order.get(self.batches.get(n)?.start.checked_add(row)?).copied()
    }

    /// Columns (and the row in batch `n`) whose element `element` is `value` now.
    pub fn holders(&self, n: usize, element: i64, value: i64) -> Vec<(usize, usize)> {
        let (Ok(element), Some(batch)) = (usize::try_from(element), self.batches.get(n)) else { return Vec::new() };
        let holds = |(i, c): (usize, &Column)| {
            let found = crate::tensor::int_at(c.to, &self.buffers[i], element)? == value;
            let elements = c.bytes[batch.bucket] / c.to.bytes();
            (found && elements > 0).then(|| (i, element / elements))
        };
        self.columns.iter().enumerate().filter_map(holds).filter(|(_, row)| *row < batch.rows).collect()
    }
}

/// Block of a row and its number there.
fn place(places: Option<&Vec<(u32, u32)>>, row: usize) -> (usize, usize) {
    places.and_then(|p| p.get(row)).map_or((0, row), |&(bucket, at)| (bucket as usize, at as usize))
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

/// The step's columns in its order, under its names. The source is asked for those alone that aren't replaced.
fn read_columns(cx: &Open<'_>, stages: &[Stage]) -> Result<Table> {
    let replaced = |port: &Port| cx.overrides.iter().find(|o| o.column == port.name);
    let wanted: Vec<Wanted> = cx
        .columns
        .iter()
        .filter(|port| replaced(port).is_none())
        .map(|port| wanted(port, stages))
        .collect::<Result<_>>()?;
    let source = match (&wanted[..], stages.first()) {
        ([], _) => Table::default(),
        (_, Some(source)) => cx.readers.read(source, &wanted)?,
        ([first, ..], None) => {
            return Err(Failure::data(DATA, format!("there is no data for column `{}`", first.name))
                .help(format!("give it with `--data {}=FILE.npy`", first.name)));
        }
    };
    if source.places.is_some() && !cx.overrides.is_empty() {
        return Err(Failure::usage("--data: rows of `pairs` have several lengths, so columns can't be replaced alone")
            .help("replace all of them"));
    }
    let mut read = source.columns.into_iter();
    let mut columns = Vec::new();
    for port in cx.columns {
        let blocks = match replaced(port) {
            Some(given) => {
                let tensor = arrays::read_npy(&given.path)?;
                let single = tensor.shape.is_empty();
                let path = given.path.display();
                let wrong =
                    || Failure::data(DATA, format!("`{path}` is a single number; its first axis would be the rows"));
                if single { Err(wrong()) } else { Ok(vec![Block::of(tensor)?]) }?
            }
            None => read.next().ok_or_else(|| Failure::internal("a source gives fewer columns than were asked for"))?.1,
        };
        columns.push((port.name.clone(), blocks));
    }
    Ok(Table { columns, places: source.places })
}

/// What a column is called before each stage, from the source on; `None` if a `rename` took it away.
fn names_of(port: &Port, stages: &[Stage]) -> Option<Vec<String>> {
    let mut name = port.name.clone();
    let mut names = vec![name.clone(); stages.len()];
    for (stage, before) in stages.iter().zip(&mut names).rev() {
        if let Stage::Rename(list) = stage {
            match list.iter().find(|(new, _)| *new == name) {
                Some((_, old)) => name.clone_from(old),
                None if list.iter().any(|(_, old)| *old == name) => return None,
                None => {}
            }
        }
        before.clone_from(&name);
    }
    Some(names)
}

fn wanted(port: &Port, stages: &[Stage]) -> Result<Wanted> {
    let gone = || Failure::data(DATA, format!("the data has no column `{}`, it has another name", port.name));
    let name = match names_of(port, stages).ok_or_else(gone)?.first() {
        Some(name) => name.clone(),
        None => port.name.clone(),
    };
    let size = |d: &crate::dim::Dim| d.number().and_then(|n| usize::try_from(n).ok());
    let row = port.shape.get(1..).unwrap_or_default().iter().map(size).collect();
    Ok(Wanted { name, dtype: port.dtype, row })
}

fn common_rows(table: &Table) -> Result<usize> {
    let rows = |blocks: &[Block]| blocks.iter().map(|b| b.rows).sum::<usize>();
    let Some((first, blocks)) = table.columns.first() else {
        return Err(Failure::data(DATA, "the step has no columns"));
    };
    let total = rows(blocks);
    match table.columns.iter().find(|(_, b)| rows(b) != total) {
        None => Ok(total),
        Some((name, other)) => {
            Err(Failure::data(DATA, format!("column `{first}` has {total} rows, column `{name}` has {}", rows(other))))
        }
    }
}

/// Applies stages that change rows, and checks the result against the declaration.
fn column(port: &Port, mut blocks: Vec<Block>, stages: &[Stage]) -> Result<Column> {
    let names = names_of(port, stages).unwrap_or_default();
    let mut augment = None;
    for (stage, name) in stages.iter().zip(&names).filter(|(_, name)| *name == "image") {
        match stage {
            Stage::Resize { height, width } => {
                let resized = |block: Block| Block::of(resize::resize(block.into_tensor()?, *height, *width)?);
                blocks = blocks.into_iter().map(resized).collect::<Result<_>>()?;
            }
            Stage::Augment { flip, crop, rotate } => {
                let Some(first) = blocks.first() else { continue };
                augment = Some(Augment::new(first, *flip, *crop, *rotate).ok_or_else(|| {
                    Failure::data(
                        DATA,
                        format!("`augment` takes images [H, W, C] of u8 or f32, `{name}` is {}", first.type_text()),
                    )
                })?);
            }
            _ => {}
        }
    }
    let mut bytes = Vec::new();
    for block in &blocks {
        check(port, block)?;
        bytes.push(bytes_of(port.dtype, &block.row).ok_or_else(|| Failure::plain("a row is beyond any memory"))?);
    }
    Ok(Column { blocks, to: port.dtype, bytes, augment })
}

/// Does a row fit the declaration, and all elements the dtype?
fn check(port: &Port, block: &Block) -> Result<()> {
    let declared = port.shape.get(1..).unwrap_or_default();
    let fits = port.shape.len() == block.row.len() + 1
        && declared.iter().zip(&block.row).all(|(d, &n)| d.number().is_none_or(|d| i64::try_from(n) == Ok(d)));
    if !fits {
        return Err(wrong_rows(port, block));
    }
    convert::check(block.dtype, block.all(), port.dtype).map_err(|misfit| {
        let (name, from, why) = (&port.name, block.dtype.name(), misfit.why);
        let failure = Failure::data(DATA, format!("column `{name}` is {from}, the step takes {}: {why}", port.text()));
        match misfit.element.and_then(|e| e.checked_div(block.row.iter().product::<usize>())) {
            Some(row) => failure.note(format!("it stands in row {row} of the data (rows count from 0)")),
            None => failure,
        }
    })
}

fn wrong_rows(port: &Port, block: &Block) -> Failure {
    let row = &block.row;
    let failure = Failure::data(
        DATA,
        format!("a row of column `{}` is {}, the step takes {}", port.name, block.type_text(), port.text()),
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
