//! `run`: an exported function on NumPy files.

use crate::args::Args;
use crate::call;
use crate::commands::{inputs, texts};
use crate::cx::Cx;
use crate::dtype::Dtype;
use crate::error::{Failure, OUTPUT, Result, did_you_mean, list};
use crate::files::Pending;
use crate::instance::At;
use crate::meta::{Entry, Function, Meta};
use crate::npy;
use crate::sizes;
use crate::tensor::Tensor;
use std::path::{Path, PathBuf};

/// Calls a function once and writes its results.
pub fn run(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let function = find(&cx.meta, args.words.first().map_or("", |w| w))?;
    let e = function.entry;
    let entry = &cx.meta.entries[e];
    let targets = targets(args, entry, function)?;
    let what = format!("function `{}`", function.name);
    let vocabulary = texts::vocabulary(cx, args)?;
    let given = inputs::all(args, entry, &what, vocabulary.as_ref())?;
    let types: Vec<_> = given.iter().map(|t| (t.dtype, &t.shape[..])).collect();
    let solved = sizes::solve(&cx.meta, entry, &types, &what)?;
    let pending: Result<Vec<(usize, Pending)>> =
        targets.iter().map(|(i, path)| Ok((*i, Pending::create(path)?))).collect();
    let pending = pending?;
    let mut instance = cx.instance(&[e], args)?;
    cx.load(&mut instance, args)?;
    let mut results = call::results(&instance, e, &solved)?;
    let at = At { seed: cx.seed(args, None)?, ..At::default() };
    call::tensors(&mut instance, e, &solved, &given, &mut results, at)?;
    call::cut(function, &mut results)?;
    for (i, to) in pending {
        write(&results[i], to)?;
    }
    let Some(vocabulary) = vocabulary else { return Ok(()) };
    let is_shown = |i: usize| targets.iter().all(|(j, _)| *j != i) && results[i].dtype == Dtype::I32;
    let count = function.results(entry).len();
    (0..count).filter(|&i| is_shown(i)).try_for_each(|i| texts::show(&results[i], &vocabulary))
}

fn write(result: &Tensor, to: Pending) -> Result<()> {
    let header = npy::header(result.dtype, &result.shape)
        .ok_or_else(|| Failure::data(OUTPUT, format!("NumPy has no type for {}", result.type_text())))?;
    to.commit(&[&header, &result.data])
}

/// The function called `name`: `forward`, `Cnn.forward`.
pub fn find<'m>(meta: &'m Meta, name: &str) -> Result<&'m Function> {
    let full = |f: &Function| if f.model.is_empty() { f.name.clone() } else { format!("{}.{}", f.model, f.name) };
    let matching: Vec<&Function> = meta.functions.iter().filter(|f| f.name == name || full(f) == name).collect();
    let names: Vec<String> = meta.functions.iter().map(full).collect();
    let every = || names.iter().map(String::as_str);
    match matching[..] {
        [one] => Ok(one),
        [] => {
            let short = meta.functions.iter().map(|f| f.name.as_str());
            Err(Failure::usage(format!("there is no function `{name}`"))
                .note(format!("there is {}", list(every())))
                .help_opt(did_you_mean(name, short.chain(every()))))
        }
        [..] => Err(Failure::usage(format!("several models have a function `{name}`")).help(format!(
            "write one of {}",
            list(matching.iter().map(|f| full(f)).collect::<Vec<_>>().iter().map(String::as_str))
        ))),
    }
}

/// `--out` as numbers of results and paths.
fn targets(args: &Args, entry: &Entry, called: &Function) -> Result<Vec<(usize, PathBuf)>> {
    let function = &called.name;
    let results = called.results(entry);
    let names = || results.iter().map(|r| r.name.as_str());
    let mut targets: Vec<(usize, PathBuf)> = Vec::new();
    for text in args.values("--out") {
        let named = text.split_once('=').and_then(|(name, path)| Some((names().position(|n| n == name)?, path)));
        let (i, path) = match (named, results.len()) {
            (Some((i, path)), _) => (i, path),
            (None, 1) if !looks_named(text) => (0, text),
            (None, _) => {
                let word = text.split('=').next().unwrap_or(text);
                let what = if looks_named(text) { format!("no result `{word}`") } else { "several results".to_owned() };
                return Err(Failure::usage(format!("`{function}` has {what}"))
                    .note(format!("its type is {}", called.signature(entry)))
                    .help_opt(did_you_mean(word, names()))
                    .help(format!("write `--out {}=FILE.npy`", results.first().map_or("NAME", |r| &r.name))));
            }
        };
        if path.is_empty() {
            return Err(Failure::usage(format!("`--out {text}` names no file")));
        }
        if targets.iter().any(|(j, p)| *j == i || (p == Path::new(path) && is_replaced(p))) {
            return Err(Failure::usage(format!("`--out {text}`: that result or file is given twice")));
        }
        targets.push((i, PathBuf::from(path)));
    }
    let shows_text = args.has("--text") && results.iter().any(|r| r.dtype == Dtype::I32);
    if targets.is_empty() && !shows_text {
        return Err(Failure::usage(format!("`run {function}` needs `--out FILE.npy`"))
            .note(format!("its type is {}", called.signature(entry))));
    }
    Ok(targets)
}

/// Devices can take several results, files can't.
fn is_replaced(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() || m.is_dir()) || !path.exists()
}

/// `label=l.npy`, but not `./a=b.npy`.
fn looks_named(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}
