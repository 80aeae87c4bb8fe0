//! Operands and results of one loop.
//!
//! - A carry that each iteration hands on as it got it is an invariant.
//! - A slice of a tensor that repeats along axis 0 is an invariant, repeated inside; a slice of
//!   positions along axis 0 is the position.
//! - An invariant made of numbers alone is made inside, where it costs nothing.
//! - Equal operands are one, equal stacks and sums are one.
//! - A stack of rows that were cut from an operand is that operand.
//! - A stack of what a carry was before each iteration, beside one of what it was after, is that one
//!   with its rows moved by one.

use super::PASS;
use crate::dim::Dim;
use crate::graph::{Graph, Node, Region, Value};
use crate::ops::broadcast::Broadcast;
use crate::ops::cast::Cast;
use crate::ops::iota::Iota;
use crate::ops::pad::Pad;
use crate::ops::select::Select;
use crate::ops::size::SizeOf;
use crate::ops::{Class, Op, Types};
use crate::passes::uses::splat;
use crate::region_ops::Loop;
use crate::rewrite::Cursor;
use crate::scalar::{CompareOp, Literal};
use crate::ty::{DType, Type};

/// Writes the loop.
pub(super) fn tidy(graph: &mut Graph, cursor: &mut Cursor<'_>, node: &Node, op: &Loop, args: &[Value]) {
    let body = graph.region(node.regions[0]).clone();
    let signature = Signature::new(cursor, op, &body, args);
    let mut inside = Cursor::empty(&body);
    let params = signature.params(cursor, op, &body, &mut inside);
    for inner in &body.nodes {
        inside.copy(inner);
    }
    let mut results = Results::default();
    let mut given: Vec<Given> = Vec::with_capacity(node.results.len());
    let value = |result: usize| inside.get(body.results[result]);
    given.extend((0..op.carry_results().start).map(|at| Given::Kept(results.heads(value(at)))));
    for (at, result) in op.carry_results().enumerate() {
        given.push(match signature.kept_carries.contains(&at) {
            true => Given::Kept(results.heads(value(result))),
            false => Given::Outer(args[op.carry_args().start + at]),
        });
    }
    for result in op.stack_results() {
        let row = value(result);
        let all_run = !op.has_count() && !op.until;
        let cut = params.rows.iter().find(|(param, _)| *param == row && all_run);
        let before = carry_before(op, &body, result).filter(|_| all_run);
        given.push(match (cut, before) {
            (Some((_, rows)), _) => Given::Outer(*rows),
            (None, Some(carry)) => {
                let after = value(op.carry_results().start + carry);
                Given::Before { first: args[op.carry_args().start + carry], after: once(&mut results.stacks, after) }
            }
            (None, None) => Given::Stack(once(&mut results.stacks, row)),
        });
    }
    given.extend(op.sum_results().map(|result| Given::Sum(once(&mut results.sums, value(result)))));

    let new = Loop {
        carries: signature.kept_carries.len() as u32,
        slices: params.rows.len() as u32,
        invariants: params.invariants.len() as u32,
        stacks: results.stacks.len() as u32,
        sums: results.sums.len() as u32,
        ..op.clone()
    };
    let mut operands: Vec<Value> = args[..op.carry_args().start].to_vec();
    operands.extend(signature.kept_carries.iter().map(|at| args[op.carry_args().start + at]));
    operands.extend(params.rows.iter().map(|(_, rows)| *rows));
    operands.extend(&params.invariants);
    let (stacks, sums) = (results.heads.len(), results.heads.len() + results.stacks.len());
    let region = inside.b.finish([results.heads, results.stacks, results.sums].concat());
    let id = graph.add_region(region);
    cursor.at(node, node.made_by);
    let outer = cursor.b.add_loop(graph, new, &operands, id);
    let values: Vec<Value> = given
        .into_iter()
        .map(|given| match given {
            Given::Kept(at) => outer[at],
            Given::Stack(at) => outer[stacks + at],
            Given::Sum(at) => outer[sums + at],
            Given::Before { first, after } => moved(cursor, op, first, outer[stacks + after]),
            Given::Outer(value) => value,
        })
        .collect();
    cursor.put(node, &values);
}

/// Where a result of the old loop comes from.
enum Given {
    /// The stop condition's count or a carry of the new loop.
    Kept(usize),
    Stack(usize),
    Sum(usize),
    /// The rows of a stack, moved by one to make room for another.
    Before {
        first: Value,
        after: usize,
    },
    /// A value outside.
    Outer(Value),
}

/// The carry of which a stack has what it was before each iteration, if another stack has what it
/// was after.
fn carry_before(op: &Loop, body: &Region, stack: usize) -> Option<usize> {
    let param = body.results[stack];
    let carry = op.carry_params().position(|at| body.params[at] == param)?;
    let after = body.results[op.carry_results().start + carry];
    let stacked = after != param && op.stack_results().any(|other| body.results[other] == after);
    (stacked && op.trip.bound().sub(&Dim::one()).is_ok()).then_some(carry)
}

/// Rows moved by one in the direction of the loop, behind the row `first`.
fn moved(cursor: &mut Cursor<'_>, op: &Loop, first: Value, rows: Value) -> Value {
    cursor.b.made_by = PASS;
    let (ty, bound) = (cursor.b.ty(rows).clone(), op.trip.bound());
    let known = splat(cursor.b.region(), first);
    let along = |amount: i64| {
        let mut amounts = vec![0; ty.rank()];
        amounts[0] = amount;
        amounts
    };
    let (low, high) = if op.rev { (along(-1), along(1)) } else { (along(1), along(-1)) };
    let fill = known.unwrap_or(Literal::zero(ty.dtype));
    let moved = cursor.b.add1(Pad { low, high, interior: along(0), fill }, &[rows]);
    if known.is_some() {
        return moved;
    }
    let edge = match (op.rev, bound.sub(&Dim::one())) {
        (true, Ok(last)) => cursor.b.add1(SizeOf { size: last, dtype: DType::I64 }, &[]),
        _ => cursor.b.literal(Literal::zero(DType::I64)),
    };
    let axis = vec![bound.clone()];
    let position = cursor.b.add1(Iota { shape: axis.clone(), axis: 0, dtype: DType::I64 }, &[]);
    let edge = cursor.b.broadcast_scalar(edge, &axis);
    let is_first = cursor.b.compare(CompareOp::Eq, position, edge);
    let is_first = cursor.b.add1(Broadcast { shape: ty.shape.clone(), axes: vec![0] }, &[is_first]);
    let first = cursor.b.add1(Broadcast { shape: ty.shape.clone(), axes: (1..ty.rank()).collect() }, &[first]);
    cursor.b.add1(Select, &[is_first, first, moved])
}

/// Results of the new body.
#[derive(Default)]
struct Results {
    heads: Vec<Value>,
    stacks: Vec<Value>,
    sums: Vec<Value>,
}

impl Results {
    fn heads(&mut self, value: Value) -> usize {
        self.heads.push(value);
        self.heads.len() - 1
    }
}

/// The position of a value in a list, put in if it is not there.
fn once(list: &mut Vec<Value>, value: Value) -> usize {
    list.iter().position(|other| *other == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

/// What a slice's rows are inside.
enum Row {
    /// Rows of this operand.
    Cut(Value),
    /// The same each time: this operand, repeated.
    Repeated(Value, Broadcast),
    /// The position as that dtype.
    Position(DType),
    /// Positions along another axis.
    Positions(Iota),
}

struct Signature {
    kept_carries: Vec<usize>,
    rows: Vec<Row>,
    /// For each carry that became an invariant: its number and its value.
    unchanged: Vec<(usize, Value)>,
    invariants: Vec<Value>,
}

impl Signature {
    fn new(cursor: &Cursor<'_>, op: &Loop, body: &Region, args: &[Value]) -> Signature {
        let pairs = op.carry_params().zip(op.carry_results()).enumerate();
        let (unchanged, kept): (Vec<_>, Vec<_>) =
            pairs.partition(|(_, (param, result))| body.params[*param] == body.results[*result]);
        let start = op.carry_args().start;
        Signature {
            kept_carries: kept.into_iter().map(|(at, _)| at).collect(),
            unchanged: unchanged.into_iter().map(|(at, _)| (at, args[start + at])).collect(),
            rows: op.slice_args().map(|arg| row(cursor, args[arg])).collect(),
            invariants: args[op.invariant_args()].to_vec(),
        }
    }

    /// Makes the parameters and what stands for the old ones.
    fn params(&self, cursor: &Cursor<'_>, op: &Loop, body: &Region, inside: &mut Cursor<'_>) -> Params {
        let position = inside.b.param(Type::scalar(DType::I64));
        inside.set(body.params[0], position);
        for at in &self.kept_carries {
            let old = body.params[op.carry_params().start + at];
            let new = inside.b.param(body.ty(old).clone());
            inside.set(old, new);
        }
        let mut params = Params::default();
        for (row, param) in self.rows.iter().zip(op.slice_params()) {
            if let Row::Cut(rows) = row {
                let old = body.params[param];
                let param = params.row(*rows, body.ty(old), inside);
                inside.set(old, param);
            }
        }
        // Parameters before nodes, so that what is made inside comes last.
        let sunk = |value: Value| made_of_numbers(cursor.b.region(), value);
        let repeated = self.rows.iter().filter_map(|row| match row {
            Row::Repeated(value, _) => Some(*value),
            Row::Cut(_) | Row::Position(_) | Row::Positions(_) => None,
        });
        let carried = self.unchanged.iter().map(|(_, value)| *value);
        for value in repeated.chain(carried).chain(self.invariants.iter().copied()).filter(|value| !sunk(*value)) {
            params.invariant(value, cursor.b.ty(value), inside);
        }
        for (row, param) in self.rows.iter().zip(op.slice_params()) {
            let old = body.params[param];
            let new = match row {
                Row::Cut(_) => continue,
                Row::Repeated(value, op) => {
                    let value = params.stand(cursor.b.region(), *value, inside);
                    inside.b.add1(op.clone(), &[value])
                }
                Row::Position(dtype) => {
                    let number = inside.b.add1(Cast { dtype: *dtype }, &[position]);
                    inside.b.broadcast_scalar(number, &body.ty(old).shape)
                }
                Row::Positions(op) => inside.b.add1(op.clone(), &[]),
            };
            inside.set(old, new);
        }
        for (at, value) in &self.unchanged {
            let new = params.stand(cursor.b.region(), *value, inside);
            inside.set(body.params[op.carry_params().start + at], new);
        }
        for (value, param) in self.invariants.iter().zip(op.invariant_params()) {
            let new = params.stand(cursor.b.region(), *value, inside);
            inside.set(body.params[param], new);
        }
        params
    }
}

/// What the rows of an operand are.
fn row(cursor: &Cursor<'_>, rows: Value) -> Row {
    let Some(node) = cursor.b.region().producer(rows) else { return Row::Cut(rows) };
    match &node.op {
        Op::Broadcast(op) if !op.axes.contains(&0) => {
            let axes = op.axes.iter().map(|axis| axis - 1).collect();
            Row::Repeated(node.args[0], Broadcast { shape: op.shape[1..].to_vec(), axes })
        }
        Op::Iota(op) if op.axis == 0 => Row::Position(op.dtype),
        Op::Iota(op) => Row::Positions(Iota { shape: op.shape[1..].to_vec(), axis: op.axis - 1, dtype: op.dtype }),
        _ => Row::Cut(rows),
    }
}

/// Parameters of the new body with their operands.
#[derive(Default)]
struct Params {
    /// Parameter and operand of each slice.
    rows: Vec<(Value, Value)>,
    invariants: Vec<Value>,
    stands: Vec<Value>,
}

impl Params {
    fn row(&mut self, rows: Value, ty: &Type, inside: &mut Cursor<'_>) -> Value {
        if let Some((param, _)) = self.rows.iter().find(|(_, known)| *known == rows) {
            return *param;
        }
        let param = inside.b.param(ty.clone());
        self.rows.push((param, rows));
        param
    }

    fn invariant(&mut self, value: Value, ty: &Type, inside: &mut Cursor<'_>) {
        if !self.invariants.contains(&value) {
            self.invariants.push(value);
            self.stands.push(inside.b.param(ty.clone()));
        }
    }

    /// What stands inside for a value outside.
    fn stand(&self, outer: &Region, value: Value, inside: &mut Cursor<'_>) -> Value {
        if let Some(at) = self.invariants.iter().position(|known| *known == value) {
            return self.stands[at];
        }
        let Some(node) = outer.producer(value) else {
            crate::internal_error(PASS, "an invariant has no parameter");
        };
        let args: Vec<Value> = node.args.iter().map(|arg| self.stand(outer, *arg, inside)).collect();
        let types: Types = node.results.iter().map(|result| outer.ty(*result).clone()).collect();
        inside.b.copy(node, &args, types)[0]
    }
}

/// Whether a value is a number, a position or a size, or one of them repeated.
fn made_of_numbers(region: &Region, value: Value) -> bool {
    let Some(node) = region.producer(value) else { return false };
    match node.op.info().class {
        Class::Source => true,
        _ => matches!(node.op, Op::Broadcast(_)) && made_of_numbers(region, node.args[0]),
    }
}
