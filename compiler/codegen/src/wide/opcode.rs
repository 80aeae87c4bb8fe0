//! The instructions in use, as the manual's opcode tables name them: map, mandatory prefix, W bit and
//! opcode byte. VEX and EVEX share them but for the W bit of instructions that ignore it in VEX, so one
//! row serves 128, 256 and 512 bits.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.

/// Which opcode map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// `0F`
    M0F = 1,
    /// `0F 38`
    M0F38 = 2,
    /// `0F 3A`
    M0F3A = 3,
}

/// The mandatory prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// None.
    Np = 0,
    /// `66`
    P66 = 1,
    /// `F3`
    PF3 = 2,
    /// `F2`
    PF2 = 3,
}

/// Which encodings an instruction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// VEX below AVX-512, EVEX with it.
    Either,
    /// VEX at every level: mask registers, blends by vector masks.
    Vex,
    /// EVEX alone.
    Evex,
}

/// A vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) map: Map,
    pub(super) prefix: Prefix,
    /// The W bit in VEX.
    pub(super) vex_w: bool,
    /// The W bit in EVEX.
    pub(super) evex_w: bool,
    pub(super) opcode: u8,
    pub(super) coding: Coding,
}

use Map::{M0F, M0F3A, M0F38};
use Prefix::{Np, P66, PF2, PF3};

/// W as in EVEX; ignored or 0 in VEX.
const fn either(map: Map, prefix: Prefix, opcode: u8, evex_w: bool) -> Row {
    Row { map, prefix, vex_w: false, evex_w, opcode, coding: Coding::Either }
}

/// W counts in both.
const fn both_w(map: Map, prefix: Prefix, opcode: u8, w: bool) -> Row {
    Row { map, prefix, vex_w: w, evex_w: w, opcode, coding: Coding::Either }
}

const fn vex(map: Map, prefix: Prefix, opcode: u8, w: bool) -> Row {
    Row { map, prefix, vex_w: w, evex_w: w, opcode, coding: Coding::Vex }
}

const fn evex(map: Map, prefix: Prefix, opcode: u8, w: bool) -> Row {
    Row { map, prefix, vex_w: w, evex_w: w, opcode, coding: Coding::Evex }
}

/// A float instruction for one kind of operands: packed or scalar, single or double.
pub(super) const fn float(opcode: u8, wide: bool, scalar: bool) -> Row {
    let prefix = match (wide, scalar) {
        (false, false) => Np,
        (true, false) => P66,
        (false, true) => PF3,
        (true, true) => PF2,
    };
    either(M0F, prefix, opcode, wide)
}

pub(super) const ADD: u8 = 0x58;
pub(super) const MUL: u8 = 0x59;
pub(super) const SUB: u8 = 0x5c;
pub(super) const MIN: u8 = 0x5d;
pub(super) const DIV: u8 = 0x5e;
pub(super) const MAX: u8 = 0x5f;
pub(super) const SQRT: u8 = 0x51;
/// With a predicate; to a vector in VEX, to a mask register in EVEX.
pub(super) const COMPARE: u8 = 0xc2;

/// Which operand of a fused multiply-add the result replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fma {
    /// `reg = vvvv · rm + reg`
    Addend231,
    /// `reg = vvvv · reg + rm`
    Factor213,
}

pub(super) const fn fma(form: Fma, wide: bool, scalar: bool) -> Row {
    let opcode = match form {
        Fma::Addend231 => 0xb8,
        Fma::Factor213 => 0xa8,
    };
    both_w(M0F38, P66, opcode + scalar as u8, wide)
}

/// Rounding to an integral value: `vround` and `vrndscale` with scale 0.
pub(super) const fn round(wide: bool, scalar: bool) -> Row {
    either(M0F3A, P66, 0x08 + wide as u8 + 2 * scalar as u8, wide)
}

/// Packed integer instructions; `wide`: 64-bit elements.
pub(super) const fn padd(wide: bool) -> Row {
    either(M0F, P66, if wide { 0xd4 } else { 0xfe }, wide)
}

pub(super) const fn psub(wide: bool) -> Row {
    either(M0F, P66, if wide { 0xfb } else { 0xfa }, wide)
}

pub(super) const PMULLD: Row = either(M0F38, P66, 0x40, false);
pub(super) const PMULLQ: Row = evex(M0F38, P66, 0x40, true);
/// Products of the even 32-bit elements.
pub(super) const PMULUDQ: Row = either(M0F, P66, 0xf4, true);

pub(super) const fn pmins(wide: bool) -> Row {
    if wide { evex(M0F38, P66, 0x39, true) } else { either(M0F38, P66, 0x39, false) }
}

pub(super) const fn pmaxs(wide: bool) -> Row {
    if wide { evex(M0F38, P66, 0x3d, true) } else { either(M0F38, P66, 0x3d, false) }
}

pub(super) const fn pand(wide: bool) -> Row {
    either(M0F, P66, 0xdb, wide)
}

pub(super) const fn por(wide: bool) -> Row {
    either(M0F, P66, 0xeb, wide)
}

pub(super) const fn pxor(wide: bool) -> Row {
    either(M0F, P66, 0xef, wide)
}

/// Shifts by a constant have the destination in `vvvv` and a number in the place of a register.
pub(super) const fn pshift(wide: bool) -> Row {
    either(M0F, P66, if wide { 0x73 } else { 0x72 }, wide)
}
pub(super) const SHIFT_LEFT: u8 = 6;
pub(super) const SHIFT_RIGHT_U: u8 = 2;
pub(super) const SHIFT_RIGHT_S: u8 = 4;
/// The arithmetic shift of 64-bit elements shares its opcode with that of 32 bits.
pub(super) const PSRAQ: Row = evex(M0F, P66, 0x72, true);

pub(super) const fn pcmpeq(wide: bool) -> Row {
    if wide { vex(M0F38, P66, 0x29, false) } else { vex(M0F, P66, 0x76, false) }
}

pub(super) const fn pcmpgt(wide: bool) -> Row {
    if wide { vex(M0F38, P66, 0x37, false) } else { vex(M0F, P66, 0x66, false) }
}

/// Signed comparison by a predicate, to a mask register.
pub(super) const fn pcmp(wide: bool) -> Row {
    evex(M0F3A, P66, 0x1f, wide)
}

/// Blend by the signs of a vector, whose register is in the immediate byte.
pub(super) const fn blendv(wide: bool) -> Row {
    vex(M0F3A, P66, if wide { 0x4b } else { 0x4a }, false)
}

/// Blend by a mask register.
pub(super) const fn blendm(wide: bool) -> Row {
    evex(M0F38, P66, 0x65, wide)
}

pub(super) const fn load(wide: bool) -> Row {
    either(M0F, if wide { P66 } else { Np }, 0x10, wide)
}

pub(super) const fn store(wide: bool) -> Row {
    either(M0F, if wide { P66 } else { Np }, 0x11, wide)
}

pub(super) const fn load_scalar(wide: bool) -> Row {
    float(0x10, wide, true)
}

pub(super) const fn store_scalar(wide: bool) -> Row {
    float(0x11, wide, true)
}

/// `vmovaps` between registers.
pub(super) const MOVE: Row = either(M0F, Np, 0x28, false);

pub(super) const fn masked_load(wide: bool) -> Row {
    vex(M0F38, P66, if wide { 0x2d } else { 0x2c }, false)
}

pub(super) const fn masked_store(wide: bool) -> Row {
    vex(M0F38, P66, if wide { 0x2f } else { 0x2e }, false)
}

/// From the low element of a vector register, or from memory.
pub(super) const fn broadcast(wide: bool) -> Row {
    if wide { either(M0F38, P66, 0x59, true) } else { either(M0F38, P66, 0x18, false) }
}

/// From a general register.
pub(super) const fn broadcast_gpr(wide: bool) -> Row {
    evex(M0F38, P66, 0x7c, wide)
}

/// General register or memory to the low element, zeros above.
pub(super) const fn from_gpr(wide: bool) -> Row {
    both_w(M0F, P66, 0x6e, wide)
}

/// The low element to a general register.
pub(super) const fn to_gpr(wide: bool) -> Row {
    both_w(M0F, P66, 0x7e, wide)
}

pub(super) const PSHUFD: Row = either(M0F, P66, 0x70, false);
pub(super) const PSHUFB: Row = either(M0F38, P66, 0x00, false);
pub(super) const UNPCKLPD: Row = either(M0F, P66, 0x14, true);
pub(super) const INSERTPS: Row = either(M0F3A, P66, 0x21, false);
pub(super) const PINSRB: Row = either(M0F3A, P66, 0x20, false);
pub(super) const PINSRW: Row = either(M0F, P66, 0xc4, false);
pub(super) const PEXTRB: Row = either(M0F3A, P66, 0x14, false);
pub(super) const PEXTRW: Row = either(M0F3A, P66, 0x15, false);

pub(super) const fn pinsr(wide: bool) -> Row {
    both_w(M0F3A, P66, 0x22, wide)
}

pub(super) const fn pextr(wide: bool) -> Row {
    both_w(M0F3A, P66, 0x16, wide)
}

/// A quarter of 512 bits or half of 256.
pub(super) const EXTRACT_128: Row = either(M0F3A, P66, 0x19, false);
pub(super) const INSERT_128: Row = either(M0F3A, P66, 0x18, false);

pub(super) const PMOVSXBD: Row = either(M0F38, P66, 0x21, false);
pub(super) const PMOVZXBD: Row = either(M0F38, P66, 0x31, false);
/// The low bytes of 32-bit elements.
pub(super) const PMOVDB: Row = evex(M0F38, PF3, 0x31, false);

pub(super) const CVTDQ2PS: Row = either(M0F, Np, 0x5b, false);
pub(super) const CVTTPS2DQ: Row = either(M0F, PF3, 0x5b, false);
pub(super) const CVTQQ2PD: Row = evex(M0F, PF3, 0xe6, true);
pub(super) const CVTTPD2QQ: Row = evex(M0F, P66, 0x7a, true);
pub(super) const CVTSS2SD: Row = either(M0F, PF3, 0x5a, false);
pub(super) const CVTSD2SS: Row = either(M0F, PF2, 0x5a, true);

/// A general register to a float; W tells the register's width.
pub(super) const fn from_int(float_wide: bool, int_wide: bool) -> Row {
    both_w(M0F, if float_wide { PF2 } else { PF3 }, 0x2a, int_wide)
}

/// A float to a general register towards 0; `i64::MIN` where it doesn't fit.
pub(super) const fn to_int(float_wide: bool) -> Row {
    both_w(M0F, if float_wide { PF2 } else { PF3 }, 0x2c, true)
}

/// The signs of elements to a general register.
pub(super) const fn signs(wide: bool) -> Row {
    vex(M0F, if wide { P66 } else { Np }, 0x50, false)
}

/// A mask register to lanes of all ones or zeros.
pub(super) const fn mask_to_lanes(wide: bool) -> Row {
    evex(M0F38, PF3, 0x38, wide)
}

/// Between mask registers, and from memory.
pub(super) const KMOV: Row = vex(M0F, Np, 0x90, true);
pub(super) const KSTORE: Row = vex(M0F, Np, 0x91, true);
pub(super) const K_FROM_GPR: Row = vex(M0F, PF2, 0x92, true);
pub(super) const K_TO_GPR: Row = vex(M0F, PF2, 0x93, true);
pub(super) const KAND: Row = vex(M0F, Np, 0x41, true);
/// `!vvvv & rm`
pub(super) const KANDN: Row = vex(M0F, Np, 0x42, true);
pub(super) const KNOT: Row = vex(M0F, Np, 0x44, true);
pub(super) const KOR: Row = vex(M0F, Np, 0x45, true);
/// `rm` with the bits from the register in `vvvv` on cleared.
pub(super) const BZHI: Row = vex(M0F38, Np, 0xf5, true);
/// Ends the use of the upper halves of vector registers.
pub(super) const ZEROUPPER: Row = vex(M0F, Np, 0x77, false);
