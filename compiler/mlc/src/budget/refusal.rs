//! E0131: a training step that needs more than it may, whatever is computed again.

use super::amount::{allowed, amount};
use super::{Bounded, line_of, sizes_text};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Entry, Graph, Input};
use mlc_kernel::budget::{Found, Task};
use mlc_kernel::lower::LoweredProgram;
use mlc_kernel::program::Plan;
use mlc_resolve::program::Train;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// An entry that needs more than the bound, whatever is computed again.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Position of the entry.
    pub entry: usize,
    /// What it needs at least, with one thread.
    pub bytes: i64,
    /// What its arena needs if nothing is computed again but what the program says.
    pub plain: i64,
    /// What is said about it besides.
    diagnostic: Diagnostic,
}

impl Refusal {
    /// What is said about it.
    pub fn diagnostic(self) -> Diagnostic {
        let mut diagnostic = self.diagnostic;
        let plain = amount(self.plain);
        diagnostic.notes.insert(0, format!("it would be {plain} if nothing were computed again in the backward pass"));
        diagnostic
    }
}

impl Bounded<'_> {
    /// Says that nothing is enough for an entry of a training block.
    pub(super) fn refusal(&self, train: &Train, task: Task<'_>, found: &Found) -> Refusal {
        let entry = &self.graph.entries[task.entry];
        let thread = found.least.thread;
        // That of the machine that needs most, for which the sizes below hold as well.
        let lowered = self.machines.iter().map(|machine| task.lowered(&found.least.parts, machine));
        let arena =
            |lowered: &LoweredProgram| lowered.program.entries[task.entry].plan.eval(task.sizes).map_or(0, |it| it.1);
        let Some(lowered) = lowered.max_by_key(arena) else {
            mlc_ir::internal_error("budget", "a bound for no machine")
        };
        let bytes = arena(&lowered).saturating_add(thread);
        let plan = &lowered.program.entries[task.entry].plan;
        let at = sizes_text(&self.graph, entry, task.sizes);
        let at = if at.is_empty() { String::new() } else { format!(" for {at}") };
        let (mut least, mut limit) = (amount(bytes), amount(self.limit));
        if least == limit {
            (least, limit) = (format!("{bytes} bytes"), format!("{} bytes", self.limit));
        }
        let title = format!("training needs at least {least} of memory{at}, and the limit is {limit} (--max-memory)");
        let mut diagnostic = Diagnostic::error(Code::E0131, train.span, title).label(format!("`{}`", entry.name));
        diagnostic =
            diagnostic.note(format!("at the least it is {}; the largest of it:", plan.formula(&self.graph.symbols)));
        for line in largest(&lowered, task) {
            diagnostic = diagnostic.note(line);
        }
        diagnostic = diagnostic.note(format!("and {} for each thread; one is counted here", amount(thread)));
        let fits = batch(entry, &self.graph).and_then(|sym| Some((sym, most(plan, task, thread, sym)?)));
        let diagnostic = match fits {
            Some((sym, size)) => diagnostic.help(format!(
                "{} <= {size} fits: give `batch` a smaller size, and `accumulate` several batches for each step",
                self.graph.symbols[sym]
            )),
            None => diagnostic.help("no batch size fits: make the model smaller"),
        };
        let diagnostic = diagnostic
            .help("or put `@checkpoint` on functions that make much of little: their arguments alone are kept")
            .help(format!("or allow it: --max-memory {}", allowed(bytes)));
        Refusal { entry: task.entry, bytes, plain: found.plain.bytes, diagnostic }
    }
}

/// The symbol in front of the first column that has one.
fn batch(entry: &Entry, graph: &Graph) -> Option<usize> {
    let region = graph.region(entry.region);
    let columns = entry.inputs.iter().zip(&region.params).filter(|(input, _)| matches!(input, Input::Arg(_)));
    let mut first = columns.filter_map(|(_, param)| region.ty(*param).shape.first());
    first.find_map(|dim| (0..graph.symbols.len()).find(|sym| *dim == Dim::from(Sym(*sym as u32))))
}

/// The largest size of a symbol that the plan and the memory of a thread fit the bound with.
fn most(plan: &Plan, task: Task<'_>, thread: i64, sym: usize) -> Option<i64> {
    let fits = |size: i64| {
        let mut sizes = task.sizes.to_vec();
        sizes[sym] = size;
        plan.eval(&sizes).is_ok_and(|(_, bytes)| bytes.saturating_add(thread) <= task.limit)
    };
    let (mut low, mut high) = (0, task.sizes[sym]);
    while high - low > 1 {
        let middle = i64::midpoint(low, high);
        if fits(middle) { low = middle } else { high = middle }
    }
    (low > 0).then_some(low)
}

/// So many of the values that make the plan as large as it is are named.
const LARGEST: usize = 3;

/// Values of less than this part of the plan are not.
const PART: i64 = 32;

/// The largest buffers of those that lie one above the other from the bottom to the top of the plan.
fn largest(lowered: &LoweredProgram, task: Task<'_>) -> Vec<String> {
    let plan = &lowered.program.entries[task.entry].plan;
    let Ok((offsets, total)) = plan.eval(task.sizes) else { return Vec::new() };
    let bytes: Vec<i64> = plan.buffers.iter().map(|buffer| buffer.bytes.eval(task.sizes).unwrap_or(i64::MAX)).collect();
    let end = |at: usize| offsets[at].saturating_add(bytes[at]);
    let mut chain = Vec::new();
    let mut next = (0..plan.buffers.len()).max_by_key(|at| end(*at));
    while let Some(at) = next {
        chain.push(at);
        next = plan.buffers[at].below.iter().map(|below| *below as usize).max_by_key(|below| end(*below));
    }
    chain.sort_by_key(|at| std::cmp::Reverse(bytes[*at]));
    let mut values: Vec<(i64, usize, String)> = Vec::new();
    for at in chain {
        let Some(content) = lowered.contents[task.entry][at] else { continue };
        let region = lowered.graph.region(content.region);
        let node = region.producer(content.value);
        let place = node.and_then(|node| lowered.graph.position(node.span));
        let place = place.map_or(String::new(), |place| format!(", {}", line_of(place)));
        let ty = region.ty(content.value).display(&lowered.graph.symbols);
        let what = format!("{ty}{place}");
        match values.iter_mut().find(|(_, _, known)| *known == what) {
            Some((_, times, _)) => *times += 1,
            None => values.push((bytes[at], 1, what)),
        }
    }
    let line = |(bytes, times, what): (i64, usize, String)| match times {
        1 => format!("{} for {what}", amount(bytes)),
        _ => format!("{times} times {} for {what}", amount(bytes)),
    };
    values.into_iter().filter(|(bytes, ..)| *bytes >= total / PART).take(LARGEST).map(line).collect()
}
