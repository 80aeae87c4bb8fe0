//! Whose measurements count: those of this processor, of the one that is asked for, or of the only one that there
//! are measurements of. Nothing that is computed hangs on it, only how fast.

use super::{On, Table, file, processor};
use crate::failure::Failure;
use mlc_codegen::Level;
use mlc_kernel::schedule::Machine;
use mlc_syntax::diag::Diagnostic;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was measured, and for which processor it is wanted.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// All of the file.
    pub table: Table,
    path: PathBuf,
    processor: String,
}

/// Whose measurements count for the code of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those of the processor that is wanted.
    Own(String),
    /// Those of the only other one.
    Other(String),
    /// None: there are several others.
    Several(Vec<String>),
    /// None: there are no measurements for the level.
    Nothing,
}

impl Source {
    /// Whose they are.
    pub fn processor(&self) -> Option<&str> {
        match self {
            Source::Own(name) | Source::Other(name) => Some(name),
            Source::Several(_) | Source::Nothing => None,
        }
    }
}

impl Table {
    /// Whose lines count for a level where those of `wanted` are.
    pub fn source(&self, wanted: &str, level: Level) -> Source {
        let of_level = self.lines().map(|(key, _)| key).filter(|key| key.level == level.name());
        let mut all: Vec<String> = of_level.map(|key| key.processor.clone()).collect();
        all.dedup();
        match all.as_slice() {
            all if all.iter().any(|known| known == wanted) => Source::Own(wanted.to_string()),
            [] => Source::Nothing,
            [only] => Source::Other(only.clone()),
            _ => Source::Several(all),
        }
    }
}

impl Tuning {
    /// What is measured of a source, with a warning if that can't be used. `asked` is a part of the name of a
    /// processor.
    ///
    /// # Errors
    /// There is not one processor with that in its name.
    pub fn read(source: &Path, asked: Option<&str>) -> Result<(Tuning, Vec<Diagnostic>), Failure> {
        let (table, warnings) = match file::read(source) {
            Ok(table) => (table, Vec::new()),
            Err(unusable) => (Table::default(), vec![*unusable]),
        };
        let path = file::path_of(source);
        let processor = match asked {
            Some(asked) => named(&table, asked, &path)?,
            None => processor::name(),
        };
        Ok((Tuning { table, path, processor }, warnings))
    }

    /// For what the kernels of a level are compiled.
    pub fn on<'a>(&'a self, level: Level, machine: Machine, symbols: &'a [Arc<str>]) -> On<'a> {
        let source = self.table.source(&self.processor, level);
        let processor = source.processor().and_then(|name| self.table.processors().get(name).copied());
        On { level, machine, symbols, processor }
    }

    /// What to know where there are measurements for a level, but none of this processor.
    pub fn remark(&self, level: Level) -> Option<String> {
        let unmeasured = format!("{} has no measurements of this processor", self.path.display());
        match self.table.source(&self.processor, level) {
            Source::Own(_) | Source::Nothing => None,
            Source::Other(name) => Some(format!("{unmeasured}; kernels run as measured on {name}")),
            Source::Several(names) => Some(format!(
                "{unmeasured}; kernels run as estimated (--tuned-on takes those of {})",
                names.join(", or ")
            )),
        }
    }
}

/// The only processor of a table with `asked` in its name, or of that name.
fn named(table: &Table, asked: &str, path: &Path) -> Result<String, Failure> {
    let all = table.processors();
    if all.contains(asked) {
        return Ok(asked.to_string());
    }
    let fitting: Vec<&str> = all.iter().copied().filter(|name| name.contains(asked)).collect();
    let told = match (all.is_empty(), fitting.as_slice()) {
        (_, [only]) => return Ok((*only).to_string()),
        (true, _) => "it has no measurements".to_string(),
        (false, []) => format!("it has measurements of {}", all.into_iter().collect::<Vec<_>>().join(", and ")),
        (false, several) => format!("it has several: {}", several.join(", and ")),
    };
    Err(Failure::Usage(format!("--tuned-on {asked}: there is not one such processor in {}; {told}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::file::parse;

    const TABLE: &str = "mlc-tune 2
processor Some Chip (R), family 6 model 7 stepping 2
v4 00 rows 6 vectors 4 unroll 4 tiles i0
processor Another Chip
v3 00 rows 1 vectors 2 unroll 1 tiles blocks
v4 00 rows 2 vectors 4 unroll 4 tiles one
";

    #[test]
    fn lines_count_for_the_processor_they_were_measured_on() {
        let table = parse(TABLE).unwrap_or_default();
        assert_eq!(table.source("Another Chip", Level::V4), Source::Own("Another Chip".to_string()));
        assert!(matches!(table.source("A third", Level::V4), Source::Several(all) if all.len() == 2));
        assert_eq!(table.source("A third", Level::V3), Source::Other("Another Chip".to_string()));
        assert_eq!(table.source("Another Chip", Level::V2), Source::Nothing);
        let left = table.without("Another Chip", Level::V4);
        assert!(matches!(left.source("Another Chip", Level::V4), Source::Other(name) if name.starts_with("Some")));
        assert_eq!(left.lines().count(), 2);
    }

    #[test]
    fn a_processor_may_be_named_by_a_part() {
        let table = parse(TABLE).unwrap_or_default();
        let named = |asked: &str| match named(&table, asked, Path::new("m.dl.tune")) {
            Ok(name) => name,
            Err(Failure::Usage(text)) => text,
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(named("Another"), "Another Chip");
        assert_eq!(named("Another Chip"), "Another Chip");
        assert!(named("model 7").starts_with("Some Chip"));
        assert!(named("Chip").contains("it has several: Another Chip, and Some Chip"), "{}", named("Chip"));
        assert!(named("Third").contains("it has measurements of Another Chip, and Some"), "{}", named("Third"));
    }
}
