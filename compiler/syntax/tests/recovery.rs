//! Errors: their codes, places and words, and what is read in spite of them.

mod common;

use common::parse;

fn check(text: &str, expected: &[&str]) {
    assert_eq!(parse(text).messages(), expected, "{text}");
}

/// Checks one line in a function; its place is line 2, and columns count from its first letter.
fn check_line(line: &str, expected: &[&str]) {
    let parsed = parse(&format!("fn f() {{\n{line}\n}}\n"));
    let messages = parsed.messages();
    let of_line: Vec<&str> = messages.iter().map(|text| text.strip_prefix("2:").unwrap_or(text)).collect();
    assert_eq!(of_line, expected, "{line}");
}

/// All help texts of a line in a function.
fn help(line: &str) -> String {
    let parsed = parse(&format!("fn f() {{\n{line}\n}}\n"));
    parsed.diagnostics.iter().flat_map(|diagnostic| diagnostic.help.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_line_has_its_own_error() {
    let text = "model A {\n    x = Linear(3\n    param w f32[D]\n    fn f(x: f32) -> f32 {\n        y = 1 +\n        z = 2 3\n\
                \x20       return y y\n    }\n    ok = Linear(3)\n}\nfn g() {\n    a = )\n    b = 2\n}\n";
    let parsed = parse(text);
    assert_eq!(
        parsed.messages(),
        [
            "2:15 E0002 `(` is not closed",
            "3:11 E0001 `w` needs a type",
            "5:16 E0001 expected an expression, found the end of the line",
            "6:15 E0001 expected the end of the line, found `3`",
            "7:18 E0001 expected the end of the line, found `y`",
            "12:9 E0002 there is no `(` for this `)`",
        ]
    );
    // What can't be read still declares its names.
    let expected = "1:1 model A\n  2:5 bind x = (error)\n  3:5 bind w = (error)\n  4:5 fn f\n    arg x: f32\n    result f32\n    \
                    5:9 assign y = (error)\n    6:9 assign z = (error)\n  9:5 bind ok = (call Linear 3)\n11:1 fn g\n  \
                    12:5 assign a = (error)\n  13:5 assign b = 2\n";
    assert_eq!(parsed.picture(), expected);
}

#[test]
fn named_arguments_are_taken_all_the_same() {
    let parsed = parse("layer A {\n    c = Conv2d(32, kernel=3, stride: 2)\n}\n");
    assert_eq!(parsed.messages(), ["2:20 E0008 arguments are named with `:`"]);
    assert_eq!(parsed.picture(), "1:1 layer A\n  2:5 bind c = (call Conv2d 32 kernel: 3 stride: 2)\n");
    check_line("x = f(\n  kernel = 3)", &["3:3 E0008 arguments are named with `:`"]);
}

#[test]
fn numbers() {
    check_line("x = 1.", &["5 E0006 a number has digits on both sides of its point"]);
    check_line("x = f(1., 2)", &["7 E0006 a number has digits on both sides of its point"]);
    check_line("x = .5", &["5 E0006 a number has digits on both sides of its point"]);
    check_line("x = 1.e-4", &["5 E0006 a number has digits on both sides of its point"]);
    check_line("x = 2x", &["5 E0006 `2x` is not a number"]);
    check_line("x = 0xff", &["5 E0006 `0xff` is not a number"]);
    check_line("x = 1_", &["5 E0006 `1_` is not a number"]);
    check_line("x = 1e", &["5 E0006 `1e` is not a number"]);
    check_line("x = 1e999", &["5 E0006 this number is too large: no f64 holds it"]);
    check_line("x = 99999999999999999999", &["5 E0006 this number is too large: no i64 holds it"]);
    assert_eq!(help("x = 2x"), "a product is written `2 * x`");
}

#[test]
fn words_of_other_languages() {
    check_line("x = True", &["5 E0007 the truth values are `true` and `false`"]);
    check_line("f(None)", &["3 E0007 there are no optional values"]);
    check_line("x = self.fc(x)", &["5 E0007 there is no `self`"]);
    check_line("x = lambda a: a", &["5 E0007 there are no lambdas"]);
    check_line("x = a // 2", &["7 E0007 there is no operator `//`"]);
    check_line("x = a // the first half", &["7 E0007 comments begin with `#`"]);
    check_line("// a comment (with a bracket", &["1 E0007 comments begin with `#`"]);
    check_line("/* a\n comment */ x = 3", &["1 E0007 comments begin with `#`"]);
    check_line("x = a && b", &["7 E0007 there is no operator `&`"]);
    check_line("x = !a", &["5 E0007 there is no operator `!`"]);
    check_line("x = a ^ 2", &["7 E0007 there is no operator `^`"]);
    check_line("x = c ? a : b", &["7 E0007 there is no operator `?`"]);
    check_line("x++", &["2 E0007 there is no operator `++`"]);
    check_line("x = 'same'", &["5 E0007 strings stand in double quotes"]);
    check_line(
        "elif a {\n x = 1 1\n }",
        &["1 E0007 `else if` is two words", "3:8 E0001 expected the end of the line, found `1`"],
    );
    check_line("while a { x = 1 }", &["1 E0007 a loop has a bound"]);
    check_line("if a:\n    x = 1", &["5 E0007 blocks stand in braces"]);
    check_line("let x = 3", &["1 E0007 names are bound without a keyword"]);
    check_line("pass", &["1 E0007 an empty block needs no word"]);
    check_line("with no_grad():", &["1 E0007 there are no `with` blocks"]);
    assert_eq!(help("x = self.fc(x)"), "a layer's functions name its members directly: `fc`");
    assert_eq!(help("x = a // 2"), "whole-number division is `floor(a / b)`; comments begin with `#`");
}

#[test]
fn a_program_of_another_language_is_not_a_flood() {
    let text = "import torch as t\nfrom torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        \
                self.fc = nn.Linear(3, 4)\n";
    check(text, &["1:8 E0007 `torch` is a package of Python", "2:6 E0007 `torch` is a package of Python"]);
    check(
        "class Net {\n    fc = Linear(3 4)\n}\n",
        &["1:1 E0007 layers are declared with `layer` or `model`", "2:19 E0001 expected `,` or `)`, found `4`"],
    );
}

#[test]
fn misspelt_words() {
    check(
        "modle A {\n    x = 1 1\n}\n",
        &["1:1 E0001 expected a declaration, found `modle`", "2:11 E0001 expected the end of the line, found `1`"],
    );
    check("layer A {\n    parm w: f32[D]\n}\n", &["2:5 E0001 expected a member, found `parm`"]);
    check_line("retrun x", &["1 E0001 expected a statement, found `retrun`"]);
    check_line("minimize a ovr b with c", &["12 E0001 expected `over`, found `ovr`"]);
    check_line("minimize a over b", &["18 E0001 expected `with`, found the end of the line"]);
    assert_eq!(help("retrun x"), "did you mean `return`?");
    assert_eq!(help("minimize a ovr b with c"), "did you mean `over`?");
}

#[test]
fn what_was_expected() {
    check_line("f(a b)", &["5 E0001 expected `,` or `)`, found `b`"]);
    check_line("x = [1 2]", &["8 E0001 expected `,` or `]`, found `2`"]);
    check_line("x = a @", &["8 E0001 expected an expression, found the end of the line"]);
    check_line("x = if a then b", &["16 E0001 expected `else`, found the end of the line"]);
    check_line("over = 3", &["1 E0001 `over` is a word of the language and cannot be a name"]);
    check_line("x = f(a, over)", &["10 E0001 expected an expression or `)`, found `over`"]);
    check_line("for i in xs x = 3", &["13 E0001 expected `{`, found `x`"]);
    check_line("return scan h = a for x in y along T { yield h }", &["8 E0001 `scan` stands only on the right of `=`"]);
    check_line("t.0", &["3 E0001 a name stands behind `.`, not a number"]);
    check("fn f(x: f32) -> f32\n", &["1:20 E0001 expected `{`, found the end of the line"]);
    check("fn f(x) { }\n", &["1:6 E0001 `x` needs a type"]);
    check("fn f(self, x: f32) { }\n", &["1:6 E0007 there is no `self`"]);
    check("train t {\n    every 3 weeks { }\n}\n", &["2:13 E0001 expected `steps` or `epochs`, found `weeks`"]);
}

#[test]
fn what_stands_in_the_wrong_place() {
    check("x = 3\n", &["1:1 E0001 values are bound inside functions and layers"]);
    check("step(x: f32) { }\n", &["1:1 E0001 `step` and `every` stand in a train block"]);
    check("layer A {\n    return x\n}\n", &["2:5 E0001 statements stand in a function"]);
    check("layer A {\n    step(x: f32) { }\n}\n", &["2:5 E0001 `step` and `every` stand in a train block"]);
    check("train t {\n    param w: f32 = 0\n}\n", &["2:5 E0001 `param` stands in a layer"]);
    check_line("  fn g() { }", &["3 E0001 a function cannot stand inside a function"]);
    check_line("else { }", &["1 E0001 `else` without an `if` before it"]);
    check_line("if a { } else { } else { }", &["19 E0001 `else` without an `if` before it"]);
    check_line("for x in y { } z = 3", &["16 E0001 expected a new line after `}`, found `z`"]);
}

#[test]
fn left_sides() {
    check_line("(a, b) = f()", &["1 E0001 only names and indexed names can be assigned"]);
    check_line("a.b = 3", &["1 E0001 only names and indexed names can be assigned"]);
    check_line("x[0][1] = 3", &["1 E0001 only names and indexed names can be assigned"]);
    check_line("a + b = 3", &["1 E0001 only names and indexed names can be assigned"]);
    check_line("a, b += 3", &["4 E0001 `+=` changes one value at a time"]);
    check_line("a, b", &["1 E0001 expected `=` after these values"]);
}

#[test]
fn comparisons_do_not_chain() {
    check_line("x = a < b < c", &["11 E0001 comparisons do not chain"]);
    check_line("x = a == b + 1 != c", &["16 E0001 comparisons do not chain"]);
    assert_eq!(help("x = a < b < c"), "join two comparisons with `and`: `a < b and b < c`");
}

#[test]
fn what_is_not_closed() {
    check_line(
        "x = f(a,\n  b\n  y = 3 3",
        &["6 E0002 `(` is not closed", "4:9 E0001 expected the end of the line, found `3`"],
    );
    check_line("x = \"abc", &["5 E0002 this string is not closed"]);
    check_line("x = (a]", &["7 E0002 `(` is closed by `]`"]);
    check_line("x = f(a\n  return x", &["6 E0002 `(` is not closed"]);
    check(
        "fn f(a: f32 {\n    x = 1 1\n}\n",
        &["1:5 E0002 `(` is not closed", "2:11 E0001 expected the end of the line, found `1`"],
    );
    check(
        "layer A {\n    x = Linear(3\n\nlayer B {\n}\n",
        &["1:9 E0002 `{` is not closed", "2:15 E0002 `(` is not closed"],
    );
    check("layer A {\n}\n}\nlayer B {\n}\n", &["3:1 E0002 there is no `{` for this `}`"]);
    check("layer A {\n    x = 1\n", &["1:9 E0002 `{` is not closed"]);
}

#[test]
fn a_missing_brace_does_not_swallow_what_follows() {
    let text = "model N {\n    fn f(x: f32) -> f32 {\n        x = 3\n\n    @export\n    fn g(x: f32) -> f32 {\n        return x\n    }\n}\n\
                layer B {\n    y = 1\n}\n";
    let parsed = parse(text);
    assert_eq!(parsed.messages(), ["2:25 E0002 `{` is not closed"]);
    let expected = "1:1 model N\n  2:5 fn f\n    arg x: f32\n    result f32\n    3:9 assign x = 3\n  6:5 fn g @export\n    \
                    arg x: f32\n    result f32\n    7:9 return x\n10:1 layer B\n  11:5 bind y = 1\n";
    assert_eq!(parsed.picture(), expected);

    let inner = "model M {\n    fn f() {\n        for x in y {\n            x = 3\n    }\n\n    fn g() {\n    }\n}\nlayer B {\n}\n";
    let parsed = parse(inner);
    assert_eq!(parsed.messages(), ["3:20 E0002 `{` is not closed"]);
    assert_eq!(parsed.module.items.len(), 2);
}
