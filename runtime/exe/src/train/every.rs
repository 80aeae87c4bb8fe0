//! `every N steps|epochs { … }`.

use crate::call;
use crate::error::{Failure, Result};
use crate::meta::{Action, Train};
use crate::train::{Session, metrics};

/// Names of the pipelines that a block evaluates.
pub fn pipelines(train: &Train) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for action in train.every.iter().flat_map(|e| &e.actions) {
        if let Action::Evaluate { pipeline } = action
            && !names.contains(&pipeline.as_str())
        {
            names.push(pipeline);
        }
    }
    names
}

/// Runs the actions of block `number`; `metrics` are those of training. Files are written later, when
/// all blocks of this moment have run, so that a checkpoint holds what they decided.
pub fn run(session: &mut Session<'_>, number: usize, metrics: &[f64]) -> Result<()> {
    let train = session.train;
    let (mut save, mut stop) = before(train, number);
    let mut values = compute(session, number, metrics)?;
    let value = |values: &[f64], i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    for action in &train.every[number].actions {
        match action {
            Action::Evaluate { pipeline } => {
                let metrics = evaluate(session, pipeline)?;
                values = compute(session, number, &metrics)?;
            }
            Action::Save { best, .. } => {
                let is_best = best.is_some_and(|b| rises(&mut session.position.best[save], value(&values, b)));
                session.saves.push((save, is_best));
                save += 1;
            }
            Action::EarlyStop { value: v, patience } => {
                let ends = fails(&mut session.position.stops[stop], value(&values, *v), *patience);
                session.position.stopped |= ends;
                stop += 1;
            }
        }
    }
    Ok(())
}

/// How many `save` and `early_stop` stand before block `number`.
fn before(train: &Train, number: usize) -> (usize, usize) {
    let actions = || train.every[..number].iter().flat_map(|e| &e.actions);
    let saves = actions().filter(|a| matches!(a, Action::Save { .. })).count();
    (saves, actions().filter(|a| matches!(a, Action::EarlyStop { .. })).count())
}

/// The values that a block's actions use.
fn compute(session: &mut Session<'_>, number: usize, metrics: &[f64]) -> Result<Vec<f64>> {
    let at = session.at();
    match session.train.every[number].entry {
        Some(e) => call::scalars(&mut session.instance, e, metrics, at),
        None => Ok(Vec::new()),
    }
}

/// Evaluates a pipeline and remembers its metrics.
fn evaluate(session: &mut Session<'_>, pipeline: &str) -> Result<Vec<f64>> {
    let at = session.at();
    let Some((_, feed)) = session.feeds.iter_mut().find(|(name, _)| name == pipeline) else {
        return Err(Failure::internal(format!("pipeline `{pipeline}` isn't open")));
    };
    let values = metrics::evaluate(&mut session.instance, session.train, feed, at)?;
    let all = &mut session.position.evaluated;
    match all.iter_mut().find(|(name, _)| name == pipeline) {
        Some((_, old)) => old.clone_from(&values),
        None => all.push((pipeline.to_owned(), values.clone())),
    }
    Ok(values)
}

/// Evaluates every pipeline, for the last report of a training that ended within an epoch.
pub fn evaluate_all(session: &mut Session<'_>) -> Result<()> {
    pipelines(session.train).into_iter().try_for_each(|name| evaluate(session, name).map(drop))
}

/// Is `value` better than the best so far? NaN never is.
fn rises(best: &mut Option<f64>, value: f64) -> bool {
    let better = !value.is_nan() && best.is_none_or(|b| value > b);
    if better {
        *best = Some(value);
    }
    better
}

/// Has `value` failed to rise often enough to stop?
fn fails((best, count): &mut (Option<f64>, i64), value: f64, patience: i64) -> bool {
    *count = if rises(best, value) { 0 } else { *count + 1 };
    *count > 0 && *count >= patience
}
