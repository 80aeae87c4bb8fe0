//! Reading sources: which file format is which reader's, and what several pipelines share.

use crate::Parts;
use crate::data::table::Table;
use crate::data::vocabulary::{Kind, Vocabulary};
use crate::data::{Wanted, arrays, csv, idx, text};
use crate::error::{DATA, Failure, Result, did_you_mean, list};
use crate::files;
use crate::meta::{Stage, Tokens};
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Reads sources. What two pipelines read from one file is read once, and texts share one vocabulary.
#[derive(Debug)]
pub struct Readers<'a> {
    root: &'a Path,
    parts: Parts,
    vocabulary: RefCell<Option<Rc<Vocabulary>>>,
    tables: RefCell<Vec<(Stage, Vec<Wanted>, Table)>>,
}

impl<'a> Readers<'a> {
    /// Relative paths start at `root`. Texts are read with `vocabulary`; if there is none, the first one
    /// that is read makes it.
    pub fn new(root: &'a Path, parts: Parts, vocabulary: Option<Vocabulary>) -> Self {
        Self { root, parts, vocabulary: RefCell::new(vocabulary.map(Rc::new)), tables: RefCell::default() }
    }

    /// The vocabulary of the texts that were read.
    pub fn vocabulary(&self) -> Option<Rc<Vocabulary>> {
        self.vocabulary.borrow().clone()
    }

    /// The wanted columns of a source, in this order.
    pub fn read(&self, source: &Stage, wanted: &[Wanted]) -> Result<Table> {
        let known = |(s, w, _): &&(Stage, Vec<Wanted>, Table)| s == source && w == wanted;
        if let Some((_, _, table)) = self.tables.borrow().iter().find(known) {
            return Ok(table.clone());
        }
        let table = self.read_file(source, wanted)?;
        self.tables.borrow_mut().push((source.clone(), wanted.to_vec(), table.clone()));
        Ok(table)
    }

    fn read_file(&self, source: &Stage, wanted: &[Wanted]) -> Result<Table> {
        match source {
            Stage::Idx { prefix, labels } => self.idx(prefix, *labels, wanted),
            Stage::Csv { path, header } => {
                let (bytes, shown) = self.bytes(path)?;
                Table::of(csv::parse(&bytes, &shown, *header, wanted)?)
            }
            Stage::Arrays { path } => {
                let path = self.find(path)?;
                Table::of(arrays::read(&path, wanted)?)
            }
            Stage::Images { dir, height, width } => {
                check_names(wanted, &["image", "label"])?;
                let part = self.parts.images.ok_or_else(|| Failure::internal("this program can't read pictures"))?;
                let dir = self.find(dir)?;
                pick((part.read)(&dir, *height, *width, wanted)?, wanted)
            }
            Stage::Text { path, tokens, window } => {
                check_names(wanted, &["ids", "gold"])?;
                let (bytes, shown) = self.bytes(path)?;
                let vocabulary = self.text_vocabulary(tokens, &bytes, &shown)?;
                pick(text::windows(&bytes, &shown, &vocabulary, *window)?, wanted)
            }
            Stage::Pairs { path, vocab, buckets } => {
                check_names(wanted, &["src", "tgt", "gold"])?;
                let (bytes, shown) = self.bytes(path)?;
                let vocabulary = self.listed(vocab, true)?;
                pick(text::pairs(&bytes, &shown, &vocabulary, buckets)?, wanted)
            }
            _ => Err(Failure::internal("a pipeline begins with no source")),
        }
    }

    fn idx(&self, prefix: &str, labels: bool, wanted: &[Wanted]) -> Result<Table> {
        let known: &[&str] = if labels { &["image", "label"] } else { &["image"] };
        check_names(wanted, known)?;
        let read = |w: &Wanted| -> Result<(String, Tensor)> {
            let tensor =
                if w.name == "image" { idx::images(self.root, prefix)? } else { idx::labels(self.root, prefix)? };
            Ok((w.name.clone(), tensor))
        };
        Table::of(wanted.iter().map(read).collect::<Result<_>>()?)
    }

    /// The vocabulary there is, or that of the first text.
    fn text_vocabulary(&self, tokens: &Tokens, bytes: &[u8], shown: &str) -> Result<Rc<Vocabulary>> {
        match tokens {
            Tokens::List(path) => self.listed(path, false),
            Tokens::Bytes => self.known(Kind::Bytes, false, || Ok(Vocabulary::bytes())),
            Tokens::Chars => self.known(Kind::Chars, false, || Ok(Vocabulary::chars(csv::text(bytes, shown)?))),
        }
    }

    fn listed(&self, path: &str, marks: bool) -> Result<Rc<Vocabulary>> {
        self.known(Kind::List, marks, || {
            let (bytes, shown) = self.bytes(path)?;
            Vocabulary::list(csv::text(&bytes, &shown)?, &shown, marks)
        })
    }

    fn known(&self, kind: Kind, marks: bool, make: impl FnOnce() -> Result<Vocabulary>) -> Result<Rc<Vocabulary>> {
        let known = self.vocabulary.borrow().clone();
        let vocabulary = match known {
            Some(vocabulary) => vocabulary,
            None => Rc::new(make()?),
        };
        if vocabulary.kind() != kind || vocabulary.has_marks() != marks {
            let found = vocabulary.kind().name();
            let message = format!("the pipeline reads a text as {}, the vocabulary is of {found}", kind.name());
            return Err(Failure::data(DATA, message)
                .note("one vocabulary serves all texts of a training, and travels with its weights"));
        }
        *self.vocabulary.borrow_mut() = Some(vocabulary.clone());
        Ok(vocabulary)
    }

    fn bytes(&self, path: &str) -> Result<(Vec<u8>, String)> {
        let path = self.find(path)?;
        Ok((files::read(&path, DATA)?, path.display().to_string()))
    }

    fn find(&self, path: &str) -> Result<PathBuf> {
        let full = if self.root == Path::new(".") { PathBuf::from(path) } else { self.root.join(path) };
        if full.exists() {
            return Ok(full);
        }
        let failure = Failure::data(DATA, format!("there is no file or folder `{}`", full.display()));
        Err(failure.help(start_of_paths(self.root)))
    }
}

/// Where relative paths start, for help.
pub fn start_of_paths(root: &Path) -> String {
    let replace = "`--data COLUMN=FILE.npy` gives other data";
    if root.as_os_str().is_empty() || root == Path::new(".") {
        format!("relative paths start at the working folder; {replace}")
    } else {
        format!("relative paths start at `{}`; {replace}", root.display())
    }
}

fn check_names(wanted: &[Wanted], known: &[&str]) -> Result<()> {
    let Some(strange) = wanted.iter().find(|w| !known.contains(&w.name.as_str())) else { return Ok(()) };
    let (name, names) = (&strange.name, list(known.iter().copied()));
    Err(Failure::data(DATA, format!("the step takes a column `{name}`, the data has {names}"))
        .help_opt(did_you_mean(name, known.iter().copied())))
}

/// The wanted columns of a table, in this order.
fn pick(table: Table, wanted: &[Wanted]) -> Result<Table> {
    let column = |w: &Wanted| {
        let blocks = table.column(&w.name).ok_or_else(|| Failure::internal("a source without its columns"))?;
        Ok((w.name.clone(), blocks.to_vec()))
    };
    Ok(Table { columns: wanted.iter().map(column).collect::<Result<_>>()?, places: table.places.clone() })
}
