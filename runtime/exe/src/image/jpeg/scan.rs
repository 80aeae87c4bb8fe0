//! Scans: coefficients of some components, whole or (progressive) some of them, some bits of them.

use super::frame::{BLOCK, Frame};
use super::huffman::{Bits, Huffman};
use super::{DAMAGED, Result, ZIGZAG};

/// A component's part in a scan.
pub struct Part {
    /// Which component.
    pub component: usize,
    /// Tables for its first coefficients and for the others.
    tables: (usize, usize),
}

/// What a scan header says.
pub struct Scan {
    pub parts: Vec<Part>,
    /// First and last coefficient.
    range: (usize, usize),
    /// Is it the first that sends these coefficients?
    first: bool,
    /// How far the bits are shifted.
    shift: u32,
}

/// What goes from block to block.
#[derive(Default)]
struct Running {
    /// The last first coefficient of each part.
    before: [i32; 4],
    /// Blocks to come that have no further coefficients.
    empty: u32,
}

impl Scan {
    pub fn read(segment: &[u8], frame: &Frame) -> Result<Self> {
        let (&count, rest) = segment.split_first().ok_or(DAMAGED)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(DAMAGED)?;
        let &[start, end, bits] = rest else { return Err(DAMAGED.to_owned()) };
        let mut found: Vec<Part> = Vec::new();
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let component = frame.components.iter().position(|c| c.id == id).ok_or(DAMAGED)?;
            let tables = (usize::from(tables >> 4), usize::from(tables & 15));
            if tables.0 > 3 || tables.1 > 3 || found.iter().any(|p| p.component == component) {
                return Err(DAMAGED.to_owned());
            }
            found.push(Part { component, tables });
        }
        let (range, high, low) = ((usize::from(start), usize::from(end)), bits >> 4, bits & 15);
        let fits = if frame.progressive {
            let first = range.0 == 0 && range.1 == 0;
            (first || (range.0 >= 1 && range.0 <= range.1 && range.1 < BLOCK && found.len() == 1))
                && low <= 13
                && (high == 0 || high == low + 1)
        } else {
            range == (0, BLOCK - 1) && bits == 0
        };
        if !fits || found.is_empty() {
            return Err(DAMAGED.to_owned());
        }
        Ok(Self { parts: found, range, first: high == 0, shift: u32::from(low) })
    }

    /// Decodes the data that begins at byte `at`; returns where it ends.
    pub fn decode(
        &self,
        frame: &mut Frame,
        tables: &[[Option<Huffman>; 4]; 2],
        restart: usize,
        bytes: &[u8],
        at: usize,
    ) -> Result<usize> {
        let mut bits = Bits::new(bytes, at);
        let mut running = Running::default();
        // A scan of one component has its blocks in rows, without those that only fill up units.
        let single = if let [one] = &self.parts[..] { Some(frame.components[one.component].blocks) } else { None };
        let units = single.unwrap_or(frame.units);
        for unit in 0..units.0 * units.1 {
            if restart > 0 && unit > 0 && unit % restart == 0 {
                bits.restart()?;
                running = Running::default();
            }
            let (y, x) = (unit / units.0, unit % units.0);
            for (i, part) in self.parts.iter().enumerate() {
                let component = &mut frame.components[part.component];
                let (h, v) = if single.is_some() { (1, 1) } else { component.sampling };
                for inner in 0..h * v {
                    let (row, column) = (y * v + inner / h, x * h + inner % h);
                    let start = (row * component.stride + column) * BLOCK;
                    let block = component.coefficients[start..].first_chunk_mut().ok_or(DAMAGED)?;
                    let codes =
                        Codes { first: tables[0][part.tables.0].as_ref(), rest: tables[1][part.tables.1].as_ref() };
                    self.block(&mut bits, block, &codes, &mut running, i)?;
                }
            }
        }
        for part in self.parts.iter().filter(|_| self.range.0 == 0) {
            frame.components[part.component].seen = true;
        }
        Ok(bits.position())
    }

    fn block(
        &self,
        bits: &mut Bits<'_>,
        block: &mut [i16; BLOCK],
        codes: &Codes<'_>,
        running: &mut Running,
        part: usize,
    ) -> Result<()> {
        if self.range.0 == 0 {
            if self.first {
                let size = bits.symbol(codes.first.ok_or(DAMAGED)?)?;
                let before = &mut running.before[part];
                *before = before.wrapping_add(bits.signed(u32::from(size))?);
                block[0] = (*before << self.shift) as i16;
            } else if bits.take(1)? == 1 {
                block[0] |= 1 << self.shift;
            }
        }
        if self.range.1 == 0 {
            return Ok(());
        }
        let code = codes.rest.ok_or(DAMAGED)?;
        if self.first {
            self.coefficients(bits, block, code, &mut running.empty)
        } else {
            self.refine(bits, block, code, &mut running.empty)
        }
    }

    /// Coefficients behind the first one, sent for the first time.
    fn coefficients(
        &self,
        bits: &mut Bits<'_>,
        block: &mut [i16; BLOCK],
        code: &Huffman,
        empty: &mut u32,
    ) -> Result<()> {
        if *empty > 0 {
            *empty -= 1;
            return Ok(());
        }
        let mut k = self.range.0.max(1);
        while k <= self.range.1 {
            let symbol = bits.symbol(code)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, size) {
                (15, 0) => k += 16,
                (run, 0) => {
                    *empty = (1 << run) - 1 + bits.take(run)? as u32;
                    return Ok(());
                }
                _ => {
                    k += zeros as usize;
                    let slot = ZIGZAG.get(k).map(|&position| &mut block[position]).ok_or(DAMAGED)?;
                    *slot = (bits.signed(size)? << self.shift) as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of each coefficient behind the first one, and new ones that this bit makes other than 0.
    fn refine(&self, bits: &mut Bits<'_>, block: &mut [i16; BLOCK], code: &Huffman, empty: &mut u32) -> Result<()> {
        let one = 1i16 << self.shift;
        let (mut k, last) = self.range;
        while *empty == 0 && k <= last {
            let symbol = bits.symbol(code)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            let mut new = 0;
            match size {
                0 if zeros < 15 => {
                    *empty = (1 << zeros) + bits.take(zeros)? as u32;
                    break;
                }
                0 => {}
                1 => new = if bits.take(1)? == 1 { one } else { -one },
                _ => return Err(DAMAGED.to_owned()),
            }
            while k <= last {
                let slot = &mut block[ZIGZAG[k]];
                k += 1;
                if *slot != 0 {
                    correct(bits, slot, one)?;
                } else if zeros == 0 {
                    *slot = new;
                    break;
                } else {
                    zeros -= 1;
                }
            }
        }
        if *empty > 0 {
            for &position in ZIGZAG.get(k..=last).unwrap_or_default() {
                if block[position] != 0 {
                    correct(bits, &mut block[position], one)?;
                }
            }
            *empty -= 1;
        }
        Ok(())
    }
}

/// The tables of a part; one that isn't there is missed only when it is used.
struct Codes<'a> {
    first: Option<&'a Huffman>,
    rest: Option<&'a Huffman>,
}

/// Adds a bit to a coefficient, away from 0.
fn correct(bits: &mut Bits<'_>, slot: &mut i16, one: i16) -> Result<()> {
    if bits.take(1)? == 1 && *slot & one == 0 {
        *slot = slot.wrapping_add(if *slot >= 0 { one } else { -one });
    }
    Ok(())
}
