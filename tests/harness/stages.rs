//! `mlc emit`: each stage of small programs as text, beside `stages/NAME.STAGE`, and for `cnn.dl`
//! what must be in each stage.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::{process, repository, snapshot};
use std::path::Path;

const STAGES: &[&str] = &["ast", "graph", "grad", "fused", "nest", "tree", "lane", "kernel", "plan", "clif", "asm"];

fn emit(file: &Path, args: &[&str]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    let folder = file.parent().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    process::run(program, folder, &[&["emit", name], args].concat()).ok().stdout
}

/// Stages whose text hangs on the language and the graph alone, so that it changes only when they do. Nests
/// have a schedule, which is of one level: what is shown without options, whatever the tests are run for.
#[test]
fn small_programs() {
    let program = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages");
    for name in ["scale", "dense"] {
        for stage in ["ast", "graph", "nest", "plan"] {
            let args = ["emit", &format!("{name}.dl"), "--stage", stage, "--fn", "forward"];
            let text = process::run_bare(program, &folder, &args).ok().stdout;
            snapshot::check(&folder.join(format!("{name}.{stage}")), &text).unwrap();
        }
    }
}

#[test]
fn every_stage_of_the_example() {
    let cnn = repository("dsl-examples/cnn.dl");
    for stage in STAGES {
        let text = emit(&cnn, &["--stage", stage]);
        assert!(text.lines().count() > 20, "{stage}:\n{text}");
        assert_eq!(text, emit(&cnn, &["--stage", stage]), "{stage} is not always the same");
    }
}

#[test]
fn places_in_the_source_are_shown() {
    let cnn = repository("dsl-examples/cnn.dl");
    for stage in STAGES {
        let text = emit(&cnn, &["--stage", stage]);
        // The tree of one file gives a line and a column alone.
        let place = if *stage == "ast" { "29:5 bind opt" } else { "cnn.dl:" };
        assert!(text.contains(place), "{stage} has no places:\n{text}");
    }
}

#[test]
fn gradients_are_named_after_their_values() {
    let text = emit(&repository("dsl-examples/cnn.dl"), &["--stage", "grad"]);
    assert!(text.contains("conv") && text.contains("digits"), "{text}");
}

#[test]
fn one_function_alone() {
    let cnn = repository("dsl-examples/cnn.dl");
    let (all, one) = (emit(&cnn, &["--stage", "graph"]), emit(&cnn, &["--stage", "graph", "--fn", "forward"]));
    assert!(one.len() < all.len() && one.contains("forward"));
    let program = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    let args = ["emit", "dsl-examples/cnn.dl", "--stage", "graph", "--fn", "backward"];
    let outcome = process::run(program, &repository("."), &args);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("forward"), "{}", outcome.stderr);
}

#[test]
fn the_prelude_is_open_to_read() {
    let program = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    let text = process::run(program, &repository("."), &["emit", "--prelude"]).ok().stdout;
    for name in ["layer Linear", "layer Conv2d", "optimizer adam", "fn cross_entropy"] {
        assert!(text.contains(name), "{name} is not in the prelude");
    }
}
