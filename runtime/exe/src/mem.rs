//! Memory at the alignment that compiled code wants. Running out of it is an error, not a crash.

use crate::error::{Failure, Result};
use mlc_rt_core::abi::ARENA_ALIGN;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

/// Zeroed bytes, aligned to [`ARENA_ALIGN`], of a fixed number.
pub struct Aligned {
    /// What the allocator returned.
    base: NonNull<u8>,
    layout: Layout,
    /// The first aligned byte; `len` bytes from it are inside the allocation.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns plain bytes.
unsafe impl Send for Aligned {}
// SAFETY: shared access only reads.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// Allocates `len` zeroed bytes.
    pub fn new(len: usize) -> Result<Self> {
        let failure = || Failure::plain(format!("out of memory: {} more can't be had", size_text(len as u64)));
        // The allocator has zeroed pages at hand only for its own alignment, so the rest is done here.
        let size = len.checked_add(ARENA_ALIGN).ok_or_else(failure)?;
        let layout = Layout::from_size_align(size, 16).map_err(|_| failure())?;
        // SAFETY: the layout's size isn't 0.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(failure)?;
        let gap = base.as_ptr().align_offset(ARENA_ALIGN);
        // SAFETY: `gap` is below ARENA_ALIGN, by which the allocation is longer than `len`.
        let start = unsafe { base.add(gap) };
        advise(start, len);
        Ok(Self { base, layout, start, len })
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut copy = Self::new(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }

    /// Its address, for compiled code.
    pub fn pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes that it owns.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes that it owns, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aligned({} bytes)", self.len)
    }
}

/// From this size on, memory is asked to be in large pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// Asks for large pages: kernels then miss the TLB less.
#[cfg(target_os = "linux")]
fn advise(start: NonNull<u8>, len: usize) {
    use std::ffi::{c_int, c_void};
    unsafe extern "C" {
        fn madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int;
    }
    const MADV_HUGEPAGE: c_int = 14;
    const PAGE: usize = 1 << 16;
    if len < LARGE {
        return;
    }
    let gap = start.as_ptr().align_offset(PAGE);
    let len = (len - gap) & !(PAGE - 1);
    // SAFETY: the range is whole pages inside our own memory, and the advice changes no contents.
    unsafe { madvise(start.as_ptr().wrapping_add(gap).cast(), len, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: NonNull<u8>, _len: usize) {}

/// `12.5 MiB`
pub fn size_text(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut size = bytes as f64;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{size:.1} {}", units[unit]) }
}
