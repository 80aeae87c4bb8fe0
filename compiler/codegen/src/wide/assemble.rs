//! The bytes of one instruction: legacy with REX for general registers, VEX and EVEX for vectors.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapters 2 and 2.7.

use super::opcode::{Coding, Map, Row};

/// Bits of vector registers that an instruction works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Len {
    L128 = 0,
    L256 = 1,
    L512 = 2,
}

impl Len {
    pub(super) fn bytes(self) -> i32 {
        16 << self as i32
    }
}

/// The operand that may be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rm {
    Reg(u8),
    Mem {
        base: u8,
        /// With the scale's exponent.
        index: Option<(u8, u8)>,
        disp: i32,
    },
    /// Relative to the next instruction: the displacement is filled in later.
    Pool,
}

/// A vector instruction with its registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simd {
    pub(super) row: Row,
    pub(super) len: Len,
    /// In the `reg` field: a register, or the opcode's extension.
    pub(super) reg: u8,
    pub(super) vvvv: Option<u8>,
    pub(super) rm: Rm,
    /// Mask register; 0: none.
    pub(super) mask: u8,
    /// Masked elements become 0 instead of staying.
    pub(super) zero: bool,
    /// One element of memory for all lanes.
    pub(super) broadcast: bool,
    /// Bytes that the memory operand has: the unit of EVEX's short displacements.
    pub(super) unit: i32,
    pub(super) imm: Option<u8>,
}

/// Where a displacement to the constants has to be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Position of its four bytes.
    pub(super) at: usize,
    /// Position of the next instruction.
    pub(super) end: usize,
}

/// The immediate of a general instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Imm {
    No,
    Byte(i8),
    Word(i32),
    Quad(i64),
}

/// An instruction of general registers with its registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct General {
    /// Of 64 bits.
    pub(super) wide: bool,
    /// Behind `0F`.
    pub(super) two_bytes: bool,
    pub(super) opcode: u8,
    pub(super) reg: u8,
    pub(super) rm: Rm,
    /// The low byte of a register is an operand.
    pub(super) byte_regs: bool,
    pub(super) imm: Imm,
}

pub(super) const RSP: u8 = 4;
pub(super) const RBP: u8 = 5;

fn bit(n: u8, position: u8) -> u8 {
    n >> position & 1
}

/// Bits 3 and 4 of a memory operand's or register's numbers, as the prefixes hold them: (X, B).
fn high_bits(rm: Rm) -> (u8, u8) {
    match rm {
        Rm::Reg(n) => (bit(n, 4), bit(n, 3)),
        Rm::Mem { base, index, .. } => (index.map_or(0, |(n, _)| bit(n, 3)), bit(base, 3)),
        Rm::Pool => (0, 0),
    }
}

/// Appends the instruction; where its memory operand is a constant, the hole.
pub(super) fn simd(out: &mut Vec<u8>, evex: bool, inst: &Simd) -> Option<Hole> {
    let evex = match inst.row.coding {
        Coding::Either => evex,
        Coding::Vex => false,
        Coding::Evex => true,
    };
    if evex {
        evex_prefix(out, inst)
    } else {
        vex_prefix(out, inst)
    }
    out.push(inst.row.opcode);
    let unit = if evex { inst.unit } else { 1 };
    let hole = mod_rm(out, inst.reg, inst.rm, unit);
    out.extend(inst.imm);
    hole.map(|at| Hole { at, end: out.len() })
}

fn vex_prefix(out: &mut Vec<u8>, inst: &Simd) {
    let row = inst.row;
    let (x, b) = match inst.rm {
        Rm::Reg(n) => (0, bit(n, 3)),
        other => high_bits(other),
    };
    let r = bit(inst.reg, 3);
    let vvvv = !inst.vvvv.unwrap_or(0) & 0xf;
    let last = vvvv << 3 | (inst.len as u8 & 1) << 2 | row.prefix as u8;
    if x == 0 && b == 0 && !row.vex_w && row.map == Map::M0F {
        out.extend([0xc5, (r ^ 1) << 7 | last]);
    } else {
        let first = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | row.map as u8;
        out.extend([0xc4, first, u8::from(row.vex_w) << 7 | last]);
    }
}

fn evex_prefix(out: &mut Vec<u8>, inst: &Simd) {
    let row = inst.row;
    let (x, b) = high_bits(inst.rm);
    let (r, r_high) = (bit(inst.reg, 3), bit(inst.reg, 4));
    let vvvv = inst.vvvv.unwrap_or(0);
    let first = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | (r_high ^ 1) << 4 | row.map as u8;
    let second = u8::from(row.evex_w) << 7 | (!vvvv & 0xf) << 3 | 1 << 2 | row.prefix as u8;
    let third = u8::from(inst.zero) << 7
        | (inst.len as u8) << 5
        | u8::from(inst.broadcast) << 4
        | (bit(vvvv, 4) ^ 1) << 3
        | inst.mask;
    out.extend([0x62, first, second, third]);
}

/// ModRM, SIB and displacement; the position of a displacement to fill in.
fn mod_rm(out: &mut Vec<u8>, reg: u8, rm: Rm, unit: i32) -> Option<usize> {
    let reg = (reg & 7) << 3;
    match rm {
        Rm::Reg(n) => {
            out.push(0xc0 | reg | n & 7);
            None
        }
        Rm::Pool => {
            out.push(reg | 5);
            out.extend([0; 4]);
            Some(out.len() - 4)
        }
        Rm::Mem { base, index, disp } => {
            // A base of rbp or r13 without displacement would mean something else.
            let short = i8::try_from(disp / unit).ok().filter(|_| disp % unit == 0);
            let mode = match (disp, short) {
                (0, _) if base & 7 != RBP => 0,
                (_, Some(_)) => 1,
                _ => 2,
            };
            let sib = index.is_some() || base & 7 == RSP;
            out.push(mode << 6 | reg | if sib { RSP } else { base & 7 });
            if sib {
                let (index, scale) = index.map_or((RSP, 0), |(index, scale)| (index & 7, scale));
                out.push(scale << 6 | index << 3 | base & 7);
            }
            match (mode, short) {
                (0, _) => {}
                (1, Some(byte)) => out.push(byte as u8),
                _ => out.extend(disp.to_le_bytes()),
            }
            None
        }
    }
}

/// Appends an instruction of general registers; where its memory operand is a constant, the hole.
pub(super) fn general(out: &mut Vec<u8>, inst: &General) -> Option<Hole> {
    let (x, b) = match inst.rm {
        Rm::Reg(n) => (0, bit(n, 3)),
        other => high_bits(other),
    };
    let rex = u8::from(inst.wide) << 3 | bit(inst.reg, 3) << 2 | x << 1 | b;
    if rex != 0 || inst.byte_regs {
        out.push(0x40 | rex);
    }
    if inst.two_bytes {
        out.push(0x0f);
    }
    out.push(inst.opcode);
    let hole = mod_rm(out, inst.reg, inst.rm, 1);
    immediate(out, inst.imm);
    hole.map(|at| Hole { at, end: out.len() })
}

/// Appends `mov reg, number` in its shortest form that leaves the flags alone.
pub(super) fn constant(out: &mut Vec<u8>, reg: u8, number: i64) {
    let b = bit(reg, 3);
    if u32::try_from(number).is_ok() {
        if b != 0 {
            out.push(0x41);
        }
        out.push(0xb8 | reg & 7);
        immediate(out, Imm::Word(number as u32 as i32));
    } else if let Ok(number) = i32::try_from(number) {
        out.extend([0x48 | b, 0xc7, 0xc0 | reg & 7]);
        immediate(out, Imm::Word(number));
    } else {
        out.extend([0x48 | b, 0xb8 | reg & 7]);
        immediate(out, Imm::Quad(number));
    }
}

fn immediate(out: &mut Vec<u8>, imm: Imm) {
    match imm {
        Imm::No => {}
        Imm::Byte(n) => out.push(n as u8),
        Imm::Word(n) => out.extend(n.to_le_bytes()),
        Imm::Quad(n) => out.extend(n.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wide::opcode;
    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

    /// What another decoder reads in the bytes of one instruction.
    fn text(bytes: &[u8]) -> String {
        let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
        let inst = decoder.decode();
        assert!(!inst.is_invalid() && inst.len() == bytes.len(), "{bytes:02x?}");
        let mut text = String::new();
        GasFormatter::new().format(&inst, &mut text);
        text
    }

    fn add(reg: u8, vvvv: u8, rm: Rm, len: Len) -> Simd {
        let row = opcode::float(opcode::ADD, false, false);
        let (mask, zero, broadcast, unit, imm) = (0, false, false, len.bytes(), None);
        Simd { row, len, reg, vvvv: Some(vvvv), rm, mask, zero, broadcast, unit, imm }
    }

    fn written(evex: bool, inst: &Simd) -> String {
        let mut out = Vec::new();
        simd(&mut out, evex, inst);
        text(&out)
    }

    #[test]
    fn registers_of_both_encodings() {
        for reg in [0, 7, 8, 15] {
            for vvvv in [1, 9] {
                for rm in [2, 14] {
                    let expected = format!("vaddps %ymm{rm},%ymm{vvvv},%ymm{reg}");
                    assert_eq!(written(false, &add(reg, vvvv, Rm::Reg(rm), Len::L256)), expected);
                }
            }
        }
        for reg in [0, 8, 16, 31] {
            for vvvv in [3, 15, 17, 30] {
                for rm in [1, 12, 20, 29] {
                    let expected = format!("vaddps %zmm{rm},%zmm{vvvv},%zmm{reg}");
                    assert_eq!(written(true, &add(reg, vvvv, Rm::Reg(rm), Len::L512)), expected);
                }
            }
        }
    }

    #[test]
    fn every_base_index_and_displacement() {
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15",
        ];
        for base in 0..16u8 {
            for index in (0..16u8).filter(|index| *index != RSP).map(Some).chain([None]) {
                for disp in [0, 64, 4, -128, 127, 8192, -8192, 0x10_0000] {
                    for (evex, len, register) in [(false, Len::L256, "ymm"), (true, Len::L512, "zmm")] {
                        let rm = Rm::Mem { base, index: index.map(|index| (index, 2)), disp };
                        let sign = if disp < 0 { "-" } else { "" };
                        let disp = match disp.unsigned_abs() {
                            0 => String::new(),
                            small @ ..10 => format!("{sign}{small}"),
                            disp => format!("{sign}0x{disp:X}"),
                        };
                        let base = NAMES[usize::from(base)];
                        let index = index.map_or(String::new(), |index| format!(",%{},4", NAMES[usize::from(index)]));
                        let expected = format!("vaddps {disp}(%{base}{index}),%{register}1,%{register}0");
                        assert_eq!(written(evex, &add(0, 1, rm, len)), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn masks_and_broadcasts() {
        let rm = Rm::Mem { base: 0, index: None, disp: 508 };
        let inst = Simd { mask: 3, zero: true, broadcast: true, unit: 4, ..add(17, 18, rm, Len::L512) };
        assert_eq!(written(true, &inst), "vaddps 0x1FC(%rax){1to16},%zmm18,%zmm17{%k3}{z}");
    }

    #[test]
    fn constants_of_every_length() {
        let cases = [
            (0, 0, "mov $0,%eax"),
            (9, u32::MAX.into(), "mov $0xFFFFFFFF,%r9d"),
            (15, -2, "mov $0xFFFFFFFFFFFFFFFE,%r15"),
            (3, 1 << 40, "movabs $0x10000000000,%rbx"),
        ];
        for (reg, number, expected) in cases {
            let mut out = Vec::new();
            constant(&mut out, reg, number);
            assert_eq!(text(&out), expected);
        }
    }

    #[test]
    fn general_registers() {
        let inst =
            |wide, two_bytes, opcode, reg, rm, imm| General { wide, two_bytes, opcode, reg, rm, byte_regs: false, imm };
        let cases = [
            (
                inst(true, false, 0x8d, 9, Rm::Mem { base: 13, index: Some((12, 3)), disp: 0 }, Imm::No),
                "lea (%r13,%r12,8),%r9",
            ),
            (inst(false, false, 0x83, 7, Rm::Reg(10), Imm::Byte(-3)), "cmp $0xFFFFFFFD,%r10d"),
            (inst(true, true, 0xaf, 8, Rm::Reg(2), Imm::No), "imul %rdx,%r8"),
            (inst(true, false, 0xc1, 4, Rm::Reg(11), Imm::Byte(5)), "shl $5,%r11"),
            (inst(false, true, 0x18, 2, Rm::Mem { base: 9, index: None, disp: 64 }, Imm::No), "prefetcht1 0x40(%r9)"),
            (inst(false, true, 0x0d, 1, Rm::Mem { base: 0, index: None, disp: 0 }, Imm::No), "prefetchw (%rax)"),
        ];
        for (inst, expected) in cases {
            let mut out = Vec::new();
            general(&mut out, &inst);
            assert_eq!(text(&out), expected);
        }
    }
}
