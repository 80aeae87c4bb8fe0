//! `--text NAME=…`: text as token numbers, and token numbers as text.

use crate::args::Args;
use crate::cx::{Cx, print};
use crate::data::csv;
use crate::data::vocabulary::{Kind, Vocabulary};
use crate::dtype::Dtype;
use crate::error::{DATA, Failure, INPUT, Result};
use crate::files;
use crate::meta::{Port, Stage, Tokens};
use crate::tensor::Tensor;
use crate::weights;

/// The vocabulary of the weights, or else of the program's own pipelines. `None` if no text is given.
pub fn vocabulary(cx: &Cx<'_>, args: &Args) -> Result<Option<Vocabulary>> {
    if !args.has("--text") {
        return Ok(None);
    }
    let of_weights = match args.path("--weights")? {
        Some(path) => weights::vocabulary(&path)?,
        None => {
            cx.embedded().map(|bytes| weights::vocabulary_in(bytes, "weights in the executable")).transpose()?.flatten()
        }
    };
    if let Some(vocabulary) = of_weights {
        return Ok(Some(vocabulary));
    }
    let stages = cx.meta.trains.iter().flat_map(|t| &t.pipelines).flat_map(|(_, p)| &p.stages);
    for stage in stages {
        match stage {
            Stage::Text { tokens: Tokens::Bytes, .. } => return Ok(Some(Vocabulary::bytes())),
            Stage::Text { tokens: Tokens::List(path), .. } => return listed(cx, path, false).map(Some),
            Stage::Pairs { vocab, .. } => return listed(cx, vocab, true).map(Some),
            _ => {}
        }
    }
    Err(Failure::data(INPUT, "`--text` needs a vocabulary, and neither the weights nor the program have one")
        .note("a training on `text` or `pairs` puts its vocabulary into the weights")
        .help("give the token numbers with `--in NAME=FILE.npy`"))
}

fn listed(cx: &Cx<'_>, path: &str, marks: bool) -> Result<Vocabulary> {
    let path = cx.host.root.join(path);
    let shown = path.display().to_string();
    let bytes = files::read(&path, DATA)?;
    Vocabulary::list(csv::text(&bytes, &shown)?, &shown, marks)
}

/// A text as the input `port`: i32[P], or i32[1, P].
pub fn encode(port: &Port, text: &str, vocabulary: &Vocabulary, what: &str) -> Result<Tensor> {
    let rank = port.shape.len();
    let fits = port.dtype == Dtype::I32 && (rank == 1 || (rank == 2 && port.shape[0].number().is_none_or(|n| n == 1)));
    if !fits {
        return Err(Failure::data(INPUT, format!("`{}` is a text, {what} takes {}", port.name, port.text()))
            .note("a text becomes i32[P] or i32[1, P]"));
    }
    let mut numbers = Vec::new();
    vocabulary.encode(text, &mut numbers).map_err(|unknown| {
        let place = text[..unknown.at].chars().count() + 1;
        let shown = unknown.found.escape_debug();
        let failure =
            Failure::data(INPUT, format!("`{shown}` in the text for `{}` is not in the vocabulary", port.name));
        let failure = failure.note(format!("it is character {place} of the text"));
        if vocabulary.kind() == Kind::Chars {
            failure.note("the vocabulary has the characters of the training data")
        } else {
            failure
        }
    })?;
    if numbers.is_empty() {
        return Err(Failure::data(INPUT, format!("the text for `{}` has no tokens", port.name)));
    }
    let shape = [&[1][..], &[numbers.len()]].concat();
    let mut tensor = Tensor::zeros(Dtype::I32, &shape[2 - rank..])?;
    let (slots, _) = tensor.data.as_chunks_mut::<4>();
    slots.iter_mut().zip(&numbers).for_each(|(slot, n)| *slot = n.to_le_bytes());
    Ok(tensor)
}

/// Prints token numbers as text: a line for each row of the last axis.
pub fn show(tensor: &Tensor, vocabulary: &Vocabulary) -> Result<()> {
    let (elements, _) = tensor.data.as_chunks::<4>();
    let length = tensor.shape.last().copied().unwrap_or(1).max(1);
    for row in elements.chunks(length) {
        print(&format!("{}\n", vocabulary.decode(row.iter().map(|b| i32::from_le_bytes(*b)))))?;
    }
    Ok(())
}
