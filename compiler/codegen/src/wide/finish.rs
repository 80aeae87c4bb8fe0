//! From a function with its registers to bytes: the frame, moves of the allocator, branches, constants.

use super::Isa;
use super::alloc::{Linear, SAVED};
use super::assemble::{self, General, Hole, Imm, Len, RBP, RSP, Rm, Simd};
use super::inst::{Code, Cond, Form, GPR, Inst, MASK, Place, Slot};
use super::opcode;
use crate::error::bug;
use regalloc2::{Allocation, Block, Edit, Function, InstOrEdit, Output, PReg};

/// Of constants, and of the stack's vectors.
const ALIGN: usize = 64;

struct Finish<'a> {
    code: &'a Code,
    linear: &'a Linear<'a>,
    output: &'a Output,
    isa: Isa,
    out: Vec<u8>,
    /// Where blocks start, by their place.
    starts: Vec<Option<usize>>,
    /// Displacements of four bytes to a block's start, behind which the next instruction begins.
    jumps: Vec<(usize, Block)>,
    holes: Vec<(Hole, u32)>,
    /// Blocks that only jump on, whose start is that of their successor.
    empty: Vec<bool>,
    saved: Vec<u8>,
    frame: i32,
}

/// The bytes of a function, its constants behind it.
pub(super) fn finish(code: &Code, linear: &Linear<'_>, output: &Output, isa: Isa) -> Vec<u8> {
    let frame = (output.num_spillslots * 8).next_multiple_of(ALIGN) as i32;
    let mut finish = Finish {
        code,
        linear,
        output,
        isa,
        out: Vec::new(),
        starts: vec![None; linear.num_blocks()],
        jumps: Vec::new(),
        holes: Vec::new(),
        empty: (0..linear.num_blocks()).map(|n| n > 0 && only_jumps(linear, output, Block::new(n))).collect(),
        saved: saved(output),
        frame,
    };
    finish.prologue();
    for block in 0..linear.num_blocks() {
        finish.block(Block::new(block));
    }
    finish.patch();
    finish.out
}

/// The caller's registers that the function writes.
fn saved(output: &Output) -> Vec<u8> {
    let moved = output.edits.iter().map(|(_, Edit::Move { to, .. })| to);
    let mut used = [false; 16];
    for register in output.allocs.iter().chain(moved).filter_map(|it| it.as_reg()).filter(|it| it.class() == GPR) {
        used[register.hw_enc()] = true;
    }
    SAVED.into_iter().filter(|n| used[usize::from(*n)]).collect()
}

fn only_jumps(linear: &Linear<'_>, output: &Output, block: Block) -> bool {
    let mut items = output.block_insts_and_edits(linear, block);
    items.all(|item| match item {
        InstOrEdit::Inst(inst) => matches!(linear.insts[inst.index()].form, Form::Jump),
        InstOrEdit::Edit(Edit::Move { from, to }) => from == to,
    })
}

impl Finish<'_> {
    fn general(&mut self, wide: bool, opcode: u8, reg: u8, rm: Rm, imm: Imm) {
        let inst = General { wide, two_bytes: false, opcode, reg, rm, byte_regs: false, imm };
        assemble::general(&mut self.out, &inst);
    }

    fn push(&mut self, n: u8) {
        if n > 7 {
            self.out.push(0x41);
        }
        self.out.push(0x50 | n & 7);
    }

    fn pop(&mut self, n: u8) {
        if n > 7 {
            self.out.push(0x41);
        }
        self.out.push(0x58 | n & 7);
    }

    /// rbp is kept by every kernel, so that profilers can walk the stack.
    fn prologue(&mut self) {
        self.push(RBP);
        self.general(true, 0x8b, RBP, Rm::Reg(RSP), Imm::No);
        for n in self.saved.clone() {
            self.push(n);
        }
        if self.frame > 0 {
            // sub rsp, frame; and rsp, -64
            self.general(true, 0x81, 5, Rm::Reg(RSP), Imm::Word(self.frame));
            self.general(true, 0x83, 4, Rm::Reg(RSP), Imm::Byte(-(ALIGN as i8)));
        }
    }

    fn epilogue(&mut self) {
        if self.frame > 0 {
            let disp = -8 * self.saved.len() as i32;
            self.general(true, 0x8d, RSP, Rm::Mem { base: RBP, index: None, disp }, Imm::No);
        }
        for n in self.saved.clone().into_iter().rev() {
            self.pop(n);
        }
        self.pop(RBP);
        self.zeroupper();
        self.out.push(0xc3);
    }

    fn zeroupper(&mut self) {
        // Without operands, so without the ModRM byte that other instructions have.
        self.out.extend([0xc5, 0xf8, opcode::ZEROUPPER.opcode]);
    }

    /// Where a jump to `block` ends up.
    fn target(&self, mut block: Block) -> Block {
        while self.empty[block.index()] {
            block = self.linear.block_succs(block)[0];
        }
        block
    }

    /// Whether code that goes on behind `block` comes to `target`.
    fn falls_to(&self, block: Block, target: Block) -> bool {
        let mut next = block.index() + 1;
        while next < self.linear.num_blocks() {
            if next == target.index() {
                return true;
            }
            if !self.empty[next] {
                return false;
            }
            next += 1;
        }
        false
    }

    fn block(&mut self, block: Block) {
        if self.empty[block.index()] {
            return;
        }
        self.starts[block.index()] = Some(self.out.len());
        let items: Vec<InstOrEdit<'_>> = self.output.block_insts_and_edits(self.linear, block).collect();
        for item in items {
            match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => self.move_value(*from, *to),
                InstOrEdit::Inst(inst) => {
                    let allocs = self.output.inst_allocs(inst);
                    let inst = self.linear.insts[inst.index()];
                    self.inst(block, inst, allocs);
                }
            }
        }
    }

    fn stack(slot: Allocation) -> Rm {
        match slot.as_stack() {
            Some(slot) => Rm::Mem { base: RSP, index: None, disp: slot.index() as i32 * 8 },
            None => bug("a move from or to nowhere"),
        }
    }

    fn move_value(&mut self, from: Allocation, to: Allocation) {
        if from == to {
            return;
        }
        let number = |it: PReg| it.hw_enc() as u8;
        let (register, is_load, rm) = match (from.as_reg(), to.as_reg()) {
            (Some(from), Some(to)) => (to, true, Rm::Reg(number(from))),
            (Some(from), None) => (from, false, Self::stack(to)),
            (None, Some(to)) => (to, true, Self::stack(from)),
            (None, None) => bug("a move from memory to memory"),
        };
        let class = register.class();
        if class == GPR {
            return self.general(true, if is_load { 0x8b } else { 0x89 }, number(register), rm, Imm::No);
        }
        let (row, len) = match (class == MASK, is_load, rm) {
            (true, true, _) => (opcode::KMOV, Len::L128),
            (true, false, _) => (opcode::KSTORE, Len::L128),
            (false, true, Rm::Reg(_)) => (opcode::MOVE, self.isa.len()),
            (false, true, _) => (opcode::load(false), self.isa.len()),
            (false, false, _) => (opcode::store(false), self.isa.len()),
        };
        let inst = Simd {
            row,
            len,
            reg: number(register),
            vvvv: None,
            rm,
            mask: 0,
            zero: false,
            broadcast: false,
            unit: len.bytes(),
            imm: None,
        };
        assemble::simd(&mut self.out, self.isa.has_masks(), &inst);
    }

    fn inst(&mut self, block: Block, inst: &Inst, allocs: &[Allocation]) {
        let register = |operand: u8| match allocs[usize::from(operand)].as_reg() {
            Some(register) => register.hw_enc() as u8,
            None => bug("an operand outside of registers"),
        };
        let slot = |slot: Slot| match slot {
            Slot::No => None,
            Slot::Number(n) => Some(n),
            Slot::Operand(operand) => Some(register(operand)),
        };
        let place = |place: Place| match place {
            Place::Operand(operand) => Rm::Reg(register(operand)),
            Place::Memory { base, index, disp } => {
                Rm::Mem { base: register(base), index: index.map(|(index, scale)| (register(index), scale)), disp }
            }
            Place::Pool(_) => Rm::Pool,
        };
        match &inst.form {
            &Form::Simd { row, len, reg, vvvv, rm, mask, zero, broadcast, unit, imm, imm_reg } => {
                let simd = Simd {
                    row,
                    len,
                    reg: slot(reg).unwrap_or(0),
                    vvvv: slot(vvvv),
                    rm: place(rm),
                    mask: mask.map_or(0, register),
                    zero,
                    broadcast,
                    unit,
                    imm: imm_reg.map(|operand| register(operand) << 4).or(imm),
                };
                let hole = assemble::simd(&mut self.out, self.isa.has_masks(), &simd);
                if let (Some(hole), Place::Pool(at)) = (hole, rm) {
                    self.holes.push((hole, at));
                }
            }
            &Form::General { wide, two_bytes, opcode, reg, rm, byte_regs, imm } => {
                let reg = slot(reg).unwrap_or(0);
                let inst = General { wide, two_bytes, opcode, reg, rm: place(rm), byte_regs, imm };
                let hole = assemble::general(&mut self.out, &inst);
                if let (Some(hole), Place::Pool(at)) = (hole, rm) {
                    self.holes.push((hole, at));
                }
            }
            Form::Constant(number) => assemble::constant(&mut self.out, register(0), *number),
            Form::SignExtend => self.out.extend([0x48, 0x99]),
            Form::Start => {}
            Form::Jump => {
                let target = self.target(self.linear.block_succs(block)[0]);
                if !self.falls_to(block, target) {
                    self.jump(None, target);
                }
            }
            Form::Branch(condition) => self.branch(block, *condition),
            Form::Return => self.epilogue(),
        }
    }

    fn branch(&mut self, block: Block, condition: Cond) {
        let [yes, no] = [0, 1].map(|n| self.target(self.linear.block_succs(block)[n]));
        if self.falls_to(block, yes) {
            self.jump(Some(condition.inverted()), no);
        } else {
            self.jump(Some(condition), yes);
            if !self.falls_to(block, no) {
                self.jump(None, no);
            }
        }
    }

    fn jump(&mut self, condition: Option<Cond>, target: Block) {
        if let Some(start) = self.starts[target.index()] {
            let back = start as i64 - (self.out.len() as i64 + 2);
            if let Ok(back) = i8::try_from(back) {
                self.out.extend([condition.map_or(0xeb, |condition| 0x70 | condition as u8), back as u8]);
                return;
            }
        }
        match condition {
            None => self.out.push(0xe9),
            Some(condition) => self.out.extend([0x0f, 0x80 | condition as u8]),
        }
        self.jumps.push((self.out.len(), target));
        self.out.extend([0; 4]);
    }

    fn patch(&mut self) {
        for (at, target) in std::mem::take(&mut self.jumps) {
            let Some(start) = self.starts[target.index()] else { bug("a jump to a block without code") };
            let distance = start as i64 - (at as i64 + 4);
            self.out[at..at + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        }
        if self.code.pool.is_empty() {
            return;
        }
        // Never run: a trap.
        self.out.resize(self.out.len().next_multiple_of(ALIGN), 0xcc);
        let pool = self.out.len();
        for (hole, at) in std::mem::take(&mut self.holes) {
            let distance = (pool + at as usize) as i64 - hole.end as i64;
            self.out[hole.at..hole.at + 4].copy_from_slice(&(distance as i32).to_le_bytes());
        }
        self.out.extend(&self.code.pool);
    }
}
