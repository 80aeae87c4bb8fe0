//! How many elements a vector along an axis has: all register elements that vary along it must be equally
//! wide.

use crate::expr::{Expr, ExprRef};
use crate::nest::{Nest, Reduction};
use crate::schedule::{Machine, changes, each_root};
use mlc_ir::index::AxisId;
use mlc_ir::scalar::Distribution;
use mlc_ir::ty::DType;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Elements of a vector along `axis`: all register elements that vary along it must be equally wide.
pub(crate) fn lanes_along(nest: &Nest, axis: AxisId, machine: &Machine) -> i64 {
    let mut widths = Widths { nest, axis, narrow: false, wide: false, scalar: false, known: FxHashMap::default() };
    match &nest.reduce {
        Some(Reduction::Fold { dtype, .. } | Reduction::Best { dtype, .. } | Reduction::Dot { dtype, .. }) => {
            widths.note(*dtype);
        }
        // Never in vectors.
        Some(Reduction::Scatter { axis: scattered, dtype, .. }) => {
            if AxisId(*scattered as u32) == axis {
                return 1;
            }
            widths.note(*dtype);
        }
        Some(Reduction::Scan { .. } | Reduction::Order { .. }) | None => {}
    }
    if let Some(Reduction::Best { .. }) = &nest.reduce {
        // Its position.
        widths.note(DType::I32);
    }
    each_root(nest, &mut |root| _ = widths.visit(root));
    for store in &nest.stores {
        widths.note(nest.buffers[store.buffer].dtype);
    }
    match (widths.scalar, widths.narrow, widths.wide) {
        (true, _, _) | (false, true, true) => 1,
        (false, _, false) => machine.vector_bits / 32,
        (false, false, true) => machine.vector_bits / 64,
    }
}

struct Widths<'a> {
    nest: &'a Nest,
    axis: AxisId,
    narrow: bool,
    wide: bool,
    scalar: bool,
    /// Whether each expression that was looked at varies along the axis.
    known: FxHashMap<*const Expr, bool>,
}

impl Widths<'_> {
    fn note(&mut self, dtype: DType) {
        match dtype {
            DType::F64 | DType::I64 => self.wide = true,
            DType::F32 | DType::I32 | DType::U8 | DType::I8 | DType::Bool => self.narrow = true,
        }
    }

    /// Notes the register widths in the parts of `expr` that vary along the axis; returns whether it does.
    fn visit(&mut self, expr: &ExprRef) -> bool {
        if let Some(varies) = self.known.get(&Arc::as_ptr(expr)) {
            return *varies;
        }
        let mut varies = changes(expr, self.axis);
        for part in expr.parts() {
            varies |= self.visit(part);
        }
        self.known.insert(Arc::as_ptr(expr), varies);
        if varies {
            self.note_own(expr);
        }
        varies
    }

    fn note_own(&mut self, expr: &Expr) {
        match expr {
            Expr::Load { buffer, .. } => self.note(self.nest.buffers[*buffer].dtype),
            Expr::Position(dtype, _) | Expr::Cast(dtype, _) => self.note(*dtype),
            Expr::Random { distribution, .. } => {
                self.scalar |= *distribution == Distribution::Normal;
                self.narrow = true;
            }
            // What it chooses between need not vary.
            Expr::Select(_, chosen, _) => self.dtype(chosen).into_iter().for_each(|dtype| self.note(dtype)),
            Expr::Literal(_)
            | Expr::Size(..)
            | Expr::Test(_)
            | Expr::Reduced
            | Expr::BestPosition(_)
            | Expr::Let(_)
            | Expr::Unary(..)
            | Expr::Binary(..)
            | Expr::Compare(..) => {}
        }
    }

    /// The dtype of an expression; that of a reduction is noted in any case.
    fn dtype(&self, expr: &Expr) -> Option<DType> {
        match expr {
            Expr::Literal(literal) => Some(literal.dtype),
            Expr::Size(dtype, _) | Expr::Position(dtype, _) | Expr::BestPosition(dtype) | Expr::Cast(dtype, _) => {
                Some(*dtype)
            }
            Expr::Load { buffer, .. } => Some(self.nest.buffers[*buffer].dtype),
            Expr::Test(_) | Expr::Compare(..) => Some(DType::Bool),
            Expr::Random { .. } => Some(DType::F32),
            Expr::Let(number) => self.dtype(&self.nest.lets[*number]),
            Expr::Unary(_, x) | Expr::Binary(_, x, _) | Expr::Select(_, x, _) => self.dtype(x),
            Expr::Reduced => None,
        }
    }
}
