//! The memory plan: whatever the sizes, buffers that live at the same time lie apart.

use crate::common::Rng;
use mlc_ir::dim::{Dim, Sym};
use mlc_kernel::plan::{Request, plan};

/// Sizes of all kinds: numbers, multiples of a symbol, sums, products, quotients, differences.
fn size(rng: &mut Rng) -> Dim {
    let (b, t) = (Dim::from(Sym(0)), Dim::from(Sym(1)));
    let number = |rng: &mut Rng, most: usize| Dim::from(1 + rng.below(most) as i64);
    let dim = match rng.below(7) {
        0 => Ok(number(rng, 5000)),
        1 => b.mul(&number(rng, 900)),
        2 => t.mul(&number(rng, 90)),
        3 => b.mul(&t).and_then(|bt| bt.mul(&number(rng, 40))),
        4 => b.mul(&number(rng, 30)).and_then(|x| x.add(&t)).and_then(|x| x.add(&number(rng, 300))),
        5 => t.add(&Dim::one()).and_then(|t| t.floor_div(2)).and_then(|t| t.mul(&b)).and_then(|x| x.mul(&Dim::from(4))),
        _ => b.mul(&number(rng, 30)).and_then(|x| x.sub(&b)).and_then(|x| x.add(&t)),
    };
    dim.unwrap()
}

fn requests(count: usize, steps: usize, span: usize, rng: &mut Rng) -> Vec<Request> {
    let request = |number: usize| {
        let from = rng.below(steps);
        let to = (from + rng.below(span)).min(steps);
        Request { name: format!("%{number}"), bytes: size(rng), from, to }
    };
    (0..count).map(request).collect()
}

const POINTS: [[i64; 2]; 9] = [[1, 1], [1, 2], [2, 1], [32, 16], [1, 1000], [1000, 1], [7, 33], [64, 64], [513, 257]];

#[test]
fn buffers_that_live_together_lie_apart() {
    let mut rng = Rng(3);
    for round in 0..60 {
        let (steps, span) = (4 + rng.below(40), 1 + rng.below(12));
        let requests = requests(1 + rng.below(60), steps, span, &mut rng);
        let typical = POINTS[round % POINTS.len()];
        let (plan, position) = plan(&requests, &typical);
        for point in POINTS {
            let (offsets, total) = plan.eval(&point).unwrap();
            let end = |i: usize| offsets[position[i] as usize] + requests[i].bytes.eval(&point).unwrap();
            let start = |i: usize| offsets[position[i] as usize];
            for i in 0..requests.len() {
                assert_eq!((start(i) % 64, start(i) >= 0), (0, true), "the place of {i} at {point:?}");
                assert!(end(i) <= total, "{i} ends at {} of {total} at {point:?}", end(i));
                for j in 0..i {
                    let (a, b) = (&requests[i], &requests[j]);
                    let together = a.from <= b.to && b.from <= a.to;
                    let apart = end(i) <= start(j) || end(j) <= start(i);
                    assert!(!together || apart, "{i} and {j} at {point:?}: {a:?} {b:?}");
                }
            }
            let reached = (0..requests.len()).map(end).max().unwrap();
            assert!(total % 64 == 0 && total - reached < 64, "{total} bytes for {reached} at {point:?}");
            let most = plan.majorant().unwrap().eval(&point).unwrap();
            assert!(most >= total, "the formula gives {most} at {point:?}, not {total}");
        }
    }
}

#[test]
fn names_and_sizes_stay_with_their_buffers() {
    let mut rng = Rng(4);
    let requests = requests(50, 20, 8, &mut rng);
    let (plan, position) = plan(&requests, &[32, 16]);
    for (request, at) in requests.iter().zip(&position) {
        let buffer = &plan.buffers[*at as usize];
        assert_eq!((&buffer.name, &buffer.bytes), (&request.name, &request.bytes));
    }
    for (at, buffer) in plan.buffers.iter().enumerate() {
        assert!(buffer.below.iter().all(|below| (*below as usize) < at), "{at} lies above {:?}", buffer.below);
    }
}

#[test]
fn at_typical_sizes_little_is_wasted() {
    let mut rng = Rng(9);
    let requests = requests(300, 200, 10, &mut rng);
    let (plan, _) = plan(&requests, &[32, 16]);
    let (_, total) = plan.eval(&[32, 16]).unwrap();
    let live = |step: usize| -> i64 {
        let alive = requests.iter().filter(|r| r.from <= step && step <= r.to);
        alive.map(|r| r.bytes.eval(&[32, 16]).unwrap()).sum()
    };
    let least = (0..=200).map(live).max().unwrap();
    assert!(total * 2 <= least * 3, "{total} bytes where {least} live at once");
}

#[test]
fn large_plans_stay_sparse() {
    let mut rng = Rng(5);
    let requests = requests(2000, 1500, 20, &mut rng);
    let (plan, _) = plan(&requests, &[32, 16]);
    let edges: usize = plan.buffers.iter().map(|buffer| buffer.below.len()).sum();
    assert!(edges < 8 * requests.len(), "{edges} edges");
    // Buffers that all live at once form one chain.
    let all: Vec<Request> = requests.into_iter().map(|r| Request { from: 0, to: 9, ..r }).collect();
    let (plan, _) = mlc_kernel::plan::plan(&all, &[32, 16]);
    let edges: usize = plan.buffers.iter().map(|buffer| buffer.below.len()).sum();
    assert_eq!(edges, all.len() - 1);
}

#[test]
fn an_empty_plan_takes_no_memory() {
    let (plan, position) = plan(&[], &[]);
    assert!(plan.buffers.is_empty() && position.is_empty());
    assert_eq!(plan.eval(&[]), Ok((Vec::new(), 0)));
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    let bytes = Dim::from(Sym(0)).mul(&Dim::from(1 << 40)).unwrap();
    let request = |name: &str| Request { name: name.into(), bytes: bytes.clone(), from: 0, to: 1 };
    let (plan, _) = plan(&[request("a"), request("b")], &[32]);
    assert!(plan.eval(&[1 << 20]).is_ok());
    assert!(plan.eval(&[1 << 22]).is_err(), "the sum of two is too large");
    assert!(plan.eval(&[1 << 23]).is_err());
}
