//! Float arithmetic and comparisons.

use super::{EmitCx, MulAdd, types};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use mlc_kernel::lane::{Cmp, FBinary, FUnary, V};

impl EmitCx<'_> {
    pub(super) fn float_unary(&mut self, op: FUnary, a: V) -> Value {
        let a = self.get(a);
        match op {
            FUnary::Neg => self.b.ins().fneg(a),
            FUnary::Abs => self.b.ins().fabs(a),
            FUnary::Sqrt => self.b.ins().sqrt(a),
            FUnary::Floor => self.b.ins().floor(a),
            FUnary::Ceil => self.b.ins().ceil(a),
            FUnary::Nearest => self.b.ins().nearest(a),
            FUnary::Trunc => self.b.ins().trunc(a),
        }
    }

    pub(super) fn float_binary(&mut self, op: FBinary, a: V, b: V) -> Value {
        let (x, y) = (self.get(a), self.get(b));
        match op {
            FBinary::Add => self.b.ins().fadd(x, y),
            FBinary::Sub => self.b.ins().fsub(x, y),
            FBinary::Mul => self.b.ins().fmul(x, y),
            FBinary::Div => self.b.ins().fdiv(x, y),
            FBinary::Min => self.float_pick(a, x, y, x, y),
            FBinary::Max => self.float_pick(a, y, x, x, y),
        }
    }

    /// `lesser < greater ? x : y`: in exactly this shape Cranelift makes `minps` or `maxps` of it,
    /// where its own `fmin` and `fmax` are eight instructions.
    fn float_pick(&mut self, like: V, lesser: Value, greater: Value, x: Value, y: Value) -> Value {
        let ty = self.ty(like);
        let below = self.b.ins().fcmp(FloatCC::LessThan, lesser, greater);
        if ty.lanes == 1 {
            return self.b.ins().select(below, x, y);
        }
        let mask = self.b.ins().bitcast(types::vector(ty), types::lane_order(), below);
        self.b.ins().bitselect(mask, x, y)
    }

    pub(super) fn float_mul_add(&mut self, a: V, b: V, c: V) -> Value {
        let (a, b, c) = (self.get(a), self.get(b), self.get(c));
        match self.mul_add {
            MulAdd::Fused => self.b.ins().fma(a, b, c),
            MulAdd::Split => {
                let product = self.b.ins().fmul(a, b);
                self.b.ins().fadd(product, c)
            }
        }
    }

    pub(super) fn float_compare(&mut self, cmp: Cmp, a: V, b: V) -> Value {
        let condition = match cmp {
            Cmp::Eq => FloatCC::Equal,
            Cmp::Ne => FloatCC::NotEqual,
            Cmp::Lt => FloatCC::LessThan,
            Cmp::Le => FloatCC::LessThanOrEqual,
            Cmp::Gt => FloatCC::GreaterThan,
            Cmp::Ge => FloatCC::GreaterThanOrEqual,
        };
        let (a, b) = (self.get(a), self.get(b));
        self.b.ins().fcmp(condition, a, b)
    }
}
