//! The call of a C function: what an `extern fn` of a program is.
//!
//! Such a function is taken for a function in the sense of mathematics: equal operands give equal
//! results, and nothing else happens. So calls may be left out, merged and done again, as any node.
//! Nothing else is known of it: it has no index form and no gradient, reads its operands from memory
//! and writes its results there, and no interpreter can run it.

use crate::dim::{Dim, SizeError};
use crate::ops::{Arity, Attribute, Class, InferError, Op, OpInfo, Replace, Types};
use crate::ty::{DType, Type};
use std::sync::Arc;

/// `int32_t symbol(int64_t size…, operand…, result*…)`: scalar operands by value, the others and all
/// results by address. The results of the node are the results and, last, what the function returns:
/// an i32 scalar that is 0 if all went well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// The name of the C function.
    pub symbol: Arc<str>,
    /// Sizes it is told, first of all.
    pub sizes: Vec<Dim>,
    /// Types of the operands.
    pub operands: Vec<Type>,
    /// Types of what it writes.
    pub results: Vec<Type>,
}

impl Foreign {
    /// Result types, if the operands are of the types that the function takes.
    pub fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        if !self.operands.iter().eq(args.iter().copied()) {
            return Err(InferError(format!("the operands are not those of `{}`", self.symbol)));
        }
        Ok(self.results.iter().cloned().chain([Type::scalar(DType::I32)]).collect())
    }

    /// As for [`crate::ops::Primitive::info`].
    pub fn info(&self) -> OpInfo {
        OpInfo {
            name: "foreign",
            class: Class::Foreign,
            doc: "Calls a C function.",
            arity: Arity::Exactly(self.operands.len() as u32),
            tolerance_ulp: 0,
        }
    }

    /// As for [`crate::ops::Primitive::map`].
    pub fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        let mapped = |types: &[Type]| -> Result<Vec<Type>, SizeError> {
            types.iter().map(|ty| Ok(Type::new((with.dtype)(ty.dtype), with.dims(&ty.shape)?))).collect()
        };
        let (operands, results) = (mapped(&self.operands)?, mapped(&self.results)?);
        Ok(Foreign { symbol: self.symbol.clone(), sizes: with.dims(&self.sizes)?, operands, results }.into())
    }

    /// As for [`crate::ops::Primitive::attributes`].
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("symbol", Attribute::Word(self.symbol.to_string())), ("sizes", Attribute::Dims(self.sizes.clone()))]
    }
}
