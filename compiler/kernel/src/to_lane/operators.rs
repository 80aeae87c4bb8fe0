//! Operators and conversions, by dtype.

use super::Emit;
use super::values::Val;
use crate::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Op, Shift, Ty, V};
use mlc_ir::scalar::{BinaryOp, CompareOp, UnaryOp};
use mlc_ir::ty::DType;

impl Emit<'_> {
    pub(super) fn unary(&mut self, op: UnaryOp, a: Val) -> Val {
        let Val { v, dtype } = a;
        let ty = self.b.ty(v);
        let float = |op| Op::FUnary(op, v);
        let v = match (op, dtype.is_float()) {
            (UnaryOp::Not, _) => self.b.def(Op::MaskNot(v), ty),
            (UnaryOp::Neg, true) => self.b.def(float(FUnary::Neg), ty),
            (UnaryOp::Abs, true) => self.b.def(float(FUnary::Abs), ty),
            (UnaryOp::Floor, true) => self.b.def(float(FUnary::Floor), ty),
            (UnaryOp::Ceil, true) => self.b.def(float(FUnary::Ceil), ty),
            (UnaryOp::Round, true) => self.b.def(float(FUnary::Nearest), ty),
            (UnaryOp::Sqrt, true) => self.b.def(float(FUnary::Sqrt), ty),
            (UnaryOp::Sign, true) => self.float_sign(v),
            (UnaryOp::Exp, true) => self.exp(v),
            (UnaryOp::Log, true) => self.log(v),
            (UnaryOp::Tanh, true) => self.tanh(v),
            (UnaryOp::Sin, true) => self.sin(v),
            (UnaryOp::Cos, true) => self.cos(v),
            (UnaryOp::Erf, true) => self.erf(v),
            (UnaryOp::Neg, false) => {
                let zero = self.b.int(ty, 0);
                self.wrapped(Op::IBinary(IBinary::Sub, zero, v), ty, dtype)
            }
            (UnaryOp::Abs, false) => {
                let zero = self.b.int(ty, 0);
                let negated = self.b.def(Op::IBinary(IBinary::Sub, zero, v), ty);
                self.wrapped(Op::IBinary(IBinary::Max, v, negated), ty, dtype)
            }
            (UnaryOp::Sign, false) => {
                let (one, minus_one) = (self.b.int(ty, 1), self.b.int(ty, -1));
                let low = self.b.def(Op::IBinary(IBinary::Max, v, minus_one), ty);
                self.b.def(Op::IBinary(IBinary::Min, low, one), ty)
            }
            (UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round, false) => v,
            (
                UnaryOp::Exp
                | UnaryOp::Log
                | UnaryOp::Sin
                | UnaryOp::Cos
                | UnaryOp::Tanh
                | UnaryOp::Sqrt
                | UnaryOp::Erf,
                false,
            ) => mlc_ir::internal_error("lane", "a float function of an integer"),
        };
        Val { v, dtype }
    }

    /// An integer op whose result is a byte for u8 and i8.
    fn wrapped(&mut self, op: Op, ty: Ty, dtype: DType) -> V {
        let v = self.b.def(op, ty);
        self.low_byte(v, dtype)
    }

    /// What memory would give back of a register, for dtypes that are narrower than their registers.
    pub(super) fn low_byte(&mut self, v: V, dtype: DType) -> V {
        let ty = self.b.ty(v);
        match dtype {
            DType::U8 => {
                let mask = self.b.int(ty, 255);
                self.b.def(Op::IBinary(IBinary::And, v, mask), ty)
            }
            DType::I8 => {
                let high = self.b.def(Op::Shift(Shift::Left, v, 24), ty);
                self.b.def(Op::Shift(Shift::RightS, high, 24), ty)
            }
            DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::Bool => v,
        }
    }

    fn float_sign(&mut self, v: V) -> V {
        let ty = self.b.ty(v);
        let mask = Ty::mask_of(ty);
        let (zero, one, minus_one) = (self.b.float(ty, 0.0), self.b.float(ty, 1.0), self.b.float(ty, -1.0));
        let (above, below) =
            (self.b.def(Op::FCmp(Cmp::Gt, v, zero), mask), self.b.def(Op::FCmp(Cmp::Lt, v, zero), mask));
        // What is neither above nor below is 0 or NaN and stays.
        let v = self.b.def(Op::Select(above, one, v), ty);
        self.b.def(Op::Select(below, minus_one, v), ty)
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: Val, b: Val) -> Val {
        let dtype = a.dtype;
        let (a, b) = self.same_lanes(a.v, b.v);
        let ty = self.b.ty(a);
        let float = |op| Op::FBinary(op, a, b);
        let v = match (op, dtype.is_float()) {
            (BinaryOp::And, _) => self.b.def(Op::MaskAnd(a, b), ty),
            (BinaryOp::Or, _) => self.b.def(Op::MaskOr(a, b), ty),
            (BinaryOp::Add, true) => self.b.def(float(FBinary::Add), ty),
            (BinaryOp::Sub, true) => self.b.def(float(FBinary::Sub), ty),
            (BinaryOp::Mul, true) => self.b.def(float(FBinary::Mul), ty),
            (BinaryOp::Div, true) => self.b.def(float(FBinary::Div), ty),
            (BinaryOp::Min, true) => self.extreme(FBinary::Min, a, b),
            (BinaryOp::Max, true) => self.extreme(FBinary::Max, a, b),
            (BinaryOp::Rem, true) => self.float_rem(a, b),
            (BinaryOp::FloorDiv, true) => {
                let quotient = self.b.def(float(FBinary::Div), ty);
                self.b.def(Op::FUnary(FUnary::Floor, quotient), ty)
            }
            (BinaryOp::Pow, true) => self.pow(a, b),
            (BinaryOp::Add, false) => self.wrapped(Op::IBinary(IBinary::Add, a, b), ty, dtype),
            (BinaryOp::Sub, false) => self.wrapped(Op::IBinary(IBinary::Sub, a, b), ty, dtype),
            (BinaryOp::Mul, false) => self.wrapped(Op::IBinary(IBinary::Mul, a, b), ty, dtype),
            (BinaryOp::Min, false) => self.b.def(Op::IBinary(IBinary::Min, a, b), ty),
            (BinaryOp::Max, false) => self.b.def(Op::IBinary(IBinary::Max, a, b), ty),
            (BinaryOp::FloorDiv | BinaryOp::Div, false) => {
                let quotient = self.per_lane(IBinary::DivFloor, a, b);
                // -128 / -1 is beyond i8.
                self.low_byte(quotient, dtype)
            }
            (BinaryOp::Rem, false) => self.per_lane(IBinary::ModFloor, a, b),
            (BinaryOp::Pow, false) => mlc_ir::internal_error("lane", "an integer power"),
        };
        Val { v, dtype }
    }

    /// A scalar op on each lane.
    fn per_lane(&mut self, op: IBinary, a: V, b: V) -> V {
        let ty = self.b.ty(a);
        if ty.lanes == 1 {
            return self.b.def(Op::IBinary(op, a, b), ty);
        }
        let scalar = Ty { lanes: 1, ..ty };
        let parts = (0..ty.lanes).map(|lane| {
            let (a, b) = (self.b.def(Op::Extract(a, lane), scalar), self.b.def(Op::Extract(b, lane), scalar));
            self.b.def(Op::IBinary(op, a, b), scalar)
        });
        let parts = parts.collect();
        self.b.def(Op::Pack(parts), ty)
    }

    /// `a - b·floor(a / b)`, with the divisor's sign.
    fn float_rem(&mut self, a: V, b: V) -> V {
        let ty = self.b.ty(a);
        let quotient = self.b.def(Op::FBinary(FBinary::Div, a, b), ty);
        let floor = self.b.def(Op::FUnary(FUnary::Floor, quotient), ty);
        let floor = self.negated(floor);
        self.b.def(Op::MulAdd(floor, b, a), ty)
    }

    pub(super) fn compare(&mut self, op: CompareOp, a: Val, b: Val) -> Val {
        let dtype = a.dtype;
        let (a, b) = if dtype == DType::Bool { (self.mask_number(a.v), self.mask_number(b.v)) } else { (a.v, b.v) };
        let (a, b) = self.same_lanes(a, b);
        let cmp = match op {
            CompareOp::Eq => Cmp::Eq,
            CompareOp::Ne => Cmp::Ne,
            CompareOp::Lt => Cmp::Lt,
            CompareOp::Le => Cmp::Le,
            CompareOp::Gt => Cmp::Gt,
            CompareOp::Ge => Cmp::Ge,
        };
        let op = if dtype.is_float() { Op::FCmp(cmp, a, b) } else { Op::ICmp(cmp, a, b) };
        Val { v: self.b.def(op, Ty::mask_of(self.b.ty(a))), dtype: DType::Bool }
    }

    pub(super) fn select(&mut self, c: Val, a: Val, b: Val) -> Val {
        let dtype = a.dtype;
        let (mut x, mut y) = self.same_lanes(a.v, b.v);
        let lanes = self.lanes_of(c.v);
        if lanes > 1 {
            (x, y) = (self.widen(x, lanes), self.widen(y, lanes));
        }
        let ty = self.b.ty(x);
        if dtype != DType::Bool {
            return Val { v: self.b.def(Op::Select(c.v, x, y), ty), dtype };
        }
        let (c, x) = self.same_lanes(c.v, x);
        let (c, y) = self.same_lanes(c, y);
        let ty = self.b.ty(c);
        let taken = self.b.def(Op::MaskAnd(c, x), ty);
        let not = self.b.def(Op::MaskNot(c), self.b.ty(c));
        let other = self.b.def(Op::MaskAnd(not, y), ty);
        Val { v: self.b.def(Op::MaskOr(taken, other), ty), dtype }
    }

    /// A conversion to a dtype.
    pub(super) fn cast(&mut self, value: Val, to: DType) -> Val {
        let from = value.dtype;
        if from == to {
            return value;
        }
        if to == DType::Bool {
            return self.truth(value);
        }
        let v = if from == DType::Bool { self.mask_number(value.v) } else { value.v };
        let source = self.b.ty(v).elem;
        let v = match (source, to) {
            (Elem::F32, DType::F64) => self.b.convert(Convert::F32F64, v),
            (Elem::F64, DType::F32) => self.b.convert(Convert::F64F32, v),
            (Elem::F32, DType::I32 | DType::U8 | DType::I8) => self.b.convert(Convert::F32I32, v),
            (Elem::F64, DType::I32 | DType::U8 | DType::I8) => self.b.convert(Convert::F64I32, v),
            (Elem::F32, DType::I64) => self.b.convert(Convert::F32I64, v),
            (Elem::F64, DType::I64) => self.b.convert(Convert::F64I64, v),
            (Elem::I32, DType::F32) => self.b.convert(Convert::I32F32, v),
            (Elem::I32, DType::F64) => self.b.convert(Convert::I32F64, v),
            (Elem::I64, DType::F32) => self.b.convert(Convert::I64F32, v),
            (Elem::I64, DType::F64) => self.b.convert(Convert::I64F64, v),
            (Elem::I32, DType::I64) => self.b.convert(Convert::I32I64, v),
            (Elem::I64, DType::I32 | DType::U8 | DType::I8) => self.b.convert(Convert::I64I32, v),
            (Elem::F32, DType::F32)
            | (Elem::F64, DType::F64)
            | (Elem::I32, DType::I32 | DType::U8 | DType::I8)
            | (Elem::I64, DType::I64) => v,
            (_, DType::Bool) | (Elem::Ptr | Elem::Mask, _) => {
                mlc_ir::internal_error("lane", "a conversion of an address or a mask")
            }
        };
        let v = if matches!(to, DType::U8 | DType::I8) { self.byte(v, from, to) } else { v };
        Val { v, dtype: to }
    }

    /// An i32 as a byte: saturated from floats, wrapped from integers.
    fn byte(&mut self, v: V, from: DType, to: DType) -> V {
        let Some((least, most)) = to.integers().filter(|_| from.is_float()) else { return self.low_byte(v, to) };
        let ty = self.b.ty(v);
        let (least, most) = (self.b.int(ty, least), self.b.int(ty, most));
        let v = self.b.def(Op::IBinary(IBinary::Max, v, least), ty);
        self.b.def(Op::IBinary(IBinary::Min, v, most), ty)
    }

    fn truth(&mut self, value: Val) -> Val {
        let ty = self.b.ty(value.v);
        let op = if value.dtype.is_float() {
            Op::FCmp(Cmp::Ne, value.v, self.b.float(ty, 0.0))
        } else {
            Op::ICmp(Cmp::Ne, value.v, self.b.int(ty, 0))
        };
        Val { v: self.b.def(op, Ty::mask_of(ty)), dtype: DType::Bool }
    }
}
