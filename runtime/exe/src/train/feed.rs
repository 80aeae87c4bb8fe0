//! A data set joined to the step that eats it.

use crate::args::Args;
use crate::call::Scalars;
use crate::cx::Cx;
use crate::data::{Dataset, Open, Override};
use crate::error::{DATA, Failure, Result, list};
use crate::instance::{At, CallError, Instance};
use crate::meta::Train;
use crate::sizes;
use std::path::PathBuf;

/// Rows of a batch if neither pipeline nor block says.
const BATCH: usize = 32;

/// Batches with the sizes that they give the program.
#[derive(Debug)]
pub struct Feed {
    set: Dataset,
    /// Rows and sizes of a whole batch, and of the last one if it is short.
    sizes: Vec<(usize, Vec<i64>)>,
    names: Vec<String>,
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
    pub fn open(cx: &Cx<'_>, train: &Train, name: &str, overrides: &[Override]) -> Result<Self> {
        let pipeline = train.pipeline(name);
        if pipeline.is_none() && overrides.is_empty() {
            return Err(Failure::data(DATA, format!("train block `{}` has no `{name}`", train.name))
                .help("bind it in the block, or give every column with `--data COL=FILE.npy`"));
        }
        let batch = train.batch.and_then(|b| usize::try_from(b).ok()).filter(|&b| b >= 1).unwrap_or(BATCH);
        let open = Open { root: cx.host.root, columns: &train.columns, overrides, batch };
        let set = Dataset::open(&open, pipeline)?;
        let whole = set.batch.min(set.rows);
        let rest = if set.rows > set.batch { set.rows % set.batch } else { 0 };
        let place = pipeline.map_or("", |p| p.place.as_str());
        let mut solved = Vec::new();
        for rows in [whole, rest].into_iter().filter(|&rows| rows > 0) {
            let types = set.types(rows);
            let types: Vec<_> = types.iter().map(|(dtype, shape)| (*dtype, &shape[..])).collect();
            let what = format!("the step of `{}`", train.name);
            let entry = &cx.meta.entries[train.step];
            let sizes = sizes::solve(&cx.meta, entry, &types, &what).map_err(|f| f.or_at(place))?;
            solved.push((rows, sizes));
        }
        Ok(Self { set, sizes: solved, names: train.columns.iter().map(|c| c.name.clone()).collect() })
    }

    /// Rows of an epoch.
    pub fn rows(&self) -> usize {
        self.set.rows
    }

    /// Whole batches of an epoch.
    pub fn batches(&self) -> usize {
        self.set.rows / self.set.batch
    }

    /// Batches of an epoch, a short one at the end included.
    pub fn all_batches(&self) -> usize {
        self.set.rows.div_ceil(self.set.batch)
    }

    /// Training needs at least one whole batch.
    pub fn require_whole_batch(&self, train: &Train) -> Result<()> {
        if self.batches() > 0 {
            return Ok(());
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
    pub fn begin(&mut self, seed: i64, epoch: i64) {
        self.set.begin(seed, epoch);
    }

    /// Calls entry `e` on batch `n`.
    pub fn run(&mut self, instance: &mut Instance<'_>, e: usize, n: usize, at: At, results: &Scalars) -> Result<()> {
        let rows = self.set.load(n);
        let Some((_, sizes)) = self.sizes.iter().find(|(r, _)| *r == rows) else {
            return Err(Failure::internal("a batch of unexpected size"));
        };
        // SAFETY: `open` checked the columns' types against the entry's arguments for these sizes (step
        // and eval take the same), and the results are the entry's scalars.
        let called = unsafe { instance.call(e, sizes, self.set.pointers(), results.pointers(), at) };
        called.map_err(|error| self.locate(error, n))
    }

    /// Adds which row of the data has the bad index.
    fn locate(&self, error: CallError, n: usize) -> Failure {
        let Some((element, value)) = error.bad_index else { return error.failure };
        let mut failure = error.failure;
        for (column, row) in self.set.holders(element, value) {
            if let (Some(name), Some(file_row)) = (self.names.get(column), self.set.file_row(n, row)) {
                failure =
                    failure.note(format!("`{name}` is {value} in row {file_row} of the data (rows count from 0)"));
            }
        }
        failure
    }
}
