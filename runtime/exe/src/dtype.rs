//! Element types.

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// `bool`: one byte, 0 or 1.
    Bool,
    /// `u8`
    U8,
    /// `i8`
    I8,
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `f16`
    F16,
    /// `bf16`
    Bf16,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

/// Name in `.dl`, in NumPy's `.npy` (empty if it has none) and in safetensors; bytes.
const TABLE: [(Dtype, &str, &str, &str, usize); 9] = [
    (Dtype::Bool, "bool", "|b1", "BOOL", 1),
    (Dtype::U8, "u8", "|u1", "U8", 1),
    (Dtype::I8, "i8", "|i1", "I8", 1),
    (Dtype::I32, "i32", "<i4", "I32", 4),
    (Dtype::I64, "i64", "<i8", "I64", 8),
    (Dtype::F16, "f16", "<f2", "F16", 2),
    (Dtype::Bf16, "bf16", "", "BF16", 2),
    (Dtype::F32, "f32", "<f4", "F32", 4),
    (Dtype::F64, "f64", "<f8", "F64", 8),
];

impl Dtype {
    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, usize) {
        &TABLE[self as usize]
    }

    /// The type called `name` in `.dl`.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The type that NumPy writes as `descr`.
    pub fn from_npy(descr: &str) -> Option<Self> {
        TABLE.iter().find(|row| !row.2.is_empty() && row.2 == descr).map(|row| row.0)
    }

    /// The type whose name in safetensors files `is` says yes to.
    pub fn from_safetensors(is: impl Fn(&str) -> bool) -> Option<Self> {
        TABLE.iter().find(|row| is(row.3)).map(|row| row.0)
    }

    /// Name in `.dl`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Name in `.npy` files; `None` for bf16, which NumPy lacks.
    pub fn npy(self) -> Option<&'static str> {
        Some(self.row().2).filter(|descr| !descr.is_empty())
    }

    /// Name in safetensors files.
    pub fn safetensors(self) -> &'static str {
        self.row().3
    }

    /// NumPy's own word for it, for messages: `np.float32`.
    pub fn numpy_word(self) -> &'static str {
        match self {
            Self::Bool => "np.bool_",
            Self::U8 => "np.uint8",
            Self::I8 => "np.int8",
            Self::I32 => "np.int32",
            Self::I64 => "np.int64",
            Self::F16 => "np.float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "np.float32",
            Self::F64 => "np.float64",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    /// Floating point?
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}
