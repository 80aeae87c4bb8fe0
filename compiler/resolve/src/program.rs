//! What the resolver makes of a source file: a complete graph and the tables around it.
//! All user errors are found before this exists.

use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{GlobalId, Graph, RegionId};
use mlc_ir::index::Combine;
use mlc_ir::ty::Type;
use mlc_syntax::span::Span;

/// A checked program.
#[derive(Clone, Debug)]
pub struct Program {
    /// All code; entries are referred to by their position in `graph.entries`.
    pub graph: Graph,
    /// One for each of `graph.globals`: its name in a weight file (prefixed by the binding where a
    /// training has several instances).
    pub file_paths: Vec<String>,
    /// Exported functions, in source order.
    pub functions: Vec<Function>,
    /// Exported functions that are not there because a constructor argument has no default:
    /// name and the reason, for `info`.
    pub not_exported: Vec<(String, String)>,
    /// The entry that writes the initial value of every global, from the seed.
    pub init: usize,
    /// States that live for a session.
    pub sessions: Vec<Session>,
    /// Training blocks, in source order.
    pub trains: Vec<Train>,
    /// Test blocks, in source order.
    pub tests: Vec<Test>,
    /// C functions that `extern fn`s name, and how each is declared in C.
    pub prototypes: Vec<(String, String)>,
}

impl Train {
    /// The entries that take gradients; none if nothing is trained.
    pub fn gradient_entries(&self) -> impl Iterator<Item = usize> {
        let entries = [Some(self.step), self.accumulate, self.grads].into_iter().flatten();
        entries.filter(|_| !self.trained.is_empty())
    }
}

/// A state whose sizes are those of a session: not saved, made when the first call of a session
/// touches it. Its global's type is written in symbols of its own.
#[derive(Clone, Debug)]
pub struct Session {
    /// The state.
    pub global: GlobalId,
    /// The entry that writes its first value; it has no arguments.
    pub init: usize,
    /// Entries that touch it, with the values of its symbols in theirs.
    pub uses: Vec<(usize, Vec<(Sym, Dim)>)>,
}

/// An exported function.
#[derive(Clone, Debug)]
pub struct Function {
    /// `forward`, or `BINDING.forward` where two instances with different arguments export it.
    pub name: String,
    /// The model's name.
    pub model: String,
    /// Its entry. Unnamed results are `out` (one) or `0`, `1`, … (several).
    pub entry: usize,
    /// Results whose length the data decides.
    pub lengths: Vec<Length>,
    /// Where it is declared.
    pub span: Span,
}

/// The length of a result: the result has room for its bound, another result of the entry tells the length.
#[derive(Clone, Debug)]
pub struct Length {
    /// The size's name.
    pub name: String,
    /// Which result is cut.
    pub result: usize,
    /// Along which of its axes.
    pub axis: usize,
    /// Which result is the length: an i32 scalar from 0 to the size of that axis.
    pub value: usize,
}

/// A training block.
#[derive(Clone, Debug)]
pub struct Train {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Of initial values, draws and shuffling; 0 if not given.
    pub seed: i64,
    /// If given.
    pub epochs: Option<i64>,
    /// If given.
    pub steps: Option<i64>,
    /// Rows of one batch of `data`, if there is `data`.
    pub batch: Option<i64>,
    /// Every pipeline bound in the block, by its name.
    pub pipelines: Vec<(String, Pipeline)>,
    /// The step's columns: names and types, in order.
    pub columns: Vec<(String, Type)>,
    /// Entry: columns (and globals) to accumulands and new globals; `training` is true.
    pub step: usize,
    /// Batches of one step; entries count them, not steps.
    pub batches: i64,
    /// Entry for all batches of a step but the last: columns to accumulands and gradient sums.
    pub accumulate: Option<usize>,
    /// How what `step` and `accumulate` report becomes the metrics.
    pub tally: Tally,
    /// The step without updates: `training` is false.
    pub eval: Evaluation,
    /// Entry: columns to the gradient of each of `trained`, named by its path.
    pub grads: Option<usize>,
    /// `loss` first, then as declared.
    pub metrics: Vec<String>,
    /// Parameters that some `minimize` updates.
    pub trained: Vec<GlobalId>,
    /// Weights that are read from files when the training starts.
    pub loads: Vec<Load>,
    /// `every` blocks, in source order.
    pub every: Vec<Every>,
}

/// How what is reported for each batch becomes metrics of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// How each accumuland is put together over batches; sums are kept in f64.
    pub accumulands: Vec<Combine>,
    /// Entry: accumulated values (f64 scalars) to the metrics (scalars named as in [`Train::metrics`]).
    pub finish: usize,
}

/// A step that reports and writes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Entry: columns to accumulands.
    pub entry: usize,
    /// How what it reports becomes the metrics.
    pub tally: Tally,
}

/// A file of weights that is read when a training starts.
#[derive(Clone, Debug)]
pub struct Load {
    /// As it is written.
    pub path: String,
    /// The instance's name, which may stand in front of the names in the file.
    pub binding: String,
    /// What it fills, with the names in the file.
    pub tensors: Vec<(GlobalId, String)>,
    /// Where it is written.
    pub span: Span,
}

/// A data source and its stages.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Source first.
    pub stages: Vec<Stage>,
    /// Where it is written.
    pub span: Span,
}

/// What a token of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// A character; the vocabulary is those of the text.
    Chars,
    /// A byte.
    Bytes,
    /// What stands in a line of this file.
    File(String),
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Images and labels in the IDX format.
    Idx {
        /// `data/digits/train`
        prefix: String,
        /// Whether the label file is read.
        labels: bool,
    },
    /// Numbers in a text file, divided by commas.
    Csv {
        /// The file.
        path: String,
        /// Whether the first line has the names; else they are x0, x1, …
        header: bool,
    },
    /// Arrays whose first axis is the rows.
    Arrays {
        /// A .npz or .safetensors file, or a folder of .npy.
        path: String,
    },
    /// PNG and JPEG files.
    Images {
        /// The folder that has one folder for each label.
        dir: String,
        /// Rows of pixels.
        height: i64,
        /// Columns of pixels.
        width: i64,
    },
    /// A text in windows.
    Text {
        /// The file.
        path: String,
        /// What a token is.
        tokens: Tokens,
        /// Tokens of a row.
        window: i64,
    },
    /// Pairs of texts, padded to one of some lengths.
    Pairs {
        /// A file with two texts a line, divided by a tab.
        path: String,
        /// A file with one token a line.
        vocab: String,
        /// The lengths, rising.
        buckets: Vec<i64>,
    },
    /// Column `image` to this height and width.
    Resize {
        /// Rows.
        height: i64,
        /// Columns.
        width: i64,
    },
    /// Shuffled through a buffer of so many rows, keyed by seed and epoch.
    Shuffle {
        /// Rows.
        buffer: i64,
    },
    /// The first rows.
    Take(i64),
    /// Without the first rows.
    Skip(i64),
    /// A part of the rows, by the hash of their numbers.
    Split(f64),
    /// The rows that [`Stage::Split`] leaves out.
    Rest(f64),
    /// New and old names of columns.
    Rename(Vec<(String, String)>),
    /// Column `image` changed by chance, in training.
    Augment {
        /// Left and right may be swapped.
        flip: bool,
        /// Part of each side that is cut off.
        crop: f64,
        /// Largest angle in degrees.
        rotate: f64,
    },
    /// Rows of one batch; last.
    Batch(i64),
}

/// An `every` block.
#[derive(Clone, Debug)]
pub struct Every {
    /// The period.
    pub count: i64,
    /// Its unit.
    pub in_epochs: bool,
    /// Entry: metrics (f64 scalars, in order) to the values that actions refer to by position;
    /// absent if none does.
    pub entry: Option<usize>,
    /// In order.
    pub actions: Vec<Action>,
}

/// A request to the training driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run the step over a pipeline without updates.
    Evaluate {
        /// Its name in [`Train::pipelines`].
        pipeline: String,
        /// In place of [`Train::eval`], where a binding of the block is another instance.
        other: Option<Evaluation>,
    },
    /// Write a checkpoint.
    Save {
        /// The folder.
        dir: String,
        /// How many are kept; all if not given.
        keep: Option<i64>,
        /// Position of the value whose highest marks the best.
        best: Option<usize>,
    },
    /// Do the next `count` actions only if a value is other than 0 (`holds`), or only if it is 0.
    When {
        /// Position of the value.
        value: usize,
        /// Which of the two.
        holds: bool,
        /// How many actions; those of a [`Action::When`] among them included.
        count: usize,
    },
    /// Write images in a grid, as a PNG.
    SaveImages {
        /// The folder.
        dir: String,
        /// Position of the images: f32 [N, H, W, C], C is 1, 3 or 4.
        value: usize,
        /// What black and white are.
        range: (f64, f64),
    },
    /// Report values beside the metrics.
    Report {
        /// Names and positions.
        values: Vec<(String, usize)>,
    },
    /// Print a tensor, or a text.
    Print {
        /// The text, or what is written for the tensor.
        text: String,
        /// Position of the tensor.
        value: Option<usize>,
    },
    /// End training.
    Stop,
    /// End training when a value has not risen for a while.
    EarlyStop {
        /// Position of the value.
        value: usize,
        /// So many times.
        patience: i64,
    },
}

/// A `test` block.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its title.
    pub title: String,
    /// Where.
    pub span: Span,
    /// In order.
    pub checks: Vec<Check>,
}

/// A region of a test, and the indices in it that are tested. Its last results belong to them, in this order: for
/// each the row-major number of the first bad element, or `i32::MAX`.
#[derive(Clone, Debug)]
pub struct Computed {
    /// The region.
    pub region: RegionId,
    /// The indices.
    pub indices: Vec<TestedIndex>,
}

/// Indices that must be from 0 to `bound - 1`.
#[derive(Clone, Debug)]
pub struct TestedIndex {
    /// Where they are used.
    pub span: Span,
    /// What is indexed: `axis 0 of f32[5]`.
    pub text: String,
    /// Valid are `0..bound`.
    pub bound: Option<i64>,
}

/// One statement of a test.
#[derive(Clone, Debug)]
pub enum Check {
    /// `check_grad`: gradients against central differences, with every f32 read as f64.
    Grad {
        /// Parameters: a seed and a step (i64 scalars). Results: a value for each parameter of `function`.
        values: Computed,
        /// The function; its float results are projected on a fixed random direction.
        function: Computed,
        /// Names of the function's parameters, for messages: weights by path, then arguments.
        names: Vec<String>,
        /// Relative tolerance.
        tolerance: f64,
        /// Where.
        span: Span,
    },
    /// `print`: what is computed from seed and step is shown, or a text.
    Print {
        /// The text, or what is written for the tensor.
        text: String,
        /// What is computed.
        value: Option<Computed>,
    },
    /// `assert`: a bool scalar, computed from seed and step.
    Assert {
        /// What is computed.
        condition: Computed,
        /// The message.
        message: String,
        /// Where.
        span: Span,
    },
}
