//! What kinds of values a loop hands on, which one evaluation of its body shows.

use super::{Body, Handed, LoopForm, Pass};
use crate::cx::Cx;
use crate::molds::Mold;
use crate::report::Reported;
use crate::value::{R, Value};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// The kinds of the names that a loop hands on.
pub(super) struct Molds {
    pub(super) settled: Vec<Mold>,
    /// What was open when the body did not go through with the literals themselves.
    pub(super) failed: Option<Vec<Mold>>,
}

impl<'a> Cx<'a> {
    /// The kinds of the names handed on. A literal takes the dtype of what it becomes, which one
    /// evaluation of the body with the literals themselves shows.
    pub(super) fn molds(&mut self, form: &LoopForm<'a>) -> R<Molds> {
        let (mut molds, mut failed) = (Vec::new(), None);
        for handed in &form.handed {
            match self.mold(&handed.start) {
                Some(mold) => molds.push(mold),
                None => return Err(self.not_handed(handed)),
            }
        }
        // What a literal becomes may depend on what another one becomes.
        while molds.iter().any(Mold::is_open) {
            let saved = self.snapshot();
            let after = self.dry_run(form, &molds);
            self.restore(saved);
            if after.is_err() {
                failed = Some(molds.clone());
            }
            let after = after.unwrap_or_else(|_| vec![None; molds.len()]);
            let decided = |(mold, after): (&Mold, &Option<Mold>)| {
                mold.is_open() && after.as_ref().is_some_and(|after| !after.is_open())
            };
            let some_decided = molds.iter().zip(&after).any(decided);
            let settle = |(mold, after): (Mold, Option<Mold>)| match after {
                Some(after) if !some_decided || !after.is_open() => mold.settled(Some(&after)),
                Some(_) => mold,
                None if some_decided => mold,
                None => mold.settled(None),
            };
            molds = molds.into_iter().zip(after).map(settle).collect();
        }
        Ok(Molds { settled: molds, failed })
    }

    pub(super) fn not_handed(&mut self, handed: &Handed<'a>) -> Reported {
        if let Value::Poison = handed.start {
            return self.report.silent();
        }
        let title = format!("`{}` is {}, which a loop cannot hand on", handed.name, handed.start.describe());
        let error = Diagnostic::error(Code::E0122, handed.next_span, title)
            .label("assigned in the loop")
            .also(handed.start_span, "its value before the loop")
            .note("a run-time loop hands on tensors and numbers");
        let error = match handed.start {
            Value::List(_) => error.help(
                "what each pass gives is stacked by a scan: `h, hs = scan h = h for x_t in x along T { …; yield h }`",
            ),
            _ => error,
        };
        self.tell(error)
    }

    /// What the names are after one pass that starts with their first values.
    pub(super) fn dry_run(&mut self, form: &LoopForm<'a>, molds: &[Mold]) -> R<Vec<Option<Mold>>> {
        for (handed, mold) in form.handed.iter().zip(molds) {
            self.set_local(&handed.name, handed.start.clone());
            if !mold.is_open()
                && let Some(tensors) = self.fill(mold, &handed.start, handed.start_span)?
            {
                self.set_names(&handed.name, mold, &tensors);
            }
        }
        let position = self.hole(DType::I64, Vec::new());
        let (loops, indices, bodies) = (self.entry.loops.len(), self.entry.indices.len(), self.entry.bodies.len());
        self.entry.loops.push(Pass::Looped(position.value));
        self.entry.bodies.push(Body::dry(position.value));
        let ran = self.bind_items(form, &position).and_then(|()| self.run_body(form));
        self.entry.loops.truncate(loops);
        self.entry.indices.truncate(indices);
        self.entry.bodies.truncate(bodies);
        ran?;
        let locals = &self.top().locals;
        let values: Vec<Option<Value<'a>>> =
            form.handed.iter().map(|handed| locals.get(&handed.name).cloned()).collect();
        Ok(values.iter().map(|value| value.as_ref().and_then(|value| self.mold(value))).collect())
    }

    /// E0105: a name does not keep its type from pass to pass.
    pub(super) fn changes_type(&mut self, handed: &Handed<'a>, mold: &Mold, after: &Value<'a>) -> Reported {
        let (before, after) = (self.show_mold(mold), self.show_kind(after));
        let name = &handed.name;
        let error = Diagnostic::error(
            Code::E0105,
            handed.next_span,
            format!("`{name}` is {before} before a pass of the loop and {after} behind it"),
        )
        .label(after.clone())
        .also(handed.start_span, format!("starts as {before}"))
        .note("what a loop hands from pass to pass keeps its type");
        self.tell(error)
    }
}
