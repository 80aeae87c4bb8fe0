//! The reference interpreter: what a region means, on concrete tensors.
//!
//! Sizes get numbers, then every node is evaluated in order by [`crate::ops::Primitive::eval`].
//! Slow on purpose; nothing of it is shared with what it is the oracle of.

mod check;
mod float64;

pub use check::{Direction, directional_check};
pub use float64::to_f64;

use crate::dim::Dim;
use crate::graph::{Graph, Node, Region, RegionId, Value};
use crate::ops::{Op, Replace};
use crate::region_ops::Loop;
use crate::tensor::{Data, Tensor, extents};
use crate::ty::{DType, Type};

/// Results of a region for arguments and numbers for the size symbols (`symbols[i]` for `Sym(i)`).
pub fn run(graph: &Graph, region: RegionId, args: &[Tensor], symbols: &[i64]) -> Vec<Tensor> {
    Interpreter { graph, symbols }.region(graph.region(region), args.to_vec())
}

struct Interpreter<'a> {
    graph: &'a Graph,
    symbols: &'a [i64],
}

impl Interpreter<'_> {
    fn region(&self, region: &Region, args: Vec<Tensor>) -> Vec<Tensor> {
        if args.len() != region.params.len() {
            crate::internal_error("interp", &format!("{} arguments for {}", args.len(), region.name));
        }
        let mut values: Vec<Option<Tensor>> = vec![None; region.values.len()];
        for (param, arg) in region.params.iter().zip(args) {
            self.expect_type(region, *param, &arg);
            values[param.index()] = Some(arg);
        }
        let last_use = last_uses(region);
        for (at, node) in region.nodes.iter().enumerate() {
            let results = self.node(region, node, &values);
            for (value, result) in node.results.iter().zip(results) {
                self.expect_type(region, *value, &result);
                values[value.index()] = Some(result);
            }
            for value in node.args.iter().chain(&node.results) {
                if last_use[value.index()] <= at {
                    values[value.index()] = None;
                }
            }
        }
        region.results.iter().map(|value| get(&values, *value).clone()).collect()
    }

    fn node(&self, region: &Region, node: &Node, values: &[Option<Tensor>]) -> Vec<Tensor> {
        let args: Vec<&Tensor> = node.args.iter().map(|arg| get(values, *arg)).collect();
        let op = self.concrete_op(&node.op);
        match &op {
            Op::Loop(op) => self.looped(op, &args, self.graph.region(node.regions[0])),
            Op::Call(_) => {
                let body = self.graph.region(node.regions[0]);
                self.region(body, args.into_iter().cloned().collect())
            }
            Op::Foreign(op) => crate::internal_error(
                "interp",
                &format!("`{}` is a C function, which only compiled code calls", op.symbol),
            ),
            op => {
                let types: Vec<Type> = node.results.iter().map(|value| self.concrete(region.ty(*value))).collect();
                match op.primitive() {
                    Some(op) => op.eval(&args, &types),
                    None => crate::internal_error("interp", "an op that is neither primitive nor a region op"),
                }
            }
        }
    }

    fn looped(&self, op: &Loop, args: &[&Tensor], body: &Region) -> Vec<Tensor> {
        let bound = op.trip.bound().as_const().unwrap_or_default();
        let trip = if op.has_count() { args[0].ints()[0].clamp(0, bound) } else { bound };
        let mut carries: Vec<Tensor> = op.carry_args().map(|arg| args[arg].clone()).collect();
        let row_type = |result: usize| self.concrete(body.ty(body.results[result]));
        let mut stacks: Vec<Tensor> = op
            .stack_results()
            .map(|stack| {
                let row = row_type(stack);
                Tensor::zeros(row.dtype, &[&[bound as usize], extents(&row).as_slice()].concat())
            })
            .collect();
        let mut sums: Vec<Tensor> =
            op.sum_results().map(|sum| Tensor::zeros(DType::F64, &extents(&row_type(sum)))).collect();
        let mut ran = 0;
        for iteration in 0..trip {
            let at = if op.rev { trip - 1 - iteration } else { iteration };
            let mut inputs = vec![Tensor::from_i64(&[], &[at])];
            inputs.append(&mut carries);
            inputs.extend(op.slice_args().map(|arg| args[arg].row(at as usize)));
            inputs.extend(op.invariant_args().map(|arg| args[arg].clone()));
            let mut results = self.region(body, inputs).into_iter();
            ran += 1;
            let stop = op.until && results.next().is_some_and(|stop| stop.ints()[0] != 0);
            carries.extend(results.by_ref().take(op.carries as usize));
            for (stack, row) in stacks.iter_mut().zip(results.by_ref().take(op.stacks as usize)) {
                stack.set_row(at as usize, &row);
            }
            for (sum, term) in sums.iter_mut().zip(results) {
                *sum = added(sum, &term);
            }
            if stop {
                break;
            }
        }
        let sums = sums.into_iter().zip(op.sum_results()).map(|(sum, at)| sum.cast(row_type(at).dtype));
        let count = op.until.then(|| Tensor::from_i64(&[], &[ran]));
        count.into_iter().chain(carries).chain(stacks).chain(sums).collect()
    }

    fn dim(&self, dim: &Dim) -> Result<Dim, crate::dim::SizeError> {
        dim.eval(self.symbols).map(Dim::from)
    }

    fn concrete_op(&self, op: &Op) -> Op {
        let with = Replace { dim: &|dim| self.dim(dim), dtype: &|dtype| dtype };
        match op.map(&with) {
            Ok(op) => op,
            Err(error) => crate::internal_error("interp", &format!("{op:?}: {error:?}")),
        }
    }

    fn concrete(&self, ty: &Type) -> Type {
        let shape: Result<Vec<Dim>, _> = ty.shape.iter().map(|dim| self.dim(dim)).collect();
        match shape {
            Ok(shape) => Type::new(ty.dtype, shape),
            Err(error) => crate::internal_error("interp", &format!("{ty:?}: {error:?}")),
        }
    }

    fn expect_type(&self, region: &Region, value: Value, tensor: &Tensor) {
        let expected = self.concrete(region.ty(value));
        if tensor.dtype != expected.dtype || tensor.shape != extents(&expected) {
            let (given, expected) = (tensor.ty().display(&[]), expected.display(&[]));
            crate::internal_error("interp", &format!("{value:?} of {} is {given}, not {expected}", region.name));
        }
    }
}

fn get(values: &[Option<Tensor>], value: Value) -> &Tensor {
    match &values[value.index()] {
        Some(tensor) => tensor,
        None => crate::internal_error("interp", &format!("{value:?} is not there")),
    }
}

/// For each value the number of the last node that reads it; values that stay have the greatest number.
fn last_uses(region: &Region) -> Vec<usize> {
    let mut last = vec![0; region.values.len()];
    for (at, node) in region.nodes.iter().enumerate() {
        for value in node.args.iter().chain(&node.results) {
            last[value.index()] = at;
        }
    }
    for value in &region.results {
        last[value.index()] = usize::MAX;
    }
    last
}

fn added(a: &Tensor, b: &Tensor) -> Tensor {
    match (&a.data, &b.data) {
        (Data::Float(left), Data::Float(right)) => {
            Tensor::floats_of(a.dtype, &a.shape, left.iter().zip(right).map(|(a, b)| a + b))
        }
        (Data::Int(_), _) | (_, Data::Int(_)) => crate::internal_error("interp", "a sum of integers"),
    }
}
