//! Lane: the machine-near form of a kernel. SSA over scalars and vectors of equal elements, with
//! structured loops and conditions. Tree→Lane has unrolled, computed addresses, expanded exp and its
//! kin into polynomials; an emitter is a table of these ops, and [`crate::interp`] is their meaning.
//!
//! Values of memory bytes (u8, i8, bool) are i32 in registers. Vectors hold `lanes` elements; every
//! vector of a kernel fits the target's registers (`lanes * elem bytes <= width`).
//! Integer arithmetic wraps. No op traps.

use smallvec::SmallVec;

/// An SSA value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct V(pub u32);

impl V {
    /// As a position in [`Lane::types`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a register element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
    /// 32 bits.
    I32,
    /// 64 bits: sizes, indices, and i64 data.
    I64,
    /// An address; scalar only.
    Ptr,
    /// A truth value. In vectors all ones or all zeros, as wide as what was compared.
    Mask,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ty {
    /// What an element is.
    pub elem: Elem,
    /// 1 for a scalar.
    pub lanes: u8,
    /// Bits of an element: 32 or 64; for a mask those of what was compared; 64 for `Ptr`.
    pub bits: u8,
}

/// What an element in memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mem {
    /// f32
    F32,
    /// f64
    F64,
    /// i32
    I32,
    /// i64
    I64,
    /// One byte, zero-extended to an i32 register element; stores keep the low byte.
    U8,
    /// One byte, sign-extended to an i32 register element; stores keep the low byte.
    I8,
}

impl Mem {
    /// Bytes of an element.
    pub fn bytes(self) -> i64 {
        match self {
            Mem::F32 | Mem::I32 => 4,
            Mem::F64 | Mem::I64 => 8,
            Mem::U8 | Mem::I8 => 1,
        }
    }

    /// The register element it becomes.
    pub fn elem(self) -> Elem {
        match self {
            Mem::F32 => Elem::F32,
            Mem::F64 => Elem::F64,
            Mem::I32 | Mem::U8 | Mem::I8 => Elem::I32,
            Mem::I64 => Elem::I64,
        }
    }
}

/// How many leading lanes a load or store touches. The rest of a load is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    /// All.
    Full,
    /// The first so many, at least 1 and fewer than the lanes.
    Const(u8),
    /// The first so many: an i64 value within `0..=lanes`.
    Value(V),
}

/// Ops of one float operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FUnary {
    /// Sign bit flipped.
    Neg,
    /// Sign bit cleared.
    Abs,
    /// Square root.
    Sqrt,
    /// Towards -inf.
    Floor,
    /// Towards +inf.
    Ceil,
    /// To nearest, ties to even.
    Nearest,
    /// Towards 0.
    Trunc,
}

/// Ops of two float operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FBinary {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// `a < b ? a : b`
    Min,
    /// `a > b ? a : b`
    Max,
}

/// Ops of two integer operands of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IBinary {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product, low half.
    Mul,
    /// Bits in both.
    And,
    /// Bits in either.
    Or,
    /// Bits in one.
    Xor,
    /// High half of the unsigned product; 32-bit elements only.
    MulHighU,
    /// `floor(a / b)`, 0 if `b` is 0; scalars only.
    DivFloor,
    /// `a - b·floor(a / b)`, 0 if `b` is 0; scalars only.
    ModFloor,
    /// Signed smaller.
    Min,
    /// Signed larger.
    Max,
}

/// Shifts by a constant below the element's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shift {
    /// Left.
    Left,
    /// Right, zeros in.
    RightU,
    /// Right, sign in.
    RightS,
}

/// Comparisons. Of floats: ordered (false with NaN), but `Ne`, which is true with NaN. Of integers: signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// Conversions. Lanes stay; vectors only between elements of equal bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Convert {
    /// f32 to f64, exact.
    F32F64,
    /// f64 to f32, to nearest.
    F64F32,
    /// To i32 towards 0, saturating, NaN: 0.
    F32I32,
    /// To i32 towards 0, saturating, NaN: 0.
    F64I32,
    /// To i64 towards 0, saturating, NaN: 0.
    F32I64,
    /// To i64 towards 0, saturating, NaN: 0.
    F64I64,
    /// To nearest.
    I32F32,
    /// Exact.
    I32F64,
    /// To nearest.
    I64F32,
    /// To nearest.
    I64F64,
    /// Sign-extended.
    I32I64,
    /// Low half.
    I64I32,
    /// The bits of an f32 as an i32.
    F32BitsI32,
    /// The bits of an i32 as an f32.
    I32BitsF32,
    /// The bits of an f64 as an i64.
    F64BitsI64,
    /// The bits of an i64 as an f64.
    I64BitsF64,
    /// 0 or 1 as an integer of the mask's bits (i32 or i64).
    MaskInt,
}

/// An operation without control flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Element bits, one for each lane (or one for all lanes).
    Const(SmallVec<[u64; 1]>),
    /// The n-th word of the frame, as an i64.
    FrameSize(u32),
    /// The n-th word of the frame, as an address.
    FramePtr(u32),
    /// This worker's scratch memory.
    ScratchPtr,
    /// First tile (i64).
    TileLow,
    /// One past the last tile (i64).
    TileHigh,
    /// Address plus bytes (i64).
    PtrAdd(V, V),
    /// Consecutive elements at `ptr + disp` (element-aligned).
    Load {
        /// Where.
        ptr: V,
        /// Bytes added.
        disp: i32,
        /// What is there.
        mem: Mem,
        /// Which lanes.
        tail: Tail,
    },
    /// A float op.
    FUnary(FUnary, V),
    /// A float op.
    FBinary(FBinary, V, V),
    /// `a * b + c`, rounded once (twice at levels without FMA).
    MulAdd(V, V, V),
    /// An integer op.
    IBinary(IBinary, V, V),
    /// An integer shift.
    Shift(Shift, V, u8),
    /// A float comparison.
    FCmp(Cmp, V, V),
    /// An integer comparison.
    ICmp(Cmp, V, V),
    /// Both masks.
    MaskAnd(V, V),
    /// Either mask.
    MaskOr(V, V),
    /// The other lanes.
    MaskNot(V),
    /// `mask ? a : b`; a scalar mask selects whole values.
    Select(V, V, V),
    /// A conversion.
    Convert(Convert, V),
    /// A scalar in every lane.
    Splat(V),
    /// One lane.
    Extract(V, u8),
    /// Lanes from scalars.
    Pack(SmallVec<[V; 4]>),
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// `result = op`
    Def {
        /// The value it defines.
        result: V,
        /// How.
        op: Op,
    },
    /// Consecutive elements to `ptr + disp` (element-aligned).
    Store {
        /// Where.
        ptr: V,
        /// Bytes added.
        disp: i32,
        /// What is there.
        mem: Mem,
        /// Which lanes.
        tail: Tail,
        /// What to write.
        value: V,
    },
    /// Asks for the line of memory around `ptr + disp`. A hint: it changes nothing and never faults, so
    /// the address may be anywhere.
    Prefetch {
        /// Where.
        ptr: V,
        /// Bytes added.
        disp: i32,
        /// Whether it will be written over rather than read.
        write: bool,
    },
    /// `for index in (low..high).step_by(step)` with values carried from turn to turn.
    Loop {
        /// i64, defined in the body.
        index: V,
        /// First index (i64).
        low: V,
        /// End (i64); no turn if not above `low`.
        high: V,
        /// At least 1.
        step: i64,
        /// Values before the first turn.
        init: Vec<V>,
        /// The carried values, defined in the body.
        params: Vec<V>,
        /// The body.
        body: Block,
        /// The carried values after a turn, defined in the body or outside.
        next: Vec<V>,
        /// The carried values after the last turn.
        results: Vec<V>,
    },
    /// Runs `then` if the scalar mask is true.
    If {
        /// A scalar mask.
        condition: V,
        /// Runs if true.
        then: Block,
        /// Runs if false.
        otherwise: Block,
    },
}

/// Instructions in order. Values defined in a block are visible in it (and inside its loops) alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Block {
    /// In order.
    pub insts: Vec<Inst>,
}

/// A kernel. Two with equal code are one kernel, whatever their names.
#[derive(Clone, Debug)]
pub struct Lane {
    /// For dumps and symbols.
    pub name: String,
    /// Type of each value.
    pub types: Vec<Ty>,
    /// The code.
    pub body: Block,
    /// Number of frame words.
    pub frame_words: u32,
    /// Bytes of scratch used.
    pub scratch_bytes: u32,
}

impl Ty {
    /// A scalar or vector of a number or address element.
    pub fn new(elem: Elem, lanes: u8) -> Ty {
        let bits = match elem {
            Elem::F32 | Elem::I32 | Elem::Mask => 32,
            Elem::F64 | Elem::I64 | Elem::Ptr => 64,
        };
        Ty { elem, lanes, bits }
    }

    /// A mask as a comparison of `operand` gives.
    pub fn mask_of(operand: Ty) -> Ty {
        Ty { elem: Elem::Mask, lanes: operand.lanes, bits: operand.bits }
    }
}

impl PartialEq for Lane {
    fn eq(&self, other: &Lane) -> bool {
        self.types == other.types
            && self.body == other.body
            && self.frame_words == other.frame_words
            && self.scratch_bytes == other.scratch_bytes
    }
}
