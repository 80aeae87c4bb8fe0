//! Pieces of an axis: between them conditions on the axis change, within one they are decided. What a
//! concatenation, a padding or the gradient of a slice is made of then costs no test and no lane of its own.

use crate::expr::{Address, Expr, ExprRef};
use crate::nest::Nest;
use crate::schedule::each_root;
use mlc_ir::index::{AxisId, Cond, Ix, IxAtom};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use std::sync::Arc;

/// A stretch `low..high` of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) axis: AxisId,
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Code for more of them would be long, and each short.
const MOST: usize = 16;

/// The pieces of an axis of constant extent, in order; one if no condition changes along it.
pub(super) fn pieces(nest: &Nest, axis: AxisId, extent: i64) -> Vec<Piece> {
    let mut cuts = vec![0, extent];
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            let conds = match e {
                Expr::Test(conds) | Expr::Load { at: Address::Axes { within: conds, .. }, .. } => conds,
                _ => return,
            };
            cuts.extend(conds.iter().flat_map(|cond| changes(cond, axis)).filter(|at| (1..extent).contains(at)));
        });
    });
    cuts.sort_unstable();
    cuts.dedup();
    let whole = vec![Piece { axis, low: 0, high: extent }];
    if cuts.len() > MOST + 1 {
        return whole;
    }
    cuts.windows(2).map(|pair| Piece { axis, low: pair[0], high: pair[1] }).collect()
}

/// `factor · axis + constant`, if an index is just that.
fn line(ix: &Ix, axis: AxisId) -> Option<(i64, i64)> {
    match ix.terms[..] {
        [(IxAtom::Axis(only), factor)] if only == axis => Some((factor, ix.constant.as_const()?)),
        _ => None,
    }
}

/// Where along the axis a condition changes.
fn changes(cond: &Cond, axis: AxisId) -> Vec<i64> {
    match cond {
        Cond::NotNegative(ix) => match line(ix, axis) {
            // From `ceil(-constant / factor)` on.
            Some((factor @ 1.., constant)) => vec![-constant.div_euclid(factor)],
            // Up to `floor(constant / -factor)`.
            Some((factor, constant)) => vec![constant.div_euclid(-factor) + 1],
            None => Vec::new(),
        },
        Cond::Zero(ix) => match line(ix, axis) {
            Some((factor, constant)) if constant % factor == 0 => {
                let at = -constant / factor;
                vec![at, at + 1]
            }
            _ => Vec::new(),
        },
    }
}

impl Piece {
    /// What a condition is everywhere in the piece, if that is one thing.
    fn decide(self, cond: &Cond) -> Option<bool> {
        let (Cond::NotNegative(ix) | Cond::Zero(ix)) = cond;
        let (factor, constant) = line(ix, self.axis)?;
        let ends = [self.low, self.high - 1].map(|at| factor * at + constant);
        let (least, most) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        match cond {
            Cond::NotNegative(_) if least >= 0 => Some(true),
            Cond::NotNegative(_) if most < 0 => Some(false),
            Cond::Zero(_) if least == 0 && most == 0 => Some(true),
            Cond::Zero(_) if least > 0 || most < 0 => Some(false),
            _ => None,
        }
    }

    /// The conditions that remain; none if one fails.
    fn remaining(self, conds: &[Cond]) -> Option<Vec<Cond>> {
        let mut remaining = Vec::new();
        for cond in conds {
            match self.decide(cond) {
                Some(true) => {}
                Some(false) => return None,
                None => remaining.push(cond.clone()),
            }
        }
        Some(remaining)
    }

    /// An expression as it is in the piece.
    pub(super) fn within(self, expr: &ExprRef) -> ExprRef {
        let decided = expr.rewrite(&mut |e| {
            Some(Arc::new(match e {
                Expr::Test(conds) => match self.remaining(conds) {
                    None => Expr::Literal(truth(false)),
                    Some(rest) if rest.is_empty() => Expr::Literal(truth(true)),
                    Some(rest) => Expr::Test(rest),
                },
                Expr::Load { buffer, at: Address::Axes { index, within, fill } } => match self.remaining(within) {
                    None => Expr::Literal(*fill),
                    // Indices from data have expressions in them, which are left to the walk.
                    Some(rest) if rest.len() < within.len() && index.iter().all(|index| index.data().is_none()) => {
                        Expr::Load {
                            buffer: *buffer,
                            at: Address::Axes { index: index.clone(), within: rest, fill: *fill },
                        }
                    }
                    Some(_) => return None,
                },
                _ => return None,
            }))
        });
        chosen(&decided)
    }
}

fn truth(holds: bool) -> Literal {
    Literal::from_i64(DType::Bool, i64::from(holds))
}

/// The expression with selections by a literal decided.
fn chosen(expr: &ExprRef) -> ExprRef {
    expr.rewrite(&mut |e| {
        let Expr::Select(condition, yes, no) = e else { return None };
        let Expr::Literal(literal) = &**condition else { return None };
        Some(chosen(if *literal == truth(true) { yes } else { no }))
    })
}
