//! What people write who come from other languages, and how it is written here.

use super::{Place, Refused, signs};
use crate::codes::Code;
use crate::diag::Diagnostic;
use crate::grammar::{ITEM_WORDS, RESERVED, Rule};
use crate::span::Span;

/// Explains the refusal by a habit, if one shows.
pub fn explain(refused: &Refused) -> Option<Diagnostic> {
    const HABITS: &[fn(&Refused) -> Option<Diagnostic>] = &[
        number,
        signs::explain,
        constructor,
        inheritance,
        absent_test,
        leading_type,
        dotted_type,
        counting_loop,
        membership,
        import_alias,
        from_package,
        reserved_name,
        nameless_function,
        first_word,
        neighbour,
        colon_block,
        colon_binding,
        missing_type,
        found_scan,
        misplaced,
    ];
    HABITS.iter().find_map(|habit| habit(refused))
}

pub(super) fn foreign(span: Span, title: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::E0007, span, title).help(help)
}

// ---- numbers

/// `1.`, `.5`: the whole of it stands at `span`.
pub fn digits_behind_point(span: Span) -> Diagnostic {
    Diagnostic::error(Code::E0006, span, "a number has digits on both sides of its point")
        .help("write `1.0` for `1.` and `0.5` for `.5`")
}

fn number(refused: &Refused) -> Option<Diagnostic> {
    let found = refused.found();
    let before = refused.before();
    let is_digit = |c: char| c.is_ascii_digit();
    if let Some(whole) = before.strip_suffix('.')
        && !whole.ends_with('.')
    {
        let start = whole.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let digits = whole.get(start..).unwrap_or("");
        if digits.starts_with(is_digit) {
            let end = if found.starts_with(is_digit) { refused.at + found.len() } else { before.len() };
            return Some(digits_behind_point(refused.span(start, end)));
        }
        if found.starts_with(is_digit) && (digits.is_empty() && !whole.ends_with([')', ']'])) {
            return Some(digits_behind_point(refused.span(whole.len(), refused.at + found.len())));
        }
        if found.starts_with(is_digit) {
            let title = "a name stands behind `.`, not a number";
            let help = format!("a part of a tuple is taken by `{digits}[{found}]`");
            return Some(Diagnostic::error(Code::E0001, refused.found_span(), title).help(help));
        }
        return None;
    }
    let behind = &refused.text[refused.at + found.len()..];
    if found == "." && behind.starts_with(is_digit) {
        let digits = super::token_at(behind);
        return Some(digits_behind_point(refused.span(refused.at, refused.at + 1 + digits.len())));
    }
    if !found.starts_with(is_digit) || !wants_operand(refused) {
        return None;
    }
    let end = found.find(|c: char| !c.is_ascii_digit()).unwrap_or(found.len());
    let (digits, rest) = found.split_at(end);
    let message = Diagnostic::error(Code::E0006, refused.found_span(), format!("`{found}` is not a number"));
    Some(match rest.chars().next() {
        Some('x' | 'X' | 'b' | 'o') if digits == "0" => message.help("numbers are written in decimal"),
        Some('_') => message.help("a `_` stands between two digits: `2_000`"),
        Some('e' | 'E') => message.help("an exponent is written `1e-3`"),
        Some('f') if rest == "f" => message.help(format!("leave the `f` out: `{digits}.0`")),
        Some(_) => message.help(format!("a product is written `{digits} * {rest}`")),
        None => return None,
    })
}

fn wants_operand(refused: &Refused) -> bool {
    refused.at == 0 || !refused.rules.contains(&Rule::EOI)
}

// ---- words

/// What a word of another language is called here.
fn word_help(word: &str) -> Option<(&'static str, &'static str)> {
    Some(match word {
        "def" | "func" | "function" | "proc" => {
            ("functions are declared with `fn`", "`fn name(x: f32[B, D]) -> f32[B, D] { … }`")
        }
        "class" | "struct" => ("layers are declared with `layer` or `model`", "`layer Name(D: dim) { … }`"),
        "elif" | "elseif" | "elsif" => ("`else if` is two words", "`if a { … } else if b { … } else { … }`"),
        "from" => ("imports are written `import \"file.dl\"`", "`import \"file.dl\" as f`, then `f.name`"),
        "let" | "var" | "val" | "auto" | "mut" => ("names are bound without a keyword", "`x = …`"),
        "lambda" => ("there are no lambdas", "write a named `fn` and pass its name"),
        "while" => ("a loop has a bound", "`for n in 0..100 while c { … }`"),
        "with" => (
            "there are no `with` blocks",
            "`training` tells training from inference; no code is needed to switch gradients off",
        ),
        "try" | "except" | "raise" | "throw" | "catch" => {
            ("there are no exceptions", "`assert c, \"text\"` stops with a message")
        }
        "async" | "await" | "global" | "nonlocal" | "del" => ("this word has no meaning here", "leave it out"),
        "pass" => ("an empty block needs no word", "write `{ }`"),
        "break" | "continue" => ("loops have no jumps", "end a loop early with `for n in 0..100 while c { … }`"),
        "is" => ("there is no operator `is`", "write `==`"),
        "pub" | "public" | "private" | "static" | "export" => {
            ("there are no visibility words", "entry points have `@export` in the line before `fn`")
        }
        "maximize" => ("a loss is minimized", "write `minimize -value over NET with OPT`"),
        "switch" | "match" | "case" => ("there is no `match`", "write `if … { … } else if … { … }`"),
        _ => return None,
    })
}

/// A value of another language, in the place of a name.
pub fn foreign_value(word: &str, span: Span) -> Option<Diagnostic> {
    let (title, help) = match word {
        "True" => ("the truth values are `true` and `false`", "write `true`"),
        "False" => ("the truth values are `true` and `false`", "write `false`"),
        _ if is_absent(word) => {
            ("there are no optional values", "give the argument a default value, as in `mask: bool[B, S] = true`")
        }
        "lambda" => word_help("lambda")?,
        _ => return None,
    };
    Some(foreign(span, title, help))
}

/// `f32[None, 8]`
pub fn absent_size(word: &str, span: Span) -> Option<Diagnostic> {
    is_absent(word).then(|| foreign(span, "there are no optional values", "a size has a name: `f32[B, 8]`"))
}

/// `x[:, None]`
pub fn absent_index(word: &str, span: Span) -> Option<Diagnostic> {
    is_absent(word).then(|| foreign(span, "there are no optional values", "a new axis is `new`: `x[:, new]`"))
}

fn is_absent(word: &str) -> bool {
    matches!(word, "None" | "null" | "nil" | "nullptr")
}

/// A word of another language where none can stand.
pub fn foreign_word(word: &str, span: Span) -> Option<Diagnostic> {
    word_help(word).map(|(title, help)| foreign(span, title, help))
}

/// A statement of another language that is a single word.
pub fn foreign_statement(word: &str, span: Span) -> Option<Diagnostic> {
    if !matches!(word, "pass" | "break" | "continue") {
        return None;
    }
    let (title, help) = word_help(word)?;
    Some(foreign(span, title, help))
}

/// `a, b` as a statement.
pub fn unused_values(span: Span) -> Diagnostic {
    Diagnostic::error(Code::E0001, span, "expected `=` after these values").help("`return a, b` gives two values back")
}

/// `in = Linear(4)`
fn reserved_name(refused: &Refused) -> Option<Diagnostic> {
    let word = super::token_at(refused.text);
    let behind = refused.text[word.len()..].trim_start();
    let bound = behind.starts_with('=') && !behind.starts_with("==");
    (bound && RESERVED.contains(&word)).then(|| {
        let title = format!("`{word}` is a word of the language and cannot be a name");
        Diagnostic::error(Code::E0001, refused.span(0, word.len()), title).help(format!("take another: `{word}_`"))
    })
}

/// `f(fn(x) x + 1)`
fn nameless_function(refused: &Refused) -> Option<Diagnostic> {
    let is_nameless = refused.text[refused.at..].trim_start_matches("fn").trim_start().starts_with('(');
    let inside = refused.found() == "fn" && is_nameless && !refused.before().is_empty() && wants_operand(refused);
    inside.then(|| {
        foreign(refused.found_span(), "there are no functions without a name", "declare a `fn` and pass its name")
    })
}

fn first_word(refused: &Refused) -> Option<Diagnostic> {
    let word = super::token_at(refused.text);
    let behind = refused.text[..refused.at].trim_end() == word;
    let (title, help) = word_help(word)?;
    (refused.at == 0 || behind || !RESERVED.contains(&word)).then(|| foreign(refused.span(0, word.len()), title, help))
}

/// The word at which pest stopped, or the one before it.
fn neighbour(refused: &Refused) -> Option<Diagnostic> {
    let (previous, start) = refused.previous_word();
    if previous == "lambda" {
        let (title, help) = word_help("lambda")?;
        return Some(foreign(refused.span(start, start + previous.len()), title, help));
    }
    let found = refused.found();
    if found == "as" || RESERVED.contains(&found) {
        return None;
    }
    let (title, help) = word_help(found)?;
    Some(foreign(refused.found_span(), title, help))
}

// ---- parts of a line

/// `f32 y = …`, `int i = 0`
fn leading_type(refused: &Refused) -> Option<Diagnostic> {
    let word = super::token_at(refused.text);
    let (name, behind) = (refused.found(), refused.text[word.len()..].trim_start());
    let is_dtype = matches!(
        word,
        "f32" | "f64" | "i32" | "i64" | "u8" | "i8" | "bool" | "float" | "double" | "int" | "Tensor" | "tensor"
    );
    let binds = behind.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
    (refused.place != Place::Item && is_dtype && binds).then(|| {
        let help = format!("write `{name} = …`, or with its type: `{name}: f32[B, D] = …`");
        foreign(refused.span(0, word.len()), "names are bound without a type in front", help)
    })
}

/// `y: torch.Tensor = …`
fn dotted_type(refused: &Refused) -> Option<Diagnostic> {
    let (before, (word, start)) = (refused.before(), refused.previous_word());
    let is_type = before[..start].trim_end().ends_with(':');
    (refused.found() == "." && is_type && matches!(word, "torch" | "np" | "tf" | "nn" | "jnp" | "typing")).then(|| {
        foreign(refused.span(start, start + word.len()), "a type says the dtype and the sizes", "write `x: f32[B, 10]`")
    })
}

/// `for (i = 0; i < n; i++) {`
fn counting_loop(refused: &Refused) -> Option<Diagnostic> {
    let behind = refused.text.trim_start().strip_prefix("for")?.trim_start();
    (refused.found() == "(" && behind.starts_with('(') && behind.contains(['=', ';']))
        .then(|| foreign(refused.found_span(), "a loop runs over a range or a list", "write `for i in 0..3 { … }`"))
}

/// `import numpy as np`
fn import_alias(refused: &Refused) -> Option<Diagnostic> {
    if refused.found() != "as" || crate::layout::first_word(refused.text) != "import" {
        return None;
    }
    let imported = refused.before().trim_start_matches("import").trim_start();
    let span = refused.span(refused.before().len() - imported.len(), refused.before().len());
    let python = foreign_package(imported, span);
    python.or_else(|| Some(foreign(refused.found_span(), "`as` follows a file", "write `import \"file.dl\" as name`")))
}

/// `import torch.nn`: a package of Python.
pub fn foreign_package(dotted: &str, span: Span) -> Option<Diagnostic> {
    let package = dotted.split('.').next().unwrap_or("").trim();
    let known = matches!(
        package,
        "torch"
            | "torchvision"
            | "numpy"
            | "tensorflow"
            | "keras"
            | "jax"
            | "flax"
            | "pandas"
            | "sklearn"
            | "math"
            | "os"
    );
    let title = format!("`{package}` is a package of Python");
    known.then(|| foreign(span, title, "leave it out: layers and functions of the library need no import"))
}

/// `from torch import nn`
fn from_package(refused: &Refused) -> Option<Diagnostic> {
    let package = refused.text.trim_start().strip_prefix("from ")?.trim_start();
    let lo = refused.text.len() - package.len();
    let end = package.find(char::is_whitespace).unwrap_or(package.len());
    foreign_package(&package[..end], refused.span(lo, lo + end))
}

/// `super().__init__()`
fn constructor(refused: &Refused) -> Option<Diagnostic> {
    let word = super::token_at(refused.text);
    if word == "super" && refused.place != Place::Item {
        return Some(no_constructor(refused.span(0, word.len())));
    }
    let at = refused.text.find("__init__").filter(|_| crate::layout::first_word(refused.text) == "fn")?;
    Some(no_constructor(refused.span(at, at + "__init__".len())))
}

/// `fn __init__(…)`, `super().__init__()`
pub fn no_constructor(span: Span) -> Diagnostic {
    foreign(
        span,
        "layers have no constructor",
        "parts are bound beside the functions, `fc = Linear(H)`; arguments stand behind the layer's name: `layer Name(H: dim) { … }`",
    )
}

/// `layer Net(nn.Module) {`
fn inheritance(refused: &Refused) -> Option<Diagnostic> {
    let word = crate::layout::first_word(refused.text);
    if !matches!(word, "layer" | "model") || !refused.expects(Rule::type_colon) {
        return None;
    }
    let (parent, start) = refused.previous_word();
    let is_module = matches!(parent, "nn" | "Module" | "Model" | "Layer" | "keras" | "tf" | "torch" | "object");
    let span = refused.span(start, start + parent.len());
    is_module.then(|| {
        foreign(
            span,
            "layers have no parent",
            "the parentheses hold the layer's arguments, `layer Name(H: dim)`, or are left out",
        )
    })
}

/// `x is None`, `x is not None`
fn absent_test(refused: &Refused) -> Option<Diagnostic> {
    if refused.found() != "is" {
        return None;
    }
    let behind = refused.text[refused.at + "is".len()..].trim_start();
    let operand = behind.strip_prefix("not ").unwrap_or(behind).trim_start();
    is_absent(super::token_at(operand)).then(|| {
        foreign(
            refused.found_span(),
            "there are no optional values",
            "a `bool` of the layer says what it has: `layer Name(project: bool = false)`, then `if project { … }`",
        )
    })
}

/// `n in [1, 2]`, `n not in [1, 2]`
fn membership(refused: &Refused) -> Option<Diagnostic> {
    let found = refused.found();
    let behind = refused.text[refused.at + found.len()..].trim_start();
    let asks = found == "in" || (found == "not" && super::token_at(behind) == "in");
    (asks && crate::layout::first_word(refused.text) != "for" && !wants_operand_here(refused))
        .then(|| foreign(refused.found_span(), "there is no operator `in`", "write `n == 1 or n == 2`"))
}

/// Whether an operand is missing at the place: nothing stands before it that could be one.
fn wants_operand_here(refused: &Refused) -> bool {
    !refused.before().ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']'))
}

/// `if c:`, `for x in xs:`, `fn f():`, `else:`; with the body behind it too
fn colon_block(refused: &Refused) -> Option<Diagnostic> {
    let word = crate::layout::first_word(refused.text);
    // A line that begins with `else` goes on with the one before.
    let is_else = refused.found() == "else";
    let after = refused.at + if is_else { "else".len() } else { 0 };
    let at = after + refused.text[after..].len() - refused.text[after..].trim_start().len();
    let body = refused.text[at..].strip_prefix(':')?.trim();
    let keyword = matches!(word, "fn" | "layer" | "model" | "for" | "if" | "train");
    let has_body = body.is_empty() || matches!(word, "for" | "if");
    if !(is_else || (refused.expects(Rule::left_brace) && has_body) || (keyword && body.is_empty())) {
        return None;
    }
    let help = match body {
        "" => "write `{ … }` instead of `:` and indentation".to_string(),
        body => format!("write `{{ {body} }}` instead of `:`"),
    };
    Some(foreign(refused.span(at, at + 1), "blocks stand in braces", help))
}

/// `epochs: 10`
fn colon_binding(refused: &Refused) -> Option<Diagnostic> {
    let name = super::forms::bound_with_colon(refused)?;
    let title = format!("`{name}` is bound with `=`");
    Some(foreign(refused.span(0, name.len()), title, format!("write `{name} = {}`", refused.found())))
}

fn missing_type(refused: &Refused) -> Option<Diagnostic> {
    if !refused.expects(Rule::type_colon) {
        return None;
    }
    let (name, start) = refused.previous_word();
    let span = refused.span(start, start + name.len());
    if name == "self" {
        return Some(foreign(
            span,
            "there is no `self`",
            "a layer's functions name its members directly; leave it out",
        ));
    }
    let message = Diagnostic::error(Code::E0001, span, format!("`{name}` needs a type"));
    let keyword = crate::layout::first_word(refused.text);
    Some(message.help(match keyword {
        "param" | "state" => {
            format!("`{keyword} {name}: f32[D] = 0` for a tensor, `{keyword} {name}: i32 = 0` for a number")
        }
        _ => format!("`{name}: f32[B, D]` for a tensor, `{name}: dim` for a size"),
    }))
}

fn found_scan(refused: &Refused) -> Option<Diagnostic> {
    (refused.found() == "scan").then(|| scan_inside(refused.found_span()))
}

/// A `scan` within an expression.
pub fn scan_inside(span: Span) -> Diagnostic {
    Diagnostic::error(Code::E0001, span, "`scan` stands only on the right of `=`")
        .help("`h, hs = scan h = h0 for x_t in x along T { … }`")
}

/// Something that is right elsewhere.
fn misplaced(refused: &Refused) -> Option<Diagnostic> {
    let (word, found) = (crate::layout::first_word(refused.text), refused.found());
    let span = refused.span(0, word.len());
    let wrong_place = |title: &str, help: &str| Some(Diagnostic::error(Code::E0001, span, title).help(help));
    let is_binding = refused.text[word.len()..].trim_start().starts_with('=');
    let begins = refused.at <= word.len() + 1;
    match refused.place {
        Place::Item if refused.at == 0 && is_binding => {
            wrong_place("values are bound inside functions and layers", "a constant of the file is `const NAME = …`")
        }
        _ if trains(refused, word) => Some(foreign(
            span,
            "training is a block of its own",
            "`train name { net = Net(); opt = adam(lr: 1e-3); data = …; step(…) { minimize … over net with opt } }`",
        )),
        Place::Item if refused.at == 0 && word != "step" && is_call(&refused.text[word.len()..]) => wrong_place(
            "a file holds declarations alone",
            "what is computed stands in a `fn`, what is looked at in a test: `test \"look\" { print(f(ones([2]))) }`",
        ),
        Place::Item if refused.at == 0 && matches!(word, "step" | "every") => {
            wrong_place("`step` and `every` stand in a train block", "`train name { … }`")
        }
        Place::Item if refused.at == 0 && matches!(word, "param" | "state") => {
            wrong_place("`param` and `state` stand in a layer", "`layer Name { … }`")
        }
        Place::Member if refused.at == 0 && RESERVED.contains(&word) => {
            wrong_place("statements stand in a function", "put it into a `fn` of this block")
        }
        Place::Member
            if matches!(found, "(" | "[" | "." | "+=" | "-=" | "*=" | "/=") && refused.expects(Rule::equals) =>
        {
            wrong_place("statements stand in a function", "put it into a `fn` of this block")
        }
        Place::Statement if begins && word == "fn" => {
            wrong_place("a function cannot stand inside a function", "declare it beside this one")
        }
        Place::Statement if matches!(word, "param" | "state") && found.starts_with(char::is_alphabetic) => wrong_place(
            "`param` and `state` stand in a layer",
            "`layer Name { … }`, and its functions read and assign it",
        ),
        Place::Statement if begins && word == "else" => {
            wrong_place("`else` without an `if` before it", "`if c { … } else { … }`")
        }
        Place::Member | Place::Statement if begins_item(refused, word) => {
            wrong_place("this declaration stands only outside all braces", "is a `}` missing before it?")
        }
        _ => None,
    }
}

/// `model.fit(…)`, `model.compile(…)`
fn trains(refused: &Refused, word: &str) -> bool {
    let behind = refused.text[word.len()..].strip_prefix('.').unwrap_or("");
    refused.place != Place::Statement && matches!(super::token_at(behind), "fit" | "compile")
}

/// `(…` or `.name…` behind a word.
fn is_call(behind: &str) -> bool {
    behind.starts_with('(') || behind.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphabetic))
}

/// `layer Name` and the like where no item can stand.
fn begins_item(refused: &Refused, word: &str) -> bool {
    let (previous, start) = refused.previous_word();
    let behind_word = start == 0 && previous == word && refused.found().starts_with(char::is_alphabetic);
    behind_word && word != "fn" && ITEM_WORDS.contains(&word)
}
