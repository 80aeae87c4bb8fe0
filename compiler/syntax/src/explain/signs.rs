//! Operators and signs of other languages, and what is written here.

use super::Refused;
use super::habits::foreign;
use crate::diag::Diagnostic;
use crate::grammar::Rule;

/// Explains the refusal by a sign, if one shows.
pub fn explain(refused: &Refused) -> Option<Diagnostic> {
    const HABITS: &[fn(&Refused) -> Option<Diagnostic>] =
        &[increment, compound, chain, plus, unpacked, formatted, member_arrow, sign];
    HABITS.iter().find_map(|habit| habit(refused))
}

fn sign(refused: &Refused) -> Option<Diagnostic> {
    let found = refused.found();
    let (title, help) = match found.chars().next()? {
        '&' => ("there is no operator `&`", "write `and`"),
        '|' if found != "|>" => ("there is no operator `|`", "write `or`; a pipe is `|>`"),
        '!' if found == "!" => ("there is no operator `!`", "write `not`"),
        '^' => ("there is no operator `^`", "a power is written `a ** b`"),
        '?' => ("there is no operator `?`", "write `if c then a else b`"),
        '“' | '”' | '„' | '«' => ("strings stand in double quotes", "write `\"…\"`"),
        '\'' => ("strings stand in double quotes", "write `\"…\"`"),
        '\\' => ("lines are not joined by `\\`", "a line goes on after an operator, a comma and inside brackets"),
        '~' => ("there is no operator `~`", "write `not`"),
        '$' | '`' => ("this sign has no meaning here", "names have letters, digits and `_`"),
        ':' if found == ":=" => ("a value is bound with `=`", "write `x = …`"),
        '=' if found == "=>" => ("there are no lambdas", "write a named `fn` and pass its name"),
        '…' => ("`…` stands only in a tuple type", "an index of all other axes is `...`"),
        c if !c.is_ascii() && c.is_alphanumeric() => ("names have the letters a to z, digits and `_`", "rename it"),
        _ => return None,
    };
    Some(foreign(refused.found_span(), title, help))
}

/// `x++`, `--x`
fn increment(refused: &Refused) -> Option<Diagnostic> {
    let text = refused.text.trim_end();
    for sign in ["++", "--"] {
        let behind = text.strip_suffix(sign).filter(|_| refused.at + 1 >= text.len());
        let at = if behind.is_some() { text.len() - sign.len() } else { 0 };
        let Some(name) = behind.or_else(|| text.strip_prefix(sign)) else { continue };
        let op = &sign[..1];
        let name = if is_place(name.trim()) { name.trim() } else { "x" };
        let title = format!("there is no operator `{sign}`");
        return Some(foreign(refused.span(at, at + sign.len()), title, format!("write `{name} {op}= 1`")));
    }
    None
}

/// `x **= 2`, `x %= 2`
fn compound(refused: &Refused) -> Option<Diagnostic> {
    if refused.found() != "=" {
        return None;
    }
    let before = &refused.text[..refused.at];
    let sign = ["**", "%", "@", "&", "|", "^"].into_iter().find(|sign| before.ends_with(sign))?;
    let at = refused.at - sign.len();
    let name = before[..at].trim();
    let name = if is_place(name) { name } else { "x" };
    let value = refused.text[refused.at + 1..].trim();
    let value = if value.is_empty() { "…" } else { value };
    let help = match sign {
        "&" => format!("write `{name} = {name} and {value}`"),
        "|" => format!("write `{name} = {name} or {value}`"),
        "^" => format!("write `{name} = {name} ** {value}`"),
        _ => format!("write `{name} = {name} {sign} {value}`"),
    };
    Some(foreign(refused.span(at, refused.at + 1), format!("there is no operator `{sign}=`"), help))
}

/// `a = b = c`
fn chain(refused: &Refused) -> Option<Diagnostic> {
    let (first, second) = refused.before().split_once('=')?;
    let names = (first.trim(), second.trim());
    if refused.found() != "=" || !is_place(names.0) || !is_place(names.1) {
        return None;
    }
    let (a, b) = names;
    let value = refused.text[refused.at + 1..].trim();
    let help = format!("write `{b} = {value}`, and `{a} = {b}` in a line of its own");
    Some(foreign(refused.found_span(), "a statement has one `=`", help))
}

/// `return +x`, `a * +b`
fn plus(refused: &Refused) -> Option<Diagnostic> {
    let before = refused.before();
    let (previous, _) = refused.previous_word();
    let behind_operand = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '"'));
    let begins = matches!(previous, "return" | "yield" | "then" | "else" | "and" | "or" | "not" | "if" | "in");
    (refused.found() == "+" && !before.is_empty() && (begins || !behind_operand))
        .then(|| foreign(refused.found_span(), "there is no `+` in front of a value", "leave it out"))
}

/// `f(*xs)`, `f(**options)`
fn unpacked(refused: &Refused) -> Option<Diagnostic> {
    let found = refused.found();
    (matches!(found, "*" | "**") && refused.expects(Rule::arg)).then(|| {
        let help = match found {
            "*" => "give each value: `f(xs[0], xs[1])`; a list takes another one in: `[*xs, 3]`",
            _ => "write each argument with its name: `f(x, axis: 1)`",
        };
        foreign(refused.found_span(), "arguments are not unpacked", help)
    })
}

/// `f"x = {x}"`
fn formatted(refused: &Refused) -> Option<Diagnostic> {
    let (previous, start) = refused.previous_word();
    let adjoins = start + previous.len() == refused.at;
    let is_prefix = matches!(previous, "f" | "r" | "b" | "F" | "R" | "B");
    (refused.found().starts_with(['"', '\'']) && is_prefix && adjoins).then(|| {
        let span = refused.span(start, refused.at + refused.found().len());
        foreign(span, "strings are plain text", "values are shown one by one: `print(\"loss\")`, then `print(loss)`")
    })
}

/// `fc->forward(x)`
fn member_arrow(refused: &Refused) -> Option<Diagnostic> {
    let adjoins = refused.at == refused.before().len();
    let names = refused.text[refused.at..].strip_prefix("->").is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let in_head = matches!(crate::layout::first_word(refused.text), "fn" | "extern" | "grad");
    (adjoins && names && !in_head).then(|| foreign(refused.found_span(), "a member is taken with `.`", "write `a.b`"))
}

/// A name, or one with an index.
fn is_place(text: &str) -> bool {
    let name = super::token_at(text);
    let rest = text[name.len()..].trim();
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && (rest.is_empty() || (rest.starts_with('[') && rest.ends_with(']')))
}
