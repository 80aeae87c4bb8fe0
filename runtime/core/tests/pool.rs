//! The pool: every tile once, any number of threads, nested calls, fork.

use mlc_rt_core::pool::{Pool, parallel_for};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

const STRIDE: usize = 64;

fn handle(pool: &Pool) -> *mut c_void {
    ptr::from_ref(pool).cast_mut().cast()
}

/// Frame: counters of the tiles. Scratch: set while in use.
unsafe extern "C" fn count(frame: *const u64, scratch: *mut u8, lo: i64, hi: i64) {
    unsafe {
        assert_eq!(scratch.read_volatile(), 0, "another worker has this scratch");
        scratch.write_volatile(1);
        for tile in lo..hi {
            let cell = &*frame.add(tile as usize).cast::<AtomicU64>();
            cell.fetch_add(tile as u64 + 1, Ordering::Relaxed);
        }
        scratch.write_volatile(0);
    }
}

/// Frame: the pool and the counters.
unsafe extern "C" fn nested(frame: *const u64, _scratch: *mut u8, lo: i64, hi: i64) {
    let mut own = [0u8; STRIDE * 8];
    for tile in lo..hi {
        unsafe {
            let pool = *frame as *mut c_void;
            let cells = (*frame.add(1) as *const u64).add(tile as usize * 10);
            parallel_for(pool, count, cells, own.as_mut_ptr(), STRIDE as i64, 10);
        }
    }
}

fn run(pool: *mut c_void, tiles: usize) {
    let cells: Vec<AtomicU64> = (0..tiles).map(|_| AtomicU64::new(0)).collect();
    let mut scratch = vec![0u8; STRIDE * 8];
    unsafe { parallel_for(pool, count, cells.as_ptr().cast(), scratch.as_mut_ptr(), STRIDE as i64, tiles as i64) };
    assert!(cells.iter().enumerate().all(|(i, c)| c.load(Ordering::Relaxed) == i as u64 + 1));
}

#[test]
fn every_tile_once() {
    run(ptr::null_mut(), 100);
    for threads in [1, 2, 3, 7] {
        let pool = Box::new(Pool::new());
        assert_eq!(unsafe { pool.start(threads) }, threads);
        for round in 0..300 {
            run(handle(&pool), [0, 1, 2, 3, 17, 1000][round % 6]);
            if round % 100 == 0 {
                // Long enough for the workers to fall asleep.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        pool.close();
        run(handle(&pool), 50);
        assert_eq!(unsafe { pool.start(threads) }, threads, "a closed pool can be started again");
        run(handle(&pool), 50);
        pool.close();
    }
}

#[test]
fn nested_calls_run_inline() {
    let pool = Box::new(Pool::new());
    unsafe { pool.start(3) };
    for _ in 0..50 {
        let cells: Vec<AtomicU64> = (0..200).map(|_| AtomicU64::new(0)).collect();
        let frame = [handle(&pool) as u64, cells.as_ptr() as u64];
        let mut scratch = vec![0u8; STRIDE * 8];
        unsafe { parallel_for(handle(&pool), nested, frame.as_ptr(), scratch.as_mut_ptr(), STRIDE as i64, 20) };
        assert!(cells.iter().enumerate().all(|(i, c)| c.load(Ordering::Relaxed) == (i as u64 % 10) + 1));
    }
    pool.close();
}

#[cfg(unix)]
#[test]
fn a_forked_child_runs_serially() {
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }
    let pool = Box::new(Pool::new());
    unsafe { pool.start(3) };
    run(handle(&pool), 100);
    let cells: Vec<AtomicU64> = (0..100).map(|_| AtomicU64::new(0)).collect();
    let mut scratch = vec![0u8; STRIDE * 8];
    unsafe {
        let child = fork();
        if child == 0 {
            parallel_for(handle(&pool), count, cells.as_ptr().cast(), scratch.as_mut_ptr(), STRIDE as i64, 100);
            let done = cells.iter().enumerate().all(|(i, c)| c.load(Ordering::Relaxed) == i as u64 + 1);
            pool.close();
            _exit(if done { 0 } else { 1 });
        }
        let mut status = -1;
        assert_eq!(waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
    }
    pool.close();
}

#[test]
fn the_level_is_known() {
    use mlc_rt_core::cpu::{Level, detect};
    let level = detect();
    assert_eq!(Level::from_name(level.name()), Some(level));
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("bmi2")
    {
        assert!(level >= Level::V3);
    }
}
