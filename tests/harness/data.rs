//! Data pipelines, text and pictures, as users meet them: through `mlc run`, and through an executable
//! alone in a folder.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_rt_exe::image::{Picture, decode, write};
use mlc_tests::process::{self, Outcome};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn mlc() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mlc-under-test"))
}

/// A folder with a program and its files.
struct Folder(TempDir);

impl Folder {
    fn new(program: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("p.dl", program.as_bytes());
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `mlc run p.dl ARGS`
    fn run(&self, args: &[&str]) -> Outcome {
        process::run(mlc(), self.0.path(), &[&["run", "p.dl"], args].concat())
    }
}

const LINE: &str = "
model Line {
    fc = Linear(1)

    @export
    fn forward(x: f32[B, 2]) -> f32[B, 1] {
        return fc(x)
    }
}

train fit {
    epochs = 30
    net    = Line()
    opt    = sgd(lr: 0.1)
    DATA

    step(x: f32[B, 2], y: f32[B]) {
        minimize mse(net(x)[:, 0], y) over net with opt
    }

    every 1 epoch { evaluate(valid) }
}
";

/// `y = x0 - 2 x1`, in rows.
fn rows(count: usize) -> Vec<[f32; 3]> {
    let value = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0;
    (0..count).map(|i| [value(i), value(i + 13), value(i) - 2.0 * value(i + 13)]).collect()
}

fn line_program(source: &str) -> String {
    let data = format!(
        "data   = {source} |> rename(y: \"target\") |> split(0.8) |> shuffle(50) |> batch(8)
    valid  = {source} |> rename(y: \"target\") |> rest(0.8) |> batch(8)"
    );
    LINE.replace("DATA", &data)
}

#[test]
fn csv_and_arrays_train_alike() {
    let folder = Folder::new(&line_program("csv(\"d/a.csv\")"));
    let text: String = rows(100).iter().map(|[a, b, y]| format!("{a},{y},{b}\n")).collect();
    folder.write("d/a.csv", format!("x0,target,x1\n{text}").as_bytes());
    let from_csv = folder.run(&["train", "--quiet"]).ok().json();
    assert!(from_csv["valid"]["loss"].as_f64().unwrap() < 1e-3, "{from_csv}");

    folder.write("p.dl", line_program("arrays(\"d\")").as_bytes());
    let x: Vec<f32> = rows(100).iter().flat_map(|[a, b, _]| [*a, *b]).collect();
    let y: Vec<f32> = rows(100).iter().map(|row| row[2]).collect();
    mlc_tests::npy::write_f32(&folder.0.path().join("d/x.npy"), &[100, 2], &x);
    mlc_tests::npy::write_f32(&folder.0.path().join("d/target.npy"), &[100], &y);
    let from_arrays = folder.run(&["train", "--quiet"]).ok().json();
    assert_eq!(from_csv["valid"], from_arrays["valid"], "the same numbers, the same training");

    folder.write("p.dl", line_program("csv(\"d/a.csv\")").as_bytes());
    folder.write("d/a.csv", b"x0,target,x1\n1,2,3\n1,2,three\n");
    folder.run(&["train"]).refused(&["E0301", "d/a.csv:3:5", "`three` is no number", "column `x1`", "p.dl:"]);
    folder.write("d/a.csv", b"x0,y,x1\n1,2,3\n");
    folder.run(&["train"]).refused(&["no column `target`", "`x0`, `y` and `x1`", "rename(new: \"old\")"]);
    folder.write("d/a.csv", b"x0,x1,x2,x3,targets\n1,2,3,4,5\n");
    folder.run(&["train"]).refused(&[
        "no column `target`",
        "`targets` and `x0` \u{2026} `x3`",
        "did you mean `targets`?",
    ]);
    let info = folder.run(&["info"]).ok().stdout;
    assert!(info.contains("data = csv(\"d/a.csv\") |> rename(y: \"target\") |> split(0.8)"), "{info}");
}

const NEXT: &str = "
model Next(V: dim = 12) {
    table = Embedding(V, 16)
    out   = Linear(V)

    fn forward(ids: i32[B, T]) -> f32[B, T, V] {
        return out(table(ids))
    }

    @export
    fn follow(prompt: i32[1, P]) -> i32[1, P] {
        return argmax(forward(prompt), axis: -1)
    }
}

train t {
    epochs = 40
    net    = Next()
    opt    = adam(lr: 0.05)
    data   = text(\"song.txt\", tokens: TOKENS, window: 8) |> shuffle(100) |> batch(4)

    step(ids: i32[B, T], gold: i32[B, T]) {
        minimize cross_entropy(net(ids), gold) over net with opt
    }
}
";

#[test]
fn the_vocabulary_travels_with_the_weights() {
    let folder = Folder::new(&NEXT.replace("TOKENS", "\"chars\""));
    folder.write("song.txt", "do re mi\n".repeat(40).as_bytes());
    let trained = folder.run(&["train", "--quiet", "--out", "w"]).ok().json();
    assert!(trained["loss"].as_f64().unwrap() < 0.8, "{trained}");
    fs::remove_file(folder.0.path().join("song.txt")).unwrap();
    let weights = ["--weights", "w/last.safetensors"];
    let said = folder.run(&[&["run", "follow", "--text", "prompt=dm"], &weights[..]].concat()).ok().stdout;
    assert_eq!(said, "oi\n");
    let strange = folder.run(&[&["run", "follow", "--text", "prompt=dx"], &weights[..]].concat());
    strange.refused(&["E0303", "`x` in the text for `prompt` is not in the vocabulary", "character 2"]);
    folder.write("song.txt", b"do re mi fa so la, all of it\n");
    let other = folder.run(&[&["eval"], &weights[..]].concat());
    other.refused(&["E0301", "`f` is not in the vocabulary", "song.txt:1:10"]);
    folder.write("song.txt", b"do do do do do do do do do\n");
    folder.run(&[&["eval", "--json"], &weights[..]].concat()).ok();
}

#[test]
fn a_resumed_training_reads_with_its_first_vocabulary() {
    let folder = Folder::new(&NEXT.replace("TOKENS", "\"chars\""));
    folder.write("song.txt", "do re mi\n".repeat(40).as_bytes());
    folder.run(&["train", "--quiet", "--out", "w", "--epochs", "1"]).ok();
    folder.write("song.txt", "re re do\n".repeat(40).as_bytes());
    folder.run(&["train", "--quiet", "--resume", "w", "--out", "w", "--epochs", "2"]).ok();
    let weights = String::from_utf8_lossy(&folder.read("w/last.safetensors")).into_owned();
    assert!(weights.contains(r#"\"m\""#), "the characters of the first text");
}

#[test]
fn words_of_a_list() {
    let folder = Folder::new(&NEXT.replace("TOKENS", "\"words.txt\""));
    folder.write("words.txt", b"do\nre\nmi\n");
    folder.write("song.txt", "do re mi\n".repeat(40).as_bytes());
    folder.run(&["train", "--quiet", "--out", "w"]).ok();
    let said = folder.run(&["run", "follow", "--text", "prompt=do re", "--weights", "w/last.safetensors"]).ok().stdout;
    assert_eq!(said, "re mi\n");
    folder.write("song.txt", b"do re fa\n");
    folder.run(&["train"]).refused(&["`f` is not in the vocabulary", "song.txt:1:7", "<unk>"]);
}

#[test]
fn pairs_come_in_buckets() {
    let folder = Folder::new(
        "
model Copy {
    table = Embedding(8, 16)
    out   = Linear(8)

    fn forward(tgt: i32[B, T]) -> f32[B, T, 8] {
        return out(table(tgt))
    }
}

train t {
    epochs = 30
    net    = Copy()
    opt    = adam(lr: 0.05)
    data   = pairs(\"p.tsv\", vocab: \"v.txt\", bucket: [4, 8]) |> shuffle(100) |> batch(4)

    step(src: i32[B, S], tgt: i32[B, T], gold: i32[B, T]) {
        loss = cross_entropy(net(tgt), gold, ignore: 0)
        minimize loss over net with opt
        metric longest = max(sum(cast(src != 0, i32), axis: -1))
    }
}
",
    );
    folder.write("v.txt", b"a\nb\nc\nd\ne\n");
    let lines: String = (0..40).map(|i| if i % 3 == 0 { "abc\tab\n" } else { "abcdea\tabcde\n" }).collect();
    folder.write("p.tsv", lines.as_bytes());
    let trained = folder.run(&["train", "--quiet"]).ok().json();
    assert!(trained["loss"].as_f64().unwrap() < 0.5, "{trained}");
    assert_eq!(trained["longest"].as_f64(), Some(6.0), "{trained}");
    assert_eq!(trained["steps"].as_i64(), Some(30 * (14 / 4 + 26 / 4)), "{trained}");
    let evaluated = folder.run(&["eval", "--json", "--weights", "runs/t/last.safetensors"]).ok().json();
    assert_eq!(evaluated["rows"].as_i64(), Some(40), "{evaluated}");
}

const PETS: &str = "
model Pets {
    fc = Linear(2)

    @export
    fn forward(image: f32[B, 8, 8, 3]) -> f32[B, 2] {
        return fc(flatten(image / 255))
    }
}

train pets {
    epochs = 12
    net    = Pets()
    opt    = adam(lr: 0.02)
    data   = images(\"pets\", size: 8) |> shuffle(100) |> augment(flip: true, crop: 0.1) |> batch(4)

    step(image: f32[B, 8, 8, 3], label: i32[B]) {
        logits = net(image)
        minimize cross_entropy(logits, label) over net with opt
        metric accuracy = accuracy(logits, label)
    }

    every 12 epochs {
        evaluate(data)
        save_images(\"runs/pets\", uniform([5, 3, 4, 3], seed: 1), range: (0, 1))
        report(half: accuracy / 2)
        if accuracy > 2 { stop() } else { print(\"still here\") }
        print(reshape(params_of_interest(), [2, 2]))
    }

    fn params_of_interest() -> f32[4] {
        return full([4], 0.5)
    }
}
";

#[test]
fn pictures_in_folders() {
    let folder = Folder::new(PETS);
    for i in 0..12u8 {
        let picture = |level: u8, height: usize| {
            let data = (0..height * 10 * 3).map(|x| level.wrapping_add((x * 7 % 40) as u8)).collect();
            write::png(&Picture { height, width: 10, channels: 3, data })
        };
        folder.write(&format!("pets/cat/{i}.png"), &picture(10 + i, 9));
        folder.write(&format!("pets/dog/{i}.PNG"), &picture(180 + i, 14));
    }
    folder.write("pets/dog/.hidden", b"");
    folder.write("pets/README", b"");
    process::run(mlc(), folder.0.path(), &["build", "p.dl", "-o", "p"]).ok();
    let program = folder.0.path().join("p");
    let done = process::run_bare(&program, folder.0.path(), &["train", "--log", "l.jsonl"]).ok();
    assert!(done.stderr.contains("still here") && done.stderr.contains("f32[2, 2] =\n[[0.5, 0.5],"), "{}", done.stderr);
    let trained = done.json();
    assert!(trained["data"]["accuracy"].as_f64().unwrap() > 0.9, "{trained}");
    assert_eq!(trained["half"].as_f64().unwrap() * 2.0, trained["data"]["accuracy"].as_f64().unwrap());
    let log = String::from_utf8(folder.read("l.jsonl")).unwrap();
    assert!(log.lines().last().unwrap().contains("\"half\""), "{log}");
    let grid = decode(&folder.read("runs/pets/step-72.png")).unwrap();
    assert_eq!((grid.height, grid.width, grid.channels), (2 * 3, 3 * 4, 3));
    let in_memory = folder.run(&["train", "--quiet"]).ok().json();
    assert_eq!(in_memory["data"], trained["data"], "the same bits");

    let without = PETS.replace("images(\"pets\", size: 8)", "arrays(\"pets\")");
    folder.write("q.dl", without.as_bytes());
    process::run(mlc(), folder.0.path(), &["build", "q.dl", "-o", "q"]).ok();
    let size = |name: &str| fs::metadata(folder.0.path().join(name)).unwrap().len();
    assert!(size("q") + 10_000 < size("p"), "decoders are left out: {} and {} bytes", size("q"), size("p"));

    folder.write("pets/dog/z.png", b"no picture");
    folder.run(&["train"]).refused(&["E0301", "pets/dog/z.png", "neither PNG nor JPEG", "p.dl:"]);
    fs::remove_file(folder.0.path().join("pets/dog/z.png")).unwrap();
    folder.write("pets/dog/notes.txt", b"");
    folder.run(&["train"]).refused(&["notes.txt` is neither PNG nor JPEG", "hidden files"]);
}

#[test]
fn print_in_tests() {
    let folder = Folder::new("test \"look\" {\n    x = ones([2, 2])\n    print(sum(x))\n    print(\"so\")\n}\n");
    let said = process::run(mlc(), folder.0.path(), &["test", "p.dl"]).ok().stdout;
    assert_eq!(said, "sum(x): i32 = 4\nso\ntest \"look\" ... ok\n1 test\n");
}
