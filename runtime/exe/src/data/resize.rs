//! Resizing images: bilinear with half-pixel centres and clamped edges where an axis grows, the
//! average over the covered area where it shrinks. Computed in f32; u8 is rounded half to even.

use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result};
use crate::tensor::Tensor;

/// Images `[N, H, W, C]` of u8 or f32 to another height and width.
pub fn resize(images: Tensor, height: usize, width: usize) -> Result<Tensor> {
    let [count, h, w, channels] = images.shape[..] else {
        return Err(Failure::data(
            DATA,
            format!("`resize` takes images [N, H, W, C], `image` is {}", images.type_text()),
        ));
    };
    if (h, w) == (height, width) {
        return Ok(images);
    }
    if h == 0 || w == 0 {
        return Err(Failure::data(DATA, format!("images of {h} x {w} pixels can't be resized")));
    }
    let mut out = Tensor::zeros(images.dtype, &[count, height, width, channels])?;
    let mut work = Work {
        rows: taps(h, height),
        columns: taps(w, width),
        channels,
        width: w,
        image: vec![0.0; h * w * channels],
        row: vec![0.0; w * channels],
        out: vec![0.0; height * width * channels],
    };
    let (from, to) = (work.image.len() * images.dtype.bytes(), work.out.len() * images.dtype.bytes());
    if from == 0 || to == 0 {
        return Ok(out);
    }
    for (source, target) in images.data.chunks_exact(from).zip(out.data.chunks_exact_mut(to)) {
        match images.dtype {
            Dtype::U8 => {
                work.image.iter_mut().zip(source).for_each(|(x, &b)| *x = f32::from(b));
                work.run();
                target.iter_mut().zip(&work.out).for_each(|(b, x)| *b = x.round_ties_even() as u8);
            }
            Dtype::F32 => {
                let (elements, _) = source.as_chunks::<4>();
                work.image.iter_mut().zip(elements).for_each(|(x, b)| *x = f32::from_le_bytes(*b));
                work.run();
                let (elements, _) = target.as_chunks_mut::<4>();
                elements.iter_mut().zip(&work.out).for_each(|(b, x)| *b = x.to_le_bytes());
            }
            _ => {
                return Err(Failure::data(
                    DATA,
                    format!("`resize` takes u8 or f32, `image` is {}", images.dtype.name()),
                ));
            }
        }
    }
    Ok(out)
}

/// One output position: neighbouring inputs from `first`, each with its weight.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// Weights of an axis.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    (0..to).map(|o| if to >= from { grow(o, scale, from) } else { shrink(o, scale, from) }).collect()
}

fn grow(o: usize, scale: f64, from: usize) -> Tap {
    let centre = ((o as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
    let first = (centre as usize).min(from - 1);
    let part = (centre - first as f64) as f32;
    if part == 0.0 || first + 1 == from {
        Tap { first, weights: vec![1.0] }
    } else {
        Tap { first, weights: vec![1.0 - part, part] }
    }
}

fn shrink(o: usize, scale: f64, from: usize) -> Tap {
    let (lo, hi) = (o as f64 * scale, (o + 1) as f64 * scale);
    let first = (lo as usize).min(from - 1);
    let end = (hi.ceil() as usize).clamp(first + 1, from);
    let overlap = |i: usize| (hi.min((i + 1) as f64) - lo.max(i as f64)).max(0.0) / scale;
    Tap { first, weights: (first..end).map(|i| overlap(i) as f32).collect() }
}

/// Buffers for one image after another.
struct Work {
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    channels: usize,
    width: usize,
    image: Vec<f32>,
    row: Vec<f32>,
    out: Vec<f32>,
}

impl Work {
    fn run(&mut self) {
        let line = self.width * self.channels;
        let mut pixels = self.out.chunks_exact_mut(self.channels);
        for tap in &self.rows {
            self.row.fill(0.0);
            for (i, weight) in tap.weights.iter().enumerate() {
                let source = &self.image[(tap.first + i) * line..][..line];
                self.row.iter_mut().zip(source).for_each(|(sum, x)| *sum += weight * x);
            }
            for (tap, pixel) in self.columns.iter().zip(pixels.by_ref()) {
                pixel.fill(0.0);
                for (i, weight) in tap.weights.iter().enumerate() {
                    let source = &self.row[(tap.first + i) * self.channels..][..self.channels];
                    pixel.iter_mut().zip(source).for_each(|(sum, x)| *sum += weight * x);
                }
            }
        }
    }
}
