//! Random draws: which stream a call of `uniform` or `normal` belongs to (rule 21).

use crate::cx::{Cx, FrameKind};
use crate::entry::Mode;
use crate::value::{R, Tensor};
use mlc_ir::graph::Input;
use mlc_ir::scalar::Literal;
use mlc_ir::ty::{DType, Type};
use mlc_syntax::codes::Code;
use mlc_syntax::span::Span;

/// 64-bit FNV-1a.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl<'a> Cx<'a> {
    /// The site of the next draw here: the hash of its path from the entry point.
    pub fn draw_site(&mut self, name: &str) -> u64 {
        fnv1a(&self.next_path(name))
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
    pub fn draw_key(&mut self, seed: Option<i64>, span: Span) -> R<[Tensor; 3]> {
        self.require_region(span)?;
        let (seed, step) = match (seed, self.entry.mode) {
            (None, Mode::Export | Mode::Train | Mode::Grads | Mode::Eval | Mode::Every) => {
                (self.key_input(Input::Seed), self.key_input(Input::Step))
            }
            (None, Mode::Init) => (self.key_input(Input::Seed), self.key_number(0, span)?),
            (None, Mode::Test | Mode::Static) if !self.entry.inputs.is_empty() => {
                (self.key_input(Input::Seed), self.key_input(Input::Step))
            }
            (None, Mode::Test | Mode::Static) => (self.key_number(0, span)?, self.key_number(0, span)?),
            (Some(seed), _) => (self.key_number(seed, span)?, self.key_number(0, span)?),
        };
        Ok([seed, step, self.draw_offset(span)?])
    }

    /// What is added to the site of a draw: it tells the passes of run-time loops apart.
    fn draw_offset(&mut self, span: Span) -> R<Tensor> {
        self.key_number(0, span)
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
