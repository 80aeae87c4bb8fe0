//! `cnn.dl.tune`: under a line with the version of the format, for each processor a line `processor NAME` and one
//! for each of its kernels, `v4 0123456789abcdef rows 6 vectors 4 unroll 4 tiles i0 # …`, or of its contractions,
//! `v4 0123456789abcdef panels 4 chunks never # …`.

use super::{Key, Line, Table, Way};
use crate::output;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::{Diagnostic, Severity};
use std::ffi::OsString;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The line that a file begins with, comments apart.
const VERSION: &str = "mlc-tune 2";

/// That of files that do not say which processor they are about.
const WITHOUT_PROCESSOR: &str = "mlc-tune 1";

/// What the line of a processor begins with.
const PROCESSOR: &str = "processor ";

/// The most bytes of a file that are read: thousands of kernels.
const MOST_BYTES: u64 = 1 << 20;

/// Where the file of a source is.
pub fn path_of(source: &Path) -> PathBuf {
    let mut path = OsString::from(source);
    path.push(".tune");
    PathBuf::from(path)
}

/// What the file of a source says, if there is one; a warning if it can't be used.
pub fn read(source: &Path) -> Result<Table, Box<Diagnostic>> {
    let path = path_of(source);
    let unusable = |reason: &str| {
        let title = format!("{}: {reason}; kernels run as the compiler estimates", path.display());
        let help = "write it anew with `mlc build --tune`, or delete it";
        Box::new(Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error_without_place(Code::W0006, title).help(help)
        })
    };
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Table::default()),
        Ok(found) if found.len() > MOST_BYTES => return Err(unusable("it is too large for a file of schedules")),
        Err(_) | Ok(_) => {}
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unusable(&output::reason(&error)))?;
    parse(&text).map_err(|reason| unusable(&reason))
}

/// Reads the text of a file; says what is wrong with it.
pub fn parse(text: &str) -> Result<Table, String> {
    let without_comment = |line: &'_ str| line.split_once('#').map_or(line, |(line, _)| line).trim().to_string();
    let remark = |line: &str| line.split_once('#').map_or("", |(_, remark)| remark).trim().to_string();
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !without_comment(line).is_empty());
    match lines.next() {
        Some((_, line)) if without_comment(line) == VERSION => {}
        Some((number, line)) if without_comment(line) == WITHOUT_PROCESSOR => {
            return Err(format!("line {number} is `{WITHOUT_PROCESSOR}`, which does not say where it was measured"));
        }
        Some((number, _)) => return Err(format!("line {number} is not `{VERSION}`")),
        None => return Err(format!("it has no line `{VERSION}`")),
    }
    let mut table = Table::default();
    let mut processor = None;
    for (number, line) in lines {
        let words = without_comment(line);
        if let Some(name) = words.strip_prefix(PROCESSOR) {
            processor = Some(name.trim().to_string());
            continue;
        }
        let (level, kernel, way) = measured(&words).ok_or_else(|| {
            format!(
                "line {number} is none of `{PROCESSOR}NAME`, `LEVEL KERNEL rows R vectors V unroll U tiles T` and \
                 `LEVEL KERNEL panels P chunks C`"
            )
        })?;
        let Some(processor) = processor.clone() else {
            return Err(format!("line {number} stands before any line `{PROCESSOR}NAME`"));
        };
        table.insert(Key { processor, level, kernel }, Line { way, remark: remark(line) });
    }
    Ok(table)
}

/// Level, kernel and way of a line.
fn measured(words: &str) -> Option<(String, String, Way)> {
    let (level, rest) = words.split_once(' ')?;
    let (kernel, way) = rest.trim_start().split_once(' ')?;
    let way = match way.parse() {
        Ok(knobs) => Way::Run(knobs),
        Err(_) => Way::Pack(way.parse().ok()?),
    };
    Some((level.to_string(), kernel.to_string(), way))
}

/// The text of a file.
pub fn text(table: &Table, source: &str) -> String {
    let mut text = format!(
        "# How kernels of {source} are run: measured by `mlc build --tune`, read by every compilation.\n\
         # No line changes a result; without the file the compiler estimates.\n\
         {VERSION}\n"
    );
    let mut last = None;
    for (key, line) in table.lines() {
        if last != Some(&key.processor) {
            let _ = writeln!(text, "\n{PROCESSOR}{}", key.processor);
            last = Some(&key.processor);
        }
        let way = match &line.way {
            Way::Run(knobs) => knobs.to_string(),
            Way::Pack(packing) => packing.to_string(),
        };
        let _ = writeln!(text, "{} {} {way:<56} # {}", key.level, key.kernel, line.remark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "
processor Some Chip (R), family 6 model 7 stepping 2
v4 0123456789abcdef rows 6 vectors 4 unroll 4 tiles i3,12rows,i0 side_by_side # conv, m.dl:3
v4 1123456789abcdef panels 4 chunks never # conv, m.dl:3
processor Another
v3 00 rows 1 vectors 2 unroll 1 tiles blocks stream 16
v4 0123456789abcdef rows 2 vectors 4 unroll 4 tiles one chunk 8192
";

    #[test]
    fn what_is_written_is_read() {
        let table = parse(&format!("# of m.dl\n{VERSION}\n{LINES}")).unwrap_or_default();
        assert_eq!(table.lines().count(), 4);
        assert_eq!(table.processors().len(), 2);
        assert_eq!(parse(&text(&table, "m.dl")), Ok(table));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("", "it has no line"),
            ("mlc-tune 3\n", "line 1 is not `mlc-tune 2`"),
            ("mlc-tune 1\nv4 00 rows 6 vectors 4 unroll 4\n", "line 1 is `mlc-tune 1`, which does not say where"),
            ("# c\nmlc-tune 2\nprocessor P\nv4 00 rows x vectors 4 unroll 4 tiles one\n", "line 4"),
            ("mlc-tune 2\nv4 00 rows 6 vectors 4 unroll 4 tiles one\n", "line 2 stands before"),
            ("mlc-tune 2\nprocessor\n", "line 2"),
            ("mlc-tune 2\nprocessor P\nv4\n", "line 3"),
            ("mlc-tune 2\nprocessor P\nv4 00\n", "line 3"),
            ("mlc-tune 2\nprocessor P\nv4 00 rows 6 vectors 4 unroll 4\n", "line 3"),
            ("mlc-tune 2\nprocessor P\nv4 00 rows 6 vectors 4 unroll 4 tiles one fast\n", "line 3"),
            ("mlc-tune 2\nprocessor P\nv4 00 panels 2\n", "line 3"),
        ] {
            let reason = parse(text).err().unwrap_or_default();
            assert!(reason.contains(expected), "{text:?}: {reason}");
        }
    }
}
