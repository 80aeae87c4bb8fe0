//! What a compiled program says about itself: the JSON text in [`Program::meta`].
//!
//! This is the schema's home; `mlc` writes it and this module reads it. A *dim* is a number, or
//! `{"text": "2*B + 1", "rpn": "2 B * 1 +"}` with tokens separated by spaces: whole numbers, names of
//! size symbols, `+ - * / max` (`/` rounds down). Text in `<>` is explained, `or null` may be absent.
//!
//! ```text
//! { "abi": 1, "mlc": "0.1.0", "name": "cnn", "source": "cnn.dl", "source_hash": "<hex>", "level": "v3",
//!   "symbols": ["B"],
//!   "globals": [                       <index = position in EntryCx.globals>
//!     {"path": "conv1.weight",
//!      "file_path": "conv1.weight",    <name in a weight file: prefixed by the binding if there are several instances>
//!      "kind": "param|state|optimizer", "dtype": "f32", "shape": [3, 3, 1, 32]}],
//!   "entries": [                       <index = position in Program.entries>
//!     {"name": "forward",
//!      "args": [{"name": "image", "dtype": "f32", "shape": [dim, 28, 28, 1]}],
//!      "results": [{"name": "out", "dtype": "f32", "shape": [dim, 10]}],
//!      "symbols": [{"symbol": 0, "arg": 0, "axis": 0, "coef": 1, "offset": 0}],   <extent = coef * size + offset>
//!      "checks": ["T <= Ctx, required at gpt.dl:3:4"],
//!      "faults": [{"place": "cnn.dl:39:18", "text": "label", "bound": dim}],
//!      "globals_read": [0, 1], "globals_written": [],
//!      "buffers": 12, "arena": "bytes(B) = 1234*B + 64", "flops": dim}],
//!   "functions": [{"name": "forward", "model": "Cnn", "entry": 0}],
//!   "init": {"entry": 3} or null,      <no arguments; writes all globals>
//!   "trains": [
//!     {"name": "digits", "seed": 42, "epochs": 10 or null, "steps": null, "batch": 32,
//!      "step": 5,                      <args = columns; results = accumulands, scalars f32, f64 or i32>
//!      "eval": 6,                      <the same, but writes nothing>
//!      "grads": 7 or null,             <results = accumulands, then one for each trained parameter, named by its path>
//!      "finish": 8,                    <args = accumulands as f64; results = "loss" and the metrics, f32 or f64>
//!      "accumulands": [{"combine": "sum|max|min"}], "metrics": ["loss", "accuracy"],
//!      "columns": [{"name": "image", "dtype": "f32", "shape": [dim, 28, 28, 1]}],
//!      "trained": [0, 1],              <globals that it updates>
//!      "data": pipeline or null, "valid": pipeline or null, "pipelines": {"data": pipeline, "valid": pipeline},
//!      "every": [
//!        {"count": 1, "period": "epochs|steps",
//!         "entry": 9 or null,          <args = metrics as f64; results = the scalars that actions use by index>
//!         "actions": [{"do": "evaluate", "pipeline": "valid"},
//!                     {"do": "save", "dir": "runs/digits", "keep": 3 or null, "best": 0 or null},
//!                     {"do": "early_stop", "value": 1, "patience": 3}]}]}] }
//! pipeline = {"stages": [{"stage": "idx", "prefix": "data/digits/train", "labels": true},
//!                        {"stage": "resize", "height": 28, "width": 28}, {"stage": "shuffle", "buffer": 2000},
//!                        {"stage": "take", "n": 100}, {"stage": "skip", "n": 10}, {"stage": "batch", "n": 32}],
//!             "place": "cnn.dl:29:14"}
//! ```

use crate::dim::Dim;
use crate::dtype::Dtype;
use crate::error::{Failure, Result};
use crate::json::Value;
use mlc_rt_core::abi::{ABI_VERSION, Program};

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
    /// The CPU level that the code needs.
    pub level: String,
    /// Names of the size symbols.
    pub symbols: Vec<String>,
    /// Weights and states.
    pub globals: Vec<Global>,
    /// Everything that can be called.
    pub entries: Vec<Entry>,
    /// Exported functions.
    pub functions: Vec<Function>,
    /// The entry that writes initial weights.
    pub init: Option<usize>,
    /// Train blocks.
    pub trains: Vec<Train>,
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
}

impl Kind {
    /// Its word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Param => "param",
            Self::State => "state",
            Self::Optimizer => "optimizer",
        }
    }
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
    /// Sizes of its axes.
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

/// A use of an index tensor that can fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `cnn.dl:39:18`
    pub place: String,
    /// What is indexed or what the index is, a phrase.
    pub text: String,
    /// Indices must be below it.
    pub bound: Dim,
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
    /// Buffers in the arena.
    pub buffers: usize,
    /// Formula of the arena's bytes.
    pub arena: String,
    /// Floating-point operations of a call.
    pub flops: Option<Dim>,
}

impl Entry {
    /// `(image: f32[B, 28, 28, 1]) -> f32[B, 10]`
    pub fn signature(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Port::text).collect();
        let results: Vec<String> = self
            .results
            .iter()
            .map(|r| if is_unnamed(&r.name) { r.type_text() } else { r.text() })
            .collect();
        let results = match &results[..] {
            [one] if is_unnamed(&self.results[0].name) => one.clone(),
            _ => format!("({})", results.join(", ")),
        };
        format!("({}) -> {results}", args.join(", "))
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
}

/// How an accumuland of a metric is combined over batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Added.
    Sum,
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
    /// Entry of a training step.
    pub step: usize,
    /// Entry of a step that only reports.
    pub eval: usize,
    /// Entry that returns gradients.
    pub grads: Option<usize>,
    /// Entry that makes metrics of accumulands.
    pub finish: usize,
    /// How accumulands are combined.
    pub accumulands: Vec<Combine>,
    /// Names of the results of `finish`.
    pub metrics: Vec<String>,
    /// Arguments of the step.
    pub columns: Vec<Port>,
    /// Globals that the block updates.
    pub trained: Vec<usize>,
    /// Named pipelines.
    pub pipelines: Vec<(String, Pipeline)>,
    /// Blocks that run now and then.
    pub every: Vec<Every>,
}

impl Train {
    /// The pipeline called `name`.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|(n, _)| n == name).map(|(_, p)| p)
    }
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
    },
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

/// A source of rows and what is done to them.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The source and the stages after it.
    pub stages: Vec<Stage>,
    /// Its place in the source.
    pub place: String,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Images and labels in the format of MNIST.
    Idx {
        /// Of the two file names.
        prefix: String,
        /// Are there labels?
        labels: bool,
    },
    /// Images to one size.
    Resize {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// A buffered shuffle.
    Shuffle {
        /// Rows that it holds.
        buffer: usize,
    },
    /// The first rows.
    Take(usize),
    /// All but the first rows.
    Skip(usize),
    /// Rows of a batch.
    Batch(usize),
    /// One that this runtime doesn't know.
    Unknown(String),
}

impl Meta {
    /// Reads the metadata of a program and checks all numbers in it.
    ///
    /// # Safety
    ///
    /// `program`'s pointers and lengths must be right.
    pub unsafe fn of(program: &Program) -> Result<Self> {
        if program.abi != ABI_VERSION {
            return Err(damaged(&format!("version {} of the interface, this is {ABI_VERSION}", program.abi)));
        }
        // SAFETY: by this function's contract.
        let text = unsafe { std::slice::from_raw_parts(program.meta, program.meta_len) };
        let value = Value::parse(text).map_err(|e| damaged(&format!("{} at byte {}", e.what, e.at)))?;
        let meta = Self::read(&Reader { value: &value, path: "" })?;
        if meta.entries.len() != program.entry_count as usize {
            return Err(damaged("the number of entries"));
        }
        Ok(meta)
    }

    fn read(r: &Reader<'_>) -> Result<Self> {
        let symbols = r.list("symbols", |s| s.text())?;
        let globals = r.list("globals", global)?;
        let entries = r.list("entries", |e| entry(e, &symbols, globals.len()))?;
        let known = entries.len();
        let meta = Self {
            mlc: r.field("mlc")?.text()?,
            name: r.field("name")?.text()?,
            source: r.field("source")?.text()?,
            source_hash: r.field("source_hash")?.text()?,
            level: r.field("level")?.text()?,
            functions: r.list("functions", |f| function(f, known))?,
            init: r.optional("init").map(|i| i.field("entry")?.index(known)).transpose()?,
            trains: r.list("trains", |t| train(t, &symbols, &entries, globals.len()))?,
            symbols,
            globals,
            entries,
        };
        Ok(meta)
    }
}

fn damaged(what: &str) -> Failure {
    Failure::internal(format!("the program's description is damaged: {what}"))
}

/// A value and the key it stands under.
#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    path: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> Failure {
        damaged(&format!("`{}`", self.path))
    }

    fn field(&self, key: &'a str) -> Result<Self> {
        self.optional(key).ok_or_else(|| damaged(&format!("`{key}` is missing in `{}`", self.path)))
    }

    fn optional(&self, key: &'a str) -> Option<Self> {
        self.value.get(key).filter(|v| **v != Value::Null).map(|value| Self { value, path: key })
    }

    fn text(&self) -> Result<String> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong())
    }

    fn int(&self) -> Result<i64> {
        self.value.as_int().ok_or_else(|| self.wrong())
    }

    fn size(&self) -> Result<usize> {
        usize::try_from(self.int()?).map_err(|_| self.wrong())
    }

    fn index(&self, below: usize) -> Result<usize> {
        self.size().ok().filter(|&i| i < below).ok_or_else(|| self.wrong())
    }

    fn list<T>(&self, key: &'a str, item: impl Fn(&Self) -> Result<T>) -> Result<Vec<T>> {
        let field = self.field(key)?;
        let items = field.value.as_array().ok_or_else(|| field.wrong())?;
        items.iter().map(|value| item(&Self { value, path: key })).collect()
    }

    fn optional_int(&self, key: &'a str) -> Result<Option<i64>> {
        self.optional(key).map(|v| v.int()).transpose()
    }

    fn optional_index(&self, key: &'a str, below: usize) -> Result<Option<usize>> {
        self.optional(key).map(|v| v.index(below)).transpose()
    }

    fn dtype(&self) -> Result<Dtype> {
        let field = self.field("dtype")?;
        Dtype::from_name(&field.text()?).ok_or_else(|| field.wrong())
    }

    fn dim(&self, symbols: &[String]) -> Result<Dim> {
        Dim::from_json(self.value, symbols).ok_or_else(|| self.wrong())
    }
}

fn global(r: &Reader<'_>) -> Result<Global> {
    let kind = r.field("kind")?;
    let shape: Vec<usize> = r.list("shape", Reader::size)?;
    let dtype = r.dtype()?;
    crate::tensor::bytes_of(dtype, &shape).ok_or_else(|| r.wrong())?;
    Ok(Global {
        path: r.field("path")?.text()?,
        file_path: r.field("file_path")?.text()?,
        kind: match kind.text()?.as_str() {
            "param" => Kind::Param,
            "state" => Kind::State,
            "optimizer" => Kind::Optimizer,
            _ => return Err(kind.wrong()),
        },
        dtype,
        shape,
    })
}

fn port(r: &Reader<'_>, symbols: &[String]) -> Result<Port> {
    Ok(Port {
        name: r.field("name")?.text()?,
        dtype: r.dtype()?,
        shape: r.list("shape", |d| d.dim(symbols))?,
    })
}

fn entry(r: &Reader<'_>, symbols: &[String], globals: usize) -> Result<Entry> {
    let args = r.list("args", |a| port(a, symbols))?;
    let solve = |s: &Reader<'_>| -> Result<Solve> {
        let arg = s.field("arg")?.index(args.len())?;
        let coef = s.field("coef")?;
        Ok(Solve {
            symbol: s.field("symbol")?.index(symbols.len())?,
            arg,
            axis: s.field("axis")?.index(args[arg].shape.len())?,
            coef: coef.int().ok().filter(|&c| c >= 1).ok_or_else(|| coef.wrong())?,
            offset: s.field("offset")?.int()?,
        })
    };
    let fault = |f: &Reader<'_>| -> Result<Fault> {
        Ok(Fault {
            place: f.field("place")?.text()?,
            text: f.field("text")?.text()?,
            bound: f.field("bound")?.dim(symbols)?,
        })
    };
    Ok(Entry {
        name: r.field("name")?.text()?,
        results: r.list("results", |a| port(a, symbols))?,
        symbols: r.list("symbols", solve)?,
        checks: r.list("checks", Reader::text)?,
        faults: r.list("faults", fault)?,
        globals_read: r.list("globals_read", |g| g.index(globals))?,
        globals_written: r.list("globals_written", |g| g.index(globals))?,
        buffers: r.field("buffers")?.size()?,
        arena: r.field("arena")?.text()?,
        flops: r.optional("flops").map(|d| d.dim(symbols)).transpose()?,
        args,
    })
}

fn function(r: &Reader<'_>, entries: usize) -> Result<Function> {
    Ok(Function {
        name: r.field("name")?.text()?,
        model: r.optional("model").map(|m| m.text()).transpose()?.unwrap_or_default(),
        entry: r.field("entry")?.index(entries)?,
    })
}

fn train(r: &Reader<'_>, symbols: &[String], entries: &[Entry], globals: usize) -> Result<Train> {
    let combine = |a: &Reader<'_>| -> Result<Combine> {
        let field = a.field("combine")?;
        match field.text()?.as_str() {
            "sum" => Ok(Combine::Sum),
            "max" => Ok(Combine::Max),
            "min" => Ok(Combine::Min),
            _ => Err(field.wrong()),
        }
    };
    let known = entries.len();
    let train = Train {
        name: r.field("name")?.text()?,
        seed: r.optional_int("seed")?.unwrap_or(0),
        epochs: r.optional_int("epochs")?,
        steps: r.optional_int("steps")?,
        batch: r.optional_int("batch")?,
        step: r.field("step")?.index(known)?,
        eval: r.field("eval")?.index(known)?,
        grads: r.optional_index("grads", known)?,
        finish: r.field("finish")?.index(known)?,
        accumulands: r.list("accumulands", combine)?,
        metrics: r.list("metrics", Reader::text)?,
        columns: r.list("columns", |c| port(c, symbols))?,
        trained: r.list("trained", |g| g.index(globals))?,
        pipelines: pipelines(r)?,
        every: r.list("every", |e| every(e, entries))?,
    };
    check_train(&train, entries, r)?;
    Ok(train)
}

/// The entries of a train block must take and return what the driver hands them.
fn check_train(train: &Train, entries: &[Entry], r: &Reader<'_>) -> Result<()> {
    let scalars = |ports: &[Port], count: usize| {
        ports.len() >= count && ports[..count].iter().all(|p| p.shape.is_empty() && p.dtype.bytes() >= 4)
    };
    let sums = train.accumulands.len();
    let reports = [Some(train.step), Some(train.eval), train.grads].into_iter().flatten();
    let reports_fit =
        reports.map(|e| &entries[e]).all(|e| scalars(&e.results, sums) && e.args.len() == train.columns.len());
    let finish = &entries[train.finish];
    let wide = |ports: &[Port], count: usize| {
        ports.len() == count && scalars(ports, count) && ports.iter().all(|p| p.dtype == Dtype::F64)
    };
    let finish_fits = wide(&finish.args, sums)
        && finish.results.len() == train.metrics.len()
        && scalars(&finish.results, train.metrics.len());
    let every_fits = train.every.iter().filter_map(|e| e.entry).map(|e| &entries[e]).all(|e| {
        (e.args.is_empty() || wide(&e.args, train.metrics.len())) && scalars(&e.results, e.results.len())
    });
    if reports_fit && finish_fits && every_fits { Ok(()) } else { Err(r.wrong()) }
}

/// Those under `pipelines`, and `data` and `valid` if they stand only beside it.
fn pipelines(r: &Reader<'_>) -> Result<Vec<(String, Pipeline)>> {
    let mut all = Vec::new();
    if let Some(Reader { value: Value::Object(fields), .. }) = r.optional("pipelines") {
        for (name, value) in fields.iter().filter(|(_, v)| *v != Value::Null) {
            all.push((name.clone(), pipeline(&Reader { value, path: name })?));
        }
    }
    for name in ["data", "valid"] {
        if let Some(value) = r.optional(name).filter(|_| all.iter().all(|(n, _)| n != name)) {
            all.push((name.to_owned(), pipeline(&value)?));
        }
    }
    Ok(all)
}

fn pipeline(r: &Reader<'_>) -> Result<Pipeline> {
    Ok(Pipeline { stages: r.list("stages", stage)?, place: r.field("place")?.text()? })
}

fn stage(r: &Reader<'_>) -> Result<Stage> {
    let positive = |key| -> Result<usize> {
        let field = r.field(key)?;
        field.size().ok().filter(|&n| n >= 1).ok_or_else(|| field.wrong())
    };
    Ok(match r.field("stage")?.text()?.as_str() {
        "idx" => Stage::Idx {
            prefix: r.field("prefix")?.text()?,
            labels: r.optional("labels").is_none_or(|l| *l.value != Value::Bool(false)),
        },
        "resize" => Stage::Resize { height: positive("height")?, width: positive("width")? },
        "shuffle" => Stage::Shuffle { buffer: positive("buffer")? },
        "take" => Stage::Take(r.field("n")?.size()?),
        "skip" => Stage::Skip(r.field("n")?.size()?),
        "batch" => Stage::Batch(positive("n")?),
        other => Stage::Unknown(other.to_owned()),
    })
}

fn every(r: &Reader<'_>, entries: &[Entry]) -> Result<Every> {
    let period = r.field("period")?;
    let count = r.field("count")?;
    let entry = r.optional_index("entry", entries.len())?;
    let values = entry.map_or(0, |e| entries[e].results.len());
    Ok(Every {
        count: count.int().ok().filter(|&n| n >= 1).ok_or_else(|| count.wrong())?,
        period: match period.text()?.as_str() {
            "epochs" | "epoch" => Period::Epochs,
            "steps" | "step" => Period::Steps,
            _ => return Err(period.wrong()),
        },
        entry,
        actions: r.list("actions", |a| action(a, values))?,
    })
}

fn action(r: &Reader<'_>, values: usize) -> Result<Action> {
    let what = r.field("do")?;
    Ok(match what.text()?.as_str() {
        "evaluate" => Action::Evaluate { pipeline: r.field("pipeline")?.text()? },
        "save" => Action::Save {
            dir: r.field("dir")?.text()?,
            keep: r.optional_int("keep")?,
            best: r.optional_index("best", values)?,
        },
        "early_stop" => Action::EarlyStop {
            value: r.field("value")?.index(values)?,
            patience: r.field("patience")?.int()?,
        },
        _ => return Err(what.wrong()),
    })
}
