//! For which processor level a run of the tests is: `MLC_TEST_CPU=v2`, `v3` or `v4` for one level,
//! `narrow` for kernels of Cranelift alone at this machine's. Without it the tests see what users see
//! who give no option. Nothing but the harnesses reads the variable: they hand it on as options.

use mlc::model::{Error, Model};
use mlc::session::Options;
use mlc_codegen::{Emitter, Level};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::LazyLock;

const VARIABLE: &str = "MLC_TEST_CPU";
/// The commands that take the options of a compilation.
const COMPILING: &[&str] = &["build", "run", "check", "test", "emit"];

/// What `mlc` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Usual,
    Only(Level),
    Narrow,
}

static WAY: LazyLock<Way> = LazyLock::new(|| match std::env::var(VARIABLE) {
    Err(std::env::VarError::NotPresent) => Way::Usual,
    Ok(name) => way(&name).unwrap_or_else(|| panic!("{VARIABLE} is v2, v3, v4 or narrow, not `{name}`")),
    Err(error) => panic!("{VARIABLE}: {error}"),
});

fn way(name: &str) -> Option<Way> {
    match name {
        "" => Some(Way::Usual),
        "narrow" => Some(Way::Narrow),
        name => Level::ALL.into_iter().find(|level| level.name() == name).map(Way::Only),
    }
}

/// The options after a command of `mlc` whose arguments are these, unless they choose for themselves.
pub(crate) fn options_for(args: &[&OsStr]) -> Vec<&'static str> {
    with_options(*WAY, args)
}

fn with_options<S: AsRef<OsStr>>(way: Way, args: &[S]) -> Vec<&'static str> {
    let one_of = |arg: &S, names: &[&str]| names.iter().any(|name| arg.as_ref() == *name);
    let compiles = args.first().is_some_and(|command| one_of(command, COMPILING));
    let chosen = args.iter().any(|arg| one_of(arg, &["--cpu", "--narrow"]));
    match way {
        _ if !compiles || chosen => Vec::new(),
        Way::Usual => Vec::new(),
        Way::Only(level) => vec!["--cpu", level.name()],
        Way::Narrow => vec!["--narrow"],
    }
}

/// The options of [`Model::open`].
pub fn options() -> Options {
    let usual = Options::for_this_machine();
    match *WAY {
        Way::Usual => usual,
        Way::Only(level) => Options { levels: vec![level], ..usual },
        Way::Narrow => Options { emitter: Emitter::Cranelift, ..usual },
    }
}

/// Whether what runs multiplies and adds without rounding in between, which changes the last bits of sums:
/// v3 and v4 do, v2 can't.
pub fn is_fused() -> bool {
    options().levels.iter().all(|&level| level > Level::V2)
}

/// The options of `mlc build` for code of the level that [`options`] have, alone.
pub fn one_level() -> Vec<&'static str> {
    match *WAY {
        Way::Usual => vec!["--cpu", "native"],
        Way::Only(level) => vec!["--cpu", level.name()],
        Way::Narrow => vec!["--cpu", "native", "--narrow"],
    }
}

/// [`Model::open`] with [`options`].
///
/// # Errors
/// As [`Model::open`].
pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
    match *WAY {
        Way::Usual => Model::open(path),
        Way::Only(_) | Way::Narrow => Model::compile(path.as_ref(), options()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_compiles_and_does_not_choose_is_told() {
        let v2 = way("v2").unwrap();
        assert_eq!(with_options(v2, &["run", "m.dl", "train"]), ["--cpu", "v2"]);
        assert_eq!(with_options(way("narrow").unwrap(), &["build", "m.dl"]), ["--narrow"]);
        let none: [&[&str]; 4] =
            [&[], &["fmt", "m.dl"], &["build", "m.dl", "--cpu", "v3"], &["run", "--narrow", "m.dl"]];
        for args in none {
            assert!(with_options(v2, args).is_empty(), "{args:?}");
        }
        assert!(with_options(way("").unwrap(), &["run", "m.dl"]).is_empty());
        assert_eq!(way("v5"), None);
    }
}
