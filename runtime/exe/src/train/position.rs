//! How far a training is: everything beside weights and optimizer that a resumed one needs.

use crate::json::Value;
use crate::meta::{Action, Train};
use crate::train::metrics::Accumulator;

/// Epoch, step, sums, and the memory of `save` and `early_stop`.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Seed of the training.
    pub seed: i64,
    /// Whole epochs behind it.
    pub epoch: i64,
    /// Batches of the current epoch behind it.
    pub batch: usize,
    /// Steps behind it.
    pub step: i64,
    /// Accumulands of the current epoch.
    pub epoch_sums: Accumulator,
    /// Accumulands since the last report.
    pub report_sums: Accumulator,
    /// Metrics of the last epoch.
    pub metrics: Vec<f64>,
    /// Metrics of the last `evaluate` of each pipeline.
    pub evaluated: Vec<(String, Vec<f64>)>,
    /// What `report` said last, by name.
    pub reported: Vec<(String, f64)>,
    /// Best value of each `save` so far.
    pub best: Vec<Option<f64>>,
    /// Best value of each `early_stop` so far, and how often it wasn't reached since.
    pub stops: Vec<(Option<f64>, i64)>,
    /// Has an `early_stop` ended it?
    pub stopped: bool,
}

/// `Save` and `EarlyStop` actions of a block.
fn counts(train: &Train) -> (usize, usize) {
    let actions = || train.every.iter().flat_map(|e| &e.actions);
    let saves = actions().filter(|a| matches!(a, Action::Save { .. })).count();
    (saves, actions().filter(|a| matches!(a, Action::EarlyStop { .. })).count())
}

impl Position {
    /// At the beginning.
    pub fn new(train: &Train, seed: i64) -> Self {
        let (saves, stops) = counts(train);
        Self {
            seed,
            epoch: 0,
            batch: 0,
            step: 0,
            epoch_sums: Accumulator::new(&train.tally),
            report_sums: Accumulator::new(&train.tally),
            metrics: vec![f64::NAN; train.metrics.len()],
            evaluated: Vec::new(),
            reported: Vec::new(),
            best: vec![None; saves],
            stops: vec![(None, 0); stops],
            stopped: false,
        }
    }

    /// Remembers what `report` said.
    pub fn report(&mut self, name: &str, value: f64) {
        match self.reported.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.reported.push((name.to_owned(), value)),
        }
    }

    /// For a checkpoint. Floats are written as their bits, so that nothing is lost.
    pub fn to_json(&self, train: &Train) -> Value {
        let evaluated = self
            .evaluated
            .iter()
            .map(|(name, values)| Value::object([("name", name.as_str().into()), ("values", floats(values))]));
        let reported = self
            .reported
            .iter()
            .map(|(name, value)| Value::object([("name", name.as_str().into()), ("value", float(*value))]));
        let stops = self
            .stops
            .iter()
            .map(|(best, count)| Value::object([("best", optional(*best)), ("count", Value::Int(*count))]));
        Value::object([
            ("version", Value::Int(1)),
            ("train", Value::from(train.name.as_str())),
            ("seed", Value::Int(self.seed)),
            ("epoch", Value::Int(self.epoch)),
            ("batch", Value::from(self.batch)),
            ("step", Value::Int(self.step)),
            ("epoch_sums", sums(&self.epoch_sums)),
            ("report_sums", sums(&self.report_sums)),
            ("metrics", floats(&self.metrics)),
            ("evaluated", Value::Array(evaluated.collect())),
            ("reported", Value::Array(reported.collect())),
            ("best", Value::Array(self.best.iter().map(|b| optional(*b)).collect())),
            ("stops", Value::Array(stops.collect())),
            ("stopped", Value::Bool(self.stopped)),
        ])
    }

    /// From a checkpoint of the same block; `None` if it isn't one.
    pub fn from_json(value: &Value, train: &Train) -> Option<Self> {
        let mut position = Self::new(train, value.get("seed")?.as_int()?);
        if value.get("version")?.as_int()? != 1 || value.get("train")?.as_str()? != train.name {
            return None;
        }
        let count = |key: &str| value.get(key)?.as_int().filter(|n| *n >= 0);
        position.epoch = count("epoch")?;
        position.step = count("step")?;
        position.batch = usize::try_from(count("batch")?).ok()?;
        read_sums(value.get("epoch_sums")?, &mut position.epoch_sums)?;
        read_sums(value.get("report_sums")?, &mut position.report_sums)?;
        position.metrics = read_floats(value.get("metrics")?)?;
        for item in value.get("evaluated")?.as_array()? {
            let values = read_floats(item.get("values")?)?;
            (values.len() == train.metrics.len()).then_some(())?;
            position.evaluated.push((item.get("name")?.as_str()?.to_owned(), values));
        }
        for item in value.get("reported").and_then(Value::as_array).unwrap_or_default() {
            position.report(item.get("name")?.as_str()?, read_float(item.get("value")?)?);
        }
        let best: Option<Vec<Option<f64>>> = value.get("best")?.as_array()?.iter().map(read_optional).collect();
        let stops: Option<Vec<(Option<f64>, i64)>> = value
            .get("stops")?
            .as_array()?
            .iter()
            .map(|s| Some((read_optional(s.get("best")?)?, s.get("count")?.as_int()?)))
            .collect();
        (position.best, position.stops) = (best?, stops?);
        position.stopped = matches!(value.get("stopped")?, Value::Bool(true));
        let sizes = (position.metrics.len(), position.best.len(), position.stops.len());
        let (saves, stops) = counts(train);
        (sizes == (train.metrics.len(), saves, stops)).then_some(position)
    }
}

fn float(x: f64) -> Value {
    Value::Str(format!("{:016x}", x.to_bits()))
}

fn floats(values: &[f64]) -> Value {
    Value::Array(values.iter().map(|x| float(*x)).collect())
}

fn optional(x: Option<f64>) -> Value {
    x.map_or(Value::Null, float)
}

fn sums(sums: &Accumulator) -> Value {
    Value::object([("batches", Value::Int(sums.batches)), ("values", floats(&sums.values))])
}

fn read_float(value: &Value) -> Option<f64> {
    u64::from_str_radix(value.as_str()?, 16).ok().map(f64::from_bits)
}

fn read_floats(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(read_float).collect()
}

fn read_optional(value: &Value) -> Option<Option<f64>> {
    if *value == Value::Null { Some(None) } else { read_float(value).map(Some) }
}

fn read_sums(value: &Value, sums: &mut Accumulator) -> Option<()> {
    let values = read_floats(value.get("values")?)?;
    if values.len() != sums.values.len() {
        return None;
    }
    sums.batches = value.get("batches")?.as_int().filter(|n| *n >= 0)?;
    sums.values = values;
    Some(())
}
