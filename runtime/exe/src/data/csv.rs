//! Columns of numbers in a text file (RFC 4180: commas, quotes, an optional header).

use crate::data::Wanted;
use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result, did_you_mean, distance};
use crate::order;
use crate::tensor::Tensor;

/// Most names that a message lists.
const LISTED: usize = 20;

/// The wanted columns of a file called `path` in messages.
pub fn parse(bytes: &[u8], path: &str, header: bool, wanted: &[Wanted]) -> Result<Vec<(String, Tensor)>> {
    let text = text(bytes, path)?;
    let mut records = Records { text, path, at: 0, line: 1, line_start: 0 };
    let empty = || Failure::data(DATA, format!("`{path}` has no rows"));
    let mut fields = Vec::new();
    records.next(&mut fields)?.ok_or_else(empty)?;
    let names: Vec<String> = if header {
        fields.iter().map(|f| f.text.trim().to_owned()).collect()
    } else {
        (0..fields.len()).map(|i| format!("x{i}")).collect()
    };
    let picks: Vec<Pick> = wanted.iter().map(|w| pick(w, &names, &fields, path, header)).collect::<Result<_>>()?;
    let mut columns: Vec<Vec<u8>> = vec![Vec::new(); picks.len()];
    let mut rows = 0;
    if header && records.next(&mut fields)?.is_none() {
        return Err(empty());
    }
    loop {
        if fields.len() != names.len() {
            let what = format!("{} instead of {}", count(fields.len()), names.len());
            return Err(records.wrong(&fields[0], &format!("this row has {what}")));
        }
        for (pick, column) in picks.iter().zip(&mut columns) {
            for &i in &pick.fields {
                let field = &fields[i];
                number(&field.text, pick.dtype, column)
                    .map_err(|why| records.wrong(field, &why).note(format!("it is column `{}`", names[i])))?;
            }
        }
        rows += 1;
        if records.next(&mut fields)?.is_none() {
            break;
        }
    }
    let tensor = |(pick, bytes): (&Pick, Vec<u8>)| -> Result<(String, Tensor)> {
        let mut shape = vec![rows];
        if pick.is_list {
            shape.push(pick.fields.len());
        }
        let mut tensor = Tensor::zeros(pick.dtype, &shape)?;
        tensor.data.copy_from_slice(&bytes);
        Ok((pick.name.clone(), tensor))
    };
    picks.iter().zip(columns).map(tensor).collect()
}

fn count(fields: usize) -> String {
    if fields == 1 { "1 field".to_owned() } else { format!("{fields} fields") }
}

/// The file as text, without a byte order mark.
pub fn text<'a>(bytes: &'a [u8], path: &str) -> Result<&'a str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
        let byte = bytes.get(e.valid_up_to()).copied().unwrap_or(0);
        Failure::data(DATA, format!("`{path}` isn't UTF-8 text: byte 0x{byte:02x}"))
            .at(format!("{path}:{line}:{column}"))
    })
}

/// Fields that make up a column.
struct Pick {
    name: String,
    dtype: Dtype,
    fields: Vec<usize>,
    is_list: bool,
}

fn pick(wanted: &Wanted, names: &[String], first: &[Field], path: &str, header: bool) -> Result<Pick> {
    let dtype = wanted.dtype;
    if matches!(dtype, Dtype::Bool | Dtype::F16 | Dtype::Bf16) {
        return Err(Failure::data(DATA, format!("`{path}` has numbers, `{}` is {}", wanted.name, dtype.name())));
    }
    let find = |name: &str| -> Result<Option<usize>> {
        let mut found = names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Failure::data(DATA, format!("`{path}` has two columns `{name}`"))),
            (one, None) => Ok(one),
        }
    };
    let is_list = wanted.row.len() == 1;
    let mut fields = Vec::new();
    if is_list {
        let most = wanted.row[0].unwrap_or(usize::MAX);
        while fields.len() < most {
            let Some(i) = find(&format!("{}{}", wanted.name, fields.len()))? else { break };
            fields.push(i);
        }
        if fields.is_empty() || wanted.row[0].is_some_and(|n| n != fields.len()) {
            let missing = format!("{}{}", wanted.name, fields.len());
            let failure = lacking(path, &missing, names, first, header)
                .note(format!("a list takes the columns `{0}0`, `{0}1`, …", wanted.name));
            let single = names.contains(&wanted.name) && wanted.row[0] == Some(1);
            let help = format!(
                "the column `{0}` is one number of each row: `{0}: {1}[B]` takes it, and `{0}[:, new]` is {1}[B, 1]",
                wanted.name,
                dtype.name()
            );
            return Err(if single { failure.help(help) } else { failure });
        }
    } else {
        fields.push(find(&wanted.name)?.ok_or_else(|| lacking(path, &wanted.name, names, first, header))?);
    }
    Ok(Pick { name: wanted.name.clone(), dtype, fields, is_list })
}

fn lacking(path: &str, name: &str, names: &[String], first: &[Field], header: bool) -> Failure {
    let mut parts = runs(names);
    let far = |run: &[String]| distance(name, run[0].as_str());
    order::sort_by(&mut parts, |a, b| far(a).cmp(&far(b)));
    let left_out: usize = parts.iter().skip(LISTED).map(|run| run.len()).sum();
    let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
    let failure = Failure::data(DATA, format!("`{path}` has no column `{name}`"))
        .note(format!("its columns are {}{more}", listed(&parts[..parts.len().min(LISTED)])))
        .help_opt(did_you_mean(name, names.iter().map(String::as_str)));
    let takes_other = header && !name.ends_with(|c: char| c.is_ascii_digit());
    let failure = match takes_other {
        true => failure.help("a column gets another name by `|> rename(new: \"old\")`"),
        false => failure,
    };
    if header && first.iter().all(|f| f.text.trim().parse::<f64>().is_ok()) {
        return failure.help("if its first line is data, write `header: false`: the columns are then x0, x1, …");
    }
    failure
}

/// The names, with `x0`, `x1`, `x2`, … together.
fn runs(names: &[String]) -> Vec<&[String]> {
    const SHORTEST: usize = 3;
    let mut runs = Vec::new();
    let mut rest = names;
    while let Some(first) = rest.first() {
        let stem = first.strip_suffix('0');
        let count =
            |stem: &str| rest.iter().enumerate().take_while(|(at, name)| **name == format!("{stem}{at}")).count();
        let count = stem.map(count).filter(|count| *count >= SHORTEST).unwrap_or(1);
        let (run, behind) = rest.split_at(count);
        runs.push(run);
        rest = behind;
    }
    runs
}

/// Runs as a message lists them: names in backquotes, and `…` between the ends of a run.
fn listed(runs: &[&[String]]) -> String {
    let shown: Vec<String> = runs
        .iter()
        .map(|run| match run {
            [first, .., last] => format!("`{first}` … `{last}`"),
            _ => run.iter().map(|name| format!("`{name}`")).collect(),
        })
        .collect();
    match shown.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// Appends a number; the error is a phrase.
fn number(text: &str, dtype: Dtype, to: &mut Vec<u8>) -> std::result::Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a number is missing".to_owned());
    }
    let shown = || text.chars().take(40).collect::<String>();
    if dtype.is_float() {
        let value: f64 = text.parse().map_err(|_| format!("`{}` is no number", shown()))?;
        let single = value as f32;
        let overflows = if dtype == Dtype::F32 { single.is_infinite() } else { value.is_infinite() };
        if overflows && text.bytes().any(|b| b.is_ascii_digit()) {
            return Err(format!("{} doesn't fit into {}", shown(), dtype.name()));
        }
        match dtype {
            Dtype::F32 => to.extend(single.to_le_bytes()),
            _ => to.extend(value.to_le_bytes()),
        }
        return Ok(());
    }
    let what = |text: String| {
        if text.parse::<f64>().is_ok() {
            format!("{text} is no whole number that fits into {}", dtype.name())
        } else {
            format!("`{text}` is no number")
        }
    };
    let value: i64 = text.parse().map_err(|_| what(shown()))?;
    let fits = match dtype {
        Dtype::U8 => u8::try_from(value).map(|v| to.push(v)).is_ok(),
        Dtype::I8 => i8::try_from(value).map(|v| to.extend(v.to_le_bytes())).is_ok(),
        Dtype::I32 => i32::try_from(value).map(|v| to.extend(v.to_le_bytes())).is_ok(),
        _ => {
            to.extend(value.to_le_bytes());
            true
        }
    };
    if fits { Ok(()) } else { Err(what(shown())) }
}

/// One value of a row and where it stands.
#[derive(Clone, Debug, Default)]
struct Field {
    text: String,
    line: usize,
    /// Bytes of the file in which its line and itself begin.
    start: (usize, usize),
}

/// The rows of a file, one after another.
struct Records<'a> {
    text: &'a str,
    path: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
}

impl Records<'_> {
    /// Reads the next row that isn't blank into `fields`, whose memory is used again.
    fn next(&mut self, fields: &mut Vec<Field>) -> Result<Option<()>> {
        let bytes = self.text.as_bytes();
        while let Some(b'\n' | b'\r') = bytes.get(self.at) {
            self.newline_or(1);
        }
        if self.at >= bytes.len() {
            return Ok(None);
        }
        let mut filled = 0;
        loop {
            if filled == fields.len() {
                fields.push(Field::default());
            }
            let field = &mut fields[filled];
            field.text.clear();
            (field.line, field.start) = (self.line, (self.line_start, self.at));
            let more = self.field(field)?;
            filled += 1;
            if !more {
                fields.truncate(filled);
                return Ok(Some(()));
            }
        }
    }

    /// Steps over some bytes, the first of which may be a newline.
    fn newline_or(&mut self, step: usize) {
        let is_newline = self.text.as_bytes().get(self.at) == Some(&b'\n');
        self.at += step;
        if is_newline {
            (self.line, self.line_start) = (self.line + 1, self.at);
        }
    }

    /// Reads a field and what ends it; true if it was a comma.
    fn field(&mut self, field: &mut Field) -> Result<bool> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'"') {
            self.quoted(field)?;
        } else {
            let rest = &self.text[self.at..];
            let end = rest.find([',', '\n']).unwrap_or(rest.len());
            field.text.push_str(
                rest[..end].strip_suffix('\r').filter(|_| !rest[end..].starts_with(',')).unwrap_or(&rest[..end]),
            );
            self.at += end;
        }
        match bytes.get(self.at) {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => {
                self.at += 1;
                self.newline_or(1);
                Ok(false)
            }
            Some(b'\n') => {
                self.newline_or(1);
                Ok(false)
            }
            None => Ok(false),
            Some(_) => Err(self.wrong(field, "something follows the closing quote")),
        }
    }

    fn quoted(&mut self, field: &mut Field) -> Result<()> {
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find(['"', '\n']) else {
                return Err(self.wrong(field, "a quote isn't closed"));
            };
            field.text.push_str(&rest[..end]);
            self.at += end;
            if rest[end..].starts_with('\n') {
                field.text.push('\n');
                self.newline_or(1);
            } else if rest[end..].starts_with("\"\"") {
                field.text.push('"');
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(());
            }
        }
    }

    fn wrong(&self, field: &Field, why: &str) -> Failure {
        let column = self.text[field.start.0..field.start.1].chars().count() + 1;
        Failure::data(DATA, why).at(format!("{}:{}:{column}", self.path, field.line))
    }
}
