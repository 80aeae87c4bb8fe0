//! Where the time of a compilation went.

use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Named spans of time, in the order they began.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    passes: Vec<(String, Duration)>,
}

impl Timings {
    /// Does `work` and notes under `name` how long it took.
    pub fn time<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(name, start.elapsed());
        result
    }

    /// Notes a span of time; under a known name it is added up.
    pub fn add(&mut self, name: &str, elapsed: Duration) {
        match self.passes.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += elapsed,
            None => self.passes.push((name.to_string(), elapsed)),
        }
    }

    /// `{"compile_ms": …, "passes": {"resolve": …}}`; `compile_ms` is everything but what the system's
    /// linker took.
    pub fn json(&self) -> Value {
        let compile = self.passes.iter().filter(|(name, _)| name != LINKER).map(|(_, elapsed)| *elapsed).sum();
        let passes: Map<String, Value> =
            self.passes.iter().map(|(name, elapsed)| (name.clone(), json!(milliseconds(*elapsed)))).collect();
        json!({"compile_ms": milliseconds(compile), "passes": passes})
    }
}

/// The name under which the system's linker is timed.
pub const LINKER: &str = "linker";

/// Rounded to microseconds, so that the line stays readable.
fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_micros() as f64 / 1000.0
}
