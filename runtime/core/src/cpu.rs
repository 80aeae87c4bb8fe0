//! What the processor can do, as one of the levels that code is compiled for.
//!
//! A level counts only if the operating system also saves its registers (`XGETBV`).

/// An instruction set that kernels are compiled for; a later one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the architecture has; on x86-64 that is below `v2`.
    Base,
    /// x86-64-v2: SSE4.2, POPCNT.
    V2,
    /// x86-64-v3: AVX2, FMA, BMI1, BMI2, LZCNT, MOVBE, F16C.
    V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL.
    V4,
}

impl Level {
    /// The name used on the command line and in metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V4 => "v4",
        }
    }

    /// The number of the level in compiled programs.
    pub const fn number(self) -> u64 {
        match self {
            Self::Base => 0,
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// The level with a number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Base, Self::V2, Self::V3, Self::V4].into_iter().find(|level| level.number() == number)
    }

    /// The level called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Base, Self::V2, Self::V3, Self::V4].into_iter().find(|level| level.name() == name)
    }
}

/// The highest level of this processor; [`Level::Base`] on architectures other than x86-64.
pub fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    return x86::detect();
    #[cfg(not(target_arch = "x86_64"))]
    return Level::Base;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Level;
    use core::arch::x86_64::{__cpuid, __cpuid_count};

    /// CPUID leaf 1, ECX: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT.
    const V2_1C: u32 = bits(&[0, 9, 13, 19, 20, 23]);
    /// CPUID leaf 1, ECX: FMA, MOVBE, OSXSAVE, AVX, F16C.
    const V3_1C: u32 = bits(&[12, 22, 27, 28, 29]);
    /// CPUID leaf 7, EBX: BMI1, AVX2, BMI2.
    const V3_7B: u32 = bits(&[3, 5, 8]);
    /// CPUID leaf 0x8000_0001, ECX: LZCNT.
    const V3_EXT_C: u32 = bits(&[5]);
    /// CPUID leaf 7, EBX: AVX-512 F, DQ, CD, BW, VL.
    const V4_7B: u32 = bits(&[16, 17, 28, 30, 31]);
    /// XCR0: SSE and AVX registers.
    const XCR0_AVX: u64 = 0b110;
    /// XCR0: opmask, upper halves of zmm0–15, zmm16–31.
    const XCR0_AVX512: u64 = 0b1110_0000;

    const fn bits(positions: &[u32]) -> u32 {
        let mut mask = 0;
        let mut i = 0;
        while i < positions.len() {
            mask |= 1 << positions[i];
            i += 1;
        }
        mask
    }

    pub(super) fn detect() -> Level {
        let leaf1 = __cpuid(1).ecx;
        if leaf1 & V2_1C != V2_1C {
            return Level::Base;
        }
        let leaf7 = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).ebx } else { 0 };
        let ext = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 };
        let v3 = leaf1 & V3_1C == V3_1C && leaf7 & V3_7B == V3_7B && ext & V3_EXT_C == V3_EXT_C;
        if !v3 {
            return Level::V2;
        }
        // SAFETY: OSXSAVE is part of `V3_1C`, so XGETBV exists and is enabled.
        let xcr0 = unsafe { xgetbv() };
        if xcr0 & XCR0_AVX != XCR0_AVX {
            return Level::V2;
        }
        if leaf7 & V4_7B == V4_7B && xcr0 & XCR0_AVX512 == XCR0_AVX512 { Level::V4 } else { Level::V3 }
    }

    /// Reads XCR0.
    ///
    /// # Safety
    ///
    /// CPUID must report OSXSAVE.
    unsafe fn xgetbv() -> u64 {
        let (lo, hi): (u32, u32);
        // SAFETY: the caller checked that the instruction exists; it only writes eax and edx.
        unsafe {
            core::arch::asm!(
                "xgetbv", in("ecx") 0, out("eax") lo, out("edx") hi, options(nomem, nostack, preserves_flags)
            );
        }
        u64::from(hi) << 32 | u64::from(lo)
    }
}
