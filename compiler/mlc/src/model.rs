//! Models inside a Rust program: compiled in memory, called and trained like functions.
//!
//! [`Model::open`] compiles a file; [`Model::instance`] gives it weights and threads. Arrays are row-major,
//! and every call checks names, dtypes and shapes as the executable's commands do.
//!
//! ```no_run
//! use mlc::model::{Array, Model};
//!
//! # fn main() -> Result<(), mlc::model::Error> {
//! let model = Model::open("cnn.dl")?;
//! let mut net = model.instance(2)?;
//! net.init(42)?;
//! let image = Array::f32(&[1, 28, 28, 1], &[0.0; 784])?;
//! let label = Array::i32(&[1], &[7])?;
//! let report = net.step("digits", &[("image", &image), ("label", &label)])?;
//! let logits = net.call("forward", &[("image", &image)])?;
//! println!("{} {}: {:?}", report[0].0, report[0].1, logits[0].1.to_f32());
//! # Ok(())
//! # }
//! ```

use crate::failure::Failure;
use crate::memory::InMemory;
use crate::render::{self, Format};
use crate::session::{Options, Session, Wanted};
use mlc_rt_core::abi::Program;
use mlc_rt_exe::call;
use mlc_rt_exe::commands::run::find;
use mlc_rt_exe::dtype::Dtype;
use mlc_rt_exe::error::Failure as RunFailure;
use mlc_rt_exe::files::Pending;
use mlc_rt_exe::instance::{At, CallError, Instance as Running};
use mlc_rt_exe::meta::{Entry, Meta, Train};
use mlc_rt_exe::sizes;
use mlc_rt_exe::tensor::{Tensor, bytes_at};
use mlc_rt_exe::threads::Threads;
use mlc_rt_exe::train::metrics::Accumulator;
use mlc_rt_exe::weights::{self, Part};
use std::fmt;
use std::path::Path;

/// What went wrong, as the command line would show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Error {}

impl From<RunFailure> for Error {
    fn from(failure: RunFailure) -> Error {
        Error(failure.render())
    }
}

/// Named arrays, in the order of the function's signature.
pub type Named = Vec<(String, Array)>;

/// Elements, row-major.
#[derive(Debug)]
pub struct Array(Tensor);

impl Array {
    /// Floats of this shape.
    ///
    /// # Errors
    /// The shape has another number of elements, or memory runs out.
    pub fn f32(shape: &[usize], data: &[f32]) -> Result<Array, Error> {
        Array::of(Dtype::F32, shape, data.len(), data.iter().flat_map(|x| x.to_le_bytes()))
    }

    /// As [`Array::f32`], in double precision.
    ///
    /// # Errors
    /// As [`Array::f32`].
    pub fn f64(shape: &[usize], data: &[f64]) -> Result<Array, Error> {
        Array::of(Dtype::F64, shape, data.len(), data.iter().flat_map(|x| x.to_le_bytes()))
    }

    /// As [`Array::f32`], for integers: labels, tokens, positions.
    ///
    /// # Errors
    /// As [`Array::f32`].
    pub fn i32(shape: &[usize], data: &[i32]) -> Result<Array, Error> {
        Array::of(Dtype::I32, shape, data.len(), data.iter().flat_map(|x| x.to_le_bytes()))
    }

    /// As [`Array::f32`], for truth values.
    ///
    /// # Errors
    /// As [`Array::f32`].
    pub fn bool(shape: &[usize], data: &[bool]) -> Result<Array, Error> {
        Array::of(Dtype::Bool, shape, data.len(), data.iter().map(|&x| u8::from(x)))
    }

    fn of(dtype: Dtype, shape: &[usize], given: usize, bytes: impl Iterator<Item = u8>) -> Result<Array, Error> {
        let mut tensor = Tensor::zeros(dtype, shape)?;
        let wanted = tensor.data.len() / dtype.bytes();
        if wanted != given {
            return Err(Error(format!("{} has {wanted} elements, and {given} are given", tensor.type_text())));
        }
        for (to, from) in tensor.data.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(Array(tensor))
    }

    /// Sizes of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Its elements as f32; empty if it holds another dtype.
    pub fn to_f32(&self) -> Vec<f32> {
        self.elements(Dtype::F32, f32::from_le_bytes)
    }

    /// Its elements as f64; empty if it holds another dtype.
    pub fn to_f64(&self) -> Vec<f64> {
        self.elements(Dtype::F64, f64::from_le_bytes)
    }

    /// Its elements as i32; empty if it holds another dtype.
    pub fn to_i32(&self) -> Vec<i32> {
        self.elements(Dtype::I32, i32::from_le_bytes)
    }

    fn elements<T, const N: usize>(&self, dtype: Dtype, read: fn([u8; N]) -> T) -> Vec<T> {
        let count = if self.0.dtype == dtype { self.0.data.len() / N } else { 0 };
        (0..count).filter_map(|i| bytes_at(&self.0.data, i).map(read)).collect()
    }

    fn copy(&self) -> Result<Tensor, Error> {
        let mut tensor = Tensor::zeros(self.0.dtype, &self.0.shape)?;
        tensor.data.copy_from_slice(&self.0.data);
        Ok(tensor)
    }
}

/// A compiled program.
#[derive(Debug)]
pub struct Model {
    /// Keeps the code that `program` points to.
    _code: InMemory,
    program: Program,
    meta: Meta,
}

impl Model {
    /// Compiles a file.
    ///
    /// # Errors
    /// It can't be read, or the compiler refuses it: the text has every diagnostic.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
        Model::compile(path.as_ref(), Options::for_this_machine())
    }

    /// [`Model::open`] with options: values for constants, the processor level.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn compile(path: &Path, options: Options) -> Result<Model, Error> {
        let mut session = Session::open(path, options).map_err(|failure| refused(failure, None))?;
        let code = in_memory(&mut session).map_err(|failure| refused(failure, Some(&session)))?;
        let program = code.program();
        // SAFETY: the program's pointers lead into `code`, which lives as long.
        let meta = unsafe { Meta::of(&program) }?;
        Ok(Model { _code: code, program, meta })
    }

    /// An instance with weights of its own, all zero until [`Instance::init`] or [`Instance::load`],
    /// whose calls use up to `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// This processor can't run the code, or memory runs out.
    pub fn instance(&self, threads: usize) -> Result<Instance<'_>, Error> {
        if self.meta.shares_names() {
            let names: Vec<String> = self.meta.trains.iter().map(|train| format!("`{}`", train.name)).collect();
            let names = names.join(", ");
            return Err(Error(format!(
                "error: weights of {names} have one name: use `Model::instance_of` with one of them"
            )));
        }
        self.with_entries(&(0..self.meta.entries.len()).collect::<Vec<usize>>(), threads)
    }

    /// [`Model::instance`] with the weights of one training, where several have weights of one name: these are what
    /// is loaded and saved. Functions that read other weights are refused.
    ///
    /// # Errors
    /// There is no such training, this processor can't run the code, or memory runs out.
    pub fn instance_of(&self, train: &str, threads: usize) -> Result<Instance<'_>, Error> {
        let own = training(&self.meta, train)?.entries();
        self.with_entries(&own.into_iter().chain(self.meta.init).collect::<Vec<usize>>(), threads)
    }

    fn with_entries(&self, entries: &[usize], threads: usize) -> Result<Instance<'_>, Error> {
        let threads = Threads { wanted: threads.max(1), fixed: false };
        // SAFETY: program and metadata belong together, and both outlive the instance.
        let running = unsafe { Running::new(&self.program, &self.meta, entries, threads) }?;
        Ok(Instance { running, meta: &self.meta, seed: 0, calls: 0, steps: 0 })
    }
}

fn training<'m>(meta: &'m Meta, name: &str) -> Result<&'m Train, Error> {
    let found = meta.trains.iter().find(|train| train.name == name);
    found.ok_or_else(|| Error(format!("error: there is no train block `{name}`")))
}

fn in_memory(session: &mut Session) -> Result<InMemory, Failure> {
    let program = session.resolve()?;
    let lowered = session.lower(&program);
    let code = session.jit(&lowered, Wanted::Code)?;
    Ok(InMemory::new(code, session.metadata(&program, std::slice::from_ref(&lowered))))
}

fn refused(failure: Failure, session: Option<&Session>) -> Error {
    Error(match (failure, session) {
        (Failure::Diagnostics(found), Some(session)) => render::render(&found, session.sources(), Format::Plain),
        (Failure::Diagnostics(found), None) => found.iter().map(|one| format!("error: {}\n", one.title)).collect(),
        (Failure::Usage(text), _) => text,
        (Failure::Reported(status), _) => format!("exit status {status}"),
    })
}

/// Weights and states, and the memory for calls.
#[derive(Debug)]
pub struct Instance<'m> {
    running: Running<'m>,
    meta: &'m Meta,
    seed: i64,
    calls: i64,
    steps: i64,
}

impl<'m> Instance<'m> {
    /// Weights as `./model init --seed` makes them; random draws depend on the seed too.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn init(&mut self, seed: i64) -> Result<(), Error> {
        (self.seed, self.calls, self.steps) = (seed, 0, 0);
        if let Some(init) = self.meta.init {
            call::scalars(&mut self.running, init, &[], At { seed, ..At::default() })?;
        }
        Ok(())
    }

    /// Weights from a safetensors file, all or none.
    ///
    /// # Errors
    /// The file can't be read or doesn't fit.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(weights::load_file(&mut self.running, Part::Weights, path.as_ref())?)
    }

    /// Writes the weights as safetensors; a file of that name is replaced whole or not at all.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(weights::save(&self.running, Part::Weights, Pending::create(path.as_ref())?)?)
    }

    /// Calls an exported function.
    ///
    /// # Errors
    /// There is no such function, an argument is missing or doesn't fit, or an index is out of range.
    pub fn call(&mut self, function: &str, args: &[(&str, &Array)]) -> Result<Named, Error> {
        let called = find(self.meta, function)?;
        let entry = called.entry;
        let at = At { seed: self.seed, step: self.calls, ..At::default() };
        let what = format!("function `{function}`");
        let mut results = self.run(entry, args, &what, |running, sizes, given, results| {
            call::tensors(running, entry, sizes, given, results, at)
        })?;
        call::cut(called, &mut results)?;
        self.calls += 1;
        let names = called.results(&self.meta.entries[entry]).iter().map(|port| port.name.clone());
        Ok(names.zip(results.into_iter().map(Array)).collect())
    }

    /// One step of a training on one batch: forward, backward and update. Gives the loss and the
    /// metrics of the batch, before the update.
    ///
    /// # Errors
    /// There is no such training, a column is missing or doesn't fit, or an index is out of range;
    /// then no weight has changed.
    pub fn step(&mut self, train: &str, columns: &[(&str, &Array)]) -> Result<Vec<(String, f64)>, Error> {
        let train = training(self.meta, train)?;
        let total_steps = train.steps.unwrap_or(self.steps + 1);
        let at = At { seed: self.seed, step: self.steps, epoch: 0, total_steps, done: self.steps };
        let what = format!("the step of `{}`", train.name);
        let results = self.run(train.step, columns, &what, |running, sizes, given, results| {
            call::step(running, train, sizes, given, results, at)
        })?;
        let mut sums = Accumulator::new(&train.tally);
        sums.add(|i| results.get(i).and_then(|t| t.number(0)).unwrap_or(f64::NAN));
        let values = sums.finish(&mut self.running, &train.tally, at)?;
        self.steps += 1;
        Ok(train.metrics.iter().cloned().zip(values).collect())
    }

    fn run(
        &mut self,
        e: usize,
        args: &[(&str, &Array)],
        what: &str,
        job: impl FnOnce(&mut Running<'_>, &[i64], &[Tensor], &mut [Tensor]) -> Result<(), CallError>,
    ) -> Result<Vec<Tensor>, Error> {
        let entry = &self.meta.entries[e];
        let global = |g: &&usize| self.meta.globals[**g].kind.is_saved() && !self.running.is_filed(**g);
        if let Some(g) = entry.globals_read.iter().find(global) {
            let path = &self.meta.globals[*g].path;
            return Err(Error(format!("error: {what} reads `{path}`, a weight of another training")));
        }
        let given = placed(entry, args, what)?;
        let types: Vec<_> = given.iter().map(|tensor| (tensor.dtype, &tensor.shape[..])).collect();
        let sizes = sizes::solve(self.meta, entry, &types, what)?;
        let mut results = call::results(&self.running, e, &sizes)?;
        job(&mut self.running, &sizes, &given, &mut results).map_err(RunFailure::from)?;
        Ok(results)
    }
}

/// Arguments by name, in the order of the entry's.
fn placed(entry: &Entry, args: &[(&str, &Array)], what: &str) -> Result<Vec<Tensor>, Error> {
    let known = |name: &str| entry.args.iter().any(|port| port.name == name);
    if let Some((name, _)) = args.iter().find(|(name, _)| !known(name)) {
        return Err(Error(format!("error: {what} has no input `{name}`\nit takes {}", entry.arguments())));
    }
    let find = |name: &str| args.iter().find(|(other, _)| *other == name);
    let tensor = |name: &String| match find(name) {
        Some((_, array)) => array.copy(),
        None => Err(Error(format!("error: {what} needs `{name}`\nit takes {}", entry.arguments()))),
    };
    entry.args.iter().map(|port| tensor(&port.name)).collect()
}
