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

/// Each kernel's line with another register block and unrolling.
fn with_blocks(table: &str, block: &str) -> String {
    let line = |line: &str| match (line.split_once(" rows "), line.split_once(" tiles ")) {
        (Some((key, _)), Some((_, tiles))) => format!("{key} {block} tiles {tiles}\n"),
        _ => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

/// The lines of a table with another name of the processor.
fn measured_on(table: &str, processor: &str) -> String {
    let line = |line: &str| match line.starts_with("processor ") {
        true => format!("processor {processor}\n"),
        false => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

/// The lines behind the first, which says the version.
fn lines_of(table: &str) -> &str {
    table.split_once("mlc-tune 2\n").unwrap().1
}

#[test]
fn what_is_measured_is_used_and_changes_no_result() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    let (estimated, weights) = outcome(folder.path());
    assert!(!path.exists(), "only --tune measures");
    let said = run(folder.path(), &["run", "--tune", "--timings", "m.dl", "info"]).ok().stderr;
    assert!(said.contains("kernels measured on") && said.contains("\"tune\""), "{said}");
    let table = fs::read_to_string(&path).unwrap();
    assert!(table.contains("\nmlc-tune 2\n") && table.contains("\nprocessor "), "{table}");
    assert!(table.matches(" rows ").count() >= 3, "{table}");
    assert!(table.contains("m.dl:9:"), "lines tell where a kernel comes from: {table}");
    let measured = outcome(folder.path());
    assert!(measured.1 == weights, "other weights with\n{table}");
    assert!(outcome(folder.path()) == measured, "the same source and file give the same bytes");

    // Copies are as estimated again, so that the kernels are those whose lines follow.
    let estimate = table.lines().filter(|line| !line.contains(" panels ")).map(|line| format!("{line}\n"));
    let table: String = estimate.collect();
    let mut objects = 0;
    for block in ["rows 2 vectors 1 unroll 1", "rows 3 vectors 2 unroll 2", "rows 5 vectors 1 unroll 8"] {
        fs::write(&path, with_blocks(&table, block)).unwrap();
        let (object, trained) = outcome(folder.path());
        assert!(trained == weights, "other weights with {block}");
        objects += usize::from(object != estimated);
    }
    assert_eq!(objects, 3, "a way that the file gives is used");

    fs::write(&path, with_blocks(&table, "rows 16 vectors 8 unroll 4")).unwrap();
    assert!(outcome(folder.path()).0 == estimated, "what registers don't suffice for is left to the estimate");
    let renamed = table.replace("\nv2 ", "\nv9 ").replace("\nv3 ", "\nv9 ").replace("\nv4 ", "\nv9 ");
    fs::write(&path, renamed).unwrap();
    assert!(outcome(folder.path()).0 == estimated, "lines for another level are not for this one");
}

/// Whatever processor a file is about: results are the same, and it is said whose measurements count.
#[test]
fn measurements_of_other_processors_stand_beside_those_of_this_one() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    let (estimated, weights) = outcome(folder.path());
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let own = with_blocks(&fs::read_to_string(&path).unwrap(), "rows 2 vectors 1 unroll 1");
    fs::write(&path, &own).unwrap();
    let measured = outcome(folder.path());
    assert!(measured.0 != estimated);
    let note = |args: &[&str]| run(folder.path(), &[&["run", "m.dl"], args, &["info"]].concat()).ok().stderr;
    assert!(!note(&[]).contains("note: "), "{}", note(&[]));

    let other = measured_on(&own, "Elsewhere 1");
    fs::write(&path, &other).unwrap();
    assert!(outcome(folder.path()) == measured, "the only measurements count");
    let said = note(&[]);
    assert!(
        said.contains("note: m.dl.tune has no measurements of this processor; kernels run as measured on Elsewhere 1"),
        "{said}"
    );

    let third = measured_on(&with_blocks(&own, "rows 3 vectors 1 unroll 1"), "Elsewhere 2");
    let both = format!("{other}{}", lines_of(&third));
    fs::write(&path, &both).unwrap();
    let found = outcome(folder.path());
    assert!(found.0 == estimated && found.1 == weights, "of several others none is taken for this one");
    let said = note(&[]);
    assert!(said.contains("--tuned-on takes those of Elsewhere 1, or Elsewhere 2"), "{said}");
    let level = Way::chosen().one_level();
    let object = |processor: &str| {
        let args = ["build", "m.dl", "--emit", "obj", "-o", "m.o", "--tuned-on", processor];
        run(folder.path(), &[&args[..], &level.args()[..]].concat()).ok();
        fs::read(folder.path().join("m.o")).unwrap()
    };
    assert!(object("where 1") == measured.0 && object("Elsewhere 2") != measured.0);
    for (processor, expected) in [("Elsewhere", "it has several"), ("Nowhere", "it has measurements of Elsewhere 1")] {
        let refused = run(folder.path(), &["run", "m.dl", "--tuned-on", processor, "info"]);
        assert!(refused.status == 2 && refused.stderr.contains(expected), "{}", refused.stderr);
    }

    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let all = fs::read_to_string(&path).unwrap();
    assert_eq!(all.matches("\nprocessor ").count(), 3, "{all}");
    assert!(all.contains(" rows 3 vectors 1 unroll 1 "), "what was measured elsewhere stays: {all}");
}

#[test]
fn another_measurement_replaces_the_first() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let line = "v0 00 rows 2 vectors 2 unroll 2 tiles one";
    let first = fs::read_to_string(&path).unwrap() + line + " # of another level\n";
    fs::write(&path, &first).unwrap();
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    let second = fs::read_to_string(&path).unwrap();
    assert!(second.contains(line), "lines of other levels stay: {second}");
    // Which packing is fastest may differ, and with it the kernels.
    let kernels = |table: &str| table.matches(" rows ").count();
    assert!(kernels(&second) <= kernels(&first) + 2, "no line of the first stays: {second}");
}

/// Files of before lines told the processor.
#[test]
fn an_older_file_is_not_read_and_said_so() {
    let folder = folder();
    let path = folder.path().join("m.dl.tune");
    let (estimated, _) = outcome(folder.path());
    fs::write(&path, "mlc-tune 1\nv4 0123456789abcdef rows 6 vectors 4 unroll 4 # conv\n").unwrap();
    let said = run(folder.path(), &["run", "m.dl", "info"]).ok().stderr;
    assert!(said.contains("W0006") && said.contains("does not say where it was measured"), "{said}");
    assert!(said.contains("write it anew with `mlc build --tune`, or delete it"), "{said}");
    assert!(outcome(folder.path()).0 == estimated);
    run(folder.path(), &["run", "--tune", "m.dl", "info"]).ok();
    assert!(fs::read_to_string(&path).unwrap().contains("\nmlc-tune 2\n"));
}
