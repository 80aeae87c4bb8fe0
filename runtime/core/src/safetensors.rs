//! Reading safetensors: eight bytes of header length, a JSON header, then the data.
//!
//! [`SafeTensors::parse`] checks everything that can be wrong, whatever the bytes are: lengths and
//! offsets near 2^64, ranges outside the data, gaps and overlaps, a shape whose size isn't that of
//! its range. It copies nothing; tensors borrow the bytes and have no alignment.
//!
//! That ranges tile the data without gap or overlap is tested without memory: they do exactly if the
//! begins and the data's length are the same collection of numbers as the ends and 0 (every range
//! goes forward, so the ranges then form one path from 0 to the end). Collections are compared by
//! sums of hashes; a forged collision only makes two tensors share bytes.

use crate::json::{Cursor, Error as JsonError, Text};

/// Longest header, in bytes; the limit of the format's reference reader.
pub const MAX_HEADER: u64 = 100_000_000;

/// Most axes of a tensor.
pub const MAX_RANK: usize = 8;

/// Why bytes aren't a file of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than the header's length says, or than eight bytes.
    Truncated,
    /// The header's length is beyond [`MAX_HEADER`].
    HeaderTooLong,
    /// The header isn't the JSON that it has to be.
    Header(JsonError),
    /// An entry lacks `dtype`, `shape` or `data_offsets`, or has one twice.
    Entry {
        /// Which entry, from 0.
        index: usize,
    },
    /// A range isn't inside the data.
    Range {
        /// Which entry, from 0.
        index: usize,
    },
    /// Shape and dtype need another number of bytes than the range has.
    Size {
        /// Which entry, from 0.
        index: usize,
    },
    /// Ranges overlap or leave bytes out.
    Layout,
    /// Two tensors have the name that was looked for.
    Duplicate,
}

impl Error {
    /// The error as a phrase.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Truncated => "the file is cut off",
            Self::HeaderTooLong => "the length of its header is absurd; is it a safetensors file?",
            Self::Header(e) => e.what,
            Self::Entry { .. } => "a tensor's header lacks `dtype`, `shape` or `data_offsets`",
            Self::Range { .. } => "a tensor lies outside the file",
            Self::Size { .. } => "a tensor's size isn't that of its shape and dtype",
            Self::Layout => "tensors overlap, or bytes belong to no tensor",
            Self::Duplicate => "two tensors have the same name",
        }
    }
}

impl From<JsonError> for Error {
    fn from(e: JsonError) -> Self {
        Self::Header(e)
    }
}

/// Sizes of a tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    dims: [u64; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The sizes.
    pub fn dims(&self) -> &[u64] {
        &self.dims[..self.rank]
    }
}

/// One tensor of a file.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// `F32`, `I64`, … as written.
    pub dtype: Text<'a>,
    /// Sizes of its axes.
    pub shape: Shape,
    /// Its elements, little-endian, row-major, not aligned.
    pub data: &'a [u8],
}

/// A file of tensors.
#[derive(Clone, Copy, Debug)]
pub struct SafeTensors<'a> {
    header: &'a [u8],
    data: &'a [u8],
}

/// Bytes of one element of a dtype as the format writes it; `None` for names unknown here.
pub fn dtype_bytes(dtype: Text<'_>) -> Option<u64> {
    const BYTES: [(&str, u64); 16] = [
        ("BOOL", 1),
        ("U8", 1),
        ("I8", 1),
        ("F8_E5M2", 1),
        ("F8_E4M3", 1),
        ("F8_E8M0", 1),
        ("I16", 2),
        ("U16", 2),
        ("F16", 2),
        ("BF16", 2),
        ("I32", 4),
        ("U32", 4),
        ("F32", 4),
        ("F64", 8),
        ("I64", 8),
        ("U64", 8),
    ];
    BYTES.iter().find(|(name, _)| dtype.is(name)).map(|&(_, bytes)| bytes)
}

impl<'a> SafeTensors<'a> {
    /// Checks a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(Error::Truncated)?;
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            return Err(Error::HeaderTooLong);
        }
        let (header, data) = rest.split_at_checked(length as usize).ok_or(Error::Truncated)?;
        let file = Self { header, data };
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), Error> {
        let mut entries = Entries::new(self.header)?;
        let mut tiling = Tiling::new(self.data.len() as u64);
        while let Some(entry) = entries.next()? {
            entry.data(self.data, entries.index)?;
            tiling.add(entry.begin, entry.end);
        }
        if tiling.is_whole() { Ok(()) } else { Err(Error::Layout) }
    }

    /// All tensors, in the header's order.
    pub fn tensors(&self) -> Tensors<'a> {
        Tensors { entries: Entries::new(self.header).ok(), data: self.data }
    }

    /// The tensor called `name`, if there is one.
    pub fn find(&self, name: &str) -> Result<Option<Tensor<'a>>, Error> {
        let mut matching = self.tensors().filter(|t| t.name.is(name));
        let found = matching.next();
        if matching.next().is_some() { Err(Error::Duplicate) } else { Ok(found) }
    }

    /// A string of `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<Text<'a>> {
        let mut cursor = Cursor::new(self.header);
        let mut first = true;
        cursor.expect(b'{', "").ok()?;
        while let Some(name) = cursor.key(&mut first).ok()? {
            if !name.is("__metadata__") {
                cursor.skip().ok()?;
                continue;
            }
            let mut first = true;
            cursor.expect(b'{', "").ok()?;
            while let Some(name) = cursor.key(&mut first).ok()? {
                let value = cursor.string().ok()?;
                if name.is(key) {
                    return Some(value);
                }
            }
        }
        None
    }
}

/// Iterator over the tensors of a checked file.
#[derive(Clone, Debug)]
pub struct Tensors<'a> {
    entries: Option<Entries<'a>>,
    data: &'a [u8],
}

impl<'a> Iterator for Tensors<'a> {
    type Item = Tensor<'a>;

    fn next(&mut self) -> Option<Tensor<'a>> {
        let entries = self.entries.as_mut()?;
        let entry = entries.next().ok()??;
        let data = entry.data(self.data, entries.index).ok()?;
        Some(Tensor { name: entry.name, dtype: entry.dtype, shape: entry.shape, data })
    }
}

/// An entry of the header.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: Text<'a>,
    dtype: Text<'a>,
    shape: Shape,
    begin: u64,
    end: u64,
}

impl Entry<'_> {
    /// Its bytes in `all`, checked against shape and dtype.
    fn data<'d>(&self, all: &'d [u8], index: usize) -> Result<&'d [u8], Error> {
        let range = usize::try_from(self.begin).ok().zip(usize::try_from(self.end).ok());
        let data = range.and_then(|(begin, end)| all.get(begin..end)).ok_or(Error::Range { index })?;
        let Some(bytes) = dtype_bytes(self.dtype) else { return Ok(data) };
        let wanted = self.shape.dims().iter().try_fold(bytes, |product, &d| product.checked_mul(d));
        if wanted == Some(data.len() as u64) { Ok(data) } else { Err(Error::Size { index }) }
    }
}

/// The entries of a header, one after another.
#[derive(Clone, Debug)]
struct Entries<'a> {
    cursor: Cursor<'a>,
    first: bool,
    index: usize,
    begun: bool,
}

impl<'a> Entries<'a> {
    fn new(header: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(header);
        cursor.expect(b'{', "the header isn't a JSON object")?;
        Ok(Self { cursor, first: true, index: 0, begun: false })
    }

    fn next(&mut self) -> Result<Option<Entry<'a>>, Error> {
        while let Some(name) = self.cursor.key(&mut self.first)? {
            if name.is("__metadata__") {
                self.skip_metadata()?;
                continue;
            }
            self.index += usize::from(core::mem::replace(&mut self.begun, true));
            return self.entry(name).map(Some);
        }
        self.cursor.end()?;
        Ok(None)
    }

    fn skip_metadata(&mut self) -> Result<(), Error> {
        let mut first = true;
        self.cursor.expect(b'{', "`__metadata__` isn't an object")?;
        while self.cursor.key(&mut first)?.is_some() {
            self.cursor.string()?;
        }
        Ok(())
    }

    fn entry(&mut self, name: Text<'a>) -> Result<Entry<'a>, Error> {
        let error = Error::Entry { index: self.index };
        let (mut dtype, mut shape, mut range) = (None, None, None);
        let mut first = true;
        self.cursor.expect(b'{', "a tensor's entry isn't an object")?;
        while let Some(key) = self.cursor.key(&mut first)? {
            let twice = if key.is("dtype") {
                dtype.replace(self.cursor.string()?).is_some()
            } else if key.is("shape") {
                shape.replace(self.shape()?).is_some()
            } else if key.is("data_offsets") {
                range.replace(self.range()?).is_some()
            } else {
                self.cursor.skip()?;
                false
            };
            if twice {
                return Err(error);
            }
        }
        let (Some(dtype), Some(shape), Some((begin, end))) = (dtype, shape, range) else { return Err(error) };
        Ok(Entry { name, dtype, shape, begin, end })
    }

    fn shape(&mut self) -> Result<Shape, Error> {
        let mut shape = Shape { dims: [0; MAX_RANK], rank: 0 };
        let mut first = true;
        self.cursor.expect(b'[', "a shape isn't an array")?;
        while self.cursor.item(&mut first)? {
            let dim = self.cursor.unsigned()?;
            let slot = shape.dims.get_mut(shape.rank).ok_or(self.cursor.error("a tensor has more than 8 axes"))?;
            *slot = dim;
            shape.rank += 1;
        }
        Ok(shape)
    }

    fn range(&mut self) -> Result<(u64, u64), Error> {
        self.cursor.expect(b'[', "offsets aren't an array")?;
        let begin = self.cursor.unsigned()?;
        self.cursor.expect(b',', "two offsets were expected")?;
        let end = self.cursor.unsigned()?;
        self.cursor.expect(b']', "two offsets were expected")?;
        Ok((begin, end))
    }
}

/// Tells whether ranges tile `0..total`: see the module's text.
struct Tiling {
    begins: u128,
    ends: u128,
}

impl Tiling {
    fn new(total: u64) -> Self {
        Self { begins: hash(total), ends: hash(0) }
    }

    fn add(&mut self, begin: u64, end: u64) {
        self.begins = self.begins.wrapping_add(hash(begin));
        self.ends = self.ends.wrapping_add(hash(end));
    }

    fn is_whole(&self) -> bool {
        self.begins == self.ends
    }
}

/// Two rounds of SplitMix64's finaliser.
fn hash(x: u64) -> u128 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let low = mix(x.wrapping_add(0x9e37_79b9_7f4a_7c15));
    u128::from(mix(low ^ 0x6a09_e667_f3bc_c908)) << 64 | u128::from(low)
}
