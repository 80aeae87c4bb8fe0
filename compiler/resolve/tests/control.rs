//! Control flow in the reference interpreter: values computed by hand, loops against their unrolled
//! form, gradients against finite differences.

mod common;

#[path = "common/grads.rs"]
mod grads;

#[path = "common/run.rs"]
mod run;

#[path = "common/values.rs"]
mod values;

use common::outcome;
use grads::check_gradients;
use mlc_ir::ops::Op;
use mlc_ir::tensor::Tensor;
use mlc_resolve::program::Program;
use run::{Machine, floats};
use values::{f32s, i32s, near, numbers, program, value};

/// One argument, `x`.
fn six() -> [(&'static str, Tensor); 1] {
    [("x", values::six())]
}

/// How many loops the entry of an exported function has, at any depth.
fn loops(program: &Program, function: &str) -> usize {
    let entry = program.functions.iter().find(|other| other.name == function).expect("a function").entry;
    let mut open = vec![program.graph.entries[entry].region];
    let mut count = 0;
    while let Some(region) = open.pop() {
        for node in &program.graph.region(region).nodes {
            count += usize::from(matches!(node.op, Op::Loop(_)));
            open.extend(&node.regions);
        }
    }
    count
}

#[test]
fn a_scan_hands_on_and_stacks() {
    let body = "(x: f32[B, T]) -> f32[B, T] { h, hs = scan h = zeros([B]) for x_t in x along T { h = h + x_t; yield h }
        return hs }";
    near(&value(body, &six()), &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    assert_eq!(loops(&program(body), "f"), 1);
    near(
        &value(
            "(x: f32[B, T]) -> f32[B] { h = scan h = 1.0 for x_t in x along 0 { h = h * sum(x_t) }
        return zeros([B]) + h }",
            &six(),
        ),
        &[90.0, 90.0],
    );
    near(
        &value(
            "(x: f32[B, T]) -> f32[T, B] { ys = scan for a, b in x, 10 * x along B { yield a + b }
        return transpose(ys) }",
            &six(),
        ),
        &[11.0, 44.0, 22.0, 55.0, 33.0, 66.0],
    );
    near(
        &value(
            "(x: f32[B, T]) -> f32[T] { ys = scan for a in x along -1 { yield max(a) }
        return ys }",
            &six(),
        ),
        &[4.0, 5.0, 6.0],
    );
}

#[test]
fn a_scan_has_several_carries_and_yields() {
    let body = "(x: f32[B, T]) -> f32[B, 4] {
        a, b, n, ys, zs = scan a = zeros([B]), b = ones([B]), n = 0 for x_t in x along T {
            a, b = b, a + x_t
            n = n + 1
            yield a, b * cast(n, f32)
        }
        return concat([a[:, new], b[:, new], sum(ys + zs, over: T)[:, new], zeros([B, 1]) + cast(n, f32)], axis: 1) }";
    // a, b: (0,1) (1,1) (1,3) (3,4); (0,1) (1,4) (4,6) (6,10)
    let ys: f64 = 1.0 + 1.0 + 3.0 + 1.0 + 2.0 * 3.0 + 3.0 * 4.0;
    let zs: f64 = 1.0 + 4.0 + 6.0 + 4.0 + 2.0 * 6.0 + 3.0 * 10.0;
    near(&value(body, &six()), &[3.0, 4.0, ys, 3.0, 6.0, 10.0, zs, 3.0]);
}

#[test]
fn a_literal_carry_takes_the_dtype_of_what_it_becomes() {
    near(
        &value(
            "(x: f32[B, T]) -> f32 { s = scan s = 0 for x_t in x along T { s = s + sum(x_t) }
        return s }",
            &six(),
        ),
        &[21.0],
    );
    near(
        &value(
            "(x: i32[B]) -> i32 { s = scan s = 0 for x_t in x along B { s = s * 2 + x_t }
        return s }",
            &[("x", i32s(&[3], &[1, 0, 1]))],
        ),
        &[5.0],
    );
    near(
        &value(
            "(x: i32[B]) -> bool[] { s = scan s = false for x_t in x along B { s = s or x_t == 2 }
        return s }",
            &[("x", i32s(&[3], &[1, 2, 1]))],
        ),
        &[1.0],
    );
}

#[test]
fn a_for_over_a_range_is_a_loop() {
    let body = "(x: f32[B, T]) -> f32[B] { s = zeros([B]); for i in 0..T { s = s + x[:, i] * i }
        return s }";
    near(&value(body, &six()), &[8.0, 17.0]);
    assert_eq!(loops(&program(body), "f"), 1);
    let fixed = "(x: f32[B, 3]) -> f32[B, 3] { for i in 1..5 { x = x * 0.5 + i }
        return x }";
    assert_eq!(loops(&program(fixed), "f"), 1);
    let unrolled = "(x: f32[B, 3]) -> f32[B, 3] { for i in [1, 2, 3, 4] { x = x * 0.5 + i }
        return x }";
    assert_eq!(loops(&program(unrolled), "f"), 0);
    near(&value(fixed, &six()), &value(unrolled, &six()));
}

#[test]
fn a_for_unrolls_where_it_must() {
    let grows = "(x: f32[B, 3]) -> f32[B, _] { for i in 0..2 { x = concat([x, x], axis: 1) }
        return x }";
    assert_eq!(value(grows, &six()).len(), 24);
    assert_eq!(loops(&program(grows), "f"), 0);
    let index = "(x: f32[B, 3]) -> f32[B, 3] { ws = [1, 10, 100]; for i in 0..3 { x = x + ws[i] }
        return x }";
    near(&value(index, &six())[..1], &[112.0]);
    let power = "(x: f32[B, 3]) -> f32[B, 3] { for i in 0..3 { y = zeros([2 ** i]) + 1.0; x = x + sum(y) }
        return x }";
    near(&value(power, &six())[..1], &[8.0]);
    near(
        &value(
            "(x: f32[B, 3]) -> f32[B, 3] { skips = []; for i in 0..2 { skips = append(skips, x * i) }
        return skips[1] }",
            &six(),
        ),
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    );
}

#[test]
fn names_of_a_pass_end_with_it() {
    let errors =
        outcome("t.dl", "model M { @export fn f(x: f32[B]) -> f32[B] { for i in 0..3 { y = x * i }\n return y } }");
    assert!(errors.text().contains("unknown name `y`"), "{}", errors.text());
    near(
        &value(
            "(x: f32[B, T]) -> f32[B, T] { i = 5.0; for i in 0..3 { x = x + i }
        return x * i }",
            &six(),
        )[..1],
        &[20.0],
    );
}

#[test]
fn loops_nest() {
    let body = "(x: f32[B, T]) -> f32 { s = 0.0
        for i in 0..B { r = 0.0; for j in 0..T { r = r + x[i][j] * (i + 1) }
            s = s + r * r }
        return s }";
    near(&value(body, &six()), &[36.0 + 900.0]);
    assert_eq!(loops(&program(body), "f"), 2);
}

#[test]
fn while_is_tested_before_each_pass() {
    let body = |condition: &str| {
        format!(
            "(x: f32[B, T], limit: i32) -> f32 {{ s = 0.0; n = 0
            for i in 0..B while {condition} {{ s = s + sum(x[i]); n = n + 1 }}
            return s + 100 * cast(n, f32) }}"
        )
    };
    let run = |condition: &str, limit: i32| {
        let mut args = six().to_vec();
        args.push(("limit", i32s(&[], &[limit])));
        value(&body(condition), &args)
    };
    near(&run("i < limit", 0), &[0.0]);
    near(&run("i < limit", 1), &[106.0]);
    near(&run("i < limit", 7), &[221.0]);
    near(&run("s < 5", 0), &[106.0]);
    near(&run("x[i, 0] < 3", 0), &[106.0]);
    near(&run("x[i, 0] < 30", 0), &[221.0]);
    near(&run("false", 0), &[0.0]);
}

#[test]
fn faults_in_loops_are_told() {
    let body = "(x: f32[N], ids: i32[T]) -> f32 { s = 0.0; for t in 0..T { s = s + x[ids[t]] }
        return s }";
    let mut machine = Machine::new(program(body), 0);
    let entry = machine.function("f");
    let args = |ids: &[i32]| [("x", f32s(&[2], &[5.0, 6.0])), ("ids", i32s(&[3], ids))];
    let good = machine.call(entry, &args(&[0, 1, 1]));
    assert!(good.faults.iter().all(|fault| *fault == i64::from(i32::MAX)), "{:?}", good.faults);
    near(&floats(&good, "out"), &[17.0]);
    assert!(machine.call(entry, &args(&[0, 2, 1])).faults.contains(&0));
    let unused = "(x: f32[N], k: i32, n: i32) -> f32 { s = 0.0; for t in 0..9 while t < n { s = s + x[k] }
        return s }";
    let mut machine = Machine::new(program(unused), 0);
    let entry = machine.function("f");
    let args = |n: i32| [("x", f32s(&[2], &[5.0, 6.0])), ("k", i32s(&[], &[7])), ("n", i32s(&[], &[n]))];
    assert_eq!(machine.call(entry, &args(0)).faults, [i64::from(i32::MAX)]);
    assert_eq!(machine.call(entry, &args(1)).faults, [0]);
}

#[test]
fn gradients_go_through_scans_and_loops() {
    check_gradients(
        &outcome(
            "t.dl",
            "
layer Rnn(H: dim) {
    param wx: f32[In, H] = glorot_uniform()
    param wh: f32[H, H] = glorot_uniform()
    param b: f32[H] = normal(std: 0.1)
    fn forward(x: f32[B, T, In]) -> (f32[B, T, H], f32[B, H]) {
        h, hs = scan h = zeros([B, H]) for x_t in x along T {
            h = tanh(x_t @ wx + h @ wh + b)
            yield h
        }
        return hs, h
    }
}
fn twice(x: f32[B, T]) -> f32[B] {
    s = zeros([B])
    for i in 0..T { s = sin(s + x[:, i]) * (i + 1) }
    return s
}
fn until(x: f32[T]) -> f32 {
    s = 0.0
    for i in 0..T while s < 1.5 { s = s + x[i] * x[i] }
    return s
}
test \"gradients\" {
    check_grad(Rnn(4), x: normal([2, 5, 3]))
    check_grad(twice, x: normal([3, 4]))
    check_grad(until, x: ones([5]) * 0.9)
}",
        )
        .program(),
    );
}

#[test]
fn a_stack_is_one_instance_with_rows() {
    let text = |blocks: &str, walk: &str| {
        format!(
            "
layer Block(D: dim) {{
    a = Linear(2 * D)
    b = Linear(D)
    fn forward(x: f32[B, D]) -> f32[B, D] {{ return x + b(relu(a(x))) }}
}}
model M {{
    blocks = {blocks}
    @export fn f(x: f32[B, 3]) -> f32[B, 3] {{ {walk}
        return x }}
}}
test \"gradients\" {{ check_grad(M().f, x: normal([2, 3])) }}"
        )
    };
    let stacked = outcome("t.dl", &text("[Block(3); 4]", "for block in blocks { x = block(x) }")).program();
    assert_eq!(loops(&stacked, "f"), 1);
    assert_eq!(stacked.file_paths, ["blocks.a.weight", "blocks.a.bias", "blocks.b.weight", "blocks.b.bias"]);
    let mut machine = Machine::new(stacked, 3);
    let weights: Vec<Vec<f64>> = machine.globals.iter().map(|value| value.floats().to_vec()).collect();
    let first = &weights[0];
    assert_eq!(first.len(), 4 * 18);
    assert!(first[..18] != first[18..36], "each row has values of its own");
    let x = || [("x", f32s(&[2, 3], &[0.1, -0.2, 0.3, 0.4, 0.5, -0.6]))];
    let entry = machine.function("f");
    let looped = numbers(&machine.call(entry, &x()).named["out"]);
    let unrolled = outcome("t.dl", &text("[Block(3) for i in 0..4]", "for block in blocks { x = block(x) }")).program();
    let paths = unrolled.file_paths.clone();
    let mut other = Machine::new(unrolled, 3);
    for (path, global) in paths.iter().zip(&mut other.globals) {
        let parts: Vec<&str> = path.splitn(3, '.').collect();
        let row: usize = parts[1].parse().expect("a number");
        let at = machine.global(&format!("blocks.{}", parts[2]));
        let size = global.len();
        let values: Vec<f32> = weights[at][row * size..(row + 1) * size].iter().map(|value| *value as f32).collect();
        *global = f32s(&global.shape, &values);
    }
    let entry = other.function("f");
    near(&looped, &numbers(&other.call(entry, &x()).named["out"]));
    let one =
        outcome("t.dl", &text("[Block(3); 4]", "x = blocks[1](x); for i in 0..2 { x = blocks[i + 2](x) }")).program();
    assert_eq!(loops(&one, "f"), 1);
    check_gradients(&machine.program);
    check_gradients(&one);
}

#[test]
fn stacks_scan_and_zip() {
    let text = "
layer Scale { param w: f32[2] = normal(); fn forward(x: f32[2]) -> f32[2] { return x * w } }
model M {
    experts = [Scale(); 3]
    @export fn f(x: f32[3, 2]) -> f32[3, 2] { ys = scan for e, r in experts, x along 0 { yield e(r) }
        return ys }
    @export fn g(x: f32[2]) -> f32[2] { for e, i in zip(experts, 0..3) { x = e(x) + i }
        return x }
    @export fn h(x: f32[3, 2]) -> f32[3, 2] { return x * experts.w }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 1);
    let x = || [("x", f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))];
    let (f, h, g) = (machine.function("f"), machine.function("h"), machine.function("g"));
    let rows = numbers(&machine.call(f, &x()).named["out"]);
    near(&rows, &numbers(&machine.call(h, &x()).named["out"]));
    let w = machine.globals[0].floats().to_vec();
    let walked = numbers(&machine.call(g, &[("x", f32s(&[2], &[1.0, 1.0]))]).named["out"]);
    near(&walked, &[(w[0] * w[2] + 1.0) * w[4] + 2.0, (w[1] * w[3] + 1.0) * w[5] + 2.0]);
}

#[test]
fn draws_differ_by_pass_and_agree_with_the_unrolled_loop() {
    let text = |passes: &str| {
        format!(
            "model M {{ @export fn f(x: f32[4]) -> f32[4] {{
                for i in {passes} {{ for k in 0..2 {{ x = x * 2 + uniform([4]) }} }}
                return x }} }}"
        )
    };
    let run = |passes: &str, count: usize| {
        let program = outcome("t.dl", &text(passes)).program();
        assert_eq!(loops(&program, "f"), count);
        let mut machine = Machine::new(program, 1);
        let f = machine.function("f");
        numbers(&machine.call(f, &[("x", f32s(&[4], &[0.0; 4]))]).named["out"])
    };
    let looped = run("0..3", 2);
    near(&looped, &run("[0, 1, 2]", 3));
    let rows = "(x: f32[4]) -> f32[3, 4] { ys = scan for i in iota(3) along 0 { yield x * 0 + uniform([4]) }
        return ys }";
    let rows = value(rows, &[("x", f32s(&[4], &[0.0; 4]))]);
    assert!(rows[..4] != rows[4..8] && rows[4..8] != rows[8..]);
}

#[test]
fn a_run_time_if_runs_one_branch() {
    let run = |body: &str, n: i32| value(body, &[("x", f32s(&[2], &[1.0, 2.0])), ("n", i32s(&[], &[n]))]);
    let body = "(x: f32[2], n: i32) -> f32[2] { if n > 0 { x = x * cast(n, f32) } else if n < -5 { x = x - 1 } else { y = 1.0; x = y - x }
        return x }";
    near(&run(body, 3), &[3.0, 6.0]);
    near(&run(body, -7), &[0.0, 1.0]);
    near(&run(body, 0), &[0.0, -1.0]);
    let bound = "(x: f32[2], n: i32) -> f32[2] { if n > 0 { y = x; k = 2.0 } else { y = -x; k = 3 }
        return y * k }";
    near(&run(bound, 1), &[2.0, 4.0]);
    near(&run(bound, 0), &[-3.0, -6.0]);
    let nested =
        "(x: f32[2], n: i32) -> f32[2] { for i in 0..4 { if n == i { x = x + 10 } else { if i > n { x = x * 2 } } }
        return x }";
    near(&run(nested, 2), &[22.0, 24.0]);
    let index = "(x: f32[2], n: i32) -> f32 { y = if n < 2 then x[n] else sum(x)
        return y }";
    near(&run(index, 1), &[2.0]);
    near(&run(index, 5), &[3.0]);
}

#[test]
fn gradients_go_through_branches_checkpoints_and_custom_gradients() {
    check_gradients(
        &outcome(
            "t.dl",
            "
fn branch(x: f32[3], w: f32[3, 3]) -> f32[3] {
    y = x
    if sum(x) > 0 { y = tanh(x @ w) } else { y = x * x }
    return if sum(y) > 100 then y @ w else sin(y @ w)
}
fn soft(x: f32[*S]) -> f32[*S] { return log(1 + exp(x)) }
grad soft(x: f32[*S], y: f32[*S], dy: f32[*S]) { return dy / (1 + exp(-x)) }
fn uses(x: f32[4]) -> f32[4] { s = x; for i in 0..3 { s = soft(s) * x }
    return s }
layer Block(D: dim) {
    a = Linear(D)
    @checkpoint
    fn forward(x: f32[B, D]) -> f32[B, D] { return x + tanh(a(x)) }
}
layer Deep { blocks = [Block(3); 3]; fn forward(x: f32[B, 3]) -> f32[B, 3] { for b in blocks { x = b(x) }
    return x } }
fn again(x: f32[3]) -> f32[3] { @checkpoint
    for i in 0..4 { x = sin(x) * (i + 1) }
    return x }
fn inner(x: f32[3], w: f32[3, 3]) -> f32[3] { y = sum(tanh(x @ w) ** 2)
    return gradient(y, x) * 2 }
test \"gradients\" {
    check_grad(branch, x: normal([3]), w: normal([3, 3]))
    check_grad(branch, x: -uniform([3]), w: normal([3, 3]))
    check_grad(uses, x: normal([4]))
    check_grad(Deep(), x: normal([2, 3]))
    check_grad(again, x: normal([3]))
    check_grad(inner, x: normal([3]), w: normal([3, 3]))
}",
        )
        .program(),
    );
}

#[test]
fn values_of_many_kinds_are_handed_on() {
    let x = || [("x", f32s(&[4], &[3.0, -1.0, 4.0, 1.0]))];
    let pair = "(x: f32[N]) -> f32[2] { best = (0.0, 0)
        for i in 0..N { if x[i] > best[0] { best = (x[i], i) } }
        value, place = best
        return concat([value[new], cast(place, f32)[new]], axis: 0) }";
    near(&value(pair, &x()), &[4.0, 2.0]);
    let flag = "(x: f32[N]) -> f32 { found = false; at = -1
        for i in 0..N while not found { found = x[i] < 0; at = i }
        return cast(at, f32) }";
    near(&value(flag, &x()), &[1.0]);
    let part = "(x: f32[N]) -> f32[N] { y = zeros([N]); for i in 0..N { y[N - 1 - i] = x[i] * i }
        return y }";
    near(&value(part, &x()), &[3.0, 8.0, -1.0, 0.0]);
    let tuple = "(x: f32[N]) -> f32 { n = scan s = (0.0, 1.0) for v in x along N { s = (s[0] + v, s[1] * 2) }
        return n[0] + n[1] }";
    near(&value(tuple, &x()), &[23.0]);
}

#[test]
fn minimize_in_a_branch_counts_its_updates() {
    let text = "
model M { param w: f32[2] = 1; fn forward(x: f32[2]) -> f32 { return sum(w * x) } }
train t {
    net = M()
    opt = adam(lr: 0.1)
    step(x: f32[2]) {
        loss = net(x)
        if x[0] > 0 { minimize loss over net with opt } else { y = loss }
        metric after = net(x + 1)
    }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 0);
    let step = machine.program.trains[0].step;
    let run = |machine: &mut Machine, x: f32| {
        let results = machine.call(step, &[("x", f32s(&[2], &[x, 2.0]))]);
        machine.step += 1;
        results
    };
    run(&mut machine, -1.0);
    near(machine.globals[machine.global("w")].floats(), &[1.0, 1.0]);
    // The first update of Adam is lr * sign(g), whatever the step is.
    run(&mut machine, 1.0);
    near(machine.globals[machine.global("w")].floats(), &[0.9, 0.9]);
    run(&mut machine, -1.0);
    let updates = machine.global("opt.updates.w");
    assert_eq!(machine.globals[updates].ints(), [1]);
}

#[test]
fn frozen_at_first_then_trained() {
    let text = "
model M { a = Linear(3); b = Linear(1); fn forward(x: f32[B, 2]) -> f32[B, 1] { return b(tanh(a(x))) } }
train t {
    net = M()
    opt = sgd(lr: 0.5)
    step(x: f32[B, 2]) {
        loss = mean(net(x) * net(x))
        if step_index() < 1 { minimize loss over net.b with opt } else { minimize loss over net with opt }
    }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 4);
    let train = machine.program.trains[0].clone();
    assert_eq!(train.metrics, ["loss"]);
    let x = || [("x", f32s(&[2, 2], &[1.0, 2.0, -1.0, 0.5]))];
    let of = |machine: &Machine, path: &str| machine.globals[machine.global(path)].floats().to_vec();
    let (a, b) = (of(&machine, "a.weight"), of(&machine, "b.weight"));
    machine.call(train.step, &x());
    assert_eq!(of(&machine, "a.weight"), a);
    assert_ne!(of(&machine, "b.weight"), b);
    machine.step = 1;
    machine.call(train.step, &x());
    assert_ne!(of(&machine, "a.weight"), a);
    assert!(train.grads.is_some());
}

#[test]
fn states_of_stacked_layers_have_rows() {
    let text = "
layer Count { state n: f32[2] = 0; param w: f32[2] = 1; fn forward(x: f32[2]) -> f32[2] { n = n + x * w; return n } }
model M {
    layers = [Count(); 3]
    @export fn f(x: f32[2]) -> f32[2] { for layer in layers { x = layer(x) }
        return x }
    @export fn g(x: f32[2]) -> f32[2] { return layers[1](x) }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 0);
    let (f, g) = (machine.function("f"), machine.function("g"));
    let x = || [("x", f32s(&[2], &[1.0, 10.0]))];
    near(&floats(&machine.call(f, &x()), "out"), &[1.0, 10.0]);
    near(&floats(&machine.call(f, &x()), "out"), &[4.0, 40.0]);
    near(machine.globals[machine.global("layers.n")].floats(), &[2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
    near(&floats(&machine.call(g, &x()), "out"), &[4.0, 40.0]);
}

#[test]
fn members_are_constant_tensors() {
    let text = "
model M {
    table = cumsum(linspace(1, 4, 4), axis: 0)
    low, high = split(iota(4) * 1.0, 2, axis: 0)
    scale: f32 = 2.0
    @export fn f(x: f32[B], i: i32[B]) -> f32[B] { for k in 0..2 { x = x + table[i] * scale }
        return x + high[1] - low[1] }
}";
    let mut machine = Machine::new(outcome("t.dl", text).program(), 0);
    assert!(machine.program.graph.globals.is_empty());
    let f = machine.function("f");
    let results = machine.call(f, &[("x", f32s(&[2], &[0.0, 1.0])), ("i", i32s(&[2], &[3, 0]))]);
    near(&floats(&results, "out"), &[42.0, 7.0]);
}
