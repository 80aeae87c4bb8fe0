//! `extern fn` (rule 29): C functions in executables and through `mlc run`, their gradients, and what
//! they return.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use mlc_tests::{npy, weights};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Each function writes its results before it has read all of its operands, and refuses what is 100 or more.
const C: &str = r#"
#include <stdint.h>

int32_t t_mix(int64_t n, int64_t B, int64_t D, const float* x, int32_t k, uint8_t on, float by, const double* w,
              float* sums, uint8_t* flags, double* total) {
    *total = 0;
    for (int64_t b = 0; b < B; b++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[b * D + d], *total += x[b * D + d] * w[d];
        for (int64_t i = 0; i < n; i++) sums[b * n + i] = sum * by + (float)(i * k);
        flags[b] = on && sum > 0;
    }
    return 0;
}

int32_t t_raised(int64_t N, const int8_t* x, int8_t least, int8_t* out, int8_t* was) {
    *was = least;
    for (int64_t i = 0; i < N; i++) out[i] = x[i] < least ? least : x[i];
    return 0;
}

int32_t t_reversed(int64_t N, const float* x, float* out) {
    for (int64_t i = 0; i < N; i++) {
        if (x[N - 1 - i] >= 100) return 7;
        out[i] = 2 * x[N - 1 - i];
    }
    return 0;
}

int32_t t_reversed_back(int64_t N, const float* x, const float* y, const float* dy, float* dx) {
    for (int64_t i = 0; i < N; i++) {
        if (x[i] <= -100 || y[N - 1 - i] != 2 * x[i]) return -8;
        dx[i] = 2 * dy[N - 1 - i];
    }
    return 0;
}
"#;

/// A folder with the C functions as an object and as a library.
fn folder(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.c"), C).unwrap();
    for args in [&["-c", "-O1", "-fPIC", "own.c"][..], &["-shared", "-fPIC", "-O1", "-o", "libown.so", "own.c"]] {
        assert!(Command::new("cc").args(args).current_dir(folder.path()).status().unwrap().success());
    }
    fs::write(folder.path().join("net.dl"), source).unwrap();
    folder
}

fn mlc(folder: &TempDir, args: &[&str]) -> Outcome {
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), args)
}

fn built(folder: &TempDir) {
    mlc(folder, &["build", "net.dl", "--link", "own.o"]).ok();
}

/// The same command through `mlc run` and in the executable, each when it is asked for.
fn both<'a>(folder: &'a TempDir, args: &'a [&'a str]) -> impl Iterator<Item = Outcome> {
    [true, false].into_iter().map(move |in_memory| match in_memory {
        true => mlc(folder, &[&["run", "--link", "libown.so", "net.dl"], args].concat()),
        false => process::run_bare(&folder.path().join("net"), folder.path(), args),
    })
}

fn read(folder: &TempDir, name: &str) -> Vec<f32> {
    npy::read_f32(&folder.path().join(name))
}

const MIX: &str = r#"
extern fn mix(n: dim, x: f32[B, D], k: i32, on: bool[], by: f32, w: f64[D])
    -> (sums: f32[B, n], flags: bool[B], total: f64) = "t_mix"

model Net {
    @export
    fn forward(x: f32[B, 3], k: i32) -> (sums: f32[B, 2], flag: f32[B], total: f32) {
        sums, flags, total = mix(2, x, k, k > 1, by: 0.5, w: cast(iota(3), f64))
        return sums, cast(flags, f32), cast(total, f32)
    }
}
"#;

/// Sizes first, numbers by value, tensors by address, results by address.
#[test]
fn all_kinds_of_arguments() {
    let folder = folder(MIX);
    built(&folder);
    npy::write_f32(&folder.path().join("x.npy"), &[2, 3], &[1.0, 2.0, 3.0, -4.0, -5.0, -6.0]);
    let call = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy"];
    let out = ["--out", "sums=s.npy", "--out", "flag=f.npy", "--out", "total=t.npy"];
    mlc(&folder, &["run", "net.dl", "init", "-o", "w.safetensors"]).ok();
    for (k, step, flags) in [("k=4", 4.0, [1.0, 0.0]), ("k=1", 1.0, [0.0, 0.0])] {
        for outcome in both(&folder, &[&call[..], &["--in", k], &out].concat()) {
            outcome.ok();
            assert_eq!(read(&folder, "s.npy"), [3.0, 3.0 + step, -7.5, -7.5 + step]);
            assert_eq!(read(&folder, "f.npy"), flags);
            assert_eq!(read(&folder, "t.npy"), [8.0 - 17.0]);
        }
    }
}

const RAISED: &str = r#"
extern fn raised(x: i8[N], least: i8) -> (out: i8[N], was: i8) = "t_raised"

model Net {
    @export
    fn forward(x: f32[N], least: i8) -> f32[N] {
        y, was = raised(cast(x, i8), least - 1)
        return cast(y, f32) + cast(was, f32) / 1000
    }
}
"#;

/// A negative i8 goes by value and by address, and comes back with its sign.
#[test]
fn signed_bytes() {
    let folder = folder(RAISED);
    built(&folder);
    npy::write_f32(&folder.path().join("x.npy"), &[4], &[-128.0, -5.0, 0.0, 127.0]);
    for outcome in both(&folder, &["run", "forward", "--in", "x=x.npy", "--in", "least=-9", "--out", "y.npy"]) {
        outcome.ok();
        assert_eq!(read(&folder, "y.npy"), [-10.01, -5.01, -0.01, 126.99]);
    }
}

const REVERSED: &str = r#"
extern fn reversed_back(x: f32[N], y: f32[N], dy: f32[N]) -> f32[N] = "t_reversed_back"
extern fn reversed(x: f32[N]) -> f32[N] = "t_reversed" grad reversed_back

model Net {
    param w: f32[4] = ones()

    @export
    fn forward(x: f32[4]) -> f32[4] {
        y = reversed(x)
        return reversed(y)
    }

    @export
    fn often(x: f32[4], n: i32) -> f32[4] {
        for i in 0..8 while i < n { x = reversed(x) }
        return x
    }

    @export
    fn perhaps(x: f32[4], n: i32) -> f32[4] {
        if n > 0 { x = reversed(w * x * cast(n, f32)) } else { x = x + 1 }
        return x
    }
}

train fit {
    net = Net()
    opt = sgd(lr: 1.0)
    step(x: f32[B, 4], rows: f32[T, 4]) {
        y = scan for row in rows along T { yield reversed(net.w * row) }
        loss = sum(reversed(net.w * sum(x, axis: 0))) + sum(y * y)
        minimize loss over net with opt
    }
}
"#;

/// In place nothing is read that was written over; in loops and branches each pass calls.
#[test]
fn calls_in_loops_and_branches() {
    let folder = folder(REVERSED);
    built(&folder);
    npy::write_f32(&folder.path().join("x.npy"), &[4], &[1.0, 2.0, 3.0, 4.0]);
    mlc(&folder, &["run", "net.dl", "init", "-o", "w.safetensors"]).ok();
    let call = |function: &str, more: &[&str], expected: &[f32]| {
        let args = ["run", function, "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "y.npy"];
        for outcome in both(&folder, &[&args[..], more].concat()) {
            outcome.ok();
            assert_eq!(read(&folder, "y.npy"), expected, "{function} {more:?}");
        }
    };
    call("forward", &[], &[4.0, 8.0, 12.0, 16.0]);
    call("often", &["--in", "n=0"], &[1.0, 2.0, 3.0, 4.0]);
    call("often", &["--in", "n=3"], &[32.0, 24.0, 16.0, 8.0]);
    call("perhaps", &["--in", "n=2"], &[16.0, 12.0, 8.0, 4.0]);
    call("perhaps", &["--in", "n=0"], &[2.0, 3.0, 4.0, 5.0]);
}

/// A status other than 0 ends the call wherever the function was called: in line, in a pass of a loop,
/// in a branch that is taken.
#[test]
fn a_status_is_an_error() {
    let folder = folder(REVERSED);
    built(&folder);
    npy::write_f32(&folder.path().join("x.npy"), &[4], &[1.0, 2.0, 3.0, 30.0]);
    mlc(&folder, &["run", "net.dl", "init", "-o", "w.safetensors"]).ok();
    let said = ["E0306", "`t_reversed` returned 7", "net.dl:"];
    let calls = [("often", "n=2", true), ("often", "n=5", false), ("perhaps", "n=3", true), ("perhaps", "n=9", false)];
    for (function, n, is_fine) in calls {
        let args = ["run", function, "--weights", "w.safetensors", "--in", "x=x.npy", "--in", n, "--out", "y.npy"];
        for outcome in both(&folder, &args) {
            _ = if is_fine { outcome.ok() } else { outcome.refused(&said) };
        }
    }
}

/// `loss = Σ 2 w Σx + Σ (2 w row)²`, so `dw = 2 Σx + 8 w Σ row²`.
#[test]
fn gradients_are_c_functions_too() {
    let folder = folder(REVERSED);
    built(&folder);
    npy::write_f32(&folder.path().join("x.npy"), &[2, 4], &[1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0]);
    npy::write_f32(
        &folder.path().join("rows.npy"),
        &[3, 4],
        &[1.0, 0.0, 2.0, 1.0, 0.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    );
    mlc(&folder, &["run", "net.dl", "init", "-o", "w.safetensors"]).ok();
    let args = [
        "step",
        "--weights",
        "w.safetensors",
        "--in",
        "x=x.npy",
        "--in",
        "rows=rows.npy",
        "--out-weights",
        "w2.safetensors",
        "--json",
    ];
    for outcome in both(&folder, &args) {
        let loss = outcome.ok().json()["loss"].as_f64().unwrap();
        assert_eq!(loss, 2.0 * 14.0 + 4.0 * (2.0 + 10.0 + 6.0 + 3.0));
        let new = weights::read(&folder.path().join("w2.safetensors"));
        let expected = [(2.0, 2.0), (3.0, 10.0), (4.0, 6.0), (5.0, 3.0)].map(|(x, rows)| 1.0 - (2.0 * x + 8.0 * rows));
        assert_eq!(new["w"].data, expected);
        fs::remove_file(folder.path().join("w2.safetensors")).unwrap();
    }
    // What a gradient returns counts as well; nothing is written then.
    npy::write_f32(&folder.path().join("x.npy"), &[1, 4], &[1.0, -200.0, 3.0, 4.0]);
    for outcome in both(&folder, &args) {
        outcome.refused(&["E0306", "`t_reversed_back` returned -8"]);
        assert!(!folder.path().join("w2.safetensors").exists());
    }
}

/// Nothing but the given files is searched, and each message says how the function looks in C.
#[test]
fn functions_that_are_not_there() {
    let source = REVERSED.replace("\"t_reversed\"", "\"abs\"");
    let folder = folder(&source);
    let said = ["E0307", "`abs`", "int32_t abs(int64_t N, const float* x, float* out);", "--link"];
    npy::write_f32(&folder.path().join("x.npy"), &[4], &[1.0; 4]);
    let call = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "y.npy"];
    mlc(&folder, &[&["run", "net.dl"], &call[..]].concat()).refused(&said);
    mlc(&folder, &[&["run", "--link", "libown.so", "net.dl"], &call[..]].concat()).refused(&said[..3]);
    mlc(&folder, &[&["run", "--link", "missing.so", "net.dl"], &call[..]].concat()).refused(&["E0307", "missing.so"]);
    mlc(&folder, &[&["run", "--link", "own.o", "net.dl"], &call[..]].concat()).refused(&["E0307", "own.o", "-shared"]);
    // What calls none of them needs no files.
    mlc(&folder, &["run", "net.dl", "init", "-o", "w.safetensors"]).ok();
    mlc(&folder, &["check", "net.dl"]).ok();

    fs::write(folder.path().join("net.dl"), REVERSED).unwrap();
    mlc(&folder, &["build", "net.dl"]).refused(&["E0307", "`t_reversed"]);
    mlc(&folder, &["build", "net.dl", "--link", "missing.o"]).refused(&["E0304", "missing.o"]);
    assert!(!folder.path().join("net").exists());
}

/// Objects name what is to be linked, and nothing of where it is.
#[test]
fn objects_leave_functions_open() {
    let folder = folder(REVERSED);
    mlc(&folder, &["build", "net.dl", "--emit", "obj"]).ok();
    let alone = fs::read(folder.path().join("net.o")).unwrap();
    mlc(&folder, &["build", "net.dl", "--emit", "obj", "--link", "own.o"]).ok();
    assert!(alone == fs::read(folder.path().join("net.o")).unwrap());
    let contains = |word: &[u8]| alone.windows(word.len()).any(|part| part == word);
    assert!(contains(b"t_reversed_back\0"));
}
