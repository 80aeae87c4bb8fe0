//! What goes wrong, as data, and how it is shown: the look of the compiler's diagnostics.

use std::fmt::Write;

/// A step needs more memory than it may.
pub const MEMORY: &str = "E0131";
/// A data file is missing, damaged, or doesn't fit.
pub const DATA: &str = "E0301";
/// A weight file or checkpoint is missing, damaged, or doesn't fit.
pub const WEIGHTS: &str = "E0302";
/// An input of a function is missing, damaged, or doesn't fit.
pub const INPUT: &str = "E0303";
/// A result can't be written.
pub const OUTPUT: &str = "E0304";
/// An element of an index tensor is out of range.
pub const INDEX: &str = "E0305";
/// A C function reported an error.
pub const FOREIGN: &str = "E0306";

/// Result with a [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Box<Body>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Body {
    code: Option<&'static str>,
    message: String,
    place: Option<String>,
    notes: Vec<(&'static str, String)>,
    status: i32,
}

impl Failure {
    fn new(code: Option<&'static str>, message: String, status: i32) -> Self {
        Self(Box::new(Body { code, message, place: None, notes: Vec::new(), status }))
    }

    /// The user's data is wrong: status 1.
    pub fn data(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Some(code), message.into(), 1)
    }

    /// The data is fine but something of the system isn't: status 1, no code.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(None, message.into(), 1)
    }

    /// The command line is wrong: status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(None, message.into(), 2)
    }

    /// The program itself is wrong: status 70.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(None, format!("internal: {}", message.into()), 70)
            .help("this is a defect of mlc, not of your program; please report it with the .dl file")
    }

    /// Adds where: `cnn.dl:3:4` or a file's path.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// Adds where unless it has a place already.
    #[must_use]
    pub fn or_at(self, place: &str) -> Self {
        if self.0.place.is_some() || place.is_empty() { self } else { self.at(place) }
    }

    /// Has it a place?
    pub fn has_place(&self) -> bool {
        self.0.place.is_some()
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.0.notes.push(("note", text.into()));
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.0.notes.push(("help", text.into()));
        self
    }

    /// Adds a way out if there is one.
    #[must_use]
    pub fn help_opt(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// Exit status.
    pub fn status(&self) -> i32 {
        self.0.status
    }

    /// The code, if it has one.
    pub fn code(&self) -> Option<&'static str> {
        self.0.code
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The whole text, several lines, with a newline at the end.
    pub fn render(&self) -> String {
        let body = &self.0;
        let mut text = match body.code {
            Some(code) => format!("error[{code}]: {}\n", body.message),
            None => format!("error: {}\n", body.message),
        };
        if let Some(place) = &body.place {
            let _ = writeln!(text, "  --> {place}");
        }
        for (kind, note) in &body.notes {
            let mut lines = note.lines();
            let _ = writeln!(text, "   = {kind}: {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, "           {line}");
            }
        }
        text
    }
}

/// "did you mean `x`?" for the candidate closest to `word`, if one is close.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = 1 + word.chars().count() / 4;
    let best = candidates.into_iter().map(|c| (distance(word, c), c)).min()?;
    (best.0 <= limit && best.0 < best.1.chars().count()).then(|| format!("did you mean `{}`?", best.1))
}

/// Least number of inserted, removed, changed or swapped neighbouring characters.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(200).collect(), b.chars().take(200).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut best = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// `a`, `b` and `c`.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
