//! The emitter for wide vectors: Lane code to x86-64-v3 (AVX2 and FMA) and -v4 (AVX-512), with vectors
//! of 256 and 512 bits, which Cranelift doesn't have. Kernels are leaf functions without relocations;
//! their constants stand behind the code.
//!
//! [`select`] turns Lane values into instructions of registers without number, regalloc2 numbers them
//! ([`alloc`]), and [`finish`] writes the bytes ([`assemble`], [`opcode`]).

mod alloc;
mod assemble;
mod finish;
mod inst;
mod opcode;
mod select;

use alloc::Linear;
use assemble::Len;
use mlc_kernel::lane::Lane;

/// The instruction set of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX2 and FMA: 16 registers of 256 bits; masks are vectors.
    Avx2,
    /// AVX-512 F, VL, DQ, BW: 32 registers of 512 bits, and registers for masks.
    Avx512,
}

impl Isa {
    /// Bytes of a vector register.
    pub(crate) fn vector_bytes(self) -> u32 {
        match self {
            Isa::Avx2 => 32,
            Isa::Avx512 => 64,
        }
    }

    fn has_masks(self) -> bool {
        self == Isa::Avx512
    }

    fn len(self) -> Len {
        match self {
            Isa::Avx2 => Len::L256,
            Isa::Avx512 => Len::L512,
        }
    }
}

/// Of the start of a kernel's code.
pub(crate) const ALIGN: u64 = 64;

/// The code of a kernel that takes the parameters of `mlc_rt_core::abi::Kernel`.
pub(crate) fn kernel(lane: &Lane, isa: Isa) -> Vec<u8> {
    let code = select::select(lane, isa);
    let linear = Linear::new(&code, isa);
    let output = linear.allocate();
    finish::finish(&code, &linear, &output, isa)
}
