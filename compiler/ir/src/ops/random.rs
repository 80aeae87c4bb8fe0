//! Random draws: a pure function of seed, step, site and element.
//!
//! Element number `e` (row-major) of a draw takes word `e mod 4` of
//! `Philox4x32-10(counter, key)` with
//!
//! - key = (low half of seed, high half of seed),
//! - counter = (e / 4 mod 2^32, low half of step, low half of site, high half of site), where the
//!   site is that of the op plus the offset, wrapping: loops give each pass an offset of its own.
//!
//! The word `x` becomes
//!
//! - uniform: `(x >> 8) · 2^-24`, in `[0, 1)`, exact in f32;
//! - normal: with the words `(x0, x1)` for elements 0 and 1 of a block and `(x2, x3)` for 2 and 3,
//!   `u = ((xa >> 8) + 1) · 2^-24` in `(0, 1]`, `v = (xb >> 8) · 2^-24`, `r = sqrt(-2 ln u)`; even
//!   elements are `r cos(2π v)`, odd ones `r sin(2π v)`.
//!
//! The reference computes the normal in f64 and rounds once; kernels compute it in f32.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::SizeError;
use crate::index::{Definition, Expr, Ix, result_axes};
use crate::scalar::Distribution;
use crate::tensor::{Tensor, extents};
use crate::ty::{DType, Shape, Type};

/// `(seed: i64, step: i64, offset: i64) -> f32[shape]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    /// How a word becomes a number.
    pub distribution: Distribution,
    /// Shape of the result.
    pub shape: Shape,
    /// FNV-1a of the path of the call, so that different calls draw differently; the offset is added to it.
    pub site: u64,
}

impl Primitive for Random {
    fn info(&self) -> OpInfo {
        let (name, doc, tolerance_ulp) = match self.distribution {
            Distribution::Uniform => ("uniform", "Random numbers in `[0, 1)`, multiples of 2^-24.", 0),
            Distribution::Normal => ("normal", "Random numbers of mean 0 and deviation 1.", 16),
        };
        OpInfo { name, class: Class::Random, doc, arity: Arity::Exactly(3), tolerance_ulp }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let args: [&Type; 3] = operands(args)?;
        let scalars = args.iter().all(|arg| arg.dtype == DType::I64 && arg.rank() == 0);
        require(scalars, "seed, step and offset are i64 scalars")?;
        one(DType::F32, self.shape.clone())
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (seed, step, offset) = (args[0].ints()[0], args[1].ints()[0], args[2].ints()[0]);
        let (site, shape) = (self.site.wrapping_add(offset as u64), extents(&results[0]));
        let count: usize = shape.iter().product();
        let numbers = (0..count as u64).map(|element| draw(self.distribution, seed, step, site, element));
        vec![Tensor::floats_of(DType::F32, &shape, numbers)]
    }

    fn vjp(&self, _cx: &mut VjpCx<'_>) -> Vec<Adj> {
        vec![Adj::Zero(Reason::Random); 3]
    }

    fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(Random { shape: with.dims(&self.shape)?, ..self.clone() }.into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        vec![("site", Attribute::Word(format!("{:016x}", self.site)))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let scalar = |arg: u32| Box::new(Expr::operand(arg, Vec::new(), args[arg as usize].dtype));
        Definition::Map(Expr::Random {
            distribution: self.distribution,
            site: self.site,
            seed: scalar(0),
            step: scalar(1),
            offset: scalar(2),
            element: Ix::row_major(&result_axes(self.shape.len()), &self.shape),
        })
    }

    fn cases() -> Vec<Case> {
        let scalar = typed(DType::I64, &[]);
        let sample = |distribution| {
            let op = Random { distribution, shape: dims(&[3, 5]), site: 0x0123_4567_89ab_cdef };
            case(op, 1 << 40, &[scalar.clone(), scalar.clone(), scalar.clone()])
        };
        vec![sample(Distribution::Uniform), sample(Distribution::Normal)]
    }
}

/// The number of one element.
pub fn draw(distribution: Distribution, seed: i64, step: i64, site: u64, element: u64) -> f64 {
    let counter = [(element / 4) as u32, step as u32, site as u32, (site >> 32) as u32];
    let words = philox(counter, [seed as u32, (seed >> 32) as u32]);
    let word = (element % 4) as usize;
    let unit = |word: u32, plus: u32| f64::from((word >> 8) + plus) / f64::from(1u32 << 24);
    match distribution {
        Distribution::Uniform => unit(words[word], 0),
        Distribution::Normal => {
            let pair = word & 2;
            let radius = (-2.0 * unit(words[pair], 1).ln()).sqrt();
            let angle = 2.0 * std::f64::consts::PI * unit(words[pair + 1], 0);
            radius * if word.is_multiple_of(2) { angle.cos() } else { angle.sin() }
        }
    }
}

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123's `kat_vectors`.
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let digits_of_pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let answer = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(philox(digits_of_pi, [0xa409_3822, 0x299f_31d0]), answer);
    }
}
