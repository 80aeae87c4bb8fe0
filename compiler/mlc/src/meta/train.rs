//! Training blocks: which entries they are made of, their data, what happens every so often.

use super::{named, without_folder};
use mlc_ir::graph::Graph;
use mlc_ir::index::Combine;
use mlc_resolve::program::{Action, Evaluation, Every, Load, Pipeline, Stage, Tally, Tokens, Train};
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
        "batches": train.batches,
        "accumulate": train.accumulate,
        "tally": tally(&train.tally),
        "eval": evaluation(&train.eval),
        "grads": train.grads,
        "metrics": train.metrics,
        "columns": train.columns.iter().map(|(name, ty)| named(graph, name, ty)).collect::<Vec<Value>>(),
        "trained": train.trained.iter().map(|id| id.index()).collect::<Vec<usize>>(),
        "loads": train.loads.iter().map(load).collect::<Vec<Value>>(),
        "every": train.every.iter().map(every).collect::<Vec<Value>>(),
    });
    value["pipelines"] = Value::Object(pipelines(train, sources));
    value
}

fn evaluation(evaluation: &Evaluation) -> Value {
    json!({"entry": evaluation.entry, "tally": tally(&evaluation.tally)})
}

fn tally(tally: &Tally) -> Value {
    let accumulands: Vec<Value> = tally.accumulands.iter().map(accumuland).collect();
    json!({"finish": tally.finish, "accumulands": accumulands})
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

fn load(load: &Load) -> Value {
    let tensors = load.tensors.iter().map(|(global, name)| json!({"global": global.index(), "name": name}));
    json!({"path": load.path, "binding": load.binding, "tensors": tensors.collect::<Vec<Value>>()})
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
        Stage::Csv { path, header } => json!({"stage": "csv", "path": path, "header": header}),
        Stage::Arrays { path } => json!({"stage": "arrays", "path": path}),
        Stage::Images { dir, height, width } => {
            json!({"stage": "images", "dir": dir, "height": height, "width": width})
        }
        Stage::Text { path, tokens, window } => text(path, tokens, *window),
        Stage::Pairs { path, vocab, buckets } => {
            json!({"stage": "pairs", "path": path, "vocab": vocab, "buckets": buckets})
        }
        Stage::Resize { height, width } => json!({"stage": "resize", "height": height, "width": width}),
        Stage::Shuffle { buffer } => json!({"stage": "shuffle", "buffer": buffer}),
        Stage::Take(rows) => json!({"stage": "take", "n": rows}),
        Stage::Skip(rows) => json!({"stage": "skip", "n": rows}),
        Stage::Split(part) => json!({"stage": "split", "part": part}),
        Stage::Rest(part) => json!({"stage": "rest", "part": part}),
        Stage::Rename(names) => {
            json!({"stage": "rename", "names": names.iter().map(|(new, old)| json!([new, old])).collect::<Vec<Value>>()})
        }
        Stage::Augment { flip, crop, rotate } => {
            json!({"stage": "augment", "flip": flip, "crop": crop, "rotate": rotate})
        }
        Stage::Batch(rows) => json!({"stage": "batch", "n": rows}),
    }
}

fn text(path: &str, tokens: &Tokens, window: i64) -> Value {
    let (kind, vocab) = match tokens {
        Tokens::Chars => ("chars", None),
        Tokens::Bytes => ("bytes", None),
        Tokens::File(path) => ("list", Some(path)),
    };
    json!({"stage": "text", "path": path, "tokens": kind, "vocab": vocab, "window": window})
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
        Action::Evaluate { pipeline, other } => {
            json!({"do": "evaluate", "pipeline": pipeline, "other": other.as_ref().map(evaluation)})
        }
        Action::When { value, holds, count } => {
            json!({"do": "when", "value": value, "holds": holds, "count": count})
        }
        Action::SaveImages { dir, value, range } => {
            json!({"do": "save_images", "dir": dir, "value": value, "low": range.0, "high": range.1})
        }
        Action::Report { values } => {
            let values = values.iter().map(|(name, value)| json!({"name": name, "value": value}));
            json!({"do": "report", "values": values.collect::<Vec<Value>>()})
        }
        Action::Print { text, value } => json!({"do": "print", "text": text, "value": value}),
        Action::Stop => json!({"do": "stop"}),
        Action::Save { dir, keep, best } => json!({"do": "save", "dir": dir, "keep": keep, "best": best}),
        Action::EarlyStop { value, patience } => json!({"do": "early_stop", "value": value, "patience": patience}),
    }
}
