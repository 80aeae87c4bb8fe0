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
