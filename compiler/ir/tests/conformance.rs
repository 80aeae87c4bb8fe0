//! Every op's sample calls: shape rule, reference, index form and gradient say the same.

mod common;

use common::{Numbers, assert_close, operands, single, weighted};
use mlc_ir::autodiff::{backprop, gradient};
use mlc_ir::builder::Builder;
use mlc_ir::graph::{Graph, RegionId, Value};
use mlc_ir::interp::{directional_check, run, to_f64};
use mlc_ir::ops::{Case, Op};
use mlc_ir::tensor::Tensor;
use mlc_ir::ty::{DType, Type};
use mlc_ir::{index_eval, print, verify};

fn cases() -> Vec<(usize, Case)> {
    Op::cases().into_iter().enumerate().collect()
}

fn name(case: &Case) -> String {
    format!("{:?}({})", case.op, case.args.iter().map(|ty| ty.display(&[])).collect::<Vec<_>>().join(", "))
}

/// The interpreter compares every result with the inferred type.
#[test]
fn shapes_are_what_evaluation_gives() {
    for (seed, case) in cases() {
        let (graph, region) = single(&case);
        verify::verify(&graph).unwrap_or_else(|broken| panic!("{broken}"));
        let results = run(&graph, region, &operands(&case, seed as u64), &[]);
        assert_eq!(results.len(), graph.region(region).results.len(), "{}", name(&case));
    }
}

#[test]
fn index_forms_mean_the_same() {
    for (seed, case) in cases() {
        let args = operands(&case, seed as u64);
        let (graph, region) = single(&case);
        let results = run(&graph, region, &args, &[]);
        let types: Vec<Type> = results.iter().map(Tensor::ty).collect();
        let definition = case
            .op
            .primitive()
            .unwrap()
            .lower(&case.args.iter().collect::<Vec<_>>(), &types.iter().collect::<Vec<_>>());
        let formed = index_eval::eval(&definition, &args.iter().collect::<Vec<_>>(), &types, &[]);
        assert_eq!(results.len(), formed.len(), "{}", name(&case));
        for (result, formed) in results.iter().zip(&formed) {
            assert_close(result, formed, 1e-6, &format!("{}\n{definition:?}", name(&case)));
        }
    }
}

/// The op in f64 with the weighted sum of its float results as a loss.
fn with_loss(case: &Case) -> Option<(Graph, RegionId)> {
    let (graph, region) = single(case);
    let mut graph = to_f64(&graph);
    let mut b = Builder::resume(graph.region(region).clone());
    let results = b.region().results.clone();
    let float = results.into_iter().find(|value| b.ty(*value).dtype.is_float())?;
    let loss = weighted(&mut b, float);
    let region = graph.add_region(b.finish(vec![loss]));
    Some((graph, region))
}

fn wide_operands(case: &Case, seed: u64) -> Vec<Tensor> {
    let widened = |tensor: &Tensor| if tensor.dtype == DType::F32 { tensor.cast(DType::F64) } else { tensor.clone() };
    operands(case, seed).iter().map(widened).collect()
}

fn is_smooth(case: &Case) -> bool {
    !matches!(case.op, Op::Cast(_) | Op::StopGradient(_) | Op::Unary(mlc_ir::ops::unary::Unary { .. }))
        || matches!(&case.op, Op::Unary(op) if !matches!(op.op, mlc_ir::scalar::UnaryOp::Floor | mlc_ir::scalar::UnaryOp::Ceil | mlc_ir::scalar::UnaryOp::Round | mlc_ir::scalar::UnaryOp::Sign))
}

#[test]
fn gradients_are_differences() {
    let mut checked = 0;
    for (seed, case) in cases().into_iter().filter(|(_, case)| is_smooth(case)) {
        let Some((graph, region)) = with_loss(&case) else { continue };
        let direction = directional_check(&graph, region, &wide_operands(&case, seed as u64), &[], seed as u64 + 7);
        assert!(direction.agrees(), "{}: {direction:?}", name(&case));
        checked += 1;
    }
    assert!(checked > 60, "only {checked} cases have gradients");
}

/// Gradients of gradients: the weighted sum of all gradients is a loss again.
#[test]
fn second_gradients_are_differences() {
    for (seed, case) in cases().into_iter().filter(|(_, case)| is_smooth(case)) {
        let Some((mut graph, region)) = with_loss(&case) else { continue };
        let mut b = Builder::resume(graph.region(region).clone());
        let loss = b.region().results[0];
        let wrt: Vec<Value> =
            b.region().params.clone().into_iter().filter(|param| b.ty(*param).dtype.is_float()).collect();
        let gradients: Vec<Value> = gradient(&mut graph, &mut b, loss, &wrt).into_iter().flatten().collect();
        let Some(first) = gradients.first() else { continue };
        let mut total = weighted(&mut b, *first);
        for other in &gradients[1..] {
            let term = weighted(&mut b, *other);
            total = b.binary(mlc_ir::scalar::BinaryOp::Add, total, term);
        }
        // A square makes the second gradient of linear ops interesting too.
        total = b.binary(mlc_ir::scalar::BinaryOp::Mul, total, total);
        let second = graph.add_region(b.finish(vec![total]));
        let args = wide_operands(&case, seed as u64);
        let direction = directional_check(&graph, second, &args, &[], seed as u64 + 11);
        assert!(direction.agrees(), "{}: {direction:?}", name(&case));
    }
}

/// `<J v, u> = <v, Jᵀ u>`, with `J v` from the gradient of `u ↦ Jᵀ u`.
#[test]
fn gradients_are_adjoints() {
    for (seed, case) in cases() {
        let (graph, region) = single(&case);
        let mut graph = to_f64(&graph);
        let mut b = Builder::resume(graph.region(region).clone());
        let Some(result) = b.region().results.clone().into_iter().find(|value| b.ty(*value).dtype.is_float()) else {
            continue;
        };
        let wrt: Vec<Value> =
            b.region().params.clone().into_iter().filter(|param| b.ty(*param).dtype.is_float()).collect();
        let u = b.param(b.ty(result).clone());
        let pulled = backprop(&mut graph, &mut b, &[(result, u)], &wrt);
        let pairs: Vec<(Value, Value)> =
            wrt.iter().zip(pulled).filter_map(|(x, adjoint)| Some((*x, adjoint?))).collect();
        if pairs.is_empty() {
            continue;
        }
        let directions: Vec<Value> = pairs.iter().map(|(x, _)| b.param(b.ty(*x).clone())).collect();
        let seeds: Vec<(Value, Value)> = pairs.iter().zip(&directions).map(|((_, adj), v)| (*adj, *v)).collect();
        let pushed = backprop(&mut graph, &mut b, &seeds, &[u]);
        let Some(pushed) = pushed[0] else { panic!("{}: the gradient is not linear in its seed", name(&case)) };
        let mut results = vec![pushed];
        results.extend(pairs.iter().map(|(_, adjoint)| *adjoint));
        let region = graph.add_region(b.finish(results));

        let mut numbers = Numbers(seed as u64 + 3);
        let mut args = wide_operands(&case, seed as u64);
        let fresh = graph.region(region).params[args.len()..].to_vec();
        args.extend(fresh.iter().map(|param| numbers.tensor(graph.region(region).ty(*param), common::UNIT)));
        let out = run(&graph, region, &args, &[]);
        let dot = |a: &Tensor, b: &Tensor| a.floats().iter().zip(b.floats()).map(|(a, b)| a * b).sum::<f64>();
        let left = dot(&out[0], &args[case.args.len()]);
        let right: f64 = out[1..].iter().zip(&args[case.args.len() + 1..]).map(|(adjoint, v)| dot(adjoint, v)).sum();
        assert!((left - right).abs() <= 1e-9 * (1.0 + left.abs()), "{}: {left} and {right}", name(&case));
    }
}

/// An op with a symbol in place of the size 3 of leading axes has the same shapes and values.
#[test]
fn maps_of_attributes_keep_the_op() {
    let with = mlc_ir::ops::Replace { dim: &|dim| Ok(dim.clone()), dtype: &|dtype| dtype };
    for (_, case) in cases() {
        assert_eq!(case.op.map(&with), Ok(case.op.clone()));
    }
}

#[test]
fn every_op_prints() {
    for (_, case) in cases() {
        let (graph, region) = single(&case);
        let text = print::region_text(&graph, region);
        assert!(text.contains(case.op.info().name), "{text}");
    }
}
