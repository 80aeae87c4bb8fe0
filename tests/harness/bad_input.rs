//! Data, weights and inputs that are wrong: a message that names what and where, exit status 1,
//! nothing written and nothing lost. Never a panic.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::programs::Program;
use mlc_tests::weights::{self, Tensor};
use mlc_tests::{digits, npy};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Written once: an executable with data and good weights in its folder. Tests work in copies.
static MLP: LazyLock<Program> = LazyLock::new(|| {
    let program = Program::build(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), "mlp", &["-D", "H=16"]);
    program.run(&["init", "-o", "w.safetensors"]).ok();
    program
});

/// A folder with data; the executable is shared.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        digits::write_made_up(place.0.path(), 64);
        fs::copy(MLP.file("w.safetensors"), place.file("w.safetensors")).unwrap();
        npy::write_f32(&place.file("x.npy"), &[2, 28, 28, 1], &digits::image(3).repeat(2));
        place
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn data(&self, name: &str) -> std::path::PathBuf {
        self.file("data/digits").join(name)
    }

    fn run(&self, args: &[&str]) -> mlc_tests::process::Outcome {
        mlc_tests::process::run_bare(MLP.path(), self.0.path(), args)
    }

    /// Training must be refused with these words and write nothing.
    #[track_caller]
    fn train_refused(&self, words: &[&str]) {
        self.run(&["train", "--epochs", "1", "--out", "out"]).refused(words);
        assert!(!self.file("out/last.safetensors").exists());
    }

    /// Inference must be refused with these words and write nothing.
    #[track_caller]
    fn forward_refused(&self, args: &[&str], words: &[&str]) {
        self.run(&[&["run", "forward", "--out", "y.npy"], args].concat()).refused(words);
        assert!(!self.file("y.npy").exists());
    }
}

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

#[test]
fn data_missing() {
    let place = Place::new();
    fs::remove_file(place.data(IMAGES)).unwrap();
    place.train_refused(&["E0301", IMAGES]);
}

#[test]
fn data_truncated() {
    for (name, keep) in [(IMAGES, 1000), (IMAGES, 10), (IMAGES, 0), (LABELS, 20), (LABELS, 3)] {
        let place = Place::new();
        let bytes = fs::read(place.data(name)).unwrap();
        fs::write(place.data(name), &bytes[..keep]).unwrap();
        place.train_refused(&["E0301", name]);
    }
}

#[test]
fn data_of_another_format() {
    let place = Place::new();
    fs::write(place.data(IMAGES), "P5 28 28 255 not an IDX file at all").unwrap();
    place.train_refused(&["E0301", IMAGES]);
}

#[test]
fn data_compressed_and_damaged() {
    let place = Place::new();
    digits::copy_real(place.0.path());
    fs::remove_file(place.data(IMAGES)).unwrap();
    let path = place.data(&format!("{IMAGES}.gz"));
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&path, &bytes).unwrap();
    place.train_refused(&["E0301", IMAGES]);
}

#[test]
fn data_with_more_labels_than_images() {
    let place = Place::new();
    fs::write(place.data(LABELS), digits::labels(65)).unwrap();
    place.train_refused(&["E0301", "64", "65"]);
}

#[test]
fn data_with_a_huge_count() {
    let place = Place::new();
    let mut bytes = fs::read(place.data(IMAGES)).unwrap();
    bytes[4..16].fill(0xff);
    fs::write(place.data(IMAGES), &bytes).unwrap();
    place.train_refused(&["E0301", IMAGES]);
}

#[test]
fn labels_out_of_range() {
    let place = Place::new();
    let mut bytes = fs::read(place.data(LABELS)).unwrap();
    bytes[20] = 10;
    fs::write(place.data(LABELS), &bytes).unwrap();
    place.train_refused(&["E0305", "index 10 is out of range", "mlp.dl:"]);
}

#[test]
fn weights_missing() {
    let place = Place::new();
    place.forward_refused(&["--weights", "no.safetensors", "--in", "image=x.npy"], &["E0302", "no.safetensors"]);
    place.forward_refused(&["--in", "image=x.npy"], &["--weights"]);
}

#[test]
fn weights_of_another_shape_or_name() {
    let place = Place::new();
    let good = weights::read(&place.file("w.safetensors"));
    let name = good.keys().next().unwrap().clone();
    let given = ["--weights", "bad.safetensors", "--in", "image=x.npy"];

    let mut bad = good.clone();
    bad.insert(name.clone(), Tensor { shape: vec![3], data: vec![0.0; 3] });
    weights::write(&place.file("bad.safetensors"), &bad);
    place.forward_refused(&given, &["E0302", &name, "[3]"]);

    bad.remove(&name);
    weights::write(&place.file("bad.safetensors"), &bad);
    place.forward_refused(&given, &["E0302", &name]);
}

#[test]
fn weights_of_another_dtype() {
    let place = Place::new();
    let good = weights::read(&place.file("w.safetensors"));
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, tensor) in &good {
        let start = end;
        end += tensor.data.len() * 8;
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": "F64", "shape": tensor.shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    weights::write_raw(&place.file("bad.safetensors"), &header, &vec![0; end]);
    place.forward_refused(&["--weights", "bad.safetensors", "--in", "image=x.npy"], &["E0302", "f64"]);
}

#[test]
fn weights_damaged() {
    let good = fs::read(Place::new().file("w.safetensors")).unwrap();
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
    let mut garbage = good.clone();
    garbage[8..24].fill(b'{');
    for bytes in [&good[..good.len() - 5], &good[..7], &good[..0], &huge[..], &garbage[..]] {
        let place = Place::new();
        fs::write(place.file("bad.safetensors"), bytes).unwrap();
        let given = ["--weights", "bad.safetensors", "--in", "image=x.npy"];
        place.forward_refused(&given, &["E0302", "bad.safetensors"]);
    }
}

#[test]
fn inputs_of_the_wrong_name_dtype_or_shape() {
    let place = Place::new();
    let weights = ["--weights", "w.safetensors"];
    let refused =
        |input: &str, words: &[&str]| place.forward_refused(&[&weights[..], &["--in", input]].concat(), words);
    refused("picture=x.npy", &["picture", "image"]);
    refused("image=no.npy", &["E0303", "no.npy"]);
    npy::write_i32(&place.file("int.npy"), &[1, 28, 28, 1], &vec![0; 28 * 28]);
    refused("image=int.npy", &["E0303", "i32", "f32"]);
    npy::write_f32(&place.file("flat.npy"), &[1, 784], &vec![0.0; 784]);
    refused("image=flat.npy", &["E0303", "784"]);
    npy::write_f32(&place.file("small.npy"), &[1, 27, 28, 1], &vec![0.0; 27 * 28]);
    refused("image=small.npy", &["E0303", "27"]);
    npy::write_f32(&place.file("empty.npy"), &[0, 28, 28, 1], &[]);
    refused("image=empty.npy", &["E0303", "B"]);
    fs::write(place.file("text.npy"), "1, 2, 3").unwrap();
    refused("image=text.npy", &["E0303", "text.npy"]);
    let bytes = fs::read(place.file("x.npy")).unwrap();
    fs::write(place.file("short.npy"), &bytes[..bytes.len() - 1]).unwrap();
    refused("image=short.npy", &["E0303", "short.npy"]);
    place.forward_refused(&weights, &["E0303", "image"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let place = Place::new();
    let given = ["run", "forward", "--weights", "w.safetensors", "--in", "image=x.npy", "--out"];
    place.run(&[&given[..], &["no/such/folder/y.npy"]].concat()).refused(&["E0304", "no/such/folder"]);
    fs::write(place.file("taken"), "a file where a folder should be").unwrap();
    place.run(&["train", "--epochs", "1", "--out", "taken"]).refused(&["E0304", "taken"]);
    assert_eq!(fs::read_to_string(place.file("taken")).unwrap(), "a file where a folder should be");
    place.run(&["init", "-o", "no/such/folder/w.safetensors"]).refused(&["E0304"]);
}

#[test]
fn nothing_is_lost_when_training_is_refused() {
    let place = Place::new();
    place.run(&["train", "--epochs", "1", "--out", "out"]).ok();
    let before = fs::read(place.file("out/last.safetensors")).unwrap();
    fs::remove_file(place.data(IMAGES)).unwrap();
    place.run(&["train", "--epochs", "2", "--out", "out"]).refused(&["E0301"]);
    assert!(before == fs::read(place.file("out/last.safetensors")).unwrap());
}

#[test]
fn unknown_commands_and_options() {
    let place = Place::new();
    for args in [&["fly"][..], &["train", "--epoch", "1"], &["run", "backward"], &["train", "--epochs", "many"], &[]] {
        let outcome = place.run(args);
        assert_eq!(outcome.status, 2, "{args:?}\n{}", outcome.stderr);
    }
}
