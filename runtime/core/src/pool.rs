//! A fork-join pool of a fixed number of threads, in memory that the caller gives.
//!
//! One job runs at a time: the calling thread is worker 0 and takes part. Tiles are handed out in
//! runs of neighbours by one atomic word, `generation << 32 | runs left`, so which thread runs which
//! tile varies, but tiles don't depend on it, and a worker that wakes up late finds nothing left and
//! touches nothing. The caller waits for the tiles, never for the threads.
//!
//! Workers look for a new job for [`SPINS`] pauses and then sleep on a futex. A call from inside a
//! kernel runs inline on the same worker. After `fork()` the child has no workers: it notices by its
//! process id and runs everything itself.

use crate::abi::Kernel;
use crate::sys;
use core::ffi::c_void;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Most workers of a pool, the caller included.
pub const MAX_THREADS: usize = 256;

/// Pauses before a waiting thread sleeps.
pub const SPINS: u32 = 2000;

/// Runs of tiles for each worker: enough to even out the load, few enough to make claims cheap.
const RUNS_PER_WORKER: i64 = 8;

/// A pool. [`Pool::start`] makes its threads, [`Pool::close`] joins them; between the two it must not move.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Pool {
    claim: Line<AtomicU64>,
    generation: Line<AtomicU32>,
    sleepers: AtomicU32,
    done: Line<AtomicU32>,
    caller_sleeps: AtomicBool,
    busy: AtomicBool,
    closing: AtomicBool,
    next_worker: AtomicU32,
    pid: AtomicU32,
    job: Job,
    workers: AtomicUsize,
    threads: [AtomicUsize; MAX_THREADS],
    /// `pthread_self` of each worker, by its index; `threads` is in order of creation.
    ids: [AtomicUsize; MAX_THREADS],
}

/// A value alone on its cache line.
#[repr(align(64))]
#[derive(Debug)]
struct Line<T>(T);

/// The current job. Atomics, because a worker that is late may read it while the next one is written;
/// what it read then is not used, since its claim fails.
#[derive(Debug)]
struct Job {
    kernel: AtomicPtr<c_void>,
    frame: AtomicPtr<u64>,
    scratch: AtomicPtr<u8>,
    stride: AtomicI64,
    tiles: AtomicI64,
    run: AtomicI64,
    runs: AtomicU32,
}

/// What one worker does for one job.
#[derive(Clone, Copy)]
struct Task {
    kernel: Kernel,
    frame: *const u64,
    scratch: *mut u8,
    tiles: i64,
    run: i64,
    runs: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// A pool without threads; as it is, everything runs on the caller.
    pub const fn new() -> Self {
        Self {
            claim: Line(AtomicU64::new(0)),
            generation: Line(AtomicU32::new(0)),
            sleepers: AtomicU32::new(0),
            done: Line(AtomicU32::new(0)),
            caller_sleeps: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            next_worker: AtomicU32::new(0),
            pid: AtomicU32::new(0),
            job: Job {
                kernel: AtomicPtr::new(ptr::null_mut()),
                frame: AtomicPtr::new(ptr::null_mut()),
                scratch: AtomicPtr::new(ptr::null_mut()),
                stride: AtomicI64::new(0),
                tiles: AtomicI64::new(0),
                run: AtomicI64::new(1),
                runs: AtomicU32::new(0),
            },
            workers: AtomicUsize::new(1),
            threads: [const { AtomicUsize::new(0) }; MAX_THREADS],
            ids: [const { AtomicUsize::new(0) }; MAX_THREADS],
        }
    }

    /// Starts the threads of a pool of `threads` workers (1 to [`MAX_THREADS`]) and returns how many
    /// there are: fewer if the system refuses some.
    ///
    /// # Safety
    ///
    /// The pool must be new or closed, and stay where it is and alive until [`Pool::close`] returns.
    pub unsafe fn start(&self, threads: usize) -> usize {
        let threads = threads.clamp(1, MAX_THREADS);
        self.closing.store(false, Ordering::Relaxed);
        self.next_worker.store(1, Ordering::Relaxed);
        // SAFETY: these take nothing and can't fail.
        let (me, pid) = unsafe { (sys::pthread_self(), sys::getpid()) };
        self.ids[0].store(me, Ordering::Relaxed);
        self.pid.store(pid as u32, Ordering::Relaxed);
        let mut workers = 1;
        while workers < threads {
            let arg = ptr::from_ref(self).cast_mut().cast::<c_void>();
            let mut thread: sys::Thread = 0;
            // SAFETY: `arg` is this pool, which the caller keeps alive until the thread is joined.
            let failed = unsafe { sys::pthread_create(&mut thread, ptr::null(), worker_main, arg) };
            if failed != 0 {
                break;
            }
            self.threads[workers].store(thread, Ordering::Relaxed);
            workers += 1;
        }
        self.workers.store(workers, Ordering::Release);
        workers
    }

    /// Workers, the caller included.
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::Acquire)
    }

    /// Joins the threads. Must not be called while a job runs. In a child of `fork()` there is nothing to join.
    pub fn close(&self) {
        let workers = self.workers.swap(1, Ordering::AcqRel);
        if workers <= 1 || !self.is_own_process() {
            return;
        }
        self.closing.store(true, Ordering::SeqCst);
        self.generation.0.fetch_add(1, Ordering::SeqCst);
        sys::wake(&self.generation.0, i32::MAX as u32);
        for thread in &self.threads[1..workers] {
            // SAFETY: `start` made this thread and nobody else joins it.
            unsafe {
                sys::pthread_join(thread.load(Ordering::Relaxed), ptr::null_mut());
            }
        }
    }

    fn is_own_process(&self) -> bool {
        // SAFETY: takes nothing and can't fail.
        let pid = unsafe { sys::getpid() };
        self.pid.load(Ordering::Relaxed) == pid as u32
    }

    /// Which worker the calling thread is; threads that aren't of the pool count as the caller.
    fn own_index(&self, workers: usize) -> usize {
        // SAFETY: takes nothing and can't fail.
        let me = unsafe { sys::pthread_self() };
        self.ids[..workers].iter().position(|t| t.load(Ordering::Relaxed) == me).unwrap_or(0)
    }

    /// Publishes a job, takes part in it, and returns when it is done.
    ///
    /// # Safety
    ///
    /// As [`parallel_for`]; the caller holds `busy`.
    unsafe fn run(&self, workers: i64, task: Task, stride: i64) {
        let job = &self.job;
        job.kernel.store(task.kernel as *mut c_void, Ordering::Relaxed);
        job.frame.store(task.frame.cast_mut(), Ordering::Relaxed);
        job.scratch.store(task.scratch, Ordering::Relaxed);
        job.stride.store(stride, Ordering::Relaxed);
        job.tiles.store(task.tiles, Ordering::Relaxed);
        job.run.store(task.run, Ordering::Relaxed);
        job.runs.store(task.runs, Ordering::Relaxed);
        self.done.0.store(0, Ordering::Relaxed);
        let generation = self.generation.0.load(Ordering::Relaxed).wrapping_add(1);
        self.claim.0.store(pack(generation, task.runs), Ordering::Release);
        self.generation.0.store(generation, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            sys::wake(&self.generation.0, task.runs.min(workers as u32) - 1);
        }
        // SAFETY: passed on from the caller; worker 0's scratch is its start.
        unsafe { self.work(generation, task) };
        self.await_done(task.runs);
    }

    /// Runs tiles of job `generation` until none is left.
    ///
    /// # Safety
    ///
    /// `task` must hold what was read of the job after its generation was seen.
    unsafe fn work(&self, generation: u32, task: Task) {
        let mut claim = self.claim.0.load(Ordering::Acquire);
        loop {
            let (current, left) = unpack(claim);
            if current != generation || left == 0 {
                return;
            }
            match self.claim.0.compare_exchange_weak(
                claim,
                pack(generation, left - 1),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Err(now) => claim = now,
                Ok(_) => {
                    let lo = i64::from(task.runs - left) * task.run;
                    let hi = lo.saturating_add(task.run).min(task.tiles);
                    // SAFETY: the claim succeeded, so the job is the current one until this run is
                    // counted below: its kernel, frame and scratch are valid by `parallel_for`.
                    unsafe { (task.kernel)(task.frame, task.scratch, lo, hi) };
                    if self.done.0.fetch_add(1, Ordering::SeqCst) + 1 == task.runs
                        && self.caller_sleeps.load(Ordering::SeqCst)
                    {
                        sys::wake(&self.done.0, 1);
                    }
                    claim = self.claim.0.load(Ordering::Acquire);
                }
            }
        }
    }

    fn await_done(&self, runs: u32) {
        for _ in 0..SPINS {
            if self.done.0.load(Ordering::Acquire) == runs {
                return;
            }
            spin_loop();
        }
        self.caller_sleeps.store(true, Ordering::SeqCst);
        loop {
            let done = self.done.0.load(Ordering::SeqCst);
            if done == runs {
                break;
            }
            sys::wait(&self.done.0, done);
        }
        self.caller_sleeps.store(false, Ordering::Relaxed);
    }

    /// Waits for a generation other than `seen` and returns it.
    fn await_job(&self, seen: u32) -> u32 {
        for _ in 0..SPINS {
            let now = self.generation.0.load(Ordering::Acquire);
            if now != seen {
                return now;
            }
            spin_loop();
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let now = loop {
            let now = self.generation.0.load(Ordering::SeqCst);
            if now != seen {
                break now;
            }
            sys::wait(&self.generation.0, seen);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        now
    }

    /// Reads the job for worker `index`; `None` if there is none yet.
    fn task(&self, index: usize) -> Option<Task> {
        let job = &self.job;
        let kernel = job.kernel.load(Ordering::Relaxed);
        if kernel.is_null() {
            return None;
        }
        let offset = (index as i64).wrapping_mul(job.stride.load(Ordering::Relaxed)) as isize;
        Some(Task {
            // SAFETY: only `run` stores here, and it stores a `Kernel`.
            kernel: unsafe { core::mem::transmute::<*mut c_void, Kernel>(kernel) },
            frame: job.frame.load(Ordering::Relaxed),
            scratch: job.scratch.load(Ordering::Relaxed).wrapping_offset(offset),
            tiles: job.tiles.load(Ordering::Relaxed),
            run: job.run.load(Ordering::Relaxed),
            runs: job.runs.load(Ordering::Relaxed),
        })
    }
}

fn pack(generation: u32, left: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(left)
}

fn unpack(claim: u64) -> (u32, u32) {
    ((claim >> 32) as u32, claim as u32)
}

extern "C" fn worker_main(arg: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passes its pool, which outlives this thread because `close` joins it.
    let pool = unsafe { &*arg.cast::<Pool>() };
    let index = pool.next_worker.fetch_add(1, Ordering::Relaxed) as usize;
    // SAFETY: takes nothing and can't fail.
    pool.ids[index].store(unsafe { sys::pthread_self() }, Ordering::Relaxed);
    let mut seen = 0;
    loop {
        seen = pool.await_job(seen);
        if pool.closing.load(Ordering::SeqCst) {
            return ptr::null_mut();
        }
        let Some(task) = pool.task(index) else { continue };
        // SAFETY: the job was read after its generation was seen.
        unsafe { pool.work(seen, task) };
    }
}

/// See [`crate::abi::ParallelFor`]. `pool` is a [`Pool`] or null.
///
/// # Safety
///
/// `kernel` must be safe to call with `frame` for disjoint ranges of `0..tiles` at the same time, and
/// there must be `scratch_stride` bytes of scratch for each worker of the pool.
pub unsafe extern "C" fn parallel_for(
    pool: *mut c_void,
    kernel: Kernel,
    frame: *const u64,
    scratch: *mut u8,
    scratch_stride: i64,
    tiles: i64,
) {
    if tiles <= 0 {
        return;
    }
    // SAFETY: not null means a live `Pool`.
    let pool = unsafe { pool.cast::<Pool>().as_ref() };
    let workers = pool.map_or(1, Pool::workers);
    let Some(pool) = pool.filter(|_| workers > 1 && tiles > 1) else {
        // SAFETY: all tiles, here, with the first worker's scratch.
        unsafe { kernel(frame, scratch, 0, tiles) };
        return;
    };
    if !pool.is_own_process() || pool.busy.swap(true, Ordering::Acquire) {
        let offset = (pool.own_index(workers) as i64).wrapping_mul(scratch_stride) as isize;
        // SAFETY: all tiles, here, with the scratch of the worker that this thread is.
        unsafe { kernel(frame, scratch.wrapping_offset(offset), 0, tiles) };
        return;
    }
    let wanted = (workers as i64 * RUNS_PER_WORKER).min(tiles);
    let run = tiles / wanted + i64::from(tiles % wanted != 0);
    let runs = (tiles / run + i64::from(tiles % run != 0)) as u32;
    let task = Task { kernel, frame, scratch, tiles, run, runs };
    // SAFETY: passed on from the caller; `busy` is ours.
    unsafe { pool.run(workers as i64, task, scratch_stride) };
    pool.busy.store(false, Ordering::Release);
}
