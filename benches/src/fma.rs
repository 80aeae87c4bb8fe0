//! The most multiply-adds that this machine does: what kernels are measured against.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Turns of one try: some milliseconds.
const TURNS: u64 = 1 << 20;
/// Independent sums: enough to hide the latency of an addition on every port, and few enough for 16 registers.
const SUMS: usize = 12;

/// GFLOP/s of independent f32 multiply-adds in registers, with the widest vectors there are, on so many
/// threads: the best of several tries within `time`.
pub fn peak_gflops(threads: usize, time: Duration) -> f64 {
    let start = Instant::now();
    let mut best = 0f64;
    while best == 0.0 || start.elapsed() < time {
        best = best.max(one_try(threads));
    }
    best
}

fn one_try(threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let slowest = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let start = Instant::now();
                    let lanes = std::hint::black_box(chains(TURNS)).1;
                    (start.elapsed(), lanes)
                })
            })
            .collect();
        let times = handles.into_iter().filter_map(|handle| handle.join().ok());
        times.fold((Duration::ZERO, 1), |a, b| if b.0 > a.0 { b } else { a })
    });
    let flops = 2 * TURNS * SUMS as u64 * slowest.1 as u64 * threads as u64;
    flops as f64 / slowest.0.as_secs_f64() / 1e9
}

/// A number that depends on all sums, and the lanes of each.
#[cfg(target_arch = "x86_64")]
fn chains(turns: u64) -> (f32, usize) {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512.
        (unsafe { x86::chains_512(turns) }, 16)
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        (unsafe { x86::chains_256(turns) }, 8)
    } else {
        plain(turns)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn chains(turns: u64) -> (f32, usize) {
    plain(turns)
}

/// Four lanes, as the compiler likes to do them.
fn plain(turns: u64) -> (f32, usize) {
    let (keep, add) = (std::hint::black_box(0.999f32), std::hint::black_box(0.001f32));
    let mut sums = [[0f32; 4]; SUMS];
    for _ in 0..turns {
        for sum in sums.iter_mut().flatten() {
            *sum = *sum * keep + add;
        }
    }
    (sums.iter().flatten().sum(), 4)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::SUMS;
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps,
        _mm512_set1_ps, _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub fn chains_512(turns: u64) -> f32 {
        let (keep, add) = (_mm512_set1_ps(0.999), _mm512_set1_ps(0.001));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, keep, add);
            }
        }
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn chains_256(turns: u64) -> f32 {
        let (keep, add) = (_mm256_set1_ps(0.999), _mm256_set1_ps(0.001));
        let mut sums = [_mm256_setzero_ps(); SUMS];
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, keep, add);
            }
        }
        let mut lanes = [[0f32; 8]; SUMS];
        for (sum, lanes) in sums.into_iter().zip(&mut lanes) {
            // SAFETY: there is room for eight floats.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        }
        lanes.iter().flatten().sum()
    }
}
