//! Weights and states in safetensors files.

use crate::data::vocabulary::{self, Vocabulary};
use crate::error::{Failure, Result, WEIGHTS, did_you_mean};
use crate::files::{self, Pending};
use crate::instance::Instance;
use crate::json::{self, Value};
use crate::meta::{Global, Kind};
use crate::order;
use crate::tensor::type_text;
use mlc_rt_core::safetensors::{SafeTensors, Tensor};
use std::path::Path;
use std::rc::Rc;

/// Which globals a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Parameters and states of layers.
    Weights,
    /// States of optimizers.
    Optimizer,
}

impl Part {
    fn holds(self, kind: Kind) -> bool {
        match self {
            Self::Weights => kind.is_saved(),
            Self::Optimizer => kind == Kind::Optimizer,
        }
    }
}

/// Most names that a message lists.
const LISTED: usize = 8;

/// Fills globals from a file.
pub fn load_file(instance: &mut Instance<'_>, part: Part, path: &Path) -> Result<()> {
    let bytes = files::read(path, WEIGHTS)?;
    load(instance, part, &bytes, &path.display().to_string())
}

/// Fills globals from the bytes of a file called `name` in messages. All or nothing is loaded.
pub fn load(instance: &mut Instance<'_>, part: Part, bytes: &[u8], name: &str) -> Result<()> {
    let file = parse(bytes, name)?;
    let index = Index::new(&file, name)?;
    let vocabulary = vocabulary_of(&file, name)?;
    let meta = instance.meta;
    let wanted: Vec<(usize, &str)> = (0..meta.globals.len())
        .filter(|&g| part.holds(meta.globals[g].kind) && instance.is_filed(g) && instance.global(g).is_some())
        .map(|g| (g, meta.globals[g].file_path.as_str()))
        .collect();
    let (found, missing) = index.sources(instance, &wanted);
    let mut used = vec![false; index.tensors.len()];
    found.iter().flat_map(|found| &found.pieces).for_each(|&i| used[i] = true);
    let elsewhere =
        |name: &str| (0..meta.globals.len()).any(|g| !instance.is_filed(g) && meta.globals[g].file_path == name);
    let unused = index.tensors.iter().zip(&used).filter(|(_, used)| !**used).map(|((name, _), _)| name.as_str());
    let extra: Vec<&str> = unused.filter(|name| !elsewhere(name)).collect();
    if !missing.is_empty() || !extra.is_empty() {
        return Err(differing(&missing, &extra, name));
    }
    index.fill(instance, &found, name)?;
    if part == Part::Weights {
        instance.vocabulary = vocabulary.map(Rc::new);
    }
    Ok(())
}

/// Fills some globals, given with their names in the file, from a file that may hold more. The names
/// may stand behind that of the binding. All or nothing is loaded.
pub fn load_some(
    instance: &mut Instance<'_>,
    tensors: &[(usize, String)],
    binding: &str,
    bytes: &[u8],
    name: &str,
) -> Result<()> {
    let file = parse(bytes, name)?;
    let index = Index::new(&file, name)?;
    let plain: Vec<(usize, &str)> = tensors.iter().map(|(g, path)| (*g, path.as_str())).collect();
    let (mut found, missing) = index.sources(instance, &plain);
    if !missing.is_empty() {
        let prefixed: Vec<(usize, String)> =
            tensors.iter().map(|(g, path)| (*g, format!("{binding}.{path}"))).collect();
        let borrowed: Vec<(usize, &str)> = prefixed.iter().map(|(g, path)| (*g, path.as_str())).collect();
        let (behind, absent) = index.sources(instance, &borrowed);
        if !absent.is_empty() {
            return Err(differing(&missing, &[], name).help("name what the file lacks in `skip:`"));
        }
        found = behind;
    }
    index.fill(instance, &found, name)
}

fn parse<'a>(bytes: &'a [u8], name: &str) -> Result<SafeTensors<'a>> {
    SafeTensors::parse(bytes)
        .map_err(|e| Failure::data(WEIGHTS, format!("these aren't usable weights: {}", e.text())).at(name))
}

/// Where the elements of a global are in a file.
struct Source {
    global: usize,
    /// One tensor, or the rows of a stack.
    pieces: Vec<usize>,
    /// Are these rows?
    rows: bool,
}

/// The vocabulary in a weight file, if it has one.
pub fn vocabulary(path: &Path) -> Result<Option<Vocabulary>> {
    vocabulary_in(&files::read(path, WEIGHTS)?, &path.display().to_string())
}

/// The vocabulary in the bytes of a weight file called `name` in messages.
pub fn vocabulary_in(bytes: &[u8], name: &str) -> Result<Option<Vocabulary>> {
    let file = SafeTensors::parse(bytes)
        .map_err(|e| Failure::data(WEIGHTS, format!("these aren't usable weights: {}", e.text())).at(name))?;
    vocabulary_of(&file, name)
}

fn vocabulary_of(file: &SafeTensors<'_>, name: &str) -> Result<Option<Vocabulary>> {
    let damaged = || Failure::data(WEIGHTS, "its vocabulary is damaged").at(name);
    match file.metadata(vocabulary::KEY) {
        Some(text) => Vocabulary::from_text(&json::owned(text)).map(Some).ok_or_else(damaged),
        None => Ok(None),
    }
}

/// A file's tensors by name.
struct Index<'a> {
    tensors: Vec<(String, Tensor<'a>)>,
}

impl<'a> Index<'a> {
    fn new(file: &SafeTensors<'a>, name: &str) -> Result<Self> {
        let mut tensors: Vec<(String, Tensor<'a>)> = file.tensors().map(|t| (json::owned(t.name), t)).collect();
        order::sort_by(&mut tensors, |a, b| a.0.cmp(&b.0));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Failure::data(WEIGHTS, format!("two tensors are called `{}`", pair[0].0)).at(name));
        }
        Ok(Self { tensors })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()
    }

    /// The sources of globals under these names, and the names that aren't there.
    fn sources<'n>(&self, instance: &Instance<'_>, wanted: &[(usize, &'n str)]) -> (Vec<Source>, Vec<&'n str>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for &(g, path) in wanted.iter().filter(|(g, _)| instance.global(*g).is_some()) {
            match self.source(g, &instance.meta.globals[g], path) {
                Some(source) => found.push(source),
                None => missing.push(path),
            }
        }
        (found, missing)
    }

    /// Checks all, then copies.
    fn fill(&self, instance: &mut Instance<'_>, found: &[Source], name: &str) -> Result<()> {
        for source in found {
            self.check(&instance.meta.globals[source.global], source, name)?;
        }
        for source in found {
            let Some(memory) = instance.global_mut(source.global) else { continue };
            let mut rest = memory;
            for data in source.pieces.iter().map(|&i| self.tensors[i].1.data) {
                // `check` made sure that the pieces fill it exactly.
                let Some((piece, after)) = rest.split_at_mut_checked(data.len()) else { break };
                piece.copy_from_slice(data);
                rest = after;
            }
        }
        Ok(())
    }

    /// The tensors that make up a global: its own, or for a stack `blocks.w` those of `blocks.0.w`, `blocks.1.w`, …
    fn source(&self, g: usize, global: &Global, path: &str) -> Option<Source> {
        if let Some(i) = self.find(path) {
            return Some(Source { global: g, pieces: vec![i], rows: false });
        }
        let &count = global.shape.first()?;
        let cuts = path.match_indices('.').map(|(at, _)| at);
        cuts.filter(|_| count <= self.tensors.len())
            .filter_map(|at| (0..count).map(|i| self.find(&format!("{}.{i}{}", &path[..at], &path[at..]))).collect())
            .next()
            .map(|pieces| Source { global: g, pieces, rows: true })
    }

    fn check(&self, global: &Global, source: &Source, file: &str) -> Result<()> {
        let shape = if source.rows { &global.shape[1..] } else { &global.shape[..] };
        for &i in &source.pieces {
            let (name, tensor) = &self.tensors[i];
            let dims = tensor.shape.dims();
            let same_shape = dims.len() == shape.len() && dims.iter().zip(shape).all(|(&a, &b)| a == b as u64);
            if same_shape && tensor.dtype.is(global.dtype.safetensors()) {
                continue;
            }
            let dims: Vec<String> = dims.iter().map(u64::to_string).collect();
            return Err(Failure::data(
                WEIGHTS,
                format!(
                    "`{name}` is {}[{}] in this file, the program has {}",
                    json::owned(tensor.dtype).to_ascii_lowercase(),
                    dims.join(", "),
                    type_text(global.dtype, shape)
                ),
            )
            .at(file));
        }
        Ok(())
    }
}

fn differing(missing: &[&str], extra: &[&str], file: &str) -> Failure {
    let message = match (missing, extra) {
        ([], _) => "this file has tensors that the program lacks",
        _ => "this file lacks tensors of the program",
    };
    let mut failure = Failure::data(WEIGHTS, message).at(file);
    for (names, word) in [(missing, "missing"), (extra, "not in the program")] {
        if names.is_empty() {
            continue;
        }
        let mut text = names.iter().take(LISTED).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        if names.len() > LISTED {
            text.push_str(&format!(" and {} more", names.len() - LISTED));
        }
        failure = failure.note(format!("{word}: {text}"));
    }
    let close = missing.first().and_then(|name| did_you_mean(name, extra.iter().copied()));
    failure.help_opt(close.map(|text| format!("for `{}`, {text}", missing.first().unwrap_or(&""))))
}

/// Writes globals to a file: header, then tensors in the metadata's order, larger elements first.
pub fn save(instance: &Instance<'_>, part: Part, to: Pending) -> Result<()> {
    let meta = instance.meta;
    let mut tensors: Vec<(&str, &Global, &[u8])> = (0..meta.globals.len())
        .filter(|&g| part.holds(meta.globals[g].kind) && instance.is_filed(g))
        .filter_map(|g| Some((meta.globals[g].file_path.as_str(), &meta.globals[g], instance.global(g)?)))
        .collect();
    order::sort_by(&mut tensors, |(_, a, _), (_, b, _)| b.dtype.bytes().cmp(&a.dtype.bytes()));
    let items: Vec<Item<'_>> = tensors
        .iter()
        .map(|&(name, g, data)| Item { name, dtype: g.dtype.safetensors(), shape: &g.shape, data })
        .collect();
    let text = instance.vocabulary.as_ref().filter(|_| part == Part::Weights).map(|v| v.to_text());
    let mut metadata = vec![("source", meta.source.as_str()), ("source_hash", &meta.source_hash)];
    metadata.extend(text.iter().map(|text| (vocabulary::KEY, text.as_str())));
    write(&items, &metadata, to)
}

/// A tensor to be written.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its name.
    pub name: &'a str,
    /// The format's word for its type.
    pub dtype: &'static str,
    /// Sizes of its axes.
    pub shape: &'a [usize],
    /// Its elements.
    pub data: &'a [u8],
}

/// Writes tensors in this order, with strings for `__metadata__`.
pub fn write(items: &[Item<'_>], metadata: &[(&str, &str)], to: Pending) -> Result<()> {
    let strings = [("format", "mlc"), ("version", "1")].into_iter().chain(metadata.iter().copied());
    let mut fields = vec![("__metadata__", Value::object(strings.map(|(k, v)| (k, Value::from(v)))))];
    let mut at = 0;
    for item in items {
        let shape = item.shape.iter().map(|&d| Value::from(d)).collect();
        let range = vec![Value::from(at), Value::from(at + item.data.len())];
        at += item.data.len();
        let entry =
            [("dtype", item.dtype.into()), ("shape", Value::Array(shape)), ("data_offsets", Value::Array(range))];
        fields.push((item.name, Value::object(entry)));
    }
    let mut header = Value::object(fields).line().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![&length, &header];
    parts.extend(items.iter().map(|item| item.data));
    to.commit(&parts)
}
