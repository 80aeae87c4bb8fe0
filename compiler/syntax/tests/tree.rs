//! What single constructs become.

mod common;

use common::parse;

/// The picture of one statement in a function, without its place.
fn statement(text: &str) -> String {
    let parsed = parse(&format!("fn f() {{\n{text}\n}}\n"));
    assert_eq!(parsed.messages(), Vec::<String>::new(), "{text}");
    let picture = parsed.picture();
    let lines: Vec<&str> = picture.lines().skip(1).map(|line| line.trim_start()).collect();
    lines.iter().map(|line| line.split_once(' ').map_or(*line, |(_, rest)| rest)).collect::<Vec<_>>().join("; ")
}

fn check(text: &str, expected: &str) {
    assert_eq!(statement(text), expected, "{text}");
}

#[test]
fn operators_bind_as_they_should() {
    check("x = a or b and c", "assign x = (or a (and b c))");
    check("x = not a == b", "assign x = (not (== a b))");
    check("x = not a and b", "assign x = (and (not a) b)");
    check("x = a + b * c - d", "assign x = (- (+ a (* b c)) d)");
    check("x = -a ** 2", "assign x = (neg (** a 2))");
    check("x = a ** -b", "assign x = (** a (neg b))");
    check("x = a ** b ** c", "assign x = (** a (** b c))");
    check("x = a @ b / c", "assign x = (/ (@ a b) c)");
    check("x = 0..n + 1", "assign x = (.. 0 (+ n 1))");
    check("x = (a < b) == c", "assign x = (== (< a b) c)");
    check("x = a < b and b < c", "assign x = (and (< a b) (< b c))");
    check("x = - - a", "assign x = (neg (neg a))");
}

#[test]
fn pipes_are_calls() {
    check("x = a |> f", "assign x = (pipe f a)");
    check("x = a |> f(b, c: 1) |> m.g", "assign x = (pipe m.g (pipe f a b c: 1))");
    check("x = a + b |> fs[0]", "assign x = (pipe (index fs [0]) (+ a b))");
    check("x = a\n  |> f # why\n\n  # and how\n  |> g", "assign x = (pipe g (pipe f a))");
}

#[test]
fn lines_go_on() {
    check("x = a +\n b", "assign x = (+ a b)");
    check("x =\n a and\n b", "assign x = (and a b)");
    check("x = if c\n then a\n else b", "assign x = (if c a b)");
    check("x = f(\n a,\n b,\n)", "assign x = (call f a b)");
    check("a,\n b = f()", "assign a, b = (call f)");
    check("x = a; y = b;", "assign x = a; assign y = b");
}

#[test]
fn indices() {
    check(
        "y = x[:, new, ..., 1:2, ::2, 1:, :n:2, a:b:c]",
        "assign y = (index x [:, new, ..., 1:2, ::2, 1:, :n:2, a:b:c])",
    );
    check("x[ids] += v", "assign (index x [ids]) += v");
    check("t = x[0][1].a", "assign t = (index (index x [0]) [1]).a");
}

#[test]
fn literals() {
    check("x = 2_000", "assign x = 2000");
    check("x = 1e-3", "assign x = 0.001");
    check("x = 1.5", "assign x = 1.5");
    check("x = \"b t (h d) -> # b\"", "assign x = \"b t (h d) -> # b\"");
    check("x = (true, false)", "assign x = (tuple true false)");
    check("x = (a)", "assign x = a");
    check("x = ()", "assign x = (tuple)");
    check("x = []", "assign x = (list)");
    check("x = [a, *K, b]", "assign x = (list a (splice K) b)");
    check("x = [Block(D); n]", "assign x = (stack (call Block D) n)");
    check("x = [f(n, c) for n, c in [(1, 2)]]", "assign x = (list-of (call f n c) for n, c in (list (tuple 1 2)))");
    check("x = params(net, rank: 2..)", "assign x = (call params net rank: (.. 2 inf))");
}

#[test]
fn words_are_reserved_only_where_they_must_be() {
    check("state = step + model", "assign state = (+ step model)");
    check("metric = 3", "assign metric = 3");
    check("assert = 3", "assign assert = 3");
    check("x = f(over: T, for: 2, fn: g)", "assign x = (call f over: T for: 2 fn: g)");
    check("format = iff + in_ + orb + notes", "assign format = (+ (+ (+ iff in_) orb) notes)");
    check("x = a.over.state", "assign x = a.over.state");
}

#[test]
fn statements() {
    check("assert a == b, \"text\"", "assert (== a b) \"text\"");
    check("minimize -loss over (a.b, c) with opt", "minimize (neg loss) over (tuple a.b c) with opt");
    check("metric m = exp(x)", "metric m = (call exp x)");
    check("x: f32[B, *S, i:T, _, *_] = y", "let x: f32[B, *S, i: T, _, *_] = y");
    check("return", "return");
    check("_, b = f()", "assign _, b = (call f)");
    check("@checkpoint\nfor a, b in xs, ys while c { x = a }", "for a, b in xs, ys while c @checkpoint; assign x = a");
    check(
        "h, hs = scan h = h0, c = c0 for x in xs along -1 { yield h }",
        "assign h, hs = (scan [h = h0, c = c0] for x in xs along (neg 1)); yield h",
    );
    check("ys = scan for x in xs along T { yield x }", "assign ys = (scan [] for x in xs along T); yield x");
}

#[test]
fn branches_nest() {
    let parsed = parse("fn f() {\n  if a { x = 1 }\n  else if b { x = 2 } else { x = 3 }\n}\n");
    let expected = "1:1 fn f\n  2:3 if a\n    2:10 assign x = 1\n  else\n    3:8 if b\n      3:15 assign x = 2\n    else\n      3:30 assign x = 3\n";
    assert_eq!(parsed.messages(), Vec::<String>::new());
    assert_eq!(parsed.picture(), expected);
}

#[test]
fn declarations() {
    let text = "import \"a.dl\" as f\nimport a.b\nconst D: int = 5\nconst E = 2\n\
                fn g(k: (int, …), c: (A, x: i32[B]), f: fn = relu,) -> (i32[N], p: f32) requires N <= 2, D == 5 { }\n";
    let expected = "1:1 import \"a.dl\" as f\n2:1 import \"a.b\"\n3:1 const D: int = 5\n4:1 const E = 2\n\
                    5:1 fn g\n  arg k: (int, …)\n  arg c: (A, x: i32[B])\n  arg f: fn = relu\n  \
                    result (i32[N], p: f32)\n  requires (<= N 2)\n  requires (== D 5)\n";
    let parsed = parse(text);
    assert_eq!(parsed.messages(), Vec::<String>::new());
    assert_eq!(parsed.picture(), expected);
}

#[test]
fn spans_cover_what_they_name() {
    let parsed = parse("@export\nfn f(x: f32) -> f32 requires B > 1 {\n    y = (x + 1) # c\n    return y  ;\n}\n");
    let [mlc_syntax::ast::Item::Fn(function)] = &parsed.module.items[..] else { panic!("one function") };
    assert_eq!(parsed.sources.text(function.span), "fn f(x: f32) -> f32 requires B > 1");
    assert_eq!(parsed.sources.text(function.params[0].span), "x: f32");
    let stmts: Vec<&str> = function.body.stmts.iter().map(|stmt| parsed.sources.text(stmt.span)).collect();
    assert_eq!(stmts, ["y = (x + 1)", "return y"]);
}
