//! The names of files: what is declared where, and what was probably meant by a name that is not there.

use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::BTreeMap;

/// A declaration that a name can refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    Const(&'a ast::Const),
    Fn(&'a ast::Fn),
    Layer(&'a ast::Layer),
    Optimizer(&'a ast::Optimizer),
    /// Declared, but not supported yet; the declaration has been refused.
    Refused,
}

/// Declarations by name, with the file and the place of the name.
type Names<'a> = BTreeMap<&'a str, (Item<'a>, FileId, Span)>;

/// Whose text a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    User,
    Prelude,
}

/// One parsed file.
#[derive(Debug)]
pub(crate) struct File<'a> {
    pub id: FileId,
    pub origin: Origin,
    pub module: &'a ast::Module,
}

/// The top-level names of all files. The files of the prelude share one scope.
#[derive(Debug, Default)]
pub(crate) struct Files<'a> {
    pub list: Vec<File<'a>>,
    user: Names<'a>,
    prelude: Names<'a>,
}

impl<'a> Files<'a> {
    /// Takes in the declarations of a file; a name declared twice is reported.
    pub fn add(&mut self, file: File<'a>, found: &mut Vec<Diagnostic>) {
        let names = match file.origin {
            Origin::User => &mut self.user,
            Origin::Prelude => &mut self.prelude,
        };
        for item in &file.module.items {
            let Some((name, item)) = named(item) else { continue };
            match names.get(&*name.text) {
                Some((.., first)) => found.push(twice(name, *first)),
                None => {
                    names.insert(&name.text, (item, file.id, name.span));
                }
            }
        }
        self.list.push(file);
    }

    /// Whose text a file is; what came from the command line is the user's.
    pub fn origin(&self, id: FileId) -> Origin {
        self.list.iter().find(|file| file.id == id).map_or(Origin::User, |file| file.origin)
    }

    /// What `name` means at the top of `file`: the file's own, then the prelude's.
    pub fn find(&self, file: FileId, name: &str) -> Option<(Item<'a>, FileId)> {
        let own = match self.origin(file) {
            Origin::User => self.user.get(name),
            Origin::Prelude => None,
        };
        own.or_else(|| self.prelude.get(name)).map(|(item, file, _)| (*item, *file))
    }

    /// What `name` means in the prelude.
    pub fn find_in_prelude(&self, name: &str) -> Option<(Item<'a>, FileId)> {
        self.prelude.get(name).map(|(item, file, _)| (*item, *file))
    }

    /// All names that can be seen from `file`, in a fixed order.
    pub fn names(&self, file: FileId) -> Vec<&'a str> {
        let own = match self.origin(file) {
            Origin::User => Some(self.user.keys().copied()),
            Origin::Prelude => None,
        };
        own.into_iter().flatten().chain(self.prelude.keys().copied()).collect()
    }
}

fn named(item: &ast::Item) -> Option<(&ast::Name, Item<'_>)> {
    match item {
        ast::Item::Const(item) => Some((&item.name, Item::Const(item))),
        ast::Item::Fn(item) => Some((&item.name, Item::Fn(item))),
        ast::Item::Layer(item) => Some((&item.name, Item::Layer(item))),
        ast::Item::Optimizer(item) => Some((&item.name, Item::Optimizer(item))),
        ast::Item::Extern(item) => Some((&item.name, Item::Refused)),
        ast::Item::Import(_) | ast::Item::Grad(_) | ast::Item::Train(_) | ast::Item::Test(_) => None,
    }
}

/// A name that is declared a second time.
pub(crate) fn twice(name: &ast::Name, first: Span) -> Diagnostic {
    Diagnostic::error(Code::E0102, name.span, format!("`{}` is declared twice", name.text))
        .label("the second time here")
        .also(first, "first here")
        .help("give one of them another name")
}

/// The candidate nearest to `word`, if it is near enough to be a slip.
pub(crate) fn nearest<'n>(word: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = match word.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        assert_eq!(nearest("sofmax", ["softmax", "sigmoid"]), Some("softmax"));
        assert_eq!(nearest("Conv2D", ["Conv2d", "Linear"]), Some("Conv2d"));
        assert_eq!(nearest("lables", ["labels"]), Some("labels"));
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("banana", ["softmax"]), None);
    }
}
