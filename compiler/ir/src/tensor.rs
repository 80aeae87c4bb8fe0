//! Concrete tensors of the reference interpreter.
//!
//! Floats are kept as `f64` whatever the dtype; a tensor of f32 holds only values that f32 can
//! represent, so storing rounds once, as a machine does. Integers are kept as `i64`, wrapped into
//! their dtype when stored. Elements are row-major, without gaps.

use crate::scalar::Literal;
use crate::ty::{DType, Type};

/// A concrete tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// What an element is.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: Data,
}

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of f32 and f64.
    Float(Vec<f64>),
    /// Of i32, i64, u8, i8 and bool (0 or 1).
    Int(Vec<i64>),
}

/// `value` as a float dtype keeps it.
pub fn round_to(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F64 => value,
        DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => {
            crate::internal_error("tensor", "a float stored as an integer")
        }
    }
}

/// `value` as an integer dtype keeps it: the low bits; bool is `!= 0`.
pub fn wrap_to(dtype: DType, value: i64) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::I64 => value,
        DType::U8 => i64::from(value as u8),
        DType::I8 => i64::from(value as i8),
        DType::Bool => i64::from(value != 0),
        DType::F32 | DType::F64 => crate::internal_error("tensor", "an integer stored as a float"),
    }
}

impl Tensor {
    /// Floats of a dtype, each rounded to it.
    pub fn floats_of(dtype: DType, shape: &[usize], values: impl IntoIterator<Item = f64>) -> Tensor {
        let data: Vec<f64> = values.into_iter().map(|value| round_to(dtype, value)).collect();
        Tensor { dtype, shape: shape.to_vec(), data: Data::Float(data) }.checked()
    }

    /// Integers of a dtype, each wrapped to it.
    pub fn ints_of(dtype: DType, shape: &[usize], values: impl IntoIterator<Item = i64>) -> Tensor {
        let data: Vec<i64> = values.into_iter().map(|value| wrap_to(dtype, value)).collect();
        Tensor { dtype, shape: shape.to_vec(), data: Data::Int(data) }.checked()
    }

    /// From single-precision numbers.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::floats_of(DType::F32, shape, values.iter().map(|value| f64::from(*value)))
    }

    /// From double-precision numbers.
    pub fn from_f64(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor::floats_of(DType::F64, shape, values.iter().copied())
    }

    /// From 32-bit integers.
    pub fn from_i32(shape: &[usize], values: &[i32]) -> Tensor {
        Tensor::ints_of(DType::I32, shape, values.iter().map(|value| i64::from(*value)))
    }

    /// From 64-bit integers.
    pub fn from_i64(shape: &[usize], values: &[i64]) -> Tensor {
        Tensor::ints_of(DType::I64, shape, values.iter().copied())
    }

    /// From bytes.
    pub fn from_u8(shape: &[usize], values: &[u8]) -> Tensor {
        Tensor::ints_of(DType::U8, shape, values.iter().map(|value| i64::from(*value)))
    }

    /// From signed bytes.
    pub fn from_i8(shape: &[usize], values: &[i8]) -> Tensor {
        Tensor::ints_of(DType::I8, shape, values.iter().map(|value| i64::from(*value)))
    }

    /// From truth values.
    pub fn from_bool(shape: &[usize], values: &[bool]) -> Tensor {
        Tensor::ints_of(DType::Bool, shape, values.iter().map(|value| i64::from(*value)))
    }

    /// The same number everywhere.
    pub fn full(literal: Literal, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        if literal.dtype.is_float() {
            Tensor::floats_of(literal.dtype, shape, std::iter::repeat_n(literal.as_f64(), count))
        } else {
            Tensor::ints_of(literal.dtype, shape, std::iter::repeat_n(literal.as_i64(), count))
        }
    }

    /// Zero everywhere.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
        Tensor::full(Literal::zero(dtype), shape)
    }

    fn checked(self) -> Tensor {
        if self.shape.iter().product::<usize>() != self.len() {
            crate::internal_error("tensor", &format!("{} elements for shape {:?}", self.len(), self.shape));
        }
        self
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floats. Only for float dtypes.
    pub fn floats(&self) -> &[f64] {
        match &self.data {
            Data::Float(values) => values,
            Data::Int(_) => crate::internal_error("tensor", "floats asked of an integer tensor"),
        }
    }

    /// The integers. Only for integer dtypes and bool.
    pub fn ints(&self) -> &[i64] {
        match &self.data {
            Data::Int(values) => values,
            Data::Float(_) => crate::internal_error("tensor", "integers asked of a float tensor"),
        }
    }

    /// The floats as single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        self.floats().iter().map(|value| *value as f32).collect()
    }

    /// The integers as 32 bits.
    pub fn to_i32(&self) -> Vec<i32> {
        self.ints().iter().map(|value| *value as i32).collect()
    }

    /// The integers as bytes.
    pub fn to_u8(&self) -> Vec<u8> {
        self.ints().iter().map(|value| *value as u8).collect()
    }

    /// The type, with numbers for sizes.
    pub fn ty(&self) -> Type {
        Type::new(self.dtype, self.shape.iter().map(|extent| (*extent as i64).into()).collect::<Vec<_>>())
    }

    /// The element with that row-major number.
    pub fn literal(&self, at: usize) -> Literal {
        match &self.data {
            Data::Float(values) => Literal::from_f64(self.dtype, values[at]),
            Data::Int(values) => Literal::from_i64(self.dtype, values[at]),
        }
    }

    /// Replaces the element with that row-major number.
    pub fn set(&mut self, at: usize, value: Literal) {
        match &mut self.data {
            Data::Float(values) => values[at] = value.as_f64(),
            Data::Int(values) => values[at] = value.as_i64(),
        }
    }

    /// The row-major number of the element at `index`.
    pub fn offset(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.shape).fold(0, |offset, (i, extent)| offset * extent + i)
    }

    /// The row-major number of the element at `index`, or `None` outside.
    pub fn offset_within(&self, index: &[i64]) -> Option<usize> {
        let mut offset = 0;
        for (i, extent) in index.iter().zip(&self.shape) {
            if *i < 0 || *i >= *extent as i64 {
                return None;
            }
            offset = offset * extent + *i as usize;
        }
        Some(offset)
    }

    /// A tensor of `shape` whose elements are those of this one that `from` names, or `fill`.
    pub fn pick(&self, shape: &[usize], fill: Literal, mut from: impl FnMut(&[usize]) -> Option<usize>) -> Tensor {
        match &self.data {
            Data::Float(values) => {
                let picked = each_index(shape).map(|at| from(&at).map_or(fill.as_f64(), |from| values[from]));
                Tensor::floats_of(self.dtype, shape, picked)
            }
            Data::Int(values) => {
                let picked = each_index(shape).map(|at| from(&at).map_or(fill.as_i64(), |from| values[from]));
                Tensor::ints_of(self.dtype, shape, picked)
            }
        }
    }

    /// The same elements under another shape.
    pub fn reshaped(&self, shape: &[usize]) -> Tensor {
        Tensor { dtype: self.dtype, shape: shape.to_vec(), data: self.data.clone() }.checked()
    }

    /// The block at `at` along axis 0, without that axis.
    pub fn row(&self, at: usize) -> Tensor {
        let shape = &self.shape[1..];
        let count: usize = shape.iter().product();
        let data = match &self.data {
            Data::Float(values) => Data::Float(values[at * count..(at + 1) * count].to_vec()),
            Data::Int(values) => Data::Int(values[at * count..(at + 1) * count].to_vec()),
        };
        Tensor { dtype: self.dtype, shape: shape.to_vec(), data }
    }

    /// Replaces the block at `at` along axis 0.
    pub fn set_row(&mut self, at: usize, row: &Tensor) {
        let start = at * row.len();
        match (&mut self.data, &row.data) {
            (Data::Float(values), Data::Float(row)) => values[start..start + row.len()].copy_from_slice(row),
            (Data::Int(values), Data::Int(row)) => values[start..start + row.len()].copy_from_slice(row),
            (Data::Float(_), Data::Int(_)) | (Data::Int(_), Data::Float(_)) => {
                crate::internal_error("tensor", "a row of another dtype");
            }
        }
    }

    /// Converted: float to integer truncates and saturates (NaN: 0), integer to integer wraps,
    /// anything to bool is `!= 0`.
    pub fn cast(&self, dtype: DType) -> Tensor {
        match (&self.data, dtype) {
            (Data::Float(values), DType::F32 | DType::F64) => {
                Tensor::floats_of(dtype, &self.shape, values.iter().copied())
            }
            (Data::Float(values), DType::I32) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().map(|value| i64::from(*value as i32)))
            }
            (Data::Float(values), DType::I64) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().map(|value| *value as i64))
            }
            (Data::Float(values), DType::U8) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().map(|value| i64::from(*value as u8)))
            }
            (Data::Float(values), DType::I8) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().map(|value| i64::from(*value as i8)))
            }
            (Data::Float(values), DType::Bool) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().map(|value| i64::from(*value != 0.0)))
            }
            (Data::Int(values), DType::F32) => {
                Tensor::floats_of(dtype, &self.shape, values.iter().map(|value| f64::from(*value as f32)))
            }
            (Data::Int(values), DType::F64) => {
                Tensor::floats_of(dtype, &self.shape, values.iter().map(|value| *value as f64))
            }
            (Data::Int(values), DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool) => {
                Tensor::ints_of(dtype, &self.shape, values.iter().copied())
            }
        }
    }
}

/// All indices of a shape, row-major.
pub fn each_index(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let count: usize = shape.iter().product();
    (0..count).map(move |mut number| {
        let mut index = vec![0; shape.len()];
        for (slot, extent) in index.iter_mut().zip(&shape).rev() {
            *slot = number % extent;
            number /= extent;
        }
        index
    })
}

/// The extents of a type whose sizes are numbers.
pub fn extents(ty: &Type) -> Vec<usize> {
    let number = |dim: &crate::dim::Dim| match dim.as_const() {
        Some(value) if value >= 0 => value as usize,
        Some(_) | None => crate::internal_error("tensor", &format!("{dim:?} is not an extent")),
    };
    ty.shape.iter().map(number).collect()
}
