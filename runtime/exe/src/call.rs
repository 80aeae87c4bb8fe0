//! Checked calls: of tensors, and of entries that take and return scalars.

use crate::dtype::Dtype;
use crate::error::{Failure, Result};
use crate::instance::{At, CallError, Instance};
use crate::mem::Aligned;
use crate::meta::{Function, Port, Train};
use crate::sizes::shape_of;
use crate::tensor::{Tensor, bytes_at};

/// Bytes of a slot.
const SLOT: usize = 8;

/// Memory for scalar results (or arguments), one slot for each.
#[derive(Debug)]
pub struct Scalars {
    slots: Aligned,
    dtypes: Vec<Dtype>,
    pointers: Vec<*mut u8>,
}

impl Scalars {
    /// For these ports. Fails if one isn't a scalar.
    pub fn new(ports: &[Port]) -> Result<Self> {
        if let Some(port) = ports.iter().find(|p| !p.shape.is_empty()) {
            return Err(Failure::internal(format!("`{}` isn't a scalar", port.text())));
        }
        let slots = Aligned::new(ports.len() * SLOT)?;
        let start = slots.pointer();
        let pointers = (0..ports.len()).map(|i| start.wrapping_add(i * SLOT)).collect();
        Ok(Self { slots, dtypes: ports.iter().map(|p| p.dtype).collect(), pointers })
    }

    /// Where compiled code writes.
    pub fn pointers(&self) -> &[*mut u8] {
        &self.pointers
    }

    /// Scalar `i` as f64; 0 if there is none.
    pub fn get(&self, i: usize) -> f64 {
        let (Some(bytes), Some(dtype)) = (bytes_at::<SLOT>(&self.slots, i), self.dtypes.get(i)) else { return 0.0 };
        let [b0, b1, b2, b3, ..] = bytes;
        match dtype {
            Dtype::F64 => f64::from_le_bytes(bytes),
            Dtype::F32 => f64::from(f32::from_le_bytes([b0, b1, b2, b3])),
            Dtype::I32 => f64::from(i32::from_le_bytes([b0, b1, b2, b3])),
            Dtype::I64 => i64::from_le_bytes(bytes) as f64,
            Dtype::Bool | Dtype::U8 => f64::from(b0),
            Dtype::I8 => f64::from(b0 as i8),
            Dtype::F16 | Dtype::Bf16 => f64::NAN,
        }
    }

    /// All of them.
    pub fn values(&self) -> Vec<f64> {
        (0..self.dtypes.len()).map(|i| self.get(i)).collect()
    }
}

/// Calls an entry whose arguments and results are scalars; the arguments are f64 (or it takes none).
pub fn scalars(instance: &mut Instance<'_>, e: usize, args: &[f64], at: At) -> Result<Vec<f64>> {
    let entry = &instance.meta.entries[e];
    let results = Scalars::new(&entry.results)?;
    let count = entry.args.len();
    if entry.args.iter().any(|p| p.dtype != Dtype::F64 || !p.shape.is_empty()) || count > args.len() {
        return Err(Failure::internal(format!("arguments of `{}`", entry.name)));
    }
    let pointers: Vec<*const u8> = args[..count].iter().map(|x| std::ptr::from_ref(x).cast()).collect();
    let sizes = vec![1; instance.meta.symbols.len()];
    // SAFETY: the arguments are f64 scalars as declared, each result has its slot.
    unsafe { instance.call(e, &sizes, &pointers, results.pointers(), at) }?;
    Ok(results.values())
}

/// Calls an entry whose arguments are f64 scalars and whose results have sizes that are always the same.
pub fn of_scalars(instance: &mut Instance<'_>, e: usize, args: &[f64], at: At) -> Result<Vec<Tensor>> {
    let count = instance.meta.entries[e].args.len();
    let mut tensors = Vec::new();
    for value in &args[..count.min(args.len())] {
        let mut tensor = Tensor::zeros(Dtype::F64, &[])?;
        tensor.data.copy_from_slice(&value.to_le_bytes());
        tensors.push(tensor);
    }
    let sizes = vec![1; instance.meta.symbols.len()];
    let mut found = results(instance, e, &sizes)?;
    self::tensors(instance, e, &sizes, &tensors, &mut found, at)?;
    Ok(found)
}

/// Zeroed memory for the results of an entry.
pub fn results(instance: &Instance<'_>, e: usize, sizes: &[i64]) -> Result<Vec<Tensor>> {
    let ports = &instance.meta.entries[e].results;
    ports.iter().map(|port| Tensor::zeros(port.dtype, &shape_of(port, sizes)?)).collect()
}

/// Calls an entry on tensors, whose types are checked.
pub fn tensors(
    instance: &mut Instance<'_>,
    e: usize,
    sizes: &[i64],
    args: &[Tensor],
    results: &mut [Tensor],
    at: At,
) -> std::result::Result<(), CallError> {
    let entry = &instance.meta.entries[e];
    let fit = |ports: &[Port], tensors: &[Tensor]| -> Result<bool> {
        let mut fit = ports.len() == tensors.len();
        for (port, tensor) in ports.iter().zip(tensors) {
            fit &= port.dtype == tensor.dtype && shape_of(port, sizes)? == tensor.shape;
        }
        Ok(fit)
    };
    if !fit(&entry.args, args)? || !fit(&entry.results, results)? {
        return Err(Failure::internal(format!("types in the call of `{}`", entry.name)).into());
    }
    let args: Vec<*const u8> = args.iter().map(|t| t.data.pointer().cast_const()).collect();
    let results: Vec<*mut u8> = results.iter_mut().map(|t| t.data.pointer()).collect();
    // SAFETY: types and shapes were checked above; results are borrowed mutably and own their memory.
    unsafe { instance.call(e, sizes, &args, &results, at) }
}

/// Cuts results to the lengths that came with them.
pub fn cut(function: &Function, results: &mut [Tensor]) -> Result<()> {
    for length in &function.lengths {
        // The entry has tested that it is no more than the axis.
        let count = results[length.value].number(0).unwrap_or(0.0).max(0.0) as usize;
        results[length.result] = results[length.result].first(length.axis, count)?;
    }
    Ok(())
}

/// One training step on one batch, by the calls that it consists of; where it has several batches, each
/// is this one. Leaves the reports of the last.
pub fn step(
    instance: &mut Instance<'_>,
    train: &Train,
    sizes: &[i64],
    batch: &[Tensor],
    results: &mut [Tensor],
    at: At,
) -> std::result::Result<(), CallError> {
    for n in 1..=train.batches {
        let e = if n == train.batches { train.step } else { train.accumulate.unwrap_or(train.step) };
        let of_batch = At { step: at.step.saturating_mul(train.batches).saturating_add(n - 1), ..at };
        tensors(instance, e, sizes, batch, results, of_batch)?;
    }
    Ok(())
}
