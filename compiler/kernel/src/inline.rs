//! From a fused group to its [`Nest`]: definitions are substituted into one another until only loads
//! of stored values remain.

mod blocks;
mod update;

use crate::expr::{Address, Expr, ExprRef, Index};
use crate::fuse::{Fusion, Group, storage};
use crate::nest::{Buffer, Nest, Reduction, Source, Store};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Node, NodeId, Region, SpanId, Value};
use mlc_ir::index::{self, AxisId, BestPart, Cond, Definition, Ix};
use mlc_ir::ops::Op;
use mlc_ir::ops::concat::Concat;
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The nest of a group.
pub fn nest(region: &Region, fusion: &Fusion, group: &Group) -> Nest {
    let par = group.domain.clone();
    let mut cx = Inline {
        region,
        fusion,
        group,
        buffers: Vec::new(),
        lets: Vec::new(),
        let_of: FxHashMap::default(),
        memo: FxHashMap::default(),
        rank: par.len(),
    };
    let identity = index::result_axes(par.len());
    let (red, reduce) = match group.anchor {
        Some(anchor) => cx.reduction(anchor, par.len()),
        None => (Vec::new(), None),
    };
    let blocks = group.anchor.and_then(|anchor| cx.blocks(anchor, &identity));
    let mut stores = Vec::new();
    let mut window = None;
    for value in &group.roots {
        if let Some(update) = group.update.filter(|node| producer(region, *value) == Some(*node)) {
            let (store, written) = cx.update(update, *value, &identity);
            stores.push(store);
            window = Some(written);
            continue;
        }
        if let Some((concat, node)) = parts(region, group, *value) {
            stores.extend(cx.parts(concat, node, *value, &identity));
            continue;
        }
        let expr = cx.value(*value, &identity, &[]);
        let expr = if group.roots.len() > 1 { cx.share(*value, expr) } else { expr };
        let buffer = cx.buffer(*value);
        stores.push(Store { buffer, at: Ix::row_major(&identity, &par), value: expr });
    }
    let spans = spans(region, group);
    Nest {
        name: name(region, group),
        spans,
        par,
        red,
        buffers: cx.buffers,
        reduce,
        dealt: false,
        blocks,
        window,
        lets: cx.lets,
        stores,
    }
}

/// The nest of a group's fold without anything that was fused with it; `None` if there is no fold, or
/// nothing else in the group.
pub fn alone(region: &Region, fusion: &Fusion, group: &Group) -> Option<Nest> {
    let anchor = group.anchor.filter(|_| group.members.len() > 1)?;
    let Some(Definition::Reduce { .. }) = fusion.definitions[anchor.index()] else { return None };
    let roots = region.nodes[anchor.index()].results.to_vec();
    let members = std::collections::BTreeMap::from([(anchor, crate::fuse::Role::Epilogue)]);
    let domain = region.ty(roots[0]).shape.clone();
    Some(nest(region, fusion, &Group { anchor: Some(anchor), update: None, domain, roots, members }))
}

/// The node of a concatenation that a group stores part by part.
fn parts<'a>(region: &'a Region, group: &Group, value: Value) -> Option<(&'a Concat, &'a Node)> {
    let node = &region.nodes[producer(region, value)?.index()];
    match &node.op {
        Op::Concat(op) if region.ty(node.args[0]).shape == group.domain => Some((op, node)),
        _ => None,
    }
}

/// In which dtype a running value of a dtype is carried.
fn scan_dtype(dtype: DType) -> DType {
    if dtype.is_float() { DType::F64 } else { dtype }
}

fn widened(expr: ExprRef, dtype: DType) -> ExprRef {
    let wide = scan_dtype(dtype);
    if wide == dtype { expr } else { Arc::new(Expr::Cast(wide, expr)) }
}

fn producer(region: &Region, value: Value) -> Option<NodeId> {
    match region.values[value.index()].def {
        Def::Node(node, _) => Some(node),
        Def::Param(_) | Def::Hole => None,
    }
}

/// Where the ops were written, each place once, the anchor's first.
fn spans(region: &Region, group: &Group) -> Vec<SpanId> {
    let mut spans = Vec::new();
    for node in group.anchor.iter().chain(group.members.keys()) {
        let span = region.nodes[node.index()].span;
        if span.0 != 0 && !spans.contains(&span) {
            spans.push(span);
        }
    }
    spans
}

/// `conv_add`: the anchor first, then the ops behind it, at most four.
fn name(region: &Region, group: &Group) -> String {
    let op_name = |node: &NodeId| region.nodes[node.index()].op.primitive().map_or("region", |p| p.info().name);
    let mut names: Vec<&str> = group.anchor.iter().map(op_name).collect();
    for node in group.members.keys().filter(|node| Some(**node) != group.anchor) {
        let name = op_name(node);
        if names.last() != Some(&name) && !matches!(name, "broadcast" | "constant") {
            names.push(name);
        }
    }
    names.truncate(4);
    if names.is_empty() { "fill".to_string() } else { names.join("_") }
}

fn checked(result: Result<Dim, mlc_ir::dim::SizeError>) -> Dim {
    match result {
        Ok(dim) => dim,
        Err(error) => mlc_ir::internal_error("inline", &format!("a size that was checked before: {error:?}")),
    }
}

struct Inline<'a> {
    region: &'a Region,
    fusion: &'a Fusion,
    group: &'a Group,
    buffers: Vec<Buffer>,
    lets: Vec<ExprRef>,
    let_of: FxHashMap<Value, usize>,
    memo: FxHashMap<(Value, Vec<Ix>, Vec<Cond>), ExprRef>,
    rank: usize,
}

impl Inline<'_> {
    fn reduction(&mut self, anchor: NodeId, rank: usize) -> (Vec<Dim>, Option<Reduction>) {
        let node = &self.region.nodes[anchor.index()];
        let dtype = self.region.ty(node.results[0]).dtype;
        let axes = |count: usize| -> Vec<Ix> {
            index::result_axes(rank).into_iter().chain(index::reduced_axes(rank, count)).collect()
        };
        let definition = self.fusion.definitions[anchor.index()].clone();
        match definition {
            Some(Definition::Reduce { axes: red, combine, value, .. }) => {
                let value = self.expr(anchor, &value, &axes(red.len()), &[]);
                (red, Some(Reduction::Fold { combine, dtype, value }))
            }
            Some(Definition::Dot { axes: red, left, right, .. }) => {
                let (left, right) =
                    (self.expr(anchor, &left, &axes(red.len()), &[]), self.expr(anchor, &right, &axes(red.len()), &[]));
                (red, Some(Reduction::Dot { dtype, left, right }))
            }
            Some(Definition::Best { axes: red, extreme, value, .. }) => {
                let value = self.expr(anchor, &value, &axes(red.len()), &[]);
                let dtype = self.region.ty(node.args[0]).dtype;
                (red, Some(Reduction::Best { extreme, dtype, value }))
            }
            Some(Definition::Scan { axis, from, factor, value }) => {
                let wide = scan_dtype(dtype);
                let at = axes(0);
                let factor = factor.map(|factor| widened(self.expr(anchor, &factor, &at, &[]), dtype));
                let value = widened(self.expr(anchor, &value, &at, &[]), dtype);
                (Vec::new(), Some(Reduction::Scan { axis, from, dtype: wide, factor, value }))
            }
            Some(Definition::Scatter { axis, axes: red, place, value }) => {
                let at = axes(red.len());
                let (place, value) = (self.expr(anchor, &place, &at, &[]), self.expr(anchor, &value, &at, &[]));
                (red, Some(Reduction::Scatter { axis, dtype, place, value }))
            }
            Some(Definition::Order { order }) => {
                let value = self.load(node.args[0], &axes(0), &[]);
                (Vec::new(), Some(Reduction::Order { order, value, spare: 0 }))
            }
            Some(Definition::Map(_) | Definition::Update { .. } | Definition::Alias) | None => {
                mlc_ir::internal_error("inline", "the anchor of a group does not reduce")
            }
        }
    }

    /// The stores of a concatenation's parts, each behind the one before.
    fn parts(&mut self, concat: &Concat, node: &Node, value: Value, identity: &[Ix]) -> Vec<Store> {
        let shape = self.region.ty(value).shape.clone();
        let mut start = Dim::zero();
        let mut stores = Vec::with_capacity(node.args.len());
        for arg in &node.args {
            let expr = self.value(*arg, identity, &[]);
            let expr = self.share(*arg, expr);
            let mut at = identity.to_vec();
            at[concat.axis] = at[concat.axis].clone().plus(start.clone());
            stores.push(Store { buffer: self.buffer(value), at: Ix::row_major(&at, &shape), value: expr });
            start = checked(start.add(&self.region.ty(*arg).shape[concat.axis]));
        }
        stores
    }

    fn buffer(&mut self, value: Value) -> usize {
        let stored = storage(self.region, value);
        let ty = self.region.ty(value);
        let buffer = Buffer { source: Source::Value(stored), dtype: ty.dtype, shape: ty.shape.clone() };
        self.buffers.iter().position(|other| *other == buffer).unwrap_or_else(|| {
            self.buffers.push(buffer);
            self.buffers.len() - 1
        })
    }

    /// Makes an expression at the parallel axes a `let`, so that later ones refer to it.
    fn share(&mut self, value: Value, expr: ExprRef) -> ExprRef {
        let number = self.lets.len();
        self.lets.push(expr);
        self.let_of.insert(value, number);
        Arc::new(Expr::Let(number))
    }

    /// The element of a value at `index`, read only where `guard` holds.
    fn value(&mut self, value: Value, index: &[Ix], guard: &[Cond]) -> ExprRef {
        if let (Some(number), true) = (self.let_of.get(&value), self.is_identity(index)) {
            return Arc::new(Expr::Let(*number));
        }
        let key = (value, index.to_vec(), guard.to_vec());
        if let Some(known) = self.memo.get(&key) {
            return known.clone();
        }
        let expr = match self.member(value) {
            Some(node) => self.member_value(node, value, index, guard),
            None => self.load(value, index, guard),
        };
        self.memo.insert(key, expr.clone());
        expr
    }

    fn is_identity(&self, index: &[Ix]) -> bool {
        index.len() == self.rank && index::result_axes(self.rank) == index
    }

    /// The node that makes a value, if it is computed here rather than loaded.
    fn member(&self, value: Value) -> Option<NodeId> {
        let node = producer(self.region, value)?;
        let source = matches!(
            self.region.nodes[node.index()].op.primitive().map(|p| p.info().class),
            Some(mlc_ir::ops::Class::Source)
        );
        (self.group.members.contains_key(&node) || source && !self.group.roots.contains(&value)).then_some(node)
    }

    fn member_value(&mut self, node: NodeId, value: Value, index: &[Ix], guard: &[Cond]) -> ExprRef {
        let definition = self.fusion.definitions[node.index()].clone();
        if Some(node) == self.group.anchor {
            if !self.is_identity(index) {
                mlc_ir::internal_error("inline", "a reduction is used away from its own element");
            }
            let dtype = self.region.ty(value).dtype;
            if let Some(Definition::Scan { .. }) = &definition
                && scan_dtype(dtype) != dtype
            {
                return Arc::new(Expr::Cast(dtype, Arc::new(Expr::Reduced)));
            }
            let Some(Definition::Best { results, .. }) = &definition else { return Arc::new(Expr::Reduced) };
            let Def::Node(_, result) = self.region.values[value.index()].def else { return Arc::new(Expr::Reduced) };
            return Arc::new(match results[result as usize] {
                BestPart::Value => Expr::Reduced,
                BestPart::Position => Expr::BestPosition(self.region.ty(value).dtype),
            });
        }
        match definition {
            Some(Definition::Map(expr)) => self.expr(node, &expr, index, guard),
            _ => mlc_ir::internal_error("inline", "a member of a group has no elementwise definition"),
        }
    }

    fn load(&mut self, value: Value, index: &[Ix], guard: &[Cond]) -> ExprRef {
        let buffer = self.buffer(value);
        let at = Address::Axes {
            index: index.iter().cloned().map(Index::At).collect(),
            within: guard.to_vec(),
            fill: Literal::zero(self.buffers[buffer].dtype),
        };
        Arc::new(Expr::Load { buffer, at })
    }

    /// An expression of `node`'s definition with its axes replaced by `at`.
    fn expr(&mut self, node: NodeId, expr: &index::Expr, at: &[Ix], guard: &[Cond]) -> ExprRef {
        let with = |AxisId(axis): AxisId| at[axis as usize].clone();
        Arc::new(match expr {
            index::Expr::Literal(literal) => Expr::Literal(*literal),
            index::Expr::Size(dtype, dim) => Expr::Size(*dtype, dim.clone()),
            index::Expr::Position(dtype, ix) => Expr::Position(*dtype, ix.substitute(&with)),
            index::Expr::Test(conds) => Expr::Test(conds.iter().map(|c| c.substitute(&with)).collect()),
            index::Expr::Operand { arg, index, within, fill } => {
                return self.operand(node, *arg, index, within, *fill, at, guard);
            }
            index::Expr::Unary(op, a) => Expr::Unary(*op, self.expr(node, a, at, guard)),
            index::Expr::Binary(op, a, b) => {
                Expr::Binary(*op, self.expr(node, a, at, guard), self.expr(node, b, at, guard))
            }
            index::Expr::Compare(op, a, b) => {
                Expr::Compare(*op, self.expr(node, a, at, guard), self.expr(node, b, at, guard))
            }
            index::Expr::Select(c, a, b) => Expr::Select(
                self.expr(node, c, at, guard),
                self.expr(node, a, at, guard),
                self.expr(node, b, at, guard),
            ),
            index::Expr::Cast(dtype, a) => Expr::Cast(*dtype, self.expr(node, a, at, guard)),
            index::Expr::Random { distribution, site, seed, step, offset, element } => Expr::Random {
                distribution: *distribution,
                site: *site,
                seed: self.expr(node, seed, at, guard),
                step: self.expr(node, step, at, guard),
                offset: self.expr(node, offset, at, guard),
                element: element.substitute(&with),
            },
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one enum variant and the context of the walk")]
    fn operand(
        &mut self,
        node: NodeId,
        arg: u32,
        index: &[index::Index],
        within: &[Cond],
        fill: Literal,
        at: &[Ix],
        guard: &[Cond],
    ) -> ExprRef {
        let with = |AxisId(axis): AxisId| at[axis as usize].clone();
        let value = self.region.nodes[node.index()].args[arg as usize];
        let own: Vec<Cond> = within.iter().map(|c| c.substitute(&with)).filter(|c| !c.is_true()).collect();
        let mut all = guard.to_vec();
        all.extend(own.iter().filter(|c| !guard.contains(c)).cloned());
        let plain: Option<Vec<Ix>> = index
            .iter()
            .map(|index| match index {
                index::Index::At(ix) => Some(ix.substitute(&with)),
                index::Index::Data { .. } | index::Index::Window { .. } => None,
            })
            .collect();
        let element = match plain {
            Some(plain) => self.value(value, &plain, &all),
            None => match self.same_window(node, value, index, &all, at) {
                Some(element) => element,
                None => self.gather(node, value, index, &all, at),
            },
        };
        if own.is_empty() || self.is_zero_filled_load(&element) && fill == Literal::zero(fill.dtype) {
            return element;
        }
        Arc::new(Expr::Select(Arc::new(Expr::Test(own)), element, Arc::new(Expr::Literal(fill))))
    }

    fn is_zero_filled_load(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Load { at: Address::Axes { fill, .. }, .. } if *fill == Literal::zero(fill.dtype))
    }

    fn gather(&mut self, node: NodeId, value: Value, index: &[index::Index], guard: &[Cond], at: &[Ix]) -> ExprRef {
        let with = |AxisId(axis): AxisId| at[axis as usize].clone();
        let buffer = self.buffer(value);
        let dtype: DType = self.buffers[buffer].dtype;
        let index = index
            .iter()
            .map(|index| match index {
                index::Index::At(ix) => Index::At(ix.substitute(&with)),
                index::Index::Data { value, bound } => {
                    Index::Data { value: self.expr(node, value, at, guard), bound: bound.clone() }
                }
                index::Index::Window { start, last, at: place } => Index::Window {
                    start: self.expr(node, start, at, guard),
                    last: last.clone(),
                    at: place.substitute(&with),
                },
            })
            .collect();
        let at = Address::Axes { index, within: guard.to_vec(), fill: Literal::zero(dtype) };
        Arc::new(Expr::Load { buffer, at })
    }
}
