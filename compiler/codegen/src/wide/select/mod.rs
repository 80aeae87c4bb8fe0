//! Lane values to instructions.
//!
//! A Lane value is a register; or still a constant, an address or a load, which become operands of the
//! instructions that use them. Scalar floats are in vector registers, whose other elements are
//! anything; scalar masks are general registers of 0 or 1; vector masks are mask registers, or vectors
//! of all ones and zeros where there are none. A vector of fewer lanes uses the first of the smallest
//! register that holds it.

mod bytes;
mod control;
mod convert;
mod emit;
mod float;
mod fold;
mod int;
mod mask;
mod memory;
mod operand;
mod vector;

use super::Isa;
use super::assemble::{Imm, Len};
use super::inst::{Code, Form, GPR, Inst as CodeInst, MASK, VECTOR, gpr};
use crate::error::bug;
use emit::{Reg, Src};
use mlc_kernel::lane::{Elem, Lane, Op, Ty, V};
use regalloc2::{Operand, RegClass, VReg};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    base: VReg,
    /// With the exponent of its scale.
    index: Option<(VReg, u8)>,
    disp: i32,
}

/// What a Lane value is at the moment.
#[derive(Clone, Debug)]
enum Val {
    Reg(VReg),
    /// Element bits: one for each lane, or one for all.
    Const(SmallVec<[u64; 1]>),
    Address(Address),
    /// A load that its only use does, with the bytes of an element in memory.
    Load(Address),
    /// A scalar load in all lanes, that its only use does.
    Broadcast(Address),
}

/// What a mask of the first lanes depends on beside their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum MaskKind {
    /// A mask register: one bit for each lane, whatever it is.
    Bits,
    /// A vector of `len` for elements of so many bytes.
    Lanes(u8, Len),
}

struct Select<'a> {
    lane: &'a Lane,
    isa: Isa,
    code: Code,
    /// The block under construction.
    current: usize,
    values: Vec<Option<Val>>,
    /// How often values are used.
    uses: Vec<u32>,
    /// Loads, and splats of them, that their only use does.
    deferred: Vec<bool>,
    /// The masks that values which count lanes become.
    counts: FxHashMap<V, SmallVec<[MaskKind; 1]>>,
    /// Those that are made.
    count_masks: FxHashMap<(V, MaskKind), VReg>,
    /// Mask registers of constant counts, made at the start.
    const_masks: FxHashMap<u8, VReg>,
    /// A block whose instructions go to the start of the code.
    start: usize,
    frame: VReg,
    scratch: VReg,
    low: VReg,
    high: VReg,
}

/// The numbers of the registers in which parameters come.
const PARAMETERS: [u8; 4] = [7, 6, 2, 1];

pub(super) fn select(lane: &Lane, isa: Isa) -> Code {
    let mut code = Code::default();
    let entry = code.block();
    code.order.push(entry);
    let start = code.block();
    let parameters: [VReg; 4] = std::array::from_fn(|_| code.register(GPR));
    let operands = parameters.iter().zip(PARAMETERS).map(|(&v, n)| Operand::reg_fixed_def(v, gpr(n))).collect();
    code.blocks[entry].insts.push(CodeInst { form: Form::Start, operands });
    let [frame, scratch, low, high] = parameters;
    let values = vec![None; lane.types.len()];
    let facts = fold::Facts::of(lane, isa);
    let mut select = Select {
        lane,
        isa,
        code,
        current: entry,
        values,
        uses: facts.uses,
        deferred: facts.deferred,
        counts: facts.counts,
        count_masks: FxHashMap::default(),
        const_masks: FxHashMap::default(),
        start,
        frame,
        scratch,
        low,
        high,
    };
    select.block(&lane.body);
    select.push(Form::Return, smallvec![]);
    let start = std::mem::take(&mut select.code.blocks[start].insts);
    select.code.blocks[entry].insts.splice(1..1, start);
    select.code
}

/// The register that holds a value of `ty`.
fn len_of(ty: Ty) -> Len {
    match u32::from(ty.lanes) * u32::from(ty.bits) / 8 {
        0..=16 => Len::L128,
        17..=32 => Len::L256,
        _ => Len::L512,
    }
}

fn is_wide(ty: Ty) -> bool {
    ty.bits == 64
}

fn is_scalar(ty: Ty) -> bool {
    ty.lanes == 1
}

fn is_float(ty: Ty) -> bool {
    matches!(ty.elem, Elem::F32 | Elem::F64)
}

impl Select<'_> {
    fn ty(&self, v: V) -> Ty {
        self.lane.types[v.index()]
    }

    fn class(&self, ty: Ty) -> RegClass {
        match (ty.elem, is_scalar(ty)) {
            (Elem::F32 | Elem::F64, _) => VECTOR,
            (Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask, true) => GPR,
            (Elem::Mask, false) if self.isa.has_masks() => MASK,
            (Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask, false) => VECTOR,
        }
    }

    fn push(&mut self, form: Form, operands: SmallVec<[Operand; 4]>) {
        self.code.blocks[self.current].insts.push(CodeInst { form, operands });
    }

    fn set(&mut self, v: V, value: Val) {
        self.values[v.index()] = Some(value);
    }

    fn value(&self, v: V) -> &Val {
        match &self.values[v.index()] {
            Some(value) => value,
            None => bug(&format!("kernel `{}` uses v{} before its definition", self.lane.name, v.0)),
        }
    }

    /// The value of `op`, which is `result`.
    fn op(&mut self, op: &Op, result: V) -> Val {
        let ty = self.ty(result);
        let reg = match op {
            Op::Const(bits) => return Val::Const(bits.clone()),
            Op::FrameSize(word) | Op::FramePtr(word) => self.frame_word(*word),
            Op::ScratchPtr => self.scratch,
            Op::TileLow => self.low,
            Op::TileHigh => self.high,
            Op::PtrAdd(ptr, bytes) => return Val::Address(self.pointer(*ptr, *bytes)),
            Op::Load { ptr, disp, mem, tail } => {
                if self.deferred[result.index()] {
                    return Val::Load(self.address(*ptr, *disp));
                }
                self.load(*ptr, *disp, *mem, *tail, ty)
            }
            Op::FUnary(op, a) => self.float_unary(*op, *a, ty),
            Op::FBinary(op, a, b) => self.float_binary(*op, *a, *b, ty),
            Op::MulAdd(a, b, c) => self.mul_add(*a, *b, *c, ty),
            Op::IBinary(op, a, b) => self.int_binary(*op, *a, *b, ty),
            Op::Shift(shift, a, bits) => self.shift(*shift, *a, *bits, ty),
            Op::FCmp(cmp, a, b) => self.float_compare(*cmp, *a, *b),
            Op::ICmp(cmp, a, b) => self.int_compare(*cmp, *a, *b),
            Op::MaskAnd(a, b) => self.mask_binary(mask::Logic::And, *a, *b, ty),
            Op::MaskOr(a, b) => self.mask_binary(mask::Logic::Or, *a, *b, ty),
            Op::MaskNot(a) => self.mask_not(*a, ty),
            Op::Select(mask, a, b) => self.select(*mask, *a, *b, ty),
            Op::Convert(convert, a) => self.convert(*convert, *a, ty),
            Op::Splat(a) => match self.value(*a) {
                Val::Load(address) if self.deferred[result.index()] => return Val::Broadcast(*address),
                Val::Const(bits) => return Val::Const(bits.clone()),
                _ => self.splat(*a, ty),
            },
            Op::Extract(a, lane) => self.extract(*a, *lane, ty),
            Op::Pack(scalars) => self.pack(scalars, ty),
        };
        Val::Reg(reg)
    }

    fn frame_word(&mut self, word: u32) -> VReg {
        let Ok(disp) = i32::try_from(i64::from(word) * 8) else { bug("a frame beyond 2 GiB") };
        let address = Address { base: self.frame, index: None, disp };
        self.general(true, 0x8b, Reg::Def(GPR), Src::Memory(address), Imm::No)
    }
}
