//! What a training shows while it runs: a bar on a terminal, plain lines otherwise, both on stderr;
//! and the log file.

use crate::args::Args;
use crate::error::{Failure, OUTPUT, Result};
use crate::files::reason;
use crate::json::Value;
use crate::meta::Train;
use crate::train::metrics::{fields, named, text};
use crate::train::plan::Plan;
use crate::train::position::Position;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time between two pictures of the bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Characters of the bar.
const WIDTH: usize = 24;

/// Where reports go.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    bar: bool,
    drawn: bool,
    start: Instant,
    last: Instant,
    batches: usize,
    epochs: Option<i64>,
    log: Option<(PathBuf, File)>,
}

impl Progress {
    /// From `--quiet` and `--log`; a resumed training goes on with its log.
    pub fn open(args: &Args, plan: &Plan, batches: usize, resumed: bool) -> Result<Self> {
        let log = match args.path("--log")? {
            None => None,
            Some(path) => {
                let file = File::options().create(true).write(true).append(resumed).truncate(!resumed).open(&path);
                let file = file.map_err(|e| unwritable(&path, &e))?;
                Some((path, file))
            }
        };
        let now = Instant::now();
        let quiet = args.has("--quiet");
        let bar = !quiet && io::stderr().is_terminal();
        Ok(Self { quiet, bar, drawn: false, start: now, last: now, batches, epochs: plan.epochs, log })
    }

    /// Is it time for a new picture of the bar?
    pub fn wants_redraw(&self) -> bool {
        self.bar && self.last.elapsed() >= REDRAW
    }

    /// Draws the bar with the epoch's metrics so far.
    pub fn redraw(&mut self, train: &Train, position: &Position, values: &[f64]) {
        let done = position.batch * WIDTH / self.batches.max(1);
        let bar: String = (0..WIDTH).map(|i| if i < done { '=' } else { ' ' }).collect();
        let epoch = self.epoch_text(position.epoch + 1);
        let line = format!("\r\x1b[K{epoch} [{bar}] {}/{}  {}", position.batch, self.batches, text(train, values));
        show(&line);
        self.drawn = true;
        self.last = Instant::now();
    }

    /// Shows what the program prints, also to who wants no progress.
    pub fn say(&mut self, text: &str) {
        self.end();
        show(text);
    }

    /// Removes the bar.
    pub fn end(&mut self) {
        if self.drawn {
            show("\r\x1b[K");
            self.drawn = false;
        }
    }

    /// `epoch 3/10`
    fn epoch_text(&self, epoch: i64) -> String {
        match self.epochs {
            Some(all) => format!("epoch {epoch}/{all}"),
            None => format!("epoch {epoch}"),
        }
    }

    /// Reports an epoch that has ended.
    pub fn epoch(&mut self, train: &Train, position: &Position, plan: &Plan) -> Result<()> {
        let mut what = self.epoch_text(position.epoch);
        if plan.epochs.is_none() {
            what.push_str(&format!(", step {}", position.step));
        }
        self.report(&what, train, position, &position.metrics)
    }

    /// Reports the steps since the last report.
    pub fn steps(&mut self, train: &Train, position: &Position, values: &[f64]) -> Result<()> {
        let what = format!("step {}", position.step);
        self.report(&what, train, position, values)
    }

    fn report(&mut self, what: &str, train: &Train, position: &Position, values: &[f64]) -> Result<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        if !self.quiet {
            self.end();
            let mut line = format!("{what}  {}", text(train, values));
            for (name, values) in &position.evaluated {
                line.push_str(&format!("  {name}: {}", text(train, values)));
            }
            for (name, value) in &position.reported {
                line.push_str(&format!("  {}", named(name, *value)));
            }
            show(&format!("{line}  {seconds:.1} s\n"));
        }
        let Some((path, file)) = &mut self.log else { return Ok(()) };
        let mut all = vec![("epoch", Value::Int(position.epoch)), ("step", Value::Int(position.step))];
        all.extend(fields(train, values));
        for (name, values) in &position.evaluated {
            all.push((name.as_str(), Value::object(fields(train, values))));
        }
        all.extend(position.reported.iter().map(|(name, value)| (name.as_str(), Value::Float(*value))));
        all.push(("seconds", Value::Float((seconds * 1000.0).round() / 1000.0)));
        let line = format!("{}\n", Value::object(all).line());
        file.write_all(line.as_bytes()).map_err(|e| unwritable(path, &e))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn unwritable(path: &std::path::Path, e: &io::Error) -> Failure {
    Failure::data(OUTPUT, format!("`{}` can't be written: {}", path.display(), reason(e)))
}

/// Progress that can't be shown is no reason to stop.
fn show(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
