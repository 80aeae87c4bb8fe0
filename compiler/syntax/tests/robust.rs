//! No input makes the parser panic, overflow its stack or take long.

mod common;

use common::{parse, programs};

/// As deep as the language allows.
const DEEP: usize = 200;

fn in_function(line: &str) -> String {
    format!("fn f() {{\n    x = {line}\n}}\n")
}

fn around(open: &str, inside: &str, close: &str, times: usize) -> String {
    format!("{}{inside}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn deep_expressions_parse() {
    for expression in [
        around("(", "1", ")", DEEP),
        around("[", "1", "]", DEEP),
        around("a[", "0", "]", DEEP),
        around("f(", "0", ")", DEEP),
        around("f(a: ", "0", ")", DEEP),
        around("f(-", "0", ")", DEEP),
        around("[a for b in ", "c", "]", DEEP),
        format!("{}0", "if a < b then 1 else ".repeat(DEEP)),
        format!("{}0", "- ".repeat(DEEP)),
        format!("{}0", "not ".repeat(DEEP)),
        format!("{}0", "2 ** ".repeat(DEEP)),
        format!("{}0", "2 + ".repeat(DEEP)),
        format!("x{}", ".a".repeat(DEEP)),
        format!("x{}", "()".repeat(DEEP)),
        format!("x{}", " |> f".repeat(DEEP)),
    ] {
        assert_eq!(parse(&in_function(&expression)).messages(), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn deep_blocks_parse() {
    let nested = format!("fn f() {{ {} }}", around("if a < b { ", "x = 1", " }", DEEP - 1));
    assert_eq!(parse(&nested).messages(), Vec::<String>::new());
    let chain = format!("fn f() {{ if a {{ }} {} }}", "else if b == c { } ".repeat(DEEP));
    assert_eq!(parse(&chain).messages(), Vec::<String>::new());
}

#[test]
fn one_more_is_too_deep() {
    for expression in [around("(", "1", ")", DEEP + 1), around("f([", "1", "])", DEEP / 2 + 1)] {
        let messages = parse(&in_function(&expression)).messages();
        assert!(matches!(&messages[..], [only] if only.contains("E0003")), "{messages:?}");
    }
}

#[test]
fn endless_nesting_is_an_error() {
    const MANY: usize = 100_000;
    for text in [
        around("(", "1", ")", MANY),
        "[".repeat(MANY),
        "{".repeat(MANY),
        "f(".repeat(MANY),
        "if a { ".repeat(MANY),
        format!("fn f() {{ if a {{ }} {} }}", "else if b { } ".repeat(MANY / 2)),
        in_function(&"- ".repeat(MANY)),
        in_function(&"not ".repeat(MANY)),
        in_function(&"1 + ".repeat(MANY)),
        in_function(&"2 ** ".repeat(MANY)),
        in_function(&format!("x{}", "()".repeat(MANY))),
        in_function(&format!("x{}", ".a".repeat(MANY))),
        in_function(&"if a then b else ".repeat(MANY / 2)),
    ] {
        let parsed = parse(&text);
        let codes: Vec<&str> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.code.name()).collect();
        assert!(codes.contains(&"E0003"), "{}…: {:?}", &text[..40], parsed.messages());
    }
}

#[test]
fn what_is_wide_is_not_deep() {
    let list = in_function(&format!("[{}]", "-1, ".repeat(10_000)));
    assert_eq!(parse(&list).messages(), Vec::<String>::new());
    let lines = format!("fn f() {{\n{}}}\n", "    x = (x + 1) * 2\n".repeat(5_000));
    assert_eq!(parse(&lines).messages(), Vec::<String>::new());
}

#[test]
fn garbage_is_reported_in_moderation() {
    for unit in [
        ")", "}", "\"", "'", "@", "//", "/*", "\"\"\"", ";", "\n)", "\n\"", "a//b;", "#", ",", "=", "\\", "é", "…",
        "x y\n", "\nfn", "\nfn f(",
    ] {
        let parsed = parse(&unit.repeat(100_000 / unit.len()));
        assert!(parsed.diagnostics.len() <= 50, "{unit:?}");
    }
}

#[test]
fn an_enormous_file_is_refused_at_once() {
    let parsed = parse(&"x = 1\n".repeat(9_000_000));
    assert_eq!(parsed.messages().len(), 1);
    assert!(parsed.messages()[0].contains("E0010"), "{:?}", parsed.messages());
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}

const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "#",
    "\n",
    ";",
    ",",
    ":",
    "=",
    "==",
    "->",
    "|>",
    "..",
    "...",
    "*",
    "**",
    "@",
    "-",
    "not ",
    "if ",
    " then ",
    " else ",
    "for ",
    " in ",
    "scan ",
    " along ",
    "fn ",
    "layer ",
    "train ",
    "test \"",
    "minimize ",
    " over ",
    " with ",
    "return ",
    "requires ",
    "1.",
    ".5",
    "2x",
    "1e",
    "_",
    "*_",
    "é",
    "…",
    "\u{feff}",
    "\t",
    "\r",
    "//",
    "/*",
    "\"\"\"",
    "True",
    "self.",
    "lambda x: x",
    "@export\n",
    "+=",
    "<",
    "0..",
    "new",
    "\0",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..1 + random.below(4) {
        let mut at = random.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        match random.below(4) {
            0 => {
                let tail = text.split_off(at);
                let skipped = tail.chars().take(1 + random.below(12)).map(char::len_utf8).sum::<usize>();
                text.push_str(&tail[skipped..]);
            }
            1 => text.truncate(at),
            2 => {
                let copy: String = text[at..].chars().take(random.below(60)).collect();
                text.insert_str(at, &copy);
            }
            _ => text.insert_str(at, PIECES[random.below(PIECES.len())]),
        }
    }
    text
}

#[test]
fn mutated_programs_do_not_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for (path, text) in programs() {
        for round in 0..150 {
            let mutated = mutate(&text, &mut random);
            let parsed = parse(&mutated);
            for label in parsed.diagnostics.iter().filter_map(|diagnostic| diagnostic.primary.as_ref()) {
                let inside = mutated.get(label.span.lo as usize..label.span.hi as usize);
                assert!(inside.is_some(), "{} round {round}: {:?}", path.display(), label.span);
            }
            parsed.picture();
        }
    }
}

#[test]
fn random_pieces_do_not_panic() {
    let mut random = Random(7);
    for _ in 0..2_000 {
        let text: String = (0..random.below(40)).map(|_| PIECES[random.below(PIECES.len())]).collect();
        parse(&text);
        parse(&format!("fn f() {{ {text}"));
        parse(&format!("layer A {{ {text}"));
    }
}
