//! The Lane verifier. A kernel that passes compiles, whatever the emitter, and the interpreter runs
//! it without a type error. Invariants:
//!
//! 1. Every value has a type: a scalar, or a vector of numbers or masks that fits a register.
//! 2. Every value is defined once, and used only where it is visible: after its definition in the
//!    same block, and in blocks inside. A loop's index and parameters are visible in its body, its
//!    results after it.
//! 3. Operands and results have the types that the op wants; both sides of a loop's carried values
//!    have one type.
//! 4. A constant tail is at least 1 and below the number of lanes; a counted one is an i64.
//! 5. Frame words, lanes, shifts, constants and displacements are within their range; steps are at
//!    least 1.
//!
//! Not verified, because it depends on values: that accesses stay in their buffers and counts within
//! the lanes ([`crate::interp`] tests both).

use crate::lane::{Block, Convert, Elem, IBinary, Inst, Lane, Mem, Op, Tail, Ty, V};
use crate::lane_print::{inst_text, type_text};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneError {
    /// The kernel.
    pub kernel: String,
    /// The instruction as text; empty if it is none.
    pub inst: String,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for LaneError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel `{}`: {} in `{}`", self.kernel, self.problem, self.inst)
    }
}

/// Tests the invariants for vector registers of `register_bytes`; gives the first that is broken.
pub fn verify(lane: &Lane, register_bytes: u32) -> Result<(), LaneError> {
    let mut verifier = Verifier { lane, register_bytes, state: vec![State::Undefined; lane.types.len()] };
    let error = |inst: Option<&Inst>, problem| LaneError {
        kernel: lane.name.clone(),
        inst: inst.map_or_else(String::new, |inst| inst_text(lane, inst)),
        problem,
    };
    for (n, &ty) in lane.types.iter().enumerate() {
        verifier.value_type(ty).map_err(|problem| error(None, format!("value {n}: {problem}")))?;
    }
    verifier.block(&lane.body).map_err(|(inst, problem)| error(Some(inst), problem))
}

type Check = Result<(), String>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Undefined,
    Visible,
    /// Defined in a block that has ended.
    Gone,
}

struct Verifier<'a> {
    lane: &'a Lane,
    register_bytes: u32,
    state: Vec<State>,
}

fn require(holds: bool, problem: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(problem()) }
}

const INDEX: Ty = Ty { elem: Elem::I64, lanes: 1, bits: 64 };
const ADDRESS: Ty = Ty { elem: Elem::Ptr, lanes: 1, bits: 64 };

impl<'a> Verifier<'a> {
    fn value_type(&self, ty: Ty) -> Check {
        let bits_fit = match ty.elem {
            Elem::F32 | Elem::I32 => ty.bits == 32,
            Elem::F64 | Elem::I64 | Elem::Ptr => ty.bits == 64,
            Elem::Mask => ty.bits == 32 || ty.bits == 64,
        };
        require(bits_fit, || format!("an element of {} bits", ty.bits))?;
        let most = if ty.elem == Elem::Ptr { 1 } else { self.register_bytes * 8 / u32::from(ty.bits) };
        require((1..=most.max(1)).contains(&u32::from(ty.lanes)), || format!("{} lanes", ty.lanes))
    }

    fn block(&mut self, block: &'a Block) -> Result<(), (&'a Inst, String)> {
        let mut defined = Vec::new();
        self.insts(block, &mut defined)?;
        self.end(&defined);
        Ok(())
    }

    fn insts(&mut self, block: &'a Block, defined: &mut Vec<V>) -> Result<(), (&'a Inst, String)> {
        block.insts.iter().try_for_each(|inst| self.inst(inst, defined))
    }

    fn end(&mut self, defined: &[V]) {
        for v in defined {
            self.state[v.index()] = State::Gone;
        }
    }

    fn inst(&mut self, inst: &'a Inst, defined: &mut Vec<V>) -> Result<(), (&'a Inst, String)> {
        let at = |problem| (inst, problem);
        match inst {
            Inst::Def { result, op } => {
                self.op(op, *result).map_err(at)?;
                self.define(*result, defined).map_err(at)
            }
            Inst::Store { ptr, disp, mem, tail, value } => self.store(*ptr, *disp, *mem, *tail, *value).map_err(at),
            Inst::Prefetch { ptr, .. } => self.expect(*ptr, ADDRESS).map_err(at),
            Inst::Loop { index, params, body, next, results, .. } => {
                self.loop_head(inst).map_err(at)?;
                let mut inner = Vec::new();
                for &v in std::iter::once(index).chain(params) {
                    self.define(v, &mut inner).map_err(at)?;
                }
                self.insts(body, &mut inner)?;
                next.iter().try_for_each(|&v| self.used(v).map(drop)).map_err(at)?;
                self.end(&inner);
                results.iter().try_for_each(|&v| self.define(v, defined)).map_err(at)
            }
            Inst::If { condition, then, otherwise } => {
                let scalar_mask = self.used(*condition).and_then(|ty| {
                    require(ty.elem == Elem::Mask && ty.lanes == 1, || "the condition isn't a scalar mask".into())
                });
                scalar_mask.map_err(at)?;
                self.block(then)?;
                self.block(otherwise)
            }
        }
    }

    fn loop_head(&self, inst: &Inst) -> Check {
        let Inst::Loop { index, low, high, step, init, params, next, results, .. } = inst else { return Ok(()) };
        require(*step >= 1, || format!("a step of {step}"))?;
        self.expect(*low, INDEX)?;
        self.expect(*high, INDEX)?;
        self.has_type(*index, INDEX)?;
        let count = params.len();
        require([init.len(), next.len(), results.len()] == [count; 3], || "carried values differ in number".into())?;
        for position in 0..count {
            let ty = self.type_of(params[position])?;
            self.expect(init[position], ty)?;
            self.has_type(next[position], ty)?;
            self.has_type(results[position], ty)?;
        }
        Ok(())
    }

    fn is_visible(&self, v: V) -> bool {
        self.state.get(v.index()) == Some(&State::Visible)
    }

    fn define(&mut self, v: V, defined: &mut Vec<V>) -> Check {
        self.type_of(v)?;
        require(self.state[v.index()] == State::Undefined, || format!("value {} is defined twice", v.0))?;
        self.state[v.index()] = State::Visible;
        defined.push(v);
        Ok(())
    }

    fn type_of(&self, v: V) -> Result<Ty, String> {
        self.lane.types.get(v.index()).copied().ok_or_else(|| format!("value {} has no type", v.0))
    }

    /// The type of an operand, which must be visible.
    fn used(&self, v: V) -> Result<Ty, String> {
        let ty = self.type_of(v)?;
        require(self.is_visible(v), || format!("value {} isn't visible", v.0))?;
        Ok(ty)
    }

    fn expect(&self, v: V, ty: Ty) -> Check {
        self.used(v)?;
        self.has_type(v, ty)
    }

    fn has_type(&self, v: V, ty: Ty) -> Check {
        let is = self.type_of(v)?;
        require(is == ty, || format!("value {} is {}, not {}", v.0, type_text(is), type_text(ty)))
    }

    fn op(&self, op: &Op, result: V) -> Check {
        let ty = self.type_of(result)?;
        match op {
            Op::Const(bits) => constant(bits, ty),
            Op::FrameSize(word) => self.frame_word(*word, ty, INDEX),
            Op::FramePtr(word) => self.frame_word(*word, ty, ADDRESS),
            Op::ScratchPtr => same(ty, ADDRESS),
            Op::TileLow | Op::TileHigh => same(ty, INDEX),
            Op::PtrAdd(ptr, bytes) => {
                self.expect(*ptr, ADDRESS)?;
                self.expect(*bytes, INDEX)?;
                same(ty, ADDRESS)
            }
            Op::Load { ptr, disp, mem, tail } => {
                self.access(*ptr, *disp, *mem, *tail, ty)?;
                same(ty, Ty::new(mem.elem(), ty.lanes))
            }
            Op::FUnary(_, a) => self.all(&[*a], ty).and(is_float(ty)),
            Op::FBinary(_, a, b) => self.all(&[*a, *b], ty).and(is_float(ty)),
            Op::MulAdd(a, b, c) => self.all(&[*a, *b, *c], ty).and(is_float(ty)),
            Op::IBinary(op, a, b) => self.all(&[*a, *b], ty).and(is_int(ty)).and(int_op_fits(*op, ty)),
            Op::Shift(_, a, by) => {
                self.all(&[*a], ty).and(is_int(ty))?;
                require(*by < ty.bits, || format!("a shift by {by}"))
            }
            Op::FCmp(_, a, b) => self.compare(*a, *b, ty, is_float),
            Op::ICmp(_, a, b) => self.compare(*a, *b, ty, is_int),
            Op::MaskAnd(a, b) | Op::MaskOr(a, b) => self.all(&[*a, *b], ty).and(is_mask(ty)),
            Op::MaskNot(a) => self.all(&[*a], ty).and(is_mask(ty)),
            Op::Select(mask, a, b) => self.select(*mask, *a, *b, ty),
            Op::Convert(convert, a) => self.convert(*convert, *a, ty),
            Op::Splat(a) => self.expect(*a, Ty { lanes: 1, ..ty }),
            Op::Extract(a, lane) => {
                let from = self.used(*a)?;
                require(from.lanes > 1 && *lane < from.lanes, || format!("lane {lane} of {}", from.lanes))?;
                same(ty, Ty { lanes: 1, ..from })
            }
            Op::Pack(scalars) => {
                require(scalars.len() == usize::from(ty.lanes), || format!("{} scalars", scalars.len()))?;
                self.all(scalars, Ty { lanes: 1, ..ty })
            }
        }
    }

    fn frame_word(&self, word: u32, ty: Ty, wanted: Ty) -> Check {
        require(word < self.lane.frame_words, || format!("frame word {word} of {}", self.lane.frame_words))?;
        same(ty, wanted)
    }

    fn all(&self, operands: &[V], ty: Ty) -> Check {
        operands.iter().try_for_each(|&v| self.expect(v, ty))
    }

    fn compare(&self, a: V, b: V, ty: Ty, kind: fn(Ty) -> Check) -> Check {
        let of = self.used(a)?;
        kind(of)?;
        self.expect(b, of)?;
        same(ty, Ty::mask_of(of))
    }

    /// A scalar mask selects anything; a vector mask selects lanes of its own width.
    fn select(&self, mask: V, a: V, b: V, ty: Ty) -> Check {
        let mask = self.used(mask)?;
        is_mask(mask)?;
        let fits = mask.lanes == 1 || (mask.lanes == ty.lanes && mask.bits == ty.bits);
        require(fits, || format!("{} selects {}", type_text(mask), type_text(ty)))?;
        self.all(&[a, b], ty)
    }

    fn convert(&self, convert: Convert, a: V, ty: Ty) -> Check {
        let from = self.used(a)?;
        if convert == Convert::MaskInt {
            is_mask(from)?;
            let elem = if from.bits == 32 { Elem::I32 } else { Elem::I64 };
            return same(ty, Ty::new(elem, from.lanes));
        }
        let (source, target) = conversion(convert);
        same(from, Ty::new(source, from.lanes))?;
        same(ty, Ty::new(target, from.lanes))?;
        require(ty.lanes == 1 || ty.bits == from.bits, || "a vector changes the width of its lanes".into())
    }

    fn store(&self, ptr: V, disp: i32, mem: Mem, tail: Tail, value: V) -> Check {
        let ty = self.used(value)?;
        self.access(ptr, disp, mem, tail, ty)?;
        same(ty, Ty::new(mem.elem(), ty.lanes))
    }

    fn access(&self, ptr: V, disp: i32, mem: Mem, tail: Tail, ty: Ty) -> Check {
        self.expect(ptr, ADDRESS)?;
        let end = i64::from(disp) + i64::from(ty.lanes) * mem.bytes();
        require(i32::try_from(end).is_ok(), || format!("a displacement of {disp}"))?;
        match tail {
            Tail::Full => Ok(()),
            Tail::Const(count) => require((1..ty.lanes).contains(&count), || format!("a tail of {count} lanes")),
            Tail::Value(count) => self.expect(count, INDEX),
        }
    }
}

fn same(ty: Ty, wanted: Ty) -> Check {
    require(ty == wanted, || format!("{} in place of {}", type_text(ty), type_text(wanted)))
}

fn is_float(ty: Ty) -> Check {
    require(matches!(ty.elem, Elem::F32 | Elem::F64), || format!("{} isn't a float", type_text(ty)))
}

fn is_int(ty: Ty) -> Check {
    require(matches!(ty.elem, Elem::I32 | Elem::I64), || format!("{} isn't an integer", type_text(ty)))
}

fn is_mask(ty: Ty) -> Check {
    require(ty.elem == Elem::Mask, || format!("{} isn't a mask", type_text(ty)))
}

fn int_op_fits(op: IBinary, ty: Ty) -> Check {
    let fits = match op {
        IBinary::MulHighU => ty.bits == 32,
        IBinary::DivFloor | IBinary::ModFloor => ty.lanes == 1,
        IBinary::Add
        | IBinary::Sub
        | IBinary::Mul
        | IBinary::And
        | IBinary::Or
        | IBinary::Xor
        | IBinary::Min
        | IBinary::Max => true,
    };
    require(fits, || format!("no {op:?} of {}", type_text(ty)))
}

fn constant(bits: &[u64], ty: Ty) -> Check {
    require(bits.len() == 1 || bits.len() == usize::from(ty.lanes), || format!("{} elements", bits.len()))?;
    let fits = |&bits: &u64| ty.bits == 64 || u32::try_from(bits).is_ok();
    require(bits.iter().all(fits), || "an element beyond its 32 bits".into())
}

/// From what to what; masks apart.
fn conversion(convert: Convert) -> (Elem, Elem) {
    match convert {
        Convert::F32F64 => (Elem::F32, Elem::F64),
        Convert::F64F32 => (Elem::F64, Elem::F32),
        Convert::F32I32 | Convert::F32BitsI32 => (Elem::F32, Elem::I32),
        Convert::F64I32 => (Elem::F64, Elem::I32),
        Convert::F32I64 => (Elem::F32, Elem::I64),
        Convert::F64I64 | Convert::F64BitsI64 => (Elem::F64, Elem::I64),
        Convert::I32F32 | Convert::I32BitsF32 => (Elem::I32, Elem::F32),
        Convert::I32F64 => (Elem::I32, Elem::F64),
        Convert::I64F32 => (Elem::I64, Elem::F32),
        Convert::I64F64 | Convert::I64BitsF64 => (Elem::I64, Elem::F64),
        Convert::I32I64 => (Elem::I32, Elem::I64),
        Convert::I64I32 => (Elem::I64, Elem::I32),
        Convert::MaskInt => (Elem::Mask, Elem::I32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    const F32X4: Ty = Ty { elem: Elem::F32, lanes: 4, bits: 32 };

    fn def(n: u32, op: Op) -> Inst {
        Inst::Def { result: V(n), op }
    }

    fn problem(types: &[Ty], insts: Vec<Inst>) -> String {
        let body = Block { insts };
        let lane = Lane { name: "k".into(), types: types.to_vec(), body, frame_words: 1, scratch_bytes: 0 };
        verify(&lane, 16).err().map_or_else(String::new, |error| error.problem)
    }

    fn load(ptr: u32, tail: Tail) -> Op {
        Op::Load { ptr: V(ptr), disp: 0, mem: Mem::F32, tail }
    }

    fn repeat(body: Vec<Inst>, init: u32, next: u32) -> Inst {
        Inst::Loop {
            index: V(10),
            low: V(0),
            high: V(0),
            step: 1,
            init: vec![V(init)],
            params: vec![V(11)],
            body: Block { insts: body },
            next: vec![V(next)],
            results: vec![V(12)],
        }
    }

    #[test]
    fn a_good_kernel() {
        let insts =
            vec![def(0, Op::FramePtr(0)), def(1, load(0, Tail::Const(3))), def(2, Op::MulAdd(V(1), V(1), V(1)))];
        assert_eq!(problem(&[ADDRESS, F32X4, F32X4], insts), "");
    }

    #[test]
    fn widths() {
        assert_eq!(problem(&[Ty { lanes: 5, ..F32X4 }], vec![]), "value 0: 5 lanes");
        assert_eq!(problem(&[Ty { lanes: 2, ..ADDRESS }], vec![]), "value 0: 2 lanes");
        assert_eq!(problem(&[Ty { bits: 64, ..F32X4 }], vec![]), "value 0: an element of 64 bits");
    }

    #[test]
    fn definitions() {
        let one = || def(0, Op::Const(smallvec![1]));
        assert_eq!(problem(&[INDEX], vec![one(), one()]), "value 0 is defined twice");
        let early = def(1, Op::IBinary(IBinary::Add, V(0), V(0)));
        assert_eq!(problem(&[INDEX, INDEX], vec![early, one()]), "value 0 isn't visible");
    }

    #[test]
    fn loops() {
        let types = [INDEX; 14];
        let zero = || def(0, Op::Const(smallvec![0]));
        let sum = || def(13, Op::IBinary(IBinary::Add, V(10), V(11)));
        let after = |v| def(5, Op::IBinary(IBinary::Add, V(v), V(v)));
        assert_eq!(problem(&types, vec![zero(), repeat(vec![sum()], 0, 13), after(12)]), "");
        assert_eq!(problem(&types, vec![zero(), repeat(vec![sum()], 0, 13), after(13)]), "value 13 isn't visible");
        assert_eq!(problem(&types, vec![zero(), repeat(vec![sum()], 0, 13), after(10)]), "value 10 isn't visible");
        assert_eq!(problem(&types, vec![zero(), repeat(vec![], 0, 5)]), "value 5 isn't visible");
    }

    #[test]
    fn ranges() {
        let pointer = || def(0, Op::FramePtr(0));
        assert_eq!(problem(&[ADDRESS], vec![def(0, Op::FramePtr(1))]), "frame word 1 of 1");
        let tail = |count| problem(&[ADDRESS, F32X4], vec![pointer(), def(1, load(0, Tail::Const(count)))]);
        assert_eq!(tail(0), "a tail of 0 lanes");
        assert_eq!(tail(4), "a tail of 4 lanes");
        let counted = problem(&[ADDRESS, F32X4], vec![pointer(), def(1, load(0, Tail::Value(V(0))))]);
        assert_eq!(counted, "value 0 is ptr, not i64");
        assert_eq!(
            problem(&[Ty::new(Elem::I32, 1)], vec![def(0, Op::Const(smallvec![1 << 32]))]),
            "an element beyond its 32 bits"
        );
    }

    #[test]
    fn types() {
        let insts = vec![def(0, Op::Const(smallvec![0])), def(1, Op::FBinary(crate::lane::FBinary::Add, V(0), V(0)))];
        assert_eq!(problem(&[INDEX, INDEX], insts), "i64 isn't a float");
        let vector = Ty::new(Elem::I32, 4);
        let insts = vec![def(0, Op::Const(smallvec![0])), def(1, Op::IBinary(IBinary::DivFloor, V(0), V(0)))];
        assert_eq!(problem(&[vector, vector], insts), "no DivFloor of i32x4");
    }
}
