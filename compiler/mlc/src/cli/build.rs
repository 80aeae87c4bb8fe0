//! `mlc build FILE`: an executable, or the object it is linked from.

use super::Console;
use super::options::Source;
use crate::failure::Failure;
use crate::link::{self, Kind, Linker};
use crate::output;
use crate::session::Session;
use crate::timings::LINKER;
use crate::weights;
use mlc_resolve::program::Program;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments of `mlc build`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Where to; the source's name without `.dl` if not given
    #[arg(short = 'o', value_name = "OUT")]
    out: Option<PathBuf>,
    /// What to make: exe, obj
    #[arg(long, default_value = "exe", value_name = "KIND")]
    emit: String,
    /// Put these weights into the product
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print how large the parts are
    #[arg(long)]
    size: bool,
    /// Print where the time went, as one JSON line on stderr
    #[arg(long)]
    timings: bool,
    /// Measure how kernels are best run on this machine, and write that to FILE.tune, which every later
    /// compilation reads
    #[arg(long, conflicts_with = "tuned_on")]
    tune: bool,
    /// Start the new executable with the rest of the line, in the source's folder
    #[arg(long, num_args = 0.., allow_hyphen_values = true, value_name = "ARGS")]
    run: Option<Vec<OsString>>,
    #[command(flatten)]
    later: Later,
}

/// Options of later versions, refused by name.
#[derive(clap::Args, Debug)]
struct Later {
    #[arg(long, hide = true)]
    target: Option<String>,
    #[arg(long, hide = true)]
    linker: Option<String>,
    #[arg(long, hide = true)]
    threads: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    Executable,
    Object,
}

/// Compiles, links, and starts the product if asked to.
pub fn execute(args: &Args, console: &mut Console) -> Result<(), Failure> {
    console.json = args.source.options.json();
    args.later.refuse()?;
    let product = product(args)?;
    let mut session = Session::open(&args.source.file, args.source.options.for_files()?)?;
    let out = args.out.clone().unwrap_or_else(|| default_name(&session, product));
    output::check_writable(&out)?;
    let program = console.resolve(&mut session)?;
    console.tune(&mut session, &program, args.tune)?;
    let object = object(args, &mut session, &program)?;
    match product {
        Product::Object => output::write(&out, &object)?,
        Product::Executable => {
            let parts = session.parts(&program)?;
            let objects: [&[u8]; 2] = [&object, &parts];
            let foreign = session.foreign();
            session
                .timings()
                .time(LINKER, || link::link(&objects, &foreign, Kind::Executable, &Linker::System, &out))?
        }
    }
    report(args, &mut session, &out, object.len())?;
    match &args.run {
        Some(rest) => start(&out, rest, session.folder()),
        None => Ok(()),
    }
}

impl Later {
    fn refuse(&self) -> Result<(), Failure> {
        let given = [
            (self.target.is_some(), "--target"),
            (self.linker.is_some(), "--linker"),
            (self.threads.is_some(), "--threads"),
        ];
        given.iter().find(|(given, _)| *given).map_or(Ok(()), |(_, name)| Err(Failure::not_supported(name)))
    }
}

fn product(args: &Args) -> Result<Product, Failure> {
    match args.emit.as_str() {
        "exe" => Ok(Product::Executable),
        "obj" if args.run.is_some() => Err(Failure::Usage("--run needs an executable, not --emit obj".to_string())),
        "obj" => Ok(Product::Object),
        kind @ ("lib" | "staticlib" | "header" | "rust" | "python") => {
            Err(Failure::Usage(format!("--emit {kind} is not supported yet; there are exe and obj")))
        }
        kind => Err(Failure::Usage(format!("--emit {kind}: there are exe and obj"))),
    }
}

fn default_name(session: &Session, product: Product) -> PathBuf {
    match product {
        Product::Executable => session.stem().with_extension(std::env::consts::EXE_EXTENSION),
        Product::Object => session.stem().with_extension("o"),
    }
}

fn object(args: &Args, session: &mut Session, program: &Program) -> Result<Vec<u8>, Failure> {
    let weights = match &args.weights {
        Some(path) => Some(weights::read(path, program)?),
        None => None,
    };
    session.object(program, weights.as_deref())
}

fn report(args: &Args, session: &mut Session, out: &Path, object: usize) -> Result<(), Failure> {
    if args.timings {
        super::say(&format!("{}\n", session.report()));
    }
    if args.size {
        let whole = std::fs::metadata(out).map_err(|error| output::cannot_write(out, &error))?.len();
        let mut text = String::new();
        let _ = writeln!(text, "{whole:>10} bytes  {}", out.display());
        let _ = writeln!(text, "{object:>10} bytes  model: code, constants, metadata, embedded weights");
        let _ = writeln!(text, "{:>10} bytes  runtime, as far as it is used", whole.saturating_sub(object as u64));
        output::print(&text)?;
    }
    Ok(())
}

/// Runs the executable and takes over its exit status.
fn start(out: &Path, args: &[OsString], folder: &Path) -> Result<(), Failure> {
    let program = std::path::absolute(out).map_err(|error| output::cannot_write(out, &error))?;
    let status = Command::new(&program).args(args).current_dir(folder).status();
    let status = status.map_err(|error| output::cannot_start(&program, &error))?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Reported(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}
