//! A picture's components and their coefficients.

use super::{DAMAGED, Result};
use crate::image::check_size;

/// Pixels of a block's side.
pub const SIDE: usize = 8;
/// Coefficients of a block.
pub const BLOCK: usize = SIDE * SIDE;

/// Brightness or a colour difference.
pub struct Component {
    /// As scans call it.
    pub id: u8,
    /// Horizontal and vertical sampling factors.
    pub sampling: (usize, usize),
    /// Which quantisation table.
    pub table: usize,
    /// That table, once a scan has used it.
    pub quantisation: Option<[u16; BLOCK]>,
    /// Width and height in samples.
    pub size: (usize, usize),
    /// Width and height in blocks, of the picture.
    pub blocks: (usize, usize),
    /// Blocks of a row in memory: whole units.
    pub stride: usize,
    /// Coefficients, block by block.
    pub coefficients: Vec<i16>,
    /// Has a scan sent its first coefficients?
    pub seen: bool,
}

/// What the frame header says.
pub struct Frame {
    pub progressive: bool,
    pub height: usize,
    pub width: usize,
    pub components: Vec<Component>,
    /// The largest sampling factors.
    pub most: (usize, usize),
    /// Units (of blocks of all components) in a row, and rows of them.
    pub units: (usize, usize),
}

impl Frame {
    /// Reads the header of a file of `file` bytes.
    pub fn read(segment: &[u8], progressive: bool, file: usize) -> Result<Self> {
        let (&[precision, h0, h1, w0, w1, count], rest) = segment.split_first_chunk::<6>().ok_or(DAMAGED)?;
        let (height, width) = (usize::from(u16::from_be_bytes([h0, h1])), usize::from(u16::from_be_bytes([w0, w1])));
        if precision != 8 {
            return Err(format!("it has {precision} bits a channel, 8 are supported"));
        }
        check_size(height, width)?;
        match count {
            1 | 3 => {}
            4 => return Err("it has four colours (CMYK); gray and three colours are supported".to_owned()),
            _ => return Err(format!("it has {count} components")),
        }
        let (parts, rest) = rest.as_chunks::<3>();
        if parts.len() != usize::from(count) || !rest.is_empty() {
            return Err(DAMAGED.to_owned());
        }
        let factor = |n: u8| (usize::from(n >> 4), usize::from(n & 15));
        let fits = |(h, v): (usize, usize)| (1..=4).contains(&h) && (1..=4).contains(&v);
        if !parts.iter().all(|&[_, sampling, table]| fits(factor(sampling)) && table < 4) {
            return Err(DAMAGED.to_owned());
        }
        let most = parts.iter().map(|p| factor(p[1])).fold((1, 1), |m, f| (m.0.max(f.0), m.1.max(f.1)));
        let units = (width.div_ceil(SIDE * most.0), height.div_ceil(SIDE * most.1));
        // A block takes a bit at least; a larger claim is a lie.
        let blocks: usize = parts.iter().map(|p| factor(p[1])).map(|(h, v)| units.0 * units.1 * h * v).sum();
        if blocks / 8 > file {
            return Err("it is cut off".to_owned());
        }
        let component = |&[id, sampling, table]: &[u8; 3]| {
            let (h, v) = factor(sampling);
            let size = ((width * h).div_ceil(most.0), (height * v).div_ceil(most.1));
            // A single component is sent as if its factors were 1.
            let stride = units.0 * h;
            Component {
                id,
                sampling: (h, v),
                table: usize::from(table),
                quantisation: None,
                size,
                blocks: (size.0.div_ceil(SIDE), size.1.div_ceil(SIDE)),
                stride,
                coefficients: vec![0; stride * units.1 * v * BLOCK],
                seen: false,
            }
        };
        let components = parts.iter().map(component).collect();
        Ok(Self { progressive, height, width, components, most, units })
    }
}
