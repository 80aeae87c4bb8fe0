//! `--in NAME=FILE.npy` and `--in NAME=3`.

use crate::args::Args;
use crate::commands::texts;
use crate::data::vocabulary::Vocabulary;
use crate::dtype::Dtype;
use crate::error::{Failure, INPUT, Result, did_you_mean, list};
use crate::files;
use crate::meta::{Entry, Port};
use crate::npy;
use crate::tensor::Tensor;
use std::path::Path;

/// Inputs by position; `None` where none is given.
pub fn given(args: &Args, entry: &Entry, what: &str, vocabulary: Option<&Vocabulary>) -> Result<Vec<Option<Tensor>>> {
    let (pairs, texts) = (args.pairs("--in")?, args.pairs("--text")?);
    if let Some((twice, _)) = texts.iter().find(|(name, _)| pairs.iter().any(|(other, _)| other == name)) {
        return Err(Failure::usage(format!("`{twice}` is given with `--in` and with `--text`")));
    }
    for (name, _) in pairs.iter().chain(&texts) {
        let names = entry.args.iter().map(|p| p.name.as_str());
        if !names.clone().any(|n| n == name) {
            return Err(Failure::data(INPUT, format!("{what} has no input `{name}`"))
                .note(format!("its inputs are {}", list(names.clone())))
                .help_opt(did_you_mean(name, names)));
        }
    }
    let one = |port: &Port| {
        let find = |all: &[(String, String)]| all.iter().find(|(name, _)| *name == port.name).map(|(_, v)| v.clone());
        match (find(&pairs), find(&texts), vocabulary) {
            (Some(value), _, _) => read(port, &value, what).map(Some),
            (None, Some(text), Some(vocabulary)) => texts::encode(port, &text, vocabulary, what).map(Some),
            _ => Ok(None),
        }
    };
    entry.args.iter().map(one).collect()
}

/// Inputs by position; all must be given.
pub fn all(args: &Args, entry: &Entry, what: &str, vocabulary: Option<&Vocabulary>) -> Result<Vec<Tensor>> {
    let given = given(args, entry, what, vocabulary)?;
    let missing: Vec<&Port> = entry.args.iter().zip(&given).filter(|(_, g)| g.is_none()).map(|(p, _)| p).collect();
    if let [first, ..] = missing[..] {
        let value = if first.shape.is_empty() { "3" } else { "FILE.npy" };
        return Err(Failure::data(INPUT, format!("{what} needs {}", list(missing.iter().map(|p| p.name.as_str()))))
            .note(format!("it takes {}", entry.arguments()))
            .help(format!("give it with `--in {}={value}`", first.name)));
    }
    Ok(given.into_iter().flatten().collect())
}

fn read(port: &Port, value: &str, what: &str) -> Result<Tensor> {
    let literal = value.parse::<f64>().is_ok() || matches!(value, "true" | "false");
    if literal && !Path::new(value).exists() {
        if port.shape.is_empty() {
            return scalar(port, value);
        }
        return Err(Failure::data(
            INPUT,
            format!("`{}` is the number {value}, {what} takes {}", port.name, port.text()),
        ));
    }
    let bytes = files::read(Path::new(value), INPUT)?;
    npy::parse(&bytes).map_err(|why| {
        let failure = Failure::data(INPUT, format!("`{value}` {why}"));
        failure.note(format!("it was given for `{}` of {what}", port.text()))
    })
}

fn scalar(port: &Port, text: &str) -> Result<Tensor> {
    let wrong = || Failure::data(INPUT, format!("`{text}` is no {} for `{}`", port.dtype.name(), port.name));
    let mut tensor = Tensor::zeros(port.dtype, &[])?;
    let int = |lo: i64, hi: i64| text.parse::<i64>().ok().filter(|v| (lo..=hi).contains(v)).ok_or_else(wrong);
    let bytes: Vec<u8> = match port.dtype {
        Dtype::Bool => match text {
            "true" | "1" => vec![1],
            "false" | "0" => vec![0],
            _ => return Err(wrong()),
        },
        Dtype::U8 => vec![int(0, 255)? as u8],
        Dtype::I8 => vec![int(-128, 127)? as u8],
        Dtype::I32 => (int(i64::from(i32::MIN), i64::from(i32::MAX))? as i32).to_le_bytes().to_vec(),
        Dtype::I64 => int(i64::MIN, i64::MAX)?.to_le_bytes().to_vec(),
        Dtype::F32 => text.parse::<f32>().map_err(|_| wrong())?.to_le_bytes().to_vec(),
        Dtype::F64 => text.parse::<f64>().map_err(|_| wrong())?.to_le_bytes().to_vec(),
        Dtype::F16 | Dtype::Bf16 => return Err(wrong().help("give it as an .npy file")),
    };
    tensor.data.copy_from_slice(&bytes);
    Ok(tensor)
}
