//! Run-time integers as sums of values with sizes as factors: what tells that `at + T` lies `T`
//! behind `at`.

use crate::cx::Cx;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Region, Value};
use mlc_ir::ops::Op;
use mlc_ir::scalar::{BinaryOp, UnaryOp};

/// So many nodes are looked at for one form; behind that a value stands for itself.
const MOST_NODES: u32 = 200;

/// `Σ factor · value + constant`
#[derive(Clone, Debug)]
pub(crate) struct Form {
    terms: Vec<(Value, Dim)>,
    constant: Dim,
}

impl From<Dim> for Form {
    fn from(constant: Dim) -> Form {
        Form { terms: Vec::new(), constant }
    }
}

impl Form {
    /// `self + other · factor`; none where a size is too large.
    fn plus(mut self, other: &Form, factor: &Dim) -> Option<Form> {
        for (value, own) in &other.terms {
            let part = own.mul(factor).ok()?;
            match self.terms.iter().position(|(known, _)| known == value) {
                Some(at) => self.terms[at].1 = self.terms[at].1.add(&part).ok()?,
                None => self.terms.push((*value, part)),
            }
        }
        self.terms.retain(|(_, factor)| !factor.is(0));
        self.constant = self.constant.add(&other.constant.mul(factor).ok()?).ok()?;
        Some(self)
    }

    /// `self - other`
    pub fn less(self, other: &Form) -> Option<Form> {
        self.plus(other, &Dim::from(-1))
    }

    /// The size, if no values are left.
    pub fn size(self) -> Option<Dim> {
        self.terms.is_empty().then_some(self.constant)
    }
}

impl Cx<'_> {
    /// An integer scalar of the region under construction as a sum.
    pub fn integer_form(&self, value: Value) -> Option<Form> {
        form(self.entry.builder.region(), value, &mut 0)
    }
}

fn form(region: &Region, value: Value, seen: &mut u32) -> Option<Form> {
    let own = || Some(Form { terms: vec![(value, Dim::one())], constant: Dim::zero() });
    *seen += 1;
    let Some(node) = region.producer(value).filter(|_| *seen < MOST_NODES) else { return own() };
    match &node.op {
        Op::Constant(op) => Some(Form::from(Dim::from(op.value.as_i64()))),
        Op::SizeOf(op) => Some(Form::from(op.size.clone())),
        Op::Unary(op) if op.op == UnaryOp::Neg => Form::from(Dim::zero()).less(&form(region, node.args[0], seen)?),
        Op::Binary(op) => {
            let mut parts = || Some((form(region, node.args[0], seen)?, form(region, node.args[1], seen)?));
            match op.op {
                BinaryOp::Add => parts().and_then(|(a, b)| a.plus(&b, &Dim::one())),
                BinaryOp::Sub => parts().and_then(|(a, b)| a.less(&b)),
                BinaryOp::Mul => {
                    let (a, b) = parts()?;
                    let nothing = Form::from(Dim::zero());
                    match (a.clone().size(), b.clone().size()) {
                        (_, Some(factor)) => nothing.plus(&a, &factor),
                        (Some(factor), None) => nothing.plus(&b, &factor),
                        (None, None) => own(),
                    }
                }
                _ => own(),
            }
        }
        _ => own(),
    }
}
