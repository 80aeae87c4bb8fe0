//! `bench`: how long a function or a training step takes.

use crate::args::Args;
use crate::call;
use crate::commands::{inputs, run};
use crate::cx::{Cx, print};
use crate::dtype::Dtype;
use crate::error::{Failure, Result, did_you_mean, list};
use crate::instance::{At, Instance};
use crate::json::Value;
use crate::mem::size_text;
use crate::meta::Entry;
use crate::order;
use crate::philox::Draws;
use crate::sizes;
use crate::tensor::Tensor;
use crate::threads;
use std::time::{Duration, Instant};

/// Calls before the clock starts.
const WARM_UP: usize = 3;
/// Fewest calls that are timed.
const LEAST: usize = 5;
/// Most calls that are timed.
const MOST: usize = 1_000_000;
/// Purpose of the draws for random inputs.
const INPUTS: u32 = 0x6265_6e63;

/// What is timed.
struct Subject {
    name: String,
    e: usize,
    /// What is called before it, once for each of a step's batches but the last.
    before: Vec<usize>,
    /// Default of the batch size.
    batch: i64,
    seed: i64,
}

/// Times many calls and prints median and minimum.
pub fn bench(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let subject = subject(cx, args)?;
    let seconds = seconds(args)?;
    let entry = &cx.meta.entries[subject.e];
    let given = inputs::given(args, entry, &format!("`{}`", subject.name), None)?;
    let (solved, tensors) = arguments(cx, args, &subject, entry, given)?;
    let entries: Vec<usize> =
        [Some(subject.e), cx.init_entry()].into_iter().flatten().chain(subject.before.first().copied()).collect();
    let mut instance = cx.instance(&entries, args)?;
    cx.init(&mut instance, subject.seed)?;
    if let (None, Some(bytes)) = (cx.init_entry(), cx.embedded()) {
        crate::weights::load(&mut instance, crate::weights::Part::Weights, bytes, "weights in the executable")?;
    }
    let times = time(&mut instance, &subject, &solved, &tensors, seconds)?;
    let report = Report::new(&mut instance, &subject, &solved, &times)?;
    print(&if args.has("--json") { report.json(cx, entry, &solved) } else { report.text() })
}

fn subject(cx: &Cx<'_>, args: &Args) -> Result<Subject> {
    let word = args.words.first().map_or("", |w| w);
    if word == "train" {
        let train = cx.train(args.words.get(1).map(String::as_str))?;
        let batch = train.batch.filter(|&b| b >= 1).unwrap_or(1);
        let before = (1..train.batches).filter_map(|_| train.accumulate).collect();
        return Ok(Subject { name: format!("train {}", train.name), e: train.step, before, batch, seed: train.seed });
    }
    if let Some(extra) = args.words.get(1) {
        return Err(Failure::usage(format!("`bench {word}` doesn't take `{extra}`")));
    }
    let function = run::find(&cx.meta, word)?;
    Ok(Subject { name: function.name.clone(), e: function.entry, before: Vec::new(), batch: 1, seed: 0 })
}

fn seconds(args: &Args) -> Result<f64> {
    let Some(text) = args.value("--seconds") else { return Ok(1.0) };
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && (0.0..=1e6).contains(s));
    seconds.ok_or_else(|| Failure::usage(format!("`--seconds` takes a number of seconds, not `{text}`")))
}

/// Sizes and inputs: those given, the rest made.
fn arguments(
    cx: &Cx<'_>,
    args: &Args,
    subject: &Subject,
    entry: &Entry,
    given: Vec<Option<Tensor>>,
) -> Result<(Vec<i64>, Vec<Tensor>)> {
    let what = format!("`{}`", subject.name);
    let mut known = asked_sizes(cx, args, entry, &what)?;
    for solve in &entry.symbols {
        let extent = given[solve.arg].as_ref().and_then(|t| t.shape.get(solve.axis));
        let rest = extent.and_then(|&n| i64::try_from(n).ok()?.checked_sub(solve.offset));
        // What doesn't fit is reported by `sizes::solve`.
        let size = rest.map(|r| (r / solve.coef).max(1));
        known[solve.symbol] = known[solve.symbol].or(size);
    }
    for solve in &entry.symbols {
        // The batch is the first axis of the first argument.
        if (solve.arg, solve.axis) == (0, 0) {
            let (name, part) = sizes::whole(&cx.meta.symbols[solve.symbol]);
            if known[solve.symbol].is_none() {
                known[solve.symbol] = Some(part_of(name, part, subject.batch)?);
            }
        }
    }
    if let Some(solve) = entry.symbols.iter().find(|s| known[s.symbol].is_none()) {
        let (name, part) = sizes::whole(&cx.meta.symbols[solve.symbol]);
        return Err(Failure::usage(format!("{what} needs a size for {name}"))
            .note(format!("it takes {}", entry.arguments()))
            .help(format!("give it with `--size {name}={}`", part.max(16))));
    }
    let sizes: Vec<i64> = known.iter().map(|s| s.unwrap_or(1)).collect();
    let mut tensors = Vec::new();
    for (i, given) in given.into_iter().enumerate() {
        let made = |i: usize| -> Result<Tensor> {
            let mut tensor = Tensor::zeros(entry.args[i].dtype, &sizes::shape_of(&entry.args[i], &sizes)?)?;
            fill(&mut tensor, i as u32);
            Ok(tensor)
        };
        tensors.push(given.map_or_else(|| made(i), Ok)?);
    }
    let types: Vec<_> = tensors.iter().map(|t| (t.dtype, &t.shape[..])).collect();
    let solved = sizes::solve(&cx.meta, entry, &types, &what)?;
    match (0..sizes.len()).find(|&s| known[s].is_some() && solved[s] != sizes[s]) {
        None => Ok((solved, tensors)),
        Some(s) => {
            let (name, part) = sizes::whole(&cx.meta.symbols[s]);
            let (asked, found) = (sizes[s].saturating_mul(part), solved[s].saturating_mul(part));
            Err(Failure::usage(format!("`--size {name}={asked}`, but the inputs have {name} = {found}")))
        }
    }
}

fn asked_sizes(cx: &Cx<'_>, args: &Args, entry: &Entry, what: &str) -> Result<Vec<Option<i64>>> {
    let mut known = vec![None; cx.meta.symbols.len()];
    for (name, text) in args.pairs("--size")? {
        let whole = |symbol: usize| sizes::whole(&cx.meta.symbols[symbol]);
        let names = || entry.symbols.iter().map(|s| whole(s.symbol).0);
        let symbol = entry.symbols.iter().map(|s| s.symbol).find(|&s| whole(s).0 == name).ok_or_else(|| {
            Failure::usage(format!("{what} has no size {name}"))
                .note(format!("its sizes are {}", list(names())))
                .help_opt(did_you_mean(&name, names()))
        })?;
        let size = text.parse().ok().filter(|&n: &i64| n >= 1);
        let size = size.ok_or_else(|| {
            Failure::usage(format!("`--size {name}` takes a whole number of at least 1, not `{text}`"))
        })?;
        known[symbol] = Some(part_of(&name, whole(symbol).1, size)?);
    }
    Ok(known)
}

/// The value of the symbol for a size that must be a multiple of `part`.
fn part_of(name: &str, part: i64, size: i64) -> Result<i64> {
    if size % part == 0 {
        return Ok(size / part);
    }
    Err(Failure::usage(format!("{name} is {size}, and must be a multiple of {part}")))
}

/// Floats uniform in 0..1; integers stay 0.
fn fill(tensor: &mut Tensor, number: u32) {
    let draws = Draws { seed: 0, step: number, site: INPUTS };
    match tensor.dtype {
        Dtype::F32 => {
            let (elements, _) = tensor.data.as_chunks_mut::<4>();
            elements.iter_mut().enumerate().for_each(|(i, x)| *x = draws.uniform(i as u64).to_le_bytes());
        }
        Dtype::F64 => {
            let (elements, _) = tensor.data.as_chunks_mut::<8>();
            elements.iter_mut().enumerate().for_each(|(i, x)| *x = f64::from(draws.uniform(i as u64)).to_le_bytes());
        }
        _ => {}
    }
}

/// Nanoseconds of each call, sorted.
fn time(
    instance: &mut Instance<'_>,
    subject: &Subject,
    sizes: &[i64],
    args: &[Tensor],
    seconds: f64,
) -> Result<Vec<u64>> {
    let mut results = call::results(instance, subject.e, sizes)?;
    let mut step = 0;
    let mut once = |instance: &mut Instance<'_>| -> Result<Duration> {
        let start = Instant::now();
        for &e in subject.before.iter().chain([&subject.e]) {
            let at = At { seed: subject.seed, step, epoch: 0, total_steps: 1_000, done: step };
            step += 1;
            call::tensors(instance, e, sizes, args, &mut results, at)?;
        }
        Ok(start.elapsed())
    };
    for _ in 0..WARM_UP {
        once(instance)?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < LEAST || (start.elapsed().as_secs_f64() < seconds && times.len() < MOST) {
        times.push(once(instance)?.as_nanos() as u64);
    }
    order::sort(&mut times);
    Ok(times)
}

struct Report {
    name: String,
    calls: usize,
    threads: usize,
    median_ms: f64,
    min_ms: f64,
    gflops: Option<f64>,
    arena: usize,
    /// Of each thread.
    own: usize,
    peak: Option<u64>,
}

impl Report {
    fn new(instance: &mut Instance<'_>, subject: &Subject, sizes: &[i64], times: &[u64]) -> Result<Self> {
        let at = |i: usize| times.get(i).copied().unwrap_or(0) as f64;
        let middle = times.len() / 2;
        let median =
            if times.len().is_multiple_of(2) { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 } else { at(middle) };
        let calls = subject.before.iter().chain([&subject.e]);
        let of_call = |&e: &usize| instance.meta.entries[e].flops.as_ref().and_then(|f| f.eval(sizes));
        let flops = Some(calls.filter_map(of_call).sum::<i64>()).filter(|&f| f > 0);
        Ok(Self {
            name: subject.name.clone(),
            calls: times.len(),
            threads: instance.threads(),
            median_ms: median / 1e6,
            min_ms: at(0) / 1e6,
            gflops: flops.filter(|_| median > 0.0).map(|f| f as f64 / median),
            arena: instance.arena_bytes(subject.e, sizes)?,
            own: threads::bytes(instance.meta),
            peak: peak_memory(),
        })
    }

    fn json(&self, cx: &Cx<'_>, entry: &Entry, sizes: &[i64]) -> String {
        let mut symbols: Vec<usize> = entry.symbols.iter().map(|s| s.symbol).collect();
        order::sort(&mut symbols);
        symbols.dedup();
        let sizes = symbols.iter().map(|&s| {
            let (name, part) = sizes::whole(&cx.meta.symbols[s]);
            (name, Value::Int(sizes[s].saturating_mul(part)))
        });
        let value = Value::object([
            ("name", Value::from(self.name.as_str())),
            ("sizes", Value::object(sizes)),
            ("threads", Value::from(self.threads)),
            ("calls", Value::from(self.calls)),
            ("median_ms", Value::Float(self.median_ms)),
            ("min_ms", Value::Float(self.min_ms)),
            ("gflops", self.gflops.map_or(Value::Null, Value::Float)),
            ("arena_bytes", Value::from(self.arena)),
            ("thread_bytes", Value::from(self.own)),
            ("peak_bytes", self.peak.map_or(Value::Null, |b| Value::from(b as usize))),
        ]);
        format!("{}\n", value.line())
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: median {:.4} ms, min {:.4} ms, {} calls, {} threads",
            self.name, self.median_ms, self.min_ms, self.calls, self.threads
        );
        if let Some(gflops) = self.gflops {
            text.push_str(&format!(", {gflops:.1} GFLOP/s"));
        }
        if let Some(peak) = self.peak {
            text.push_str(&format!(", peak memory {}", size_text(peak)));
        }
        text.push('\n');
        text
    }
}

/// Most memory the process has had, in bytes; Linux only.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
