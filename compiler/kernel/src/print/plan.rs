//! Steps and buffers of an entry as text.

use super::{Printer, places};
use crate::lower::LoweredProgram;
use crate::program::{BAND_ROWS, CallArg, Loc, Loop, Place, Plan, RunIndex, Slot, Step, Trip};
use mlc_ir::dim::Dim;
use mlc_ir::graph::Graph;
use std::fmt::Write;

/// Steps and buffers of an entry.
pub fn plan_stage_text(graph: &Graph, lowered: &LoweredProgram, entry: usize) -> String {
    let code = &lowered.program.entries[entry];
    let printer = Printer { names: &graph.symbols, buffers: Vec::new() };
    let mut text = format!("entry {}\n  {}\n", code.name, code.plan.formula(&graph.symbols));
    buffers_text(&code.plan, &printer, &mut text);
    let kernels = lowered.kernels.iter().filter(|info| info.entry == entry);
    let mut spans = kernels.map(|info| places(graph, &info.nest.spans));
    let mut steps = StepsText { lowered, printer: &printer, spans: &mut spans, text: &mut text };
    if !code.kept.steps.is_empty() {
        let globals: Vec<String> = code.kept.of.iter().map(|n| loc(Loc::Global(*n))).collect();
        let _ = writeln!(steps.text, "  kept from call to call: {} bytes of {}", code.kept.bytes, globals.join(", "));
        steps.steps(&code.kept.steps, 2);
    }
    steps.steps(&code.steps, 1);
    text
}

fn buffers_text(plan: &Plan, printer: &Printer<'_>, text: &mut String) {
    for (number, buffer) in plan.buffers.iter().enumerate() {
        let below: Vec<String> = buffer.below.iter().map(|b| format!("a{b}")).collect();
        let above = if below.is_empty() { String::new() } else { format!(" above {}", below.join(", ")) };
        let _ = writeln!(text, "  a{number} {}: {} bytes{above}", buffer.name, printer.dim(&buffer.bytes));
    }
}

struct StepsText<'a> {
    lowered: &'a LoweredProgram,
    printer: &'a Printer<'a>,
    /// The source places of each kernel step in turn.
    spans: &'a mut dyn Iterator<Item = String>,
    text: &'a mut String,
}

impl StepsText<'_> {
    fn steps(&mut self, steps: &[Step], depth: usize) {
        for step in steps {
            let line = self.line(step, depth);
            let _ = writeln!(self.text, "{:width$}{line}", "", width = 2 * depth);
            match step {
                Step::Loop(looped) => {
                    self.steps(&looped.body, depth + 1);
                    self.steps(&looped.turn, depth + 1);
                }
                Step::Bands(bands) => self.steps(&bands.body, depth + 1),
                _ => {}
            }
        }
    }

    fn line(&mut self, step: &Step, depth: usize) -> String {
        match step {
            Step::Run { kernel, frame, tiles, .. } => {
                let words: Vec<String> = frame.iter().map(|slot| self.slot(slot)).collect();
                let name = &self.lowered.program.kernels[*kernel].name;
                let places = self.spans.next().unwrap_or_default();
                format!("run k{kernel} {name}({}) over {} tiles{places}", words.join(", "), self.printer.dim(tiles))
            }
            Step::Fault { index, first_bad, .. } => format!("fault {index} at {}", self.place(first_bad)),
            Step::Absent => "left out".to_string(),
            Step::Copy { from, to, bytes } => {
                format!("copy {} to {}, {} bytes", self.place(from), self.place(to), self.printer.dim(bytes))
            }
            Step::Loop(looped) => self.looped(looped),
            Step::Chain(chain) => {
                let at_once = chain.at_once;
                let near = if chain.near > 0 { format!(" with {} bytes near", chain.near) } else { String::new() };
                let mut line =
                    format!("{} units, {at_once} at a time{near}, each through", self.printer.dim(&chain.units));
                for run in &chain.runs {
                    let words: Vec<String> = run.frame.iter().map(|slot| self.slot(slot)).collect();
                    let name = &self.lowered.program.kernels[run.kernel].name;
                    let places = self.spans.next().unwrap_or_default();
                    let _ = write!(
                        line,
                        "\n{:width$}k{} {name}({}) over {} tiles{places}",
                        "",
                        run.kernel,
                        words.join(", "),
                        run.tiles,
                        width = 2 * depth + 2
                    );
                }
                line
            }
            Step::Bands(bands) => {
                let (rows, all) = (Dim::from(self.lowered.program.band_rows()), Dim::from(bands.rows));
                format!("bands of {}, {BAND_ROWS} of {} rows and more", self.printer.dim(&rows), self.printer.dim(&all))
            }
            Step::Call { symbol, args, status } => {
                let args: Vec<String> = args.iter().map(|arg| self.call_arg(arg)).collect();
                format!("call {symbol}({}), status at {}", args.join(", "), self.place(status))
            }
        }
    }

    fn call_arg(&self, arg: &CallArg) -> String {
        match arg {
            CallArg::Size(dim) => self.printer.dim(dim),
            CallArg::Scalar(place, dtype) => format!("{dtype} at {}", self.place(place)),
            CallArg::Address(place) => self.place(place),
        }
    }

    fn looped(&self, looped: &Loop) -> String {
        let mut line = match &looped.trip {
            Trip::Exact(trip) => format!("loop {} times", self.printer.dim(trip)),
            Trip::UpTo { bound, count } => {
                format!("loop as often as {} says, at most {} times", self.place(count), self.printer.dim(bound))
            }
        };
        if looped.rev {
            line.push_str(" in reverse");
        }
        let places =
            [("position to", &looped.position), ("until", &looped.stop), ("number of iterations to", &looped.count)];
        for (what, place) in places {
            if let Some(place) = place {
                let _ = write!(line, ", {what} {}", self.place(place));
            }
        }
        for rest in &looped.rest {
            let _ = write!(line, ", zeros behind in {}", self.place(&rest.stack));
        }
        line
    }

    fn slot(&self, slot: &Slot) -> String {
        match slot {
            Slot::Ptr(place) => self.place(place),
            Slot::Size(dim) => self.printer.dim(dim),
        }
    }

    fn place(&self, place: &Place) -> String {
        let mut text = loc(place.loc);
        for step in &place.steps {
            let index = match &step.index {
                RunIndex::Loop(depth) => format!("p{depth}"),
                RunIndex::Row => "row".to_string(),
                RunIndex::Unit => "unit".to_string(),
                RunIndex::Word { at, last, .. } => format!("min({}, {})", self.place(at), self.printer.dim(last)),
            };
            let _ = write!(text, " + {index}*{}", self.printer.dim(&step.bytes));
        }
        text
    }
}

fn loc(loc: Loc) -> String {
    match loc {
        Loc::Arg(n) => format!("arg{n}"),
        Loc::Result(n) => format!("result{n}"),
        Loc::Global(n) => format!("global{n}"),
        Loc::Arena(n) => format!("a{n}"),
        Loc::Kept(n) => format!("kept + {n}"),
        Loc::Near(n) => format!("near + {n}"),
        Loc::Seed => "seed".to_string(),
        Loc::Step => "step".to_string(),
        Loc::Epoch => "epoch".to_string(),
        Loc::TotalSteps => "total_steps".to_string(),
        Loc::Done => "done".to_string(),
    }
}
