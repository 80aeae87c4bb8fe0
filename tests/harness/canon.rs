//! Well-known models, whole: their tests hold in compiled code, their steps lower the loss, and what
//! generates gives what the definition says.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc::model::{Array, Error, Instance, Model};
use mlc_tests::level::{self, Way};
use mlc_tests::{process, repository};
use std::path::{Path, PathBuf};

fn source(name: &str) -> PathBuf {
    repository(&format!("compiler/resolve/tests/data/canon/{name}.dl"))
}

fn with<T>(name: &str, job: impl FnOnce(&mut Instance<'_>) -> T) -> T {
    with_model(level::open(source(name)), job)
}

fn with_model<T>(model: Result<Model, Error>, job: impl FnOnce(&mut Instance<'_>) -> T) -> T {
    let model = model.unwrap_or_else(|error| panic!("{error}"));
    let mut instance = model.instance(1).unwrap();
    instance.init(5).unwrap();
    job(&mut instance)
}

/// Numbers between 0 and 1 that look like noise.
fn noise(shape: &[usize]) -> Array {
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|at| ((at * 7919 + 13) % 101) as f32 / 101.0).collect();
    Array::f32(shape, &numbers).unwrap()
}

/// Integers from `low` to before `high`.
fn ids(shape: &[usize], low: i32, high: i32) -> Array {
    let count = i32::try_from(shape.iter().product::<usize>()).unwrap();
    let numbers: Vec<i32> = (0..count).map(|at| low + (at * 31 + at / 3) % (high - low)).collect();
    Array::i32(shape, &numbers).unwrap()
}

fn one(value: i32) -> Array {
    Array::i32(&[], &[value]).unwrap()
}

/// The `test` blocks of every file hold, and nothing is said about any of them.
#[test]
fn tests_hold_in_compiled_code() {
    for file in std::fs::read_dir(source("gpt").parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        let args = ["test", path.to_str().unwrap()];
        let outcome = process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), Path::new("."), &args);
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{}", path.display());
    }
}

/// The mean loss of the last ten of `steps` steps on one batch is below `share` of that of the first ten, and
/// code that is made in another way has the same losses.
#[track_caller]
fn learns(name: &str, train: &str, columns: &[(&str, Array)], steps: usize, share: f64) {
    let columns: Vec<(&str, &Array)> = columns.iter().map(|(name, array)| (*name, array)).collect();
    let losses: Vec<f64> = with(name, |net| (0..steps).map(|_| net.step(train, &columns).unwrap()[0].1).collect());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..10]), mean(&losses[steps - 10..]));
    assert!(last < share * first, "{name}: from {first} to {last}");
    if let Some(twin) = Way::chosen().twin() {
        let model = Model::compile(&source(name), twin.options());
        let again: Vec<f64> =
            with_model(model, |net| (0..10).map(|_| net.step(train, &columns).unwrap()[0].1).collect());
        assert_eq!(again, losses[..10], "{name} with {twin:?}");
    }
}

#[test]
fn pictures() {
    let label = || ids(&[4], 0, 3);
    let image = |side: usize| {
        let pixels: Vec<f32> = noise(&[4, side, side, 3]).to_f32().iter().map(|x| 255.0 * x).collect();
        Array::f32(&[4, side, side, 3], &pixels).unwrap()
    };
    learns("resnet", "imagenet", &[("image", noise(&[4, 20, 24, 3])), ("label", label())], 60, 0.8);
    learns("vit", "imagenet", &[("image", image(8)), ("label", label())], 60, 0.8);
    learns("unet", "segment", &[("image", noise(&[2, 16, 32, 3])), ("mask", ids(&[2, 16, 32], 0, 2))], 60, 0.999);
    learns("clip", "clip", &[("image", image(8)), ("ids", ids(&[4, 5], 0, 9))], 60, 0.9);
    learns("vae", "vae", &[("image", noise(&[2, 28, 28, 1]))], 60, 0.9);
    learns("ddpm", "ddpm", &[("image", image(32))], 60, 0.9);
}

#[test]
fn texts() {
    learns("bilstm", "pos", &[("ids", ids(&[3, 6], 0, 12)), ("tag", ids(&[3, 6], 0, 4))], 60, 0.8);
    learns(
        "transformer",
        "translate",
        &[("src", ids(&[2, 5], 0, 12)), ("tgt", ids(&[2, 4], 0, 11)), ("gold", ids(&[2, 4], 1, 11))],
        60,
        0.9,
    );
    learns("bert", "mlm", &[("ids", ids(&[4, 8], 1, 19))], 100, 0.95);
    learns("llama", "lm", &[("ids", ids(&[2, 6], 0, 11)), ("gold", ids(&[2, 6], 0, 11))], 60, 0.8);
    learns("wavenet", "wave", &[("ids", ids(&[2, 20], 0, 5)), ("gold", ids(&[2, 20], 0, 5))], 60, 0.9);
    learns(
        "seq2seq",
        "en_fr",
        &[("src", ids(&[2, 5], 0, 12)), ("tgt", ids(&[2, 4], 0, 11)), ("gold", ids(&[2, 4], 1, 11))],
        200,
        0.95,
    );
}

#[test]
fn rewards() {
    let done = Array::bool(&[4], &[false, true, false, false]).unwrap();
    let columns = [
        ("state", noise(&[4, 4])),
        ("action", ids(&[4], 0, 2)),
        ("reward", noise(&[4])),
        ("next", noise(&[4, 4])),
        ("done", done),
    ];
    learns("dqn", "dqn", &columns, 60, 0.5);
}

/// The generator learns in every fifth step alone, the critic in each.
#[test]
fn the_critic_learns_more_often() {
    with("wgan", |net| {
        let image = noise(&[2, 28, 28, 1]);
        let draw = |net: &mut Instance<'_>| net.call("forward", &[("z", &noise(&[1, 100]))]).unwrap()[0].1.to_f32();
        let mut changes = Vec::new();
        for _ in 0..11 {
            let before = draw(net);
            let report = net.step("wgan", &[("image", &image)]).unwrap();
            assert!(report.iter().all(|(_, value)| value.is_finite()), "{report:?}");
            changes.push(before != draw(net));
        }
        let fifth: Vec<bool> = (0..11).map(|step| step % 5 == 0).collect();
        assert_eq!(changes, fifth);
    });
}

/// A prompt through the cache, then a token at a time, is the whole text at once.
#[test]
fn a_cache_gives_what_the_whole_text_gives() {
    with("llama", |net| {
        let text = [3, 1, 4, 1, 5, 9];
        let whole = net.call("forward", &[("ids", &Array::i32(&[1, 6], &text).unwrap())]).unwrap()[0].1.to_f32();
        let mut parts = Vec::new();
        for (at, end) in [(0, 3), (3, 4), (4, 6)] {
            let ids = Array::i32(&[1, end - at], &text[at..end]).unwrap();
            let at = one(i32::try_from(at).unwrap());
            parts.extend(net.call("decode", &[("ids", &ids), ("at", &at)]).unwrap()[0].1.to_f32());
        }
        let far = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(whole.len(), parts.len());
        assert!(far < 1e-5, "{far}");
    });
}

/// With as many beams as words, two words are searched through; with one beam more words would be missed.
#[test]
fn beams_find_the_likeliest_words() {
    with("beam", |net| {
        for src in [[3, 1, 4], [7, 2, 9], [11, 5, 1]] {
            let src = Array::i32(&[1, 3], &src).unwrap();
            let found = net.call("beam", &[("src", &src), ("limit", &one(2))]).unwrap()[0].1.to_i32();
            let mut score = |words: &[i32]| {
                let words = Array::i32(&[1, words.len()], words).unwrap();
                net.call("log_probability", &[("src", &src), ("words", &words)]).unwrap()[0].1.to_f32()[0]
            };
            let all = (0..11).flat_map(|first| (0..11).map(move |second| vec![first, second]));
            let best = all.map(|words| score(&words)).fold(f32::MIN, f32::max);
            assert!((score(&found) - best).abs() < 1e-5, "{found:?}");
        }
    });
}
