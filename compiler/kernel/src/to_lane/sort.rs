//! Rows put in order: merge sort of coordinates from runs of one element up, each level from one
//! buffer into the other. Stable, and without a branch on data.

use super::address::Lin;
use super::builder::{I64, Memory, PTR};
use super::{Emit, mem};
use crate::lane::{Cmp, Elem, IBinary, Mem, Op, Shift, Tail, Ty, V};
use mlc_ir::dim::Dim;
use mlc_ir::index::{Ix, SortOrder};

/// Coordinates are i32, so there are no more levels.
const MOST_LEVELS: i64 = 31;

/// What is sorted.
pub(super) struct Row<'a> {
    /// The buffer of the elements.
    pub keys: usize,
    /// The buffer of the coordinates.
    pub into: usize,
    /// One like it.
    pub spare: usize,
    /// The row-major number of the row's first element.
    pub first: &'a Ix,
    /// Elements.
    pub extent: &'a Dim,
    /// Which come first.
    pub order: SortOrder,
}

/// What all levels share.
struct Merge {
    keys: V,
    key: Mem,
    count: V,
    last: V,
    order: SortOrder,
}

/// The front of a run: its place in the row, the coordinate there, and the element of that.
#[derive(Clone, Copy)]
struct Front {
    place: V,
    coordinate: V,
    key: V,
}

impl Emit<'_> {
    pub(super) fn sort(&mut self, row: &Row<'_>) {
        let Some(first) = self.lin(row.first).filter(|lin| lin.lane == 0) else {
            mlc_ir::internal_error("lane", "a row along lanes")
        };
        let key = mem(self.tree.buffers[row.keys].dtype);
        let keys = self.row_start(row.keys, &first, key);
        let (into, spare) = (self.row_start(row.into, &first, Mem::I32), self.row_start(row.spare, &first, Mem::I32));
        let (count, one) = (self.size(row.extent), self.b.index(1));
        let last = self.b.index_op(IBinary::Sub, count, one);
        let merge = Merge { keys, key, count, last, order: row.order };
        let levels = match row.extent.as_const() {
            Some(extent) => (0..MOST_LEVELS).take_while(|level| 1 << level < extent).count() as i64,
            None => MOST_LEVELS,
        };
        // An even number of levels ends where it began.
        let odd = self.levels_are_odd(count, levels);
        let from = self.b.def(Op::Select(odd, spare, into), PTR);
        let to = self.b.def(Op::Select(odd, into, spare), PTR);
        self.count_up(from, count);
        self.levels(&merge, levels, from, to);
        self.memo.clear();
    }

    fn row_start(&mut self, buffer: usize, first: &Lin, mem: Mem) -> V {
        let base = self.base(buffer);
        let (ptr, disp) = self.address(base, first, mem);
        let disp = self.b.index(i64::from(disp));
        self.b.def(Op::PtrAdd(ptr, disp), PTR)
    }

    /// Whether `ceil(log2(count))` is odd.
    fn levels_are_odd(&mut self, count: V, levels: i64) -> V {
        let mut done = self.b.index(0);
        for level in 0..levels {
            let width = self.b.index(1 << level);
            let more = self.b.def(Op::ICmp(Cmp::Lt, width, count), Ty::mask_of(I64));
            let number = self.b.convert(crate::lane::Convert::MaskInt, more);
            done = self.b.def(Op::IBinary(IBinary::Xor, done, number), I64);
        }
        let zero = self.b.index(0);
        self.b.def(Op::ICmp(Cmp::Ne, done, zero), Ty::mask_of(I64))
    }

    /// `0, 1, 2 …`
    fn count_up(&mut self, to: V, count: V) {
        let zero = self.b.index(0);
        let (index, _) = self.b.open_loop(zero, count, Vec::new());
        let number = self.b.convert(crate::lane::Convert::I64I32, index);
        self.store_coordinate(to, index, number);
        self.b.close_loop(Vec::new());
    }

    fn levels(&mut self, merge: &Merge, levels: i64, from: V, to: V) {
        let (zero, one, levels) = (self.b.index(0), self.b.index(1), self.b.index(levels));
        let (_, carried) = self.b.open_loop(zero, levels, vec![one, from, to]);
        let [width, from, to] = carried[..] else { mlc_ir::internal_error("lane", "three values are carried") };
        let twice = self.b.def(Op::Shift(Shift::Left, width, 1), I64);
        let under_way = self.b.def(Op::ICmp(Cmp::Lt, width, merge.count), Ty::mask_of(I64));
        // floor((count + 2 width - 1) / (2 width)) pairs of runs, none where one run is the row.
        let above = self.b.def(Op::IBinary(IBinary::Add, merge.last, twice), I64);
        let pairs = self.b.def(Op::IBinary(IBinary::DivFloor, above, twice), I64);
        let pairs = self.b.def(Op::Select(under_way, pairs, zero), I64);
        let (pair, _) = self.b.open_loop(zero, pairs, Vec::new());
        let low = self.b.def(Op::IBinary(IBinary::Mul, pair, twice), I64);
        let middle = self.bounded(low, width, merge.count);
        let high = self.bounded(middle, width, merge.count);
        self.merge(merge, [low, middle, high], from, to);
        self.b.close_loop(Vec::new());
        let next_from = self.b.def(Op::Select(under_way, to, from), PTR);
        let next_to = self.b.def(Op::Select(under_way, from, to), PTR);
        self.b.close_loop(vec![twice, next_from, next_to]);
    }

    /// `min(a + b, limit)`
    fn bounded(&mut self, a: V, b: V, limit: V) -> V {
        let sum = self.b.def(Op::IBinary(IBinary::Add, a, b), I64);
        self.b.def(Op::IBinary(IBinary::Min, sum, limit), I64)
    }

    /// Two neighbouring runs, from `low` and from `middle`, become one.
    fn merge(&mut self, merge: &Merge, [low, middle, high]: [V; 3], from: V, to: V) {
        let (left, right) = (self.front(merge, from, low), self.front(merge, from, middle));
        let init = [left, right].iter().flat_map(|front| [front.place, front.coordinate, front.key]).collect();
        let (place, carried) = self.b.open_loop(low, high, init);
        let [left_place, left_coordinate, left_key, right_place, right_coordinate, right_key] = carried[..] else {
            mlc_ir::internal_error("lane", "six values are carried")
        };
        let left = Front { place: left_place, coordinate: left_coordinate, key: left_key };
        let right = Front { place: right_place, coordinate: right_coordinate, key: right_key };
        let takes_right = self.takes_right(merge, (left, middle), (right, high));
        let coordinate_ty = Ty::new(Elem::I32, 1);
        let coordinate = self.b.def(Op::Select(takes_right, right.coordinate, left.coordinate), coordinate_ty);
        self.store_coordinate(to, place, coordinate);
        let taken = self.b.def(Op::Select(takes_right, right.place, left.place), I64);
        let one = self.b.index(1);
        let behind = self.b.def(Op::IBinary(IBinary::Add, taken, one), I64);
        let fresh = self.front(merge, from, behind);
        let mut next = Vec::with_capacity(6);
        for (front, moves) in [(left, false), (right, true)] {
            let parts = [
                (front.place, fresh.place, I64),
                (front.coordinate, fresh.coordinate, coordinate_ty),
                (front.key, fresh.key, Ty::new(merge.key.elem(), 1)),
            ];
            for (old, new, ty) in parts {
                let (chosen, other) = if moves { (new, old) } else { (old, new) };
                next.push(self.b.def(Op::Select(takes_right, chosen, other), ty));
            }
        }
        self.b.close_loop(next);
    }

    /// What stands at a place of a run; behind the row's end, the last one.
    fn front(&mut self, merge: &Merge, from: V, place: V) -> Front {
        let within = self.b.def(Op::IBinary(IBinary::Min, place, merge.last), I64);
        let at = self.offset(from, within, Mem::I32);
        let coordinate = self.b.load((at, 0), Mem::I32, 1, Tail::Full, Memory::Written);
        let element = self.b.convert(crate::lane::Convert::I32I64, coordinate);
        let at = self.offset(merge.keys, element, merge.key);
        let key = self.b.load((at, 0), merge.key, 1, Tail::Full, Memory::Written);
        Front { place, coordinate, key }
    }

    fn offset(&mut self, base: V, place: V, mem: Mem) -> V {
        let bytes = self.b.scale(place, mem.bytes());
        self.b.def(Op::PtrAdd(base, bytes), PTR)
    }

    fn store_coordinate(&mut self, to: V, place: V, coordinate: V) {
        let at = self.offset(to, place, Mem::I32);
        self.b.store((at, 0), Mem::I32, Tail::Full, coordinate);
    }

    /// The left run is at its end, or the right one is not and its element comes strictly first.
    fn takes_right(&mut self, merge: &Merge, (left, middle): (Front, V), (right, high): (Front, V)) -> V {
        let mask = Ty::mask_of(I64);
        let left_ends = self.b.def(Op::ICmp(Cmp::Ge, left.place, middle), mask);
        let right_goes_on = self.b.def(Op::ICmp(Cmp::Lt, right.place, high), mask);
        let first = self.precedes(merge, right.key, left.key);
        let first = self.as_wide_mask(first);
        let taken = self.b.def(Op::MaskAnd(right_goes_on, first), mask);
        self.b.def(Op::MaskOr(left_ends, taken), mask)
    }

    /// Whether `a` comes strictly before `b`; NaN is largest.
    fn precedes(&mut self, merge: &Merge, a: V, b: V) -> V {
        let cmp = if merge.order == SortOrder::Ascending { Cmp::Lt } else { Cmp::Gt };
        let ty = self.b.ty(a);
        let mask = Ty::mask_of(ty);
        match ty.elem {
            Elem::F32 | Elem::F64 => {
                let beats = self.b.def(Op::FCmp(cmp, a, b), mask);
                let (number, nan) = if merge.order == SortOrder::Ascending { (a, b) } else { (b, a) };
                let is_nan = self.b.def(Op::FCmp(Cmp::Ne, nan, nan), mask);
                let is_number = self.b.def(Op::FCmp(Cmp::Eq, number, number), mask);
                let by_nan = self.b.def(Op::MaskAnd(is_nan, is_number), mask);
                self.b.def(Op::MaskOr(beats, by_nan), mask)
            }
            Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => self.b.def(Op::ICmp(cmp, a, b), mask),
        }
    }

    /// A scalar mask as a comparison of i64 gives it.
    fn as_wide_mask(&mut self, mask: V) -> V {
        if self.b.ty(mask).bits == 64 {
            return mask;
        }
        let number = self.b.convert(crate::lane::Convert::MaskInt, mask);
        let number = self.b.convert(crate::lane::Convert::I32I64, number);
        let zero = self.b.index(0);
        self.b.def(Op::ICmp(Cmp::Ne, number, zero), Ty::mask_of(I64))
    }
}
