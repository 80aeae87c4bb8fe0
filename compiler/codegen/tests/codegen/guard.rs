//! Memory between two pages that nobody may touch.

use std::ptr;

/// On which side the bytes touch a guard page.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Start,
    End,
}

/// A copy of some bytes that starts or ends at a guard page.
pub struct Guarded {
    map: *mut u8,
    map_bytes: usize,
    data: *mut u8,
    len: usize,
}

impl Guarded {
    pub fn new(bytes: &[u8], side: Side) -> Guarded {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let inner = bytes.len().next_multiple_of(page).max(page);
        let map_bytes = inner + 2 * page;
        let (access, kind) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at no particular place.
        let map = unsafe { libc::mmap(ptr::null_mut(), map_bytes, access, kind, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let map = map.cast::<u8>();
        // SAFETY: the range is within the mapping.
        let first = unsafe { map.add(page) };
        // SAFETY: as above.
        let opened = unsafe { libc::mprotect(first.cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(opened, 0);
        let start = match side {
            Side::Start => 0,
            Side::End => inner - bytes.len(),
        };
        // SAFETY: `start + len <= inner`, and the pages were opened above.
        let data = unsafe {
            let data = first.add(start);
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            data
        };
        Guarded { map, map_bytes, data, len: bytes.len() }
    }

    pub fn as_ptr(&self) -> *mut u8 {
        self.data
    }

    pub fn to_vec(&self) -> Vec<u8> {
        // SAFETY: `data` points to `len` open bytes, and no code that writes them runs now.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }.to_vec()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nothing refers to any more.
        unsafe { libc::munmap(self.map.cast(), self.map_bytes) };
    }
}
