//! A text as windows of tokens, and pairs of texts as padded rows.

use crate::data::csv;
use crate::data::table::{Block, Table};
use crate::data::vocabulary::{BEGIN, END, Unknown, Vocabulary};
use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result};
use crate::mem::Aligned;
use crate::tensor::Tensor;
use std::rc::Rc;

/// Columns `ids` and `gold`, which is `ids` one token further; windows don't overlap. `place` says in
/// messages which file it is.
pub fn windows(bytes: &[u8], place: &str, vocabulary: &Vocabulary, window: usize) -> Result<Table> {
    let mut numbers = Vec::new();
    if vocabulary.kind() == crate::data::vocabulary::Kind::Bytes {
        numbers.extend(bytes.iter().map(|&b| i32::from(b)));
    } else {
        let text = csv::text(bytes, place)?;
        vocabulary.encode(text, &mut numbers).map_err(|unknown| strange(text, place, 1, unknown, vocabulary))?;
    }
    if numbers.len() <= window {
        let length = numbers.len();
        return Err(Failure::data(DATA, format!("`{place}` has {length} tokens, too few for a window of {window}"))
            .note("a row takes the window and one token more: the last one to be predicted"));
    }
    let data = Rc::new(bytes_of(&numbers)?);
    let block = |shift| vec![Block::windows(&data, window, shift)];
    let columns = vec![("ids".to_owned(), block(0)), ("gold".to_owned(), block(1))];
    Ok(Table { columns, places: None })
}

fn bytes_of(numbers: &[i32]) -> Result<Aligned> {
    let mut data = Aligned::new(numbers.len() * Dtype::I32.bytes())?;
    let (slots, _) = data.as_chunks_mut::<4>();
    slots.iter_mut().zip(numbers).for_each(|(slot, n)| *slot = n.to_le_bytes());
    Ok(data)
}

/// A character that the vocabulary lacks; the text begins in line `line` of the file.
fn strange(text: &str, place: &str, line: usize, unknown: Unknown, vocabulary: &Vocabulary) -> Failure {
    let before = &text[..unknown.at];
    let line = line + before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    let failure = Failure::data(DATA, format!("`{}` is not in the vocabulary", unknown.found.escape_debug()))
        .at(format!("{place}:{line}:{column}"));
    match vocabulary.kind() {
        crate::data::vocabulary::Kind::List => {
            failure.help("a token `<unk>` in the vocabulary would stand for words that it lacks")
        }
        _ => failure.note("the vocabulary is that of the training data"),
    }
}

/// Where one pair's tokens are in the list of all.
struct Pair {
    bucket: usize,
    start: usize,
    source: usize,
    target: usize,
}

/// Columns `src`, `tgt` (begins with the begin mark) and `gold` (ends with the end mark), padded to the
/// shortest bucket that holds them.
pub fn pairs(bytes: &[u8], place: &str, vocabulary: &Vocabulary, buckets: &[usize]) -> Result<Table> {
    let text = csv::text(bytes, place)?;
    let (mut numbers, mut pairs) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = i + 1;
        let wrong = |why: String| Failure::data(DATA, why).at(format!("{place}:{line_number}"));
        let (source, target) = line
            .split_once('\t')
            .filter(|(_, target)| !target.contains('\t'))
            .ok_or_else(|| wrong("a line is two texts, divided by one tab".to_owned()))?;
        let start = numbers.len();
        let mut encode = |text: &str, skipped: usize| -> Result<usize> {
            let before = numbers.len();
            vocabulary
                .encode(text, &mut numbers)
                .map_err(|u| strange(line, place, line_number, Unknown { at: u.at + skipped, ..u }, vocabulary))?;
            Ok(numbers.len() - before)
        };
        let (source, target) = (encode(source, 0)?, encode(target, source.len() + 1)?);
        if source == 0 || target == 0 {
            return Err(wrong("one of the two texts is empty".to_owned()));
        }
        let longest = source.max(target + 1);
        let bucket = buckets.iter().position(|&size| size >= longest).ok_or_else(|| {
            let most = buckets.last().copied().unwrap_or(0);
            wrong(format!("this pair needs {longest} tokens, the largest bucket has {most}"))
                .note(format!("the texts have {source} and {target} tokens; the second also takes a mark"))
                .help("add a larger one to `bucket`, or leave such lines out of the file")
        })?;
        pairs.push(Pair { bucket, start, source, target });
    }
    if pairs.is_empty() {
        return Err(Failure::data(DATA, format!("`{place}` has no rows")));
    }
    padded(&numbers, &pairs, buckets)
}

fn padded(numbers: &[i32], pairs: &[Pair], buckets: &[usize]) -> Result<Table> {
    let mut counts = vec![0; buckets.len()];
    let mut places = Vec::new();
    for pair in pairs {
        places.push((pair.bucket as u32, counts[pair.bucket] as u32));
        counts[pair.bucket] += 1;
    }
    let mut columns = Vec::new();
    for (name, column) in [("src", Column::Source), ("tgt", Column::Target), ("gold", Column::Gold)] {
        let mut tensors = Vec::new();
        for (&rows, &size) in counts.iter().zip(buckets) {
            tensors.push(Tensor::zeros(Dtype::I32, &[rows, size])?);
        }
        for (pair, &(bucket, row)) in pairs.iter().zip(&places) {
            let size = buckets[bucket as usize];
            let (slots, _) = tensors[bucket as usize].data.as_chunks_mut::<4>();
            // Padding is 0, which the memory has already.
            let slots = &mut slots[row as usize * size..][..size];
            let (source, target) = numbers[pair.start..][..pair.source + pair.target].split_at(pair.source);
            let tokens: &mut dyn Iterator<Item = i32> = match column {
                Column::Source => &mut source.iter().copied(),
                Column::Target => &mut std::iter::once(BEGIN).chain(target.iter().copied()),
                Column::Gold => &mut target.iter().copied().chain(std::iter::once(END)),
            };
            slots.iter_mut().zip(tokens).for_each(|(slot, n)| *slot = n.to_le_bytes());
        }
        let blocks: Result<Vec<Block>> = tensors.into_iter().map(Block::of).collect();
        columns.push((name.to_owned(), blocks?));
    }
    Ok(Table { columns, places: Some(Rc::new(places)) })
}

#[derive(Clone, Copy)]
enum Column {
    Source,
    Target,
    Gold,
}
