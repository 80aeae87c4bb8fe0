//! Random draws: which stream a call of `uniform` or `normal` belongs to (rule 21).

use crate::cx::{Cx, FrameKind};
use crate::entry::Mode;
use crate::nest::Pass;
use crate::value::{R, Tensor};
use mlc_ir::graph::{Input, Value};
use mlc_ir::scalar::{BinaryOp, Literal};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::codes::Code;
use mlc_syntax::span::Span;

/// 64-bit FNV-1a.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where a draw is made: the hash of its path from the entry point, and the passes of the loops around
/// it. A loop adds the number of its pass times an odd constant of its depth, so that a loop and its
/// unrolled form draw the same.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub hash: u64,
    /// Positions of run-time loops, with their factors.
    passes: Vec<(Value, i64)>,
}

impl<'a> Cx<'a> {
    /// The site of the next draw here. One site stands for all draws with a seed of their own, which
    /// tells them apart or not.
    pub fn draw_site(&mut self, name: &str, seed: Option<i64>) -> Site {
        if seed.is_some() {
            return Site { hash: fnv1a("seed"), passes: Vec::new() };
        }
        let mut site = Site { hash: fnv1a(&self.next_path(name)), passes: Vec::new() };
        for (depth, pass) in self.entry.loops.iter().enumerate() {
            let factor = fnv1a(&format!("loop {depth}")) | 1;
            match pass {
                Pass::Unrolled(number) => {
                    site.hash = site.hash.wrapping_add(factor.wrapping_mul(*number as u64));
                }
                Pass::Looped(position) => site.passes.push((*position, factor as i64)),
            }
        }
        site
    }

    /// Optimizer updates do not draw: they run as one loop over each parameter.
    pub fn refuse_draw(&mut self, span: Span) -> R<()> {
        if self.frames.iter().any(|frame| matches!(frame.kind, FrameKind::Update)) {
            return self.fail(Code::E0122, span, "an optimizer's `update` draws no random numbers");
        }
        Ok(())
    }

    /// Seed, step and offset of a draw, as i64 scalars. A fixed seed is independent of everything else;
    /// tests draw with seed 0.
    pub fn draw_key(&mut self, seed: Option<i64>, site: &Site, span: Span) -> R<[Tensor; 3]> {
        self.require_region(span)?;
        let offset = match seed {
            None => self.draw_offset(site, span)?,
            Some(_) => self.key_number(0, span)?,
        };
        let (seed, step) = match (seed, self.entry.mode) {
            (None, Mode::Export | Mode::Train | Mode::Grads | Mode::Accumulate | Mode::Eval | Mode::Every) => {
                (self.key_input(Input::Seed), self.key_input(Input::Step))
            }
            (None, Mode::Init) => (self.key_input(Input::Seed), self.key_number(0, span)?),
            (None, Mode::Test | Mode::Static) if !self.entry.inputs.is_empty() => {
                (self.key_input(Input::Seed), self.key_input(Input::Step))
            }
            (None, Mode::Test | Mode::Static) => (self.key_number(0, span)?, self.key_number(0, span)?),
            (Some(seed), _) => (self.key_number(seed, span)?, self.key_number(0, span)?),
        };
        Ok([seed, step, offset])
    }

    /// What is added to the site of a draw: it tells the passes of run-time loops apart.
    fn draw_offset(&mut self, site: &Site, span: Span) -> R<Tensor> {
        let mut total = None;
        for (position, factor) in &site.passes {
            let position = Tensor { value: *position, dtype: DType::I64, axes: Vec::new() };
            let factor = self.key_number(*factor, span)?;
            let term = self.binary_tensor(BinaryOp::Mul, &position, &factor, span)?;
            total = Some(match total {
                Some(total) => self.binary_tensor(BinaryOp::Add, &total, &term, span)?,
                None => term,
            });
        }
        match total {
            Some(total) => Ok(total),
            None => self.key_number(0, span),
        }
    }

    fn key_input(&mut self, input: Input) -> Tensor {
        let value = self.entry.input(input, Type::scalar(DType::I64));
        Tensor { value, dtype: DType::I64, axes: Vec::new() }
    }

    fn key_number(&mut self, number: i64, span: Span) -> R<Tensor> {
        self.literal(span, Literal::from_i64(DType::I64, number))
    }
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
