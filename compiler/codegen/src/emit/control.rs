//! Blocks, loops and conditions.

use super::{EmitCx, types};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block as ClifBlock, BlockArg, InstBuilder, Value, types as clif};
use mlc_kernel::lane::{Block, Inst, V};

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

impl EmitCx<'_> {
    pub(super) fn block(&mut self, block: &Block) {
        for inst in &block.insts {
            self.inst(inst);
        }
    }

    fn inst(&mut self, inst: &Inst) {
        match inst {
            Inst::Def { result, op } => {
                let value = self.op(op, self.ty(*result));
                self.set(*result, value);
            }
            Inst::Store { ptr, disp, mem, tail, value } => self.store(*ptr, *disp, *mem, *tail, *value),
            // Cranelift has no such instruction.
            Inst::Prefetch { .. } => {}
            Inst::Loop { index, low, high, step, init, params, body, next, results } => {
                let (index, low, high, step) = (*index, *low, *high, *step);
                self.repeat(Loop { index, low, high, step, init, params, body, next, results });
            }
            Inst::If { condition, then, otherwise } => self.condition(*condition, then, otherwise),
        }
    }

    /// The test is at the latch, so a turn has one branch: `if low < high { do { … } while index < high }`.
    fn repeat(&mut self, l: Loop<'_>) {
        let (turn, done) = (self.b.create_block(), self.b.create_block());
        let index = self.b.append_block_param(turn, clif::I64);
        self.set(l.index, index);
        self.define_params(turn, l.params);
        self.define_params(done, l.results);

        let (low, high) = (self.get(l.low), self.get(l.high));
        let init = self.args(l.init);
        self.branch_below(low, high, turn, &init, done);

        self.b.switch_to_block(turn);
        self.block(l.body);
        let following = self.b.ins().iadd_imm_s(index, l.step);
        let next = self.args(l.next);
        self.branch_below(following, high, turn, &next, done);
        self.b.switch_to_block(done);
    }

    fn define_params(&mut self, block: ClifBlock, params: &[V]) {
        for &param in params {
            let value = self.b.append_block_param(block, types::value(self.ty(param)));
            self.set(param, value);
        }
    }

    fn args(&self, values: &[V]) -> Vec<BlockArg> {
        values.iter().map(|&value| BlockArg::Value(self.get(value))).collect()
    }

    /// To `turn(index, carried…)` if `index < high`, otherwise to `done(carried…)`.
    fn branch_below(&mut self, index: Value, high: Value, turn: ClifBlock, carried: &[BlockArg], done: ClifBlock) {
        let again = self.b.ins().icmp(IntCC::SignedLessThan, index, high);
        let mut turn_args = vec![BlockArg::Value(index)];
        turn_args.extend_from_slice(carried);
        self.b.ins().brif(again, turn, &turn_args, done, carried);
    }

    fn condition(&mut self, condition: V, then: &Block, otherwise: &Block) {
        let (yes, no, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let condition = self.get(condition);
        self.b.ins().brif(condition, yes, &[], no, &[]);
        for (start, block) in [(yes, then), (no, otherwise)] {
            self.b.switch_to_block(start);
            self.block(block);
            self.b.ins().jump(done, &[]);
        }
        self.b.switch_to_block(done);
    }
}
