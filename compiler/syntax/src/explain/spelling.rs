//! Misspelt keywords.

use super::{Place, Refused, expected};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::grammar::{ITEM_WORDS, MEMBER_WORDS, STATEMENT_WORDS};

/// Explains the refusal by a misspelt word, if there is one.
pub fn explain(refused: &Refused) -> Option<Diagnostic> {
    at_beginning(refused).or_else(|| in_the_middle(refused))
}

/// The word that `word` at the beginning of a line was probably meant to be.
pub fn meant_word(word: &str, place: Place) -> &str {
    match word {
        "class" => "layer",
        "def" | "func" | "function" => "fn",
        _ if words_of(place).contains(&word) => word,
        _ => nearest(word, words_of(place)).unwrap_or(word),
    }
}

fn words_of(place: Place) -> &'static [&'static str] {
    match place {
        Place::Item => ITEM_WORDS,
        Place::Member => MEMBER_WORDS,
        Place::Statement => STATEMENT_WORDS,
        Place::Else => &["else"],
    }
}

fn kind_of(place: Place) -> &'static str {
    match place {
        Place::Item => "a declaration",
        Place::Member => "a member",
        Place::Statement => "a statement",
        Place::Else => "`else`",
    }
}

/// The line begins with a word that is like a keyword, and pest stopped there or just behind it.
fn at_beginning(refused: &Refused) -> Option<Diagnostic> {
    let (word, lo) = match refused.at {
        0 => (refused.found(), 0),
        _ => refused.previous_word(),
    };
    if lo != 0 || words_of(refused.place).contains(&word) {
        return None;
    }
    let meant = nearest(word, words_of(refused.place))?;
    let title = format!("expected {}, found `{word}`", kind_of(refused.place));
    let span = refused.span(0, word.len());
    Some(Diagnostic::error(Code::E0001, span, title).help(format!("did you mean `{meant}`?")))
}

/// A keyword is expected and something like it is there.
fn in_the_middle(refused: &Refused) -> Option<Diagnostic> {
    let found = refused.found();
    let keywords: Vec<&str> = refused.rules.iter().filter_map(|rule| expected::keyword(*rule)).collect();
    let meant = nearest(found, &keywords)?;
    let title = format!("expected `{meant}`, found `{found}`");
    Some(Diagnostic::error(Code::E0001, refused.found_span(), title).help(format!("did you mean `{meant}`?")))
}

/// The candidate that is most like `word`, if any is.
fn nearest<'w>(word: &str, candidates: &[&'w str]) -> Option<&'w str> {
    if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let close = |candidate: &&&str| distance(&lower, candidate) <= allowed(candidate);
    candidates.iter().filter(close).min_by_key(|candidate| distance(&lower, candidate)).copied()
}

/// Short words are like everything; they must be nearly right.
fn allowed(word: &str) -> usize {
    match word.len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    }
}

/// How many letters must be changed, added, left out or swapped with the next one.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 24;
    if a.len() > LONGEST || b.len() > LONGEST {
        return LONGEST;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
