//! Images changed by chance: mirrored, cut and scaled back, turned. What happens to a row is drawn from
//! the seed, the epoch and the row's number, so it hangs on neither batches nor threads.

use crate::data::Epoch;
use crate::data::table::Block;
use crate::dtype::Dtype;
use crate::philox::philox;
use std::f64::consts::PI;

/// Purpose of the draws.
const AUGMENT: u32 = 0x6175_676d;

/// How images of one shape are changed, and memory for one.
#[derive(Clone, Debug)]
pub struct Augment {
    flip: bool,
    crop: f64,
    rotate: f64,
    dtype: Dtype,
    shape: [usize; 3],
    image: Vec<f32>,
    out: Vec<u8>,
}

/// What happens to one image.
#[derive(Clone, Copy, Debug)]
struct Change {
    flip: bool,
    /// Upper left corner of the part that is kept, as a part of what is cut off.
    corner: (f64, f64),
    /// In radians.
    angle: f64,
}

impl Augment {
    /// For rows of a block; `None` if they are no images of u8 or f32.
    pub fn new(block: &Block, flip: bool, crop: f64, rotate: f64) -> Option<Self> {
        let &[height, width, channels] = &block.row[..] else { return None };
        if !matches!(block.dtype, Dtype::U8 | Dtype::F32) {
            return None;
        }
        let elements = height * width * channels;
        Some(Self {
            flip,
            crop,
            rotate,
            dtype: block.dtype,
            shape: [height, width, channels],
            image: vec![0.0; elements],
            out: vec![0; elements * block.dtype.bytes()],
        })
    }

    /// The changed image.
    pub fn run(&mut self, image: &[u8], epoch: Epoch, row: usize) -> &[u8] {
        let change = self.draw(epoch, row);
        if self.crop == 0.0 && self.rotate == 0.0 {
            self.mirror(image, change.flip);
        } else {
            self.read(image);
            self.sample(change);
        }
        &self.out
    }

    fn draw(&self, epoch: Epoch, row: usize) -> Change {
        let counter = [row as u32, (row as u64 >> 32) as u32, epoch.number as u32, AUGMENT];
        let [a, b, c, d] = philox(counter, [epoch.seed as u32, (epoch.seed >> 32) as u32]);
        let uniform = |word: u32| f64::from(word >> 8) / f64::from(1u32 << 24);
        Change {
            flip: self.flip && a & 1 == 1,
            corner: (uniform(b), uniform(c)),
            angle: (uniform(d) * 2.0 - 1.0) * self.rotate * PI / 180.0,
        }
    }

    /// A mirrored image is copied, not computed.
    fn mirror(&mut self, image: &[u8], flip: bool) {
        if !flip {
            self.out.copy_from_slice(image);
            return;
        }
        let [_, width, channels] = self.shape;
        let pixel = channels * self.dtype.bytes();
        if pixel == 0 || width == 0 {
            return;
        }
        let lines = image.chunks_exact(width * pixel).zip(self.out.chunks_exact_mut(width * pixel));
        for (from, to) in lines {
            from.chunks_exact(pixel)
                .rev()
                .zip(to.chunks_exact_mut(pixel))
                .for_each(|(from, to)| to.copy_from_slice(from));
        }
    }

    fn read(&mut self, image: &[u8]) {
        match self.dtype {
            Dtype::U8 => self.image.iter_mut().zip(image).for_each(|(x, &b)| *x = f32::from(b)),
            _ => {
                let (elements, _) = image.as_chunks::<4>();
                self.image.iter_mut().zip(elements).for_each(|(x, b)| *x = f32::from_le_bytes(*b));
            }
        }
    }

    /// Each pixel is taken, between the four nearest, from where the changes put it; beyond the edge is
    /// the edge's pixel.
    fn sample(&mut self, change: Change) {
        let [height, width, channels] = self.shape;
        let keep = 1.0 - self.crop;
        let (sin, cos) = sin_cos(change.angle);
        let (h, w) = (height as f64, width as f64);
        let centre = (h * (change.corner.0 * self.crop + keep / 2.0), w * (change.corner.1 * self.crop + keep / 2.0));
        for y in 0..height {
            for x in 0..width {
                let side = if change.flip { width - 1 - x } else { x };
                let (dy, dx) = ((y as f64 + 0.5 - h / 2.0) * keep, (side as f64 + 0.5 - w / 2.0) * keep);
                let from_y = Between::new(centre.0 + dy * cos + dx * sin, height);
                let from_x = Between::new(centre.1 - dy * sin + dx * cos, width);
                for c in 0..channels {
                    let pixel = |y: usize, x: usize| self.image[(y * width + x) * channels + c];
                    let line =
                        |y: usize| pixel(y, from_x.low) * (1.0 - from_x.part) + pixel(y, from_x.high) * from_x.part;
                    let value = line(from_y.low) * (1.0 - from_y.part) + line(from_y.high) * from_y.part;
                    let at = (y * width + x) * channels + c;
                    match self.dtype {
                        Dtype::U8 => self.out[at] = value.round_ties_even() as u8,
                        _ => self.out[at * 4..][..4].copy_from_slice(&value.to_le_bytes()),
                    }
                }
            }
        }
    }
}

/// A place between two pixels of a line.
struct Between {
    low: usize,
    high: usize,
    part: f32,
}

impl Between {
    /// Pixel `i` is at `i + 0.5`.
    fn new(at: f64, size: usize) -> Self {
        let last = size.saturating_sub(1);
        let at = (at - 0.5).clamp(0.0, last as f64);
        let low = (at as usize).min(last);
        Self { low, high: (low + 1).min(last), part: (at - low as f64) as f32 }
    }
}

/// The system's `sin` differs between systems in the last bit; this series doesn't.
fn sin_cos(x: f64) -> (f64, f64) {
    let (mut sin, mut cos, mut term) = (0.0, 0.0, 1.0);
    for n in 0..40 {
        match n % 4 {
            0 => cos += term,
            1 => sin += term,
            2 => cos -= term,
            _ => sin -= term,
        }
        term *= x / f64::from(n + 1);
    }
    (sin, cos)
}
