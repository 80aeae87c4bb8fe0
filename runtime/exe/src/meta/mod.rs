//! What a compiled program says about itself: the JSON text in [`Program::meta`](mlc_rt_core::abi::Program::meta).
//!
//! This is the schema's home; `mlc` writes it and this module reads it. A *dim* is a number, or
//! `{"text": "2*B + 1", "rpn": "2 B * 1 +"}` with tokens separated by spaces: whole numbers, names of
//! size symbols, `+ - * / max` (`/` rounds down). Text in `<>` is explained, `or null` may be absent.
//!
//! ```text
//! { "abi": 5, "mlc": "0.1.0", "name": "cnn", "source": "cnn.dl", "source_hash": "<hex>",
//!   "symbols": ["B"],
//!   "near": 65536,                     <bytes of each thread's own, behind the scratch memory of kernels>
//!   "globals": [                       <index = position in EntryCx.globals>
//!     {"path": "conv1.weight",
//!      "file_path": "conv1.weight",    <name in a weight file: prefixed by the binding if there are several instances>
//!      "kind": "param|state|optimizer|session", "dtype": "f32", "shape": [3, 3, 1, 32]}],   <"shape" of a session state: see "sessions">
//!   "sessions": [{"global": 7, "shape": [dim, 64], "init": 4}],   <states with sizes of a session; "init" writes the first value; may be missing>
//!   "entries": [                       <index = position in Program.entries>
//!     {"name": "forward",
//!      "args": [{"name": "image", "dtype": "f32", "shape": [dim, 28, 28, 1]}],
//!      "results": [{"name": "out", "dtype": "f32", "shape": [dim, 10]}],
//!      "symbols": [{"symbol": 0, "arg": 0, "axis": 0, "coef": 1, "offset": 0}],   <extent = coef * size + offset>
//!      "checks": ["T <= Ctx, required at gpt.dl:3:4"],
//!      "faults": [{"checked": "index|length|status", "place": "cnn.dl:39:18", "text": "label", "bound": dim}],
//!      "globals_read": [0, 1], "globals_written": [],
//!      "sessions": [{"session": 0, "sizes": [{"symbol": 0, "size": dim}]}],   <those it touches: the symbols of the state's shape, in the entry's; may be missing>
//!      "buffers": 12, "arena": "bytes(B) = 1234*B + 64", "flops": dim,
//!      "kept": {"bytes": 4096, "of": [0]},   <memory that stays from call to call, and the globals it is made of>
//!      "max_memory": 8388608}],          <of the arena and all threads: more is refused; may be missing>
//!   "functions": [{"name": "forward", "model": "Cnn", "entry": 0,
//!      "lengths": [{"name": "N", "result": 0, "axis": 1, "value": 1}]}],   <result 0 is cut to the value of result 1, an i32 scalar; may be missing>
//!   "not_exported": [{"name": "generate", "reason": "`V` has no default"}],   may be missing
//!   "init": {"entry": 3} or null,      <no arguments; writes all globals>
//!   "trains": [
//!     {"name": "digits", "seed": 42, "epochs": 10 or null, "steps": null, "batch": 32,
//!      "step": 5,                      <args = columns; results = accumulands, scalars f32, f64 or i32>
//!      "batches": 4, "accumulate": 10, <a step is three calls of entry 10 and one of 5, which count calls as steps; 1 and null if there is one batch>
//!      "tally": {"finish": 8,          <args = accumulands as f64; results = "loss" and the metrics, f32 or f64>
//!                "accumulands": [{"combine": "sum|prod|max|min"}]},
//!      "eval": {"entry": 6,            <as "step", but writes nothing>
//!               "tally": {"finish": 8, "accumulands": []}},   <of its reports>
//!      "grads": 7 or null,             <args = columns; results = one for each of "trained", named by its path>
//!      "metrics": ["loss", "accuracy"],
//!      "columns": [{"name": "image", "dtype": "f32", "shape": [dim, 28, 28, 1]}],
//!      "trained": [0, 1],              <globals that it updates>
//!      "loads": [{"path": "pre.safetensors", "binding": "net",
//!                 "tensors": [{"global": 0, "name": "conv1.weight"}]}],   <read when training starts; may be missing>
//!      "data": pipeline or null, "valid": pipeline or null, "pipelines": {"data": pipeline, "valid": pipeline},
//!      "every": [
//!        {"count": 1, "period": "epochs|steps",
//!         "entry": 9 or null,          <args = metrics as f64; results = the values that actions use by index>
//!         "actions": [{"do": "evaluate", "pipeline": "valid", "other": null},   <in place of "eval">
//!                     {"do": "when", "value": 2, "holds": true, "count": 1},    <the next actions, if value is not 0>
//!                     {"do": "save_images", "dir": "runs/x", "value": 3, "low": -1, "high": 1},
//!                     {"do": "report", "values": [{"name": "ratio", "value": 4}]},
//!                     {"do": "print", "text": "x", "value": 5 or null}, {"do": "stop"},
//!                     {"do": "save", "dir": "runs/digits", "keep": 3 or null, "best": 0 or null},
//!                     {"do": "early_stop", "value": 1, "patience": 3}]}]}] }
//! pipeline = {"stages": [{"stage": "idx", "prefix": "data/digits/train", "labels": true},
//!                        {"stage": "resize", "height": 28, "width": 28}, {"stage": "shuffle", "buffer": 2000},
//!                        {"stage": "take", "n": 100}, {"stage": "skip", "n": 10}, {"stage": "batch", "n": 32}],
//!             "place": "cnn.dl:29:14"}
//! other sources: {"stage": "csv", "path": "iris.csv", "header": true}, {"stage": "arrays", "path": "x.npz"},
//!   {"stage": "images", "dir": "pets", "height": 224, "width": 224},
//!   {"stage": "text", "path": "a.txt", "tokens": "chars|bytes|list", "vocab": "v.txt" or null, "window": 256},
//!   {"stage": "pairs", "path": "a.tsv", "vocab": "v.txt", "buckets": [16, 32]}
//! other stages: {"stage": "split", "part": 0.9}, {"stage": "rest", "part": 0.9},
//!   {"stage": "rename", "names": [["x", "image"]]},    <new, old>
//!   {"stage": "augment", "flip": true, "crop": 0.1, "rotate": 10.0}
//! ```

mod data;
mod read;
mod train;

pub use data::{Pipeline, Stage, Tokens};
pub use train::{Action, Combine, Evaluation, Every, Load, Period, Tally, Train};

use crate::dim::Dim;
use crate::dtype::Dtype;
use std::collections::BTreeSet;

/// All of it.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Version of the compiler.
    pub mlc: String,
    /// The file's stem.
    pub name: String,
    /// The file's name.
    pub source: String,
    /// Hash of the source text, in hex.
    pub source_hash: String,
    /// Names of the size symbols.
    pub symbols: Vec<String>,
    /// Bytes that each thread needs behind the scratch memory of kernels.
    pub near: usize,
    /// Weights and states.
    pub globals: Vec<Global>,
    /// States with sizes of a session.
    pub sessions: Vec<SessionState>,
    /// Everything that can be called.
    pub entries: Vec<Entry>,
    /// Exported functions.
    pub functions: Vec<Function>,
    /// Functions that are marked for export and are not there: name and reason.
    pub not_exported: Vec<(String, String)>,
    /// The entry that writes initial weights.
    pub init: Option<usize>,
    /// Train blocks.
    pub trains: Vec<Train>,
}

impl Meta {
    /// Whether two weights or states have one name in weight files, as instances of several trainings may.
    pub fn shares_names(&self) -> bool {
        let names: BTreeSet<&str> = self.globals.iter().map(|global| global.file_path.as_str()).collect();
        names.len() != self.globals.len()
    }
}

/// What a global is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A parameter.
    Param,
    /// A state of a layer; saved with the weights.
    State,
    /// A state of an optimizer; saved in checkpoints only.
    Optimizer,
    /// A state of a layer with sizes of a session; never saved.
    Session,
}

impl Kind {
    /// Its word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Param => "param",
            Self::State => "state",
            Self::Optimizer => "optimizer",
            Self::Session => "session",
        }
    }

    /// Is it in a weight file?
    pub fn is_saved(self) -> bool {
        matches!(self, Self::Param | Self::State)
    }
}

/// A state with sizes of a session.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// Which global.
    pub global: usize,
    /// Sizes of its axes, in symbols of its own.
    pub shape: Vec<Dim>,
    /// The entry that writes its first value.
    pub init: usize,
}

/// An entry's use of a [`SessionState`].
#[derive(Clone, Debug)]
pub struct SessionUse {
    /// Which one.
    pub session: usize,
    /// The symbols of its shape, and their values in the entry's symbols.
    pub sizes: Vec<(usize, Dim)>,
}

/// A weight or a state.
#[derive(Clone, Debug)]
pub struct Global {
    /// `conv1.weight`
    pub path: String,
    /// Its name in a weight file.
    pub file_path: String,
    /// What it is for.
    pub kind: Kind,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Sizes of its axes; none for a state of a session.
    pub shape: Vec<usize>,
}

/// An argument, a result or a column.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Sizes of its axes.
    pub shape: Vec<Dim>,
}

impl Port {
    /// `f32[B, 10]`
    pub fn type_text(&self) -> String {
        if self.shape.is_empty() {
            return self.dtype.name().to_owned();
        }
        let dims: Vec<&str> = self.shape.iter().map(|d| d.text.as_str()).collect();
        format!("{}[{}]", self.dtype.name(), dims.join(", "))
    }

    /// `image: f32[B, 28, 28, 1]`
    pub fn text(&self) -> String {
        format!("{}: {}", self.name, self.type_text())
    }
}

/// How a size is found: `extent of axis = coef * size + offset`.
#[derive(Clone, Copy, Debug)]
pub struct Solve {
    /// Which symbol.
    pub symbol: usize,
    /// Which argument.
    pub arg: usize,
    /// Which of its axes.
    pub axis: usize,
    /// Factor, at least 1.
    pub coef: i64,
    /// Summand.
    pub offset: i64,
}

/// What a fault looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The elements of an index tensor.
    Index,
    /// The length of a result.
    Length,
    /// What a C function returned.
    Status,
}

/// A use of an index tensor that can fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which of them.
    pub checked: Checked,
    /// `cnn.dl:39:18`
    pub place: String,
    /// What is indexed or what the index is, a phrase.
    pub text: String,
    /// Indices must be below it.
    pub bound: Dim,
}

/// What an entry makes of weights once and keeps.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its memory.
    pub bytes: usize,
    /// The globals that it is made of.
    pub of: Vec<usize>,
}

/// Something that can be called.
#[derive(Clone, Debug)]
pub struct Entry {
    /// For messages.
    pub name: String,
    /// Arguments.
    pub args: Vec<Port>,
    /// Results.
    pub results: Vec<Port>,
    /// How sizes are found.
    pub symbols: Vec<Solve>,
    /// Texts of size checks.
    pub checks: Vec<String>,
    /// Uses of index tensors.
    pub faults: Vec<Fault>,
    /// Globals that it reads.
    pub globals_read: Vec<usize>,
    /// Globals that it writes.
    pub globals_written: Vec<usize>,
    /// States of the session that it touches.
    pub sessions: Vec<SessionUse>,
    /// Buffers in the arena.
    pub buffers: usize,
    /// Formula of the arena's bytes.
    pub arena: String,
    /// What it keeps from call to call.
    pub kept: Kept,
    /// Bytes of the arena and of all threads that the program was compiled to stay under.
    pub max_memory: Option<usize>,
    /// Floating-point operations of a call.
    pub flops: Option<Dim>,
}

impl Entry {
    /// `(image: f32[B, 28, 28, 1]) -> f32[B, 10]`
    pub fn signature(&self) -> String {
        let results: Vec<String> =
            self.results.iter().map(|r| if is_unnamed(&r.name) { r.type_text() } else { r.text() }).collect();
        let results = match &results[..] {
            [one] if is_unnamed(&self.results[0].name) => one.clone(),
            _ => format!("({})", results.join(", ")),
        };
        format!("{} -> {results}", self.arguments())
    }

    /// `(image: f32[B, 28, 28, 1])`
    pub fn arguments(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Port::text).collect();
        format!("({})", args.join(", "))
    }
}

/// The name of a result that has none in the source: `out`, or its number.
fn is_unnamed(name: &str) -> bool {
    name == "out" || name.bytes().all(|b| b.is_ascii_digit())
}

/// An exported function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its model or binding.
    pub model: String,
    /// Which entry it is.
    pub entry: usize,
    /// Results that are cut to a length which the call returns.
    pub lengths: Vec<Length>,
}

/// The length of a result.
#[derive(Clone, Debug)]
pub struct Length {
    /// The size's name.
    pub name: String,
    /// Which result is cut.
    pub result: usize,
    /// Along which axis.
    pub axis: usize,
    /// Which result is the length, an i32 scalar.
    pub value: usize,
}

impl Function {
    /// Its results as the user declared them, lengths that are results of the entry left out.
    pub fn results<'m>(&self, entry: &'m Entry) -> &'m [Port] {
        let count = self.lengths.iter().map(|l| l.value).min().unwrap_or(entry.results.len());
        &entry.results[..count]
    }

    /// `(prompt: i32[1, P]) -> i32[1, N]`
    pub fn signature(&self, entry: &Entry) -> String {
        let mut shown = Entry { results: self.results(entry).to_vec(), ..entry.clone() };
        for length in &self.lengths {
            shown.results[length.result].shape[length.axis].text.clone_from(&length.name);
        }
        shown.signature()
    }
}
