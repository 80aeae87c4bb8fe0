//! Philox4x32-10 in lanes (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
//! Key = seed; counter = (element / 4, step, low and high half of site + offset); an element takes
//! word `element % 4`.

use super::Emit;
use super::values::Val;
use crate::lane::{Cmp, Convert, Elem, FBinary, FUnary, IBinary, Op, Shift, Ty, V};
use mlc_ir::index::Ix;
use mlc_ir::scalar::Distribution;
use mlc_ir::ty::DType;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

const ROUNDS: i64 = 10;

/// What names the stream of a draw; the values are i64.
pub(super) struct Key {
    /// Of the call.
    pub site: u64,
    /// Of the program.
    pub seed: V,
    /// Of the run.
    pub step: V,
    /// Of the passes of the loops around.
    pub offset: V,
}

impl Emit<'_> {
    /// One draw for each element.
    pub(super) fn random(&mut self, distribution: Distribution, key: &Key, element: &Ix) -> Val {
        let element = self.position_value(element, DType::I32).v;
        let ty = self.b.ty(element);
        let block = self.b.def(Op::Shift(Shift::RightU, element, 2), ty);
        let three = self.b.int(ty, 3);
        let word = self.b.def(Op::IBinary(IBinary::And, element, three), ty);
        let seed = [self.half(key.seed, 0), self.half(key.seed, 32)];
        let step = self.half(key.step, 0);
        let site = self.b.index(key.site as i64);
        let site = self.b.index_op(IBinary::Add, site, key.offset);
        let counter = [block, step, self.half(site, 0), self.half(site, 32)].map(|v| self.widen(v, ty.lanes));
        let seed = seed.map(|v| self.widen(v, ty.lanes));
        let words = self.philox(counter, seed);
        let v = match distribution {
            Distribution::Uniform => {
                let bits = self.word_of(&words, word);
                self.unit(bits, 0)
            }
            Distribution::Normal => self.normal(&words, word),
        };
        Val { v, dtype: DType::F32 }
    }

    /// 32 bits of an i64.
    fn half(&mut self, v: V, shift: u8) -> V {
        if let Some(value) = self.b.as_const(v) {
            return self.b.int(Ty::new(Elem::I32, 1), value >> shift);
        }
        let v = if shift == 0 { v } else { self.b.def(Op::Shift(Shift::RightU, v, shift), self.b.ty(v)) };
        self.b.convert(Convert::I64I32, v)
    }

    /// The rounds are a loop: written out they would be most of the code of a program that makes its weights. Draws
    /// that several values share are made once.
    fn philox(&mut self, [c0, c1, c2, c3]: [V; 4], [k0, k1]: [V; 2]) -> [V; 4] {
        let from = vec![c0, c1, c2, c3, k0, k1];
        let words = match self.b.made(&from) {
            Some(words) => words,
            None => self.rounds(from),
        };
        [words[0], words[1], words[2], words[3]]
    }

    /// Counter and key after all rounds.
    fn rounds(&mut self, from: Vec<V>) -> Vec<V> {
        let ty = self.b.ty(from[0]);
        let op = |this: &mut Self, op, a, b| this.b.def(Op::IBinary(op, a, b), ty);
        let multipliers = MULTIPLIERS.map(|m| self.b.int(ty, i64::from(m)));
        let weyl = WEYL.map(|w| self.b.int(ty, i64::from(w)));
        let (low, high) = (self.b.index(0), self.b.index(ROUNDS));
        let (_, at) = self.b.open_loop(low, high, from.clone());
        let product = |this: &mut Self, factor, n: usize| {
            let high = op(this, IBinary::MulHighU, factor, multipliers[n]);
            (high, op(this, IBinary::Mul, factor, multipliers[n]))
        };
        let (high0, low0) = product(self, at[0], 0);
        let (high1, low1) = product(self, at[2], 1);
        let first = op(self, IBinary::Xor, high1, at[1]);
        let first = op(self, IBinary::Xor, first, at[4]);
        let third = op(self, IBinary::Xor, high0, at[3]);
        let third = op(self, IBinary::Xor, third, at[5]);
        let keys = [op(self, IBinary::Add, at[4], weyl[0]), op(self, IBinary::Add, at[5], weyl[1])];
        let made = self.b.close_loop(vec![first, low1, third, low0, keys[0], keys[1]]);
        self.b.note_made(from, made.clone());
        made
    }

    /// The word of the block that an element takes.
    fn word_of(&mut self, words: &[V; 4], number: V) -> V {
        let ty = self.b.ty(number);
        let mut value = words[3];
        for k in (0..3).rev() {
            let k_value = self.b.int(ty, k as i64);
            let here = self.b.def(Op::ICmp(Cmp::Eq, number, k_value), Ty::mask_of(ty));
            value = self.b.def(Op::Select(here, words[k], value), ty);
        }
        value
    }

    /// `((bits >> 8) + add) · 2^-24`
    fn unit(&mut self, bits: V, add: i64) -> V {
        let ty = self.b.ty(bits);
        let mantissa = self.b.def(Op::Shift(Shift::RightU, bits, 8), ty);
        let add = self.b.int(ty, add);
        let mantissa = self.b.def(Op::IBinary(IBinary::Add, mantissa, add), ty);
        let float = self.b.convert(Convert::I32F32, mantissa);
        let scale = self.b.float(self.b.ty(float), 1.0 / 16_777_216.0);
        self.b.def(Op::FBinary(FBinary::Mul, float, scale), self.b.ty(float))
    }

    /// Box–Muller on the element's pair of words: the first of a pair takes the cosine. In f64, rounded once.
    fn normal(&mut self, words: &[V; 4], number: V) -> V {
        let ty = self.b.ty(number);
        let two = self.b.int(ty, 2);
        let second_pair = self.b.def(Op::ICmp(Cmp::Ge, number, two), Ty::mask_of(ty));
        let radius_bits = self.b.def(Op::Select(second_pair, words[2], words[0]), ty);
        let angle_bits = self.b.def(Op::Select(second_pair, words[3], words[1]), ty);
        let (u, w) = (self.unit(radius_bits, 1), self.unit(angle_bits, 0));
        let one = self.b.int(ty, 1);
        let odd = self.b.def(Op::IBinary(IBinary::And, number, one), ty);
        let is_odd = self.b.def(Op::ICmp(Cmp::Eq, odd, one), Ty::mask_of(ty));
        let radius = self.through_f64(u, &mut |this, u| this.radius(u));
        let turn = |this: &mut Self, w: V| {
            let factor = this.b.float(this.b.ty(w), std::f64::consts::TAU);
            this.b.def(Op::FBinary(FBinary::Mul, w, factor), this.b.ty(w))
        };
        let cosine = self.through_f64(w, &mut |this, w| {
            let angle = turn(this, w);
            this.cos(angle)
        });
        let sine = self.through_f64(w, &mut |this, w| {
            let angle = turn(this, w);
            this.sin(angle)
        });
        let fty = self.b.ty(cosine);
        let direction = self.b.def(Op::Select(is_odd, sine, cosine), fty);
        self.b.def(Op::FBinary(FBinary::Mul, radius, direction), fty)
    }

    /// sqrt(-2 ln u)
    fn radius(&mut self, u: V) -> V {
        let ty = self.b.ty(u);
        let log = self.log(u);
        let minus_two = self.b.float(ty, -2.0);
        let square = self.b.def(Op::FBinary(FBinary::Mul, minus_two, log), ty);
        self.b.def(Op::FUnary(FUnary::Sqrt, square), ty)
    }
}
