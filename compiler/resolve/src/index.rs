//! Indexing: `x[i]`, `x[a:b]`, `x[at:at + T]`, `x[:, new]`, `x[ids]` (rule 10). What is read as
//! pieces here is written as the same pieces in `updates`.

use crate::cx::Cx;
use crate::faults::Indices;
use crate::forms::Form;
use crate::number;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::dim::{Decision, Dim, SizeError};
use mlc_ir::graph::{Checked, Relation, SizeCheck};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::slice::Slice;
use mlc_ir::ops::slice_at::SliceAt;
use mlc_ir::scalar::{CompareOp, Literal};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, Index};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// What becomes of one axis, or a new one.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// The axis stays, cut.
    Cut { start: Dim, size: Dim, step: i64 },
    /// The axis goes: one coordinate is taken.
    At(Dim),
    /// The axis goes: one coordinate is taken, known when the program runs.
    Place(Tensor),
    /// The axis stays, cut from a start known when the program runs.
    Window { start: Tensor, size: Dim, step: i64 },
    /// The axis is replaced by those of an integer tensor.
    Gather(Tensor),
    /// An axis of size 1 comes.
    New,
}

impl Piece {
    /// The whole axis.
    fn whole(axis: &Size) -> Piece {
        Piece::Cut { start: Dim::zero(), size: axis.dim.clone(), step: 1 }
    }
}

impl<'a> Cx<'a> {
    /// `base[…]`
    pub fn index(&mut self, base: &'a ast::Expr, indices: &'a [Index], span: Span) -> R<Value<'a>> {
        let value = self.expr(base)?;
        match value {
            Value::Tuple(parts) if !matches!(indices, [Index::At(_)]) => {
                let owner = self.excerpt(base.span);
                let error = Diagnostic::error(
                    Code::E0122,
                    span,
                    format!("`{owner}` is a tuple, and one integer takes a part of it"),
                )
                .also(base.span, self.show_parts(&parts))
                .help(format!(
                    "take a part first: `{owner}[0]`, or a name for each: `{} = …`",
                    example_names(parts.len())
                ));
                Err(self.tell(error))
            }
            Value::List(parts) | Value::Tuple(parts) => self.index_list(&parts, indices, span),
            Value::Stack(placed) => self.index_stack(&placed, indices, span),
            Value::Range(_) | Value::Zip(_) => {
                let parts = self.items(value, base.span)?;
                self.index_list(&parts, indices, span)
            }
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
        if let at @ (Value::Tensor(_) | Value::Lazy(_)) = self.expr(expr)? {
            let title =
                format!("a list is indexed by what is known when compiling, and this is {}", self.show_value(&at));
            let help = match parts.first() {
                Some(Value::Tensor(_) | Value::Lazy(_) | Value::Number(_)) => {
                    "one tensor of them takes an index of run time: `concat([a[new], b[new]], axis: 0)[n]`"
                }
                _ => "equal layers can be a stack, `[Linear(4); 3]`, which takes an index of run time",
            };
            return Err(self.tell(Diagnostic::error(Code::E0110, expr.span, title).help(help)));
        }
        let number = self.static_int(expr)?;
        let count = parts.len() as i64;
        let at = if number < 0 { number + count } else { number };
        match usize::try_from(at).ok().and_then(|at| parts.get(at)) {
            Some(Value::Poison) => Err(self.report.silent()),
            Some(part) => Ok(part.clone()),
            None => self.fail(Code::E0117, expr.span, format!("there is no part {number} where there are {count}")),
        }
    }

    pub fn index_tensor(&mut self, x: &Tensor, indices: &'a [Index], span: Span) -> R<Tensor> {
        let pieces = self.pieces(x, indices, span)?;
        self.part(x, &pieces, span)
    }

    /// The part of a tensor that pieces name.
    pub fn part(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<Tensor> {
        let region = self.region(x, pieces, span)?;
        let (region, replaced) = self.gathered(&region, pieces, span)?;
        let mut axes = Vec::new();
        let mut from = 0;
        for piece in pieces {
            match piece {
                Piece::New => axes.push(Size::plain(1)),
                Piece::At(_) | Piece::Place(_) => from += 1,
                Piece::Cut { .. } | Piece::Window { .. } => {
                    axes.push(region.axes[from].clone());
                    from += 1;
                }
                Piece::Gather(_) => {
                    axes.extend(region.axes[from..from + replaced].iter().cloned());
                    from += replaced;
                }
            }
        }
        self.reshape(&region, axes, span)
    }

    /// What the pieces cover, with an axis for each of `x`: of size 1 where one coordinate is taken,
    /// whole where an integer tensor picks.
    pub fn region(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<Tensor> {
        let cut = self.apply_cuts(x, pieces, span)?;
        self.apply_windows(&cut, pieces, span)
    }

    /// One piece for each axis of `x`, in order, with new axes between.
    pub fn pieces(&mut self, x: &Tensor, indices: &'a [Index], span: Span) -> R<Vec<Piece>> {
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
                    pieces.extend(x.axes[axis..axis + rest].iter().map(Piece::whole));
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
        pieces.extend(x.axes[axis..].iter().map(Piece::whole));
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
                let ids = self.as_ids(ids, expr.span)?;
                self.fault_outside(&Indices::of(self, x, &ids, axis), expr.span)?;
                Ok(if ids.rank() == 0 { Piece::Place(ids) } else { Piece::Gather(ids) })
            }
            other => {
                let title = format!("an index is an integer, and this is {}", self.show_value(&other));
                let error = Diagnostic::error(Code::E0122, expr.span, title);
                Err(self.tell(match other {
                    Value::List(_) => error.help(
                        "several places are a slice, `x[0:2]`, or a tensor of integers, as `x[ids]` or `x[iota(2) * 3]`",
                    ),
                    _ => error,
                }))
            }
        }
    }

    /// An integer tensor as the index ops take it.
    pub fn as_ids(&mut self, ids: Tensor, span: Span) -> R<Tensor> {
        match ids.dtype {
            DType::I32 | DType::I64 => Ok(ids),
            DType::U8 | DType::I8 => self.cast(&ids, DType::I32, span),
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
            (true, Ok(sum)) if sum.as_const().is_some_and(|sum| sum < 0) => {
                let title = format!("this index leaves its axis, whose size is {}", self.show_dim(size));
                let error = Diagnostic::error(Code::E0117, span, title)
                    .help(format!("the first element is 0 or -{}", self.show_dim(size)));
                Err(self.tell(error))
            }
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
        let (start, end) = match (start, end) {
            (End::Known(start), End::Known(end)) => (start, end),
            (start, end) => return self.window(x, axis, (start, end, step), span),
        };
        if number::compare_sizes(CompareOp::Gt, &start, &end) == Some(true) {
            let (start, end) = (self.show_dim(&start), self.show_dim(&end));
            let title = format!("this slice ends before it starts: from {start} to {end}");
            let error = Diagnostic::error(Code::E0117, span, title).help(
                "`a:b` has the elements from `a` on, up to but without `b`; `reverse(x, axis: 0)` turns an axis round",
            );
            return Err(self.tell(error));
        }
        self.require_at_most(&end, &whole, x, axis, span)?;
        self.require_at_most(&self.plus_one(&start), &self.plus_one(&end), x, axis, span)?;
        let size = self.slice_size(end.sub(&start), step, span)?;
        Ok(Piece::Cut { start, size, step })
    }

    fn slice_size(&mut self, length: Result<Dim, SizeError>, step: i64, span: Span) -> R<Dim> {
        let Ok(size) = length.and_then(|length| length.ceil_div(step)) else {
            return self.fail(Code::E0114, span, "this slice is too large");
        };
        if size.range().1 < 1 || size.is(0) {
            return self.fail(Code::E0114, span, "this slice has no elements");
        }
        Ok(size)
    }

    /// A slice with a run-time start: its length is a size, and it lies within the axis.
    fn window(&mut self, x: &Tensor, axis: usize, (start, end, step): (End, End, i64), span: Span) -> R<Piece> {
        let forms = self.end_form(&start).zip(self.end_form(&end));
        let length = forms.and_then(|(start, end)| end.less(&start)).and_then(Form::size);
        let (Some(length), End::Run(start)) = (length, start) else {
            let title = "the length of this slice is known only when the program runs";
            let error = Diagnostic::error(Code::E0110, span, title)
                .note("a run-time start goes with an end that lies a size behind it: `x[at:at + T]`")
                .help("shapes do not depend on values: take a fixed length and hide the rest with `where(mask, x, 0)`");
            return Err(self.tell(error));
        };
        let size = self.slice_size(Ok(length.clone()), step, span)?;
        let whole = x.axes[axis].dim.clone();
        if number::compare_sizes(CompareOp::Gt, &length, &whole) == Some(true) {
            let (length, shown, whole) = (self.show_dim(&length), self.show(x), self.show_dim(&whole));
            let title = format!("a slice of {length} elements of axis {axis} of {shown}, whose size is {whole}");
            return self.fail(Code::E0117, span, title);
        }
        self.require_at_most(&length, &whole, x, axis, span)?;
        let bound = whole.sub(&length).and_then(|rest| rest.add(&Dim::one()));
        let Ok(bound) = bound else { return self.fail(Code::E0114, span, "this slice is too large") };
        let text = format!("the start of {} elements along axis {axis} of {}", self.show_dim(&length), self.show(x));
        self.fault_outside(&Indices { ids: &start, bound, text, checked: Checked::Index }, span)?;
        Ok(Piece::Window { start, size, step })
    }

    fn end_form(&self, end: &End) -> Option<Form> {
        match end {
            End::Known(dim) => Some(Form::from(dim.clone())),
            End::Run(tensor) => self.integer_form(tensor.value),
        }
    }

    fn slice_end(&mut self, expr: Option<&'a ast::Expr>, default: Dim, size: &Dim) -> R<End> {
        let Some(expr) = expr else { return Ok(End::Known(default)) };
        match self.expr(expr)? {
            value @ (Value::Tensor(_) | Value::Lazy(_)) => {
                let end = self.tensor(value, expr.span)?;
                if end.rank() > 0 || end.dtype.is_float() || end.dtype == DType::Bool {
                    let title = format!("an end of a slice is one integer, and this is {}", self.show(&end));
                    return self.fail(Code::E0122, expr.span, title);
                }
                self.as_ids(end, expr.span).map(End::Run)
            }
            value => {
                let place = self.as_size(value, expr.span)?.dim;
                self.counted_from_end(&place, size, expr.span).map(End::Known)
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
                Piece::Gather(_) | Piece::Place(_) | Piece::Window { .. } => (Dim::zero(), x.axes[axis].dim.clone(), 1),
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

    /// Cuts the axes whose place is known when the program runs.
    fn apply_windows(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<Tensor> {
        if let Some((axis, place)) = only_place(pieces) {
            let row = self.gather(x, place, axis, 0, span)?;
            let mut axes = x.axes.clone();
            axes[axis] = Size::plain(1);
            return self.reshape(&row, axes, span);
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Place(_) | Piece::Window { .. })) {
            return Ok(x.clone());
        }
        let (mut starts, mut axes, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for (piece, axis) in pieces.iter().filter(|piece| !matches!(piece, Piece::New)).zip(&x.axes) {
            let (start, size, step) = match piece {
                Piece::Place(place) => (place.clone(), Size::plain(1), 1),
                Piece::Window { start, size, step } => {
                    (start.clone(), Size::plain(self.covered(size, *step, span)?), *step)
                }
                Piece::Cut { .. } | Piece::At(_) | Piece::Gather(_) | Piece::New => {
                    (self.literal(span, Literal::zero(DType::I32))?, axis.clone(), 1)
                }
            };
            axes.push(if size.dim == axis.dim { axis.clone() } else { size });
            starts.push(start);
            steps.push(step);
        }
        let operands: Vec<&Tensor> = std::iter::once(x).chain(&starts).collect();
        let window = self.emit(span, SliceAt { sizes: shape_of(&axes) }, &operands, axes)?;
        self.every_nth(&window, steps, span)
    }

    /// Every so many elements of each axis, from the first on.
    fn every_nth(&mut self, x: &Tensor, steps: Vec<i64>, span: Span) -> R<Tensor> {
        if steps.iter().all(|step| *step == 1) {
            return Ok(x.clone());
        }
        let mut axes = Vec::new();
        for (axis, step) in x.axes.iter().zip(&steps) {
            axes.push(match step {
                1 => axis.clone(),
                step => Size::plain(self.slice_size(Ok(axis.dim.clone()), *step, span)?),
            });
        }
        self.emit(span, Slice { starts: vec![Dim::zero(); axes.len()], sizes: shape_of(&axes), steps }, &[x], axes)
    }

    /// Coordinates from the first to the last of `size` with a step: `(size - 1) * step + 1`.
    pub fn covered(&mut self, size: &Dim, step: i64, span: Span) -> R<Dim> {
        let one = Dim::one();
        let covered = size.sub(&one).and_then(|gaps| gaps.mul(&Dim::from(step))).and_then(|length| length.add(&one));
        match covered {
            Ok(covered) => Ok(covered),
            Err(_) => self.fail(Code::E0114, span, "this slice is too large"),
        }
    }

    /// The gather among the pieces, and how many axes took the place of one.
    fn gathered(&mut self, x: &Tensor, pieces: &[Piece], span: Span) -> R<(Tensor, usize)> {
        let mut axis = 0;
        for piece in pieces {
            match piece {
                Piece::New => {}
                Piece::Cut { .. } | Piece::At(_) | Piece::Place(_) | Piece::Window { .. } => axis += 1,
                Piece::Gather(ids) => {
                    let tensor = self.gather(x, ids, axis, 0, span)?;
                    return Ok((tensor, ids.rank()));
                }
            }
        }
        Ok((x.clone(), 1))
    }

    /// `x[…, ids, …]` with indices that were checked.
    pub fn gather(&mut self, x: &Tensor, ids: &Tensor, axis: usize, batch: usize, span: Span) -> R<Tensor> {
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
        self.fault_outside(&Indices::of(self, x, &ids, axis), ids_span)?;
        self.pick_along(x, &ids, axis, span)
    }

    /// [`Cx::take_along`] with indices that fit and are in range.
    pub fn pick_along(&mut self, x: &Tensor, ids: &Tensor, axis: usize, span: Span) -> R<Tensor> {
        let last = x.rank() - 1;
        let mut perm: Vec<usize> = (0..x.rank()).filter(|at| *at != axis).collect();
        perm.push(axis);
        let (x, ids) = (self.permute(x, perm.clone(), span)?, self.permute(ids, perm.clone(), span)?);
        let picked = self.gather(&x, &ids, last, last, span)?;
        let back = (0..=last).map(|at| perm.iter().position(|from| *from == at).unwrap_or(at)).collect();
        self.permute(&picked, back, span)
    }
}

/// An end of a slice.
enum End {
    Known(Dim),
    /// An integer scalar.
    Run(Tensor),
}

/// The axis and the coordinate, if only one axis has a place known when the program runs.
fn only_place(pieces: &[Piece]) -> Option<(usize, &Tensor)> {
    let axes = pieces.iter().filter(|piece| !matches!(piece, Piece::New)).enumerate();
    let mut late = axes.filter(|(_, piece)| matches!(piece, Piece::Place(_) | Piece::Window { .. }));
    match (late.next(), late.next()) {
        (Some((axis, Piece::Place(place))), None) => Some((axis, place)),
        _ => None,
    }
}

/// `a, b, c`: as many names as there are values.
fn example_names(count: usize) -> String {
    let names: Vec<String> = ('a'..='z').take(count.min(4)).map(String::from).collect();
    if count > names.len() { format!("{}, …", names.join(", ")) } else { names.join(", ") }
}
