//! What is known of a kernel's values before its code is made.

use super::{MaskKind, len_of};
use crate::wide::Isa;
use mlc_kernel::lane::{Block, Elem, Inst, Lane, Mem, Op, Tail, Ty, V};
use mlc_kernel::to_lane::builder::operands;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

pub(super) struct Facts {
    /// How often each value is used.
    pub(super) uses: Vec<u32>,
    /// Loads, and splats of them, that are left to their only use: it stands in the same block, and
    /// nothing is written before it.
    pub(super) deferred: Vec<bool>,
    /// Masks that are made of values which count lanes.
    pub(super) counts: FxHashMap<V, SmallVec<[MaskKind; 1]>>,
}

impl Facts {
    pub(super) fn of(lane: &Lane, isa: Isa) -> Facts {
        let count = lane.types.len();
        let mut facts = Facts { uses: vec![0; count], deferred: vec![false; count], counts: FxHashMap::default() };
        facts.count(lane, isa, &lane.body);
        facts.defer(lane, isa, &lane.body);
        facts
    }

    fn used(&mut self, v: V) {
        self.uses[v.index()] += 1;
    }

    fn count(&mut self, lane: &Lane, isa: Isa, block: &Block) {
        for inst in &block.insts {
            match inst {
                Inst::Def { result, op } => {
                    operands(op).iter().for_each(|&v| self.used(v));
                    if let Op::Load { mem, tail, .. } = op {
                        self.counted(lane, isa, *tail, *mem, *result);
                    }
                }
                Inst::Store { ptr, mem, tail, value, .. } => {
                    self.used(*ptr);
                    self.used(*value);
                    if let Tail::Value(v) = tail {
                        self.used(*v);
                    }
                    self.counted(lane, isa, *tail, *mem, *value);
                }
                Inst::Prefetch { ptr, .. } => self.used(*ptr),
                Inst::Loop { low, high, init, body, next, .. } => {
                    [low, high].into_iter().chain(init).chain(next).for_each(|&v| self.used(v));
                    self.count(lane, isa, body);
                }
                Inst::If { condition, then, otherwise } => {
                    self.used(*condition);
                    self.count(lane, isa, then);
                    self.count(lane, isa, otherwise);
                }
            }
        }
    }

    fn counted(&mut self, lane: &Lane, isa: Isa, tail: Tail, mem: Mem, value: V) {
        let (Tail::Value(count), ty) = (tail, lane.types[value.index()]) else { return };
        let Some(kind) = mask_kind(isa, ty, mem) else { return };
        let kinds = self.counts.entry(count).or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }

    fn defer(&mut self, lane: &Lane, isa: Isa, block: &Block) {
        let mut open: FxHashSet<V> = FxHashSet::default();
        for inst in &block.insts {
            match inst {
                Inst::Def { result, op } => {
                    for v in operands(op) {
                        if open.remove(&v) {
                            self.deferred[v.index()] = true;
                        }
                    }
                    if self.uses[result.index()] == 1 && self.may_wait(lane, isa, op, lane.types[result.index()]) {
                        open.insert(*result);
                    }
                }
                Inst::Store { .. } => open.clear(),
                Inst::Prefetch { .. } => {}
                Inst::Loop { body, .. } => {
                    open.clear();
                    self.defer(lane, isa, body);
                }
                Inst::If { then, otherwise, .. } => {
                    open.clear();
                    self.defer(lane, isa, then);
                    self.defer(lane, isa, otherwise);
                }
            }
        }
    }

    fn may_wait(&self, lane: &Lane, isa: Isa, op: &Op, ty: Ty) -> bool {
        match op {
            Op::Load { mem, tail: Tail::Full, .. } => mem.bytes() != 1 && fills_register(ty),
            Op::Splat(a) => {
                isa == Isa::Avx512 && ty.elem != Elem::Mask && self.deferred[a.index()] && {
                    let from = lane.types[a.index()];
                    matches!(from.elem, Elem::F32 | Elem::F64)
                }
            }
            _ => false,
        }
    }
}

/// A scalar, or a vector whose elements are all of a register.
pub(super) fn fills_register(ty: Ty) -> bool {
    ty.lanes == 1 || i32::from(ty.lanes) * i32::from(ty.bits) / 8 == len_of(ty).bytes()
}

/// The mask of an access by a count; none if it goes element by element.
pub(super) fn mask_kind(isa: Isa, ty: Ty, mem: Mem) -> Option<MaskKind> {
    match isa {
        _ if ty.lanes == 1 => None,
        Isa::Avx512 => Some(MaskKind::Bits),
        Isa::Avx2 if mem.bytes() == 1 => None,
        Isa::Avx2 => Some(MaskKind::Lanes(ty.bits / 8, len_of(ty))),
    }
}
