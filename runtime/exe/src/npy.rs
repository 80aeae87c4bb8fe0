//! NumPy's `.npy` files, versions 1 to 3, in native little-endian types. Fortran order is turned round.

use crate::dtype::Dtype;
use crate::mem::Aligned;
use crate::tensor::{Tensor, bytes_of, type_text};

/// Most axes of an array.
const MAX_RANK: usize = 32;

/// Reads a whole file. The error is a sentence without its subject: "isn't a .npy file".
pub fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("isn't a .npy file")?;
    let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or("is cut off")?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk::<2>().map(|(n, r)| (usize::from(u16::from_le_bytes(*n)), r)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(n, r)| (u32::from_le_bytes(*n) as usize, r)),
        _ => return Err(format!("is a .npy file of version {major}, known are 1 to 3")),
    }
    .ok_or("is cut off")?;
    let (header, data) = rest.split_at_checked(length).ok_or("is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that isn't text")?;
    let Header { dtype, fortran, shape } = Header::parse(header)?;
    let needed = bytes_of(dtype, &shape)
        .ok_or_else(|| format!("claims to be {}, beyond any memory", type_text(dtype, &shape)))?;
    if data.len() != needed {
        let what = if data.len() < needed { "is cut off" } else { "is too long" };
        return Err(format!(
            "{what}: {} needs {needed} bytes of data, it has {}",
            type_text(dtype, &shape),
            data.len()
        ));
    }
    if dtype == Dtype::Bool && data.iter().any(|&b| b > 1) {
        return Err("has a bool that is neither 0 nor 1".to_owned());
    }
    let mut own = Aligned::new(needed).map_err(|e| format!("can't be read: {}", e.message()))?;
    if fortran && shape.len() > 1 {
        turn(data, &mut own, &shape, dtype.bytes());
    } else {
        own.copy_from_slice(data);
    }
    Ok(Tensor { dtype, shape, data: own })
}

/// Column-major to row-major.
fn turn(from: &[u8], to: &mut [u8], shape: &[usize], bytes: usize) {
    let mut index = vec![0; shape.len()];
    for element in to.chunks_exact_mut(bytes) {
        let at = index.iter().zip(shape).rev().fold(0, |sum, (i, extent)| sum * extent + i);
        element.copy_from_slice(&from[at * bytes..][..bytes]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

struct Header {
    dtype: Dtype,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads the Python literal `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut p = Literal { rest: text };
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        p.expect('{')?;
        while !p.eat('}') {
            let key = p.string()?;
            p.expect(':')?;
            match key {
                "descr" => descr = Some(p.descr()?),
                "fortran_order" => fortran = Some(p.boolean()?),
                "shape" => shape = Some(p.tuple()?),
                _ => return Err(DAMAGED.to_owned()),
            }
            if !p.eat(',') {
                p.expect('}')?;
                break;
            }
        }
        if !p.rest.trim().is_empty() {
            return Err(DAMAGED.to_owned());
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else { return Err(DAMAGED.to_owned()) };
        Ok(Self { dtype: dtype(descr)?, fortran, shape })
    }
}

const DAMAGED: &str = "has a damaged header";

fn dtype(descr: &str) -> Result<Dtype, String> {
    // One byte has no order, so NumPy's `|` may also be `<` or `=`.
    let known = Dtype::from_npy(descr)
        .or_else(|| descr.strip_prefix(['<', '=']).and_then(|d| Dtype::from_npy(&format!("|{d}"))));
    known.ok_or_else(|| {
        if descr.starts_with('>') {
            format!("is big-endian (`{descr}`); save it with `x.astype(x.dtype.newbyteorder(\"<\"))`")
        } else {
            format!("has elements of type `{descr}`; known are bool, uint8, int8, int32, int64, float16, float32 and float64")
        }
    })
}

struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(DAMAGED.to_owned()) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.eat('\'') {
            '\''
        } else if self.eat('"') {
            '"'
        } else {
            return Err(DAMAGED.to_owned());
        };
        let (text, rest) = self.rest.split_once(quote).ok_or(DAMAGED)?;
        self.rest = rest;
        Ok(text)
    }

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.rest.trim_start().starts_with('[') {
            return Err("has a structured type; one array of plain numbers is wanted".to_owned());
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(DAMAGED.to_owned())
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut items = Vec::new();
        self.expect('(')?;
        while !self.eat(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            items.push(digits.parse().map_err(|_| DAMAGED)?);
            self.rest = rest;
            if items.len() > MAX_RANK {
                return Err(format!("has more than {MAX_RANK} axes"));
            }
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(items)
    }
}

/// The header of a file of this type, padded so that the data starts at a multiple of 64.
/// `None` if NumPy lacks the type.
pub fn header(dtype: Dtype, shape: &[usize]) -> Option<Vec<u8>> {
    let mut dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    if shape.len() > 1 {
        dims.truncate(dims.len() - 2);
    } else {
        dims.truncate(dims.trim_end().len());
    }
    let mut text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({dims}), }}", dtype.npy()?);
    while (text.len() + 11) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Some(bytes)
}
