//! Targets, levels and the Cranelift instruction sets made of them: the one place that sets flags.
//!
//! Invariant: Cranelift's presets are never used. `x86-64-v3` of 0.135 lacks `has_avx`, without which
//! every `fma` would become four calls of `fmaf`; features are set one by one and checked.

use crate::error::{CodegenError, bug};
use crate::wide;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};
use mlc_kernel::schedule::Machine;
use mlc_rt_core::cpu;
use std::fmt;
use target_lexicon::{Architecture, Triple};

/// What of the x86-64 instruction set kernels use. Other architectures have one level: both names
/// mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// x86-64-v2: SSE 4.2. No fused multiply-add: `MulAdd` rounds twice.
    V2,
    /// x86-64-v3: AVX2 and FMA.
    V3,
    /// x86-64-v4: AVX-512 F, VL, DQ, BW. The same bits as v3.
    V4,
}

impl Level {
    /// The highest level that the running processor has.
    pub fn host() -> Level {
        Level::ALL.into_iter().rev().find(|level| level.runs_here()).unwrap_or(Level::V2)
    }

    /// Whether the running processor has what this level needs: what executables ask before they run its
    /// code.
    pub fn runs_here(self) -> bool {
        !cfg!(target_arch = "x86_64") || cpu::detect() >= self.in_runtime()
    }

    /// The level as executables know it.
    fn in_runtime(self) -> cpu::Level {
        match self {
            Level::V2 => cpu::Level::V2,
            Level::V3 => cpu::Level::V3,
            Level::V4 => cpu::Level::V4,
        }
    }

    /// All levels, the lowest first.
    pub const ALL: [Level; 3] = [Level::V2, Level::V3, Level::V4];

    /// As options and metadata name it.
    pub fn name(self) -> &'static str {
        self.in_runtime().name()
    }

    fn x86_features(self) -> &'static [&'static str] {
        match self {
            Level::V2 => &V3_FEATURES[..V2_FEATURES],
            // Cranelift has no use for more.
            Level::V3 | Level::V4 => &V3_FEATURES,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x86-64-{}", self.name())
    }
}

/// The features of v3; those of v2 are the first [`V2_FEATURES`].
const V3_FEATURES: [&str; 11] = [
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

const V2_FEATURES: usize = 5;

/// What makes the code of kernels at levels with wide vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Emitter {
    /// The wide emitter, with vectors as long as the level's.
    #[default]
    Wide,
    /// Cranelift, with vectors of 128 bits.
    Cranelift,
}

/// A machine to compile for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    triple: Triple,
}

/// Where code goes. In position-independent code Cranelift takes every address from the GOT, which a
/// JIT hasn't, so the two need an instruction set each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Jit,
    Object,
}

/// What Cranelift may do to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Optimize {
    /// Everything: constants and what doesn't change leave loops, common expressions merge. But within
    /// a block all loads come to stand before all arithmetic.
    Fully,
    /// Nothing: instructions stay in the order of the Lane code. For register tiles, where loads that
    /// come early are vectors that don't fit.
    InOrder,
}

impl Target {
    /// The running machine.
    pub fn host() -> Target {
        Target { triple: Triple::host() }
    }

    /// From a target triple: `x86_64-unknown-linux-gnu`.
    pub fn parse(triple: &str) -> Result<Target, CodegenError> {
        let parsed = triple.parse().map_err(|_| CodegenError::Target(triple.to_string()))?;
        Ok(Target { triple: parsed })
    }

    /// The triple it was made from.
    pub fn triple(&self) -> &Triple {
        &self.triple
    }

    /// A level as the runtime numbers it: other architectures than x86-64 have one, which every processor has.
    pub fn level_number(&self, level: Level) -> u64 {
        let level = match self.triple.architecture {
            Architecture::X86_64 => level.in_runtime(),
            _ => cpu::Level::Base,
        };
        level.number()
    }

    /// Whether `MulAdd` rounds once at `level`.
    pub fn has_fma(&self, level: Level) -> bool {
        match self.triple.architecture {
            Architecture::X86_64 => level >= Level::V3,
            _ => true,
        }
    }

    /// The instruction set of the wide emitter for kernels of `level`; none where Cranelift makes them.
    pub(crate) fn wide(&self, level: Level, emitter: Emitter) -> Option<wide::Isa> {
        match (emitter, self.triple.architecture, level) {
            (Emitter::Wide, Architecture::X86_64, Level::V3) => Some(wide::Isa::Avx2),
            (Emitter::Wide, Architecture::X86_64, Level::V4) => Some(wide::Isa::Avx512),
            _ => None,
        }
    }

    /// What kernels are to be scheduled for: Lane code that is made for it fits what compiles it.
    pub fn machine(&self, level: Level, emitter: Emitter) -> Machine {
        match self.wide(level, emitter) {
            Some(wide::Isa::Avx2) => Machine::LANES_256,
            Some(wide::Isa::Avx512) => Machine::LANES_512,
            None => Machine::LANES_128,
        }
    }

    pub(crate) fn isa(&self, level: Level, place: Place, optimize: Optimize) -> Result<OwnedTargetIsa, CodegenError> {
        let unsupported = || CodegenError::Target(self.triple.to_string());
        match self.triple.architecture {
            Architecture::X86_64 | Architecture::Aarch64(_) => {}
            _ => return Err(unsupported()),
        }
        let mut builder = isa::lookup(self.triple.clone()).map_err(|_| unsupported())?;
        if self.triple.architecture == Architecture::X86_64 {
            for feature in level.x86_features() {
                set(&mut builder, feature, "true");
            }
        }
        let isa = builder.finish(flags(place, optimize)).map_err(|_| unsupported())?;
        if isa.has_native_fma() != self.has_fma(level) {
            bug("the instruction set has not the fused multiply-add of its level");
        }
        Ok(isa)
    }
}

fn flags(place: Place, optimize: Optimize) -> Flags {
    let mut builder = settings::builder();
    set(&mut builder, "opt_level", if optimize == Optimize::Fully { "speed" } else { "none" });
    set(&mut builder, "preserve_frame_pointers", "true");
    set(&mut builder, "unwind_info", "false");
    set(&mut builder, "enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" });
    set(&mut builder, "is_pic", if place == Place::Object { "true" } else { "false" });
    Flags::new(builder)
}

fn set(builder: &mut dyn Configurable, name: &str, value: &str) {
    if builder.set(name, value).is_err() {
        bug("Cranelift refuses a flag");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x86() -> Target {
        Target::parse("x86_64-unknown-linux-gnu").unwrap()
    }

    /// The preset that is not used, and why: if this fails, Cranelift has been mended.
    #[test]
    fn preset_lacks_avx() {
        let mut builder = isa::lookup(x86().triple).unwrap();
        builder.enable("x86-64-v3").unwrap();
        assert!(!builder.finish(flags(Place::Jit, Optimize::Fully)).unwrap().has_native_fma());
    }

    #[test]
    fn fma_only_where_the_level_has_it() {
        assert!(!x86().isa(Level::V2, Place::Jit, Optimize::Fully).unwrap().has_native_fma());
        assert!(x86().isa(Level::V3, Place::Jit, Optimize::Fully).unwrap().has_native_fma());
        let arm = Target::parse("aarch64-unknown-linux-gnu").unwrap();
        assert!(arm.isa(Level::V2, Place::Object, Optimize::Fully).unwrap().has_native_fma());
    }

    #[test]
    fn only_objects_are_position_independent() {
        assert!(!x86().isa(Level::V3, Place::Jit, Optimize::Fully).unwrap().flags().is_pic());
        assert!(x86().isa(Level::V3, Place::Object, Optimize::Fully).unwrap().flags().is_pic());
    }

    /// What `mlc run` compiles for is what an executable with all levels runs.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_host_runs_what_executables_choose() {
        assert_eq!(Level::host().name(), cpu::detect().max(cpu::Level::V2).name());
        for level in Level::ALL {
            assert_eq!(cpu::Level::from_number(x86().level_number(level)).map(cpu::Level::name), Some(level.name()));
        }
    }

    #[test]
    fn refused_targets() {
        assert_eq!(Target::parse("nonsense"), Err(CodegenError::Target("nonsense".into())));
        let riscv = Target::parse("riscv64gc-unknown-linux-gnu").unwrap();
        assert!(matches!(riscv.isa(Level::V2, Place::Object, Optimize::Fully), Err(CodegenError::Target(_))));
    }
}
