//! Conversion of data to the declared type: whole numbers to any whole number that holds them or to
//! f32 and f64, f64 to f32, nothing else.

use crate::dtype::Dtype;
use crate::tensor::int_at;

/// Why data can't be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// A phrase.
    pub why: String,
    /// The first element that doesn't fit, if it is about one.
    pub element: Option<usize>,
}

/// May `from` become `to`, and do all elements fit?
pub fn check(from: Dtype, data: &[u8], to: Dtype) -> Result<(), Misfit> {
    if from == to || (from == Dtype::F64 && to == Dtype::F32) {
        return Ok(());
    }
    let whole = |d| matches!(d, Dtype::U8 | Dtype::I8 | Dtype::I32 | Dtype::I64);
    let never = || Err(Misfit { why: format!("{} is not converted to {}", from.name(), to.name()), element: None });
    if !whole(from) {
        return never();
    }
    let (lo, hi) = match to {
        Dtype::F32 | Dtype::F64 | Dtype::I64 => return Ok(()),
        Dtype::U8 => (0, 255),
        Dtype::I8 => (-128, 127),
        Dtype::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Dtype::Bool | Dtype::F16 | Dtype::Bf16 => return never(),
    };
    let count = data.len() / from.bytes();
    let bad = (0..count).find_map(|i| int_at(from, data, i).filter(|v| !(lo..=hi).contains(v)).map(|v| (i, v)));
    match bad {
        Some((i, value)) => Err(Misfit { why: format!("{value} doesn't fit into {}", to.name()), element: Some(i) }),
        None => Ok(()),
    }
}

/// Converts elements as [`check`] allowed; both slices have the same number of them.
pub fn convert(from: Dtype, source: &[u8], to: Dtype, target: &mut [u8]) {
    match from {
        _ if from == to => target.copy_from_slice(source),
        Dtype::U8 => whole(source, to, target, |b: [u8; 1]| i64::from(b[0])),
        Dtype::I8 => whole(source, to, target, |b: [u8; 1]| i64::from(b[0] as i8)),
        Dtype::I32 => whole(source, to, target, |b| i64::from(i32::from_le_bytes(b))),
        Dtype::I64 => whole(source, to, target, i64::from_le_bytes),
        _ => each(source, target, |b| (f64::from_le_bytes(b) as f32).to_le_bytes()),
    }
}

fn whole<const N: usize>(source: &[u8], to: Dtype, target: &mut [u8], read: impl Fn([u8; N]) -> i64) {
    match to {
        Dtype::F32 => each(source, target, |b| (read(b) as f32).to_le_bytes()),
        Dtype::F64 => each(source, target, |b| (read(b) as f64).to_le_bytes()),
        Dtype::I32 => each(source, target, |b| (read(b) as i32).to_le_bytes()),
        Dtype::I64 => each(source, target, |b| read(b).to_le_bytes()),
        _ => each(source, target, |b| [read(b) as u8]),
    }
}

fn each<const N: usize, const M: usize>(source: &[u8], target: &mut [u8], change: impl Fn([u8; N]) -> [u8; M]) {
    let (from, _) = source.as_chunks::<N>();
    let (to, _) = target.as_chunks_mut::<M>();
    for (slot, &element) in to.iter_mut().zip(from) {
        *slot = change(element);
    }
}
