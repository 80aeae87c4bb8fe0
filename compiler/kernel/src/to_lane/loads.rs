//! Positions, conditions and loads: where lanes walk a buffer one load serves them all, else each lane
//! has its own.

use super::address::{Lin, Var};
use super::builder::Memory;
use super::values::{Val, register};
use super::{Emit, mem};
use crate::expr::{Address, ExprRef, Index};
use crate::lane::{Cmp, Convert, Elem, IBinary, Op, Tail, Ty, V};
use mlc_ir::dim::Dim;
use mlc_ir::index::{Combine, Cond, Ix};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;

impl Emit<'_> {
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

    pub(super) fn test(&mut self, conds: &[Cond]) -> Val {
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
    pub(super) fn lane_by_lane(&mut self, one: &mut dyn FnMut(&mut Self) -> Val) -> Val {
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
        let (parts, ty) = match (dtype, self.tree.element_bits) {
            (DType::Bool, 64) => {
                let wide: Vec<V> = parts.into_iter().map(|v| self.b.convert(Convert::I32I64, v)).collect();
                (wide, Ty::new(Elem::I64, 1))
            }
            _ => (parts, ty),
        };
        let v = self.b.def(Op::Pack(parts.into_iter().collect()), Ty { lanes, ..ty });
        self.register_value(v, dtype)
    }

    pub(super) fn load(&mut self, buffer: usize, at: &Address) -> Val {
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

    /// `buffer[index] += value`
    pub(super) fn add_at(&mut self, buffer: usize, index: &[Index], value: &ExprRef) {
        let dtype = self.tree.buffers[buffer].dtype;
        let vector = self.vector.is_some() && self.tree.lanes > 1;
        let value = self.expr(value);
        let value = self.memory_value(value, vector);
        let shape = self.tree.buffers[buffer].shape.clone();
        let mut number = Some(Lin::default());
        for (index, size) in index.iter().zip(&shape) {
            let coordinate = self.coordinate(index, size, &[]);
            let scaled = number.and_then(|number| self.times_size(number, size));
            number = scaled.zip(coordinate).map(|(number, coordinate)| number.plus(&coordinate, 1));
        }
        let Some(number) = number.filter(|number| number.lane == i64::from(vector)) else {
            mlc_ir::internal_error("lane", "terms are added in lanes that lie apart")
        };
        let base = self.base(buffer);
        let address = self.address(base, &number, mem(dtype));
        let tail = if vector { self.tail() } else { Tail::Full };
        let lanes = if vector { self.tree.lanes as u8 } else { 1 };
        let old = self.b.load(address, mem(dtype), lanes, tail, Memory::Written);
        let sum = self.combine(Combine::Sum, dtype, old, value);
        self.b.store(address, mem(dtype), tail, sum);
        self.memo.clear();
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
            Index::Window { start, last, at } => {
                let lin = self.lin(at)?;
                let start = self.window_start(start, last)?;
                let lin = lin.plus(&start, 1);
                if lin.lane != 0 || within.is_empty() {
                    return Some(lin);
                }
                (self.scalar(&lin), size)
            }
        };
        let (zero, one, bound) = (self.b.index(0), self.b.index(1), self.size(bound));
        let last = self.b.index_op(IBinary::Sub, bound, one);
        let v = self.b.index_op(IBinary::Max, v, zero);
        let v = self.b.index_op(IBinary::Min, v, last);
        Some(self.value_lin(v))
    }

    /// Where a window starts; `None` if each lane has its own.
    fn window_start(&mut self, start: &ExprRef, last: &Dim) -> Option<Lin> {
        let start = self.expr(start);
        if self.lanes_of(start.v) > 1 {
            return None;
        }
        let start = self.cast(start, DType::I64).v;
        let (zero, last) = (self.b.index(0), self.size(last));
        let start = self.b.index_op(IBinary::Min, start, last);
        let start = self.b.index_op(IBinary::Max, start, zero);
        Some(self.value_lin(start))
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
}
