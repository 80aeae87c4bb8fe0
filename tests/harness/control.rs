//! Control flow in machine code: loops, stacks, branches and checkpoints, in executables and through
//! `mlc run`, against their unrolled forms.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::npy;
use mlc_tests::process;
use mlc_tests::programs::Program;
use mlc_tests::weights::{self, Tensor, distance};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// The same command in the executable and through `mlc run`; both must leave the same bytes in `file`.
#[track_caller]
fn both(program: &Program, text: &str, args: &[&str], file: &str) {
    program.run(args).ok();
    let from_executable = fs::read(program.file(file)).unwrap();
    fs::write(program.file("source.dl"), text).unwrap();
    process::run(mlc(), program.folder(), &[&["run", "source.dl"], args].concat()).ok();
    assert!(from_executable == fs::read(program.file(file)).unwrap(), "{file} differs");
}

/// A tower of blocks: as a stack, or as a list.
fn tower(blocks: &str, checkpoint: &str) -> String {
    format!(
        "
layer Block(D: dim) {{
    up = Linear(2 * D)
    down = Linear(D)
    {checkpoint}
    fn forward(x: f32[B, D]) -> f32[B, D] {{ return x + down(tanh(up(x))) }}
}}
model Tower(D: dim = 4) {{
    blocks = {blocks}
    head = Linear(3)
    @export
    fn forward(x: f32[B, D]) -> f32[B, 3] {{
        for block in blocks {{ x = block(x) }}
        return head(x)
    }}
}}
train t {{
    net = Tower()
    opt = adam(lr: 1e-2)
    step(x: f32[B, 4], y: i32[B]) {{ minimize cross_entropy(net(x), y) over net with opt }}
}}
"
    )
}

fn rows(count: usize) -> Vec<f32> {
    (0..count * 4).map(|at| ((at * 7 % 11) as f32 - 5.0) / 4.0).collect()
}

/// A stack computes and learns what a list of the same layers does, with and without checkpoints; it
/// reads the list's weight file.
#[test]
fn a_stack_is_the_list_of_its_layers() {
    let list = Program::build_text(mlc(), "list", &tower("[Block(D) for i in 0..5]", ""));
    list.run(&["init", "-o", "w.safetensors"]).ok();
    npy::write_f32(&list.file("x.npy"), &[6, 4], &rows(6));
    npy::write_i32(&list.file("y.npy"), &[6], &[0, 1, 2, 0, 1, 2]);
    let step = ["step", "--weights", "w.safetensors", "--in", "x=x.npy", "--in", "y=y.npy", "--grads", "g.safetensors"];
    list.run(&step).ok();
    let forward = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "out.npy"];
    list.run(&forward).ok();
    let expected = npy::read_f32(&list.file("out.npy"));
    let gradients = stacked(weights::read(&list.file("g.safetensors")), 5);
    for checkpoint in ["", "@checkpoint"] {
        let text = tower("[Block(D); 5]", checkpoint);
        let stack = Program::build_text(mlc(), "stack", &text);
        for file in ["w.safetensors", "x.npy", "y.npy"] {
            fs::copy(list.file(file), stack.file(file)).unwrap();
        }
        both(&stack, &text, &forward, "out.npy");
        assert!(distance(&npy::read_f32(&stack.file("out.npy")), &expected) < 1e-5);
        stack.run(&step).ok();
        let found = weights::read(&stack.file("g.safetensors"));
        assert_eq!(found.keys().collect::<Vec<_>>(), gradients.keys().collect::<Vec<_>>());
        for (name, gradient) in &gradients {
            assert_eq!(found[name].shape, gradient.shape, "{name}");
            assert!(distance(&found[name].data, &gradient.data) < 1e-5, "{name}");
        }
    }
}

/// `blocks.0.w`, `blocks.1.w`, … as `blocks.w` with a leading axis.
fn stacked(tensors: BTreeMap<String, Tensor>, count: usize) -> BTreeMap<String, Tensor> {
    let mut result: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, tensor) in tensors {
        let parts: Vec<&str> = name.splitn(3, '.').collect();
        match parts.as_slice() {
            ["blocks", _, rest] => {
                let shape = [&[count], tensor.shape.as_slice()].concat();
                let whole = result.entry(format!("blocks.{rest}")).or_insert(Tensor { shape, data: Vec::new() });
                whole.data.extend(tensor.data);
            }
            _ => {
                result.insert(name, tensor);
            }
        }
    }
    result
}

const FLOW: &str = "
model M {
    @export
    fn collatz(n: i32) -> (i32, i32) {
        steps = 0
        largest = n
        for i in 0..200 while n != 1 {
            if n % 2 == 0 { n = floor(n / 2) } else { n = 3 * n + 1 }
            if n > largest { largest = n }
            steps = i + 1
        }
        return steps, largest
    }
    @export
    fn sums(x: f32[B, T]) -> (f32[B, T], f32[B]) {
        total, rows = scan s = zeros([B]) for x_t in x along T { s = s + x_t; yield s * s }
        return rows, total
    }
    @export
    fn sieve(bound: i32) -> i32[100] {
        prime = ones([100])
        prime[0] = 0
        prime[1] = 0
        for i in 2..10 {
            for k in 2..50 while i * k < bound { prime[i * k] = 0 }
        }
        return prime
    }
    @export
    fn lookup(table: f32[N], ids: i32[T]) -> f32 {
        s = 0.0
        for t in 0..T { if ids[t] >= 0 { s = s + table[ids[t]] } }
        return s
    }
}
";

#[test]
fn loops_and_branches_of_integers() {
    let program = Program::build_text(mlc(), "flow", FLOW);
    both(&program, FLOW, &["run", "collatz", "--in", "n=27", "--out", "0=s.npy", "--out", "1=l.npy"], "l.npy");
    assert_eq!(npy::read_i32(&program.file("s.npy")), [111]);
    assert_eq!(npy::read_i32(&program.file("l.npy")), [9232]);
    both(&program, FLOW, &["run", "sieve", "--in", "bound=100", "--out", "p.npy"], "p.npy");
    let found = npy::read_i32(&program.file("p.npy"));
    let is_prime = |n: usize| n > 1 && (2..n).all(|k| !n.is_multiple_of(k));
    assert!((0..100).all(|n| (found[n] == 1) == is_prime(n)), "{found:?}");
}

#[test]
fn a_scan_over_any_sizes() {
    let program = Program::build_text(mlc(), "flow", FLOW);
    for (b, t) in [(1, 1), (3, 5), (17, 9)] {
        let x: Vec<f32> = (0..b * t).map(|at| (at % 13) as f32 * 0.25 - 1.0).collect();
        npy::write_f32(&program.file("x.npy"), &[b, t], &x);
        both(&program, FLOW, &["run", "sums", "--in", "x=x.npy", "--out", "0=r.npy", "--out", "1=t.npy"], "r.npy");
        let (found, totals) = (npy::read_f32(&program.file("r.npy")), npy::read_f32(&program.file("t.npy")));
        for row in 0..b {
            let mut sum = 0.0;
            for at in 0..t {
                sum += x[row * t + at];
                assert!((found[row * t + at] - sum * sum).abs() < 1e-5);
            }
            assert!((totals[row] - sum).abs() < 1e-5);
        }
    }
}

/// An index out of range in a pass of a loop is told; one in a branch that is not taken is not.
#[test]
fn indices_in_loops_are_checked() {
    let program = Program::build_text(mlc(), "flow", FLOW);
    npy::write_f32(&program.file("table.npy"), &[3], &[1.0, 2.0, 4.0]);
    let run = |ids: &[i32]| {
        npy::write_i32(&program.file("ids.npy"), &[ids.len()], ids);
        program.run(&["run", "lookup", "--in", "table=table.npy", "--in", "ids=ids.npy", "--out", "s.npy"])
    };
    run(&[2, -1, 0, 2]).ok();
    assert_eq!(npy::read_f32(&program.file("s.npy")), [9.0]);
    let failed = run(&[2, 3, 0]);
    assert!(failed.stderr.contains("E0305"), "{}", failed.stderr);
}

/// What `minimize` in an `if` leaves alone stays as it was; Adam's `t` counts the updates of each parameter.
#[test]
fn a_conditional_update() {
    let text = |condition: &str| {
        format!(
            "
model M {{
    param w: f32[3] = 1
    fn forward(x: f32[3]) -> f32 {{ return sum(w * x) }}
}}
train t {{
    net = M()
    opt = adam(lr: 0.1)
    step(x: f32[3]) {{
        loss = net(x)
        if {condition} {{ minimize loss over net with opt }}
    }}
}}
"
        )
    };
    let always = Program::build_text(mlc(), "always", &text("true"));
    let sometimes = Program::build_text(mlc(), "sometimes", &text("x[0] > 0"));
    let step = ["step", "--weights", "w.safetensors", "--in", "x=x.npy", "--out-weights", "v.safetensors"];
    for (program, x, changes) in [(&always, 1.0, true), (&sometimes, 1.0, true), (&sometimes, -1.0, false)] {
        program.run(&["init", "-o", "w.safetensors"]).ok();
        npy::write_f32(&program.file("x.npy"), &[3], &[x, 2.0, -3.0]);
        program.run(&step).ok();
        let after = weights::read(&program.file("v.safetensors"))["w"].data.clone();
        let wanted = if changes { [0.9, 0.9, 1.1] } else { [1.0; 3] };
        assert!(distance(&after, &wanted) < 1e-5, "{after:?}");
    }
}

/// `mlc test` compares gradients with differences, in machine code's own graph.
#[test]
fn gradients_of_control_flow() {
    let folder = tempfile::tempdir().unwrap();
    let text = "
fn wave(x: f32[B, T]) -> f32[B] {
    s = zeros([B])
    for i in 0..T { s = sin(s + x[:, i]) * (i + 1) }
    return s
}
fn half(x: f32[4]) -> f32[4] {
    y = x
    if sum(x) > 0 { y = x * x } else { y = exp(x) }
    return y
}
fn soft(x: f32[*S]) -> f32[*S] { return log(1 + exp(x)) }
grad soft(x: f32[*S], y: f32[*S], dy: f32[*S]) { return dy * sigmoid(x) }
test \"gradients\" {
    check_grad(wave, x: normal([3, 4]))
    check_grad(half, x: uniform([4]))
    check_grad(half, x: -uniform([4]))
    check_grad(soft, x: normal([5]))
}
";
    fs::write(folder.path().join("flow.dl"), text).unwrap();
    process::run(mlc(), folder.path(), &["test", "flow.dl"]).ok();
}
