//! Sizes as the runtime reads them: a number, or a text for people with the same in reverse Polish
//! notation for the evaluator.

use mlc_ir::dim::{Atom, Dim, Sym, Term};
use serde_json::{Value, json};
use std::sync::Arc;

/// A number, or `{"text": "2*B + 1", "rpn": "2 B * 1 +"}`.
pub fn json(dim: &Dim, names: &[Arc<str>]) -> Value {
    match dim.as_const() {
        Some(number) => json!(number),
        None => json!({"text": dim.display(names).to_string(), "rpn": rpn(dim, names)}),
    }
}

/// Integers, symbol names, `+ - *`, `/` (floor division) and `max`, separated by spaces.
pub fn rpn(dim: &Dim, names: &[Arc<str>]) -> String {
    let mut tokens = Vec::new();
    push_dim(dim, names, &mut tokens);
    tokens.join(" ")
}

fn push_dim(dim: &Dim, names: &[Arc<str>], tokens: &mut Vec<String>) {
    if dim.terms().is_empty() {
        tokens.push("0".to_string());
    }
    for (position, term) in dim.terms().iter().enumerate() {
        push_term(term, names, tokens);
        if position > 0 {
            tokens.push("+".to_string());
        }
    }
}

fn push_term(term: &Term, names: &[Arc<str>], tokens: &mut Vec<String>) {
    tokens.push(term.coef.to_string());
    for (atom, power) in &term.factors {
        for _ in 0..*power {
            push_atom(atom, names, tokens);
            tokens.push("*".to_string());
        }
    }
}

fn push_atom(atom: &Atom, names: &[Arc<str>], tokens: &mut Vec<String>) {
    match atom {
        Atom::Sym(Sym(index)) => tokens.push(names[*index as usize].to_string()),
        Atom::FloorDiv(dim, divisor) => {
            push_dim(dim, names, tokens);
            tokens.extend([divisor.to_string(), "/".to_string()]);
        }
        Atom::Max(a, b) => {
            push_dim(a, names, tokens);
            push_dim(b, names, tokens);
            tokens.push("max".to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(rpn: &str, b: i64) -> i64 {
        let mut stack: Vec<i64> = Vec::new();
        for token in rpn.split(' ') {
            let value = match token {
                "B" => b,
                "+" | "*" | "/" | "max" => {
                    let (right, left) = (stack.pop().unwrap(), stack.pop().unwrap());
                    match token {
                        "+" => left + right,
                        "*" => left * right,
                        "/" => left.div_euclid(right),
                        _ => left.max(right),
                    }
                }
                number => number.parse().unwrap(),
            };
            stack.push(value);
        }
        assert_eq!(stack.len(), 1);
        stack[0]
    }

    #[test]
    fn means_what_the_size_means() {
        let b = Dim::from(Sym(0));
        let square = b.mul(&b).unwrap().sub(&Dim::from(3)).unwrap();
        let sizes = [
            Dim::zero(),
            Dim::from(-7),
            b.clone(),
            square.clone(),
            square.floor_div(4).unwrap().mul(&b).unwrap(),
            Dim::max(&square, &b.mul(&Dim::from(5)).unwrap()).unwrap(),
        ];
        for size in &sizes {
            for value in 1..20 {
                assert_eq!(evaluate(&rpn(size, &["B".into()]), value), size.eval(&[value]).unwrap(), "{size:?}");
            }
        }
        assert_eq!(json(&Dim::from(28), &[]).to_string(), "28");
    }
}
