//! Lane code as text, for dumps and snapshots. Values are numbered by first appearance, so the text
//! doesn't depend on how a kernel was built.

use crate::lane::{Block, Elem, Inst, Lane, Mem, Op, Tail, Ty, V};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The text of a kernel.
///
/// ```text
/// kernel copy: 2 frame words, 0 bytes of scratch
///   v0: ptr = frame_ptr 0
///   v1: f32x4 = load f32 v0 + 16, first 3
/// ```
pub fn text(lane: &Lane) -> String {
    let mut printer = Printer { lane, numbers: BTreeMap::new(), out: String::new() };
    // Writing to a string can't fail.
    let _ = printer.kernel();
    printer.out
}

/// The text of one instruction of a kernel (without the blocks in it), with the numbers that
/// [`text`] gives.
pub fn inst_text(lane: &Lane, inst: &Inst) -> String {
    let mut printer = Printer { lane, numbers: BTreeMap::new(), out: String::new() };
    let _ = printer.kernel();
    printer.out.clear();
    let _ = printer.head(inst);
    printer.out.trim_end_matches('\n').to_string()
}

/// The text of a type: `f32x4`, `i64`, `mask32x4`.
pub fn type_text(ty: Ty) -> String {
    let element = match ty.elem {
        Elem::F32 => "f32",
        Elem::F64 => "f64",
        Elem::I32 => "i32",
        Elem::I64 => "i64",
        Elem::Ptr => "ptr",
        Elem::Mask if ty.bits == 32 => "mask32",
        Elem::Mask => "mask64",
    };
    if ty.lanes == 1 { element.to_string() } else { format!("{element}x{}", ty.lanes) }
}

struct Printer<'a> {
    lane: &'a Lane,
    numbers: BTreeMap<V, usize>,
    out: String,
}

impl Printer<'_> {
    fn kernel(&mut self) -> fmt::Result {
        let Lane { name, frame_words, scratch_bytes, .. } = self.lane;
        writeln!(self.out, "kernel {name}: {frame_words} frame words, {scratch_bytes} bytes of scratch")?;
        let lane = self.lane;
        self.block(&lane.body, 1)
    }

    fn block(&mut self, block: &Block, depth: usize) -> fmt::Result {
        for inst in &block.insts {
            self.indent(depth);
            self.head(inst)?;
            match inst {
                Inst::Def { .. } | Inst::Store { .. } | Inst::Prefetch { .. } => {}
                Inst::Loop { body, next, .. } => self.loop_body(body, next, depth)?,
                Inst::If { then, otherwise, .. } => {
                    self.block(then, depth + 1)?;
                    self.otherwise(otherwise, depth)?;
                }
            }
        }
        Ok(())
    }

    fn loop_body(&mut self, body: &Block, next: &[V], depth: usize) -> fmt::Result {
        self.block(body, depth + 1)?;
        if next.is_empty() {
            return Ok(());
        }
        self.indent(depth + 1);
        let next = self.list(next);
        writeln!(self.out, "next {next}")
    }

    fn otherwise(&mut self, block: &Block, depth: usize) -> fmt::Result {
        if block.insts.is_empty() {
            return Ok(());
        }
        self.indent(depth);
        writeln!(self.out, "else")?;
        self.block(block, depth + 1)
    }

    /// An instruction's own line.
    fn head(&mut self, inst: &Inst) -> fmt::Result {
        let line = match inst {
            Inst::Def { result, op } => {
                let op = self.op(op);
                format!("{} = {op}", self.typed(*result))
            }
            Inst::Store { ptr, disp, mem, tail, value } => {
                let (place, value) = (self.place(*ptr, *disp, *mem), self.v(*value));
                format!("store {place}{}, {value}", self.tail(*tail))
            }
            Inst::Prefetch { ptr, disp, write } => {
                let why = if *write { "prefetch to write" } else { "prefetch" };
                format!("{why} {}", self.bytes_at(*ptr, *disp))
            }
            Inst::Loop { index, low, high, step, init, params, results, .. } => {
                let (low, high) = (self.v(*low), self.v(*high));
                let init: Vec<String> = init.iter().map(|&v| self.v(v)).collect();
                let results = self.list(results);
                let index = self.v(*index);
                let params = params.iter().zip(init).map(|(&param, init)| format!("{} = {init}", self.typed(param)));
                let params: Vec<String> = params.collect();
                let arrow = if results.is_empty() { "" } else { " -> " };
                format!("loop {index} in {low}..{high} step {step} ({}){arrow}{results}", params.join(", "))
            }
            Inst::If { condition, .. } => format!("if {}", self.v(*condition)),
        };
        writeln!(self.out, "{line}")
    }

    fn op(&mut self, op: &Op) -> String {
        match op {
            Op::Const(bits) => {
                let bits: Vec<String> = bits.iter().map(|bits| format!("{bits:#x}")).collect();
                format!("const {}", bits.join(", "))
            }
            Op::FrameSize(word) => format!("frame_size {word}"),
            Op::FramePtr(word) => format!("frame_ptr {word}"),
            Op::ScratchPtr => "scratch_ptr".to_string(),
            Op::TileLow => "tile_low".to_string(),
            Op::TileHigh => "tile_high".to_string(),
            Op::PtrAdd(ptr, bytes) => format!("ptr_add {}", self.list(&[*ptr, *bytes])),
            Op::Load { ptr, disp, mem, tail } => {
                let place = self.place(*ptr, *disp, *mem);
                format!("load {place}{}", self.tail(*tail))
            }
            Op::FUnary(op, a) => format!("{} {}", lower(op), self.v(*a)),
            Op::FBinary(op, a, b) => format!("{} {}", lower(op), self.list(&[*a, *b])),
            Op::MulAdd(a, b, c) => format!("mul_add {}", self.list(&[*a, *b, *c])),
            Op::IBinary(op, a, b) => format!("{} {}", lower(op), self.list(&[*a, *b])),
            Op::Shift(op, a, by) => format!("shift_{} {}, {by}", lower(op), self.v(*a)),
            Op::FCmp(cmp, a, b) | Op::ICmp(cmp, a, b) => format!("cmp_{} {}", lower(cmp), self.list(&[*a, *b])),
            Op::MaskAnd(a, b) => format!("mask_and {}", self.list(&[*a, *b])),
            Op::MaskOr(a, b) => format!("mask_or {}", self.list(&[*a, *b])),
            Op::MaskNot(a) => format!("mask_not {}", self.v(*a)),
            Op::Select(mask, a, b) => format!("select {}", self.list(&[*mask, *a, *b])),
            Op::Convert(op, a) => format!("convert_{} {}", lower(op), self.v(*a)),
            Op::Splat(a) => format!("splat {}", self.v(*a)),
            Op::Extract(a, lane) => format!("extract {}, {lane}", self.v(*a)),
            Op::Pack(scalars) => format!("pack {}", self.list(scalars)),
        }
    }

    fn place(&mut self, ptr: V, disp: i32, mem: Mem) -> String {
        format!("{} {}", lower(&mem), self.bytes_at(ptr, disp))
    }

    fn bytes_at(&mut self, ptr: V, disp: i32) -> String {
        let sign = if disp < 0 { '-' } else { '+' };
        format!("{} {sign} {}", self.v(ptr), disp.unsigned_abs())
    }

    fn tail(&mut self, tail: Tail) -> String {
        match tail {
            Tail::Full => String::new(),
            Tail::Const(count) => format!(", first {count}"),
            Tail::Value(count) => format!(", first {}", self.v(count)),
        }
    }

    fn v(&mut self, v: V) -> String {
        let next = self.numbers.len();
        format!("v{}", self.numbers.entry(v).or_insert(next))
    }

    fn typed(&mut self, v: V) -> String {
        let ty = self.lane.types.get(v.index()).map_or_else(|| "?".to_string(), |&ty| type_text(ty));
        format!("{}: {ty}", self.v(v))
    }

    fn list(&mut self, values: &[V]) -> String {
        let values: Vec<String> = values.iter().map(|&v| self.v(v)).collect();
        values.join(", ")
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// The name of a unit variant in the way of op names: `MulHighU` is `mul_high_u`.
fn lower(variant: &impl fmt::Debug) -> String {
    let mut text = String::new();
    let mut previous_is_small = false;
    for c in format!("{variant:?}").chars() {
        if c.is_ascii_uppercase() && previous_is_small {
            text.push('_');
        }
        previous_is_small = c.is_ascii_lowercase();
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::smallvec;

    #[test]
    fn numbers_follow_the_text() {
        let (i64s, vector) = (Ty::new(Elem::I64, 1), Ty::new(Elem::F32, 4));
        let def = |n, op| Inst::Def { result: V(n), op };
        let body = vec![def(9, Op::Load { ptr: V(1), disp: -16, mem: Mem::F32, tail: Tail::Const(3) })];
        let insts = vec![
            def(1, Op::FramePtr(0)),
            def(5, Op::Const(smallvec![0])),
            def(3, Op::FrameSize(1)),
            def(2, Op::Const(smallvec![0x3f80_0000])),
            Inst::Loop {
                index: V(4),
                low: V(5),
                high: V(3),
                step: 4,
                init: vec![V(2)],
                params: vec![V(6)],
                body: Block { insts: body },
                next: vec![V(9)],
                results: vec![V(7)],
            },
            Inst::Store { ptr: V(1), disp: 0, mem: Mem::F32, tail: Tail::Full, value: V(7) },
        ];
        let types = vec![i64s, Ty::new(Elem::Ptr, 1), vector, i64s, i64s, i64s, vector, vector, i64s, vector];
        let lane = Lane { name: "last".into(), types, body: Block { insts }, frame_words: 2, scratch_bytes: 0 };
        let expected = "\
kernel last: 2 frame words, 0 bytes of scratch
  v0: ptr = frame_ptr 0
  v1: i64 = const 0x0
  v2: i64 = frame_size 1
  v3: f32x4 = const 0x3f800000
  loop v5 in v1..v2 step 4 (v6: f32x4 = v3) -> v4
    v7: f32x4 = load f32 v0 - 16, first 3
    next v7
  store f32 v0 + 0, v4
";
        assert_eq!(text(&lane), expected);
        assert_eq!(inst_text(&lane, &lane.body.insts[5]), "store f32 v0 + 0, v4");
        assert_eq!(lower(&crate::lane::IBinary::MulHighU), "mul_high_u");
    }
}
