//! What passes weigh: sizes at representative values of the symbols, and which ops cost what.

use crate::dim::Dim;
use crate::graph::Graph;
use crate::ops::{Class, Op};
use crate::scalar::{BinaryOp, UnaryOp};
use crate::ty::Type;

/// What a symbol is taken for where no entry says more than that it may be 1.
const USUAL: i64 = 32;

/// Representative values of the symbols of a graph: the largest that an entry states.
pub struct Typical(Vec<i64>);

impl Typical {
    /// Those of all entries together.
    pub fn of(graph: &Graph) -> Typical {
        let mut values = vec![1; graph.symbols.len()];
        for (sym, value) in graph.entries.iter().flat_map(|entry| &entry.typical) {
            if let Some(most) = values.get_mut(sym.0 as usize) {
                *most = (*most).max(*value);
            }
        }
        Typical(values.into_iter().map(|value| if value > 1 { value } else { USUAL }).collect())
    }

    /// A size.
    pub fn size(&self, dim: &Dim) -> i64 {
        dim.eval(&self.0).unwrap_or(i64::MAX).max(0)
    }

    /// The product of sizes; saturating.
    pub fn product<'a>(&self, dims: impl IntoIterator<Item = &'a Dim>) -> i64 {
        dims.into_iter().fold(1, |product: i64, dim| product.saturating_mul(self.size(dim)))
    }

    /// Elements of a tensor.
    pub fn elements(&self, ty: &Type) -> i64 {
        self.product(&ty.shape)
    }

    /// Bytes of a tensor.
    pub fn bytes(&self, ty: &Type) -> i64 {
        self.elements(ty).saturating_mul(ty.dtype.bytes())
    }
}

/// Whether a node is rather done again than its results kept.
pub fn is_repeatable(op: &Op) -> bool {
    match op.info().class {
        Class::Source | Class::View | Class::Alias | Class::Random | Class::Elementwise => true,
        Class::Reduce | Class::Contraction | Class::Window | Class::Gather | Class::Scatter => false,
        Class::Loop | Class::Call | Class::Foreign => false,
    }
}

/// Elementwise ops of many steps.
pub fn is_dear(op: &Op) -> bool {
    match op {
        Op::Unary(op) => {
            matches!(op.op, UnaryOp::Exp | UnaryOp::Log | UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Tanh | UnaryOp::Erf)
        }
        Op::Binary(op) => matches!(op.op, BinaryOp::Pow),
        _ => false,
    }
}
