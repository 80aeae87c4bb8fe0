//! Prefix codes and the bits they are read from.

use super::{CUT, DAMAGED, Result};

/// Codes up to so many bits are looked up at once.
const FAST: u32 = 8;

/// A prefix code.
pub struct Huffman {
    /// For each value of the next [`FAST`] bits: symbol and length, or length 0.
    fast: [(u8, u8); 1 << FAST],
    /// For each length: one more than the last code of it, in 16 bits, and what leads from a code to its symbol.
    lengths: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// From the number of codes of each length, and the symbols in order.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self> {
        let mut new = Self { fast: [(0, 0); 1 << FAST], lengths: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            new.lengths[length as usize].1 = index as i32 - code as i32;
            for _ in 0..count {
                if code >= 1 << length {
                    return Err(DAMAGED.to_owned());
                }
                if length <= FAST {
                    let first = (code << (FAST - length)) as usize;
                    new.fast[first..first + (1 << (FAST - length))].fill((symbols[index], length as u8));
                }
                (code, index) = (code + 1, index + 1);
            }
            new.lengths[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        Ok(new)
    }
}

/// Reads the bits of a scan, highest first, up to the next marker.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// From byte `at` of a file.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0 }
    }

    /// The byte after those that were taken.
    pub fn position(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let step = match self.bytes.get(self.at..) {
                // A 0xff in the data has a 0 behind it, else it is a marker.
                Some([0xff, 0, ..]) => 2,
                Some([0xff, ..] | []) | None => return,
                Some([_, ..]) => 1,
            };
            self.buffer = self.buffer << 8 | u64::from(self.bytes[self.at]);
            self.count += 8;
            self.at += step;
        }
    }

    /// The next 16 bits, with zeros behind the end.
    fn peek(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        if self.count >= 16 {
            (self.buffer >> (self.count - 16)) as u32 & 0xffff
        } else {
            (self.buffer << (16 - self.count)) as u32 & 0xffff
        }
    }

    fn skip(&mut self, n: u32) -> Result<()> {
        self.count = self.count.checked_sub(n).ok_or(CUT)?;
        self.buffer &= (1 << self.count) - 1;
        Ok(())
    }

    /// The next symbol.
    pub fn symbol(&mut self, code: &Huffman) -> Result<u8> {
        let bits = self.peek();
        let (symbol, length) = code.fast[(bits >> (16 - FAST)) as usize];
        if length > 0 {
            self.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for length in FAST + 1..=16 {
            let (end, shift) = code.lengths[length as usize];
            if bits < end {
                self.skip(length)?;
                let index = (bits >> (16 - length)) as i32 + shift;
                return usize::try_from(index)
                    .ok()
                    .and_then(|i| code.symbols.get(i))
                    .copied()
                    .ok_or_else(|| DAMAGED.to_owned());
            }
        }
        Err(if self.count < 16 { CUT.to_owned() } else { DAMAGED.to_owned() })
    }

    /// The next `n` bits, at most 16.
    pub fn take(&mut self, n: u32) -> Result<i32> {
        if n == 0 {
            return Ok(0);
        }
        let value = self.peek() >> (16 - n);
        self.skip(n)?;
        Ok(value as i32)
    }

    /// A number of `n` bits that is negative if its first bit is 0.
    pub fn signed(&mut self, n: u32) -> Result<i32> {
        if n > 16 {
            return Err(DAMAGED.to_owned());
        }
        let value = self.take(n)?;
        Ok(if n > 0 && value < 1 << (n - 1) { value - (1 << n) + 1 } else { value })
    }

    /// Steps over a restart marker, and what is left of the bits before it.
    pub fn restart(&mut self) -> Result<()> {
        (self.buffer, self.count) = (0, 0);
        loop {
            match self.bytes.get(self.at..) {
                Some([0xff, 0xd0..=0xd7, ..]) => {
                    self.at += 2;
                    return Ok(());
                }
                Some([0xff, 0xff, ..]) => self.at += 1,
                Some([_, _, ..]) => return Err(DAMAGED.to_owned()),
                _ => return Err(CUT.to_owned()),
            }
        }
    }
}
