//! A tensor in memory of its own.

use crate::dtype::Dtype;
use crate::error::{Failure, Result};
use crate::mem::Aligned;

/// Elements, row-major, little-endian.
#[derive(Debug)]
pub struct Tensor {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// The elements' bytes: exactly as many as shape and dtype need.
    pub data: Aligned,
}

impl Tensor {
    /// All zero. Fails if memory runs out.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Result<Self> {
        let bytes = bytes_of(dtype, shape)
            .ok_or_else(|| Failure::plain(format!("a tensor {} is beyond any memory", type_text(dtype, shape))))?;
        Ok(Self { dtype, shape: shape.to_vec(), data: Aligned::new(bytes)? })
    }

    /// `f32[2, 3]`
    pub fn type_text(&self) -> String {
        type_text(self.dtype, &self.shape)
    }

    /// Its first `count` coordinates along an axis, at most as many as there are.
    pub fn first(&self, axis: usize, count: usize) -> Result<Self> {
        let Some(&whole) = self.shape.get(axis) else { return Err(Failure::internal("an axis of a result")) };
        let mut shape = self.shape.clone();
        shape[axis] = count.min(whole);
        let mut part = Self::zeros(self.dtype, &shape)?;
        let inner = self.shape[axis + 1..].iter().product::<usize>() * self.dtype.bytes();
        let (from, to) = (whole * inner, shape[axis] * inner);
        if to > 0 {
            for (source, target) in self.data.chunks_exact(from).zip(part.data.chunks_exact_mut(to)) {
                target.copy_from_slice(&source[..to]);
            }
        }
        Ok(part)
    }

    /// Element `i` of an integer or bool tensor.
    pub fn int(&self, i: usize) -> Option<i64> {
        int_at(self.dtype, &self.data, i)
    }

    /// Element `i` of an f32, f64 or i32 tensor as f64.
    pub fn number(&self, i: usize) -> Option<f64> {
        match self.dtype {
            Dtype::F32 => bytes_at(&self.data, i).map(|b| f64::from(f32::from_le_bytes(b))),
            Dtype::F64 => bytes_at(&self.data, i).map(f64::from_le_bytes),
            _ => self.int(i).map(|v| v as f64),
        }
    }
}

/// Bytes of such a tensor; `None` if they are beyond `isize`.
pub fn bytes_of(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let bytes = shape.iter().try_fold(dtype.bytes(), |product, &d| product.checked_mul(d))?;
    // A size 0 may hide a product that is too large, which then can't be used as a stride.
    shape.iter().filter(|&&d| d != 0).try_fold(dtype.bytes(), |product, &d| product.checked_mul(d))?;
    isize::try_from(bytes).ok().map(|_| bytes)
}

/// `f32[2, 3]`
pub fn type_text(dtype: Dtype, shape: &[usize]) -> String {
    if shape.is_empty() {
        return dtype.name().to_owned();
    }
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{}[{}]", dtype.name(), dims.join(", "))
}

/// The `N` bytes of element `i`.
pub fn bytes_at<const N: usize>(data: &[u8], i: usize) -> Option<[u8; N]> {
    let start = i.checked_mul(N)?;
    data.get(start..start.checked_add(N)?)?.try_into().ok()
}

/// Element `i` of integers or bools; `None` for floats or beyond the end.
pub fn int_at(dtype: Dtype, data: &[u8], i: usize) -> Option<i64> {
    match dtype {
        Dtype::Bool | Dtype::U8 => data.get(i).map(|&b| i64::from(b)),
        Dtype::I8 => data.get(i).map(|&b| i64::from(b as i8)),
        Dtype::I32 => bytes_at(data, i).map(|b| i64::from(i32::from_le_bytes(b))),
        Dtype::I64 => bytes_at(data, i).map(i64::from_le_bytes),
        Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 => None,
    }
}
