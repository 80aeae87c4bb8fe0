//! Deflate (RFC 1951), bare and in gzip (RFC 1952) and zlib (RFC 1950). Checksums and lengths are checked.

/// Most bytes that a file may unpack to: gzip's own length field says no more.
const LIMIT: usize = u32::MAX as usize;
const TOO_LONG: &str = "it unpacks to more than it says, or to more than 4 GiB";
/// Longest code, in bits.
const MAX_BITS: usize = 15;
/// Order in which the lengths of length codes are sent.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Shortest match for each length symbol from 257.
const LENGTHS: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
/// Its extra bits.
const LENGTH_BITS: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// Least distance for each distance symbol.
const DISTANCES: [u16; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
    8193, 12289, 16385, 24577,
];
/// Its extra bits.
const DISTANCE_BITS: [u8; 30] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

type Result<T> = std::result::Result<T, &'static str>;

/// Unpacks a gzip file of one or more members. The error is a phrase.
pub fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    loop {
        let start = out.len();
        let body = header(rest)?;
        let used = inflate(body, &mut out, LIMIT)?;
        let trailer: &[u8; 8] = body.get(used..).and_then(<[u8]>::first_chunk).ok_or("it is cut off")?;
        let [c0, c1, c2, c3, n0, n1, n2, n3] = *trailer;
        if u32::from_le_bytes([c0, c1, c2, c3]) != crc32(&out[start..]) {
            return Err("its checksum is wrong");
        }
        if u32::from_le_bytes([n0, n1, n2, n3]) as usize != out.len() - start {
            return Err("its length is wrong");
        }
        rest = &body[used + 8..];
        if rest.iter().all(|&b| b == 0) {
            return Ok(out);
        }
    }
}

/// Skips a member's header.
fn header(bytes: &[u8]) -> Result<&[u8]> {
    let (fixed, mut rest) = bytes.split_first_chunk::<10>().ok_or("it is cut off")?;
    if fixed[..3] != [0x1f, 0x8b, 8] {
        return Err("it isn't gzip");
    }
    let flags = fixed[3];
    if flags & 0xe0 != 0 {
        return Err("it has unknown gzip flags");
    }
    if flags & 4 != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or("it is cut off")?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or("it is cut off")?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let end = rest.iter().position(|&b| b == 0).ok_or("it is cut off")?;
            rest = &rest[end + 1..];
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..).ok_or("it is cut off")?;
    }
    Ok(rest)
}

/// Unpacks bare deflate that gives exactly `length` bytes.
pub fn raw(bytes: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    inflate(bytes, &mut out, length)?;
    if out.len() == length { Ok(out) } else { Err("its length is wrong") }
}

/// Unpacks zlib that gives exactly `length` bytes.
pub fn zlib(bytes: &[u8], length: usize) -> Result<Vec<u8>> {
    let (&[method, flags], body) = bytes.split_first_chunk::<2>().ok_or("it is cut off")?;
    let check = u16::from_be_bytes([method, flags]);
    if method & 15 != 8 || method >> 4 > 7 || flags & 0x20 != 0 || !check.is_multiple_of(31) {
        return Err("its data is damaged");
    }
    let mut out = Vec::new();
    let used = inflate(body, &mut out, length)?;
    let sum = body.get(used..).and_then(<[u8]>::first_chunk::<4>).ok_or("it is cut off")?;
    if out.len() != length {
        return Err("its length is wrong");
    }
    if u32::from_be_bytes(*sum) != adler32(&out) {
        return Err("its checksum is wrong");
    }
    Ok(out)
}

/// The checksum of zlib.
pub fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // So many sums stay below 2^32.
    for part in bytes.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    b << 16 | a
}

/// Appends the unpacked bytes, `most` of them, to `out`; returns how many packed ones it read.
fn inflate(bytes: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize> {
    let most = out.len().saturating_add(most).min(LIMIT);
    let mut bits = Bits { bytes, at: 0, buffer: 0, count: 0 };
    let start = out.len();
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, out, most)?,
            1 => {
                let (literals, distances) = fixed_codes()?;
                block(&mut bits, out, (start, most), &literals, &distances)?;
            }
            2 => {
                let (literals, distances) = sent_codes(&mut bits)?;
                block(&mut bits, out, (start, most), &literals, &distances)?;
            }
            _ => return Err("its data is damaged"),
        }
        if last {
            return Ok(bits.whole_bytes());
        }
    }
}

/// Reads bits, lowest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            self.buffer |= u64::from(byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
    }

    fn drop(&mut self, n: u32) -> Result<()> {
        self.count = self.count.checked_sub(n).ok_or("it is cut off")?;
        self.buffer >>= n;
        Ok(())
    }

    /// At most 32 bits.
    fn take(&mut self, n: u32) -> Result<u32> {
        self.fill();
        let value = (self.buffer & ((1 << n) - 1)) as u32;
        self.drop(n)?;
        Ok(value)
    }

    fn symbol(&mut self, code: &Code) -> Result<usize> {
        self.fill();
        let entry = code.table[(self.buffer & ((1 << MAX_BITS) - 1)) as usize];
        if entry == 0 {
            return Err("its data is damaged");
        }
        self.drop(u32::from(entry & 15))?;
        Ok(usize::from(entry >> 4))
    }

    /// Bytes read, counting one that is used in part.
    fn whole_bytes(&self) -> usize {
        self.at - (self.count / 8) as usize
    }
}

/// A prefix code: for each value of the next 15 bits `symbol << 4 | length`, or 0.
struct Code {
    table: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self> {
        let mut counts = [0u32; MAX_BITS + 1];
        for &length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let mut next = [0u32; MAX_BITS + 2];
        let mut left = 1i64;
        for bits in 1..=MAX_BITS {
            left = left * 2 - i64::from(counts[bits]);
            if left < 0 {
                return Err("its data is damaged");
            }
            next[bits + 1] = (next[bits] + counts[bits]) << 1;
        }
        let mut table = vec![0; 1 << MAX_BITS];
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, l)| **l != 0) {
            let bits = usize::from(length);
            let code = next[bits];
            next[bits] += 1;
            let first = (code.reverse_bits() >> (32 - bits)) as usize;
            for slot in table.iter_mut().skip(first).step_by(1 << bits) {
                *slot = (symbol as u16) << 4 | u16::from(length);
            }
        }
        Ok(Self { table })
    }
}

fn fixed_codes() -> Result<(Code, Code)> {
    let mut lengths = [8; 288];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    Ok((Code::new(&lengths)?, Code::new(&[5; 30])?))
}

fn sent_codes(bits: &mut Bits<'_>) -> Result<(Code, Code)> {
    let literals = bits.take(5)? as usize + 257;
    let distances = bits.take(5)? as usize + 1;
    let sent = bits.take(4)? as usize + 4;
    if literals > 286 || distances > 30 {
        return Err("its data is damaged");
    }
    let mut small = [0; 19];
    for &position in &ORDER[..sent] {
        small[position] = bits.take(3)? as u8;
    }
    let code = Code::new(&small)?;
    let mut lengths = [0u8; 316];
    let mut filled = 0;
    while filled < literals + distances {
        let (value, repeat) = match bits.symbol(&code)? {
            16 => {
                let before = filled.checked_sub(1).ok_or("its data is damaged")?;
                (lengths[before], 3 + bits.take(2)?)
            }
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        let end = filled + repeat as usize;
        if end > literals + distances {
            return Err("its data is damaged");
        }
        lengths[filled..end].fill(value);
        filled = end;
    }
    Ok((Code::new(&lengths[..literals])?, Code::new(&lengths[literals..filled])?))
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>, most: usize) -> Result<()> {
    bits.drop(bits.count % 8)?;
    let length = bits.take(16)?;
    if bits.take(16)? != length ^ 0xffff {
        return Err("its data is damaged");
    }
    let start = bits.whole_bytes();
    let data = bits.bytes.get(start..start + length as usize).ok_or("it is cut off")?;
    out.extend_from_slice(data);
    *bits = Bits { bytes: bits.bytes, at: start + length as usize, buffer: 0, count: 0 };
    if out.len() > most { Err(TOO_LONG) } else { Ok(()) }
}

/// One block of literals and matches; a match may not reach before `start`, nor the output beyond `most`.
fn block(
    bits: &mut Bits<'_>,
    out: &mut Vec<u8>,
    (start, most): (usize, usize),
    literals: &Code,
    distances: &Code,
) -> Result<()> {
    loop {
        match bits.symbol(literals)? {
            literal @ 0..256 => out.push(literal as u8),
            256 => return Ok(()),
            symbol => {
                let length = extra(bits, symbol - 257, &LENGTHS, &LENGTH_BITS)?;
                let symbol = bits.symbol(distances)?;
                let distance = extra(bits, symbol, &DISTANCES, &DISTANCE_BITS)?;
                if distance > out.len() - start {
                    return Err("its data is damaged");
                }
                for _ in 0..length {
                    out.push(out[out.len() - distance]);
                }
            }
        }
        if out.len() > most {
            return Err(TOO_LONG);
        }
    }
}

fn extra(bits: &mut Bits<'_>, symbol: usize, base: &[u16], count: &[u8]) -> Result<usize> {
    let (&base, &count) = base.get(symbol).zip(count.get(symbol)).ok_or("its data is damaged")?;
    Ok(usize::from(base) + bits.take(u32::from(count))? as usize)
}

/// CRC-32 as gzip has it.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    !bytes.iter().fold(!0, |crc: u32, &b| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ b)])
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}
