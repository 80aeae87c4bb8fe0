//! The few calls of the C library that the pool needs.

use core::ffi::c_void;

/// `pthread_t`: an integer or a pointer, one word on every system.
pub(crate) type Thread = usize;

unsafe extern "C" {
    pub(crate) fn pthread_create(
        thread: *mut Thread,
        attr: *const c_void,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        arg: *mut c_void,
    ) -> i32;
    pub(crate) fn pthread_join(thread: Thread, result: *mut *mut c_void) -> i32;
    pub(crate) fn pthread_self() -> Thread;
    pub(crate) fn getpid() -> i32;
}

#[cfg(target_os = "linux")]
mod futex {
    use core::ffi::c_long;
    use core::ptr;
    use core::sync::atomic::AtomicU32;

    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }

    #[cfg(target_arch = "x86_64")]
    const SYS_FUTEX: c_long = 202;
    #[cfg(not(target_arch = "x86_64"))]
    const SYS_FUTEX: c_long = 98;
    const WAIT_PRIVATE: c_long = 128;
    const WAKE_PRIVATE: c_long = 129;

    /// Sleeps while `word` holds `expected`; may return early.
    pub(crate) fn wait(word: &AtomicU32, expected: u32) {
        // SAFETY: FUTEX_WAIT reads one aligned word that outlives the call; no time limit is given.
        unsafe {
            syscall(SYS_FUTEX, word.as_ptr(), WAIT_PRIVATE, c_long::from(expected as i32), ptr::null::<u8>());
        }
    }

    /// Wakes at most `count` threads that sleep on `word`.
    pub(crate) fn wake(word: &AtomicU32, count: u32) {
        // SAFETY: FUTEX_WAKE uses the address alone.
        unsafe {
            syscall(SYS_FUTEX, word.as_ptr(), WAKE_PRIVATE, c_long::from(count as i32));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod futex {
    use core::sync::atomic::AtomicU32;

    unsafe extern "C" {
        fn sched_yield() -> i32;
    }

    /// Gives up the processor once; the caller looks at the word again.
    pub(crate) fn wait(_word: &AtomicU32, _expected: u32) {
        // SAFETY: takes and changes nothing of ours.
        unsafe {
            sched_yield();
        }
    }

    /// Nobody sleeps here.
    pub(crate) fn wake(_word: &AtomicU32, _count: u32) {}
}

pub(crate) use futex::{wait, wake};
