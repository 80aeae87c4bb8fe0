//! Blanks within a line: a property of two neighbours and of where they stand.

use super::stream::Token;
use crate::grammar::RESERVED;

/// The part a sign plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A word, number, string, bracket, comma or `...`.
    Plain,
    /// A sign before its operand: `-x`, `*S`, `@export`.
    Prefix,
    /// `.` and `..`: never blanks around it.
    Tight,
    /// Blanks around it.
    Infix,
    /// An operator in a slice (`a:a+T`) or in a multiple of a size (`4*H`).
    TightInfix,
    /// `:` before a type or an argument's value.
    Colon,
    /// `:` of a slice or behind a label.
    TightColon,
}

const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "**", "@"];

/// The roles of all tokens; `begins_line` tells where logical lines begin.
pub fn roles(tokens: &[Token], begins_line: &[bool]) -> Vec<Role> {
    let mut roles = first_roles(tokens, begins_line);
    let mut open: Vec<usize> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.opens() || token.text == "{" {
            open.push(at);
        } else if (token.closes() || token.text == "}")
            && let Some(from) = open.pop()
            && token.closes()
        {
            tighten(tokens, &mut roles, from, at);
        }
    }
    roles
}

fn first_roles(tokens: &[Token], begins_line: &[bool]) -> Vec<Role> {
    let mut brackets: Vec<&str> = Vec::new();
    let mut attributes = false;
    let mut roles = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => brackets.push(token.text),
            ")" | "]" | "}" => drop(brackets.pop()),
            _ => {}
        }
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let after_sign = before.is_some_and(|before| before.text == "@") && roles.last() == Some(&Role::Prefix);
        // Nothing but attributes so far.
        attributes = begins_line[at] && token.text == "@" || attributes && (token.text == "@" || after_sign);
        let operand_before = !begins_line[at] && before.is_some_and(ends_operand);
        roles.push(match token.text {
            "." | ".." => Role::Tight,
            ":" if brackets.last() == Some(&"[") => Role::TightColon,
            ":" => Role::Colon,
            "@" if attributes => Role::Prefix,
            "-" | "*" if !operand_before => Role::Prefix,
            text if OPERATORS.contains(&text) => Role::Infix,
            _ => Role::Plain,
        });
    }
    roles
}

/// Whether an operand can end with `token`, so that a sign behind it is infix.
fn ends_operand(token: &Token) -> bool {
    let word = token.is_word() && (!RESERVED.contains(&token.text) || matches!(token.text, "true" | "false" | "new"));
    word || token.closes() || token.text.starts_with(|c: char| c.is_ascii_digit() || c == '"')
}

/// Finds the operators between the brackets at `from` and `to` that stand close.
fn tighten(tokens: &[Token], roles: &mut [Role], from: usize, to: usize) {
    let mut depth = 0;
    let mut start = from + 1;
    for at in from + 1..=to {
        let text = tokens[at].text;
        let ends = depth == 0 && (text == "," || text == ";" || roles[at] == Role::Colon) || at == to;
        if ends {
            tighten_part(tokens, roles, start..at);
            start = at + 1;
        }
        match text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
    }
}

/// `tokens[part]` is one argument, element, size or index.
fn tighten_part(tokens: &[Token], roles: &mut [Role], part: std::ops::Range<usize>) {
    if is_multiple(&tokens[part.clone()]) {
        roles[part].iter_mut().filter(|role| **role == Role::Infix).for_each(|role| *role = Role::TightInfix);
        return;
    }
    let mut depth = 0;
    let mut outer = Vec::new();
    for at in part {
        match tokens[at].text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ if depth == 0 => outer.push(at),
            _ => {}
        }
    }
    if !outer.iter().any(|&at| roles[at] == Role::TightColon) {
        return;
    }
    for at in outer {
        // `a - -b` must not become `a--b`.
        let safe = roles.get(at + 1).is_some_and(|next| *next != Role::Prefix);
        if roles[at] == Role::Infix && safe {
            roles[at] = Role::TightInfix;
        }
    }
}

/// `4*H`, `7*7*256`: whole numbers and names, the first one a number.
fn is_multiple(part: &[Token]) -> bool {
    let is_factor = |token: &Token| token.is_integer() || token.is_word() && ends_operand(token);
    part.len() >= 3
        && part.len() % 2 == 1
        && part[0].is_integer()
        && part.iter().enumerate().all(|(at, token)| if at % 2 == 0 { is_factor(token) } else { token.text == "*" })
}

/// Whether a blank stands between two neighbours of a line. `first`: the left one begins its logical line.
pub fn is_spaced(left: (&Token, Role), right: (&Token, Role), first: bool) -> bool {
    let ((left, left_role), (right, right_role)) = (left, right);
    if left.text == "{" || right.text == "}" {
        return !(left.text == "{" && right.text == "}");
    }
    if matches!(right.text, "," | ";") || right.closes() || left.opens() {
        return false;
    }
    if matches!(left.text, "," | ";") {
        return true;
    }
    let is_close = |role: Role| matches!(role, Role::Tight | Role::TightInfix | Role::TightColon);
    if left_role == Role::Prefix || is_close(left_role) || is_close(right_role) || right_role == Role::Colon {
        return false;
    }
    if right.opens() {
        let statement = first && matches!(left.text, "assert" | "every");
        return statement || !ends_operand(left);
    }
    true
}
