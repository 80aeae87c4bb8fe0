//! `import`: which declarations of other files a file sees, and under which names (rule 31).
//!
//! A plain import brings layers, functions and optimizers; with `as f` they and the constants are
//! `f.NAME`. What a file imports itself is not handed on. Files are found and read by the caller.

use crate::cx::Cx;
use crate::scope::{self, Files, Item};
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Sources, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file that the program imports, and what its own imports lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub file: FileId,
    pub module: &'a ast::Module,
}

/// Enters what `sources` import into `files`, whose own declarations are in it. `found_at` has the
/// file behind the path of each import.
pub(crate) fn enter<'a>(
    files: &mut Files<'a>,
    modules: &[Source<'a>],
    found_at: &BTreeMap<Span, FileId>,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) {
    report_cycles(modules, found_at, sources, found);
    for source in modules {
        let mut earlier: Vec<(FileId, Span)> = Vec::new();
        for import in imports(source.module) {
            let Some(other) = found_at.get(&import.path_span).copied() else { continue };
            if other == source.file {
                continue; // a cycle, told already
            }
            match earlier.iter().find(|(file, _)| *file == other) {
                Some((_, first)) => found.push(imported_twice(import, *first, sources.file(other).name.as_ref())),
                None => enter_one(files, source.file, import, other, sources, found),
            }
            earlier.push((other, import.path_span));
        }
    }
}

fn imports(module: &ast::Module) -> impl Iterator<Item = &ast::Import> {
    module.items.iter().filter_map(|item| match item {
        ast::Item::Import(import) => Some(import),
        _ => None,
    })
}

fn enter_one<'a>(
    files: &mut Files<'a>,
    file: FileId,
    import: &'a ast::Import,
    other: FileId,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) {
    let Some(alias) = &import.alias else {
        let mut clashes = Vec::new();
        for (name, declared) in files.declared(other) {
            if matches!(declared.0, Item::Const(_)) {
                continue;
            }
            match files.visible(file, name) {
                Some((.., first)) => clashes.push((name, first, declared.2)),
                None => files.bring(file, name, declared),
            }
        }
        found.extend(clash(import, &clashes, sources));
        return;
    };
    let first = files.visible(file, &alias.text).map(|(.., first)| first);
    match first.or_else(|| files.alias(file, &alias.text).map(|(_, first)| first)) {
        Some(first) => found.push(scope::twice(alias, first)),
        None => files.name_file(file, alias, other),
    }
}

/// Names that the importing file has already; one message for each import.
fn clash(import: &ast::Import, clashes: &[(&str, Span, Span)], sources: &Sources) -> Option<Diagnostic> {
    let (name, first, second) = clashes.first()?;
    let path = &import.path;
    let error = Diagnostic::error(Code::E0102, import.path_span, format!("`{name}` is declared here and in `{path}`"))
        .label(format!("brings `{name}`"))
        .also(*first, if first.file == import.span.file { "declared here" } else { "and here" })
        .also(*second, "declared here");
    let others: Vec<String> = clashes[1..].iter().map(|(name, ..)| format!("`{name}`")).collect();
    let error = if others.is_empty() { error } else { error.note(format!("also {}", others.join(", "))) };
    let alias = alias_for(&sources.file(second.file).name);
    Some(error.help(format!("`import \"{path}\" as {alias}`, then `{alias}.{name}` is the one from there")))
}

/// A name that a file could be given.
fn alias_for(file: &str) -> String {
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".dl");
    let is_name = stem.starts_with(|c: char| c.is_ascii_alphabetic())
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { stem.to_string() } else { "other".to_string() }
}

fn imported_twice(import: &ast::Import, first: Span, name: &str) -> Diagnostic {
    Diagnostic::error(Code::E0102, import.path_span, format!("`{name}` is imported twice"))
        .label("the second time here")
        .also(first, "first here")
        .help("one import is enough; with `as` it also gives the constants")
}

// ---- cycles

/// How far the search from a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Underway,
    Done,
}

/// Reports each import that leads back to a file that imports it.
fn report_cycles(
    modules: &[Source],
    found_at: &BTreeMap<Span, FileId>,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) {
    let edges: BTreeMap<FileId, Vec<(Span, FileId)>> = modules
        .iter()
        .map(|source| {
            let edge = |import: &ast::Import| Some((import.path_span, *found_at.get(&import.path_span)?));
            (source.file, imports(source.module).filter_map(edge).collect())
        })
        .collect();
    let mut visits: BTreeMap<FileId, Visit> = BTreeMap::new();
    for source in modules {
        search(source.file, &edges, &mut visits, sources, found);
    }
}

/// Depth first, with a stack of its own: chains of imports may be long.
fn search(
    from: FileId,
    edges: &BTreeMap<FileId, Vec<(Span, FileId)>>,
    visits: &mut BTreeMap<FileId, Visit>,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) {
    if visits.contains_key(&from) {
        return;
    }
    visits.insert(from, Visit::Underway);
    // Files under way, with how many of their imports are done and the import that led there.
    let mut path: Vec<(FileId, usize, Option<Span>)> = vec![(from, 0, None)];
    while let Some((file, done, _)) = path.last_mut() {
        let file = *file;
        let Some(&(span, next)) = edges.get(&file).and_then(|edges| edges.get(*done)) else {
            visits.insert(file, Visit::Done);
            path.pop();
            continue;
        };
        *done += 1;
        match visits.get(&next) {
            Some(Visit::Done) => {}
            Some(Visit::Underway) => {
                let start = path.iter().position(|(file, ..)| *file == next).unwrap_or(0);
                let ways = path[start + 1..].iter().filter_map(|(.., span)| *span);
                found.push(cycle(span, next, &ways.collect::<Vec<Span>>(), sources));
            }
            None => {
                visits.insert(next, Visit::Underway);
                path.push((next, 0, Some(span)));
            }
        }
    }
}

/// The import at `closing` leads back to `file`, from which `ways` led there.
fn cycle(closing: Span, file: FileId, ways: &[Span], sources: &Sources) -> Diagnostic {
    let name = |file: FileId| &*sources.file(file).name;
    if ways.is_empty() {
        let title = format!("`{}` imports itself", name(file));
        return Diagnostic::error(Code::E0011, closing, title)
            .help("a file sees its own declarations: take this line out");
    }
    let mut error = Diagnostic::error(Code::E0011, closing, format!("`{}` imports itself in a circle", name(file)))
        .label(format!("leads back to `{}`", name(file)));
    for way in ways {
        error = error.also(*way, "the way here");
    }
    error.help("put what both sides need into a file of its own, and import that")
}

// ---- use

impl<'a> Cx<'a> {
    /// The file that `text` names here, if nothing nearer has that name.
    pub fn file_alias(&mut self, text: &Arc<str>, span: Span) -> R<Option<FileId>> {
        let Some((file, _)) = self.files.alias(self.top().file, text) else { return Ok(None) };
        Ok(self.find_nearby(text, span)?.is_none().then_some(file))
    }

    /// `f.NAME`: a declaration of the file `f`.
    pub fn item_of_file(&mut self, file: FileId, name: &ast::Name) -> R<Value<'a>> {
        match self.files.declared_as(file, &name.text) {
            Some(item) => self.item(item, file, &name.text, name.span),
            None => Err(self.no_such_item(file, name)),
        }
    }

    /// Whether the file has a declaration of that name, without making its value; an error if not.
    pub fn require_item(&mut self, file: FileId, name: &ast::Name) -> R<()> {
        match self.files.declared_as(file, &name.text) {
            Some(_) => Ok(()),
            None => Err(self.no_such_item(file, name)),
        }
    }

    fn no_such_item(&mut self, file: FileId, name: &ast::Name) -> crate::report::Reported {
        let path = self.sources.file(file).name.clone();
        let error = Diagnostic::error(Code::E0101, name.span, format!("`{path}` declares no `{}`", name.text));
        let names: Vec<&str> = self.files.declared(file).into_iter().map(|(name, _)| name).collect();
        let error = match (self.files.visible(file, &name.text), scope::nearest(&name.text, names)) {
            (Some((_, home, _)), _) => {
                let home = self.sources.file(home).name.clone();
                error.help(format!("it comes from `{home}`, and imports are not handed on: import that file too"))
            }
            (None, Some(near)) => error.help(format!("did you mean `{near}`?")),
            (None, None) => error,
        };
        self.tell(error)
    }

    /// The value of a name that stands for a file.
    pub fn file_as_value(&mut self, text: &str, span: Span) -> crate::report::Reported {
        let error = Diagnostic::error(Code::E0122, span, format!("`{text}` is a file, not a value"))
            .help(format!("take something from it: `{text}.NAME`"));
        self.tell(error)
    }

    /// The imported file that declares the constant `text`.
    pub fn file_of_constant(&self, text: &str) -> Option<FileId> {
        let declares = |file: &FileId| matches!(self.files.declared_as(*file, text), Some(Item::Const(_)));
        self.imports.values().copied().find(declares)
    }

    /// A constant of a plainly imported file, which the import does not bring.
    pub fn constant_elsewhere(&self, text: &str) -> Option<String> {
        let here = self.top().file;
        let module = self.files.list.iter().find(|file| file.id == here)?.module;
        imports(module).filter(|import| import.alias.is_none()).find_map(|import| {
            let other = *self.imports.get(&import.path_span)?;
            matches!(self.files.declared_as(other, text), Some(Item::Const(_))).then(|| {
                let (path, alias) = (&import.path, alias_for(&self.sources.file(other).name));
                format!("constants hold in their own file; `import \"{path}\" as {alias}` makes it `{alias}.{text}`")
            })
        })
    }
}
