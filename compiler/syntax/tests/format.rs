//! The formatter: what comes out means what went in, has all its comments, and stays as it is.

mod common;

use common::{parse, programs};
use mlc_syntax::span::Sources;

fn formatted(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("t.dl", text);
    mlc_syntax::format(file, &sources).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
}

fn comments(text: &str) -> Vec<String> {
    let code_of = |line: &str| {
        let mut quoted = false;
        line.find(|c: char| {
            quoted ^= c == '"';
            c == '#' && !quoted
        })
    };
    text.lines().filter_map(|line| code_of(line).map(|at| line[at..].trim_end().to_owned())).collect()
}

/// What must hold for every text without syntax errors.
#[track_caller]
fn check(text: &str) -> String {
    let once = formatted(text);
    let (before, after) = (parse(text), parse(&once));
    assert_eq!(after.messages(), Vec::<String>::new(), "{once}");
    let structure = |module| mlc_syntax::print::structure(module);
    assert_eq!(structure(&before.module), structure(&after.module), "{text}\n----\n{once}");
    assert_eq!(comments(text), comments(&once), "{text}\n----\n{once}");
    let twice = formatted(&once);
    assert_eq!(once, twice, "not stable:\n{text}\n----");
    assert!(once.lines().all(|line| line == line.trim_end()), "{once}");
    assert!(!once.contains("\n\n\n") && !once.contains('\r'), "{once}");
    assert!(once.is_empty() || (once.ends_with('\n') && !once.starts_with('\n') && !once.ends_with("\n\n")), "{once}");
    once
}

#[track_caller]
fn becomes(text: &str, wanted: &str) {
    let found = check(text);
    assert_eq!(found, wanted, "\n---- found\n{found}\n---- wanted\n{wanted}");
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

/// A statement in a function.
#[track_caller]
fn line_becomes(line: &str, wanted: &str) {
    becomes(&format!("fn f() {{\n{line}\n}}\n"), &format!("fn f() {{\n    {wanted}\n}}\n"));
}

#[test]
fn programs_keep_their_meaning() {
    for (_, text) in programs() {
        check(&text);
        check(&text.replace('\n', "\r\n"));
        check(&text.replace("    ", "\t"));
        check(&format!("\u{feff}\n\n{text}\n\n"));
    }
}

#[test]
fn nothing_is_nothing() {
    becomes("", "");
    becomes("\n\n  \n", "");
    becomes("\n# only\n\n\n\n# comments  ", "# only\n\n# comments\n");
}

#[test]
fn blanks() {
    line_becomes("x=a+b*-c**2", "x = a + b * -c ** 2");
    line_becomes("x  =  f( a ,b , k : 3 , )", "x = f(a, b, k: 3,)");
    line_becomes("x = y [ : , new , a : b+1 , ... ]", "x = y[:, new, a:b+1, ...]");
    line_becomes("x = y[n+1, a - -b : c]", "x = y[n + 1, a - -b:c]");
    line_becomes("x = [ Block ( D ) ;n ]", "x = [Block(D); n]");
    line_becomes("x = ( 1 , 2 ) |>f", "x = (1, 2) |> f");
    line_becomes(
        "x = reshape(y, [*S,7 * 7*256, K*V, 2 * (a+b), 4 * H])",
        "x = reshape(y, [*S, 7*7*256, K * V, 2 * (a + b), 4*H])",
    );
    line_becomes("x = a@b", "x = a @ b");
    line_becomes("for i in 0 .. n { x += 1 }", "for i in 0..n { x += 1 }");
    line_becomes("x = params(net, rank: 2 ..)", "x = params(net, rank: 2..)");
    line_becomes("x : f32 [ B , i : T , *S ]=y", "x: f32[B, i:T, *S] = y");
    line_becomes("if not(a)and-b<c{return}else{ }", "if not (a) and -b < c { return } else {}");
    line_becomes("x = if a then[1] else(2)", "x = if a then [1] else (2)");
    line_becomes("assert(a)==b,\"text\"", "assert (a) == b, \"text\"");
    line_becomes("x = a . b . c", "x = a.b.c");
    line_becomes("a;b ; ; c;", "a; b; c");
    becomes("import   a . b", "import a.b\n");
    becomes("const  D=1.5e-3", "const D = 1.5e-3\n");
    becomes(
        "fn f(x:f32[B],k:(int,…)=3)->(A:i32[B],f32){return x}",
        "fn f(x: f32[B], k: (int, …) = 3) -> (A: i32[B], f32) { return x }\n",
    );
}

#[test]
fn blocks_are_in_one_line_or_in_many() {
    stays("layer A {}\n");
    becomes("layer A {\n\n}", "layer A {}\n");
    stays("fn f() { x = 1; y = 2 }\n");
    becomes("fn f() { x = 1\ny = 2 }", "fn f() {\n    x = 1\n    y = 2\n}\n");
    becomes("fn f() { if a { b\n} \n else { c } }", "fn f() {\n    if a {\n        b\n    } else { c }\n}\n");
    becomes("fn f() {\n\n  x = 1;\n\n\n  y = 2\n\n}", "fn f() {\n    x = 1\n\n    y = 2\n}\n");
}

#[test]
fn lines_that_go_on() {
    stays("fn f() {\n    x = flatten(x) |> fc1\n                   |> fc2\n                   |> fc3\n}\n");
    stays("fn f() {\n    x = y\n        |> fc1\n        |> fc2\n}\n");
    becomes("fn f() {\nx = a +\nb\n}", "fn f() {\n    x = a +\n        b\n}\n");
    stays("fn f() {\n    x = f(\n        a,\n        [\n            b,\n        ],\n    )\n}\n");
    stays("fn f() {\n    x = f([\n        a,\n    ])\n}\n");
    becomes("fn f() {\nx = f(a,\nb)\n}", "fn f() {\n    x = f(a,\n          b)\n}\n");
    becomes(
        "layer A(a: int,\nb: int)\nrequires a == 1,\nb == 2 {\n}",
        "layer A(a: int,\n        b: int)\n    requires a == 1,\n    b == 2 {}\n",
    );
    becomes("model M { @export\n\nfn f() { }\n}", "model M {\n    @export\n    fn f() {}\n}\n");
    becomes("model M {\n@export fn f() {}\n}", "model M {\n    @export\n    fn f() {}\n}\n");
}

#[test]
fn comments_stay_where_they_are() {
    becomes(
        "model M{# one\n# two\n\n\n# three\nx=1 # four\nyy=2# five\n  # six\n}# seven\n",
        "model M {  # one\n    # two\n\n    # three\n    x = 1   # four\n    yy = 2  # five\n    # six\n}  # seven\n",
    );
    becomes(
        "fn f() {\nx = g(# a\nb # c\n# d\n) # e\n}",
        "fn f() {\n    x = g(  # a\n        b   # c\n        # d\n    )  # e\n}\n",
    );
    becomes("fn f() { x = 1; # a\n}", "fn f() {\n    x = 1  # a\n}\n");
    becomes(
        "@export\n# why\nfn f() { if a { b } # c\n# d\nelse { } }",
        "@export\n# why\nfn f() {\n    if a { b }  # c\n    # d\n    else {}\n}\n",
    );
}

#[test]
fn columns() {
    stays("train t {\n    a = 1\n    bcd = 2\n}\n");
    becomes(
        "train t {\n    a   = 1\n    bcd = 2\n    efghi = 3\n}\n",
        "train t {\n    a     = 1\n    bcd   = 2\n    efghi = 3\n}\n",
    );
    becomes(
        "layer A {\n    x   = B()\n    param w: f32[C] = 0\n    param bias:  f32 = 0\n}\n",
        "layer A {\n    x = B()\n    param w:    f32[C] = 0\n    param bias: f32 = 0\n}\n",
    );
    stays("fn f() {\n    abc = y |> f\n            |> g\n    d = 2\n}\n");
    becomes("fn f() {\n    a    = g(1,\n 2)\n}\n", "fn f() {\n    a = g(1,\n          2)\n}\n");
    becomes(
        "fn f() {\n    abcd = 1\n    a    = g(1,\n 2)\n}\n",
        "fn f() {\n    abcd = 1\n    a    = g(1,\n             2)\n}\n",
    );
}

/// xorshift64*, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Puts blanks, line ends, comments and signs into a text, or takes characters out of it.
fn mutated(text: &str, dice: &mut Dice) -> String {
    const PUT: &[&str] =
        &[" ", "\n", "  # a comment\n", "\n\n\n# another\n", "\t", ";", "", "(", ")", ",", "-", "{ ", " }", "\r\n"];
    let mut text = text.to_owned();
    for _ in 0..1 + dice.below(6) {
        let at = text.floor_char_boundary(dice.below(text.len()));
        let end = text.ceil_char_boundary((at + dice.below(2)).min(text.len()));
        text.replace_range(at..end, PUT[dice.below(PUT.len())]);
    }
    text
}

#[test]
fn mutations_keep_their_meaning() {
    let mut dice = Dice(7);
    let mut read = 0;
    for (_, text) in programs() {
        for _ in 0..300 {
            let text = mutated(&text, &mut dice);
            if parse(&text).diagnostics.is_empty() {
                check(&text);
                read += 1;
            }
        }
    }
    assert!(read > 300, "only {read} of the mutations could be read");
}

#[test]
fn what_cannot_be_read_is_not_formatted() {
    let mut sources = Sources::new();
    let file = sources.add("t.dl", "fn f( {\n}\n");
    let errors = mlc_syntax::format(file, &sources).expect_err("a syntax error");
    assert_eq!(errors.len(), 1);
}
