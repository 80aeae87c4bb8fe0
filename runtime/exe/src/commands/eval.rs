//! `eval`: loss and metrics of weights on the validation data (or the training data if there is none).

use crate::args::Args;
use crate::commands::step::report;
use crate::cx::{Cx, print};
use crate::error::Result;
use crate::instance::At;
use crate::json::Value;
use crate::train::feed::{self, Feed};
use crate::train::metrics;

/// Evaluates and prints.
pub fn eval(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let train = cx.train(args.words.first().map(String::as_str))?;
    let name = if train.pipeline("valid").is_some() { "valid" } else { "data" };
    let overrides = feed::overrides(args, train, name)?;
    let mut instance = cx.instance(&[train.eval.entry, train.eval.tally.finish], args)?;
    cx.load(&mut instance, args)?;
    let readers = cx.readers(instance.vocabulary.as_deref().cloned());
    let mut feed = Feed::open(cx, train, name, &overrides, &readers)?;
    let at = At { seed: train.seed, ..At::default() };
    let values = metrics::evaluate(&mut instance, &train.eval, &mut feed, at)?;
    if !args.has("--json") {
        return print(&report(train, &values, false));
    }
    let mut fields: Vec<(&str, Value)> =
        train.metrics.iter().zip(&values).map(|(name, &x)| (name.as_str(), Value::Float(x))).collect();
    if name == "valid" {
        fields.push(("valid", Value::object(fields.clone())));
    }
    fields.push(("rows", Value::from(feed.rows())));
    print(&format!("{}\n", Value::object(fields).line()))
}
