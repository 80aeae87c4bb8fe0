//! Registers by regalloc2: what it has to know of a function.

use super::Isa;
use super::assemble::{RBP, RSP};
use super::inst::{Code, Form, GPR, Inst as CodeInst, MASK, VECTOR, gpr};
use crate::error::bug;
use regalloc2::checker::Checker;
use regalloc2::{
    Block, Function, Inst, InstRange, MachineEnv, Operand, Output, PReg, PRegSet, RegClass, RegallocOptions, VReg,
};

/// A function as regalloc2 walks it: its blocks in their order in memory.
pub(super) struct Linear<'a> {
    pub(super) insts: Vec<&'a CodeInst>,
    ranges: Vec<InstRange>,
    params: Vec<&'a [VReg]>,
    successors: Vec<Vec<Block>>,
    predecessors: Vec<Vec<Block>>,
    args: Vec<Vec<&'a [VReg]>>,
    registers: usize,
    isa: Isa,
}

impl<'a> Linear<'a> {
    pub(super) fn new(code: &'a Code, isa: Isa) -> Linear<'a> {
        let mut position = vec![usize::MAX; code.blocks.len()];
        for (at, &block) in code.order.iter().enumerate() {
            position[block] = at;
        }
        let count = code.order.len();
        let mut linear = Linear {
            insts: Vec::new(),
            ranges: Vec::with_capacity(count),
            params: Vec::with_capacity(count),
            successors: Vec::with_capacity(count),
            predecessors: vec![Vec::new(); count],
            args: Vec::with_capacity(count),
            registers: code.registers,
            isa,
        };
        for (at, &number) in code.order.iter().enumerate() {
            let block = &code.blocks[number];
            let start = linear.insts.len();
            linear.insts.extend(&block.insts);
            linear.ranges.push(InstRange::new(Inst::new(start), Inst::new(linear.insts.len())));
            linear.params.push(&block.params);
            let successors: Vec<Block> = block.successors.iter().map(|(to, _)| Block::new(position[*to])).collect();
            for to in &successors {
                linear.predecessors[to.index()].push(Block::new(at));
            }
            linear.successors.push(successors);
            linear.args.push(block.successors.iter().map(|(_, args)| &args[..]).collect());
        }
        linear
    }

    /// The registers of all operands, and moves between instructions.
    pub(super) fn allocate(&self) -> Output {
        let environment = environment(self.isa);
        let output = match regalloc2::run(self, &environment, &RegallocOptions::default()) {
            Ok(output) => output,
            Err(error) => bug(&format!("registers can't be allocated: {error:?}")),
        };
        if cfg!(debug_assertions) {
            self.check(&environment, &output);
        }
        output
    }

    /// Follows every value through registers, slots and moves to its uses.
    fn check(&self, environment: &MachineEnv, output: &Output) {
        let mut checker = Checker::new(self, environment);
        checker.prepare(output);
        if let Err(errors) = checker.run() {
            bug(&format!("registers hold other values: {errors:?}"));
        }
    }
}

impl Function for Linear<'_> {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.ranges.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        self.ranges[block.index()]
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.successors[block.index()]
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.predecessors[block.index()]
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        self.params[block.index()]
    }

    fn is_ret(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].form, Form::Return)
    }

    fn is_branch(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].form, Form::Jump | Form::Branch(_))
    }

    fn branch_blockparams(&self, block: Block, _: Inst, successor: usize) -> &[VReg] {
        self.args[block.index()][successor]
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        &self.insts[inst.index()].operands
    }

    fn inst_clobbers(&self, _: Inst) -> PRegSet {
        PRegSet::empty()
    }

    fn num_vregs(&self) -> usize {
        self.registers
    }

    fn spillslot_size(&self, class: RegClass) -> usize {
        if class == VECTOR { self.isa.vector_bytes() as usize / 8 } else { 1 }
    }
}

/// rbx and r12 to r15 belong to the caller.
pub(super) const SAVED: [u8; 5] = [3, 12, 13, 14, 15];

fn environment(isa: Isa) -> MachineEnv {
    let set = |numbers: &mut dyn Iterator<Item = usize>, class| {
        let mut set = PRegSet::empty();
        numbers.for_each(|n| set.add(PReg::new(n, class)));
        set
    };
    let mut free = (0..16u8).filter(|n| *n != RSP && *n != RBP && !SAVED.contains(n)).map(usize::from);
    let mut saved = PRegSet::empty();
    SAVED.iter().for_each(|&n| saved.add(gpr(n)));
    let vectors = if isa.has_masks() { 32 } else { 16 };
    MachineEnv {
        preferred_regs_by_class: [set(&mut free, GPR), set(&mut (1..8), MASK), set(&mut (0..vectors), VECTOR)],
        non_preferred_regs_by_class: [saved, PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}
