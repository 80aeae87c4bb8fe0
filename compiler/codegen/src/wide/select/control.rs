//! Blocks, loops and conditions.

use super::Address;
use super::emit::{Reg, Src};
use super::{Select, Val};
use crate::wide::assemble::Imm;
use crate::wide::inst::{Cond, Form, GPR};
use mlc_kernel::lane::{Block, Inst, V};
use regalloc2::{RegClass, VReg};
use smallvec::smallvec;

/// The parts of [`Inst::Loop`].
struct Loop<'a> {
    index: V,
    low: V,
    high: V,
    step: i64,
    init: &'a [V],
    params: &'a [V],
    body: &'a Block,
    next: &'a [V],
    results: &'a [V],
}

impl Select<'_> {
    pub(super) fn block(&mut self, block: &Block) {
        for inst in &block.insts {
            self.inst(inst);
        }
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Def { result, op } => {
                let value = self.op(op, *result);
                self.set(*result, value);
                // Where the count is made, so that loops inside find its mask.
                for kind in self.counts.get(result).cloned().unwrap_or_default() {
                    self.counted_lanes(*result, kind);
                }
            }
            Inst::Store { ptr, disp, mem, tail, value } => self.store(*ptr, *disp, *mem, *tail, *value),
            Inst::Prefetch { ptr, disp, write } => self.prefetch(*ptr, *disp, *write),
            Inst::Loop { index, low, high, step, init, params, body, next, results } => {
                let (index, low, high, step) = (*index, *low, *high, *step);
                self.repeat(&Loop { index, low, high, step, init, params, body, next, results });
            }
            Inst::If { condition, then, otherwise } => {
                let condition = self.reg(*condition);
                self.effect(false, 0x85, Reg::Use(condition), Src::Use(condition), Imm::No);
                let [yes, no, done] = [0; 3].map(|_| self.code.block());
                self.branch(Cond::NotEqual, yes, no);
                for (start, block) in [(yes, then), (no, otherwise)] {
                    self.enter(start);
                    self.scoped(|this| this.block(block));
                    self.jump(done, Vec::new());
                }
                self.enter(done);
            }
        }
    }

    /// Goes on in a block, which comes next in memory.
    fn enter(&mut self, block: usize) {
        self.code.order.push(block);
        self.current = block;
    }

    fn jump(&mut self, to: usize, args: Vec<VReg>) {
        self.push(Form::Jump, smallvec![]);
        self.code.blocks[self.current].successors.push((to, args));
    }

    /// Arguments go with jumps alone: a branch has none.
    fn branch(&mut self, condition: Cond, yes: usize, no: usize) {
        self.push(Form::Branch(condition), smallvec![]);
        self.code.blocks[self.current].successors.extend([(yes, Vec::new()), (no, Vec::new())]);
    }

    /// Masks that are made inside are known inside alone.
    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        let known = self.count_masks.clone();
        inside(self);
        self.count_masks = known;
    }

    /// One of two values, by the flags.
    pub(super) fn choice(
        &mut self,
        condition: Cond,
        class: RegClass,
        yes: impl FnOnce(&mut Self) -> VReg,
        no: impl FnOnce(&mut Self) -> VReg,
    ) -> VReg {
        let [first, second, done] = [0; 3].map(|_| self.code.block());
        self.branch(condition, first, second);
        self.enter(first);
        let value = yes(self);
        self.jump(done, vec![value]);
        self.enter(second);
        let value = no(self);
        self.jump(done, vec![value]);
        self.enter(done);
        let result = self.code.register(class);
        self.code.blocks[done].params.push(result);
        result
    }

    /// `then`, if the flags say so.
    pub(super) fn when(&mut self, condition: Cond, then: impl FnOnce(&mut Self)) {
        let [first, second, done] = [0; 3].map(|_| self.code.block());
        self.branch(condition, first, second);
        self.enter(first);
        then(self);
        self.jump(done, Vec::new());
        self.enter(second);
        self.jump(done, Vec::new());
        self.enter(done);
    }

    /// The test is at the latch, so a turn has one branch: `if low < high { do { … } while index < high }`.
    /// Every way to `turn` and `done` has a block of its own, where the allocator's moves have a place.
    fn repeat(&mut self, l: &Loop<'_>) {
        let [first, turn, again, leave, skip, done] = [0; 6].map(|_| self.code.block());
        let init: Vec<VReg> = l.init.iter().map(|&v| self.reg(v)).collect();
        let low = self.reg(l.low);
        let certain = matches!((self.number_of(l.low), self.number_of(l.high)), (Some(low), Some(high)) if low < high);
        if certain {
            self.jump(first, Vec::new());
        } else {
            self.compare(l.low, l.high, true);
            self.branch(Cond::Less, first, skip);
        }
        self.enter(first);
        let with_index =
            |index: VReg, carried: &[VReg]| std::iter::once(index).chain(carried.iter().copied()).collect();
        self.jump(turn, with_index(low, &init));

        self.enter(turn);
        let index = self.code.register(GPR);
        self.code.blocks[turn].params.push(index);
        self.set(l.index, Val::Reg(index));
        self.define(turn, l.params);
        self.scoped(|this| {
            for v in std::iter::once(&l.index).chain(l.params) {
                for kind in this.counts.get(v).cloned().unwrap_or_default() {
                    this.counted_lanes(*v, kind);
                }
            }
            this.block(l.body);
            let next: Vec<VReg> = l.next.iter().map(|&v| this.reg(v)).collect();
            let following = this.following(index, l.step);
            match this.small(l.high) {
                Some(high) => this.compare_number(following, high, true),
                None => {
                    let high = this.reg(l.high);
                    this.effect(true, 0x3b, Reg::Use(following), Src::Use(high), Imm::No);
                }
            }
            this.branch(Cond::Less, again, leave);
            this.enter(again);
            this.jump(turn, with_index(following, &next));
            this.enter(leave);
            this.jump(done, next);
        });
        if !certain {
            self.enter(skip);
            self.jump(done, init);
        }
        self.enter(done);
        self.define(done, l.results);
    }

    fn following(&mut self, index: VReg, step: i64) -> VReg {
        match i32::try_from(step) {
            Ok(disp) => {
                let next = Address { base: index, index: None, disp };
                self.general(true, 0x8d, Reg::Def(GPR), Src::Memory(next), Imm::No)
            }
            Err(_) => {
                let step = self.number(step);
                self.general(true, 0x03, Reg::Reuse(step), Src::Use(index), Imm::No)
            }
        }
    }

    fn define(&mut self, block: usize, values: &[V]) {
        for &v in values {
            let reg = self.code.register(self.class(self.ty(v)));
            self.code.blocks[block].params.push(reg);
            self.set(v, Val::Reg(reg));
        }
    }
}
