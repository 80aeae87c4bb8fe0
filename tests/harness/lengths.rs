//! Results whose length the data decides (rule 22), in executables and through `mlc run`.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::programs::Program;
use mlc_tests::{npy, process};
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

const CUT: &str = "
model M(Ctx: dim = 8) {
    state calls: i32 = 0
    @export
    fn cut(x: i32[1, P], len: i32) -> i32[1, N] requires P <= Ctx, N <= Ctx {
        calls += 1
        return (zeros([1, Ctx]) + sum(x))[:, :len]
    }
    @export
    fn middle(x: f32[4, B, 6], len: i32) -> (y: f32[4, N, 2], twice: i32) requires N <= 5 {
        y = broadcast(x[:, new, 0, :], [4, 5, 6])
        return y[:, :len, 1:3], 2 * len
    }
    @export
    fn first(x: f32[B, 12, 6], len: i32) -> f32[N] requires 10 >= N { return x[0, :len, 2] }
    @export
    fn last(x: f32[B, 12], len: i32) -> f32[B, N] requires N <= 12 { return x[..., :len] }
}
";

/// Runs a function in the executable and in memory; both must write the same bytes.
#[track_caller]
fn run(program: &Program, args: &[&str], file: &str) -> Vec<u8> {
    program.run(args).ok();
    let bytes = fs::read(program.file(file)).unwrap();
    fs::write(program.file("source.dl"), CUT).unwrap();
    process::run(mlc(), program.folder(), &[&["run", "source.dl"], args].concat()).ok();
    assert!(bytes == fs::read(program.file(file)).unwrap());
    bytes
}

fn shape(npy: &[u8]) -> String {
    let header = String::from_utf8_lossy(&npy[10..]);
    header.split("'shape': ").nth(1).unwrap().split(", }").next().unwrap().to_string()
}

#[test]
fn results_are_cut_to_their_length() {
    let program = Program::build_text(mlc(), "cut", CUT);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    let weights = ["--weights", "w.safetensors"];
    let call = |args: &[&str], file: &str| run(&program, &[args, &weights].concat(), file);
    npy::write_i32(&program.file("p.npy"), &[1, 2], &[3, 4]);
    for (length, expected) in [("3", "(1, 3)"), ("0", "(1, 0)"), ("8", "(1, 8)")] {
        let len = format!("len={length}");
        let bytes = call(&["run", "cut", "--in", "x=p.npy", "--in", &len, "--out", "c.npy"], "c.npy");
        assert_eq!(shape(&bytes), expected);
    }
    assert_eq!(npy::read_i32(&program.file("c.npy")), [7; 8]);

    let x: Vec<f32> = (0..144).map(|i| i as f32).collect();
    npy::write_f32(&program.file("m.npy"), &[4, 2, 6], &x[..48]);
    call(&["run", "middle", "--in", "x=m.npy", "--in", "len=2", "--out", "y=y.npy", "--out", "twice=t.npy"], "y.npy");
    let rows = [0.0, 12.0, 24.0, 36.0];
    let expected: Vec<f32> = rows.iter().flat_map(|r| [r + 1.0, r + 2.0, r + 1.0, r + 2.0]).collect();
    assert_eq!(npy::read_f32(&program.file("y.npy")), expected);
    assert_eq!(npy::read_i32(&program.file("t.npy")), [4]);

    npy::write_f32(&program.file("f.npy"), &[2, 12, 6], &x);
    call(&["run", "first", "--in", "x=f.npy", "--in", "len=4", "--out", "f4.npy"], "f4.npy");
    assert_eq!(npy::read_f32(&program.file("f4.npy")), [2.0, 8.0, 14.0, 20.0]);

    npy::write_f32(&program.file("l.npy"), &[2, 12], &x[..24]);
    call(&["run", "last", "--in", "x=l.npy", "--in", "len=2", "--out", "l2.npy"], "l2.npy");
    assert_eq!(npy::read_f32(&program.file("l2.npy")), [0.0, 1.0, 12.0, 13.0]);
}

#[test]
fn a_length_out_of_range_is_an_error_with_its_place() {
    let program = Program::build_text(mlc(), "cut", CUT);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    npy::write_i32(&program.file("p.npy"), &[1, 2], &[3, 4]);
    for length in ["len=9", "len=-1"] {
        let args = ["run", "cut", "--weights", "w.safetensors", "--in", "x=p.npy", "--in", length, "--out", "c.npy"];
        program.run(&args).refused(&["E0305", "must be from 0 to 8", "cut.dl:7:47", "`N` of the result"]);
        assert!(!program.file("c.npy").exists());
    }
    let info = program.run(&["info"]).ok().stdout;
    assert!(info.contains("M.cut(x: i32[1, P], len: i32) -> i32[1, N]"), "{info}");
}
