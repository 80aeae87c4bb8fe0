//! Sizes as numbers, for costs alone: representative values of the symbols.

use crate::dim::Dim;
use crate::graph::Graph;
use crate::ty::Type;

/// What a symbol is taken for where no entry says.
const USUAL: i64 = 32;

/// Representative values of the symbols of a graph: the first that an entry states.
pub struct Typical(Vec<i64>);

impl Typical {
    /// Those of all entries together.
    pub fn of(graph: &Graph) -> Typical {
        let mut values = vec![None; graph.symbols.len()];
        for (sym, value) in graph.entries.iter().flat_map(|entry| &entry.typical) {
            if let Some(slot) = values.get_mut(sym.0 as usize) {
                slot.get_or_insert(*value);
            }
        }
        Typical(values.into_iter().map(|value| value.unwrap_or(USUAL)).collect())
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
