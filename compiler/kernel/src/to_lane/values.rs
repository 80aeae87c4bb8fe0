//! Expressions: scalar as long as nothing in them varies along the lanes, vectors from there on.

use super::{Emit, mem};
use crate::expr::{Expr, ExprRef};
use crate::lane::{Cmp, Convert, Elem, Op, Ty, V};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use std::sync::Arc;

/// A value with its dtype; bools are masks.
#[derive(Clone, Copy, Debug)]
pub struct Val {
    /// The register.
    pub v: V,
    /// What it is.
    pub dtype: DType,
}

/// The register element of a dtype in memory form.
pub fn register(dtype: DType) -> Elem {
    mem(dtype).elem()
}

impl Emit<'_> {
    /// The value of an expression.
    pub(super) fn expr(&mut self, expr: &ExprRef) -> Val {
        let key = Arc::as_ptr(expr);
        if let Some(known) = self.memo.get(&key) {
            return *known;
        }
        let value = self.expr_once(expr);
        // Numbers of addresses are only stable while the tree holds them.
        self.memo.insert(key, value);
        value
    }

    fn expr_once(&mut self, expr: &ExprRef) -> Val {
        match &**expr {
            Expr::Literal(literal) => self.literal(*literal),
            Expr::Size(dtype, dim) => {
                let v = self.size(dim);
                self.cast(Val { v, dtype: DType::I64 }, *dtype)
            }
            Expr::Position(dtype, ix) => self.position_value(ix, *dtype),
            Expr::Test(conds) => self.test(conds),
            Expr::Load { buffer, at } => self.load(*buffer, at),
            Expr::Reduced => self.reduced(),
            Expr::BestPosition(dtype) => self.best_position(*dtype),
            Expr::Let(number) => match self.lets.get(number) {
                Some(value) => *value,
                None => mlc_ir::internal_error("lane", "a let is read before it is made"),
            },
            Expr::Unary(op, a) => {
                let a = self.expr(a);
                self.unary(*op, a)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.expr(a), self.expr(b));
                self.binary(*op, a, b)
            }
            Expr::Compare(op, a, b) => {
                let (a, b) = (self.expr(a), self.expr(b));
                self.compare(*op, a, b)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.expr(c), self.expr(a), self.expr(b));
                self.select(c, a, b)
            }
            Expr::Cast(dtype, a) => {
                let a = self.expr(a);
                self.cast(a, *dtype)
            }
            Expr::Random { distribution, site, seed, step, offset, element } => {
                let key = super::random::Key {
                    site: *site,
                    seed: self.expr(seed).v,
                    step: self.expr(step).v,
                    offset: self.expr(offset).v,
                };
                self.random(*distribution, &key, element)
            }
        }
    }

    pub(super) fn literal(&mut self, literal: Literal) -> Val {
        let dtype = literal.dtype;
        if dtype == DType::Bool {
            let ty = Ty::new(Elem::I32, 1);
            let (one, value) = (self.b.int(ty, 1), self.b.int(ty, literal.as_i64()));
            let v = self.b.def(Op::ICmp(Cmp::Eq, value, one), Ty::mask_of(ty));
            return Val { v, dtype };
        }
        let v = match dtype {
            DType::I64 => self.b.index(literal.as_i64()),
            _ => self.b.bits(Ty::new(register(dtype), 1), literal.bits),
        };
        Val { v, dtype }
    }

    pub(super) fn lanes_of(&self, v: V) -> u8 {
        self.b.ty(v).lanes
    }

    /// A value in `lanes` lanes.
    pub(super) fn widen(&mut self, v: V, lanes: u8) -> V {
        let ty = self.b.ty(v);
        if ty.lanes == lanes {
            return v;
        }
        if ty.elem != Elem::Mask {
            return self.b.def(Op::Splat(v), Ty { lanes, ..ty });
        }
        // A scalar mask as a vector of the kernel's width.
        let number = self.b.convert(Convert::MaskInt, v);
        let number = match (self.b.ty(number).elem, self.tree.element_bits) {
            (Elem::I64, 32) => self.b.convert(Convert::I64I32, number),
            (Elem::I32, 64) => self.b.convert(Convert::I32I64, number),
            _ => number,
        };
        let vector_ty = Ty { lanes, ..self.b.ty(number) };
        let vector = self.b.def(Op::Splat(number), vector_ty);
        let zero = self.b.int(vector_ty, 0);
        self.b.def(Op::ICmp(Cmp::Ne, vector, zero), Ty::mask_of(vector_ty))
    }

    /// Two values in equally many lanes; masks of equal width.
    pub(super) fn same_lanes(&mut self, a: V, b: V) -> (V, V) {
        let lanes = self.lanes_of(a).max(self.lanes_of(b));
        let (a, b) = (self.widen(a, lanes), self.widen(b, lanes));
        if self.b.ty(a).elem != Elem::Mask || self.b.ty(a).bits == self.b.ty(b).bits {
            return (a, b);
        }
        (self.narrow_mask(a), self.narrow_mask(b))
    }

    /// A mask for elements of 32 bits: masks of other widths meet in scalar code alone.
    fn narrow_mask(&mut self, mask: V) -> V {
        if self.b.ty(mask).bits == 32 {
            return mask;
        }
        let number = self.mask_number(mask);
        self.register_value(number, DType::Bool).v
    }

    /// As memory holds it: bools as 0 and 1 in an i32 register; spread over lanes for a vector.
    pub(super) fn memory_value(&mut self, value: Val, vector: bool) -> V {
        let v = if value.dtype == DType::Bool { self.mask_number(value.v) } else { value.v };
        if vector { self.widen(v, self.tree.lanes as u8) } else { v }
    }

    /// A mask as 0 and 1 in i32 (i64 in vectors of 64-bit lanes).
    pub(super) fn mask_number(&mut self, mask: V) -> V {
        let number = self.b.convert(Convert::MaskInt, mask);
        if self.b.ty(number) == Ty::new(Elem::I64, 1) { self.b.convert(Convert::I64I32, number) } else { number }
    }

    /// The inverse of [`Emit::memory_value`] for a register that holds an element of memory.
    pub(super) fn register_value(&mut self, v: V, dtype: DType) -> Val {
        if dtype != DType::Bool {
            return Val { v, dtype };
        }
        let ty = self.b.ty(v);
        let zero = self.b.int(ty, 0);
        Val { v: self.b.def(Op::ICmp(Cmp::Ne, v, zero), Ty::mask_of(ty)), dtype }
    }
}
