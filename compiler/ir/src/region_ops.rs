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

use crate::dim::{Dim, SizeError};
use crate::graph::Region;
use crate::ops::{Arity, Attribute, Class, InferError, Op, OpInfo, Replace, Types};
use crate::ty::{DType, Type};
use std::ops::Range;

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

/// What a loop is of a longer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// It is a loop by itself.
    #[default]
    Whole,
    /// Each of its passes is a segment: so many passes, which the backward pass computes again.
    Segments(i64),
    /// It runs the passes of a segment.
    Segment,
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
    /// What it is of a longer loop.
    pub part: Part,
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
/// each float operand, or for so many of the first ones: no gradient leads to those behind them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Whether the backward pass recomputes.
    pub remat: Remat,
}

/// Positions in the lists of the module's table.
impl Loop {
    /// A whole loop from front to end, which hands on, reads and gives nothing.
    pub fn new(trip: Trip) -> Loop {
        let (carries, slices, invariants, stacks, sums) = (0, 0, 0, 0, 0);
        Loop { trip, rev: false, until: false, carries, slices, invariants, stacks, sums, part: Part::Whole }
    }

    /// Whether the first operand is the trip count.
    pub fn has_count(&self) -> bool {
        matches!(self.trip, Trip::UpTo(_))
    }

    /// Operands: first values of the carries.
    pub fn carry_args(&self) -> Range<usize> {
        span(usize::from(self.has_count()), self.carries)
    }

    /// Operands that are cut.
    pub fn slice_args(&self) -> Range<usize> {
        span(self.carry_args().end, self.slices)
    }

    /// Operands that stay.
    pub fn invariant_args(&self) -> Range<usize> {
        span(self.slice_args().end, self.invariants)
    }

    /// Body parameters: carries. Parameter 0 is the position.
    pub fn carry_params(&self) -> Range<usize> {
        span(1, self.carries)
    }

    /// Body parameters: rows of the slices.
    pub fn slice_params(&self) -> Range<usize> {
        span(self.carry_params().end, self.slices)
    }

    /// Body parameters: invariants.
    pub fn invariant_params(&self) -> Range<usize> {
        span(self.slice_params().end, self.invariants)
    }

    /// Results, of the body too: carries.
    pub fn carry_results(&self) -> Range<usize> {
        span(usize::from(self.until), self.carries)
    }

    /// Results, of the body too (there without axis 0): stacks.
    pub fn stack_results(&self) -> Range<usize> {
        span(self.carry_results().end, self.stacks)
    }

    /// Results, of the body too: sums.
    pub fn sum_results(&self) -> Range<usize> {
        span(self.stack_results().end, self.sums)
    }

    /// Result types from operand types and the body; what does not fit is said in plain words.
    pub fn infer(&self, args: &[&Type], body: &Region) -> Result<Types, InferError> {
        let results: Vec<&Type> = body.results.iter().map(|value| body.ty(*value)).collect();
        let params: Vec<&Type> = body.params.iter().map(|value| body.ty(*value)).collect();
        let counts = [args.len(), params.len(), results.len()];
        let expected = [self.invariant_args().end, self.invariant_params().end, self.sum_results().end];
        require(counts == expected, || {
            format!("a loop has {counts:?} operands, parameters, results, not {expected:?}")
        })?;
        require(!(self.rev && self.until), || "a loop that may stop early does not run in reverse".into())?;
        let number = Type::scalar(DType::I64);
        require(!self.has_count() || *args[0] == number, || "the trip count is not an i64 scalar".into())?;
        require(*params[0] == number, || "the position is not an i64 scalar".into())?;
        require(!self.until || *results[0] == Type::scalar(DType::Bool), || "the stop condition is not a bool".into())?;
        for ((arg, param), result) in self.carry_args().zip(self.carry_params()).zip(self.carry_results()) {
            let keeps = args[arg] == params[param] && args[arg] == results[result];
            require(keeps, || format!("carry {} changes its type", param - 1))?;
        }
        for (arg, param) in self.slice_args().zip(self.slice_params()) {
            let fits = *args[arg] == stacked(self.trip.bound(), params[param]);
            require(fits, || format!("slice {} is not the rows of its operand", arg - self.slice_args().start))?;
        }
        for (arg, param) in self.invariant_args().zip(self.invariant_params()) {
            let at = arg - self.invariant_args().start;
            require(args[arg] == params[param], || format!("invariant {at} has another type inside"))?;
        }
        let sums = self.sum_results().all(|sum| results[sum].dtype.is_float());
        require(sums, || "a sum over iterations is not a float".into())?;
        Ok(self.result_types(&results))
    }

    fn result_types(&self, results: &[&Type]) -> Types {
        let mut types = Types::new();
        if self.until {
            types.push(Type::scalar(DType::I64));
        }
        types.extend(self.carry_results().map(|carry| results[carry].clone()));
        types.extend(self.stack_results().map(|stack| stacked(self.trip.bound(), results[stack])));
        types.extend(self.sum_results().map(|sum| results[sum].clone()));
        types
    }

    /// As for [`crate::ops::Primitive::info`].
    pub fn info(&self) -> OpInfo {
        OpInfo {
            name: "loop",
            class: Class::Loop,
            doc: "Runs its body several times: scan, stacked blocks, bounded `for … while`.",
            arity: Arity::AtLeast(0),
            tolerance_ulp: 0,
        }
    }

    /// As for [`crate::ops::Primitive::map`].
    pub fn map(&self, with: &Replace<'_>) -> Result<Op, SizeError> {
        let bound = (with.dim)(self.trip.bound())?;
        let trip = match self.trip {
            Trip::Exact(_) => Trip::Exact(bound),
            Trip::UpTo(_) => Trip::UpTo(bound),
        };
        Ok(Loop { trip, ..self.clone() }.into())
    }

    /// As for [`crate::ops::Primitive::attributes`].
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let (name, bound) = match &self.trip {
            Trip::Exact(bound) => ("trip", bound),
            Trip::UpTo(bound) => ("up_to", bound),
        };
        let counts = [self.carries, self.slices, self.invariants, self.stacks, self.sums];
        let names = ["carries", "slices", "invariants", "stacks", "sums"];
        let mut list = vec![(name, Attribute::Dim(bound.clone()))];
        list.extend(self.rev.then(|| ("rev", Attribute::Word(String::new()))));
        list.extend(self.until.then(|| ("until", Attribute::Word(String::new()))));
        match self.part {
            Part::Whole => {}
            Part::Segments(each) => list.push(("segments_of", Attribute::Int(each))),
            Part::Segment => list.push(("segment", Attribute::Word(String::new()))),
        }
        let some = names.into_iter().zip(counts).filter(|(_, count)| *count > 0);
        list.extend(some.map(|(name, count)| (name, Attribute::Int(i64::from(count)))));
        list
    }
}

impl Call {
    /// Result types from operand types and the regions.
    pub fn infer(&self, args: &[&Type], regions: &[&Region]) -> Result<Types, InferError> {
        let Some(body) = regions.first() else { return Err(InferError("a call has no body".into())) };
        let params = body.params.iter().map(|value| body.ty(*value));
        require(params.eq(args.iter().copied()), || "the operands of a call do not fit its parameters".into())?;
        let results: Types = body.results.iter().map(|value| body.ty(*value).clone()).collect();
        if let Some(gradient) = regions.get(1) {
            let floats = results.iter().filter(|ty| ty.dtype.is_float());
            let takes = args.iter().copied().chain(&results).chain(floats);
            let params = gradient.params.iter().map(|value| gradient.ty(*value));
            require(params.eq(takes), || "a gradient takes operands, results and adjoints of float results".into())?;
            let gives = args.iter().copied().filter(|ty| ty.dtype.is_float()).take(gradient.results.len());
            let given = gradient.results.iter().map(|value| gradient.ty(*value));
            require(given.eq(gives), || "a gradient gives adjoints for the first float operands".into())?;
        }
        Ok(results)
    }

    /// As for [`crate::ops::Primitive::info`].
    pub fn info(&self) -> OpInfo {
        OpInfo {
            name: "call",
            class: Class::Call,
            doc: "Runs its body once: a checkpoint, or an op with a gradient of its own.",
            arity: Arity::AtLeast(0),
            tolerance_ulp: 0,
        }
    }

    /// As for [`crate::ops::Primitive::attributes`].
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        match self.remat {
            Remat::Keep => Vec::new(),
            Remat::Recompute => vec![("remat", Attribute::Word(String::new()))],
        }
    }
}

/// `[bound] ++ row`
pub fn stacked(bound: &Dim, row: &Type) -> Type {
    Type::new(row.dtype, [bound].into_iter().chain(&row.shape).cloned().collect::<Vec<_>>())
}

fn span(start: usize, count: u32) -> Range<usize> {
    start..start + count as usize
}

fn require(holds: bool, text: impl FnOnce() -> String) -> Result<(), InferError> {
    if holds { Ok(()) } else { Err(InferError(text())) }
}
