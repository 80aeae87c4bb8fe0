//! Damaged files for readers: a fixed sequence of them.

use mlc_rt_exe::philox::Draws;

/// A fixed sequence of random numbers.
pub struct Random(Draws, u64);

impl Random {
    /// At its beginning.
    pub fn new() -> Self {
        Self(Draws { seed: 7, step: 0, site: 0 }, 0)
    }

    /// The next number, below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.1 += 1;
        self.0.below(self.1, n)
    }

    /// Changes, cuts or repeats some bytes.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = [0, 0xff, 0x7f, 0x80, b'9', b'"'][self.below(6)],
                2 => bytes[at] ^= 1 << self.below(8),
                3 => {
                    let end = (at + 1 + self.below(9)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                4 => drop(bytes.drain(at..(at + self.below(9)).min(bytes.len()))),
                _ => bytes[at] = self.below(256) as u8,
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        bytes
    }
}
