//! Training blocks: entries of the step, what becomes of its reports, and what happens now and then.

use super::{Pipeline, Port};

/// How an accumuland of a metric is combined over batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Added.
    Sum,
    /// Multiplied.
    Prod,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A train block.
#[derive(Clone, Debug)]
pub struct Train {
    /// Its name.
    pub name: String,
    /// Seed of weights, draws and shuffles.
    pub seed: i64,
    /// Epochs, if the block says.
    pub epochs: Option<i64>,
    /// Steps, if the block says.
    pub steps: Option<i64>,
    /// Rows of a batch.
    pub batch: Option<i64>,
    /// Entry of a training step: of its last batch.
    pub step: usize,
    /// Batches of a step. Entries of the step are told the number of the batch, not of the step.
    pub batches: i64,
    /// Entry of the batches before the last.
    pub accumulate: Option<usize>,
    /// What becomes of the reports of steps.
    pub tally: Tally,
    /// A step that only reports.
    pub eval: Evaluation,
    /// Entry that returns gradients.
    pub grads: Option<usize>,
    /// Names of the results of each [`Tally::finish`].
    pub metrics: Vec<String>,
    /// Arguments of the step.
    pub columns: Vec<Port>,
    /// Globals that the block updates.
    pub trained: Vec<usize>,
    /// Files of weights that are read when training starts.
    pub loads: Vec<Load>,
    /// Named pipelines.
    pub pipelines: Vec<(String, Pipeline)>,
    /// Blocks that run now and then.
    pub every: Vec<Every>,
}

/// How reports of batches become metrics of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How accumulands are combined.
    pub accumulands: Vec<Combine>,
    /// Entry that makes metrics of accumulands.
    pub finish: usize,
}

/// A step that only reports.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Its entry.
    pub entry: usize,
    /// What becomes of its reports.
    pub tally: Tally,
}

impl Train {
    /// All entries of its step and evaluation.
    pub fn entries(&self) -> Vec<usize> {
        let reports = [self.step, self.tally.finish, self.eval.entry, self.eval.tally.finish];
        reports.into_iter().chain(self.accumulate).chain(self.grads).collect()
    }

    /// The pipeline called `name`.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|(n, _)| n == name).map(|(_, p)| p)
    }
}

/// A file of weights that is read when training starts.
#[derive(Clone, Debug)]
pub struct Load {
    /// As the source has it.
    pub path: String,
    /// What may stand in front of the names in the file.
    pub binding: String,
    /// Globals, and their names in the file.
    pub tensors: Vec<(usize, String)>,
}

/// Unit of an `every` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `every N epochs`
    Epochs,
    /// `every N steps`
    Steps,
}

/// An `every` block.
#[derive(Clone, Debug)]
pub struct Every {
    /// Runs when this many have passed, at least 1.
    pub count: i64,
    /// Of what.
    pub period: Period,
    /// Entry that computes the values which its actions use.
    pub entry: Option<usize>,
    /// In the source's order.
    pub actions: Vec<Action>,
}

/// An action in an `every` block.
#[derive(Clone, Debug)]
pub enum Action {
    /// `evaluate(valid)`
    Evaluate {
        /// Name of the pipeline.
        pipeline: String,
        /// In place of the block's own, if an instance is replaced.
        other: Option<Evaluation>,
    },
    /// The next `count` actions only if a value is other than 0 (`holds`), or only if it is 0.
    When {
        /// Which value.
        value: usize,
        /// Which of the two.
        holds: bool,
        /// How many actions.
        count: usize,
    },
    /// `save_images(dir, x, range:)`
    SaveImages {
        /// Folder.
        dir: String,
        /// Which value: f32 [N, H, W, C].
        value: usize,
        /// What black and white are.
        range: (f64, f64),
    },
    /// `report(name: value)`
    Report {
        /// Names and which values.
        values: Vec<(String, usize)>,
    },
    /// `print(x)`
    Print {
        /// A text, or what is written for the tensor.
        text: String,
        /// Which value.
        value: Option<usize>,
    },
    /// `stop()`
    Stop,
    /// `save(dir, keep:, best:)`
    Save {
        /// Folder.
        dir: String,
        /// How many `step-N` to keep; all if absent.
        keep: Option<i64>,
        /// Which value is best when highest.
        best: Option<usize>,
    },
    /// `early_stop(value, patience:)`
    EarlyStop {
        /// Which value has to rise.
        value: usize,
        /// How often it may fail to.
        patience: i64,
    },
}
