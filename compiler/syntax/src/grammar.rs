//! The pest parser made from `grammar.pest`, the binding strength of operators, and the words the
//! language keeps for itself.

use pest::pratt_parser::{Assoc, Op, PrattParser};
use pest_derive::Parser;
use std::sync::LazyLock;

/// The parser; its rules are those of `grammar.pest`.
#[derive(Parser)]
#[grammar = "grammar.pest"]
pub struct Grammar;

/// Words that are never names (but may name an argument of a call).
pub const RESERVED: &[&str] = &[
    "and", "or", "not", "true", "false", "if", "then", "else", "for", "in", "while", "scan", "along", "yield",
    "return", "minimize", "over", "with", "requires", "new", "fn",
];

/// Words that begin an item.
pub const ITEM_WORDS: &[&str] =
    &["import", "const", "fn", "layer", "model", "grad", "extern", "optimizer", "train", "test"];

/// Words that begin a member of a layer, optimizer or train block.
pub const MEMBER_WORDS: &[&str] = &["param", "state", "fn", "step", "every"];

/// Words that begin a statement.
pub const STATEMENT_WORDS: &[&str] = &["return", "yield", "minimize", "metric", "assert", "for", "if"];

/// Operators from the loosest to the tightest.
pub static PRATT: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::op_or))
        .op(left(Rule::op_and))
        .op(Op::prefix(Rule::op_not))
        .op(left(Rule::op_eq)
            | left(Rule::op_ne)
            | left(Rule::op_lt)
            | left(Rule::op_le)
            | left(Rule::op_gt)
            | left(Rule::op_ge))
        .op(left(Rule::op_to) | Op::postfix(Rule::open_end))
        .op(left(Rule::op_add) | left(Rule::op_sub))
        .op(left(Rule::op_mul) | left(Rule::op_div) | left(Rule::op_rem) | left(Rule::op_mat))
        .op(Op::prefix(Rule::op_neg))
        .op(Op::infix(Rule::op_pow, Assoc::Right))
});
