//! The dtype i8 from files to files: arguments, results, weights, states, constants, columns, in executables and
//! through `mlc run`.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::arrays::{self, Array};
use mlc_tests::programs::Program;
use mlc_tests::{npy, process};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// All numbers of i8, several times over, in an order without a pattern: more than a vector has lanes, and no
/// multiple of that.
fn numbers(count: usize, factor: usize) -> Vec<i8> {
    (0..count).map(|at| (at * factor + 11) as u8 as i8).collect()
}

fn write_i8(program: &Program, name: &str, shape: &[usize], data: &[i8]) {
    let bytes: Vec<u8> = data.iter().map(|number| *number as u8).collect();
    npy::write(&program.file(name), "|i1", shape, &bytes);
}

/// Runs a function in the executable and in memory, with all its results in files; both must write the same bytes.
#[track_caller]
fn call(program: &Program, text: &str, args: &[&str], results: &[&str]) -> Vec<Vec<f64>> {
    let outs: Vec<String> = results.iter().map(|name| format!("{name}={name}.npy")).collect();
    let mut all = args.to_vec();
    outs.iter().for_each(|out| all.extend(["--out", out.as_str()]));
    program.run(&all).ok();
    let file = |name: &&str| program.file(&format!("{name}.npy"));
    let before: Vec<Vec<u8>> = results.iter().map(|name| fs::read(file(name)).unwrap()).collect();
    fs::write(program.file("source.dl"), text).unwrap();
    process::run(mlc(), program.folder(), &[&["run", "source.dl"], &all[..]].concat()).ok();
    for (name, bytes) in results.iter().zip(before) {
        assert!(bytes == fs::read(file(name)).unwrap(), "{name} differs");
    }
    results.iter().map(|name| arrays::read_npy(&file(name))).collect()
}

const ARITHMETIC: &str = "
model M {
    @export
    fn arithmetic(a: i8[N], b: i8[N]) -> (
        sum: i8[N], product: i8[N], quotient: i8[N], rest: i8[N], size: i8[N], less: bool[N],
        total: i8, exact: i32, least: i8, greatest: i8, place: i32, best: i8[3], last: i8[N], other: u8[N]
    ) {
        best, _ = top_k(a, 3)
        return (
            a + b, a * b - 1, floor(a / b), a % b, abs(a), a < b,
            sum(a), sum(cast(a, i32)), min(a), max(a), argmin(a, axis: 0), best, cumsum(a, axis: 0), cast(a, u8)
        )
    }
}
";

/// What two's complement says, for each number with many others.
#[test]
fn arithmetic_wraps_and_has_a_sign() {
    let program = Program::build_text(mlc(), "arithmetic", ARITHMETIC);
    let (a, b) = (numbers(1001, 37), numbers(1001, 91));
    write_i8(&program, "a.npy", &[1001], &a);
    write_i8(&program, "b.npy", &[1001], &b);
    let names = [
        "sum", "product", "quotient", "rest", "size", "less", "total", "exact", "least", "greatest", "place", "best",
        "last", "other",
    ];
    let found = call(&program, ARITHMETIC, &["run", "arithmetic", "--in", "a=a.npy", "--in", "b=b.npy"], &names);
    let pairs = || a.iter().copied().zip(b.iter().copied());
    let floor =
        |a: i8, b: i8| if b == 0 { 0 } else { i32::from(a).div_euclid(i32::from(b).abs()) * i32::from(b.signum()) };
    let floor = |a: i8, b: i8| match i32::from(a) - floor(a, b) * i32::from(b) {
        rest if rest != 0 && b < 0 => floor(a, b) - 1,
        _ => floor(a, b),
    };
    let wide = |numbers: Vec<i8>| numbers.into_iter().map(f64::from).collect::<Vec<f64>>();
    assert_eq!(found[0], wide(pairs().map(|(a, b)| a.wrapping_add(b)).collect()));
    assert_eq!(found[1], wide(pairs().map(|(a, b)| a.wrapping_mul(b).wrapping_sub(1)).collect()));
    assert_eq!(found[2], wide(pairs().map(|(a, b)| floor(a, b) as i8).collect()));
    assert_eq!(
        found[3],
        wide(
            pairs().map(|(a, b)| if b == 0 { 0 } else { (i32::from(a) - floor(a, b) * i32::from(b)) as i8 }).collect()
        )
    );
    assert_eq!(found[4], wide(a.iter().map(|a| a.wrapping_abs()).collect()));
    assert_eq!(found[5], pairs().map(|(a, b)| f64::from(u8::from(a < b))).collect::<Vec<f64>>());
    let exact: i32 = a.iter().map(|a| i32::from(*a)).sum();
    assert_eq!([&found[6][..], &found[7]].concat(), [f64::from(exact as i8), f64::from(exact)]);
    assert_eq!([&found[8][..], &found[9]].concat(), [-128.0, 127.0]);
    assert_eq!(found[10], [a.iter().position(|a| *a == -128).unwrap() as f64]);
    assert_eq!(found[11], [127.0; 3]);
    let running = a.iter().scan(0i8, |sum, a| {
        *sum = sum.wrapping_add(*a);
        Some(*sum)
    });
    assert_eq!(found[12], wide(running.collect()));
    assert_eq!(found[13], a.iter().map(|a| f64::from(*a as u8)).collect::<Vec<f64>>());
}

const QUANTISED: &str = "
model Q {
    param w: i8[40, 19] = full([40, 19], -1)
    param scale: f32[19] = 1
    state calls: i8 = -128
    signs = cast(iota(4) * 50 - 100, i8)

    @export
    fn forward(x: f32[B, 40], row: i8[B]) -> (y: f32[B, 19], q: i8[B, 19], sign: i8[B], n: i8) {
        calls += 100
        y = (x @ cast(w, f32)) * scale
        return y, cast(round(y * 4), i8), signs[row], calls
    }
}
";

/// Quantised weights from a file, as a few hundred floats have them: an i8 for each weight, a scale for each column.
#[test]
fn quantised_weights_are_scaled() {
    let program = Program::build_text(mlc(), "quantised", QUANTISED);
    let info = program.run(&["info", "--json"]).ok().json();
    assert_eq!(info["parameters"][0]["dtype"], "i8", "{info}");
    assert_eq!(info["functions"][0]["results"][1]["dtype"], "i8", "{info}");
    program.run(&["init", "-o", "init.safetensors"]).ok();
    let mut weights = arrays::read(&program.file("init.safetensors"));
    assert_eq!(weights["w"], Array { dtype: "I8".into(), shape: vec![40, 19], data: vec![-1.0; 760] });
    assert_eq!(weights["calls"].data, [-128.0]);

    let w = numbers(760, 53);
    let scale: Vec<f32> = (0..19).map(|at| 0.002 * (at + 1) as f32).collect();
    weights.get_mut("w").unwrap().data = w.iter().map(|w| f64::from(*w)).collect();
    weights.get_mut("scale").unwrap().data = scale.iter().map(|scale| f64::from(*scale)).collect();
    arrays::write(&program.file("w.safetensors"), &weights);
    let x: Vec<f32> = (0..120).map(|at| (at % 7) as f32 - 3.0).collect();
    npy::write_f32(&program.file("x.npy"), &[3, 40], &x);
    write_i8(&program, "row.npy", &[3], &[3, 0, 1]);
    let args = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--in", "row=row.npy"];
    let found = call(&program, QUANTISED, &args, &["y", "q", "sign", "n"]);
    for (at, (y, q)) in found[0].iter().zip(&found[1]).enumerate() {
        let (row, column) = (at / 19, at % 19);
        // Products of small whole numbers: the sum is exact in f32 and rounded once, by the scale.
        let sum: i32 = (0..40).map(|k| x[row * 40 + k] as i32 * i32::from(w[k * 19 + column])).sum();
        let expected = sum as f32 * scale[column];
        assert_eq!(*y as f32, expected, "element {at}");
        assert_eq!(*q, f64::from((expected * 4.0).round_ties_even() as i8), "element {at}");
    }
    assert!(found[1].contains(&-128.0), "what is beyond i8 saturates");
    assert_eq!(found[2], [50.0, -100.0, -50.0]);
    assert_eq!(found[3], [-28.0]);

    write_i8(&program, "row.npy", &[3], &[3, 0, -1]);
    program.run(&[&args[..], &["--out", "y=y.npy"]].concat()).refused(&["E0305"]);
    npy::write_i32(&program.file("row.npy"), &[3], &[0, 1, 2]);
    program.run(&[&args[..], &["--out", "y=y.npy"]].concat()).refused(&["i8", "i32"]);
    write_i8(&program, "row.npy", &[3], &[0, 1, 2]);
    weights.insert("w".into(), Array { dtype: "F32".into(), shape: vec![40, 19], data: vec![0.0; 760] });
    arrays::write(&program.file("w.safetensors"), &weights);
    program.run(&[&args[..], &["--out", "y=y.npy"]].concat()).refused(&["`w`", "f32", "i8"]);
}

const COLUMNS: &str = "
model Line {
    fc = Linear(1)
    fn forward(x: f32[B, 1]) -> f32[B] { return fc(x)[:, 0] }
}
train t {
    net = Line()
    opt = sgd(lr: 0.01)
    data = csv(\"d.csv\") |> batch(4)
    epochs = 1
    step(code: i8[B], y: f32[B]) {
        minimize mse(net(cast(code, f32)[:, new]), y) over net with opt
        metric lowest = min(code)
        metric spread = cast(max(code), i32) - cast(min(code), i32)
    }
}
";

#[test]
fn columns_become_i8_if_they_fit() {
    let program = Program::build_text(mlc(), "columns", COLUMNS);
    let source = program.file("d.csv");
    fs::write(&source, "code,y\n-128,1\n-3,2\n0,3\n127,4\n").unwrap();
    let reported = program.run(&["train"]).ok().json();
    assert_eq!([&reported["lowest"], &reported["spread"]], [-128.0, 255.0], "{reported}");
    for number in ["128", "-129", "1.5"] {
        fs::write(&source, format!("code,y\n-128,1\n{number},2\n0,3\n127,4\n")).unwrap();
        program.run(&["train"]).refused(&["E0301", "d.csv:3", number]);
    }
}

#[test]
fn weights_of_i8_travel_through_training() {
    let text = COLUMNS
        .replace("fc = Linear(1)", "fc = Linear(1)\n    param offset: i8[1] = -7")
        .replace("return fc(x)[:, 0]", "return fc(x + cast(offset, f32))[:, 0]");
    let text = text.replace("over net with", "over net.fc with");
    let program = Program::build_text(mlc(), "columns", &text);
    fs::write(program.file("d.csv"), "code,y\n-128,1\n-3,2\n0,3\n127,4\n").unwrap();
    program.run(&["train", "--out", "out"]).ok();
    let trained: BTreeMap<String, Array> = arrays::read(&program.file("out/last.safetensors"));
    assert_eq!(trained["offset"], Array { dtype: "I8".into(), shape: vec![1], data: vec![-7.0] });
}
