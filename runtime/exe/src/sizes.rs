//! From shapes of arguments to size symbols, with every axis checked.

use crate::dtype::Dtype;
use crate::error::{Failure, INPUT, Result};
use crate::meta::{Entry, Meta, Port};
use crate::tensor::type_text;

/// Value of each symbol of the program for arguments of these types; 1 for those that the entry lacks.
/// `what` names what is called, for messages: `function forward`.
pub fn solve(meta: &Meta, entry: &Entry, given: &[(Dtype, &[usize])], what: &str) -> Result<Vec<i64>> {
    for (port, &(dtype, shape)) in entry.args.iter().zip(given) {
        check_kind(port, dtype, shape, what)?;
    }
    let mut sizes = vec![0i64; meta.symbols.len()];
    for solve in &entry.symbols {
        let Some(&extent) = given.get(solve.arg).and_then(|(_, shape)| shape.get(solve.axis)) else { continue };
        let rest = i64::try_from(extent).unwrap_or(i64::MAX).checked_sub(solve.offset);
        let size = rest.filter(|r| r % solve.coef == 0).map(|r| r / solve.coef).filter(|&s| s >= 1);
        let size = size.ok_or_else(|| bad_extent(meta, entry, given, *solve, extent, what))?;
        if sizes[solve.symbol] == 0 {
            sizes[solve.symbol] = size;
        }
    }
    sizes.iter_mut().filter(|s| **s == 0).for_each(|s| *s = 1);
    for (port, &(dtype, shape)) in entry.args.iter().zip(given) {
        check_extents(meta, entry, port, dtype, shape, &sizes, what)?;
    }
    Ok(sizes)
}

/// The size that a symbol is a part of, and which: `H/16` is a sixteenth of `H`, a multiple of 16.
pub fn whole(symbol: &str) -> (&str, i64) {
    match symbol.split_once('/').and_then(|(name, part)| Some((name, part.parse().ok()?))) {
        Some((name, part)) if part > 0 => (name, part),
        _ => (symbol, 1),
    }
}

/// Shape of a port for these sizes.
pub fn shape_of(port: &Port, sizes: &[i64]) -> Result<Vec<usize>> {
    let dims: Option<Vec<usize>> =
        port.shape.iter().map(|d| d.eval(sizes).and_then(|n| usize::try_from(n).ok())).collect();
    dims.ok_or_else(|| Failure::plain(format!("`{}` is too large for these sizes", port.text())))
}

fn check_kind(port: &Port, dtype: Dtype, shape: &[usize], what: &str) -> Result<()> {
    let wrong = |why: &str| mismatch(port, dtype, shape, what, why);
    if dtype != port.dtype {
        return Err(
            wrong("another type of elements").help(format!("in NumPy: `x.astype({})`", port.dtype.numpy_word()))
        );
    }
    if shape.len() != port.shape.len() {
        return Err(wrong(&format!("{} instead of {}", axes(shape.len()), axes(port.shape.len()))));
    }
    Ok(())
}

fn axes(n: usize) -> String {
    if n == 1 { "1 axis".to_owned() } else { format!("{n} axes") }
}

fn mismatch(port: &Port, dtype: Dtype, shape: &[usize], what: &str, why: &str) -> Failure {
    Failure::data(INPUT, format!("`{}` is {}, {what} takes {}", port.name, type_text(dtype, shape), port.text()))
        .note(why.to_owned())
}

fn bad_extent(
    meta: &Meta,
    entry: &Entry,
    given: &[(Dtype, &[usize])],
    solve: crate::meta::Solve,
    extent: usize,
    what: &str,
) -> Failure {
    let port = &entry.args[solve.arg];
    let (dtype, shape) = given[solve.arg];
    let (symbol, part) = meta.symbols.get(solve.symbol).map_or(("a size", 1), |symbol| whole(symbol));
    let text = &port.shape[solve.axis].text;
    let why = if extent == 0 {
        format!("axis {} is empty; {symbol} must be at least 1", solve.axis)
    } else if part > 1 && text == symbol {
        format!("axis {} is {extent}, and {symbol} must be a multiple of {part}", solve.axis)
    } else {
        format!("axis {} is {extent}, but {text} for no {symbol} of at least {part}", solve.axis)
    };
    mismatch(port, dtype, shape, what, &why)
}

fn check_extents(
    meta: &Meta,
    entry: &Entry,
    port: &Port,
    dtype: Dtype,
    shape: &[usize],
    sizes: &[i64],
    what: &str,
) -> Result<()> {
    for (axis, (dim, &extent)) in port.shape.iter().zip(shape).enumerate() {
        let wanted = dim.eval(sizes);
        if wanted == i64::try_from(extent).ok() && extent > 0 {
            continue;
        }
        let mut why = match wanted {
            Some(n) if dim.number().is_none() => format!("axis {axis} is {extent}, but {} is {n}", dim.text),
            _ => format!("axis {axis} is {extent} instead of {}", dim.text),
        };
        for solve in entry.symbols.iter().filter(|s| dim.number().is_none() && entry.args[s.arg].name != port.name) {
            let (symbol, part) = meta.symbols.get(solve.symbol).map_or(("", 1), |symbol| whole(symbol));
            let size = sizes[solve.symbol].saturating_mul(part);
            why.push_str(&format!("\n{symbol} = {size}, from `{}`", entry.args[solve.arg].name));
        }
        return Err(mismatch(port, dtype, shape, what, &why));
    }
    Ok(())
}
