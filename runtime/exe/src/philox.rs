//! Philox4x32-10 (Salmon et al., 2011): random words as a pure function of a counter and a key.

/// Four random words for a counter and a key.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let a = u64::from(counter[0]) * 0xd251_1f53;
        let b = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// Numbered draws of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Seed.
    pub seed: i64,
    /// For example the epoch.
    pub step: u32,
    /// What the draws are for.
    pub site: u32,
}

impl Draws {
    fn words(&self, index: u64) -> [u32; 4] {
        let counter = [index as u32, (index >> 32) as u32, self.step, self.site];
        philox(counter, [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// Draw `index`: a whole number below `n`, or 0 if `n` is 0.
    pub fn below(&self, index: u64, n: usize) -> usize {
        let [lo, hi, _, _] = self.words(index);
        let random = u64::from(hi) << 32 | u64::from(lo);
        ((u128::from(random) * n as u128) >> 64) as usize
    }

    /// Draw `index`: uniform in 0..1, 24 bits.
    pub fn uniform(&self, index: u64) -> f32 {
        (self.words(index)[0] >> 8) as f32 * (1.0 / 16_777_216.0)
    }
}
