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

/// A way to make code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The only level that there is code for.
    level: Option<Level>,
    /// Whether Cranelift makes all of it.
    narrow: bool,
}

static CHOSEN: LazyLock<Way> = LazyLock::new(|| match std::env::var(VARIABLE) {
    Err(std::env::VarError::NotPresent) => Way::default(),
    Ok(name) => Way::named(&name).unwrap_or_else(|| panic!("{VARIABLE} is v2, v3, v4 or narrow, not `{name}`")),
    Err(error) => panic!("{VARIABLE}: {error}"),
});

impl Way {
    fn named(name: &str) -> Option<Way> {
        match name {
            "" => Some(Way::default()),
            "narrow" => Some(Way { level: None, narrow: true }),
            name => {
                let level = Level::ALL.into_iter().find(|level| level.name() == name)?;
                Some(Way { level: Some(level), narrow: false })
            }
        }
    }

    /// The one that the tests are run for.
    pub fn chosen() -> Way {
        *CHOSEN
    }

    /// The same, for the level that runs here alone.
    #[must_use]
    pub fn one_level(self) -> Way {
        Way { level: Some(self.runs()), ..self }
    }

    /// Another one whose code gives the same bits: both emitters do, and all levels that fuse.
    pub fn twin(self) -> Option<Way> {
        let level = if self.narrow { Level::host() } else { Level::V3 };
        self.is_fused().then_some(Way { level: Some(level), narrow: !self.narrow })
    }

    /// Whether what runs multiplies and adds without rounding in between, which changes the last bits of
    /// sums: v3 and v4 do, v2 can't.
    pub fn is_fused(self) -> bool {
        self.runs() > Level::V2
    }

    fn runs(self) -> Level {
        self.level.unwrap_or_else(Level::host)
    }

    /// As options of `mlc`.
    pub fn args(self) -> Vec<&'static str> {
        let level = self.level.map(|level| ["--cpu", level.name()]);
        level.into_iter().flatten().chain(self.narrow.then_some("--narrow")).collect()
    }

    /// As options of a session, for what runs here.
    pub fn options(self) -> Options {
        let usual = Options::for_this_machine();
        let emitter = if self.narrow { Emitter::Cranelift } else { usual.emitter };
        Options { levels: vec![self.runs()], emitter, ..usual }
    }

    /// What stands behind a command of `mlc` that has these arguments, unless they choose for themselves.
    pub(crate) fn args_behind<S: AsRef<OsStr>>(self, command: &[S]) -> Vec<&'static str> {
        let one_of = |arg: &S, names: &[&str]| names.iter().any(|name| arg.as_ref() == *name);
        let compiles = command.first().is_some_and(|command| one_of(command, COMPILING));
        let chosen = command.iter().any(|arg| one_of(arg, &["--cpu", "--narrow"]));
        if compiles && !chosen { self.args() } else { Vec::new() }
    }
}

/// [`Model::open`] with the options of [`Way::chosen`].
///
/// # Errors
/// As [`Model::open`].
pub fn open(path: impl AsRef<Path>) -> Result<Model, Error> {
    match Way::chosen() {
        way if way == Way::default() => Model::open(path),
        way => Model::compile(path.as_ref(), way.options()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_compiles_and_does_not_choose_is_told() {
        let v2 = Way::named("v2").unwrap();
        assert_eq!(v2.args_behind(&["run", "m.dl", "train"]), ["--cpu", "v2"]);
        assert_eq!(Way::named("narrow").unwrap().args_behind(&["build", "m.dl"]), ["--narrow"]);
        let none: [&[&str]; 4] =
            [&[], &["fmt", "m.dl"], &["build", "m.dl", "--cpu", "v3"], &["run", "--narrow", "m.dl"]];
        for command in none {
            assert!(v2.args_behind(command).is_empty(), "{command:?}");
        }
        assert!(Way::named("").unwrap().args_behind(&["run", "m.dl"]).is_empty());
        assert_eq!(Way::named("v5"), None);
    }
}
