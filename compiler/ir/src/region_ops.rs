//! The ops that own regions.
//!
//! [`Loop`] is `scan`, the loop over stacked blocks and the bounded `for … while`.
//!
//! | | in order |
//! |---|---|
//! | operands | `[count: i64]` if the trip is `UpTo`, carries, slices (`[N, …]`), invariants |
//! | body parameters | the position along axis 0 (i64), carries, slices (without axis 0), invariants |
//! | body results | `[stop: bool]` if `until`, carries, stacks, sums |
//! | results | `[count: i64]` if `until`, carries, stacks (`[N, …]`), sums |
//!
//! Iteration `p` gets row `p` of every slice and writes row `p` of every stack; `rev` runs `p` from
//! the last down to 0. A sum is added over the iterations, from 0. The trip is `N`, or the operand
//! `count` clamped into `0..=N`. With `until` the loop ends after the iteration whose `stop` is
//! true, and its first result is the number of iterations run; a loop with `until` does not run in
//! reverse. Rows of stacks that no iteration wrote are zero.
//!
//! [`Call`] runs its first region once: `@checkpoint` (`remat`) or a custom `grad` (second region).

use crate::dim::Dim;

/// How often a loop runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trip {
    /// So often.
    Exact(Dim),
    /// As the first operand says, at most so often.
    UpTo(Dim),
}

impl Trip {
    /// The extent of axis 0 of slices and stacks.
    pub fn bound(&self) -> &Dim {
        match self {
            Trip::Exact(bound) | Trip::UpTo(bound) => bound,
        }
    }
}

/// A loop; see the module's table for operands and results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loop {
    /// How often.
    pub trip: Trip,
    /// From the last position down to 0.
    pub rev: bool,
    /// Whether the body says when to stop.
    pub until: bool,
    /// Number of values handed from iteration to iteration.
    pub carries: u32,
    /// Number of operands cut along axis 0.
    pub slices: u32,
    /// Number of operands the same for all iterations.
    pub invariants: u32,
    /// Number of results stacked along axis 0.
    pub stacks: u32,
    /// Number of float results added over the iterations.
    pub sums: u32,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remat {
    /// The backward pass uses values kept from the forward pass.
    Keep,
    /// The backward pass gets the operands alone and computes the rest again.
    Recompute,
}

/// Runs its first region once: operands are its parameters, results its results. A second region,
/// if any, is its gradient: `(operands…, results…, adjoints of float results…)` to one adjoint for
/// each float operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Whether the backward pass recomputes.
    pub remat: Remat,
}
