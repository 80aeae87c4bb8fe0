//! The whole form of what was begun and not ended.

use super::{Place, Refused};
use crate::grammar::Rule;

/// How the statement or value is written to its end.
pub fn whole(refused: &Refused) -> Option<&'static str> {
    const PARTS: &[(Rule, &str)] = &[
        (Rule::kw_over, "`minimize LOSS over NET with OPT`"),
        (Rule::kw_with, "`minimize LOSS over NET with OPT`"),
        (Rule::kw_along, "a scan says along which axis: `for x_t in x along T { … }`"),
        (Rule::period, "`every 1 epoch { … }` or `every 500 steps { … }`"),
        (Rule::kw_then, "as a value it is `if c then a else b`, as a statement `if c { … } else { … }`"),
        (Rule::kw_else, "a value has both: `if c then a else b`; a statement is `if c { … }`"),
    ];
    let found = refused.found();
    if found == "if" && !refused.before().is_empty() {
        return Some(match refused.expects(Rule::right_bracket) {
            true => "a list takes all: leave out what is not wanted in what it runs over",
            false => "a choice is written `if c then a else b`",
        });
    }
    let is_operator = found.starts_with(['+', '-', '*', '/', '@', '%', '<', '>']) && found != "->";
    if is_operator && refused.before().contains("|>") && refused.expects(Rule::EOI) {
        return Some(
            "a pipe goes to the end: bind its value to a name first, or put it in parentheses, `(x |> f) + 1`",
        );
    }
    if let Some(form) = in_type(refused).or_else(|| headline(refused)) {
        return Some(form);
    }
    if refused.expects(Rule::equals) && super::token_at(refused.text) == "metric" {
        return Some("a metric has a name: `metric accuracy = accuracy(logits, label)`");
    }
    PARTS.iter().find(|(rule, _)| refused.expects(*rule)).map(|(_, form)| *form)
}

/// `epochs: 10`: the name that is bound with a colon, and where it ends.
pub fn bound_with_colon<'t>(refused: &Refused<'t>) -> Option<&'t str> {
    let name = super::token_at(refused.text);
    let behind = refused.text[name.len()..].trim_start();
    let is_value =
        refused.found().starts_with(|c: char| c.is_ascii_digit() || c == '"') && refused.expects(Rule::r#type);
    (refused.place == Place::Member && behind.starts_with(':') && is_value).then_some(name)
}

/// What the headline of a declaration or loop lacks.
fn headline(refused: &Refused) -> Option<&'static str> {
    let (found, before) = (refused.found(), refused.before());
    match crate::layout::first_word(refused.text) {
        "fn" if refused.expects(Rule::left_brace) => match found {
            "where" => Some("a condition is written `requires D > 2`"),
            "->" => Some("the result's type comes before `requires`: `fn f(x: f32[B]) -> f32[B] requires B > 2 { … }`"),
            ":" if refused.text.trim_end().ends_with(':') && refused.text[refused.at..].trim().len() == 1 => None,
            _ if before.ends_with(')') => {
                Some("the result's type stands behind `->`: `fn f(x: f32[B]) -> f32[B] { … }`")
            }
            _ => None,
        },
        "train" if found == "{" && before == "train" => Some("a train block has a name: `train digits { … }`"),
        "test" if refused.expects(Rule::string) => Some("a test says what holds: `test \"sums are right\" { … }`"),
        "check_grad" if before == "check_grad" => {
            Some("it is called with a function and its arguments: `check_grad(f, x: normal([2, 3]))`")
        }
        "for" if found == "(" && before.ends_with("for") => Some("no parentheses around it: `for i in 0..3 { … }`"),
        _ if found == "..." || (found == "=" && before.ends_with("..")) => {
            Some("a range is `0..n`, and `n` is not in it")
        }
        _ => None,
    }
}

/// What a type lacks, and a member that has one.
fn in_type(refused: &Refused) -> Option<&'static str> {
    let found = refused.found();
    let (previous, _) = refused.previous_word();
    let behind_dtype =
        matches!(previous, "f32" | "f64" | "i32" | "i64" | "u8" | "i8" | "bool" | "float" | "num" | "any");
    if found == "(" && behind_dtype {
        return Some("the sizes stand in `[` `]`: `f32[B, 3]`");
    }
    if refused.expects(Rule::axis) || refused.before().ends_with("[*") {
        return Some("each axis has a name or a size, `f32[B, 3]`; any number of axes is `f32[*S, 3]`");
    }
    let declares = refused.place == Place::Member && found.is_empty() && refused.expects(Rule::equals);
    let keyword = matches!(super::token_at(refused.text), "param" | "state");
    (declares && !keyword && refused.text.contains(':')).then_some("a weight is `param w: f32[H] = zeros()`")
}
