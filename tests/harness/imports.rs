//! Programs in several files, through every command. What is refused stands in `ui/imports`.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::npy;
use mlc_tests::process::{self, Outcome};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MAIN: &str = r#"
import "parts/model.dl"
import "parts/tools.dl" as tools

const Width = 2

train t {
    net = Net(tools.Width)
    opt = tools.plain(lr: 0.5)
    step(x: f32[B, 3], y: f32[B, 4]) {
        minimize mse(net(x), y) over net with opt
    }
}

test "constants hold in their own files" {
    assert tools.Width == 4
    assert Width == 2
    assert sum(tools.widen(ones([Width, 1]))) == 8
    check_grad(Net(Width), x: normal([2, 3]))
}
"#;

const MODEL: &str = r#"
import tools

model Net(D: dim) {
    fc = Linear(D)
    @export
    fn forward(x: f32[B, 3]) -> f32[B, D] { return fc(centred(x)) }
}

train ignored {
    this = is_not(looked, at)
}

test "of this file alone" {
    assert 1 == 2
}
"#;

const TOOLS: &str = r#"
const Width = 4

fn widen(x: f32[N, 1]) -> f32[N, Width] { return broadcast(x, [N, Width]) }
fn centred(x: f32[N, D]) -> f32[N, D] { return x - mean(x, over: D, keep: true) }

optimizer plain(lr: f32) {
    fn update(w: f32[*S], g: f32[*S], t: i32, norm: f32) -> f32[*S] { return w - lr * g }
}
"#;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.0.path().join("src/parts")).unwrap();
        place.write("main.dl", MAIN);
        place.write("parts/model.dl", MODEL);
        place.write("parts/tools.dl", TOOLS);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("src").join(name), text).unwrap();
    }

    fn mlc(&self, args: &[&str]) -> Outcome {
        process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), self.0.path(), args)
    }
}

#[test]
fn every_command_follows_imports() {
    let place = Place::new();
    let checked = place.mlc(&["check", "src/main.dl"]).ok();
    assert_eq!(checked.stderr, "");
    let tested = place.mlc(&["test", "src/main.dl"]).ok();
    assert!(tested.stdout.ends_with("1 test\n"), "{}", tested.stdout);
    let graph = place.mlc(&["emit", "src/main.dl", "--stage", "graph"]).ok();
    assert!(graph.stdout.contains("forward"), "{}", graph.stdout);

    npy::write_f32(&place.0.path().join("x.npy"), &[1, 3], &[1.0, 2.0, 6.0]);
    let run = |program: &[&str], out: &str| {
        place.mlc(&[program, &["init", "-o", "w.safetensors"]].concat()).ok();
        let args = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", out];
        place.mlc(&[program, &args].concat()).ok();
        npy::read_f32(&place.0.path().join(out))
    };
    let in_memory = run(&["run", "src/main.dl"], "a.npy");
    assert_eq!(in_memory.len(), 4);
    place.mlc(&["build", "src/main.dl", "-o", "main"]).ok();
    let program = place.0.path().join("main");
    let args = ["run", "forward", "--weights", "w.safetensors", "--in", "x=x.npy", "--out", "b.npy"];
    process::run_bare(&program, place.0.path(), &args).ok();
    assert_eq!(npy::read_f32(&place.0.path().join("b.npy")), in_memory);
}

#[test]
fn defines_are_for_the_first_file() {
    let place = Place::new();
    place.mlc(&["test", "src/main.dl", "-D", "Width=3"]).refused(&["E0214", "Width == 2"]);
    let outcome = place.mlc(&["check", "src/main.dl", "-D", "Height=3"]);
    outcome.refused(&["E0101", "-D Height"]);
}

#[test]
fn the_source_hash_is_of_all_files() {
    let place = Place::new();
    let hash = || {
        let info = place.mlc(&["run", "src/main.dl", "info", "--json"]).ok();
        let start = info.stdout.find("source_hash").unwrap();
        info.stdout[start..start + 80].to_owned()
    };
    let before = hash();
    assert_eq!(before, hash());
    place.write("parts/tools.dl", &TOOLS.replace("w - lr * g", "w - g * lr"));
    assert_ne!(before, hash());
}

#[test]
fn messages_name_the_file() {
    let place = Place::new();
    place.write("parts/tools.dl", &TOOLS.replace("mean(x", "maen(x"));
    place.mlc(&["check", "src/main.dl"]).refused(&["unknown name `maen`", "src/parts/tools.dl:5:"]);
    place.write("parts/tools.dl", "fn centred(x: f32[N, D] -> f32[N, D] { return x }\n");
    place.mlc(&["run", "src/main.dl", "info"]).refused(&["E0002", "src/parts/tools.dl:1:11"]);
}

/// Chains are followed without recursion, files that are reached twice are read once.
#[test]
fn long_chains_and_shared_files() {
    let place = Place::new();
    const LENGTH: usize = 300;
    for at in 0..LENGTH {
        let next = if at + 1 < LENGTH { format!("import \"c{}.dl\"\n", at + 1) } else { String::new() };
        place.write(
            &format!("c{at}.dl"),
            &format!("{next}import \"shared.dl\"\nfn f{at}(x: f32[*S]) -> f32[*S] {{ return same(x) }}\n"),
        );
    }
    place.write("shared.dl", "fn same(x: f32[*S]) -> f32[*S] { return x }\n");
    let model = "model M {\n@export\nfn forward(x: f32[B]) -> f32[B] { return f0(x) }\n}\n";
    place.write("main.dl", &format!("import \"c0.dl\"\n{model}"));
    place.mlc(&["check", "src/main.dl"]).ok();
    place.write(&format!("c{}.dl", LENGTH - 1), "import \"c0.dl\"\n");
    place.mlc(&["check", "src/main.dl"]).refused(&["E0011", "c0.dl"]);
}
