//! Wrong programs by the megabyte: each ends with a message, and with few of them. Never a panic, an
//! abort or a stack that is too small.

#![expect(clippy::unwrap_used, reason = "test code: whatever is wrong panics")]

use mlc_tests::process::{self, Outcome};
use std::fs;
use std::path::Path;

/// What a program may be told at most, in bytes, whatever is wrong with it.
const MOST_SAID: usize = 200_000;
const MEGABYTE: usize = 1 << 20;

fn check(files: &[(&str, &[u8])]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    process::run(Path::new(env!("CARGO_BIN_EXE_mlc-under-test")), folder.path(), &["check", files[0].0])
}

/// Refused with these words, and not at length.
#[track_caller]
fn refused(source: &[u8], words: &[&str]) {
    let outcome = check(&[("large.dl", source)]).refused(words);
    assert!(outcome.stderr.len() <= MOST_SAID, "{} bytes of messages", outcome.stderr.len());
}

/// So often that it is about so long.
fn repeated(part: &str, bytes: usize) -> String {
    part.repeat(bytes / part.len())
}

/// In a function, whose lines are read as statements.
fn in_function(body: &str) -> String {
    format!(
        "model M {{\n    @export\n    fn forward(x: f32[B, 4]) -> f32[B, 4] {{\n{body}\n        return x\n    }}\n}}\n"
    )
}

#[test]
fn brackets_a_hundred_thousand_deep() {
    const DEEP: usize = 100_000;
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{", "}"), ("f(", ")"), ("x[", "]"), ("if a {", "}"), ("(a, [", "])")]
    {
        let alone = open.repeat(DEEP);
        let closed = format!("{alone}1{}", close.repeat(DEEP));
        for text in [alone, closed, close.repeat(DEEP)] {
            refused(format!("const a = {text}\n").as_bytes(), &["error[E00"]);
            refused(in_function(&format!("        y = {text}")).as_bytes(), &["error[E00"]);
        }
    }
    refused(format!("fn f(x: {}) {{ }}", "(".repeat(DEEP)).as_bytes(), &["error[E00"]);
    refused(in_function(&repeated("if x > 1 {\n", MEGABYTE / 2)).as_bytes(), &["error[E00"]);
}

#[test]
fn chains_of_operators() {
    for part in ["-", "not ", "1 + ", "2 ** ", "x |> relu |> ", "x < ", "if true then 1 else ", "x.y.", "1 .. ", "a = "]
    {
        let text = format!("{}1", repeated(part, MEGABYTE / 4));
        refused(format!("const a = {text}\n").as_bytes(), &["error[E0"]);
        refused(in_function(&format!("        y = {text}")).as_bytes(), &["error[E0"]);
    }
}

#[test]
fn a_megabyte_of_each_kind_of_token() {
    let parts = [
        "a", "A", "7", "1.5", "\"", "'", "+", ",", ":", "=", "->", "|>", ".", "...", "@", "\\", "\0", "\u{202e}", "🦀",
        "é", "\t!", "0x", "1e9", "_",
    ];
    for part in parts {
        refused(repeated(part, MEGABYTE - 64).as_bytes(), &["error[E0"]);
        refused(format!("const a = {}\n", repeated(part, MEGABYTE / 2)).as_bytes(), &["error[E0"]);
    }
    // Nothing is wrong with these.
    for part in ["\n", " ", "#", ";", "# a comment\n", "\t", "\r\n"] {
        check(&[("empty.dl", repeated(part, MEGABYTE - 64).as_bytes())]).ok();
    }
}

#[test]
fn lines_that_begin_like_something() {
    let lines = [
        "layer",
        "layer L",
        "layer L {",
        "model M {",
        "model M(",
        "fn",
        "fn f(",
        "fn f() {",
        "fn f(x: f32[N]) -> f32[N] {",
        "train t {",
        "train t { step(",
        "step(x: f32[B]) {",
        "minimize",
        "minimize a over b",
        "for x in",
        "for x in y {",
        "if",
        "if a {",
        "else {",
        "while",
        "y = scan for x in xs along",
        "import",
        "import \"x.dl\"",
        "import a.b as c",
        "const",
        "const a",
        "const a =",
        "grad f(",
        "grad f() {",
        "extern fn",
        "extern fn f(x: f32[N]) -> f32[N] = \"f\"",
        "optimizer",
        "optimizer o(",
        "test",
        "test \"a\" {",
        "param w",
        "param w: f32[4] =",
        "state s",
        "return",
        "yield",
        "metric m =",
        "every 1 steps {",
        "@export",
        "@",
        "assert",
        "x =",
        "x, y = ",
        "x[1] += ",
        "x: f32[",
        "def f(x):",
        "class Net(nn.Module):",
        "import torch",
        "let x = 1;",
        "return x",
        "}",
        ")",
        "x = (",
        "y = q + 1",
    ];
    for line in lines {
        let text = repeated(&format!("{line}\n"), MEGABYTE / 16);
        refused(text.as_bytes(), &["error[E0"]);
        // In a function some of them are right.
        let outcome = check(&[("large.dl", in_function(&text).as_bytes())]);
        assert!(matches!(outcome.status, 0 | 1), "{line}: {}", outcome.status);
        assert!(outcome.stderr.len() <= MOST_SAID, "{line}: {} bytes of messages", outcome.stderr.len());
    }
}

/// As many messages as anybody reads, and how many there would be.
#[test]
fn wrong_lines_are_counted() {
    let unreadable =
        check(&[("lines.dl", in_function(&"        y = = 1\n".repeat(5000)).as_bytes())]).refused(&["E0001"]);
    assert_eq!(unreadable.stderr.matches("error[").count(), 50);
    assert!(unreadable.stderr.contains("4950 more places that cannot be read are not shown"));

    let wrong = check(&[("lines.dl", in_function(&"        y = q + 1\n".repeat(3000)).as_bytes())]).refused(&["E0101"]);
    assert_eq!(wrong.stderr.matches("error[").count(), 100);
    assert!(wrong.stderr.contains("2900 more mistakes are not shown"), "{}", &wrong.stderr[wrong.stderr.len() - 500..]);
}

/// Ten thousands of mistakes, each of which could be held against all the other lines: a name against all
/// names, an assignment against those before it, a member against the others of its layer.
#[test]
fn mistakes_by_the_ten_thousand() {
    const COUNT: usize = 20_000;
    let lines = |line: &dyn Fn(usize) -> String| (0..COUNT).map(line).collect::<String>();
    let layer = |members: String| format!("layer L {{\n{members}}}\n");
    let calls = lines(&|at| format!("x = f{at}(x)\n")) + "y = q\n";
    let sources = [
        lines(&|at| format!("fn f{at}(x: f32[N]) -> f32[N] {{ return x + q{at} }}\n")),
        lines(&|at| format!("fn f{at}(x: f32[N]) -> f32[N] {{ return x }}\n"))
            + &in_function(&calls).replace("B, 4", "4"),
        lines(&|_| "const a = 1\n".to_string()),
        lines(&|at| format!("grad f{at}(x: f32[N]) {{ return x }}\n")),
        lines(&|at| format!("train t{at} {{ step(x: f32[B]) {{ minimize q{at} over n with o }} }}\n")),
        in_function(&lines(&|at| format!("y{at} = q{at} + 1\n"))),
        in_function(&lines(&|at| format!("y{at} = relu(x, k{at}: 1)\n"))),
        in_function(&lines(&|at| format!("if x[0, 0] > 1 {{ y{at} = 1 }}\nz = y{at}\n"))),
        in_function(&format!("for i in 0..4 {{\n{}}}\n", lines(&|at| format!("y{at} = q{at}\n")))),
        layer(lines(&|at| format!("l{at} = q{at}\n"))),
        layer(lines(&|_| "l = Linear(4)\n".to_string())),
        layer(lines(&|at| format!("fn f{at}(x: f32[N]) -> f32[N] {{ return x + q{at} }}\n"))),
        format!(
            "{}{}",
            layer(lines(&|at| format!("l{at} = Linear({at})\n"))),
            in_function("y = q").replace("M {", "M {\n    l = L()")
        ),
    ];
    for source in &sources {
        refused(source.as_bytes(), &["error[E"]);
    }
    let outcome = check(&[("names.dl", sources[5].as_bytes())]).refused(&["E0101"]);
    assert!(outcome.stderr.contains("19900 more mistakes are not shown"));
}

#[test]
fn files_that_are_too_large_or_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.dl");
    fs::File::create(&path).unwrap().set_len(50 << 20).unwrap();
    let mlc = Path::new(env!("CARGO_BIN_EXE_mlc-under-test"));
    process::run(mlc, folder.path(), &["check", "large.dl"]).refused(&["E0010", "large.dl"]);
    fs::write(folder.path().join("main.dl"), "import \"large.dl\"\n").unwrap();
    process::run(mlc, folder.path(), &["check", "main.dl"]).refused(&["E0010", "large.dl"]);

    refused(&vec![0xff; MEGABYTE / 2], &["E0005"]);
    refused(&[&repeated("# fine\n", MEGABYTE / 2).into_bytes()[..], &[0xc3]].concat(), &["E0005"]);
    refused(&(0..=255).cycle().take(MEGABYTE / 2).collect::<Vec<u8>>(), &["E0005"]);
}

#[test]
fn what_contains_itself() {
    let layers: String =
        (0..2000).map(|at| format!("layer L{at} {{\n    next = L{}()\n}}\n", (at + 1) % 2000)).collect();
    refused(layers.as_bytes(), &["E0111"]);
    refused(
        format!("{layers}{}", in_function("")).replace("model M {", "model M {\n    l = L0()").as_bytes(),
        &["error[E0"],
    );
    let functions: String =
        (0..2000).map(|at| format!("fn f{at}(x: f32[N]) -> f32[N] {{ return f{}(x) }}\n", (at + 1) % 2000)).collect();
    refused(functions.as_bytes(), &["E0111"]);
    refused(format!("{functions}{}", in_function("        x = f0(x)")).as_bytes(), &["error[E0"]);
    let constants: String = (0..5000).map(|at| format!("const C{at} = C{} + 1\n", (at + 1) % 5000)).collect();
    refused(constants.as_bytes(), &["error[E0"]);

    let imports = |name: &str| format!("import \"{name}.dl\"\n").into_bytes();
    check(&[("a.dl", &imports("a"))]).refused(&["E0011"]);
    check(&[("a.dl", &imports("b")), ("b.dl", &imports("c")), ("c.dl", &imports("a"))]).refused(&["E0011"]);
    let many: String = (0..20_000).map(|at| format!("import \"missing{at}.dl\"\n")).collect();
    refused(many.as_bytes(), &["E0004"]);
}

/// What doubles with each line ends all the same.
#[test]
fn what_grows_without_end() {
    let doubled: String = (1..60)
        .map(|at| format!("fn f{at}(x: f32[*S]) -> f32[*S] {{ return f{0}(x) + f{0}(x + 1) }}\n", at - 1))
        .collect();
    let source = format!("fn f0(x: f32[*S]) -> f32[*S] {{ return x }}\n{doubled}{}", in_function("        x = f59(x)"));
    refused(source.as_bytes(), &["E0003"]);
    let lists: String = (1..60).map(|at| format!("const l{at} = [l{0}, l{0}, 1]\n", at - 1)).collect();
    let outcome =
        check(&[("lists.dl", format!("const l0 = [1]\n{lists}{}", in_function("        x = x + l59")).as_bytes())]);
    assert!(outcome.status == 1 && outcome.stderr.len() <= MOST_SAID, "{}", outcome.stderr.len());
    let pairs: String = (1..30).map(|at| format!("const l{at} = [l{0}, l{0}]\n", at - 1)).collect();
    let nested: String = (1..3000).map(|at| format!("const l{at} = [l{}]\n", at - 1)).collect();
    for (lists, last) in [(pairs, 29), (nested, 2999)] {
        let source = format!("const l0 = [1]\n{lists}{}", in_function(&format!("        y: f32[2] = l{last}")));
        refused(source.as_bytes(), &["error[E0"]);
    }
}

#[test]
fn sizes_beyond_every_machine() {
    let huge = [
        "4611686018427387904",
        "9223372036854775807",
        "99999999999999999999",
        "2 ** 62",
        "2 ** 64",
        "2 ** 31 * 2 ** 31",
        "4611686018427387904 * 4",
        "10 ** 18 * 10 ** 18",
    ];
    for size in huge {
        let makes = [
            format!("        x = x + sum(zeros([{size}]))"),
            format!("        y = ones([{size}, {size}])\n        x = x + y[0, 0]"),
            format!("        x = x + sum(cast(iota({size}), f32))"),
            format!("        for i in 0..{size} {{ x = x + cast(i, f32) }}"),
            format!("        x = reshape(x, [{size}, 4])"),
            format!("        x = x[:, {size}:]"),
            format!("        x = x[:, {size}]"),
            format!("        x = concat([l for i in 0..{size}], axis: 0)"),
        ];
        for body in makes {
            let outcome = check(&[("sizes.dl", in_function(&body).as_bytes())]);
            assert!(matches!(outcome.status, 0 | 1), "{body}: {}\n{}", outcome.status, outcome.stderr);
            assert!(outcome.stderr.len() <= MOST_SAID);
        }
        let layers = format!(
            "model M {{\n    fc = Linear({size})\n    many = [Linear(4); {size}]\n    conv = Conv2d({size}, kernel: {size})\n    param w: f32[{size}, {size}] = zeros()\n    @export\n    fn forward(x: f32[B, {size}]) -> f32[B, {size}] {{ return fc(x) @ w }}\n}}\n"
        );
        refused(layers.as_bytes(), &["error[E0"]);
    }
    let products: String = (0..40).map(|at| format!("const N{} = N{at} * N{at}\n", at + 1)).collect();
    refused(
        format!("const N0 = 3\n{products}{}", in_function("        x = x + sum(zeros([N39]))")).as_bytes(),
        &["error[E0"],
    );
}
