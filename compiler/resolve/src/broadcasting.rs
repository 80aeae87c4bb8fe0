//! Two operands in one shape (rule 8).

use crate::arith::Operation;
use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, shape_of};
use mlc_ir::dim::Decision;
use mlc_ir::ops::broadcast::Broadcast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

impl<'a> Cx<'a> {
    /// Two operands in one shape (rule 8).
    pub fn broadcast_pair(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> R<(Tensor, Tensor)> {
        let rank = a.rank().max(b.rank());
        let mut axes = Vec::with_capacity(rank);
        for at in (0..rank).rev() {
            let from_end = at + 1;
            let left = a.rank().checked_sub(from_end).map(|axis| &a.axes[axis]);
            let right = b.rank().checked_sub(from_end).map(|axis| &b.axes[axis]);
            let axis = match (left, right) {
                (Some(left), Some(right)) => joint_axis(left, right, a.rank(), b.rank()),
                (Some(only), None) | (None, Some(only)) => Some(only.clone()),
                (None, None) => None,
            };
            match axis {
                Some(axis) => axes.push(axis),
                None => return Err(self.shapes_differ(a, b, place)),
            }
        }
        Ok((self.stretch(a, &axes, place.span)?, self.stretch(b, &axes, place.span)?))
    }

    /// A tensor repeated along leading axes and along axes of size 1.
    pub fn stretch(&mut self, tensor: &Tensor, axes: &[Size], span: Span) -> R<Tensor> {
        if tensor.shape() == shape_of(axes) {
            return Ok(Tensor { axes: axes.to_vec(), ..tensor.clone() });
        }
        let missing = axes.len() - tensor.rank();
        let op = Broadcast { shape: shape_of(axes), axes: (missing..axes.len()).collect() };
        self.emit(span, op, &[tensor], axes.to_vec())
    }

    fn shapes_differ(&mut self, a: &Tensor, b: &Tensor, place: Operation<'_>) -> Reported {
        let (left, right) = (self.show(a), self.show(b));
        let title = format!("shapes do not agree: {left} {} {right}", place.symbol);
        let mut error =
            Diagnostic::error(Code::E0105, place.span, title).also(place.left, left).also(place.right, right);
        let ends_in_one = |long: &Tensor, short: &Tensor| {
            long.rank() == short.rank() + 1 && long.axes.last().is_some_and(|axis| axis.dim.is(1))
        };
        let differ = a.rank() != b.rank();
        if ends_in_one(a, b) || ends_in_one(b, a) {
            let (long, short) = if a.rank() > b.rank() { (place.left, place.right) } else { (place.right, place.left) };
            let (zero, new) =
                if a.rank().max(b.rank()) == 2 { ("[:, 0]", "[:, new]") } else { ("[..., 0]", "[..., new]") };
            error = error.help(format!(
                "`{}{zero}` takes the last axis of 1 away, `{}{new}` gives the other one such an axis",
                self.operand(long),
                self.operand(short)
            ));
        } else if differ {
            error = error.note(
                "shapes are aligned from the right; sizes must be equal there, or 1 in the operand with fewer axes",
            );
            let (short, long, span) = if a.rank() < b.rank() { (a, b, place.left) } else { (b, a, place.right) };
            if let Some(index) = missing_axes(short, long) {
                error = error.help(format!("give it the missing axes: `{}[{index}]`", self.operand(span)));
            }
        } else {
            let symbolic = a.axes.iter().zip(&b.axes).find(|(a, b)| a.dim.decide(&b.dim) == Decision::Ask);
            if let Some((a, b)) = symbolic {
                let (a, b) = (self.show_dim(&a.dim), self.show_dim(&b.dim));
                error = error
                    .note(format!("`{a}` and `{b}` may differ when the program runs"))
                    .help(format!("if they are always equal, give them one name, or say `requires {a} == {b}`"));
            }
        }
        self.tell(error)
    }

    /// A scalar in every element of a shape.
    pub fn broadcast_scalar(&mut self, scalar: Tensor, axes: Vec<Size>, span: Span) -> R<Tensor> {
        self.check_extent(span, &shape_of(&axes))?;
        if axes.is_empty() {
            return Ok(scalar);
        }
        self.emit(span, Broadcast { shape: shape_of(&axes), axes: Vec::new() }, &[&scalar], axes)
    }
}

/// `:, new, :` where a tensor has some axes of a longer one, in the same order.
fn missing_axes(short: &Tensor, long: &Tensor) -> Option<String> {
    let mut own = short.axes.iter().peekable();
    let mut parts = Vec::new();
    for axis in &long.axes {
        let fits = own.peek().is_some_and(|own| own.dim.decide(&axis.dim) == Decision::Equal);
        parts.push(if fits { ":" } else { "new" });
        if fits {
            own.next();
        }
    }
    let is_whole = own.peek().is_none() && !short.axes.is_empty();
    // Axes in front are there without being written.
    let from = parts.iter().take_while(|part| **part == "new").count();
    let last = parts.iter().rposition(|part| *part == "new")?;
    (is_whole && from <= last).then(|| parts[from..].join(", "))
}

/// The axis that two aligned axes make, if they fit.
fn joint_axis(a: &Size, b: &Size, a_rank: usize, b_rank: usize) -> Option<Size> {
    if a.dim.decide(&b.dim) == Decision::Equal {
        return Some(a.meet(b));
    }
    if a.dim.is(1) && a_rank <= b_rank {
        return Some(b.clone());
    }
    (b.dim.is(1) && b_rank <= a_rank).then(|| a.clone())
}
