//! Pipelines as they are written in a program.

use crate::meta::{Pipeline, Stage, Tokens};

/// `idx("data/train") |> batch(32)`
pub fn text(pipeline: &Pipeline) -> String {
    pipeline.stages.iter().map(stage).collect::<Vec<String>>().join(" |> ")
}

fn stage(stage: &Stage) -> String {
    let sides = |h: &usize, w: &usize| if h == w { h.to_string() } else { format!("({h}, {w})") };
    match stage {
        Stage::Idx { prefix, labels: true } => format!("idx(\"{prefix}\")"),
        Stage::Idx { prefix, labels: false } => format!("idx(\"{prefix}\", labels: false)"),
        Stage::Csv { path, header: true } => format!("csv(\"{path}\")"),
        Stage::Csv { path, header: false } => format!("csv(\"{path}\", header: false)"),
        Stage::Arrays { path } => format!("arrays(\"{path}\")"),
        Stage::Images { dir, height, width } => format!("images(\"{dir}\", size: {})", sides(height, width)),
        Stage::Text { path, tokens, window } => {
            let tokens = match tokens {
                Tokens::Chars => "chars",
                Tokens::Bytes => "bytes",
                Tokens::List(path) => path,
            };
            format!("text(\"{path}\", tokens: \"{tokens}\", window: {window})")
        }
        Stage::Pairs { path, vocab, buckets } => {
            let buckets: Vec<String> = buckets.iter().map(usize::to_string).collect();
            format!("pairs(\"{path}\", vocab: \"{vocab}\", bucket: [{}])", buckets.join(", "))
        }
        Stage::Resize { height, width } => format!("resize({})", sides(height, width)),
        Stage::Augment { flip, crop, rotate } => format!("augment(flip: {flip}, crop: {crop}, rotate: {rotate})"),
        Stage::Shuffle { buffer } => format!("shuffle({buffer})"),
        Stage::Take(n) => format!("take({n})"),
        Stage::Skip(n) => format!("skip({n})"),
        Stage::Split(part) => format!("split({part})"),
        Stage::Rest(part) => format!("rest({part})"),
        Stage::Rename(names) => {
            let names: Vec<String> = names.iter().map(|(new, old)| format!("{new}: \"{old}\"")).collect();
            format!("rename({})", names.join(", "))
        }
        Stage::Batch(n) => format!("batch({n})"),
        Stage::Unknown(name) => format!("{name}(…)"),
    }
}
