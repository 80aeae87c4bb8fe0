//! Images of a batch side by side.

use super::Picture;

/// Images f32 [N, H, W, C] as one picture of about as many columns as rows; `range` is what black and
/// white are.
pub fn grid(shape: [usize; 4], elements: &[u8], range: (f64, f64)) -> Picture {
    let [count, height, width, channels] = shape;
    let columns = (1..=count).find(|n| n * n >= count).unwrap_or(1);
    let rows = count.div_ceil(columns);
    let line = columns * width * channels;
    let mut data = vec![0; rows * height * line];
    let (elements, _) = elements.as_chunks::<4>();
    for (i, pixels) in elements.chunks_exact((width * channels).max(1)).enumerate() {
        let (image, y) = (i / height, i % height);
        let start = (image / columns * height + y) * line + image % columns * width * channels;
        let slots = data[start..].iter_mut().zip(pixels);
        slots.for_each(|(slot, x)| *slot = level(f32::from_le_bytes(*x), range));
    }
    Picture { height: rows * height, width: columns * width, channels, data }
}

/// NaN is black.
fn level(x: f32, (low, high): (f64, f64)) -> u8 {
    ((f64::from(x) - low) / (high - low) * 255.0).round_ties_even() as u8
}
