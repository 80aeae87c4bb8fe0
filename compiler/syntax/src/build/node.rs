//! A thin layer over pest's pairs: spans in the file, children by rule.

use crate::ast::Name;
use crate::grammar::Rule;
use crate::span::{FileId, Span};
use pest::iterators::{Pair, Pairs};
use std::iter::Peekable;

/// A match of a rule, and where the parsed text begins in its file.
#[derive(Clone)]
pub struct Node<'t> {
    pair: Pair<'t, Rule>,
    origin: Origin,
}

/// The place of a parsed text in its file.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Where the text begins.
    pub offset: usize,
}

impl<'t> Node<'t> {
    /// Wraps what pest made of a text at `origin`.
    pub fn new(pair: Pair<'t, Rule>, origin: Origin) -> Node<'t> {
        Node { pair, origin }
    }

    /// The rule that matched.
    pub fn rule(&self) -> Rule {
        self.pair.as_rule()
    }

    /// The text, without the blanks that pest leaves at the end where an optional part is missing.
    pub fn text(&self) -> &'t str {
        self.pair.as_str().trim_end()
    }

    /// The place of [`text`](Node::text).
    pub fn span(&self) -> Span {
        let lo = self.origin.offset + self.pair.as_span().start();
        Span::new(self.origin.file, lo, lo + self.text().len())
    }

    /// This node as a name.
    pub fn name(&self) -> Name {
        Name { text: self.text().into(), span: self.span() }
    }

    /// The text between the quotes.
    pub fn unquoted(&self) -> &'t str {
        self.text().trim_matches('"')
    }

    /// What is inside, without keywords and punctuation.
    pub fn children(self) -> Children<'t> {
        Children { pairs: self.pair.into_inner().peekable(), origin: self.origin }
    }

    /// The only thing inside.
    pub fn child(self) -> Node<'t> {
        self.children().one()
    }

    /// What pest has inside, for the operator parser.
    pub fn into_pairs(self) -> (Pairs<'t, Rule>, Origin) {
        (self.pair.into_inner(), self.origin)
    }
}

/// The nodes inside a node, taken from left to right.
#[derive(Clone)]
pub struct Children<'t> {
    pairs: Peekable<Pairs<'t, Rule>>,
    origin: Origin,
}

impl<'t> Children<'t> {
    /// The next node, which the grammar says is a `rule`.
    ///
    /// # Panics
    ///
    /// If it is not: then this module and the grammar contradict each other, whatever the input was.
    pub fn expect(&mut self, rule: Rule) -> Node<'t> {
        match self.maybe(rule) {
            Some(node) => node,
            None => panic!("the grammar promises {rule:?}, but the tree has {:?}", self.next().map(|node| node.rule())),
        }
    }

    /// The next node, which the grammar says is there.
    ///
    /// # Panics
    ///
    /// As [`expect`](Children::expect).
    pub fn one(&mut self) -> Node<'t> {
        self.next().expect("the grammar promises one more part")
    }

    /// The next node if it is a `rule`.
    pub fn maybe(&mut self, rule: Rule) -> Option<Node<'t>> {
        self.skip_tokens();
        let pair = self.pairs.next_if(|pair| pair.as_rule() == rule)?;
        Some(Node::new(pair, self.origin))
    }

    fn skip_tokens(&mut self) {
        while self.pairs.next_if(|pair| is_token(pair.as_rule())).is_some() {}
    }
}

impl<'t> Iterator for Children<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        self.skip_tokens();
        Some(Node::new(self.pairs.next()?, self.origin))
    }
}

/// Whether a match of `rule` says nothing that its place does not say.
fn is_token(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::kw_along
            | Rule::kw_as
            | Rule::kw_assert
            | Rule::kw_const
            | Rule::kw_else
            | Rule::kw_every
            | Rule::kw_extern
            | Rule::kw_for
            | Rule::kw_grad
            | Rule::kw_if
            | Rule::kw_import
            | Rule::kw_in
            | Rule::kw_metric
            | Rule::kw_minimize
            | Rule::kw_optimizer
            | Rule::kw_over
            | Rule::kw_requires
            | Rule::kw_return
            | Rule::kw_scan
            | Rule::kw_step
            | Rule::kw_test
            | Rule::kw_then
            | Rule::kw_train
            | Rule::kw_while
            | Rule::kw_with
            | Rule::kw_yield
            | Rule::left_paren
            | Rule::call_paren
            | Rule::right_paren
            | Rule::left_bracket
            | Rule::after_bracket
            | Rule::right_bracket
            | Rule::left_brace
            | Rule::comma
            | Rule::semicolon
            | Rule::dot
            | Rule::arrow
            | Rule::equals
            | Rule::colon
            | Rule::type_colon
            | Rule::star
            | Rule::at_sign
            | Rule::pipe_sign
            | Rule::EOI
    )
}
