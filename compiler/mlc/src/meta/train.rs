//! Training blocks: which entries they are made of, their data, what happens every so often.

use super::{named, without_folder};
use mlc_ir::graph::Graph;
use mlc_ir::index::Combine;
use mlc_resolve::program::{Action, Every, Pipeline, Stage, Train};
use mlc_syntax::span::Sources;
use serde_json::{Map, Value, json};

/// One element of `trains`.
pub fn train(graph: &Graph, train: &Train, sources: &Sources) -> Value {
    let mut value = json!({
        "name": train.name,
        "seed": train.seed,
        "epochs": train.epochs,
        "steps": train.steps,
        "batch": train.batch,
        "step": train.step,
        "eval": train.eval,
        "grads": train.grads,
        "finish": train.finish,
        "accumulands": train.accumulands.iter().map(accumuland).collect::<Vec<Value>>(),
        "metrics": train.metrics,
        "columns": train.columns.iter().map(|(name, ty)| named(graph, name, ty)).collect::<Vec<Value>>(),
        "trained": train.trained.iter().map(|id| id.index()).collect::<Vec<usize>>(),
        "every": train.every.iter().map(every).collect::<Vec<Value>>(),
    });
    value["pipelines"] = Value::Object(pipelines(train, sources));
    value
}

fn accumuland(combine: &Combine) -> Value {
    let name = match combine {
        Combine::Sum => "sum",
        Combine::Prod => "prod",
        Combine::Max => "max",
        Combine::Min => "min",
    };
    json!({"combine": name})
}

fn pipelines(train: &Train, sources: &Sources) -> Map<String, Value> {
    train.pipelines.iter().map(|(name, data)| (name.clone(), pipeline(data, sources))).collect()
}

fn pipeline(pipeline: &Pipeline, sources: &Sources) -> Value {
    json!({
        "stages": pipeline.stages.iter().map(stage).collect::<Vec<Value>>(),
        "place": without_folder(&sources.position(pipeline.span)),
    })
}

fn stage(stage: &Stage) -> Value {
    match stage {
        Stage::Idx { prefix, labels } => json!({"stage": "idx", "prefix": prefix, "labels": labels}),
        Stage::Resize { height, width } => json!({"stage": "resize", "height": height, "width": width}),
        Stage::Shuffle { buffer } => json!({"stage": "shuffle", "buffer": buffer}),
        Stage::Take(rows) => json!({"stage": "take", "n": rows}),
        Stage::Skip(rows) => json!({"stage": "skip", "n": rows}),
        Stage::Batch(rows) => json!({"stage": "batch", "n": rows}),
    }
}

fn every(every: &Every) -> Value {
    json!({
        "count": every.count,
        "period": if every.in_epochs { "epochs" } else { "steps" },
        "entry": every.entry,
        "actions": every.actions.iter().map(action).collect::<Vec<Value>>(),
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::Evaluate { pipeline } => json!({"do": "evaluate", "pipeline": pipeline}),
        Action::Save { dir, keep, best } => json!({"do": "save", "dir": dir, "keep": keep, "best": best}),
        Action::EarlyStop { value, patience } => json!({"do": "early_stop", "value": value, "patience": patience}),
    }
}
