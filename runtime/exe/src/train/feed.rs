//! A data set joined to the step that eats it.

use crate::args::Args;
use crate::call::Scalars;
use crate::cx::Cx;
use crate::data::order::Batch;
use crate::data::source::Readers;
use crate::data::{Dataset, Epoch, Open, Override};
use crate::error::{DATA, Failure, Result, list};
use crate::instance::{At, CallError, Instance};
use crate::meta::{Meta, Train};
use crate::sizes;
use std::path::PathBuf;

/// Rows of a batch if neither pipeline nor block says.
const BATCH: usize = 32;

/// Batches with the sizes that they give the program.
#[derive(Debug)]
pub struct Feed {
    set: Dataset,
    /// Sizes of the program for batches of these rows and shapes.
    sizes: Vec<(Batch, Vec<i64>)>,
    names: Vec<String>,
    /// What is called, and where the data is bound, for messages.
    what: String,
    place: String,
}

/// Those `--data` that concern `pipeline`: plain ones concern `plain`, `valid.image=…` the one that it names.
pub fn overrides(args: &Args, train: &Train, pipeline: &str) -> Result<Vec<Override>> {
    let plain = if args.command.name == "train" || train.pipeline("valid").is_none() { "data" } else { "valid" };
    let mut mine = Vec::new();
    for (key, path) in args.pairs("--data")? {
        let (target, column) = match key.split_once('.') {
            Some((target, column)) => (target, column),
            None => (plain, key.as_str()),
        };
        if target != "data" && train.pipeline(target).is_none() {
            let names = train.pipelines.iter().map(|(n, _)| n.as_str());
            return Err(Failure::usage(format!("--data: there is no pipeline `{target}`"))
                .note(format!("there is {}", list(names))));
        }
        if target == pipeline {
            mine.push(Override { column: column.to_owned(), path: PathBuf::from(path) });
        }
    }
    Ok(mine)
}

impl Feed {
    /// Opens the block's pipeline called `name`.
    pub fn open(cx: &Cx<'_>, train: &Train, name: &str, overrides: &[Override], readers: &Readers<'_>) -> Result<Self> {
        let pipeline = train.pipeline(name);
        if pipeline.is_none() && overrides.is_empty() {
            return Err(Failure::data(DATA, format!("train block `{}` has no `{name}`", train.name))
                .help("bind it in the block, or give every column with `--data COL=FILE.npy`"));
        }
        let batch = train.batch.and_then(|b| usize::try_from(b).ok()).filter(|&b| b >= 1).unwrap_or(BATCH);
        let open = Open { readers, columns: &train.columns, overrides, batch };
        let set = Dataset::open(&open, pipeline)?;
        let mut feed = Self {
            set,
            sizes: Vec::new(),
            names: train.columns.iter().map(|c| c.name.clone()).collect(),
            what: format!("the step of `{}`", train.name),
            place: pipeline.map_or(String::new(), |p| p.place.clone()),
        };
        // What doesn't fit is told before the first step.
        for batch in feed.set.batches().to_vec() {
            feed.solve(&cx.meta, train.step, batch)?;
        }
        Ok(feed)
    }

    /// The sizes of entry `e` for a batch.
    fn solve(&mut self, meta: &Meta, e: usize, batch: Batch) -> Result<usize> {
        let same = |(b, _): &(Batch, Vec<i64>)| b.rows == batch.rows && b.bucket == batch.bucket;
        if let Some(known) = self.sizes.iter().position(same) {
            return Ok(known);
        }
        let types = self.set.types(batch);
        let types: Vec<_> = types.iter().map(|(dtype, shape)| (*dtype, &shape[..])).collect();
        let sizes = sizes::solve(meta, &meta.entries[e], &types, &self.what).map_err(|f| f.or_at(&self.place))?;
        self.sizes.push((batch, sizes));
        Ok(self.sizes.len() - 1)
    }

    /// Rows of an epoch.
    pub fn rows(&self) -> usize {
        self.set.rows
    }

    /// Whole batches of the epoch.
    pub fn batches(&self) -> usize {
        // Short ones come last.
        self.set.batches().partition_point(|b| b.rows == self.set.batch)
    }

    /// Batches of the epoch, short ones at the end included.
    pub fn all_batches(&self) -> usize {
        self.set.batches().len()
    }

    /// Training needs at least one whole batch.
    pub fn require_whole_batch(&self, train: &Train) -> Result<()> {
        let needed = usize::try_from(train.batches).unwrap_or(usize::MAX);
        if self.batches() >= needed {
            return Ok(());
        }
        if needed > 1 && self.batches() > 0 {
            let place = train.pipeline("data").map_or("", |p| p.place.as_str());
            let (rows, have) = (self.set.rows, self.batches());
            return Err(Failure::data(
                DATA,
                format!("the data has {rows} rows, {have} batches of {}, and a step takes {needed}", self.set.batch),
            )
            .or_at(place)
            .help("use a smaller `batch` or `accumulate`"));
        }
        let place = train.pipeline("data").map_or("", |p| p.place.as_str());
        let failure = Failure::data(
            DATA,
            format!("the data has {} rows, fewer than one batch of {}", self.set.rows, self.set.batch),
        );
        Err(failure
            .or_at(place)
            .help("training drops the last short batch, so there would be none; use a smaller `batch`"))
    }

    /// Gets the memory for calls of entry `e` on all its batches.
    pub fn reserve(&self, instance: &mut Instance<'_>, e: usize) -> Result<()> {
        self.sizes.iter().try_for_each(|(_, sizes)| instance.reserve(e, sizes))
    }

    /// Puts the rows in the order of an epoch.
    pub fn begin(&mut self, epoch: Epoch) {
        self.set.begin(epoch);
    }

    /// Calls entry `e` on batch `n`.
    pub fn run(&mut self, instance: &mut Instance<'_>, e: usize, n: usize, at: At, results: &Scalars) -> Result<()> {
        let batch = self.set.load(n);
        let solved = self.solve(instance.meta, e, batch)?;
        let sizes = &self.sizes[solved].1;
        // SAFETY: `solve` checked the columns' types against the entry's arguments for these sizes (step
        // and eval take the same), and the results are the entry's scalars.
        let called = unsafe { instance.call(e, sizes, self.set.pointers(), results.pointers(), at) };
        called.map_err(|error| self.locate(error, n))
    }

    /// Adds which row of the data has the bad index.
    fn locate(&self, error: CallError, n: usize) -> Failure {
        let Some((element, value)) = error.bad_index else { return error.failure };
        let mut failure = error.failure;
        for (column, row) in self.set.holders(n, element, value) {
            if let (Some(name), Some(file_row)) = (self.names.get(column), self.set.file_row(n, row)) {
                failure =
                    failure.note(format!("`{name}` is {value} in row {file_row} of the data (rows count from 0)"));
            }
        }
        failure
    }
}
