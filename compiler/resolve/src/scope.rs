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

/// The top-level names of all files. Each of the user's files has its own scope, with what it imports;
/// the files of the prelude share one.
#[derive(Debug, Default)]
pub(crate) struct Files<'a> {
    pub list: Vec<File<'a>>,
    own: BTreeMap<FileId, Names<'a>>,
    /// What `import "file.dl"` brings into a file.
    brought: BTreeMap<FileId, Names<'a>>,
    /// What `import "file.dl" as f` brings into a file.
    aliases: BTreeMap<FileId, BTreeMap<&'a str, (FileId, Span)>>,
    prelude: Names<'a>,
    /// Whether one of the user's files asks for a gradient by a value.
    pub asks_gradients: bool,
    /// `grad f`, by file and function.
    gradients: BTreeMap<(FileId, &'a str), &'a ast::Grad>,
}

impl<'a> Files<'a> {
    /// Takes in the declarations of a file; a name declared twice is reported.
    pub fn add(&mut self, file: File<'a>, found: &mut Vec<Diagnostic>) {
        let names = match file.origin {
            Origin::User => self.own.entry(file.id).or_default(),
            Origin::Prelude => &mut self.prelude,
        };
        let lost = file.module.lost.iter().map(|name| (name, Item::Refused));
        for (name, item) in file.module.items.iter().filter_map(named).chain(lost) {
            match names.get(&*name.text) {
                Some((.., first)) => found.push(twice(name, *first)),
                None => {
                    names.insert(&name.text, (item, file.id, name.span));
                }
            }
        }
        for item in &file.module.items {
            if let ast::Item::Grad(grad) = item {
                self.gradients.entry((file.id, &grad.name.text)).or_insert(grad);
            }
        }
        self.asks_gradients |= file.origin == Origin::User && crate::names::are_read(file.module, "gradient");
        self.list.push(file);
    }

    /// The `grad` that a file declares for a function.
    pub fn gradient(&self, file: FileId, function: &str) -> Option<&'a ast::Grad> {
        self.gradients.get(&(file, function)).copied()
    }

    /// Makes a declaration of another file visible in `file`.
    pub fn bring(&mut self, file: FileId, name: &'a str, declared: (Item<'a>, FileId, Span)) {
        self.brought.entry(file).or_default().insert(name, declared);
    }

    /// Names another file in `file`.
    pub fn name_file(&mut self, file: FileId, alias: &'a ast::Name, other: FileId) {
        self.aliases.entry(file).or_default().insert(&alias.text, (other, alias.span));
    }

    /// Whose text a file is; what came from the command line is the user's.
    pub fn origin(&self, id: FileId) -> Origin {
        self.list.iter().find(|file| file.id == id).map_or(Origin::User, |file| file.origin)
    }

    /// What `name` means at the top of `file`: the file's own, then what it imports, then the prelude's.
    pub fn find(&self, file: FileId, name: &str) -> Option<(Item<'a>, FileId)> {
        self.visible(file, name).or_else(|| self.prelude.get(name).copied()).map(|(item, file, _)| (item, file))
    }

    /// What `name` means in one of the user's files, with the place of its declaration.
    pub fn visible(&self, file: FileId, name: &str) -> Option<(Item<'a>, FileId, Span)> {
        let look = |table: &BTreeMap<FileId, Names<'a>>| table.get(&file).and_then(|names| names.get(name)).copied();
        look(&self.own).or_else(|| look(&self.brought))
    }

    /// The declarations of one of the user's files, by name.
    pub fn declared(&self, file: FileId) -> Vec<(&'a str, (Item<'a>, FileId, Span))> {
        self.own.get(&file).into_iter().flatten().map(|(name, declared)| (*name, *declared)).collect()
    }

    /// What one of the user's files declares under a name.
    pub fn declared_as(&self, file: FileId, name: &str) -> Option<Item<'a>> {
        self.own.get(&file)?.get(name).map(|(item, ..)| *item)
    }

    /// The file that is called `name` in `file`, and where it got that name.
    pub fn alias(&self, file: FileId, name: &str) -> Option<(FileId, Span)> {
        self.aliases.get(&file)?.get(name).copied()
    }

    /// What `name` means in the prelude.
    pub fn find_in_prelude(&self, name: &str) -> Option<(Item<'a>, FileId)> {
        self.prelude.get(name).map(|(item, file, _)| (*item, *file))
    }

    /// All names that can be seen from `file`, in a fixed order.
    pub fn names(&self, file: FileId) -> Vec<&'a str> {
        let own = self.own.get(&file).into_iter().chain(self.brought.get(&file)).flat_map(BTreeMap::keys);
        let aliases = self.aliases.get(&file).into_iter().flat_map(BTreeMap::keys);
        own.chain(aliases).chain(self.prelude.keys()).copied().collect()
    }
}

fn named(item: &ast::Item) -> Option<(&ast::Name, Item<'_>)> {
    match item {
        ast::Item::Const(item) => Some((&item.name, Item::Const(item))),
        ast::Item::Fn(item) => Some((&item.name, Item::Fn(item))),
        ast::Item::Layer(item) => Some((&item.name, Item::Layer(item))),
        ast::Item::Optimizer(item) => Some((&item.name, Item::Optimizer(item))),
        ast::Item::Extern(item) => Some((&item.head.name, Item::Fn(&item.head))),
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

/// The candidate nearest to `word`, if it is near enough to be a slip; the first of equally near ones.
pub(crate) fn nearest<'n>(word: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let lower: Vec<char> = word.to_lowercase().chars().collect();
    let own = letters(&lower);
    let mut allowed = match lower.len() {
        0..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    let (mut other, mut rows) = (Vec::new(), Rows::default());
    let mut best = None;
    for candidate in candidates {
        if candidate == word || candidate.len() > LONGEST {
            continue;
        }
        other.clear();
        match candidate.is_ascii() {
            true => other.extend(candidate.bytes().map(|byte| char::from(byte.to_ascii_lowercase()))),
            false => other.extend(candidate.chars().flat_map(char::to_lowercase)),
        }
        // A word is no slip of one that has nothing in common with it.
        let most = allowed.min(other.len().saturating_sub(1));
        let missing = (own & !letters(&other)).count_ones() as usize;
        if missing > most || other.len().abs_diff(lower.len()) > most {
            continue;
        }
        let Some(distance) = rows.distance(&lower, &other, most) else { continue };
        best = Some(candidate);
        let Some(less) = distance.checked_sub(1) else { break };
        allowed = less;
    }
    best
}

/// The characters of a word as a set of 64 kinds: words differ in at least as many places as one has kinds
/// that the other lacks.
fn letters(word: &[char]) -> u64 {
    word.iter().fold(0, |set, letter| set | 1 << (*letter as u32 % 64))
}

/// The last three rows of a table of distances.
#[derive(Default)]
struct Rows {
    before: Vec<usize>,
    above: Vec<usize>,
    row: Vec<usize>,
}

impl Rows {
    /// Insertions, deletions, replacements and swaps of neighbours that lead from one word to another,
    /// if these are at most `most`.
    fn distance(&mut self, a: &[char], b: &[char], most: usize) -> Option<usize> {
        self.above.clear();
        self.above.extend(0..=b.len());
        for i in 1..=a.len() {
            self.row.clear();
            self.row.push(i);
            for j in 1..=b.len() {
                let replaced = self.above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(self.above[j] + 1).min(self.row[j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(self.before[j - 2] + 1);
                }
                self.row.push(best);
            }
            // A swap reaches back two rows, and adds one to what stands there.
            let least = |row: &[usize]| row.iter().copied().min().unwrap_or(0);
            if least(&self.row) > most && least(&self.above) >= most {
                return None;
            }
            std::mem::swap(&mut self.before, &mut self.above);
            std::mem::swap(&mut self.above, &mut self.row);
        }
        Some(self.above[b.len()]).filter(|distance| *distance <= most)
    }
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
        assert_eq!(nearest("ab", ["ba", "abc"]), Some("ba"));
        assert_eq!(nearest("weigth", ["height", "weight", "weights"]), Some("weight"));
        assert_eq!(nearest("ÄHNLICH", ["ähnlich"]), Some("ähnlich"));
        assert_eq!(nearest(&"a".repeat(65), ["b"]), None);
    }
}
