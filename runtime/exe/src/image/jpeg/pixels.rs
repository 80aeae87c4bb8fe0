//! From coefficients to pixels: inverse cosine transform, upsampling, colours.

use super::frame::{BLOCK, Component, Frame, SIDE};
use super::{DAMAGED, Result};
use crate::image::Picture;

/// Fractional bits of constants.
const BITS: u32 = 13;
/// Fractional bits kept between the two passes.
const PASS: u32 = 2;

/// Samples of a component: `width` of them in a line.
struct Plane {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// The finished picture. `adobe`: 0 says that colours aren't transformed.
pub fn picture(frame: &Frame, adobe: Option<u8>) -> Result<Picture> {
    let mut planes = Vec::new();
    for component in &frame.components {
        planes.push(upsampled(samples(component)?, component, frame));
    }
    let (height, width) = (frame.height, frame.width);
    let mut data = Vec::with_capacity(height * width * planes.len());
    let letters = frame.components.iter().map(|c| c.id).eq(*b"RGB");
    let transformed = adobe != Some(0) && !letters;
    for y in 0..height {
        let lines: Vec<&[u8]> = planes.iter().map(|p| &p.data[y * p.width..][..width]).collect();
        match lines[..] {
            [gray] => data.extend_from_slice(gray),
            [a, b, c] => {
                for ((&a, &b), &c) in a.iter().zip(b).zip(c) {
                    data.extend(if transformed { colour(a, b, c) } else { [a, b, c] });
                }
            }
            _ => return Err(DAMAGED.to_owned()),
        }
    }
    Ok(Picture { height, width, channels: planes.len(), data })
}

/// Red, green and blue of brightness and two colour differences.
fn colour(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|x| x.clamp(0, 255) as u8)
}

/// The samples of a component, whole blocks of them.
fn samples(component: &Component) -> Result<Plane> {
    let table = component.quantisation.ok_or("a quantisation table is missing")?;
    let (columns, rows) = component.blocks;
    let width = columns * SIDE;
    let mut data = vec![0; width * rows * SIDE];
    for row in 0..rows {
        for column in 0..columns {
            let at = (row * component.stride + column) * BLOCK;
            let block = component.coefficients[at..].first_chunk::<BLOCK>().ok_or(DAMAGED)?;
            let pixels = inverse(block, &table);
            for (y, line) in pixels.chunks_exact(SIDE).enumerate() {
                data[(row * SIDE + y) * width + column * SIDE..][..SIDE].copy_from_slice(line);
            }
        }
    }
    Ok(Plane { width, height: rows * SIDE, data })
}

/// The inverse cosine transform of a block, by columns, then by rows.
fn inverse(block: &[i16; BLOCK], table: &[u16; BLOCK]) -> [u8; BLOCK] {
    let mut work = [0i64; BLOCK];
    for x in 0..SIDE {
        let column: [i64; SIDE] =
            std::array::from_fn(|y| i64::from(block[y * SIDE + x]) * i64::from(table[y * SIDE + x]));
        for (y, value) in eight(column).into_iter().enumerate() {
            work[y * SIDE + x] = descale(value, BITS - PASS);
        }
    }
    let mut out = [0; BLOCK];
    for y in 0..SIDE {
        let line: [i64; SIDE] = std::array::from_fn(|x| work[y * SIDE + x]);
        for (x, value) in eight(line).into_iter().enumerate() {
            out[y * SIDE + x] = (descale(value, BITS + PASS + 3) + 128).clamp(0, 255) as u8;
        }
    }
    out
}

fn descale(value: i64, bits: u32) -> i64 {
    (value + (1 << (bits - 1))) >> bits
}

/// Eight points of the transform, by Loeffler, Ligtenberg and Moschytz; constants are times 2^13.
fn eight(x: [i64; SIDE]) -> [i64; SIDE] {
    let z1 = (x[2] + x[6]) * 4433;
    let (t2, t3) = (z1 - x[6] * 15137, z1 + x[2] * 6270);
    let (t0, t1) = ((x[0] + x[4]) << BITS, (x[0] - x[4]) << BITS);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    let (z1, z2, z3, z4) = (x[7] + x[1], x[5] + x[3], x[7] + x[3], x[5] + x[1]);
    let z5 = (z3 + z4) * 9633;
    let (z1, z2) = (z1 * -7373, z2 * -20995);
    let (z3, z4) = (z3 * -16069 + z5, z4 * -3196 + z5);
    let odd = [x[1] * 12299 + z1 + z4, x[3] * 25172 + z2 + z3, x[5] * 16819 + z2 + z4, x[7] * 2446 + z1 + z3];
    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}

/// The plane at the picture's size.
fn upsampled(plane: Plane, component: &Component, frame: &Frame) -> Plane {
    let (width, height) = component.size;
    let (h, v) = (component.sampling.0, component.sampling.1);
    let (most_h, most_v) = frame.most;
    if (h, v) == (most_h, most_v) {
        return plane;
    }
    // Interpolation needs neighbours, and is defined for these factors only.
    let smooth = width > 2 && most_h == 2 * h;
    if smooth && most_v == v {
        return rows(&plane, height, |y, line| wide(&plane.data[y * plane.width..][..width], line));
    }
    if smooth && most_v == 2 * v {
        return rows(&plane, 2 * height, |y, line| {
            let near = y / 2;
            let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(height - 1) };
            wide_and_high(&plane.data[near * plane.width..][..width], &plane.data[far * plane.width..][..width], line);
        });
    }
    let mut data = Vec::with_capacity(frame.width * frame.height);
    for y in 0..frame.height {
        let line = &plane.data[(y * v / most_v).min(plane.height - 1) * plane.width..][..plane.width];
        data.extend((0..frame.width).map(|x| line[(x * h / most_h).min(plane.width - 1)]));
    }
    Plane { width: frame.width, height: frame.height, data }
}

/// A plane whose lines `fill` appends, each twice as long as those of `plane`.
fn rows(plane: &Plane, height: usize, fill: impl Fn(usize, &mut Vec<u8>)) -> Plane {
    let mut data = Vec::with_capacity(height * plane.width * 2);
    let mut width = 0;
    for y in 0..height {
        fill(y, &mut data);
        if y == 0 {
            width = data.len();
        }
    }
    Plane { width, height, data }
}

/// Twice as many samples: three parts of the nearer one, one of the farther one.
fn wide(line: &[u8], out: &mut Vec<u8>) {
    let at = |i: usize| u16::from(line[i]);
    let last = line.len() - 1;
    for i in 0..=last {
        out.push(if i == 0 { line[0] } else { ((3 * at(i) + at(i - 1) + 1) / 4) as u8 });
        out.push(if i == last { line[last] } else { ((3 * at(i) + at(i + 1) + 2) / 4) as u8 });
    }
}

/// The same in both directions, for a line between a near and a far one.
fn wide_and_high(near: &[u8], far: &[u8], out: &mut Vec<u8>) {
    let at = |i: usize| 3 * u16::from(near[i]) + u16::from(far[i]);
    let last = near.len() - 1;
    for i in 0..=last {
        out.push(if i == 0 { (4 * at(0) + 8) / 16 } else { (3 * at(i) + at(i - 1) + 8) / 16 } as u8);
        out.push(if i == last { (4 * at(last) + 7) / 16 } else { (3 * at(i) + at(i + 1) + 7) / 16 } as u8);
    }
}
