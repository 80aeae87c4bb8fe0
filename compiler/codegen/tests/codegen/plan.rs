//! Plan functions against the rule evaluated in Rust.

use crate::check::levels;
use crate::entry::{sym, times};
use crate::random::Random;
use mlc_codegen::{Emitter, JitProgram, Options, compile_jit};
use mlc_ir::dim::Dim;
use mlc_kernel::program::{EntryCode, Kept, Plan, PlanBuffer, Program};

fn align(bytes: i64) -> Option<i64> {
    Some(bytes.checked_add(63)? & !63)
}

/// The rule at [`Plan`]: offsets and the total, `None` beyond `i64`.
fn evaluate(plan: &Plan, sizes: &[i64]) -> Option<(Vec<i64>, i64)> {
    let mut offsets: Vec<i64> = vec![];
    let mut ends: Vec<i64> = vec![];
    for buffer in &plan.buffers {
        let below = buffer.below.iter().map(|&i| ends[i as usize]).max().unwrap_or(0);
        let offset = align(below)?;
        offsets.push(offset);
        ends.push(offset.checked_add(buffer.bytes.eval(sizes).ok()?)?);
    }
    let total = align(ends.into_iter().max().unwrap_or(0))?;
    Some((offsets, total))
}

fn compile(plans: &[Plan]) -> JitProgram {
    let entry = |plan: &Plan| EntryCode {
        name: "plan".into(),
        checks: vec![],
        plan: plan.clone(),
        kept: Kept::default(),
        steps: vec![],
        flops: Dim::zero(),
    };
    let program = Program { symbols: 3, kernels: vec![], entries: plans.iter().map(entry).collect() };
    compile_jit(&program, &Options { level: levels()[0], emitter: Emitter::Cranelift, threads: 1 }).unwrap()
}

fn run(program: &JitProgram, n: usize, buffers: usize, sizes: [i64; 3]) -> Option<(Vec<i64>, i64)> {
    let mut offsets = vec![-1; buffers];
    // SAFETY: three symbols, and one offset for each buffer.
    let total = unsafe { program.plan(n)(sizes.as_ptr(), offsets.as_mut_ptr()) };
    // SAFETY: offsets may be null.
    let total_alone = unsafe { program.plan(n)(sizes.as_ptr(), std::ptr::null_mut()) };
    assert_eq!(total, total_alone);
    (total >= 0).then_some((offsets, total))
}

fn random_dim(random: &mut Random, depth: usize) -> Dim {
    let [a, b] = [0, 1].map(|_| sym(random.below(3) as u32));
    match random.below(if depth == 0 { 3 } else { 7 }) {
        0 => Dim::from(random.below(5000) as i64),
        1 => times(&a, 1 + random.below(300) as i64),
        2 => a.mul(&b).unwrap(),
        3 => random_dim(random, depth - 1).floor_div(1 + random.below(9) as i64).unwrap(),
        4 => Dim::max(&random_dim(random, depth - 1), &random_dim(random, depth - 1)).unwrap(),
        5 => random_dim(random, depth - 1).add(&random_dim(random, depth - 1)).unwrap(),
        _ => random_dim(random, depth - 1).mul(&a).unwrap(),
    }
}

fn random_plan(random: &mut Random) -> Plan {
    let count = random.below(12);
    let mut buffers: Vec<PlanBuffer> = vec![];
    for n in 0..count {
        let below = (0..n as u32).filter(|_| random.below(3) == 0).collect();
        buffers.push(PlanBuffer { name: format!("b{n}"), bytes: random_dim(random, 2), below });
    }
    Plan { buffers }
}

#[test]
fn random_plans() {
    let mut random = Random::new(1);
    let plans: Vec<Plan> = (0..80).map(|_| random_plan(&mut random)).collect();
    let program = compile(&plans);
    let (mut sound, mut beyond) = (0, 0);
    for (n, plan) in plans.iter().enumerate() {
        for scale in [1, 30, 1 << 20, 1 << 40, 1 << 62] {
            let sizes = [0; 3].map(|_| 1 + (random.next() % scale) as i64);
            let expected = evaluate(plan, &sizes);
            assert_eq!(run(&program, n, plan.buffers.len(), sizes), expected, "{plan:?} at {sizes:?}");
            *if expected.is_some() { &mut sound } else { &mut beyond } += 1;
        }
    }
    assert!(sound > 100 && beyond > 50, "{sound} {beyond}");
}

#[test]
fn constants_beyond_i64() {
    let buffer = |bytes: i64, below| PlanBuffer { name: "b".into(), bytes: Dim::from(bytes), below };
    let over = Plan { buffers: vec![buffer(i64::MAX - 10, vec![])] };
    let sum = Plan { buffers: vec![buffer(1 << 62, vec![]), buffer(1 << 62, vec![0])] };
    let program = compile(&[over, sum]);
    assert_eq!(run(&program, 0, 1, [1; 3]), None);
    assert_eq!(run(&program, 1, 2, [1; 3]), None);
}
