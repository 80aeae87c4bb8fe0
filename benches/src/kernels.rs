//! `cargo bench -p mlc-benches --bench kernels`: a training step of the two-convolution classifier,
//! kernel by kernel, the slowest first. With `-- k3` kernel 3 is shown in every form.

use mlc_codegen::{Options, Target, compile_jit};
use mlc_kernel::lower::lower;
use mlc_kernel::program::{Loc, Slot, Step};
use std::time::Instant;

fn main() {
    let options = Options::default();
    let batch = 32;
    let start = Instant::now();
    let graph = mlc_benches::cnn_step(batch);
    let built = start.elapsed();
    let start = Instant::now();
    let lowered = lower(&graph, &Target::host().machine(options.level, options.emitter));
    let low = start.elapsed();
    let start = Instant::now();
    let jit = match compile_jit(&lowered.program, &options) {
        Ok(jit) => jit,
        Err(error) => {
            eprintln!("{error:?}");
            return;
        }
    };
    println!(
        "graph {built:?}, lower {low:?}, codegen {:?}, {} kernels",
        start.elapsed(),
        lowered.program.kernels.len()
    );
    let code = &lowered.program.entries[0];
    let sizes = [batch];
    let Ok((offsets, total)) = code.plan.eval(&sizes) else { return };
    println!("{} = {total}", lowered.arena_formula(&graph, 0));
    let region = graph.region(graph.entries[0].region);
    let bytes = |v| {
        let ty: &mlc_ir::ty::Type = region.ty(v);
        ty.elements().and_then(|n| n.eval(&sizes)).map_or(0, |n| n * ty.dtype.bytes()) as usize
    };
    let fill = |n: usize| -> Vec<f32> { (0..n / 4 + 16).map(|i| ((i * 7919) % 1000) as f32 * 1e-3 - 0.5).collect() };
    let mut args: Vec<Vec<f32>> = vec![fill(bytes(region.params[0])), vec![0.0; batch as usize + 16]];
    let mut globals: Vec<Vec<f32>> = region.params[2..26].iter().map(|v| fill(bytes(*v))).collect();
    for moment in &mut globals[8..] {
        moment.iter_mut().for_each(|x| *x = x.abs());
    }
    let mut arena = vec![0u8; total as usize + 64];
    let arena = {
        let at = arena.as_mut_ptr();
        at.wrapping_add(at.align_offset(64))
    };
    let mut scratch = vec![0u8; 1 << 20];
    let mut result = [0f32; 16];
    let mut scalars = [42i64, 1, 0, 0];
    let mut rows = Vec::new();
    for step in &code.steps {
        let Step::Run { kernel, frame, tiles, .. } = step else { continue };
        let words: Vec<u64> = frame
            .iter()
            .map(|slot| match slot {
                Slot::Size(dim) => dim.eval(&sizes).unwrap_or(0) as u64,
                Slot::Ptr(place) => match &place.loc {
                    Loc::Arg(n) => args[*n as usize].as_mut_ptr() as u64,
                    Loc::Result(_) => result.as_mut_ptr() as u64,
                    Loc::Global(n) => globals[*n as usize].as_mut_ptr() as u64,
                    Loc::Arena(n) => arena.wrapping_add(offsets[*n as usize] as usize) as u64,
                    Loc::Seed => &raw mut scalars[0] as u64,
                    Loc::Step => &raw mut scalars[1] as u64,
                    Loc::Epoch => &raw mut scalars[2] as u64,
                    Loc::TotalSteps => &raw mut scalars[3] as u64,
                },
            })
            .collect();
        let tiles = tiles.eval(&sizes).unwrap_or(0);
        let run = jit.kernel(*kernel);
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            // SAFETY: the frame's pointers are to buffers of the sizes that the kernel was compiled for.
            unsafe { run(words.as_ptr(), scratch.as_mut_ptr(), 0, tiles) };
            best = best.min(start.elapsed().as_secs_f64());
        }
        rows.push((best, *kernel, tiles, lowered.program.kernels[*kernel].name.clone()));
    }
    let sum: f64 = rows.iter().map(|row| row.0).sum();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (seconds, kernel, tiles, name) in &rows {
        println!("{:9.1} us  k{kernel:<3} {tiles:>6} tiles  {name}", seconds * 1e6);
    }
    if let Some(kernel) = std::env::args().find_map(|arg| arg.strip_prefix("k")?.parse::<usize>().ok()) {
        show(&graph, &lowered, kernel);
    }
    println!("{:9.1} us in all on one thread, loss {}", sum * 1e6, result[0]);
}

/// Every form of one kernel: `cargo bench -p mlc-benches --bench kernels -- k3`.
fn show(graph: &mlc_ir::graph::Graph, lowered: &mlc_kernel::lower::LoweredProgram, kernel: usize) {
    let Some(info) = lowered.kernels.iter().find(|info| info.kernel == kernel) else { return };
    println!("{}", mlc_kernel::print::nest_text(graph, info));
    println!("{}", mlc_kernel::print::tree_text(graph, &info.tree));
    println!("{}", mlc_kernel::lane_print::text(&lowered.program.kernels[kernel]));
    let name = &lowered.program.kernels[kernel].name;
    match mlc_codegen::asm_text(&lowered.program, &Target::host(), &Options::default(), name) {
        Ok(text) => println!("{text}"),
        Err(error) => println!("{error:?}"),
    }
}
