//! What every command works with.

use crate::Parts;
use crate::args::Args;
use crate::data::source::Readers;
use crate::data::vocabulary::Vocabulary;
use crate::error::{Failure, OUTPUT, Result, WEIGHTS, did_you_mean, list};
use crate::files;
use crate::instance::{At, Instance};
use crate::levels;
use crate::meta::{Meta, Train};
use crate::threads::Threads;
use crate::weights::{self, Part};
use mlc_rt_core::abi::Program;
use mlc_rt_core::cpu::Level;
use mlc_rt_core::pool::MAX_THREADS;
use std::io::{self, Write};
use std::path::Path;

/// Who runs the program.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// The program's name in help: `./cnn`, `mlc run cnn.dl`.
    pub program: &'a str,
    /// Where relative paths written in the `.dl` start: the file's folder for `mlc run`, the working
    /// folder (an empty path) for an executable.
    pub root: &'a Path,
    /// Optional parts of the runtime.
    pub parts: Parts,
}

/// A program, what it says about itself, and who runs it.
#[derive(Debug)]
pub struct Cx<'p> {
    program: &'p Program,
    /// The metadata.
    pub meta: Meta,
    /// Who runs it.
    pub host: Host<'p>,
}

impl<'p> Cx<'p> {
    /// Reads the metadata.
    ///
    /// # Safety
    ///
    /// `program` must be what the compiler made: pointers, lengths, code and metadata belong together.
    pub unsafe fn new(program: &'p Program, host: Host<'p>) -> Result<Self> {
        // SAFETY: by this function's contract.
        let meta = unsafe { Meta::of(program) }?;
        Ok(Self { program, meta, host })
    }

    /// An instance for calls of these entries, without weights yet.
    pub fn instance(&self, entries: &[usize], args: &Args) -> Result<Instance<'_>> {
        // SAFETY: `new`'s contract says that program and metadata belong together.
        unsafe { Instance::new(self.program, &self.meta, entries, threads(args)?) }
    }

    /// The processor levels that there is code for, the lowest first.
    pub fn levels(&self) -> Vec<Level> {
        // SAFETY: by `new`'s contract.
        unsafe { levels::levels(self.program) }
    }

    /// The level of the code that runs here, if this processor runs any of it.
    pub fn level(&self) -> Option<Level> {
        // SAFETY: by `new`'s contract.
        unsafe { levels::code(self.program) }.ok().and_then(|code| Level::from_number(code.level))
    }

    /// Weights embedded in the executable.
    pub fn embedded(&self) -> Option<&'p [u8]> {
        if self.program.weights.is_null() {
            return None;
        }
        // SAFETY: by `new`'s contract.
        Some(unsafe { std::slice::from_raw_parts(self.program.weights, self.program.weights_len) })
    }

    /// Fills the weights from `--weights`, or else from those in the executable.
    pub fn load(&self, instance: &mut Instance<'_>, args: &Args) -> Result<()> {
        if let Some(path) = args.path("--weights")? {
            return weights::load_file(instance, Part::Weights, &path);
        }
        if let Some(bytes) = self.embedded() {
            return weights::load(instance, Part::Weights, bytes, "weights in the executable");
        }
        if !self.meta.globals.iter().any(|g| g.kind.is_saved()) {
            return Ok(());
        }
        Err(Failure::data(WEIGHTS, "no weights are given")
            .help("give them with `--weights F.safetensors`; `train` and `init` make some"))
    }

    /// Fills all globals with their initial values.
    pub fn init(&self, instance: &mut Instance<'_>, seed: i64) -> Result<()> {
        match self.meta.init {
            Some(e) => crate::call::scalars(instance, e, &[], At { seed, ..At::default() }).map(drop),
            None => Ok(()),
        }
    }

    /// What reads data, texts with this vocabulary.
    pub fn readers(&self, vocabulary: Option<Vocabulary>) -> Readers<'p> {
        Readers::new(self.host.root, self.host.parts, vocabulary)
    }

    /// Fills what train blocks load from files; paths start where those in the source do.
    pub fn load_pretrained(&self, instance: &mut Instance<'_>, train: &Train) -> Result<()> {
        for load in &train.loads {
            let path = self.host.root.join(&load.path);
            let bytes = files::read(&path, WEIGHTS)?;
            weights::load_some(instance, &load.tensors, &load.binding, &bytes, &path.display().to_string())?;
        }
        Ok(())
    }

    /// The entry that makes initial weights, if there is one.
    pub fn init_entry(&self) -> Option<usize> {
        self.meta.init
    }

    /// The train block called `name`, or the only one.
    pub fn train(&self, name: Option<&str>) -> Result<&Train> {
        let all = &self.meta.trains;
        let names = || all.iter().map(|t| t.name.as_str());
        match (name, &all[..]) {
            (_, []) => Err(Failure::usage(format!("{} has no train block", self.meta.source))),
            (None, [one]) => Ok(one),
            (None, _) => {
                Err(Failure::usage("several train blocks: give a name").note(format!("they are {}", list(names()))))
            }
            (Some(name), _) => all.iter().find(|t| t.name == name).ok_or_else(|| {
                Failure::usage(format!("there is no train block `{name}`"))
                    .note(format!("there is {}", list(names())))
                    .help_opt(did_you_mean(name, names()))
            }),
        }
    }

    /// `--seed`, or the train block's.
    pub fn seed(&self, args: &Args, train: Option<&Train>) -> Result<i64> {
        Ok(args.int("--seed", i64::MIN)?.unwrap_or_else(|| train.map_or(0, |t| t.seed)))
    }
}

/// `--threads`, or the cores that the process may use.
fn threads(args: &Args) -> Result<Threads> {
    let asked = args.int("--threads", 1)?.map(|n| usize::try_from(n).unwrap_or(MAX_THREADS));
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Threads { wanted: asked.unwrap_or_else(cores).min(MAX_THREADS), fixed: asked.is_some() })
}

/// Prints a result.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::data(OUTPUT, format!("the result can't be printed: {}", files::reason(&e))))
}
