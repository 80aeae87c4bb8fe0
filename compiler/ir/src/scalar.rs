//! Scalar operators and literals, shared by the elementwise ops and the index forms.

use crate::ty::DType;

/// One argument, same dtype out (but `Not`: bool).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnaryOp {
    /// `-x`; wraps for integers.
    Neg,
    /// `|x|`; wraps for the least integer.
    Abs,
    /// -1, 0 or 1; NaN stays.
    Sign,
    /// Largest integer not above x.
    Floor,
    /// Smallest integer not below x.
    Ceil,
    /// Nearest integer, ties to even.
    Round,
    /// e^x
    Exp,
    /// Natural logarithm; NaN below 0, -inf at 0.
    Log,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Hyperbolic tangent.
    Tanh,
    /// Square root; NaN below 0.
    Sqrt,
    /// Error function.
    Erf,
    /// Negation of a bool.
    Not,
}

/// Two arguments of one dtype, same dtype out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOp {
    /// Sum; wraps for integers.
    Add,
    /// Difference; wraps for integers.
    Sub,
    /// Product; wraps for integers.
    Mul,
    /// Quotient; floats only.
    Div,
    /// Quotient rounded down; integers only. By zero: 0.
    FloorDiv,
    /// Remainder with the divisor's sign. Integer by zero: 0.
    Rem,
    /// a^b; floats only.
    Pow,
    /// The smaller; NaN if either is NaN; at a tie the second operand.
    Min,
    /// The larger; NaN if either is NaN; at a tie the second operand.
    Max,
    /// Both; bool only.
    And,
    /// Either; bool only.
    Or,
}

/// Two arguments of one dtype, bool out. All but `Ne` are false with NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A number of a dtype, by its bits, so that it can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Literal {
    /// What it is.
    pub dtype: DType,
    /// IEEE bits for floats (single in the low half), two's complement for integers
    /// (that of i8 in 32 bits, as in registers), 0 or 1 for bool.
    pub bits: u64,
}

impl Literal {
    /// The nearest value of a float dtype; truncated for integer dtypes; `!= 0` for bool.
    pub fn from_f64(dtype: DType, value: f64) -> Literal {
        let bits = match dtype {
            DType::F32 => u64::from((value as f32).to_bits()),
            DType::F64 => value.to_bits(),
            DType::I32 => (value as i32) as u32 as u64,
            DType::I64 => value as i64 as u64,
            DType::U8 => u64::from(value as u8),
            DType::I8 => u64::from(i32::from(value as i8) as u32),
            DType::Bool => u64::from(value != 0.0),
        };
        Literal { dtype, bits }
    }

    /// The value as an integer dtype, wrapped; the nearest value of a float dtype.
    pub fn from_i64(dtype: DType, value: i64) -> Literal {
        let bits = match dtype {
            DType::F32 | DType::F64 => return Literal::from_f64(dtype, value as f64),
            DType::I32 => value as i32 as u32 as u64,
            DType::I64 => value as u64,
            DType::U8 => u64::from(value as u8),
            DType::I8 => u64::from(i32::from(value as i8) as u32),
            DType::Bool => u64::from(value != 0),
        };
        Literal { dtype, bits }
    }

    /// 0 or false.
    pub fn zero(dtype: DType) -> Literal {
        Literal::from_i64(dtype, 0)
    }

    /// The value; integers beyond 2^53 lose their low bits.
    pub fn as_f64(self) -> f64 {
        match self.dtype {
            DType::F32 => f64::from(f32::from_bits(self.bits as u32)),
            DType::F64 => f64::from_bits(self.bits),
            DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => self.as_i64() as f64,
        }
    }

    /// The value of an integer or bool; floats are truncated.
    pub fn as_i64(self) -> i64 {
        match self.dtype {
            DType::F32 | DType::F64 => self.as_f64() as i64,
            DType::I32 | DType::I8 => i64::from(self.bits as u32 as i32),
            DType::I64 | DType::U8 | DType::Bool => self.bits as i64,
        }
    }
}

/// The distribution of a random draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Distribution {
    /// `[0, 1)`, in steps of 2^-24.
    Uniform,
    /// Mean 0, deviation 1, by Box–Muller.
    Normal,
}
