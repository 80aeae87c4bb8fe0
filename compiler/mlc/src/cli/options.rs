//! Options of every command that reads a source file.

use crate::failure::Failure;
use crate::session::Options;
use clap::{Args, ValueEnum};
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
    /// Processor level of the kernels: v3
    #[arg(long, value_name = "LEVEL")]
    cpu: Option<String>,
    /// Refuse to use more memory than this
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<String>,
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

    /// # Errors
    /// Usage: a level or option that isn't there, a `-D` without a name.
    pub fn options(&self) -> Result<Options, Failure> {
        if let Some(cpu) = self.cpu.as_deref().filter(|&cpu| cpu != "v3") {
            return Err(Failure::Usage(format!("--cpu {cpu} is not supported yet; there is v3")));
        }
        if self.max_memory.is_some() {
            return Err(Failure::not_supported("--max-memory"));
        }
        let defines = self.defines.iter().map(|text| define(text)).collect::<Result<_, _>>()?;
        Ok(Options { defines, ..Options::default() })
    }
}

fn define(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Failure::Usage(format!("`-D {text}`: write -D NAME=VALUE"))),
    }
}
