//! Preparing a nest for its loops: operands of contractions are copied into the layout that vectors
//! want (transposed, or with their padding written out), plain indices become row-major numbers, and
//! neighbouring axes that every access walks as one are merged.

use crate::expr::{Address, Expr, ExprRef, Index};
use crate::nest::{Buffer, Nest, Reduction, Source, axis_coef};
use crate::panels::{self, Packing};
use crate::schedule::{Machine, each_root};
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::SpanId;
use mlc_ir::index::{AxisId, Cond, Ix, IxAtom, result_axes};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The nests that are run for one, in order: copies, and the nest itself in its final layout, in parts
/// where its width asks for it. `alone` is its fold without anything fused with it, if that is another
/// nest.
pub fn prepare(nest: Nest, alone: Option<Nest>, layout: Layout<'_>, next_copy: &mut u32) -> Vec<Nest> {
    let parts = panels::parts(nest, layout);
    parts.into_iter().flat_map(|part| prepare_part(part, alone.clone(), layout, next_copy)).collect()
}

/// For what a nest is prepared.
#[derive(Clone, Copy)]
pub struct Layout<'a> {
    /// The processor.
    pub machine: &'a Machine,
    /// How operands of a contraction are packed.
    pub packing: Packing,
    /// Sizes to expect.
    pub typical: &'a [(Sym, i64)],
    /// What is the same in every call, so that copies of it are made once.
    pub kept: &'a BTreeSet<Source>,
}

fn prepare_part(mut nest: Nest, alone: Option<Nest>, layout: Layout<'_>, next_copy: &mut u32) -> Vec<Nest> {
    let mut copies = Vec::new();
    if let Some(Reduction::Dot { left, right, dtype }) = nest.reduce.clone() {
        let left = copy_operand(&mut nest, left, &mut copies, next_copy);
        let right = copy_operand(&mut nest, right, &mut copies, next_copy);
        nest.reduce = Some(Reduction::Dot { dtype, left, right });
        if let Some(chunks) = panels::chunk(&mut nest, layout.packing.chunks, layout.typical, next_copy) {
            put(&mut copies, chunks);
        }
        if let Some(panels) = panels::cut(&mut nest, layout, next_copy) {
            put(&mut copies, panels);
        }
    }
    if let Some(Reduction::Order { spare, .. }) = &mut nest.reduce {
        let like = nest.buffers[nest.stores[0].buffer].clone();
        *spare = nest.buffers.len();
        nest.buffers.push(Buffer { source: Source::Copy(*next_copy), ..like });
        *next_copy += 1;
    }
    let nest = finish(nest, alone);
    copies.into_iter().map(|copy| finish(copy, None)).chain([nest]).collect()
}

/// Adds a copy. One of a copy made for nothing else is made of what that is a copy of.
fn put(copies: &mut Vec<Nest>, copy: Nest) {
    let target = |nest: &Nest| nest.buffers[nest.stores[0].buffer].source;
    let Some(position) = copies.iter().position(|first| target(first) == copy.buffers[0].source) else {
        copies.push(copy);
        return;
    };
    let first = copies.remove(position);
    let Expr::Load { at: Address::Axes { index, within, .. }, .. } = &*copy.stores[0].value else {
        mlc_ir::internal_error("layout", "a copy that reads no element")
    };
    let Some(index) = plain(index).filter(|_| within.is_empty()) else {
        mlc_ir::internal_error("layout", "a copy of parts of a copy")
    };
    let mut both = copy;
    both.stores[0].value = first.stores[0].value.substitute(&|AxisId(axis)| index[axis as usize].clone());
    both.buffers[0] = first.buffers[0].clone();
    copies.push(both);
}

fn finish(mut nest: Nest, alone: Option<Nest>) -> Nest {
    number_loads(&mut nest);
    if let Some(Reduction::Fold { .. }) = &nest.reduce {
        order_terms(&mut nest, alone);
    }
    merge_axes(&mut nest);
    nest
}

/// Settles the order of a fold's terms by the fold alone, so that fusion changes no bit: how its
/// reduced axes are dealt, and which of them are one.
fn order_terms(nest: &mut Nest, alone: Option<Nest>) {
    let mut alone = match alone {
        Some(mut alone) => {
            number_loads(&mut alone);
            alone
        }
        None => nest.clone(),
    };
    merge_axes(&mut alone);
    let Some(Reduction::Fold { value, .. }) = &alone.reduce else { return };
    nest.dealt = nest.blocks.is_none() && !alone.red.is_empty() && !alone.contiguous_outputs(value);
    if !nest.dealt {
        return;
    }
    for inner in (1..alone.red.len()).rev() {
        if mergeable(&alone, alone.par.len() + inner - 1) {
            merge(nest, nest.par.len() + inner - 1);
        }
    }
}

pub(crate) fn map_roots(nest: &mut Nest, f: &mut dyn FnMut(&ExprRef) -> ExprRef) {
    match &mut nest.reduce {
        Some(Reduction::Fold { value, .. } | Reduction::Best { value, .. } | Reduction::Order { value, .. }) => {
            *value = f(value);
        }
        Some(Reduction::Scatter { place, value, .. }) => {
            *place = f(place);
            *value = f(value);
        }
        Some(Reduction::Scan { factor, value, .. }) => {
            factor.iter_mut().for_each(|factor| *factor = f(factor));
            *value = f(value);
        }
        Some(Reduction::Dot { left, right, .. }) => {
            *left = f(left);
            *right = f(right);
        }
        None => {}
    }
    nest.blocks.iter_mut().for_each(|blocks| blocks.start = f(&blocks.start));
    nest.lets.iter_mut().for_each(|e| *e = f(e));
    nest.stores.iter_mut().for_each(|store| store.value = f(&store.value));
}

// ---- copies

/// The operand itself if vectors can walk it, else a load from a copy of it.
fn copy_operand(nest: &mut Nest, operand: ExprRef, copies: &mut Vec<Nest>, next_copy: &mut u32) -> ExprRef {
    let Some(vector) = nest.par.len().checked_sub(1).map(|axis| AxisId(axis as u32)) else { return operand };
    let Expr::Load { buffer, at: Address::Axes { index, within, .. } } = &*operand else { return operand };
    let Some(index) = plain(index) else { return operand };
    let source = nest.buffers[*buffer].clone();
    let last = walked_axis(&index, vector);
    let transposed = last.filter(|axis| *axis + 1 != index.len() && axis_coef(&index[*axis], vector) == Some(1));
    if transposed.is_none() && within.is_empty() {
        return operand;
    }
    let Some(window) = window(nest, &index, within, &source) else { return operand };
    let mut order: Vec<usize> = (0..index.len()).collect();
    if let Some(axis) = transposed {
        order.remove(axis);
        order.push(axis);
    }
    let copy = Source::Copy(*next_copy);
    *next_copy += 1;
    copies.push(copy_nest(&nest.spans, &source, &window, &order, copy));
    let shape = order.iter().map(|axis| window[*axis].extent.clone()).collect();
    nest.buffers.push(Buffer { source: copy, dtype: source.dtype, shape });
    let index = order.iter().map(|axis| Index::At(index[*axis].clone().sub(Ix::constant(window[*axis].low.clone()))));
    let at =
        Address::Axes { index: index.collect(), within: Vec::new(), fill: mlc_ir::scalar::Literal::zero(source.dtype) };
    Arc::new(Expr::Load { buffer: nest.buffers.len() - 1, at })
}

pub(crate) fn plain(index: &[Index]) -> Option<Vec<Ix>> {
    index
        .iter()
        .map(|index| match index {
            Index::At(ix) => Some(ix.clone()),
            Index::Data { .. } | Index::Window { .. } => None,
        })
        .collect()
}

/// The one operand axis that the vector axis walks, if it is one.
fn walked_axis(index: &[Ix], vector: AxisId) -> Option<usize> {
    let mut walked = (0..index.len()).filter(|axis| axis_coef(&index[*axis], vector) != Some(0));
    let first = walked.next()?;
    walked.next().is_none().then_some(first)
}

/// The stretch of an operand axis that a nest reads.
struct Window {
    low: Dim,
    extent: Dim,
    /// Whether it may leave the operand.
    guarded: bool,
}

/// The stretches of all operand axes; `None` where they are not known.
fn window(nest: &Nest, index: &[Ix], within: &[Cond], source: &Buffer) -> Option<Vec<Window>> {
    let mut known = 0;
    let windows = index.iter().zip(&source.shape).map(|(ix, size)| {
        let conds = Cond::within(ix, size);
        let guarded = within.iter().filter(|cond| conds.contains(cond)).count();
        known += guarded;
        let read = range(nest, ix).and_then(|(low, high)| {
            let extent = high.sub(&low).ok()?.add(&Dim::one()).ok()?;
            Some(Window { low, extent, guarded: guarded > 0 })
        });
        // Of what is read without a test, all is copied but where less is read for certain.
        let known = |window: &Window| window.low.as_const().is_some() && window.extent.as_const().is_some();
        match read {
            read if guarded > 0 => read,
            Some(read) if known(&read) => Some(read),
            _ => Some(Window { low: Dim::zero(), extent: size.clone(), guarded: false }),
        }
    });
    let windows: Option<Vec<Window>> = windows.collect();
    windows.filter(|_| known == within.len())
}

/// The least and the greatest value of an index over all axes.
fn range(nest: &Nest, ix: &Ix) -> Option<(Dim, Dim)> {
    let (mut low, mut high) = (ix.constant.clone(), ix.constant.clone());
    for (atom, coef) in &ix.terms {
        let IxAtom::Axis(AxisId(axis)) = atom else { return None };
        let axis = *axis as usize;
        let extent = if axis < nest.par.len() { &nest.par[axis] } else { &nest.red[axis - nest.par.len()] };
        let span = extent.sub(&Dim::one()).ok()?.mul(&Dim::from(*coef)).ok()?;
        if *coef > 0 {
            high = high.add(&span).ok()?;
        } else {
            low = low.add(&span).ok()?;
        }
    }
    Some((low, high))
}

fn copy_nest(spans: &[SpanId], source: &Buffer, window: &[Window], order: &[usize], copy: Source) -> Nest {
    let axes = result_axes(order.len());
    let mut index = vec![Ix::constant(0); order.len()];
    let mut within = Vec::new();
    for (position, axis) in order.iter().enumerate() {
        index[*axis] = axes[position].clone().plus(window[*axis].low.clone());
        if window[*axis].guarded {
            within.extend(Cond::within(&index[*axis], &source.shape[*axis]).into_iter().filter(|cond| !cond.is_true()));
        }
    }
    let par: Vec<Dim> = order.iter().map(|axis| window[*axis].extent.clone()).collect();
    let fill = mlc_ir::scalar::Literal::zero(source.dtype);
    let at = Address::Axes { index: index.into_iter().map(Index::At).collect(), within, fill };
    let target = Buffer { source: copy, dtype: source.dtype, shape: par };
    Nest::copy(spans, source, &target, at)
}

// ---- row-major numbers

fn number_loads(nest: &mut Nest) {
    let buffers = nest.buffers.clone();
    map_roots(nest, &mut |e| linear(e, &buffers));
}

fn linear(expr: &ExprRef, buffers: &[Buffer]) -> ExprRef {
    // Substituting nothing visits shared nodes once; loads are rewritten on the way.
    rewrite_loads(expr, &|buffer, at| match at {
        Address::Axes { index, within, .. } if within.is_empty() => {
            plain(index).map(|index| Address::Linear(Ix::row_major(&index, &buffers[buffer].shape)))
        }
        Address::Axes { .. } | Address::Linear(_) => None,
    })
}

fn rewrite_loads(expr: &ExprRef, new: &dyn Fn(usize, &Address) -> Option<Address>) -> ExprRef {
    expr.rewrite(&mut |e| match e {
        Expr::Load { buffer, at } => new(*buffer, at).map(|at| Arc::new(Expr::Load { buffer: *buffer, at })),
        _ => None,
    })
}

// ---- merging axes

/// Merges neighbouring parallel axes of maps and folds wherever all accesses allow it.
fn merge_axes(nest: &mut Nest) {
    match nest.reduce {
        Some(
            Reduction::Dot { .. }
            | Reduction::Best { .. }
            | Reduction::Scan { .. }
            | Reduction::Order { .. }
            | Reduction::Scatter { .. },
        ) => {
            return;
        }
        Some(Reduction::Fold { .. }) | None => {}
    }
    for inner in (1..nest.par.len()).rev() {
        if mergeable(nest, inner - 1) {
            merge(nest, inner - 1);
        }
    }
}

fn extent(nest: &Nest, axis: usize) -> &Dim {
    if axis < nest.par.len() { &nest.par[axis] } else { &nest.red[axis - nest.par.len()] }
}

/// Whether `outer` and the axis behind it are walked as one by every access.
fn mergeable(nest: &Nest, outer: usize) -> bool {
    let (a, b) = (AxisId(outer as u32), AxisId(outer as u32 + 1));
    let Some(inner_extent) = extent(nest, outer + 1).as_const() else { return false };
    let as_one = |ix: &Ix| match (axis_coef(ix, a), axis_coef(ix, b)) {
        (Some(a), Some(b)) => b.checked_mul(inner_extent) == Some(a),
        _ => false,
    };
    let untouched = |ix: &Ix| axis_coef(ix, a) == Some(0) && axis_coef(ix, b) == Some(0);
    let mut fine = nest.stores.iter().all(|store| as_one(&store.at));
    each_root(nest, &mut |root| {
        root.each(&mut |e| {
            fine &= match e {
                Expr::Load { at: Address::Linear(ix), .. } | Expr::Position(_, ix) => as_one(ix),
                Expr::Random { element, .. } => as_one(element),
                Expr::Load { at: Address::Axes { index, within, .. }, .. } => {
                    index.iter().filter_map(Index::affine).all(&untouched)
                        && within.iter().all(|cond| cond_untouched(cond, &untouched))
                }
                Expr::Test(conds) => conds.iter().all(|cond| cond_untouched(cond, &untouched)),
                _ => true,
            };
        });
    });
    fine
}

fn cond_untouched(cond: &Cond, untouched: &dyn Fn(&Ix) -> bool) -> bool {
    match cond {
        Cond::NotNegative(ix) | Cond::Zero(ix) => untouched(ix),
    }
}

/// Makes `outer` and the axis behind it one: where an access does not walk them as one, it takes them
/// apart again.
fn merge(nest: &mut Nest, outer: usize) {
    let Some(inner) = extent(nest, outer + 1).as_const() else { return };
    let as_one = mergeable(nest, outer);
    let product = match extent(nest, outer).mul(extent(nest, outer + 1)) {
        Ok(product) => product,
        Err(_) => return,
    };
    let with = |AxisId(axis): AxisId| match (axis as usize).cmp(&outer) {
        std::cmp::Ordering::Less => Ix::axis(AxisId(axis)),
        std::cmp::Ordering::Equal if as_one => Ix::constant(0),
        std::cmp::Ordering::Equal => Ix::axis(AxisId(axis)).floor_div(inner),
        std::cmp::Ordering::Greater if !as_one && axis as usize == outer + 1 => {
            Ix::axis(AxisId(axis - 1)).modulo(inner)
        }
        std::cmp::Ordering::Greater => Ix::axis(AxisId(axis - 1)),
    };
    map_roots(nest, &mut |e| e.substitute(&with));
    nest.stores.iter_mut().for_each(|store| store.at = store.at.substitute(&with));
    let border = nest.par.len();
    let axes = if outer < border { &mut nest.par } else { &mut nest.red };
    let at = if outer < border { outer } else { outer - border };
    axes.remove(at);
    axes[at] = product;
}
