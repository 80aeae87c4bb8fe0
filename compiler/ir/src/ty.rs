//! Types of values: a dtype and a shape of sizes.

use crate::dim::{Dim, SizeError};
use std::fmt;
use std::sync::Arc;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
    /// Signed, wraps on overflow.
    I32,
    /// Signed, wraps on overflow; seeds, counters and indices.
    I64,
    /// One byte, 0 to 255; wraps on overflow.
    U8,
    /// One byte, -128 to 127; wraps on overflow.
    I8,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// As the language writes it.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::Bool => "bool",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> i64 {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F64 | DType::I64 => 8,
            DType::U8 | DType::I8 | DType::Bool => 1,
        }
    }

    /// All of them.
    pub const ALL: [DType; 7] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::I8, DType::Bool];

    /// The least and the greatest number of an integer dtype; 0 and 1 for bool, nothing for floats.
    pub fn integers(self) -> Option<(i64, i64)> {
        match self {
            DType::F32 | DType::F64 => None,
            DType::I32 => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            DType::I64 => Some((i64::MIN, i64::MAX)),
            DType::U8 => Some((0, 255)),
            DType::I8 => Some((-128, 127)),
            DType::Bool => Some((0, 1)),
        }
    }

    /// Whether gradients flow through it.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The sizes of the axes, outermost first; empty for a scalar.
pub type Shape = Vec<Dim>;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What an element is.
    pub dtype: DType,
    /// The sizes of the axes.
    pub shape: Shape,
}

impl Type {
    /// `dtype[shape]`.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// A scalar.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Vec::new() }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn elements(&self) -> Result<Dim, SizeError> {
        Dim::product(&self.shape)
    }

    /// As a user reads it: `f32[B, 28]`, `f32` for a scalar.
    pub fn display(&self, names: &[Arc<str>]) -> String {
        if self.shape.is_empty() {
            return self.dtype.name().to_string();
        }
        let sizes: Vec<String> = self.shape.iter().map(|dim| dim.display(names).to_string()).collect();
        format!("{}[{}]", self.dtype, sizes.join(", "))
    }
}
