//! `--tune`: what is measured is written beside the source, is used from then on, and changes no result.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::level::Way;
use mlc_tests::npy;
use mlc_tests::process::{self, Outcome};
use std::fs;
use std::path::Path;

const MODEL: &str = "
model M {
    conv = Conv2d(16, 3)
    wide = Linear(96)
    head = Linear(1)

    @export
    fn forward(x: f32[B, 12, 12, 2]) -> f32[B, 1] {
        return x |> conv |> relu |> flatten |> wide |> tanh |> head
    }
}

train t {
    net  = M()
    opt  = adam(lr: 0.01)
    data = arrays(\"rows\") |> batch(16)
    seed = 5

    step(x: f32[B, 12, 12, 2], y: f32[B, 1]) {
        d = net(x) - y
        minimize mean(d * d) over net with opt
    }
}
";

fn run(folder: &Path, args: &[&str]) -> Outcome {
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder, args)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let x: Vec<f32> = (0..32 * 288).map(|i| (i * 7 % 11) as f32 / 4.0 - 1.25).collect();
    let y: Vec<f32> = (0..32).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
    fs::create_dir(folder.path().join("rows")).unwrap();
    npy::write_f32(&folder.path().join("rows/x.npy"), &[32, 12, 12, 2], &x);
    npy::write_f32(&folder.path().join("rows/y.npy"), &[32, 1], &y);
    fs::write(folder.path().join("m.dl"), MODEL).unwrap();
    folder
}

/// The object for the level that runs here, and the weights behind two steps.
fn outcome(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    run(folder, &[&["build", "m.dl", "--emit", "obj", "-o", "m.o"], &Way::chosen().one_level().args()[..]].concat())
        .ok();
    run(folder, &["run", "m.dl", "train", "--steps", "2", "--quiet", "--out", "out"]).ok();
    let found = (fs::read(folder.join("m.o")).unwrap(), fs::read(folder.join("out/last.safetensors")).unwrap());
    fs::remove_dir_all(folder.join("out")).unwrap();
    found
}

/// Each line with another way instead of its own.
fn with_ways(table: &str, way: &str) -> String {
    let line = |line: &str| match line.split_once(" rows ") {
        Some((key, _)) => format!("{key} {way}\n"),
        None => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

#[test]
fn what_is_measured_is_used_and_changes_no_result() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    let (estimated, weights) = outcome(folder.path());
    assert!(!path.exists(), "only --tune measures");
    let said = run(folder.path(), &["run", "--tune", "--timings", "m.dl", "info"]).ok().stderr;
    assert!(said.contains("contractions measured") && said.contains("\"tune\""), "{said}");
    let table = fs::read_to_string(&path).unwrap();
    assert!(table.contains("\nmlc-tune 1\n") && table.matches(" rows ").count() >= 3, "{table}");
    assert!(table.contains("m.dl:9:"), "lines tell where a kernel comes from: {table}");
    let measured = outcome(folder.path());
    assert!(measured.1 == weights, "other weights with\n{table}");
    assert!(outcome(folder.path()) == measured, "the same source and file give the same bytes");

    let mut objects = 0;
    for way in ["rows 2 vectors 1 unroll 1", "rows 3 vectors 2 unroll 2", "rows 5 vectors 1 unroll 8"] {
        fs::write(&path, with_ways(&table, way)).unwrap();
        let (object, trained) = outcome(folder.path());
        assert!(trained == weights, "other weights with {way}");
        objects += usize::from(object != estimated);
    }
    assert_eq!(objects, 3, "a way that the file gives is used");

    fs::write(&path, with_ways(&table, "rows 16 vectors 8 unroll 4")).unwrap();
    assert!(outcome(folder.path()).0 == estimated, "what registers don't suffice for is left to the estimate");
    let renamed = table.replace("v2 ", "v9 ").replace("v3 ", "v9 ").replace("v4 ", "v9 ");
    fs::write(&path, renamed).unwrap();
    assert!(outcome(folder.path()).0 == estimated, "lines for another level are not for this one");
}

#[test]
fn another_measurement_replaces_the_first() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    fs::write(&path, "mlc-tune 1\nv0 00 rows 2 vectors 2 unroll 2 # of another level\n").unwrap();
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.contains("v0 00 rows 2 vectors 2 unroll 2"), "lines of other levels stay: {first}");
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let keys = |table: &str| -> Vec<String> {
        table.lines().filter_map(|line| Some(line.split_once(" rows ")?.0.to_string())).collect()
    };
    assert_eq!(keys(&fs::read_to_string(&path).unwrap()), keys(&first));
}
