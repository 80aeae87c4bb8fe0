//! How many threads there are, the memory that each has of its own, and with how many of them an entry stays under
//! its bound.

use crate::error::{Failure, MEMORY, Result};
use crate::mem::{Aligned, size_text};
use crate::meta::{Entry, Meta};
use mlc_rt_core::abi::SCRATCH_BYTES;

/// How many threads, the caller included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// As many as this, or fewer if the system refuses some.
    pub wanted: usize,
    /// Whether a bound of memory that has no room for them is an error, since somebody asked for so many. Otherwise
    /// there are fewer then.
    pub fixed: bool,
}

/// Bytes of each thread's own, for what kernels and chains forget.
pub fn bytes(meta: &Meta) -> usize {
    SCRATCH_BYTES.saturating_add(meta.near)
}

/// The memory of all threads.
pub fn memory(threads: usize, meta: &Meta) -> Result<Aligned> {
    let all = bytes(meta).checked_mul(threads);
    Aligned::new(all.ok_or_else(|| Failure::internal("the memory of threads".to_string()))?)
}

/// With how many of its threads an entry stays under what it was compiled for; refuses if with none, or with fewer
/// than are fixed. `sizes` says at which sizes its arena has so many bytes.
pub fn within(meta: &Meta, entry: &Entry, arena: usize, (threads, fixed): (usize, bool), sizes: &str) -> Result<usize> {
    let (Some(limit), each) = (entry.max_memory, bytes(meta)) else { return Ok(threads) };
    let fits = limit.saturating_sub(arena) / each;
    if fits >= threads || fits > 0 && !fixed {
        return Ok(fits.min(threads));
    }
    let threads = if fixed { threads } else { 1 };
    let needed = arena.saturating_add(threads.saturating_mul(each));
    let [needed, each_text, limit_text] = [needed, each, limit].map(|bytes| size_text(bytes as u64));
    let of_threads = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
    let at = if sizes.is_empty() { format!("for {of_threads}") } else { format!("{sizes} and {of_threads}") };
    let name = &entry.name;
    let text = format!("`{name}` needs {needed} of memory {at}, and the limit is {limit_text} (--max-memory)");
    let failure =
        Failure::data(MEMORY, text).note(entry.arena.clone()).note(format!("and {each_text} for each thread"));
    Err(match fits {
        0 => failure.help("use smaller batches or shorter rows, or compile with a higher limit"),
        fewer => failure.help(format!("use `--threads {fewer}` or smaller batches, or compile with a higher limit")),
    })
}
