//! `cnn.dl.tune`: one line for each kernel, `v4 0123456789abcdef rows 6 vectors 4 unroll 4 # …`, under a
//! line with the version of the format.

use super::{Line, Table};
use crate::output;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::{Diagnostic, Severity};
use std::ffi::OsString;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The line that a file begins with, comments apart.
const VERSION: &str = "mlc-tune 1";

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
        Some((number, _)) => return Err(format!("line {number} is not `{VERSION}`")),
        None => return Err(format!("it has no line `{VERSION}`")),
    }
    let mut table = Table::default();
    for (number, line) in lines {
        let wrong = || format!("line {number} is not `LEVEL KERNEL rows R vectors V unroll U`");
        let words = without_comment(line);
        let (level, rest) = words.split_once(' ').ok_or_else(wrong)?;
        let (kernel, knobs) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
        let knobs = knobs.parse().map_err(|_| wrong())?;
        table.insert((level.to_string(), kernel.to_string()), Line { knobs, remark: remark(line) });
    }
    Ok(table)
}

/// The text of a file.
pub fn text(table: &Table, source: &str) -> String {
    let mut text = format!(
        "# How contractions of {source} are run: measured by `mlc build --tune`, read by every compilation.\n\
         # No line changes a result; without the file the compiler estimates.\n\
         {VERSION}\n"
    );
    for ((level, kernel), line) in table.lines() {
        let way = line.knobs.to_string();
        let _ = writeln!(text, "{level} {kernel} {way:<40} # {}", line.remark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "v4 0123456789abcdef rows 6 vectors 4 unroll 4 side_by_side";

    #[test]
    fn what_is_written_is_read() {
        let table = parse(&format!("# of m.dl\n{VERSION}\n\n{LINE} # conv, m.dl:3\nv3 00 rows 1 vectors 2 unroll 1\n"));
        let table = table.unwrap_or_default();
        assert_eq!(table.lines().count(), 2);
        assert_eq!(parse(&text(&table, "m.dl")), Ok(table));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("", "it has no line"),
            ("mlc-tune 2\n", "line 1 is not `mlc-tune 1`"),
            ("# c\nmlc-tune 1\nv4 00 rows x vectors 4 unroll 4\n", "line 3"),
            ("mlc-tune 1\nv4\n", "line 2"),
            ("mlc-tune 1\nv4 00\n", "line 2"),
            ("mlc-tune 1\nv4 00 rows 6 vectors 4 unroll 4 fast\n", "line 2"),
        ] {
            let reason = parse(text).err().unwrap_or_default();
            assert!(reason.contains(expected), "{text:?}: {reason}");
        }
    }
}
