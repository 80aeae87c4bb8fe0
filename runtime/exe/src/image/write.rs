//! Writing PNG: 8-bit channels, lines packed by deflate with its fixed code.

use super::Picture;
use crate::inflate::{adler32, crc32};

/// A whole file.
pub fn png(picture: &Picture) -> Vec<u8> {
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let colour = match picture.channels {
        1 => 0,
        2 => 4,
        3 => 2,
        _ => 6,
    };
    let mut out = super::png::SIGNATURE.to_vec();
    let header = [&size(picture.width)[..], &size(picture.height), &[8, colour, 0, 0, 0]].concat();
    chunk(&mut out, b"IHDR", &header);
    let line = picture.width * picture.channels;
    let mut raw = Vec::with_capacity((line + 1) * picture.height);
    for pixels in picture.data.chunks_exact(line.max(1)) {
        // Filter 0: the pixels as they are.
        raw.push(0);
        raw.extend_from_slice(pixels);
    }
    let mut data = vec![0x78, 0x01];
    deflate(&raw, &mut data);
    data.extend(adler32(&raw).to_be_bytes());
    chunk(&mut out, b"IDAT", &data);
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let start = out.len();
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    out.extend(crc32(&out[start..]).to_be_bytes());
}

/// Shortest and longest match.
const MATCH: (usize, usize) = (3, 258);
/// How far back a match may be.
const REACH: usize = 32768;
/// Bits of a hash of three bytes.
const HASH: u32 = 13;

/// One block in the fixed code; matches are looked for where the same three bytes stood last.
fn deflate(bytes: &[u8], out: &mut Vec<u8>) {
    let mut bits = Bits { out, buffer: 0, count: 0 };
    bits.put(0b011, 3);
    let mut last = vec![usize::MAX; 1 << HASH];
    let mut at = 0;
    while at < bytes.len() {
        let found = bytes[at..].first_chunk::<3>().and_then(|&[a, b, c]| {
            let key = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - HASH);
            let before = std::mem::replace(&mut last[key as usize], at);
            let distance = at.checked_sub(before).filter(|&d| d <= REACH)?;
            let same = bytes[at..].iter().zip(&bytes[before..]).take(MATCH.1).take_while(|(x, y)| x == y).count();
            (same >= MATCH.0).then_some((same, distance))
        });
        match found {
            Some((length, distance)) => {
                bits.length(length);
                bits.distance(distance);
                at += length;
            }
            None => {
                bits.symbol(u32::from(bytes[at]));
                at += 1;
            }
        }
    }
    bits.symbol(256);
    bits.end();
}

/// Bits, lowest first.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, count: u32) {
        self.buffer |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.buffer as u8);
            self.buffer >>= 8;
            self.count -= 8;
        }
    }

    /// Codes are sent with their highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn length(&mut self, length: usize) {
        if length == MATCH.1 {
            return self.symbol(285);
        }
        let (step, extra, value) = steps(length as u32 - 3, 2);
        self.symbol(257 + step);
        self.put(value, extra);
    }

    fn distance(&mut self, distance: usize) {
        let (step, extra, value) = steps(distance as u32 - 1, 1);
        self.code(step, 5);
        self.put(value, extra);
    }

    fn end(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }
}

/// Lengths and distances are put into steps, `2^bits` of which have each number of extra bits: the step,
/// its number of extra bits, and their value.
fn steps(value: u32, bits: u32) -> (u32, u32, u32) {
    let high = value.checked_ilog2().unwrap_or(0);
    let extra = high.saturating_sub(bits);
    (extra * (1 << bits) + (value >> extra), extra, value & ((1 << extra) - 1))
}
