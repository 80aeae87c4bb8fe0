//! Instructions before their registers are known, and functions of them under construction.

use super::assemble::{Imm, Len};
use super::opcode::Row;
use regalloc2::{Operand, PReg, RegClass, VReg};
use smallvec::SmallVec;

/// General registers.
pub(super) const GPR: RegClass = RegClass::Int;
/// Mask registers k1 to k7.
pub(super) const MASK: RegClass = RegClass::Float;
/// Vector registers; scalar floats are in them as well.
pub(super) const VECTOR: RegClass = RegClass::Vector;

/// A register field of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Not used.
    No,
    /// A fixed number: the extension of an opcode.
    Number(u8),
    /// What the allocator gives the operand.
    Operand(u8),
}

/// The field that may be memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What the allocator gives the operand.
    Operand(u8),
    /// Memory at a register.
    Memory {
        /// An operand.
        base: u8,
        /// An operand, and the exponent of its scale.
        index: Option<(u8, u8)>,
        disp: i32,
    },
    /// Bytes of the constants behind the code.
    Pool(u32),
}

/// Conditions, by their numbers in opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cond {
    BelowEqual = 6,
    Equal = 4,
    NotEqual = 5,
    Less = 12,
    GreaterEqual = 13,
    LessEqual = 14,
    Greater = 15,
}

impl Cond {
    pub(super) fn inverted(self) -> Cond {
        match self {
            Cond::Equal => Cond::NotEqual,
            Cond::NotEqual => Cond::Equal,
            Cond::Less => Cond::GreaterEqual,
            Cond::GreaterEqual => Cond::Less,
            Cond::LessEqual => Cond::Greater,
            Cond::Greater => Cond::LessEqual,
            Cond::BelowEqual => crate::error::bug("no branch is taken on an unsigned comparison"),
        }
    }
}

/// What an instruction is.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A vector instruction.
    Simd {
        row: Row,
        len: Len,
        reg: Slot,
        vvvv: Slot,
        rm: Place,
        /// An operand: a mask register.
        mask: Option<u8>,
        zero: bool,
        broadcast: bool,
        /// Bytes of the memory operand.
        unit: i32,
        imm: Option<u8>,
        /// An operand whose register is in the immediate's high half.
        imm_reg: Option<u8>,
    },
    /// An instruction of general registers.
    General {
        wide: bool,
        two_bytes: bool,
        opcode: u8,
        reg: Slot,
        rm: Place,
        byte_regs: bool,
        imm: Imm,
    },
    /// `mov`, with flags untouched.
    Constant(i64),
    /// Sign of rax into rdx.
    SignExtend,
    /// Takes the parameters.
    Start,
    /// To the block's only successor.
    Jump,
    /// To the first successor if the condition holds, else to the second.
    Branch(Cond),
    Return,
}

/// An instruction.
#[derive(Clone, Debug)]
pub(super) struct Inst {
    pub(super) form: Form,
    pub(super) operands: SmallVec<[Operand; 4]>,
}

/// A block; its number is its place in the code.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) params: Vec<VReg>,
    pub(super) insts: Vec<Inst>,
    /// Where it goes on, with arguments for parameters.
    pub(super) successors: Vec<(usize, Vec<VReg>)>,
}

/// A function in registers without number.
#[derive(Clone, Debug, Default)]
pub(super) struct Code {
    pub(super) blocks: Vec<Block>,
    /// Order of the blocks in memory.
    pub(super) order: Vec<usize>,
    pub(super) registers: usize,
    /// The constants behind the code.
    pub(super) pool: Vec<u8>,
}

impl Code {
    pub(super) fn register(&mut self, class: RegClass) -> VReg {
        self.registers += 1;
        VReg::new(self.registers - 1, class)
    }

    /// A new block that isn't placed yet.
    pub(super) fn block(&mut self) -> usize {
        self.blocks.push(Block::default());
        self.blocks.len() - 1
    }

    /// The place of bytes among the constants; equal ones share it.
    pub(super) fn constant(&mut self, bytes: &[u8]) -> u32 {
        let step = bytes.len();
        let known = self.pool.chunks_exact(step).position(|other| other == bytes);
        let at = known.map_or_else(
            || {
                let at = self.pool.len().next_multiple_of(step);
                self.pool.resize(at, 0);
                self.pool.extend(bytes);
                at
            },
            |position| position * step,
        );
        at as u32
    }
}

/// A general register by number.
pub(super) fn gpr(n: u8) -> PReg {
    PReg::new(usize::from(n), GPR)
}
