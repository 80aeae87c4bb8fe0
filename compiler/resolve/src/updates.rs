//! Assignment to parts of a tensor: `x[…] = v`, `x[…] += v` (rule 10). The name stands for a new
//! tensor; whether it takes the place of the old one in memory is settled much later.

use crate::arith::Operation;
use crate::cx::Cx;
use crate::index::Piece;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::ops::binary::Binary;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_ir::ops::compare::Compare;
use mlc_ir::ops::iota::Iota;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ops::scatter_add::ScatterAdd;
use mlc_ir::ops::select::Select;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::scalar::{BinaryOp, CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, Index};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// `x[…]` on the left of an assignment.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub name: ast::Name,
    pub indices: &'a [Index],
    pub span: Span,
}

impl<'a> Cx<'a> {
    /// The tensor that a name stands for after `x[…] = value`.
    pub fn with_part(&mut self, part: &Part<'a>, value: Value<'a>, span: Span) -> R<Value<'a>> {
        let x = self.updated_tensor(part, self.dtype_given(&value))?;
        let pieces = self.pieces(&x, part.indices, part.span)?;
        let value = self.listed_value(value, x.dtype, span)?;
        self.replaced(&x, &pieces, value, (part.span, span)).map(Value::Tensor)
    }

    /// The tensor that a name stands for after `x[…] op= value`.
    pub fn with_part_updated(
        &mut self,
        op: ast::BinaryOp,
        part: &Part<'a>,
        value: &'a ast::Expr,
        span: Span,
    ) -> R<Value<'a>> {
        let given = self.expr(value)?;
        let x = self.updated_tensor(part, self.dtype_given(&given))?;
        let pieces = self.pieces(&x, part.indices, part.span)?;
        let given = self.listed_value(given, x.dtype, value.span)?;
        let place = Operation { symbol: op.symbol(), span, left: part.span, right: value.span };
        if pieces.iter().any(|piece| matches!(piece, Piece::Gather(_))) {
            return self.gathered_up(op, &x, &pieces, given, place).map(Value::Tensor);
        }
        let before = self.part(&x, &pieces, part.span)?;
        let after = self.operate(op, Value::Tensor(before), given, place)?;
        self.replaced(&x, &pieces, after, (part.span, value.span)).map(Value::Tensor)
    }

    /// The dtype that a value decides for what has none.
    fn dtype_given(&self, value: &Value<'a>) -> Option<DType> {
        match value {
            Value::Tensor(value) => Some(value.dtype),
            Value::Number(number) if !number.is_integer() => Some(number.dtype.unwrap_or(self.entry.real)),
            Value::Lazy(lazy) if !lazy.kind.is_integer() => Some(self.entry.real),
            _ => None,
        }
    }

    /// What the name of a part stands for; what has no dtype yet takes that of the new part.
    fn updated_tensor(&mut self, part: &Part<'a>, dtype: Option<DType>) -> R<Tensor> {
        match (self.name(&part.name.text, part.name.span)?, dtype) {
            (value @ Value::Tensor(_), _) => self.tensor(value, part.name.span),
            (value @ Value::Lazy(_), Some(dtype)) => self.materialise(value, dtype, part.name.span),
            (value @ Value::Lazy(_), None) => self.tensor(value, part.name.span),
            (Value::Poison, _) => Err(self.report.silent()),
            (other, _) => {
                let title =
                    format!("only parts of tensors are assigned, and `{}` is {}", part.name.text, other.describe());
                let mut error = Diagnostic::error(Code::E0122, part.span, title);
                if let Value::List(_) = other {
                    error = error.help("`append(xs, x)` makes a longer list");
                }
                Err(self.tell(error))
            }
        }
    }

    /// `x` with the pieces replaced by `value`, which is stretched to their shape.
    fn replaced(&mut self, x: &Tensor, pieces: &[Piece], value: Value<'a>, spans: (Span, Span)) -> R<Tensor> {
        let span = spans.0;
        let value = self.fitted(x, pieces, value, spans)?;
        let value = match gathered_axis(pieces) {
            None => value,
            Some((axis, ids)) => {
                let region = self.region(x, pieces, span)?;
                self.scatter(&region, axis, ids, &value, span)?
            }
        };
        self.placed(x, pieces, value, span)
    }

    /// `x[ids] op= value`: where an index is repeated, all of its values count.
    fn gathered_up(
        &mut self,
        op: ast::BinaryOp,
        x: &Tensor,
        pieces: &[Piece],
        value: Value<'a>,
        place: Operation<'_>,
    ) -> R<Tensor> {
        let Some((axis, ids)) = gathered_axis(pieces) else {
            mlc_ir::internal_error("resolver", "indices of a tensor without a tensor")
        };
        let span = place.span;
        let value = self.fitted(x, pieces, value, (place.left, place.right))?;
        let region = self.region(x, pieces, span)?;
        let all = match op {
            ast::BinaryOp::Mul | ast::BinaryOp::Div => self.products(&region, axis, ids, &value, span)?,
            _ => {
                let size = region.axes[axis].dim.clone();
                self.emit(span, ScatterAdd { axis, batch: 0, size }, &[&value, ids], region.axes.clone())?
            }
        };
        let after = self.operate(op, Value::Tensor(region), Value::Tensor(all), place)?;
        let after = self.tensor(after, span)?;
        self.placed(x, pieces, after, span)
    }

    /// For each place of an axis of `region` the product of the values whose index names it, 1 if none does.
    fn products(&mut self, region: &Tensor, axis: usize, ids: &Tensor, value: &Tensor, span: Span) -> R<Tensor> {
        let (ids, value, count) = self.flattened(region, axis, ids, value, span)?;
        let here = self.meetings(&region.axes[axis], &count, &ids, span)?;
        let mut axes = region.axes.clone();
        axes.insert(axis + 1, count);
        let spread = |axes: &[Size], to: Vec<usize>| Broadcast { shape: shape_of(axes), axes: to };
        let here = self.emit(span, spread(&axes, vec![axis, axis + 1]), &[&here], axes.clone())?;
        let others = (0..axes.len()).filter(|at| *at != axis).collect();
        let value = self.emit(span, spread(&axes, others), &[&value], axes.clone())?;
        let one = self.literal(span, Literal::from_f64(value.dtype, 1.0))?;
        let one = self.broadcast_scalar(one, axes.clone(), span)?;
        let factors = self.emit(span, Select, &[&here, &value, &one], axes)?;
        let op = Reduce { kind: ReduceKind::Prod, axes: vec![axis + 1] };
        self.emit(span, op, &[&factors], region.axes.clone())
    }

    /// Indices with one axis, the values for them along the same, and its size.
    fn flattened(
        &mut self,
        region: &Tensor,
        axis: usize,
        ids: &Tensor,
        value: &Tensor,
        span: Span,
    ) -> R<(Tensor, Tensor, Size)> {
        let Ok(count) = Dim::product(&ids.shape()) else {
            return self.fail(Code::E0114, span, "there are too many indices");
        };
        let flat = Size::plain(count);
        let ids = self.reshape(ids, vec![flat.clone()], span)?;
        let mut axes = region.axes.clone();
        axes[axis] = flat.clone();
        Ok((ids, self.reshape(value, axes, span)?, flat))
    }

    /// `value` in the dtype of `x` and in the shape of the pieces, with an axis for each axis of `x` (those of the
    /// indices for the one that a tensor picks from).
    fn fitted(&mut self, x: &Tensor, pieces: &[Piece], value: Value<'a>, (part, span): (Span, Span)) -> R<Tensor> {
        let value = self.materialise(value, x.dtype, span)?;
        let (mut shown, mut kept) = (Vec::new(), Vec::new());
        let mut axis = 0;
        for piece in pieces {
            match piece {
                Piece::New => shown.push(Size::plain(1)),
                Piece::At(_) | Piece::Place(_) => kept.push(Size::plain(1)),
                Piece::Cut { size, .. } | Piece::Window { size, .. } => {
                    let size = if *size == x.axes[axis].dim { x.axes[axis].clone() } else { Size::plain(size.clone()) };
                    shown.push(size.clone());
                    kept.push(size);
                }
                Piece::Gather(ids) => {
                    shown.extend(ids.axes.iter().cloned());
                    kept.extend(ids.axes.iter().cloned());
                }
            }
            axis += usize::from(!matches!(piece, Piece::New));
        }
        if value.dtype != x.dtype || !stretches(&value.axes, &shown) {
            return Err(self.part_differs(x, &shown, &value, (part, span)));
        }
        let value = self.stretch(&value, &shown, span)?;
        self.reshape(&value, kept, span)
    }

    fn part_differs(&mut self, x: &Tensor, shown: &[Size], value: &Tensor, (part, span): (Span, Span)) -> Reported {
        let is = self.show(value);
        let wanted = self.show(&Tensor { axes: shown.to_vec(), ..x.clone() });
        if value.dtype != x.dtype {
            let title = format!("dtypes do not agree: {is} for a part of {}", self.show(x));
            let error = Diagnostic::error(Code::E0104, span, title)
                .also(part, wanted)
                .help(format!("write `cast(x, {})` where the conversion is meant", x.dtype));
            return self.tell(error);
        }
        let error =
            Diagnostic::error(Code::E0105, span, format!("shapes do not agree: {is} for a part that is {wanted}"))
                .also(part, wanted);
        self.tell(error)
    }

    /// `region` with `value` at `ids` along an axis; the last of equal indices wins. The winner of each
    /// place is found first, so that the rest is reading.
    fn scatter(&mut self, region: &Tensor, axis: usize, ids: &Tensor, value: &Tensor, span: Span) -> R<Tensor> {
        let (ids, value, flat) = self.flattened(region, axis, ids, value, span)?;
        let winner = self.winners(&region.axes[axis], &flat, &ids, span)?;
        let none = self.zeros_like(&winner, span)?;
        let line = winner.axes.clone();
        let from = self.emit(span, Binary { op: BinaryOp::Max }, &[&winner, &none], line.clone())?;
        let written = self.emit(span, Compare { op: CompareOp::Ge }, &[&winner, &none], line)?;
        let chosen = self.gather(&value, &from, axis, 0, span)?;
        let op = Broadcast { shape: region.shape(), axes: vec![axis] };
        let written = self.emit(span, op, &[&written], region.axes.clone())?;
        let chosen = Tensor { axes: region.axes.clone(), ..chosen };
        self.emit(span, Select, &[&written, &chosen, region], region.axes.clone())
    }

    /// For each place of an axis the last of `ids` that names it, -1 if none does.
    fn winners(&mut self, places: &Size, count: &Size, ids: &Tensor, span: Span) -> R<Tensor> {
        let axes = vec![places.clone(), count.clone()];
        let here = self.meetings(places, count, ids, span)?;
        let op = Iota { shape: shape_of(&axes), axis: 1, dtype: DType::I32 };
        let number = self.emit(span, op, &[], axes.clone())?;
        let none = self.literal(span, Literal::from_i64(DType::I32, -1))?;
        let none = self.broadcast_scalar(none, axes.clone(), span)?;
        let number = self.emit(span, Select, &[&here, &number, &none], axes)?;
        self.emit(span, Reduce { kind: ReduceKind::Max, axes: vec![1] }, &[&number], vec![places.clone()])
    }

    /// Which of `ids` names which place of an axis: `[places, count]`.
    fn meetings(&mut self, places: &Size, count: &Size, ids: &Tensor, span: Span) -> R<Tensor> {
        let axes = vec![places.clone(), count.clone()];
        let op = Iota { shape: shape_of(&axes), axis: 0, dtype: ids.dtype };
        let place = self.emit(span, op, &[], axes.clone())?;
        let op = Broadcast { shape: shape_of(&axes), axes: vec![1] };
        let ids = self.emit(span, op, &[ids], axes.clone())?;
        self.emit(span, Compare { op: CompareOp::Eq }, &[&ids, &place], axes)
    }

    fn zeros_like(&mut self, like: &Tensor, span: Span) -> R<Tensor> {
        let zero = self.literal(span, Literal::zero(like.dtype))?;
        self.broadcast_scalar(zero, like.axes.clone(), span)
    }

    /// `x` with `value` where the pieces lie, whose tensor of indices is dealt with already.
    fn placed(&mut self, x: &Tensor, pieces: &[Piece], mut value: Tensor, span: Span) -> R<Tensor> {
        let pieces: Vec<&Piece> = pieces.iter().filter(|piece| !matches!(piece, Piece::New)).collect();
        for (axis, piece) in pieces.iter().enumerate() {
            if let Piece::Cut { step, .. } | Piece::Window { step, .. } = piece
                && *step > 1
            {
                value = self.spread_out(x, &pieces, axis, value, span)?;
            }
        }
        if value.shape() == x.shape() {
            return Ok(Tensor { axes: x.axes.clone(), ..value });
        }
        let mut starts = Vec::new();
        for piece in &pieces {
            starts.push(match piece {
                Piece::Cut { start, .. } | Piece::At(start) => {
                    self.materialise(Value::size(Size::plain(start.clone())), DType::I32, span)?
                }
                Piece::Place(start) | Piece::Window { start, .. } => start.clone(),
                Piece::Gather(_) | Piece::New => self.literal(span, Literal::zero(DType::I32))?,
            });
        }
        let operands: Vec<&Tensor> = [x, &value].into_iter().chain(&starts).collect();
        self.emit(span, UpdateSlice, &operands, x.axes.clone())
    }

    /// `value`, whose elements lie apart along an axis, with the elements of `x` between them.
    fn spread_out(&mut self, x: &Tensor, pieces: &[&Piece], axis: usize, value: Tensor, span: Span) -> R<Tensor> {
        // Axes before this one are spread already, those behind are not yet.
        let mut cover = Vec::new();
        let mut step_here = 1;
        for (at, piece) in pieces.iter().enumerate() {
            cover.push(match piece {
                Piece::Cut { start, size, step } if at <= axis => {
                    step_here = if at == axis { *step } else { step_here };
                    Piece::Cut { start: start.clone(), size: self.covered(size, *step, span)?, step: 1 }
                }
                Piece::Window { start, size, step } if at <= axis => {
                    step_here = if at == axis { *step } else { step_here };
                    Piece::Window { start: start.clone(), size: self.covered(size, *step, span)?, step: 1 }
                }
                other => (*other).clone(),
            });
        }
        let between = self.region(x, &cover, span)?;
        let line = vec![between.axes[axis].clone()];
        let place = self.emit(span, Iota { shape: shape_of(&line), axis: 0, dtype: DType::I32 }, &[], line.clone())?;
        let step = self.literal(span, Literal::from_i64(DType::I32, step_here))?;
        let step = self.broadcast_scalar(step, line.clone(), span)?;
        let from = self.emit(span, Binary { op: BinaryOp::FloorDiv }, &[&place, &step], line.clone())?;
        let rest = self.emit(span, Binary { op: BinaryOp::Rem }, &[&place, &step], line.clone())?;
        let zero = self.zeros_like(&rest, span)?;
        let written = self.emit(span, Compare { op: CompareOp::Eq }, &[&rest, &zero], line)?;
        let spread = self.gather(&value, &from, axis, 0, span)?;
        let axes = between.axes.clone();
        let op = Broadcast { shape: shape_of(&axes), axes: vec![axis] };
        let written = self.emit(span, op, &[&written], axes.clone())?;
        let spread = Tensor { axes: axes.clone(), ..spread };
        self.emit(span, Select, &[&written, &spread, &between], axes)
    }
}

/// The axis of `x` that a tensor picks from, and the tensor.
fn gathered_axis(pieces: &[Piece]) -> Option<(usize, &Tensor)> {
    let axes = pieces.iter().filter(|piece| !matches!(piece, Piece::New)).enumerate();
    axes.into_iter().find_map(|(axis, piece)| match piece {
        Piece::Gather(ids) => Some((axis, ids)),
        _ => None,
    })
}

/// Whether a value can be repeated to a shape: sizes are equal from the right, or 1, or missing in front.
fn stretches(from: &[Size], to: &[Size]) -> bool {
    let Some(missing) = to.len().checked_sub(from.len()) else { return false };
    from.iter().zip(&to[missing..]).all(|(from, to)| from.dim.is(1) || from.dim.decide(&to.dim) == Decision::Equal)
}
