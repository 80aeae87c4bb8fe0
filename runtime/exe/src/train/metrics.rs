//! Metrics over many batches: what compiled code reports for each is combined, then finished once.

use crate::call::{self, Scalars};
use crate::data::Epoch;
use crate::error::Result;
use crate::instance::{At, Instance};
use crate::json::Value;
use crate::meta::{Combine, Evaluation, Tally, Train};
use crate::train::feed::Feed;

/// Accumulands of some batches, in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    combine: Vec<Combine>,
    /// One for each accumuland.
    pub values: Vec<f64>,
    /// Batches in it.
    pub batches: i64,
}

impl Accumulator {
    /// Without batches.
    pub fn new(tally: &Tally) -> Self {
        let mut new =
            Self { combine: tally.accumulands.clone(), values: vec![0.0; tally.accumulands.len()], batches: 0 };
        new.clear();
        new
    }

    /// Back to no batches.
    pub fn clear(&mut self) {
        self.batches = 0;
        for (value, combine) in self.values.iter_mut().zip(&self.combine) {
            *value = match combine {
                Combine::Sum => 0.0,
                Combine::Prod => 1.0,
                Combine::Max => f64::NEG_INFINITY,
                Combine::Min => f64::INFINITY,
            };
        }
    }

    /// Has it no batches?
    pub fn is_empty(&self) -> bool {
        self.batches == 0
    }

    /// Adds a batch, whose accumuland `i` is `get(i)`. NaN stays NaN.
    pub fn add(&mut self, get: impl Fn(usize) -> f64) {
        self.batches += 1;
        for (i, (value, combine)) in self.values.iter_mut().zip(&self.combine).enumerate() {
            let new = get(i);
            *value = match combine {
                Combine::Sum => *value + new,
                Combine::Prod => *value * new,
                _ if new.is_nan() || value.is_nan() => f64::NAN,
                Combine::Max => value.max(new),
                Combine::Min => value.min(new),
            };
        }
    }

    /// Loss and metrics of all batches in it.
    pub fn finish(&self, instance: &mut Instance<'_>, tally: &Tally, at: At) -> Result<Vec<f64>> {
        call::scalars(instance, tally.finish, &self.values, at)
    }
}

/// Loss and metrics over all rows of a pipeline; the last short batch counts.
pub fn evaluate(instance: &mut Instance<'_>, by: &Evaluation, feed: &mut Feed, at: At) -> Result<Vec<f64>> {
    let e = by.entry;
    let results = Scalars::new(&instance.meta.entries[e].results)?;
    let mut sums = Accumulator::new(&by.tally);
    feed.reserve(instance, e)?;
    feed.begin(Epoch { seed: at.seed, number: 0, training: false });
    for n in 0..feed.all_batches() {
        let step = i64::try_from(n).unwrap_or(i64::MAX);
        feed.run(instance, e, n, At { step, ..at }, &results)?;
        sums.add(|i| results.get(i));
    }
    sums.finish(instance, &by.tally, at)
}

/// Metrics by name, for JSON.
pub fn fields<'a>(train: &'a Train, values: &[f64]) -> Vec<(&'a str, Value)> {
    train.metrics.iter().zip(values).map(|(name, &x)| (name.as_str(), Value::Float(x))).collect()
}

/// `loss 0.412  accuracy 0.873`
pub fn text(train: &Train, values: &[f64]) -> String {
    let named: Vec<String> =
        train.metrics.iter().zip(values).map(|(name, x)| format!("{name} {}", short(*x))).collect();
    named.join("  ")
}

/// `ratio 0.5000`
pub fn named(name: &str, value: f64) -> String {
    format!("{name} {}", short(value))
}

/// Four digits after the point, or an exponent where that would show too little.
fn short(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-3..1e6).contains(&x.abs()) { format!("{x:.3e}") } else { format!("{x:.4}") }
}
