//! Loops whose passes are evaluated one by one because a gradient in them goes through gradients of earlier passes:
//! of another order in each pass, so that no body is the same as another.

use super::{LoopForm, LoopOutcome, Pass};
use crate::cx::Cx;
use crate::exprs::Truth;
use crate::molds::Mold;
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::ops::concat::Concat;
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::scalar::Literal;
use mlc_ir::ty::DType;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A loop that is being unrolled.
struct Unrolling<'a, 's> {
    form: &'s LoopForm<'a>,
    molds: &'s [Mold],
    passes: i64,
    /// What the frame had before the first pass.
    locals: BTreeMap<Arc<str>, Value<'a>>,
    ordinals: BTreeMap<String, u32>,
}

impl<'a> Cx<'a> {
    /// Evaluates a loop of so many passes without a loop.
    pub(super) fn unrolled_form(&mut self, form: &LoopForm<'a>, molds: &[Mold], passes: i64) -> R<LoopOutcome<'a>> {
        let (locals, ordinals) = (self.top().locals.clone(), self.top().ordinals.clone());
        let unrolling = Unrolling { form, molds, passes, locals, ordinals };
        for (handed, mold) in form.handed.iter().zip(molds) {
            self.hand_on(&handed.name, handed.start.clone(), mold, handed.start_span)?;
        }
        let mut rows = Vec::new();
        self.begin_passes();
        self.passes_from(&unrolling, 0, &mut rows)?;
        self.require_paths()?;
        let locals = &self.top().locals;
        let handed = form.handed.iter().map(|handed| locals.get(&handed.name).cloned().unwrap_or(Value::Nothing));
        let handed = handed.collect();
        let yields = self.stacked(rows, form.span)?;
        Ok(LoopOutcome { handed, yields })
    }

    /// Gives a name its value for the next pass, as a loop would keep it.
    fn hand_on(&mut self, name: &Arc<str>, value: Value<'a>, mold: &Mold, span: Span) -> R<()> {
        // What a loop could not keep has been told where it was tried as one.
        if let Some(tensors) = self.fill(mold, &value, span)? {
            self.set_names(name, mold, &tensors);
        }
        Ok(())
    }

    /// The passes from one on. What follows a condition that is known at run time only is a branch of an `if`.
    fn passes_from(&mut self, unrolling: &Unrolling<'a, '_>, number: i64, rows: &mut Vec<Vec<Tensor>>) -> R<()> {
        let form = unrolling.form;
        if number == unrolling.passes {
            return Ok(());
        }
        let position = self.literal(form.span, Literal::from_i64(DType::I64, number))?;
        self.bind_items(form, &position)?;
        let Some(condition) = form.condition else { return self.passes_through(unrolling, number, rows) };
        let value = self.expr(condition)?;
        match self.truth(value, condition.span)? {
            Truth::Known(false) => Ok(()),
            Truth::Known(true) => self.passes_through(unrolling, number, rows),
            Truth::Runtime(goes_on) => {
                let names = form.handed.iter().map(|handed| (handed.name.clone(), [Some(handed.next_span), None]));
                let names = names.collect();
                self.choose(
                    &goes_on,
                    condition.span,
                    names,
                    |cx| cx.passes_through(unrolling, number, rows),
                    |_| Ok(()),
                )
            }
        }
    }

    /// A pass, and those behind it.
    fn passes_through(&mut self, unrolling: &Unrolling<'a, '_>, number: i64, rows: &mut Vec<Vec<Tensor>>) -> R<()> {
        let form = unrolling.form;
        self.frame().ordinals = unrolling.ordinals.clone();
        self.entry.loops.push(Pass::Unrolled(number));
        let yielded = match form.checkpoint {
            true => self.checkpointed_block(form.body).map(|_| Vec::new()),
            false => self.run_body(form),
        };
        self.entry.loops.pop();
        rows.push(yielded?);
        let mut locals = unrolling.locals.clone();
        for handed in &form.handed {
            locals.extend(self.top().locals.get(&handed.name).map(|value| (handed.name.clone(), value.clone())));
        }
        self.frame().locals = locals;
        for (handed, mold) in form.handed.iter().zip(unrolling.molds) {
            let value = self.top().locals.get(&handed.name).cloned().unwrap_or(Value::Nothing);
            self.hand_on(&handed.name, value, mold, handed.next_span)?;
        }
        self.passes_from(unrolling, number + 1, rows)
    }

    /// What the passes yielded, stacked along a new axis in front.
    fn stacked(&mut self, rows: Vec<Vec<Tensor>>, span: Span) -> R<Vec<Tensor>> {
        let mut stacks = Vec::new();
        for column in 0..rows.first().map_or(0, Vec::len) {
            let mut parts = Vec::new();
            for row in &rows {
                let mut axes = row[column].axes.clone();
                axes.insert(0, Size::plain(mlc_ir::dim::Dim::one()));
                let shape = crate::value::shape_of(&axes);
                parts.push(self.emit(span, Reshape { shape }, &[&row[column]], axes)?);
            }
            let mut axes = parts[0].axes.clone();
            axes[0] = Size::plain(mlc_ir::dim::Dim::from(rows.len() as i64));
            let parts: Vec<&Tensor> = parts.iter().collect();
            stacks.push(self.emit(span, Concat { axis: 0 }, &parts, axes)?);
        }
        Ok(stacks)
    }
}
