//! Sizes that are known when a call's arguments are.

use crate::json::Value;

/// A size: a number, or an expression in the program's size symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dim {
    /// As the user wrote it: `28`, `2*B + 1`.
    pub text: String,
    code: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Number(i64),
    Symbol(usize),
    Add,
    Sub,
    Mul,
    FloorDiv,
    Max,
}

impl Dim {
    /// A fixed size.
    pub fn fixed(n: i64) -> Self {
        Self { text: n.to_string(), code: vec![Token::Number(n)] }
    }

    /// From metadata: a number, or `{"text": …, "rpn": …}`. `None` if it is neither or names an unknown symbol.
    pub fn from_json(value: &Value, symbols: &[String]) -> Option<Self> {
        if let Some(n) = value.as_int() {
            return Some(Self::fixed(n));
        }
        let text = value.get("text")?.as_str()?.to_owned();
        let code: Option<Vec<Token>> =
            value.get("rpn")?.as_str()?.split_ascii_whitespace().map(|word| token(word, symbols)).collect();
        Some(Self { text, code: code? })
    }

    /// Its value for these sizes (one for each symbol); `None` beyond i64, on division by zero, or if
    /// the expression isn't whole.
    pub fn eval(&self, sizes: &[i64]) -> Option<i64> {
        let mut stack: Vec<i64> = Vec::with_capacity(4);
        for token in &self.code {
            let value = match *token {
                Token::Number(n) => n,
                Token::Symbol(s) => *sizes.get(s)?,
                operator => {
                    let (b, a) = (stack.pop()?, stack.pop()?);
                    apply(operator, a, b)?
                }
            };
            stack.push(value);
        }
        if stack.len() == 1 { stack.pop() } else { None }
    }

    /// Its value if it is a plain number.
    pub fn number(&self) -> Option<i64> {
        match self.code[..] {
            [Token::Number(n)] => Some(n),
            _ => None,
        }
    }

    /// For JSON output: a number or the text.
    pub fn to_json(&self) -> Value {
        self.number().map_or_else(|| Value::from(self.text.as_str()), Value::Int)
    }
}

fn token(word: &str, symbols: &[String]) -> Option<Token> {
    Some(match word {
        "+" => Token::Add,
        "-" => Token::Sub,
        "*" => Token::Mul,
        "/" => Token::FloorDiv,
        "max" => Token::Max,
        _ => match word.parse() {
            Ok(n) => Token::Number(n),
            Err(_) => Token::Symbol(symbols.iter().position(|s| s == word)?),
        },
    })
}

fn apply(operator: Token, a: i64, b: i64) -> Option<i64> {
    match operator {
        Token::Add => a.checked_add(b),
        Token::Sub => a.checked_sub(b),
        Token::Mul => a.checked_mul(b),
        Token::FloorDiv => {
            let quotient = a.checked_div(b)?;
            Some(quotient - i64::from(a % b != 0 && (a < 0) != (b < 0)))
        }
        Token::Max => Some(a.max(b)),
        Token::Number(_) | Token::Symbol(_) => None,
    }
}
