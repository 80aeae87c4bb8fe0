//! What the grammar would have taken, in plain words.

use crate::grammar::Rule;

/// How much it helps to hear that something could have stood at a place. Only the best are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// What ends the line or opens its block, or the word that a statement lacks.
    End,
    /// What must come somewhere: a closing bracket, a name, an expression.
    Part,
    /// What could go on, as an operator can behind every operand.
    More,
}

/// `expected …`, without the word: what `rules` stand for.
pub fn in_words(rules: &[Rule]) -> String {
    let mut told: Vec<(Weight, &str)> = rules.iter().map(|rule| describe(*rule)).collect();
    told.sort_by_key(|(_, word)| *word != "`,`");
    let best = told.iter().map(|(weight, _)| *weight).min();
    let mut words: Vec<&str> = Vec::new();
    for (weight, word) in told {
        if Some(weight) == best && !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        None => "something else".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// Whether a name could have stood there.
pub fn wants_name(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| {
        matches!(rule, Rule::name | Rule::names | Rule::variable | Rule::expr | Rule::exprs | Rule::any_statement)
    })
}

/// The word that a keyword's rule matches.
pub fn keyword(rule: Rule) -> Option<&'static str> {
    let (_, text) = describe(rule);
    let word = text.strip_prefix('`')?.strip_suffix('`')?;
    word.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(word)
}

fn describe(rule: Rule) -> (Weight, &'static str) {
    use Weight::{End, More, Part};
    match rule {
        Rule::EOI => (End, "the end of the line"),
        Rule::left_brace => (End, "`{`"),
        Rule::kw_over => (End, "`over`"),
        Rule::kw_with => (End, "`with`"),
        Rule::kw_in => (End, "`in`"),
        Rule::kw_then => (End, "`then`"),
        Rule::kw_else => (End, "`else`"),
        Rule::kw_along => (End, "`along`"),
        Rule::period => (End, "`steps` or `epochs`"),

        Rule::name | Rule::word | Rule::names | Rule::hole | Rule::dotted => (Part, "a name"),
        Rule::string => (Part, "a string"),
        Rule::number => (Part, "a number"),
        Rule::along => (Part, "an axis name or number"),
        Rule::exprs | Rule::expr | Rule::if_expr | Rule::pipe | Rule::ops | Rule::postfix => (Part, "an expression"),
        Rule::variable | Rule::boolean | Rule::tuple | Rule::list => (Part, "an expression"),
        Rule::op_neg | Rule::op_not | Rule::kw_if => (More, "an expression"),
        Rule::arg | Rule::keyword_arg | Rule::equals_arg => (Part, "an argument"),
        Rule::entry | Rule::slice_tail | Rule::slice_end | Rule::slice_step => (Part, "an index"),
        Rule::element | Rule::splice => (Part, "an element"),
        Rule::r#type | Rule::named_type | Rule::tuple_type | Rule::field_type => (Part, "a type"),
        Rule::axis | Rule::pack | Rule::label => (Part, "a size"),
        Rule::attr => (More, "an attribute"),
        Rule::param => (Part, "an argument"),
        Rule::params => (Part, "arguments in `(` `)`"),
        Rule::carry | Rule::carries => (Part, "a carried name"),
        Rule::item | Rule::any_item => (Part, "a declaration"),
        Rule::attributed | Rule::attributed_fn => (Part, "`fn`"),
        Rule::member | Rule::any_member => (Part, "a member"),
        Rule::statement | Rule::any_statement => (Part, "a statement"),
        Rule::annotation | Rule::annotated_name => (More, "`:`"),

        Rule::left_paren => (Part, "`(`"),
        Rule::right_paren => (Part, "`)`"),
        Rule::left_bracket => (Part, "`[`"),
        Rule::right_bracket => (Part, "`]`"),
        Rule::comma => (Part, "`,`"),
        Rule::semicolon => (More, "`;`"),
        Rule::dot => (More, "`.`"),
        Rule::arrow => (More, "`->`"),
        Rule::equals => (Part, "`=`"),
        Rule::colon => (More, "`:`"),
        Rule::type_colon => (Part, "`:` and a type"),
        Rule::star => (More, "`*`"),
        Rule::at_sign => (More, "`@`"),
        Rule::pipe_sign => (More, "`|>`"),
        Rule::compound => (More, "`+=`"),
        Rule::ellipsis | Rule::variadic => (More, "`...`"),

        Rule::op_or
        | Rule::op_and
        | Rule::op_eq
        | Rule::op_ne
        | Rule::op_le
        | Rule::op_lt
        | Rule::op_ge
        | Rule::op_gt
        | Rule::op_to
        | Rule::op_add
        | Rule::op_sub
        | Rule::op_pow
        | Rule::op_mul
        | Rule::op_div
        | Rule::op_rem
        | Rule::op_mat
        | Rule::open_end => (More, "an operator"),
        Rule::call | Rule::call_paren => (More, "`(`"),
        Rule::index | Rule::axes | Rule::after_bracket => (More, "`[`"),
        Rule::field => (More, "`.`"),
        Rule::stack_tail => (More, "`;`"),
        Rule::for_tail => (More, "`for`"),

        Rule::kw_as => (More, "`as`"),
        Rule::kw_assert | Rule::assert_stmt => (Part, "`assert`"),
        Rule::kw_const | Rule::const_item => (Part, "`const`"),
        Rule::kw_every | Rule::every_head | Rule::every_signature => (Part, "`every`"),
        Rule::kw_extern | Rule::extern_item => (Part, "`extern`"),
        Rule::kw_fn | Rule::fn_head | Rule::fn_signature => (Part, "`fn`"),
        Rule::kw_for => (More, "`for`"),
        Rule::for_head | Rule::for_signature => (Part, "`for`"),
        Rule::kw_grad | Rule::grad_head | Rule::grad_signature | Rule::gradient => (More, "`grad`"),
        Rule::kw_import | Rule::import => (Part, "`import`"),
        Rule::kw_layer | Rule::layer_head | Rule::layer_signature => (Part, "`layer`"),
        Rule::kw_metric | Rule::metric_stmt => (Part, "`metric`"),
        Rule::kw_minimize | Rule::minimize_stmt => (Part, "`minimize`"),
        Rule::kw_model => (Part, "`model`"),
        Rule::kw_new => (More, "`new`"),
        Rule::kw_optimizer | Rule::optimizer_head | Rule::optimizer_signature => (Part, "`optimizer`"),
        Rule::kw_param | Rule::tensor => (Part, "`param`"),
        Rule::kw_requires | Rule::requires => (More, "`requires`"),
        Rule::kw_return | Rule::return_stmt => (Part, "`return`"),
        Rule::kw_scan | Rule::scan_head | Rule::scan_signature => (More, "`scan`"),
        Rule::kw_state => (Part, "`state`"),
        Rule::kw_step | Rule::step_head | Rule::step_signature => (Part, "`step`"),
        Rule::kw_test | Rule::test_head | Rule::test_signature => (Part, "`test`"),
        Rule::kw_train | Rule::train_head | Rule::train_signature => (Part, "`train`"),
        Rule::kw_while | Rule::while_part => (More, "`while`"),
        Rule::kw_yield | Rule::yield_stmt => (Part, "`yield`"),
        Rule::if_head | Rule::if_signature => (Part, "`if`"),
        Rule::else_part | Rule::else_segment => (Part, "`else`"),
        Rule::result => (More, "`->`"),
        Rule::annotated | Rule::assign => (Part, "a statement"),
        Rule::bind => (Part, "`=`"),
        Rule::WHITESPACE
        | Rule::ident_start
        | Rule::ident_char
        | Rule::reserved
        | Rule::digits
        | Rule::infix
        | Rule::infix_start
        | Rule::any_infix
        | Rule::prefix
        | Rule::atom => (More, "something else"),
    }
}
