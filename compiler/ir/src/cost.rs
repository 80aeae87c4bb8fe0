//! What passes weigh: sizes at representative values of the symbols, and which ops cost what.

use crate::dim::Dim;
use crate::graph::{Graph, Node, Region, Value};
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

/// Bytes that no cache holds.
const ROOMY: i64 = 16 << 20;

/// How many times its operands a result has to be.
const TIMES: i64 = 4;

/// Whether a contraction is rather done again than its result kept, which is many times its operands and more
/// than caches hold: so few terms take no longer than the way to memory and back. Of such a kind are the scores of
/// attention over long texts.
pub fn is_roomy(region: &Region, node: &Node, typical: &Typical) -> bool {
    let bytes = |values: &[Value]| {
        let of = values.iter().map(|value| typical.bytes(region.ty(*value)));
        of.fold(0, i64::saturating_add)
    };
    let result = bytes(&node.results);
    matches!(node.op, Op::Contract(_)) && result >= ROOMY && result / TIMES >= bytes(&node.args)
}

/// For each value whether it is made element by element of a contraction [that is done again](is_roomy).
pub fn of_roomy(region: &Region, typical: &Typical) -> Vec<bool> {
    let mut found = vec![false; region.values.len()];
    for node in &region.nodes {
        let follows = |arg: &Value| {
            found[arg.index()] && typical.elements(region.ty(*arg)) == typical.elements(region.ty(node.results[0]))
        };
        let roomy = is_roomy(region, node, typical) || is_repeatable(&node.op) && node.args.iter().any(follows);
        node.results.iter().for_each(|result| found[result.index()] = roomy);
    }
    found
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

/// Whether computing it again costs less than storing and loading it.
pub fn is_cheap(op: &Op) -> bool {
    match op.info().class {
        Class::Source | Class::View | Class::Alias => true,
        Class::Elementwise => match op {
            Op::Unary(unary) => matches!(
                unary.op,
                UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Not
            ),
            Op::Binary(binary) => {
                !matches!(binary.op, BinaryOp::Div | BinaryOp::Pow | BinaryOp::Rem | BinaryOp::FloorDiv)
            }
            _ => true,
        },
        Class::Reduce | Class::Contraction | Class::Window | Class::Gather | Class::Scatter | Class::Random => false,
        Class::Loop | Class::Call | Class::Foreign => false,
    }
}
