//! Decoding JPEG (ITU T.81): baseline, extended and progressive Huffman coding of 8-bit gray and colour
//! pictures. Arithmetic is that of the Independent JPEG Group's library, to the bit.

mod frame;
mod huffman;
mod pixels;
mod scan;

use super::Picture;
use frame::Frame;
use huffman::Huffman;
use scan::Scan;

/// The first bytes of a file.
pub const SIGNATURE: &[u8] = b"\xff\xd8\xff";
const CUT: &str = "it is cut off";
const DAMAGED: &str = "its data is damaged";
/// Most scans of a picture; each may take as long as decoding all of it.
const MOST_SCANS: usize = 256;

type Result<T> = std::result::Result<T, String>;

/// Position in a block of the coefficient that is sent as number `i`.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Decodes a whole file; the error is a phrase.
pub fn decode(bytes: &[u8]) -> Result<Picture> {
    let mut decoder = Decoder::default();
    let mut at = 2;
    loop {
        let marker;
        (marker, at) = next_marker(bytes, at)?;
        match marker {
            0xd9 => return decoder.finish(),
            0xd8 | 0xd0..=0xd7 | 0x01 => continue,
            _ => {}
        }
        let (length, body) = bytes[at..].split_first_chunk::<2>().ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2).ok_or(DAMAGED)?;
        let segment = body.get(..length).ok_or(CUT)?;
        at += 2 + length;
        match marker {
            0xc0..=0xc2 => decoder.frame(segment, marker == 0xc2, bytes.len())?,
            0xc4 => decoder.huffman_tables(segment)?,
            0xcc | 0xc3 | 0xc5..=0xcf => {
                return Err(
                    "it is coded in a way that is not supported (lossless, hierarchical or arithmetic)".to_owned()
                );
            }
            0xda => at = decoder.scan(segment, bytes, at)?,
            0xdb => decoder.quantisation_tables(segment)?,
            0xdd => {
                let &[high, low] = segment else { return Err(DAMAGED.to_owned()) };
                decoder.restart = usize::from(u16::from_be_bytes([high, low]));
            }
            // Adobe's programs say here whether colours are transformed.
            0xee if segment.starts_with(b"Adobe") => decoder.adobe = segment.get(11).copied(),
            _ => {}
        }
    }
}

/// The next marker and where its segment begins. Bytes before it, which no scan wanted, are skipped.
fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize)> {
    loop {
        let &[first, second] = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>).ok_or(CUT)?;
        if first == 0xff && second != 0 && second != 0xff {
            return Ok((second, at + 2));
        }
        at += 1;
    }
}

/// What the segments so far have said.
#[derive(Default)]
struct Decoder {
    frame: Option<Frame>,
    quantisation: [Option<[u16; 64]>; 4],
    /// For the first coefficients of blocks, and for the others.
    tables: [[Option<Huffman>; 4]; 2],
    restart: usize,
    adobe: Option<u8>,
    scans: usize,
}

impl Decoder {
    fn frame(&mut self, segment: &[u8], progressive: bool, file: usize) -> Result<()> {
        if self.frame.is_some() {
            return Err(DAMAGED.to_owned());
        }
        self.frame = Some(Frame::read(segment, progressive, file)?);
        Ok(())
    }

    fn quantisation_tables(&mut self, mut segment: &[u8]) -> Result<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let wide = kind >> 4 == 1;
            let slot = self.quantisation.get_mut(usize::from(kind & 15)).ok_or(DAMAGED)?;
            let (values, after) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(CUT)?;
            let mut table = [0; 64];
            for (i, &position) in ZIGZAG.iter().enumerate() {
                table[position] =
                    if wide { u16::from_be_bytes([values[2 * i], values[2 * i + 1]]) } else { u16::from(values[i]) };
            }
            *slot = Some(table);
            segment = after;
        }
        Ok(())
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Result<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let class = self.tables.get_mut(usize::from(kind >> 4)).ok_or(DAMAGED)?;
            let slot = class.get_mut(usize::from(kind & 15)).ok_or(DAMAGED)?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(CUT)?;
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, after) = rest.split_at_checked(total).ok_or(CUT)?;
            *slot = Some(Huffman::new(counts, symbols)?);
            segment = after;
        }
        Ok(())
    }

    /// Decodes a scan, whose data begins at `at`; returns where it ends.
    fn scan(&mut self, segment: &[u8], bytes: &[u8], at: usize) -> Result<usize> {
        let frame = self.frame.as_mut().ok_or(DAMAGED)?;
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(format!("it has more than {MOST_SCANS} scans"));
        }
        let scan = Scan::read(segment, frame)?;
        for part in &scan.parts {
            // A component keeps the table that it has when its first scan comes.
            let component = &mut frame.components[part.component];
            if component.quantisation.is_none() {
                component.quantisation = self.quantisation[component.table];
            }
        }
        scan.decode(frame, &self.tables, self.restart, bytes, at)
    }

    fn finish(self) -> Result<Picture> {
        let frame = self.frame.ok_or(CUT)?;
        if !frame.components.iter().all(|c| c.seen) {
            return Err("a part of it is missing".to_owned());
        }
        pixels::picture(&frame, self.adobe)
    }
}
