//! `--max-memory`: training steps that compute some of their forward pass again need less memory, and
//! give the same bytes.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc::session::Session;
use mlc_tests::level::Way;
use mlc_tests::npy;
use mlc_tests::process::{self, Outcome};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Layers one behind the other, dropout and batch statistics among them: what is drawn and what is
/// counted must not be drawn or counted twice.
const LAYERS: &str = "
layer Block(D: dim) {
    fc = Linear(D)
    bn = BatchNorm()

    fn forward(x: f32[B, K]) -> f32[B, D] { return x |> fc |> bn |> gelu |> dropout(rate: 0.2) }
}

model M {
    a = Block(48)
    b = Block(48)
    c = Block(48)
    d = Block(48)
    e = Block(48)
    head = Linear(1)

    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] { return x |> a |> b |> c |> d |> e |> head }
}
";

/// A recurrence, and a stack of blocks that stays a loop.
const LOOPS: &str = "
layer Block(D: dim) {
    up   = Linear(4*D)
    down = Linear(D)

    fn forward(x: f32[B, D]) -> f32[B, D] { return x + (x |> up |> gelu |> down |> dropout(rate: 0.2)) }
}

model M {
    cell   = RNN(24)
    blocks = [Block(24); 12]
    head   = Linear(1)

    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] {
        _, h = cell(reshape(x, [B, 4, 1]))
        for block in blocks { h = block(h) }
        return head(h)
    }
}
";

/// Recurrences over some time, a stack of blocks that stays a loop, and one in a call whose gradient computes it
/// again: of each the weights' gradients, those of what is shared by all passes, and draws in each pass.
const PASSES: &str = "
layer Block(D: dim) {
    up   = Linear(4*D)
    down = Linear(D)

    fn forward(x: f32[B, D]) -> f32[B, D] { return x + (x |> up |> gelu |> down |> dropout(rate: 0.2)) }
}

layer Deep(D: dim) {
    blocks = [Block(D); 12]
    param scale: f32 = 0.5
    param shift: f32[D] = zeros()

    @checkpoint
    fn forward(x: f32[B, D]) -> f32[B, D] {
        for block in blocks { x = tanh(block(x) * scale + shift) }
        return x
    }
}

model M {
    lstm   = LSTM(24)
    rnn    = RNN(24)
    blocks = [Block(24); 12]
    deep   = Deep(24)
    head   = Linear(1)

    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] {
        steps = concat([x, x * 2, x - 1, x * x, 1 - x, x * 0.5], axis: 1)
        all, h, _ = lstm(reshape(steps, [B, 24, 1]))
        _, h2 = rnn(all)
        h = h + h2
        for block in blocks { h = block(h) }
        return head(deep(h))
    }
}
";

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

fn run(folder: &Path, args: &[&str]) -> Outcome {
    process::run(mlc(), folder, args)
}

fn folder(model: &str, batch: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = 288;
    let x: Vec<f32> = (0..rows * 4).map(|i| (i * 7 % 11) as f32 / 4.0 - 1.25).collect();
    let y: Vec<f32> = (0..rows).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
    fs::create_dir(folder.path().join("rows")).unwrap();
    npy::write_f32(&folder.path().join("rows/x.npy"), &[rows, 4], &x);
    npy::write_f32(&folder.path().join("rows/y.npy"), &[rows, 1], &y);
    let train = format!(
        "
train t {{
    net  = M()
    opt  = adam(lr: 0.01)
    data = arrays(\"rows\") |> batch({batch})
    seed = 5

    step(x: f32[B, 4], y: f32[B, 1]) {{
        d = net(x) - y
        minimize mean(d * d) over net with opt
    }}
}}
"
    );
    fs::write(folder.path().join("m.dl"), format!("{model}{train}")).unwrap();
    folder
}

/// What is said about the memory of an entry under a bound.
fn memory(folder: &Path, entry: &str, bound: &str) -> Value {
    let said = run(folder, &["run", "--timings", "--max-memory", bound, "m.dl", "info"]).ok().stderr;
    let report: Value = serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    report["memory"].as_array().unwrap().iter().find(|it| it["entry"] == entry).unwrap().clone()
}

/// Bytes of the arena and of one thread.
fn needed(memory: &Value) -> i64 {
    memory["bytes"].as_i64().unwrap() + memory["thread"].as_i64().unwrap()
}

/// What a training leaves: the last weights, and the loss.
fn trained(folder: &Path, bound: &[&str], threads: &[&str], out: &str) -> (Vec<u8>, Value) {
    let args = [&["run"], bound, &["m.dl", "train", "--steps", "4", "--quiet", "--out", out], threads].concat();
    let report = run(folder, &args).ok().json();
    (fs::read(folder.join(out).join("last.safetensors")).unwrap(), report["loss"].clone())
}

/// Several bounds; at least one of them can be held.
fn check(model: &str) {
    let folder = folder(model, 96);
    let plain = memory(folder.path(), "t.step", "1GiB");
    assert_eq!((&plain["bytes"], plain["again"].as_array().unwrap().len()), (&plain["plain"], 0), "{plain}");
    let refused = run(folder.path(), &["check", "--max-memory", "1", "m.dl"]);
    refused.refused(&["E0131", "the limit is 1 byte", "--max-memory"]);
    let all = needed(&plain);
    let expected = trained(folder.path(), &[], &[], "all");
    let mut fitted = 0;
    for part in [9, 7] {
        let limit = all - plain["bytes"].as_i64().unwrap() * (10 - part) / 10;
        let bound = limit.to_string();
        let said = run(folder.path(), &["check", "--max-memory", &bound, "m.dl"]);
        if said.status != 0 {
            continue;
        }
        fitted += 1;
        assert!(said.stderr.starts_with("note: `t.step` needs") && said.stderr.contains("of m.dl"), "{}", said.stderr);
        let less = memory(folder.path(), "t.step", &bound);
        assert!(needed(&less) <= limit && less["plain"] == plain["bytes"], "{less}");
        assert!(less["again"].to_string().contains("m.dl:"), "{less}");
        let under = trained(folder.path(), &["--max-memory", &bound], &[], "less");
        assert!(under == expected, "another training under {bound} bytes");
        fs::remove_dir_all(folder.path().join("less")).unwrap();
    }
    assert!(fitted > 0, "no bound could be held");
}

#[test]
fn layers_give_the_same_bytes_in_less_memory() {
    check(LAYERS);
}

#[test]
fn loops_give_the_same_bytes_in_less_memory() {
    check(LOOPS);
}

/// Loops keep what segments of their passes begin with, whatever the number of threads.
#[test]
fn segments_of_loops_give_the_same_bytes_in_less_memory() {
    let folder = folder(PASSES, 288);
    let plain = memory(folder.path(), "t.step", "1GiB");
    let (arena, thread) = (plain["bytes"].as_i64().unwrap(), plain["thread"].as_i64().unwrap());
    let bound = (arena * 4 / 10 + 3 * thread).to_string();
    let said = run(folder.path(), &["check", "--max-memory", &bound, "m.dl"]).ok().stderr;
    assert!(said.contains("; the loops in lines 16, 34 of m.dl keep every 3rd pass; "), "{said}");
    let less = memory(folder.path(), "t.step", &bound);
    assert!(less["segments"].to_string().contains("{\"loop\":\"m.dl:"), "{less}");
    let expected = trained(folder.path(), &[], &["--threads", "1"], "all");
    for threads in ["1", "2", "3"] {
        let under = trained(folder.path(), &["--max-memory", &bound], &["--threads", threads], "less");
        assert!(under == expected, "another training by {threads} threads");
        fs::remove_dir_all(folder.path().join("less")).unwrap();
    }
}

/// The plan tells what was chosen, and a batch that the compiler was not told of is refused when it comes.
#[test]
fn the_bound_holds_when_the_program_runs() {
    let folder = folder(LAYERS, 96);
    let plain = memory(folder.path(), "t.step", "1GiB");
    let [arena, thread] = ["bytes", "thread"].map(|part| plain[part].as_i64().unwrap());
    let bound = (arena * 9 / 10 + thread).to_string();
    let plan =
        run(folder.path(), &["emit", "--max-memory", &bound, "m.dl", "--stage", "plan", "--fn", "t"]).ok().stdout;
    assert!(
        plan.starts_with("== t.step\n\n# `t.step` needs") && plan.contains("# each thread has 262144 bytes"),
        "{plan}"
    );
    let info = run(folder.path(), &["run", "--max-memory", &bound, "m.dl", "info", "--json"]).ok().json();
    assert_eq!(info["thread_bytes"], thread);
    let bench = |size: &str, threads: &str| {
        let train = ["bench", "train", "--size", size, "--threads", threads, "--seconds", "0.01"];
        run(folder.path(), &[&["run", "--max-memory", &bound, "m.dl"], &train[..]].concat())
    };
    bench("B=96", "1").ok();
    bench("B=192", "1").refused(&["E0131", "`t.step` needs", "for B = 192", "--max-memory", "bytes(B) ="]);
    // What threads have of their own counts too; the bound has room for that of one. As long as nobody asks for more
    // there is no more.
    let said =
        run(folder.path(), &["run", "--max-memory", &bound, "m.dl", "bench", "train", "--seconds", "0.01", "--json"]);
    assert_eq!(said.ok().json()["threads"], 1);
    bench("B=96", "3").refused(&["E0131", "for B = 96 and 3 threads", "for each thread", "use `--threads 1`"]);
}

/// A weight is updated as soon as its gradient is there: what the gradient is made of is not kept until
/// all gradients are.
#[test]
fn updates_need_no_memory_of_their_own() {
    let folder = folder(LAYERS, 96);
    let [step, grads] =
        ["t.step", "t.grads"].map(|entry| memory(folder.path(), entry, "1GiB")["bytes"].as_i64().unwrap());
    assert!(step * 4 <= grads * 5, "{step} bytes with updates, {grads} for the gradients alone");
}

/// Width, rows of a batch and number of the layers of [`deep`].
const WIDTH: i64 = 512;
const BATCH: i64 = 2048;
const DEPTH: i64 = 6;

fn deep(activation: &str) -> i64 {
    let mut model = "model M {\n".to_string();
    let mut way = "x".to_string();
    for layer in 0..DEPTH {
        model += &format!("    l{layer} = Linear({WIDTH})\n");
        way += &format!(" |> l{layer} |> {activation}");
    }
    model += &format!(
        "    head = Linear(1)\n\n    @export\n    fn forward(x: f32[B, 4]) -> f32[B, 1] {{ return {way} |> head }}\n}}\n"
    );
    let folder = folder(&model, BATCH as usize);
    let path = folder.path().join("m.dl");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("adam(", "sgd(")).unwrap();
    memory(folder.path(), "t.step", "1GiB")["bytes"].as_i64().unwrap()
}

/// What a layer leaves to the backward pass is what the next one reads, and a bit for each number where the sign
/// of another was asked for. Two more are there at a time, gradients, and one in another order.
#[test]
fn an_activation_keeps_one_number_and_at_most_one_bit() {
    let layer = WIDTH * BATCH * 4;
    let weights = WIDTH * WIDTH * 4;
    let [relu, leaky] = ["relu", "leaky_relu"].map(deep);
    let few = (DEPTH + 2) * layer + (DEPTH + 2) * weights;
    assert!(relu <= few, "{relu} bytes for layers of {layer}");
    assert!(leaky <= few + DEPTH * layer / 32, "{leaky} bytes, {relu} with relu");
}

/// Two layers whose activation asks for signs, in numbers from which on they are kept as bits.
fn signs(activation: &str) -> String {
    format!(
        "
model M {{
    a    = Linear(1024)
    b    = Linear(1024)
    head = Linear(1)

    fn act(x: f32[*S]) -> f32[*S] {{ return {activation} }}

    @export
    fn forward(x: f32[B, 4]) -> f32[B, 1] {{ return head(act(b(act(a(x))))) }}
}}
"
    )
}

#[test]
fn masks_of_bits_train_as_numbers_do() {
    let programs =
        ["where(x > 0, x, 0.01 * x)", "maximum(x, 0.01 * x)"].map(|activation| folder(&signs(activation), 288));
    let bits = programs.each_ref().map(|folder| {
        let fused = run(folder.path(), &["emit", "m.dl", "--stage", "fused", "--fn", "t.step"]).ok().stdout;
        fused.lines().filter(|line| line.contains("anchor") && line.contains(" pack_bits")).count()
    });
    assert_eq!(bits[0], 2, "each layer keeps its signs");
    let [masks, numbers] = programs.map(|folder| {
        let (file, loss) = trained(folder.path(), &[], &[], "out");
        // What stands before the numbers tells of the program.
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        (file[8 + header..].to_vec(), loss)
    });
    assert!(masks == numbers, "{:?} and {:?}", masks.1, numbers.1);
}

/// The scores of an attention over so many rows, for a head, in bytes.
const ROWS: i64 = 512;
const SCORES: i64 = ROWS * ROWS * 4;

const LONG: &str = "
layer Block(D: dim, Heads: dim) {
    att  = MultiHeadAttention(D, Heads, causal: true)
    norm = LayerNorm()

    fn forward(x: f32[B, T, D]) -> f32[B, T, D] { return x + att(norm(x)) }
}

model M {
    blocks = [Block(128, 4); 3]

    fn forward(x: f32[B, T, 128]) -> f32[B, T, 128] {
        for block in blocks { x = block(x) }
        return x
    }
}

train t {
    net  = M()
    data = arrays(\"rows\") |> batch(8)
    opt  = sgd(lr: 0.1)
    step(x: f32[B, 512, 128]) { minimize mean(net(x) ** 2) over net with opt }
}
";

/// Forwards and backwards they are made head by head, in each thread's own memory, and none is kept between.
#[test]
fn scores_of_long_texts_are_in_no_arena() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rows")).unwrap();
    npy::write_f32(&folder.path().join("rows/x.npy"), &[8, 512, 128], &vec![0.5; 8 * 512 * 128]);
    let path = folder.path().join("m.dl");
    fs::write(&path, LONG).unwrap();
    let mut session = Session::open(&path, Way::chosen().options()).unwrap();
    let program = session.resolve().unwrap();
    let lowered = session.lower(&program);
    let step = lowered.program.entries.iter().find(|entry| entry.name == "t.step").unwrap();
    for buffer in &step.plan.buffers {
        let bytes = buffer.bytes.eval(&vec![1; lowered.graph.symbols.len()]).unwrap();
        assert!(bytes < 4 * SCORES, "{} has {bytes} bytes", buffer.name);
    }
    let near = lowered.program.near_bytes();
    assert!((SCORES..8 * SCORES).contains(&near), "{near} bytes near");
}
