//! `step`: one training step on a given batch.

use crate::args::Args;
use crate::call;
use crate::commands::inputs;
use crate::cx::{Cx, print};
use crate::error::{Failure, Result};
use crate::files::Pending;
use crate::instance::{At, Instance};
use crate::json::{self, Value};
use crate::meta::Train;
use crate::sizes;
use crate::tensor::Tensor;
use crate::train::metrics::Accumulator;
use crate::weights::{self, Item, Part};

/// Reports loss and metrics of the batch before the update; writes new weights and gradients if asked.
pub fn step(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let train = cx.train(args.words.first().map(String::as_str))?;
    let entry = &cx.meta.entries[train.step];
    let what = format!("the step of `{}`", train.name);
    let given = inputs::all(args, entry, &what, None)?;
    let types: Vec<_> = given.iter().map(|t| (t.dtype, &t.shape[..])).collect();
    let solved = sizes::solve(&cx.meta, entry, &types, &what)?;
    let out_weights = args.path("--out-weights")?.map(|p| Pending::create(&p)).transpose()?;
    let out_grads = args.path("--grads")?.map(|p| Pending::create(&p)).transpose()?;
    let seed = cx.seed(args, Some(train))?;
    let at = At { seed, step: 0, epoch: 0, total_steps: train.steps.unwrap_or(1), done: 0 };
    let entries: Vec<usize> =
        [Some(train.step), train.accumulate, Some(train.tally.finish), train.grads, cx.init_entry()]
            .into_iter()
            .flatten()
            .collect();
    let mut instance = cx.instance(&entries, args)?;
    cx.init(&mut instance, seed)?;
    cx.load(&mut instance, args)?;
    if let Some(to) = out_grads {
        write_gradients(&mut instance, train, &solved, &given, at, to)?;
    }
    let mut results = call::results(&instance, train.step, &solved)?;
    call::step(&mut instance, train, &solved, &given, &mut results, at)?;
    let mut sums = Accumulator::new(&train.tally);
    sums.add(|i| results.get(i).and_then(|t| t.number(0)).unwrap_or(f64::NAN));
    let values = sums.finish(&mut instance, &train.tally, at)?;
    if let Some(to) = out_weights {
        weights::save(&instance, Part::Weights, to)?;
    }
    print(&report(train, &values, args.has("--json")))
}

/// One line of JSON, or one line for each value.
pub fn report(train: &Train, values: &[f64], as_json: bool) -> String {
    let named = train.metrics.iter().zip(values);
    if as_json {
        let fields = named.map(|(name, &x)| (name.as_str(), Value::Float(x)));
        return format!("{}\n", Value::object(fields).line());
    }
    named
        .map(|(name, &x)| format!("{name} {}\n", if x.is_finite() { json::number(x) } else { x.to_string() }))
        .collect()
}

fn write_gradients(
    instance: &mut Instance<'_>,
    train: &Train,
    sizes: &[i64],
    given: &[Tensor],
    at: At,
    to: Pending,
) -> Result<()> {
    let e = train.grads.ok_or_else(|| Failure::usage(format!("`{}` has no gradients", train.name)))?;
    let mut results = call::results(instance, e, sizes)?;
    call::tensors(instance, e, sizes, given, &mut results, at)?;
    let ports = &instance.meta.entries[e].results;
    let gradients = ports.iter().zip(&results);
    let items: Vec<Item<'_>> = gradients
        .map(|(port, tensor)| Item {
            name: &port.name,
            dtype: tensor.dtype.safetensors(),
            shape: &tensor.shape,
            data: &tensor.data,
        })
        .collect();
    weights::write(&items, &[("source", &instance.meta.source), ("source_hash", &instance.meta.source_hash)], to)
}
