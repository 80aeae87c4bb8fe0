//! Syntax trees to graphs: names, instances, sizes, training blocks. Every user error ends here.

pub mod program;
