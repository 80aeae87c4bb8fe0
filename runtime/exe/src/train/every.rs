//! `every N steps|epochs { … }`.

use crate::call;
use crate::error::{Failure, Result};
use crate::files::Pending;
use crate::image::{grid, write};
use crate::meta::{Action, Evaluation, Train};
use crate::show;
use crate::tensor::Tensor;
use crate::train::{Session, metrics};

/// Names of the pipelines that a block evaluates, each with the evaluation that does so first.
pub fn pipelines(train: &Train) -> Vec<(&str, &Evaluation)> {
    let mut all: Vec<(&str, &Evaluation)> = Vec::new();
    for action in train.every.iter().flat_map(|e| &e.actions) {
        if let Action::Evaluate { pipeline, other } = action
            && !all.iter().any(|(name, _)| name == pipeline)
        {
            all.push((pipeline, other.as_ref().unwrap_or(&train.eval)));
        }
    }
    all
}

/// Entries that a block's actions call.
pub fn entries(train: &Train) -> Vec<usize> {
    let other = |action: &'_ Action| match action {
        Action::Evaluate { other: Some(other), .. } => vec![other.entry, other.tally.finish],
        _ => Vec::new(),
    };
    let evaluated = train.every.iter().flat_map(|e| &e.actions).flat_map(other);
    train.every.iter().filter_map(|e| e.entry).chain(evaluated).collect()
}

/// What a block's actions use: computed when it is first asked for, and anew after an evaluation.
struct Values {
    number: usize,
    metrics: Vec<f64>,
    computed: Option<Vec<Tensor>>,
}

impl Values {
    fn tensor(&mut self, session: &mut Session<'_>, i: usize) -> Result<&Tensor> {
        if self.computed.is_none() {
            let at = session.at();
            self.computed = match session.train.every[self.number].entry {
                Some(e) => Some(call::of_scalars(&mut session.instance, e, &self.metrics, at)?),
                None => None,
            };
        }
        let found = self.computed.as_ref().and_then(|all| all.get(i));
        found.ok_or_else(|| Failure::internal("a value of an `every` block"))
    }

    fn scalar(&mut self, session: &mut Session<'_>, i: usize) -> Result<f64> {
        Ok(self.tensor(session, i)?.number(0).unwrap_or(f64::NAN))
    }
}

/// Which `save`, `early_stop` and `save_images` of the train block comes next.
#[derive(Clone, Copy, Default)]
struct Numbers {
    save: usize,
    stop: usize,
    images: usize,
}

impl Numbers {
    fn pass<'a>(&mut self, actions: impl IntoIterator<Item = &'a Action>) {
        for action in actions {
            match action {
                Action::Save { .. } => self.save += 1,
                Action::EarlyStop { .. } => self.stop += 1,
                Action::SaveImages { .. } => self.images += 1,
                _ => {}
            }
        }
    }
}

/// Runs the actions of block `number`; `metrics` are those of training. Weights are written later, when
/// all blocks of this moment have run, so that a checkpoint holds what they decided.
pub fn run(session: &mut Session<'_>, number: usize, metrics: &[f64]) -> Result<()> {
    let train = session.train;
    let actions = &train.every[number].actions;
    let mut numbers = Numbers::default();
    numbers.pass(train.every[..number].iter().flat_map(|e| &e.actions));
    let mut values = Values { number, metrics: metrics.to_vec(), computed: None };
    let mut at = 0;
    while let Some(action) = actions.get(at) {
        at += 1;
        if let Action::When { value, holds, count } = action
            && (values.scalar(session, *value)? != 0.0) != *holds
        {
            numbers.pass(actions[at..].iter().take(*count));
            at += count;
            continue;
        }
        act(session, action, &mut values, numbers)?;
        numbers.pass([action]);
    }
    Ok(())
}

fn act(session: &mut Session<'_>, action: &Action, values: &mut Values, numbers: Numbers) -> Result<()> {
    match action {
        Action::Evaluate { pipeline, other } => {
            let by = other.as_ref().unwrap_or(&session.train.eval);
            values.metrics = evaluate(session, pipeline, by)?;
            values.computed = None;
        }
        Action::Save { best, .. } => {
            let is_best = match best {
                Some(i) => {
                    let value = values.scalar(session, *i)?;
                    rises(&mut session.position.best[numbers.save], value)
                }
                None => false,
            };
            session.saves.push((numbers.save, is_best));
        }
        Action::EarlyStop { value, patience } => {
            let value = values.scalar(session, *value)?;
            session.position.stopped |= fails(&mut session.position.stops[numbers.stop], value, *patience);
        }
        Action::SaveImages { value, range, .. } => {
            let path = session.plan.images[numbers.images].file(session.position.step);
            save_images(values.tensor(session, *value)?, *range, Pending::create(&path)?)?;
        }
        Action::Report { values: named } => {
            for (name, i) in named {
                let value = values.scalar(session, *i)?;
                session.position.report(name, value);
            }
        }
        Action::Print { text, value } => {
            let text = match value {
                Some(i) => show::tensor(text, values.tensor(session, *i)?),
                None => format!("{text}\n"),
            };
            session.progress.say(&text);
        }
        Action::Stop => session.position.stopped = true,
        Action::When { .. } => {}
    }
    Ok(())
}

fn save_images(images: &Tensor, range: (f64, f64), to: Pending) -> Result<()> {
    let &[n, h, w, c] = &images.shape[..] else { return Err(Failure::internal("images of another rank")) };
    to.commit(&[&write::png(&grid::grid([n, h, w, c], &images.data, range))])
}

/// Evaluates a pipeline and remembers its metrics.
fn evaluate(session: &mut Session<'_>, pipeline: &str, by: &Evaluation) -> Result<Vec<f64>> {
    let at = session.at();
    let Some((_, feed)) = session.feeds.iter_mut().find(|(name, _)| name == pipeline) else {
        return Err(Failure::internal(format!("pipeline `{pipeline}` isn't open")));
    };
    let values = metrics::evaluate(&mut session.instance, by, feed, at)?;
    let all = &mut session.position.evaluated;
    match all.iter_mut().find(|(name, _)| name == pipeline) {
        Some((_, old)) => old.clone_from(&values),
        None => all.push((pipeline.to_owned(), values.clone())),
    }
    Ok(values)
}

/// Evaluates every pipeline, for the last report of a training that ended within an epoch.
pub fn evaluate_all(session: &mut Session<'_>) -> Result<()> {
    pipelines(session.train).into_iter().try_for_each(|(name, by)| evaluate(session, name, by).map(drop))
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
