//! Indexing: `x[i]`, `x[a:b]`, `x[:, new]`, `x[ids]` (rule 10), and the run-time check of indices.

use crate::cx::Cx;
use crate::number;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::graph::{Fault, Relation, SizeCheck};
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::select::Select;
use mlc_ir::ops::slice::Slice;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, Index};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// What becomes of one axis, or a new one.
enum Piece {
    /// The axis stays, cut.
    Cut { start: Dim, size: Dim, step: i64 },
    /// The axis goes: one coordinate is taken.
    At(Dim),
    /// The axis is replaced by those of an integer tensor.
    Gather(Tensor, Span),
    /// An axis of size 1 comes.
    New,
}

impl<'a> Cx<'a> {
    /// `base[…]`
    pub fn index(&mut self, base: &'a ast::Expr, indices: &'a [Index], span: Span) -> R<Value<'a>> {
        let value = self.expr(base)?;
        match value {
            Value::List(parts) | Value::Tuple(parts) => self.index_list(&parts, indices, span),
            Value::Pack(sizes) => {
                let parts: Vec<Value<'a>> = sizes.iter().cloned().map(Value::size).collect();
                self.index_list(&parts, indices, span)
            }
            Value::Tensor(_) | Value::Lazy(_) => {
                let tensor = self.tensor(value, base.span)?;
                self.index_tensor(&tensor, indices, span).map(Value::Tensor)
            }
            other => {
                let title = format!("this is {}, and only tensors and lists are indexed", self.show_value(&other));
                self.fail(Code::E0122, base.span, title)
            }
        }
    }

    fn index_list(&mut self, parts: &[Value<'a>], indices: &'a [Index], span: Span) -> R<Value<'a>> {
        let [Index::At(expr)] = indices else {
            return self.fail(Code::E0122, span, "a list is indexed by one integer");
        };
        let number = self.static_int(expr)?;
        let count = parts.len() as i64;
        let at = if number < 0 { number + count } else { number };
        match usize::try_from(at).ok().and_then(|at| parts.get(at)) {
            Some(Value::Poison) => Err(self.report.silent()),
            Some(part) => Ok(part.clone()),
            None => self.fail(Code::E0117, expr.span, format!("there is no part {number} in a list of {count}")),
        }
    }

    fn index_tensor(&mut self, x: &Tensor, indices: &'a [Index], span: Span) -> R<Tensor> {
        let pieces = self.pieces(x, indices, span)?;
        let cut = self.apply_cuts(x, &pieces, span)?;
        let (gathered, replaced) = self.apply_gather(&cut, &pieces, span)?;
        let mut axes = Vec::new();
        let mut from = 0;
        for piece in &pieces {
            match piece {
                Piece::New => axes.push(Size::plain(1)),
                Piece::At(_) => from += 1,
                Piece::Cut { .. } => {
                    axes.push(gathered.axes[from].clone());
                    from += 1;
                }
                Piece::Gather(..) => {
                    axes.extend(gathered.axes[from..from + replaced].iter().cloned());
                    from += replaced;
                }
            }
        }
        self.reshape(&gathered, axes, span)
    }

    /// One piece for each axis of `x`, in order, with new axes between.
    fn pieces(&mut self, x: &Tensor, indices: &'a [Index], span: Span) -> R<Vec<Piece>> {
        let used = indices.iter().filter(|index| matches!(index, Index::At(_) | Index::Slice { .. })).count();
        if used > x.rank() {
            let shown = self.show(x);
            return self.fail(Code::E0117, span, format!("{used} indices for {shown}, which has {} axes", x.rank()));
        }
        if indices.iter().filter(|index| matches!(index, Index::Ellipsis(_))).count() > 1 {
            return self.fail(Code::E0117, span, "`...` stands once at most");
        }
        let mut rest = x.rank() - used;
        let mut pieces = Vec::new();
        let mut axis = 0;
        for index in indices {
            match index {
                Index::New(_) => pieces.push(Piece::New),
                Index::Ellipsis(_) => {
                    pieces.extend(x.axes[axis..axis + rest].iter().map(whole));
                    axis += rest;
                    rest = 0;
                }
                Index::At(expr) => {
                    pieces.push(self.at(x, axis, expr)?);
                    axis += 1;
                }
                Index::Slice { start, end, step, span } => {
                    pieces.push(self.slice(x, axis, (start.as_ref(), end.as_ref(), step.as_ref()), *span)?);
                    axis += 1;
                }
            }
        }
        pieces.extend(x.axes[axis..].iter().map(whole));
        if pieces.iter().filter(|piece| matches!(piece, Piece::Gather(..))).count() > 1 {
            let error = Diagnostic::error(Code::E0122, span, "only one index may be a tensor")
                .help("`take_along(x, ids, axis: -1)` picks row by row");
            return Err(self.tell(error));
        }
        Ok(pieces)
    }

    fn at(&mut self, x: &Tensor, axis: usize, expr: &'a ast::Expr) -> R<Piece> {
        match self.expr(expr)? {
            Value::Number(number) if number.is_integer() => {
                let place = self.as_size(Value::Number(number), expr.span)?.dim;
                let place = self.counted_from_end(&place, &x.axes[axis].dim, expr.span)?;
                self.require_at_most(&self.plus_one(&place), &x.axes[axis].dim, x, axis, expr.span)?;
                Ok(Piece::At(place))
            }
            value @ (Value::Tensor(_) | Value::Lazy(_)) => {
                let ids = self.tensor(value, expr.span)?;
                self.as_ids(ids, expr.span).map(|ids| Piece::Gather(ids, expr.span))
            }
            other => {
                let title = format!("an index is an integer, and this is {}", self.show_value(&other));
                self.fail(Code::E0122, expr.span, title)
            }
        }
    }

    /// An integer tensor as the index ops take it.
    fn as_ids(&mut self, ids: Tensor, span: Span) -> R<Tensor> {
        match ids.dtype {
            DType::I32 | DType::I64 => Ok(ids),
            DType::U8 => self.cast(&ids, DType::I32, span),
            DType::Bool => {
                let error = Diagnostic::error(Code::E0122, span, "a tensor of bool does not index")
                    .help("choose element by element with `where(mask, x, 0)`");
                Err(self.tell(error))
            }
            DType::F32 | DType::F64 => {
                let shown = self.show(&ids);
                let error =
                    Diagnostic::error(Code::E0104, span, format!("an index is an integer, and this is {shown}"))
                        .help("write `cast(x, i32)`");
                Err(self.tell(error))
            }
        }
    }

    fn plus_one(&self, dim: &Dim) -> Dim {
        dim.add(&Dim::one()).unwrap_or_else(|_| dim.clone())
    }

    /// A coordinate; negative ones count from the end.
    fn counted_from_end(&mut self, place: &Dim, size: &Dim, span: Span) -> R<Dim> {
        match (place.as_const().is_some_and(|place| place < 0), size.add(place)) {
            (false, _) => Ok(place.clone()),
            (true, Ok(sum)) => Ok(sum),
            (true, Err(_)) => self.fail(Code::E0114, span, "this index is too large"),
        }
    }

    /// `place <= size`: known, refused, or a check of the entry.
    fn require_at_most(&mut self, place: &Dim, size: &Dim, x: &Tensor, axis: usize, span: Span) -> R<()> {
        let below_zero = number::compare_sizes(CompareOp::Lt, place, &Dim::zero()) == Some(true);
        match number::compare_sizes(CompareOp::Le, place, size) {
            Some(true) if !below_zero => Ok(()),
            None if !below_zero => {
                let text = format!("an index into axis {axis} of {}", self.show(x));
                let span = self.place(span);
                let check =
                    SizeCheck { left: place.clone(), relation: Relation::AtMost, right: size.clone(), span, text };
                self.entry.checks.push(check);
                Ok(())
            }
            Some(_) | None => {
                let (shown, size) = (self.show(x), self.show_dim(size));
                self.fail(Code::E0117, span, format!("this index leaves axis {axis} of {shown}, whose size is {size}"))
            }
        }
    }

    fn slice(
        &mut self,
        x: &Tensor,
        axis: usize,
        (start, end, step): (Option<&'a ast::Expr>, Option<&'a ast::Expr>, Option<&'a ast::Expr>),
        span: Span,
    ) -> R<Piece> {
        let whole = x.axes[axis].dim.clone();
        let start = self.slice_end(start, Dim::zero(), &whole)?;
        let end = self.slice_end(end, whole.clone(), &whole)?;
        let step = match step {
            Some(step) => self.static_int(step)?,
            None => 1,
        };
        if step < 1 {
            let error = Diagnostic::error(Code::E0117, span, "the step of a slice is at least 1")
                .help("`reverse(x, axis: 0)` turns an axis round");
            return Err(self.tell(error));
        }
        self.require_at_most(&end, &whole, x, axis, span)?;
        self.require_at_most(&self.plus_one(&start), &self.plus_one(&end), x, axis, span)?;
        let size = end.sub(&start).and_then(|length| length.ceil_div(step));
        let Ok(size) = size else { return self.fail(Code::E0114, span, "this slice is too large") };
        if size.range().1 < 1 || size.is(0) {
            return self.fail(Code::E0114, span, "this slice has no elements");
        }
        Ok(Piece::Cut { start, size, step })
    }

    fn slice_end(&mut self, expr: Option<&'a ast::Expr>, default: Dim, size: &Dim) -> R<Dim> {
        let Some(expr) = expr else { return Ok(default) };
        match self.expr(expr)? {
            Value::Tensor(_) | Value::Lazy(_) => self.unsupported(expr.span, "a slice with run-time ends"),
            value => {
                let place = self.as_size(value, expr.span)?.dim;
                self.counted_from_end(&place, size, expr.span)
            }
        }
    }

    fn apply_cuts(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<Tensor> {
        let (mut starts, mut steps, mut axes) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let axis = starts.len();
            let (start, size, step) = match piece {
                Piece::New => continue,
                Piece::Cut { start, size, step } => (start.clone(), size.clone(), *step),
                Piece::At(place) => (place.clone(), Dim::one(), 1),
                Piece::Gather(..) => (Dim::zero(), x.axes[axis].dim.clone(), 1),
            };
            axes.push(if size == x.axes[axis].dim { x.axes[axis].clone() } else { Size::plain(size) });
            starts.push(start);
            steps.push(step);
        }
        if shape_of(&axes) == x.shape() {
            return Ok(x.clone());
        }
        self.emit(span, Slice { starts, sizes: shape_of(&axes), steps }, &[x], axes)
    }

    /// The gather among the pieces, and how many axes took the place of one.
    fn apply_gather(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<(Tensor, usize)> {
        let mut axis = 0;
        for piece in pieces {
            match piece {
                Piece::New => {}
                Piece::Cut { .. } | Piece::At(_) => axis += 1,
                Piece::Gather(ids, ids_span) => {
                    let tensor = self.gather(x, ids, axis, 0, span, *ids_span)?;
                    return Ok((tensor, ids.rank()));
                }
            }
        }
        Ok((x.clone(), 1))
    }

    fn gather(&mut self, x: &Tensor, ids: &Tensor, axis: usize, batch: usize, span: Span, ids_span: Span) -> R<Tensor> {
        self.fault_outside(x, ids, axis, ids_span)?;
        let mut axes = x.axes[..axis].to_vec();
        axes.extend(ids.axes[batch..].iter().cloned());
        axes.extend(x.axes[axis + 1..].iter().cloned());
        self.emit(span, Gather { axis, batch }, &[x, ids], axes)
    }

    /// `x[…, ids[…], …]` with equal sizes on all axes but `axis`.
    pub fn take_along(&mut self, x: &Tensor, ids: &Tensor, axis: usize, span: Span, ids_span: Span) -> R<Tensor> {
        let ids = self.as_ids(ids.clone(), ids_span)?;
        let fits = ids.rank() == x.rank()
            && (0..x.rank()).all(|at| at == axis || x.axes[at].dim.decide(&ids.axes[at].dim) == Decision::Equal);
        if !fits {
            let (a, b) = (self.show(x), self.show(&ids));
            let error = Diagnostic::error(Code::E0105, ids_span, format!("shapes do not agree: {a} is indexed by {b}"))
                .note(format!("all sizes but that of axis {axis} are equal"));
            return Err(self.tell(error));
        }
        let last = x.rank() - 1;
        let mut perm: Vec<usize> = (0..x.rank()).filter(|at| *at != axis).collect();
        perm.push(axis);
        let (x, ids) = (self.permute(x, perm.clone(), span)?, self.permute(&ids, perm.clone(), span)?);
        let picked = self.gather(&x, &ids, last, last, span, ids_span)?;
        let back = (0..=last).map(|at| perm.iter().position(|from| *from == at).unwrap_or(at)).collect();
        self.permute(&picked, back, span)
    }

    /// Tells the first index outside of an axis when the program runs.
    fn fault_outside(&mut self, x: &Tensor, ids: &Tensor, axis: usize, span: Span) -> R<()> {
        let bound = x.axes[axis].dim.clone();
        let name = self.show(x);
        let number = |value: i64| Value::int(value);
        let place = crate::arith::Operation { symbol: "<", span, left: span, right: span };
        let ids_value = || Value::Tensor(ids.clone());
        let below = self.compare_values(CompareOp::Lt, ids_value(), number(0), place)?;
        let limit = Value::size(Size::plain(bound.clone()));
        let above = self.compare_values(CompareOp::Ge, ids_value(), limit, place)?;
        let (below, above) = (self.tensor(below, span)?, self.tensor(above, span)?);
        let axes = below.axes.clone();
        let bad = self.emit(span, Binary { op: BinaryOp::Or }, &[&below, &above], axes)?;
        let Ok(count) = Dim::product(&bad.shape()) else { return Err(self.too_many_indices(span)) };
        let flat = vec![Size::plain(count)];
        let bad = self.reshape(&bad, flat.clone(), span)?;
        let positions =
            self.emit(span, Iota { shape: shape_of(&flat), axis: 0, dtype: DType::I32 }, &[], flat.clone())?;
        let none = self.literal(span, Literal::from_i64(DType::I32, i64::from(i32::MAX)))?;
        let none = self.broadcast_scalar(none, flat.clone(), span)?;
        let places = self.emit(span, Select, &[&bad, &positions, &none], flat)?;
        let first = self.emit(span, Reduce { kind: ReduceKind::Min, axes: vec![0] }, &[&places], Vec::new())?;
        let fault = Fault { span: self.place(span), text: format!("axis {axis} of {name}"), bound };
        if !self.entry.faults.iter().any(|(value, other)| *value == first.value && *other == fault) {
            self.entry.faults.push((first.value, fault));
        }
        Ok(())
    }

    fn too_many_indices(&mut self, span: Span) -> Reported {
        self.tell(Diagnostic::error(Code::E0114, span, "there are too many indices"))
    }
}

fn whole(axis: &Size) -> Piece {
    Piece::Cut { start: Dim::zero(), size: axis.dim.clone(), step: 1 }
}
