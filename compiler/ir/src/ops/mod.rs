//! The primitive ops: one family, one file, one trait without default methods, one table.
//!
//! A row of the `ops!` table makes the enum [`Op`], the look-up by name, the reference page and the
//! conformance tests. The set is closed under [`Primitive::vjp`]: gradients of gradients need no
//! other op. `Loop` and `Call`, which own regions, stand outside the table (see `region_ops`), and so
//! does `Foreign`, the call of a C function (see `foreign`).
//!
//! Shapes are explicit: no op broadcasts but [`broadcast::Broadcast`], no op converts but
//! [`cast::Cast`].

use crate::autodiff::{Adj, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::Definition;
use crate::scalar::Literal;
use crate::tensor::Tensor;
use crate::ty::{DType, Type};
use smallvec::SmallVec;

/// What a pass may know of an op. Fusion and memory planning read this, never the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// No operands: constants, sizes, positions.
    Source,
    /// One element from the same element of each operand.
    Elementwise,
    /// Elements of one operand (or several, for concat) at other places, or a fill value.
    View,
    /// The same elements in row-major order under another shape.
    Alias,
    /// Puts values over axes together.
    Reduce,
    /// Sums products of two operands over axes.
    Contraction,
    /// Looks at a neighbourhood of each place.
    Window,
    /// Reads places that data names.
    Gather,
    /// Writes or adds into places that data names.
    Scatter,
    /// Draws random numbers.
    Random,
    /// Owns regions, runs one several times.
    Loop,
    /// Owns a region, runs it once.
    Call,
    /// Calls a function that the compiler knows nothing of.
    Foreign,
}

/// The table's facts about an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpInfo {
    /// As dumps write it.
    pub name: &'static str,
    /// What passes may know.
    pub class: Class,
    /// One sentence, with the formula.
    pub doc: &'static str,
    /// Number of operands.
    pub arity: Arity,
    /// How far a compiled result may be from the exact one, in units of the last place of the
    /// largest term; 0: equal bits.
    pub tolerance_ulp: u32,
}

/// How many operands an op takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just so many.
    Exactly(u32),
    /// That many or more.
    AtLeast(u32),
}

/// Why operands do not fit an op. Found by the resolver before a node is added; elsewhere a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferError(pub String);

/// Types of the results of a node.
pub type Types = SmallVec<[Type; 2]>;

/// A sample call for the conformance tests. Sizes are numbers.
#[derive(Clone, Debug)]
pub struct Case {
    /// The op with its attributes.
    pub op: Op,
    /// Operand types.
    pub args: Vec<Type>,
    /// Values for integer and bool operands: `0..bound`, but all there are for i8; floats are drawn from `low..high`.
    pub domain: Domain,
}

/// Where the operands of a [`Case`] are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// Least float.
    pub low: f64,
    /// Greatest float.
    pub high: f64,
    /// One past the greatest integer.
    pub bound: i64,
}

/// What [`Primitive::map`] puts for sizes and dtypes.
pub struct Replace<'a> {
    /// For each size.
    pub dim: &'a dyn Fn(&Dim) -> Result<Dim, SizeError>,
    /// For each dtype, of literals too.
    pub dtype: &'a dyn Fn(DType) -> DType,
}

impl Replace<'_> {
    /// Several sizes.
    pub fn dims(&self, dims: &[Dim]) -> Result<Vec<Dim>, SizeError> {
        dims.iter().map(self.dim).collect()
    }

    /// A literal, under its new dtype.
    pub fn literal(&self, literal: Literal) -> Literal {
        let dtype = (self.dtype)(literal.dtype);
        if dtype == literal.dtype { literal } else { Literal::from_f64(dtype, literal.as_f64()) }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// One size.
    Dim(Dim),
    /// Sizes.
    Dims(Vec<Dim>),
    /// One number.
    Int(i64),
    /// Numbers.
    Ints(Vec<i64>),
    /// Pairs of numbers: padding.
    Pairs(Vec<(i64, i64)>),
    /// A literal.
    Literal(Literal),
    /// A word.
    Word(String),
}

impl Attribute {
    /// An axis, or another position.
    pub fn position(value: usize) -> Attribute {
        Attribute::Int(value as i64)
    }

    /// Axes, or other positions.
    pub fn positions(values: &[usize]) -> Attribute {
        Attribute::Ints(values.iter().map(|value| *value as i64).collect())
    }
}

impl From<SizeError> for InferError {
    fn from(error: SizeError) -> InferError {
        InferError(match error {
            SizeError::Overflow => "a size overflows".into(),
            SizeError::NotExact => "the sizes do not divide".into(),
            SizeError::BadDivisor => "a size is divided by zero or less".into(),
        })
    }
}

/// An op family. No method has a default: a new op answers every question.
pub trait Primitive {
    /// Name, class, documentation, arity, tolerance.
    fn info(&self) -> OpInfo;
    /// Result types from operand types.
    fn infer(&self, args: &[&Type]) -> Result<Types, InferError>;
    /// The reference meaning, on concrete tensors; `results` are the inferred types with numbers for sizes.
    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor>;
    /// Adjoints of the operands from adjoints of the results; builds other ops through `cx`.
    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj>;
    /// The same op with every size and dtype among its attributes replaced.
    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError>;
    /// The attributes by name, as dumps show them.
    fn attributes(&self) -> Vec<(&'static str, Attribute)>;
    /// One element of the results as an index form.
    fn lower(&self, args: &[&Type], results: &[&Type]) -> Definition;
    /// Sample calls, among them the edge cases.
    fn cases() -> Vec<Case>
    where
        Self: Sized;
}

pub mod reference;
mod support;
pub(crate) mod window;

macro_rules! ops {
    ($($module:ident :: $name:ident,)*) => {
        $(pub mod $module;)*

        /// Any op.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($module), "::", stringify!($name), "`].")] $name($module::$name),)*
            /// See [`crate::region_ops::Loop`].
            Loop(crate::region_ops::Loop),
            /// See [`crate::region_ops::Call`].
            Call(crate::region_ops::Call),
            /// See [`crate::foreign::Foreign`].
            Foreign(crate::foreign::Foreign),
        }

        impl Op {
            /// The op as its family; region ops and calls of C functions have none.
            pub fn primitive(&self) -> Option<&dyn Primitive> {
                match self {
                    $(Op::$name(op) => Some(op),)*
                    Op::Loop(_) | Op::Call(_) | Op::Foreign(_) => None,
                }
            }

            /// Name, class, documentation, arity, tolerance.
            pub fn info(&self) -> OpInfo {
                match self {
                    $(Op::$name(op) => op.info(),)*
                    Op::Loop(op) => op.info(),
                    Op::Call(op) => op.info(),
                    Op::Foreign(op) => op.info(),
                }
            }

            /// The same op with every size and dtype among its attributes replaced.
            pub fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
                match self {
                    $(Op::$name(op) => op.map(with),)*
                    Op::Loop(op) => op.map(with),
                    Op::Call(op) => Ok(op.clone().into()),
                    Op::Foreign(op) => op.map(with),
                }
            }

            /// The attributes by name, as dumps show them.
            pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
                match self {
                    $(Op::$name(op) => op.attributes(),)*
                    Op::Loop(op) => op.attributes(),
                    Op::Call(op) => op.attributes(),
                    Op::Foreign(op) => op.attributes(),
                }
            }

            /// The sample calls of all families, in the table's order.
            pub fn cases() -> Vec<Case> {
                let mut cases = Vec::new();
                $(cases.extend($module::$name::cases());)*
                cases
            }
        }

        impl From<crate::region_ops::Loop> for Op {
            fn from(op: crate::region_ops::Loop) -> Op {
                Op::Loop(op)
            }
        }

        impl From<crate::region_ops::Call> for Op {
            fn from(op: crate::region_ops::Call) -> Op {
                Op::Call(op)
            }
        }

        impl From<crate::foreign::Foreign> for Op {
            fn from(op: crate::foreign::Foreign) -> Op {
                Op::Foreign(op)
            }
        }

        $(impl From<$module::$name> for Op {
            fn from(op: $module::$name) -> Op {
                Op::$name(op)
            }
        })*
    };
}

// One family per module.
ops! {
    constant::Constant,
    size::SizeOf,
    iota::Iota,
    unary::Unary,
    binary::Binary,
    compare::Compare,
    select::Select,
    cast::Cast,
    stop_gradient::StopGradient,
    broadcast::Broadcast,
    reshape::Reshape,
    transpose::Transpose,
    slice::Slice,
    pad::Pad,
    reverse::Reverse,
    concat::Concat,
    reduce::Reduce,
    arg_reduce::ArgReduce,
    arg_sort::ArgSort,
    cum_sum::CumSum,
    recur::Recur,
    contract::Contract,
    accumulate::Accumulate,
    conv::Conv,
    window_max::WindowMax,
    window_pick::WindowPick,
    window_unpick::WindowUnpick,
    pack_bits::PackBits,
    unpack_bits::UnpackBits,
    gather::Gather,
    scatter_add::ScatterAdd,
    slice_at::SliceAt,
    update_slice::UpdateSlice,
    random::Random,
}
