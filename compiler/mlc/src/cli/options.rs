//! Options of every command that reads a source file.

use crate::budget;
use crate::failure::Failure;
use crate::session::Options;
use clap::{Args, ValueEnum};
use mlc_codegen::{Emitter, Level};
use std::path::PathBuf;

/// FILE and how it is compiled.
#[derive(Args, Debug)]
pub struct Source {
    /// The source file
    pub file: PathBuf,
    #[command(flatten)]
    pub options: Compile,
}

/// How a source file is compiled.
#[derive(Args, Debug)]
pub struct Compile {
    /// Set a `const`, or a constructor argument of a model: `-D H=256`, `-D Model.V=65`
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    defines: Vec<String>,
    /// Processor levels of the kernels: v2, v3 (AVX2 and FMA), v4 (AVX-512), several with commas, or
    /// native. v3 and v4 give the same bits [default: all for files, native for what runs at once]
    #[arg(long, value_name = "LEVELS")]
    cpu: Option<String>,
    /// Make all kernels with Cranelift, in vectors of 128 bits; the same bits, only slower
    #[arg(long)]
    narrow: bool,
    /// Stay under so much memory in each training step (`512MiB`, `8GiB`), by computing values again in the
    /// backward pass, or refuse
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// Run kernels as FILE.tune has it of this processor, or of the only one with this in its name [default: the
    /// processor at hand, else the only one there is]
    #[arg(long, value_name = "PROCESSOR")]
    tuned_on: Option<String>,
    /// A file with C functions that `extern fn`s name: a shared library; for `build` also an object or archive
    #[arg(long, value_name = "FILE")]
    link: Vec<PathBuf>,
    #[command(flatten)]
    messages: Messages,
}

/// How diagnostics are shown.
#[derive(Args, Debug)]
pub struct Messages {
    /// How diagnostics are shown
    #[arg(long, value_enum, default_value_t = MessageFormat::Text)]
    message_format: MessageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Messages {
    /// Whether they are for editors.
    pub fn json(&self) -> bool {
        self.message_format == MessageFormat::Json
    }
}

impl Compile {
    /// Whether diagnostics are for editors.
    pub fn json(&self) -> bool {
        self.messages.json()
    }

    /// Options for code that goes into a file: it is to run everywhere unless told otherwise.
    ///
    /// # Errors
    /// Usage: a level or option that isn't there, a `-D` without a name.
    pub fn for_files(&self) -> Result<Options, Failure> {
        self.with(Options::default())
    }

    /// Options for code that is looked at: that of level v3 unless told otherwise.
    ///
    /// # Errors
    /// As [`Compile::for_files`].
    pub fn for_readers(&self) -> Result<Options, Failure> {
        self.with(Options { levels: vec![Level::V3], ..Options::default() })
    }

    /// Options for code that runs here.
    ///
    /// # Errors
    /// As [`Compile::for_files`].
    pub fn for_this_machine(&self) -> Result<Options, Failure> {
        self.with(Options::for_this_machine())
    }

    fn with(&self, start: Options) -> Result<Options, Failure> {
        let max_memory = self.max_memory.as_deref().map(bound).transpose()?;
        let levels = match &self.cpu {
            None => start.levels,
            Some(cpu) => levels(cpu)?,
        };
        let emitter = if self.narrow { Emitter::Cranelift } else { start.emitter };
        let defines = self.defines.iter().map(|text| define(text)).collect::<Result<_, _>>()?;
        let (link, tuned_on) = (self.link.clone(), self.tuned_on.clone());
        Ok(Options { defines, levels, emitter, link, max_memory, tuned_on })
    }
}

fn bound(text: &str) -> Result<i64, Failure> {
    let wrong = || Failure::Usage(format!("--max-memory {text}: write a size, as 64MiB, 1.5GiB or 100000"));
    budget::parse(text).ok_or_else(wrong)
}

/// The levels in a list, the lowest first.
fn levels(list: &str) -> Result<Vec<Level>, Failure> {
    let level = |name: &str| match name {
        "native" => Ok(Level::host()),
        name => Level::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| Failure::Usage(format!("there is no --cpu {name}; there are v2, v3, v4 and native"))),
    };
    let mut levels = list.split(',').map(level).collect::<Result<Vec<Level>, Failure>>()?;
    levels.sort_unstable();
    levels.dedup();
    Ok(levels)
}

fn define(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Failure::Usage(format!("`-D {text}`: write -D NAME=VALUE"))),
    }
}
