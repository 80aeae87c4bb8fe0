//! Expressions: scalar as long as nothing in them varies along the lanes, vectors from there on.

use super::address::{Lin, Var};
use super::builder::Memory;
use super::{Emit, mem};
use crate::expr::{Address, Expr, ExprRef, Index};
use crate::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Op, Tail, Ty, V};
use mlc_ir::dim::Dim;
use mlc_ir::index::{Cond, Ix};
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal, UnaryOp};
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
            Expr::Random { distribution, site, seed, step, element } => {
                let (seed, step) = (self.expr(seed), self.expr(step));
                self.random(*distribution, *site, seed, step, element)
            }
        }
    }

    fn literal(&mut self, literal: Literal) -> Val {
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
        let bits = 128 / lanes;
        let number = match (self.b.ty(number).elem, bits) {
            (Elem::I64, 32) => self.b.convert(Convert::I64I32, number),
            (Elem::I32, 64) => self.b.convert(Convert::I32I64, number),
            _ => number,
        };
        let vector_ty = Ty { lanes, ..self.b.ty(number) };
        let vector = self.b.def(Op::Splat(number), vector_ty);
        let zero = self.b.int(vector_ty, 0);
        self.b.def(Op::ICmp(Cmp::Ne, vector, zero), Ty::mask_of(vector_ty))
    }

    fn same_lanes(&mut self, a: V, b: V) -> (V, V) {
        let lanes = self.lanes_of(a).max(self.lanes_of(b));
        (self.widen(a, lanes), self.widen(b, lanes))
    }

    /// As memory holds it: bools as 0 and 1 in an i32 register; spread over lanes for a vector.
    pub(super) fn memory_value(&mut self, value: Val, vector: bool) -> V {
        let v = if value.dtype == DType::Bool { self.mask_number(value.v) } else { value.v };
        if vector { self.widen(v, self.tree.lanes as u8) } else { v }
    }

    /// A mask as 0 and 1 in i32 (i64 in vectors of 64-bit lanes).
    fn mask_number(&mut self, mask: V) -> V {
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

    // ---- positions and conditions

    /// An index expression as an integer of a dtype.
    pub(super) fn position_value(&mut self, ix: &Ix, dtype: DType) -> Val {
        let Some(lin) = self.lin(ix) else { return self.lane_by_lane(&mut |this| this.position_value(ix, dtype)) };
        let base = self.scalar(&Lin { lane: 0, ..lin.clone() });
        let base = self.cast(Val { v: base, dtype: DType::I64 }, dtype);
        if lin.lane == 0 {
            return base;
        }
        let lanes = self.tree.lanes as u8;
        let ty = Ty::new(register(dtype), lanes);
        let offsets = (0..i64::from(lanes))
            .map(|lane| (lane * lin.lane) as u64 & if ty.bits == 32 { u64::from(u32::MAX) } else { u64::MAX });
        let offsets = self.b.def(Op::Const(offsets.collect()), ty);
        let base = self.widen(base.v, lanes);
        Val { v: self.b.def(Op::IBinary(IBinary::Add, base, offsets), ty), dtype }
    }

    fn test(&mut self, conds: &[Cond]) -> Val {
        let mut all: Option<V> = None;
        for cond in conds {
            let (Cond::NotNegative(ix) | Cond::Zero(ix)) = cond;
            let Some(lin) = self.lin(ix).filter(|lin| lin.lane == 0) else {
                return self.lane_by_lane(&mut |this| this.test(conds));
            };
            let value = self.scalar(&lin);
            let zero = self.b.index(0);
            let cmp = if matches!(cond, Cond::Zero(_)) { Cmp::Eq } else { Cmp::Ge };
            let holds = self.b.def(Op::ICmp(cmp, value, zero), Ty::mask_of(super::builder::I64));
            all = Some(match all {
                None => holds,
                Some(all) => self.b.def(Op::MaskAnd(all, holds), self.b.ty(all)),
            });
        }
        match all {
            Some(v) => Val { v, dtype: DType::Bool },
            None => self.literal(Literal::from_i64(DType::Bool, 1)),
        }
    }

    /// Computes a value for each lane by itself and packs the lanes.
    fn lane_by_lane(&mut self, one: &mut dyn FnMut(&mut Self) -> Val) -> Val {
        let Some((var, valid)) = self.vector else { mlc_ir::internal_error("lane", "lanes outside of a vector") };
        let mut parts = Vec::new();
        let mut dtype = DType::F32;
        for lane in 0..self.tree.lanes {
            let lane = self.one_lane(lane, valid);
            self.vars.insert(var, lane);
            let memo = std::mem::take(&mut self.memo);
            let value = one(self);
            self.memo = memo;
            dtype = value.dtype;
            let v = self.memory_value(value, false);
            parts.push(v);
        }
        self.vars.insert(var, Var::Lane);
        let ty = self.b.ty(parts[0]);
        let lanes = self.tree.lanes as u8;
        // Bools travel as integers of the vector's width.
        let (parts, ty) = match (dtype, 128 / u32::from(lanes)) {
            (DType::Bool, 64) => {
                let wide: Vec<V> = parts.into_iter().map(|v| self.b.convert(Convert::I32I64, v)).collect();
                (wide, Ty::new(Elem::I64, 1))
            }
            _ => (parts, ty),
        };
        let v = self.b.def(Op::Pack(parts.into_iter().collect()), Ty { lanes, ..ty });
        self.register_value(v, dtype)
    }

    // ---- loads

    fn load(&mut self, buffer: usize, at: &Address) -> Val {
        match at {
            Address::Linear(ix) => self.load_linear(buffer, ix),
            Address::Axes { index, within, fill } => self.load_axes(buffer, index, within, *fill),
        }
    }

    fn load_linear(&mut self, buffer: usize, ix: &Ix) -> Val {
        match self.lin(ix) {
            Some(lin) if lin.lane == 0 => self.load_at(buffer, &lin, 1),
            Some(lin) if lin.lane == 1 => self.load_at(buffer, &lin, self.tree.lanes as u8),
            _ => self.lane_by_lane(&mut |this| this.load_linear(buffer, ix)),
        }
    }

    fn load_at(&mut self, buffer: usize, lin: &Lin, lanes: u8) -> Val {
        let dtype = self.tree.buffers[buffer].dtype;
        let base = self.base(buffer);
        let address = self.address(base, lin, mem(dtype));
        let tail = if lanes > 1 { self.tail() } else { Tail::Full };
        let memory: Memory = self.memory(buffer);
        let v = self.b.load(address, mem(dtype), lanes, tail, memory);
        self.register_value(v, dtype)
    }

    fn load_axes(&mut self, buffer: usize, index: &[Index], within: &[Cond], fill: Literal) -> Val {
        match self.try_load_axes(buffer, index, within, fill) {
            Some(value) => value,
            None => self.lane_by_lane(&mut |this| match this.try_load_axes(buffer, index, within, fill) {
                Some(value) => value,
                None => mlc_ir::internal_error("lane", "a single element without an address"),
            }),
        }
    }

    /// A load with data indices or conditions: every index is moved into its axis, so that the load is
    /// safe wherever it stands; where a condition fails the fill value is taken instead. `None` if the
    /// lanes need addresses or conditions of their own.
    fn try_load_axes(&mut self, buffer: usize, index: &[Index], within: &[Cond], fill: Literal) -> Option<Val> {
        for cond in within {
            let (Cond::NotNegative(ix) | Cond::Zero(ix)) = cond;
            self.lin(ix).filter(|lin| lin.lane == 0)?;
        }
        let shape = self.tree.buffers[buffer].shape.clone();
        let mut number = Lin::default();
        for (index, size) in index.iter().zip(&shape) {
            let coordinate = self.coordinate(index, size, within)?;
            number = self.times_size(number, size)?.plus(&coordinate, 1);
        }
        let lanes = match number.lane {
            0 => 1,
            1 => self.tree.lanes as u8,
            _ => return None,
        };
        let value = self.load_at(buffer, &number, lanes);
        if within.is_empty() {
            return Some(value);
        }
        let (condition, fill) = (self.test(within), self.literal(fill));
        Some(self.select(condition, value, fill))
    }

    /// An index moved into its axis.
    fn coordinate(&mut self, index: &Index, size: &Dim, within: &[Cond]) -> Option<Lin> {
        let (v, bound) = match index {
            Index::At(ix) => {
                let lin = self.lin(ix)?;
                if lin.lane != 0 || within.is_empty() {
                    return Some(lin);
                }
                (self.scalar(&lin), size)
            }
            Index::Data { value, bound } => {
                let value = self.expr(value);
                if self.lanes_of(value.v) > 1 {
                    return None;
                }
                (self.cast(value, DType::I64).v, bound)
            }
        };
        let (zero, one, bound) = (self.b.index(0), self.b.index(1), self.size(bound));
        let last = self.b.index_op(IBinary::Sub, bound, one);
        let v = self.b.index_op(IBinary::Max, v, zero);
        let v = self.b.index_op(IBinary::Min, v, last);
        Some(self.value_lin(v))
    }

    fn times_size(&mut self, lin: Lin, size: &Dim) -> Option<Lin> {
        if let Some(size) = size.as_const() {
            return Some(Lin::default().plus(&lin, size));
        }
        if lin.lane != 0 {
            return None;
        }
        let (v, size) = (self.scalar(&lin), self.size(size));
        let product = self.b.index_op(IBinary::Mul, v, size);
        Some(self.value_lin(product))
    }

    // ---- operators

    fn unary(&mut self, op: UnaryOp, a: Val) -> Val {
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
            (UnaryOp::Sin, true) => self.through_f64(v, &mut |this, v| this.sin(v)),
            (UnaryOp::Cos, true) => self.through_f64(v, &mut |this, v| this.cos(v)),
            (UnaryOp::Erf, true) => self.through_f64(v, &mut |this, v| this.erf(v)),
            (UnaryOp::Neg, false) => {
                let zero = self.b.int(ty, 0);
                self.wrapped(Op::IBinary(IBinary::Sub, zero, v), ty, dtype)
            }
            (UnaryOp::Abs, false) => {
                let zero = self.b.int(ty, 0);
                let negated = self.b.def(Op::IBinary(IBinary::Sub, zero, v), ty);
                self.b.def(Op::IBinary(IBinary::Max, v, negated), ty)
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

    /// An integer op whose result is a byte for u8.
    fn wrapped(&mut self, op: Op, ty: Ty, dtype: DType) -> V {
        let v = self.b.def(op, ty);
        if dtype != DType::U8 {
            return v;
        }
        let mask = self.b.int(ty, 255);
        self.b.def(Op::IBinary(IBinary::And, v, mask), ty)
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

    fn binary(&mut self, op: BinaryOp, a: Val, b: Val) -> Val {
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
            (BinaryOp::Pow, true) => self.pow_any(a, b),
            (BinaryOp::Add, false) => self.wrapped(Op::IBinary(IBinary::Add, a, b), ty, dtype),
            (BinaryOp::Sub, false) => self.wrapped(Op::IBinary(IBinary::Sub, a, b), ty, dtype),
            (BinaryOp::Mul, false) => self.wrapped(Op::IBinary(IBinary::Mul, a, b), ty, dtype),
            (BinaryOp::Min, false) => self.b.def(Op::IBinary(IBinary::Min, a, b), ty),
            (BinaryOp::Max, false) => self.b.def(Op::IBinary(IBinary::Max, a, b), ty),
            (BinaryOp::FloorDiv | BinaryOp::Div, false) => self.per_lane(IBinary::DivFloor, a, b),
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

    fn compare(&mut self, op: CompareOp, a: Val, b: Val) -> Val {
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
        let c = self.widen(c.v, ty.lanes);
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
            (Elem::F32, DType::I32 | DType::U8) => self.b.convert(Convert::F32I32, v),
            (Elem::F64, DType::I32 | DType::U8) => self.b.convert(Convert::F64I32, v),
            (Elem::F32, DType::I64) => self.b.convert(Convert::F32I64, v),
            (Elem::F64, DType::I64) => self.b.convert(Convert::F64I64, v),
            (Elem::I32, DType::F32) => self.b.convert(Convert::I32F32, v),
            (Elem::I32, DType::F64) => self.b.convert(Convert::I32F64, v),
            (Elem::I64, DType::F32) => self.b.convert(Convert::I64F32, v),
            (Elem::I64, DType::F64) => self.b.convert(Convert::I64F64, v),
            (Elem::I32, DType::I64) => self.b.convert(Convert::I32I64, v),
            (Elem::I64, DType::I32 | DType::U8) => self.b.convert(Convert::I64I32, v),
            (Elem::F32, DType::F32)
            | (Elem::F64, DType::F64)
            | (Elem::I32, DType::I32 | DType::U8)
            | (Elem::I64, DType::I64) => v,
            (_, DType::Bool) | (Elem::Ptr | Elem::Mask, _) => {
                mlc_ir::internal_error("lane", "a conversion of an address or a mask")
            }
        };
        let v = if to == DType::U8 { self.byte(v, from) } else { v };
        Val { v, dtype: to }
    }

    /// An i32 as a byte: saturated from floats, wrapped from integers.
    fn byte(&mut self, v: V, from: DType) -> V {
        let ty = self.b.ty(v);
        let (zero, most) = (self.b.int(ty, 0), self.b.int(ty, 255));
        if !from.is_float() {
            return self.b.def(Op::IBinary(IBinary::And, v, most), ty);
        }
        let v = self.b.def(Op::IBinary(IBinary::Max, v, zero), ty);
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
