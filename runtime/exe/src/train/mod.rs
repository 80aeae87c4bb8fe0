//! `train`: from data to weights.
//!
//! The driver alone knows about epochs, reports, `every` blocks and checkpoints; compiled code does
//! steps and scalar arithmetic.

pub mod checkpoint;
pub mod every;
pub mod feed;
pub mod metrics;
pub mod plan;
pub mod position;
pub mod progress;
pub mod sessions;

use crate::args::Args;
use crate::call::Scalars;
use crate::cx::{Cx, print};
use crate::data::Epoch;
use crate::error::Result;
use crate::instance::{At, Instance};
use crate::json::Value;
use crate::meta::{Period, Train};
use feed::Feed;
use plan::Plan;
use position::Position;
use progress::Progress;
use std::time::Instant;

/// A training that runs.
pub struct Session<'a> {
    /// Weights and code.
    pub instance: Instance<'a>,
    /// The block.
    pub train: &'a Train,
    /// Limits and folders.
    pub plan: Plan,
    /// How far it is.
    pub position: Position,
    /// Training data.
    data: Feed,
    /// Data of `evaluate`, by name.
    pub feeds: Vec<(String, Feed)>,
    sums: Scalars,
    /// Where reports go.
    pub progress: Progress,
    /// `save`s to be done at the end of this moment: number, and whether the weights are the best so far.
    pub saves: Vec<(usize, bool)>,
}

/// Runs the command.
pub fn train(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let start = Instant::now();
    let train = cx.train(args.words.first().map(String::as_str))?;
    let mut session = Session::open(cx, args, train)?;
    session.run()?;
    session.finish()?;
    print(&format!("{}\n", session.result(start.elapsed().as_secs_f64()).line()))
}

impl<'a> Session<'a> {
    /// Opens everything that can be wrong before the first step.
    fn open(cx: &'a Cx<'_>, args: &Args, train: &'a Train) -> Result<Self> {
        let resume = args.path("--resume")?.map(|dir| checkpoint::newest(&dir, train)).transpose()?;
        let vocabulary = resume.as_ref().map(|(folder, _)| checkpoint::vocabulary(folder)).transpose()?.flatten();
        let readers = cx.readers(vocabulary);
        let data = Feed::open(cx, train, "data", &feed::overrides(args, train, "data")?, &readers)?;
        data.require_whole_batch(train)?;
        let mut feeds = Vec::new();
        for (name, _) in every::pipelines(train) {
            feeds.push((name.to_owned(), Feed::open(cx, train, name, &feed::overrides(args, train, name)?, &readers)?));
        }
        let saved_seed = resume.as_ref().map(|(_, position)| position.seed);
        let plan = Plan::new(cx, args, train, data.batches(), saved_seed)?;
        let progress = Progress::open(args, &plan, data.batches(), resume.is_some())?;
        let entries: Vec<usize> =
            train.entries().into_iter().chain(cx.init_entry()).chain(every::entries(train)).collect();
        let mut instance = cx.instance(&entries, args)?;
        data.reserve(&mut instance, train.step)?;
        if let Some(accumulate) = train.accumulate {
            data.reserve(&mut instance, accumulate)?;
        }
        for (_, feed) in &feeds {
            feed.reserve(&mut instance, train.eval.entry)?;
        }
        cx.init(&mut instance, plan.seed)?;
        let position = match resume {
            Some((folder, position)) => {
                checkpoint::load(&mut instance, &folder)?;
                position
            }
            None => {
                cx.load_pretrained(&mut instance, train)?;
                Position::new(train, plan.seed)
            }
        };
        instance.vocabulary = readers.vocabulary();
        let sums = Scalars::new(&cx.meta.entries[train.step].results)?;
        Ok(Self { instance, train, plan, position, data, feeds, sums, progress, saves: Vec::new() })
    }

    /// What random draws and schedules depend on now.
    pub fn at(&self) -> At {
        At {
            seed: self.plan.seed,
            step: self.position.step,
            epoch: self.position.epoch,
            total_steps: self.plan.total_steps,
            done: self.position.step,
        }
    }

    /// Batches of a step.
    fn batches(&self) -> usize {
        usize::try_from(self.train.batches).unwrap_or(usize::MAX)
    }

    fn is_over(&self) -> bool {
        self.position.stopped || self.plan.reached(&self.position)
    }

    /// Trains to the end.
    fn run(&mut self) -> Result<()> {
        while !self.is_over() {
            self.data.begin(Epoch { seed: self.plan.seed, number: self.position.epoch, training: true });
            self.epoch()?;
        }
        Ok(())
    }

    /// Trains to the end of the epoch, or of the training.
    fn epoch(&mut self) -> Result<()> {
        loop {
            self.step()?;
            let ends = self.position.batch / self.batches() >= self.data.batches() / self.batches();
            if ends {
                self.position.epoch += 1;
                self.position.batch = 0;
                self.report_epoch()?;
            }
            self.fire(ends)?;
            if ends {
                self.progress.epoch(self.train, &self.position, &self.plan)?;
            }
            if ends || self.is_over() {
                return Ok(());
            }
        }
    }

    fn step(&mut self) -> Result<()> {
        let at = self.at();
        let batches = self.train.batches;
        for n in 1..=batches {
            let e = if n == batches { self.train.step } else { self.train.accumulate.unwrap_or(self.train.step) };
            let of_batch = At { step: at.step * batches + n - 1, ..at };
            self.data.run(&mut self.instance, e, self.position.batch, of_batch, &self.sums)?;
            self.position.batch += 1;
            self.position.epoch_sums.add(|i| self.sums.get(i));
            self.position.report_sums.add(|i| self.sums.get(i));
        }
        self.position.step += 1;
        if self.progress.wants_redraw() {
            let values = self.position.epoch_sums.finish(&mut self.instance, &self.train.tally, at)?;
            self.progress.redraw(self.train, &self.position, &values);
        }
        Ok(())
    }

    /// Makes the epoch's sums its metrics.
    fn report_epoch(&mut self) -> Result<()> {
        if !self.position.epoch_sums.is_empty() {
            let at = self.at();
            self.position.metrics = self.position.epoch_sums.finish(&mut self.instance, &self.train.tally, at)?;
        }
        self.position.epoch_sums.clear();
        Ok(())
    }

    /// Runs the `every` blocks whose time has come.
    fn fire(&mut self, epoch_ends: bool) -> Result<()> {
        let mut reported = epoch_ends;
        for number in 0..self.train.every.len() {
            let every = &self.train.every[number];
            let values = match every.period {
                Period::Steps if self.position.step % every.count == 0 => {
                    let at = self.at();
                    reported = true;
                    self.position.report_sums.finish(&mut self.instance, &self.train.tally, at)?
                }
                Period::Epochs if epoch_ends && self.position.epoch % every.count == 0 => self.position.metrics.clone(),
                _ => continue,
            };
            every::run(self, number, &values)?;
            if every.period == Period::Steps {
                self.progress.steps(self.train, &self.position, &values)?;
            }
        }
        if reported {
            self.position.report_sums.clear();
        }
        for (number, is_best) in std::mem::take(&mut self.saves) {
            checkpoint::save(self, &self.plan.folders[number], is_best)?;
        }
        Ok(())
    }

    /// The last weights, and metrics if the training ended within an epoch.
    fn finish(&mut self) -> Result<()> {
        self.progress.end();
        if !self.position.epoch_sums.is_empty() {
            let at = self.at();
            self.position.metrics = self.position.epoch_sums.finish(&mut self.instance, &self.train.tally, at)?;
            every::evaluate_all(self)?;
        }
        checkpoint::save_last(self)
    }

    /// The line on stdout.
    fn result(&self, seconds: f64) -> Value {
        let mut fields = metrics::fields(self.train, &self.position.metrics);
        for (name, values) in &self.position.evaluated {
            fields.push((name.as_str(), Value::object(metrics::fields(self.train, values))));
        }
        fields.extend(self.position.reported.iter().map(|(name, value)| (name.as_str(), Value::Float(*value))));
        fields.push(("epochs", Value::Int(self.position.epoch)));
        fields.push(("steps", Value::Int(self.position.step)));
        fields.push(("seconds", Value::Float((seconds * 1000.0).round() / 1000.0)));
        Value::object(fields)
    }
}
