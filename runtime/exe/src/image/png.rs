//! Decoding PNG (ISO 15948): all colour types, depths and interlacing, checksums checked. Of 16-bit
//! channels the upper half is kept; transparent colours (`tRNS`) are not read.

use super::{Picture, check_size};
use crate::inflate::{crc32, zlib};

/// The first bytes of a file.
pub const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Deflate never packs tighter than this; a larger claim is a lie.
const BEST_RATIO: usize = 1032;
const CUT: &str = "it is cut off";
const DAMAGED: &str = "its data is damaged";

type Result<T> = std::result::Result<T, String>;

/// First row and column, and distance of rows and columns, of each pass of an interlaced picture.
const PASSES: [(usize, usize, usize, usize); 7] =
    [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)];

/// Decodes a whole file; the error is a phrase.
pub fn decode(bytes: &[u8]) -> Result<Picture> {
    let file = File::read(bytes)?;
    let header = &file.header;
    let length = header.passes().map(|pass| header.pass_bytes(&pass)).sum::<usize>();
    if length / BEST_RATIO > file.data.len() {
        return Err(CUT.to_owned());
    }
    let mut raw = zlib(&file.data, length)?;
    let channels = header.out_channels();
    let mut out = vec![0; header.height * header.width * channels];
    let mut rest = &mut raw[..];
    for pass in header.passes() {
        let (lines, after) = rest.split_at_mut(header.pass_bytes(&pass));
        rest = after;
        unfilter(lines, header.line_bytes(pass.width), header.pixel_bytes())?;
        let bytes = header.line_bytes(pass.width) + 1;
        for (i, line) in lines.chunks_exact(bytes).enumerate() {
            let row = (pass.first.0 + i * pass.step.0) * header.width;
            for x in 0..pass.width {
                let at = (row + pass.first.1 + x * pass.step.1) * channels;
                file.pixel(&line[1..], x, &mut out[at..at + channels])?;
            }
        }
    }
    Ok(Picture { height: header.height, width: header.width, channels, data: out })
}

/// What the first chunk says.
struct Header {
    width: usize,
    height: usize,
    depth: usize,
    colour: u8,
    interlaced: bool,
}

/// The parts of a picture that are sent one after another; there is one if it isn't interlaced.
struct Pass {
    first: (usize, usize),
    step: (usize, usize),
    height: usize,
    width: usize,
}

impl Header {
    fn read(chunk: &[u8]) -> Result<Self> {
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, method, filter, interlace] = chunk else {
            return Err(DAMAGED.to_owned());
        };
        let size = |bytes| u32::from_be_bytes(bytes) as usize;
        let header = Self {
            width: size([w0, w1, w2, w3]),
            height: size([h0, h1, h2, h3]),
            depth: usize::from(depth),
            colour,
            interlaced: interlace == 1,
        };
        check_size(header.height, header.width)?;
        let depths: &[u8] = match colour {
            0 => &[1, 2, 4, 8, 16],
            3 => &[1, 2, 4, 8],
            2 | 4 | 6 => &[8, 16],
            _ => &[],
        };
        if !depths.contains(&depth) || method != 0 || filter != 0 || interlace > 1 {
            return Err("its header is damaged".to_owned());
        }
        Ok(header)
    }

    /// Channels as they are sent.
    fn channels(&self) -> usize {
        match self.colour {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        }
    }

    fn out_channels(&self) -> usize {
        if self.colour == 3 { 3 } else { self.channels() }
    }

    /// Bytes from a pixel to the one before it, at least 1.
    fn pixel_bytes(&self) -> usize {
        (self.channels() * self.depth).div_ceil(8)
    }

    /// Bytes of a line of so many pixels, without its filter.
    fn line_bytes(&self, width: usize) -> usize {
        (width * self.channels() * self.depth).div_ceil(8)
    }

    fn pass_bytes(&self, pass: &Pass) -> usize {
        pass.height * (self.line_bytes(pass.width) + 1)
    }

    fn passes(&self) -> impl Iterator<Item = Pass> {
        let all: &[_] = if self.interlaced { &PASSES } else { &[(0, 0, 1, 1)] };
        all.iter()
            .map(|&(y, x, dy, dx)| Pass {
                first: (y, x),
                step: (dy, dx),
                height: self.height.saturating_sub(y).div_ceil(dy),
                width: self.width.saturating_sub(x).div_ceil(dx),
            })
            .filter(|pass| pass.height > 0 && pass.width > 0)
    }
}

/// The chunks that matter.
struct File {
    header: Header,
    palette: Vec<[u8; 3]>,
    data: Vec<u8>,
}

impl File {
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes.strip_prefix(SIGNATURE).ok_or("it isn't a PNG")?;
        let mut chunk = || -> Result<(&[u8; 4], &[u8])> {
            let (length, after) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (body, after) = length.checked_add(4).and_then(|n| after.split_at_checked(n)).ok_or(CUT)?;
            let (sum, after) = after.split_first_chunk::<4>().ok_or(CUT)?;
            let (kind, data) = body.split_first_chunk::<4>().ok_or(CUT)?;
            if crc32(body) != u32::from_be_bytes(*sum) {
                return Err(format!("the checksum of its chunk {} is wrong", kind.escape_ascii()));
            }
            rest = after;
            Ok((kind, data))
        };
        let (b"IHDR", first) = chunk()? else { return Err(DAMAGED.to_owned()) };
        let mut file = Self { header: Header::read(first)?, palette: Vec::new(), data: Vec::new() };
        loop {
            match chunk()? {
                (b"IDAT", part) => file.data.extend_from_slice(part),
                (b"PLTE", colours) if colours.len() % 3 == 0 => file.palette = colours.as_chunks().0.to_vec(),
                (b"IEND", _) => return Ok(file),
                // A capital letter says that nobody may do without this chunk.
                (kind, _) if kind[0].is_ascii_uppercase() => {
                    return Err(format!("it has an unknown chunk {}", kind.escape_ascii()));
                }
                _ => {}
            }
        }
    }

    /// Pixel `x` of a line, as 8-bit channels.
    fn pixel(&self, line: &[u8], x: usize, out: &mut [u8]) -> Result<()> {
        let Header { depth, colour, .. } = self.header;
        if depth >= 8 {
            let step = depth / 8;
            let start = x * self.header.channels() * step;
            if colour != 3 {
                out.iter_mut().enumerate().for_each(|(c, value)| *value = line[start + c * step]);
                return Ok(());
            }
        }
        let bit = x * depth;
        let value = line[bit / 8] >> (8 - depth - bit % 8) & ((1u16 << depth) - 1) as u8;
        if colour == 3 {
            out.copy_from_slice(self.palette.get(usize::from(value)).ok_or("a colour isn't in its palette")?);
        } else {
            // 1, 2 or 4 bits: the largest value is white.
            out[0] = value * (255 / ((1u16 << depth) - 1) as u8);
        }
        Ok(())
    }
}

/// Turns differences back into values, line by line in place; each line has its filter in front.
fn unfilter(lines: &mut [u8], bytes: usize, pixel: usize) -> Result<()> {
    let zeros = vec![0; bytes];
    let mut before: &[u8] = &zeros;
    for line in lines.chunks_exact_mut(bytes + 1) {
        let Some((&mut filter, line)) = line.split_first_mut() else { return Ok(()) };
        for i in 0..bytes {
            let left = if i >= pixel { line[i - pixel] } else { 0 };
            let (up, corner) = (before[i], if i >= pixel { before[i - pixel] } else { 0 });
            let guess = match filter {
                0 => break,
                1 => left,
                2 => up,
                3 => ((u16::from(left) + u16::from(up)) / 2) as u8,
                4 => paeth(left, up, corner),
                _ => return Err(DAMAGED.to_owned()),
            };
            line[i] = line[i].wrapping_add(guess);
        }
        before = line;
    }
    Ok(())
}

/// Of left, up and the corner between them the one that is nearest to `left + up - corner`.
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let (da, db, dc) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if da <= db && da <= dc {
        left
    } else if db <= dc {
        up
    } else {
        corner
    }
}
