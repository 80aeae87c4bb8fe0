//! A bound on the depth of the syntax tree, known before there is a tree: brackets, braces and
//! operators around and beside one place. Everything behind the parser recurses, so this is what keeps
//! stacks from overflowing, whether a tree is deep by nesting or by a long chain of operators.

use super::MAX_CHAIN;

/// How deep the tree of an expression or statement can become: what stands around it and beside it.
pub struct Chain {
    /// One for the file and for each open bracket and brace.
    levels: Vec<Links>,
    total: usize,
}

/// What makes a tree deeper without being around what follows.
#[derive(Clone, Copy, Default)]
struct Links {
    /// Operators and brackets since the last comma.
    operators: usize,
    /// Blocks of this line: each `else if` is one deeper.
    blocks: usize,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { levels: vec![Links::default()], total: 0 }
    }
}

impl Chain {
    /// An operator.
    pub fn link(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.operators += 1;
            self.total += 1;
        }
    }

    /// A comma or the end of a line: what follows is beside what was before.
    pub fn restart(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            self.total -= level.operators + level.blocks;
            *level = Links::default();
        }
    }

    /// `(` or `[`
    pub fn open_bracket(&mut self) {
        self.link();
        self.levels.push(Links::default());
    }

    /// `{`
    pub fn open_block(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            // The operators of the head are beside the block, not around it.
            self.total -= std::mem::take(&mut level.operators);
            level.blocks += 1;
            self.total += 1;
        }
        self.levels.push(Links::default());
    }

    /// The end of the innermost bracket or brace.
    pub fn close(&mut self) {
        self.restart();
        if self.levels.len() > 1 {
            self.levels.pop();
        }
    }

    /// Whether the tree could become too deep to recurse into.
    pub fn is_too_long(&self) -> bool {
        self.total > MAX_CHAIN
    }
}
