//! The files inside a zip archive, as NumPy writes them into `.npz`: stored or deflated, also beyond 4 GiB.

use crate::inflate::{crc32, raw};

/// Deflate never packs tighter than this; a larger claim is a lie.
const BEST_RATIO: u64 = 1032;
const CUT: &str = "it is cut off";
const DAMAGED: &str = "its table of contents is damaged";

type Result<T> = std::result::Result<T, String>;

/// One file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    at: u64,
}

/// The archive's table of contents. The error is a phrase.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry>> {
    const END: usize = 22;
    let last = bytes.len().checked_sub(END).ok_or(CUT)?;
    // Behind the end record stands a comment of at most 65535 bytes.
    let end = (last.saturating_sub(65535)..=last)
        .rev()
        .find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))
        .ok_or("it isn't a whole zip archive")?;
    let (mut count, mut start) = (u64::from(u16_at(bytes, end + 10)?), u64::from(u32_at(bytes, end + 16)?));
    if (count == 0xffff || start == 0xffff_ffff)
        && let Some(locator) = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(b"PK\x06\x07"))
    {
        let wide = index(u64_at(bytes, locator + 8)?)?;
        if !bytes.get(wide..).is_some_and(|b| b.starts_with(b"PK\x06\x06")) {
            return Err(DAMAGED.to_owned());
        }
        (count, start) = (u64_at(bytes, wide + 32)?, u64_at(bytes, wide + 48)?);
    }
    let mut at = index(start)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (entry, next) = entry(bytes, at)?;
        found.push(entry);
        at = next;
    }
    Ok(found)
}

/// The entry whose record in the table is at `at`, and where the next one is.
fn entry(bytes: &[u8], at: usize) -> Result<(Entry, usize)> {
    if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
        return Err(DAMAGED.to_owned());
    }
    let half = |offset| u16_at(bytes, at + offset);
    let (name_len, extra_len, comment_len) = (half(28)?, half(30)?, half(32)?);
    let name_at = at + 46;
    let extra_at = name_at + usize::from(name_len);
    let end = extra_at + usize::from(extra_len);
    let name = bytes.get(name_at..extra_at).ok_or(CUT)?;
    let extra = bytes.get(extra_at..end).ok_or(CUT)?;
    let mut entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        flags: half(8)?,
        method: half(10)?,
        crc: u32_at(bytes, at + 16)?,
        packed: u64::from(u32_at(bytes, at + 20)?),
        size: u64::from(u32_at(bytes, at + 24)?),
        at: u64::from(u32_at(bytes, at + 42)?),
    };
    widen(&mut entry, extra)?;
    Ok((entry, end + usize::from(comment_len)))
}

/// Numbers beyond 32 bits stand in an extra field, those alone that are needed, in this order.
fn widen(entry: &mut Entry, mut extra: &[u8]) -> Result<()> {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let field = extra.get(4..4 + length).ok_or(DAMAGED)?;
        if kind == 1 {
            let mut at = 0;
            for number in [&mut entry.size, &mut entry.packed, &mut entry.at] {
                if *number == 0xffff_ffff {
                    *number = u64_at(field, at)?;
                    at += 8;
                }
            }
        }
        extra = &extra[4 + length..];
    }
    Ok(())
}

/// The contents of an entry, checked. The error is a phrase.
pub fn read(bytes: &[u8], entry: &Entry) -> Result<Vec<u8>> {
    let at = index(entry.at)?;
    if !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x03\x04")) {
        return Err(DAMAGED.to_owned());
    }
    if entry.flags & 1 != 0 {
        return Err("it is encrypted".to_owned());
    }
    let start = at + 30 + usize::from(u16_at(bytes, at + 26)?) + usize::from(u16_at(bytes, at + 28)?);
    let end = start.checked_add(index(entry.packed)?).ok_or(CUT)?;
    let packed = bytes.get(start..end).ok_or(CUT)?;
    let data = match entry.method {
        0 if entry.size == entry.packed => packed.to_vec(),
        8 if entry.size / BEST_RATIO <= entry.packed => raw(packed, index(entry.size)?)?,
        0 | 8 => return Err(DAMAGED.to_owned()),
        other => return Err(format!("it is packed by method {other}, known are 0 (stored) and 8 (deflate)")),
    };
    if crc32(&data) != entry.crc {
        return Err("its checksum is wrong".to_owned());
    }
    Ok(data)
}

fn index(number: u64) -> Result<usize> {
    // Half of the address space, so that small sums can't overflow.
    usize::try_from(number).ok().filter(|&n| n <= isize::MAX as usize / 2).ok_or_else(|| DAMAGED.to_owned())
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    Ok(*bytes.get(at..).and_then(<[u8]>::first_chunk::<N>).ok_or(CUT)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}
