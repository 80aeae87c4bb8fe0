//! `for` (rule 18): a loop in machine code where that is possible, else unrolled.
//!
//! Over ranges and stacks the body is first evaluated as that of a run-time loop. If that fails,
//! because the body needs the index when compiling or a name changes its type from pass to pass, what
//! was said about it is taken back and the loop is unrolled.

use crate::assigned::{assigned_in, find_stmt};
use crate::cx::{Cx, FrameKind};
use crate::exprs::MOST_PARTS;
use crate::nest::{Handed, LoopForm, Pass, Source};
use crate::report::Reported;
use crate::stmts::Returned;
use crate::value::{R, Value};
use mlc_ir::dim::{Decision, Dim};
use mlc_syntax::ast::{self, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A body that failed so often in both forms is not tried as a loop again: loops in loops would try each
/// other's forms over and over.
const MOST_FAILURES: u32 = 8;

/// The parts of a `for`, as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct For<'a> {
    pub attrs: &'a [ast::Attr],
    pub names: &'a [ast::Name],
    pub iterables: &'a [ast::Expr],
    pub condition: Option<&'a ast::Expr>,
    pub body: &'a ast::Block,
}

/// What a `for` runs over.
enum Domain<'a> {
    /// So many passes that could be those of a run-time loop.
    Passes { trip: Dim, items: Vec<(&'a [ast::Name], Source)> },
    /// Known values, pass by pass.
    Values(Vec<Vec<Value<'a>>>),
}

impl<'a> Cx<'a> {
    /// `for names in iterables while condition { body }`
    pub fn for_stmt(&mut self, parts: For<'a>) -> R<Returned<'a>> {
        let checkpoint = self.loop_attrs(parts.attrs)? && self.takes_gradients();
        for name in parts.names {
            self.check_assignable(name)?;
            self.refuse_state_name(name)?;
        }
        let values: Vec<R<Value<'a>>> = parts.iterables.iter().map(|iterable| self.expr(iterable)).collect();
        let values = values.into_iter().collect::<R<Vec<Value<'a>>>>()?;
        let span = head_span(&parts);
        match self.domain(&parts, &values)? {
            Domain::Values(passes) if parts.condition.is_none() => {
                self.unrolled(&parts, passes, checkpoint)?;
            }
            Domain::Values(_) => {
                let span = parts.condition.map_or(span, |condition| condition.span);
                let error = Diagnostic::error(Code::E0121, span, "`while` needs a loop over a range or a stack")
                    .help("count the passes: `for i in 0..n while …`");
                return Err(self.tell(error));
            }
            Domain::Passes { trip, items } => self.passes(&parts, &values, trip, items, checkpoint)?,
        }
        Ok(None)
    }

    fn loop_attrs(&mut self, attrs: &'a [ast::Attr]) -> R<bool> {
        if let Some(attr) = attrs.iter().find(|attr| &*attr.name.text != "checkpoint") {
            let error = Diagnostic::error(Code::E0121, attr.name.span, format!("`@{}` on a loop", attr.name.text))
                .help("a loop may have `@checkpoint`: its passes are computed again for the gradient");
            return Err(self.tell(error));
        }
        Ok(!attrs.is_empty())
    }

    /// A loop over ranges and stacks.
    fn passes(
        &mut self,
        parts: &For<'a>,
        values: &[Value<'a>],
        trip: Dim,
        items: Vec<(&'a [ast::Name], Source)>,
        checkpoint: bool,
    ) -> R<()> {
        if trip.range().1 < 1 {
            return Ok(());
        }
        let alone = trip.is(1) && parts.condition.is_none();
        let hopeless = self.loop_failures.get(&parts.body.span).is_some_and(|count| *count >= MOST_FAILURES)
            && parts.condition.is_none()
            && trip.as_const().is_some_and(|trip| trip <= MOST_PARTS);
        if self.entry.mode == crate::entry::Mode::Static || alone || hopeless || self.acts(parts.body) {
            return self.unrolled_passes(parts, values, &trip, checkpoint);
        }
        let saved = self.snapshot();
        let form = self.for_form(parts, trip.clone(), items, checkpoint);
        let before = self.top().locals.clone();
        match self.loop_form(&form) {
            Ok(outcome) => {
                let names = form.handed.into_iter().map(|handed| handed.name);
                let mut locals = before;
                locals.extend(names.zip(outcome.handed));
                self.frame().locals = locals;
                Ok(())
            }
            Err(reported) if parts.condition.is_some() || trip.as_const().is_none() => {
                self.frame().locals = before;
                Err(reported)
            }
            Err(reported) if trip.as_const().is_some_and(|trip| trip > MOST_PARTS) => {
                self.frame().locals = before;
                Err(self.too_long(parts, &trip, reported))
            }
            Err(_) => {
                self.restore(saved);
                let result = self.unrolled_passes(parts, values, &trip, checkpoint);
                if result.is_err() {
                    *self.loop_failures.entry(parts.body.span).or_default() += 1;
                }
                result
            }
        }
    }

    /// Whether a body does more than compute: what it does is then said pass by pass.
    fn acts(&self, body: &'a ast::Block) -> bool {
        let does = |kind: &StmtKind| matches!(kind, StmtKind::Expr(_) | StmtKind::Assert { .. });
        matches!(self.top().kind, FrameKind::Every | FrameKind::Test) && find_stmt(body, &does).is_some()
    }

    /// The loop is no run-time loop, for a reason that has been told, and too long to be unrolled.
    fn too_long(&mut self, parts: &For<'a>, trip: &Dim, _told: Reported) -> Reported {
        let trip = self.show_dim(trip);
        let error =
            Diagnostic::error(Code::E0003, head_span(parts), format!("a loop of {trip} passes would be unrolled"))
                .note(format!(
                    "at most {MOST_PARTS} passes are unrolled; what keeps it from being a loop is told beside"
                ))
                .help(
                    "keep the type of every name that the loop rebinds, and use the index as a number of tensors only",
                );
        self.tell(error)
    }

    fn unrolled_passes(&mut self, parts: &For<'a>, values: &[Value<'a>], trip: &Dim, checkpoint: bool) -> R<()> {
        let span = head_span(parts);
        if trip.as_const().is_none() {
            let shown = self.show_dim(trip);
            return self.fail(
                Code::E0110,
                span,
                format!("the number of passes is `{shown}`, and is needed when compiling"),
            );
        }
        let mut columns = Vec::new();
        for (value, iterable) in values.iter().zip(parts.iterables) {
            columns.push(self.items(value.clone(), iterable.span)?);
        }
        let passes = self.pass_values(parts.names, columns, span)?;
        self.unrolled(parts, passes, checkpoint)
    }

    /// Runs the body once for each pass.
    fn unrolled(&mut self, parts: &For<'a>, passes: Vec<Vec<Value<'a>>>, checkpoint: bool) -> R<()> {
        let before = self.top().locals.clone();
        let ordinals = self.top().ordinals.clone();
        self.begin_passes();
        for (at, pass) in passes.into_iter().enumerate() {
            // Draws are told apart by the number of the pass, as those of a run-time loop are.
            self.frame().ordinals = ordinals.clone();
            for (name, value) in parts.names.iter().zip(pass) {
                self.set_local(&name.text, value);
            }
            self.entry.loops.push(Pass::Unrolled(at as i64));
            let result = if checkpoint { self.checkpointed_block(parts.body) } else { self.block(parts.body) };
            self.entry.loops.pop();
            if let Some((_, span)) = result? {
                return Err(self.returns(span));
            }
            self.end_pass(&before, parts.names);
        }
        self.require_paths()
    }

    /// Names first bound in a pass end with it; those of the loop are what they were before.
    fn end_pass(&mut self, before: &BTreeMap<Arc<str>, Value<'a>>, names: &[ast::Name]) {
        let frame = self.frame();
        frame.locals.retain(|name, _| before.contains_key(name));
        for name in names {
            if let Some(value) = before.get(&name.text) {
                frame.locals.insert(name.text.clone(), value.clone());
            }
        }
    }

    fn for_form(
        &mut self,
        parts: &For<'a>,
        trip: Dim,
        items: Vec<(&'a [ast::Name], Source)>,
        checkpoint: bool,
    ) -> LoopForm<'a> {
        let mut handed = Vec::new();
        for assigned in assigned_in(parts.body) {
            let own = parts.names.iter().any(|name| name.text == assigned.name);
            let Some(start) = self.top().locals.get(&assigned.name).filter(|_| !own) else { continue };
            let start = start.clone();
            let start_span = self.frame().places.get(&assigned.name).copied().unwrap_or(assigned.span);
            handed.push(Handed { name: assigned.name, start, start_span, next_span: assigned.span });
        }
        LoopForm {
            what: "for",
            span: head_span(parts),
            trip,
            items,
            handed,
            condition: parts.condition,
            body: parts.body,
            checkpoint,
        }
    }

    fn domain(&mut self, parts: &For<'a>, values: &[Value<'a>]) -> R<Domain<'a>> {
        let sources: Option<Vec<(Source, Dim)>> = values.iter().map(|value| self.source(value)).collect();
        let Some(sources) = sources.filter(|sources| !sources.is_empty()) else {
            let mut columns = Vec::new();
            for (value, iterable) in values.iter().zip(parts.iterables) {
                columns.push(self.items(value.clone(), iterable.span)?);
            }
            return self.pass_values(parts.names, columns, head_span(parts)).map(Domain::Values);
        };
        let trip = sources[0].1.clone();
        for ((_, length), iterable) in sources.iter().zip(parts.iterables).skip(1) {
            if length.decide(&trip) != Decision::Equal {
                let (a, b) = (self.show_dim(&trip), self.show_dim(length));
                let title = format!("what a loop runs over has one length, and these have {a} and {b}");
                return self.fail(Code::E0119, iterable.span, title);
            }
        }
        let items = match sources.len() {
            1 => vec![(parts.names, sources[0].0.clone())],
            count if count == parts.names.len() => {
                let names = parts.names.iter().map(std::slice::from_ref);
                names.zip(sources.into_iter().map(|(source, _)| source)).collect()
            }
            count => {
                let title = format!("{} names for {count} iterables", parts.names.len());
                return self.fail(Code::E0119, head_span(parts), title);
            }
        };
        Ok(Domain::Passes { trip, items })
    }

    /// What a run-time loop can run over, and its length.
    fn source(&self, value: &Value<'a>) -> Option<(Source, Dim)> {
        match value {
            Value::Range(range) => Some((Source::Count { low: range.low.clone() }, range.length.clone())),
            Value::Stack(placed) => {
                Some((Source::Stack(placed.id, placed.rows.clone()), self.stack_count(placed.id).dim))
            }
            Value::Zip(parts) => {
                let parts: Option<Vec<(Source, Dim)>> = parts.iter().map(|part| self.source(part)).collect();
                let parts = parts?;
                let length = parts.first()?.1.clone();
                Some((Source::Zip(parts.into_iter().map(|(source, _)| source).collect()), length))
            }
            _ => None,
        }
    }

    /// The values of the loop names, pass by pass.
    fn pass_values(
        &mut self,
        names: &'a [ast::Name],
        columns: Vec<Vec<Value<'a>>>,
        span: Span,
    ) -> R<Vec<Vec<Value<'a>>>> {
        let [column] = columns.as_slice() else {
            let length = columns.first().map_or(0, Vec::len);
            if columns.iter().any(|column| column.len() != length) || columns.len() != names.len() {
                return self.fail(Code::E0119, span, "the lists of a loop have one length, and one name each");
            }
            return Ok((0..length).map(|at| columns.iter().map(|column| column[at].clone()).collect()).collect());
        };
        column.iter().map(|item| self.unpack(item.clone(), names, span)).collect()
    }

    /// `zip(xs, ys)`: side by side. Ranges and stacks stay what a run-time loop can run over.
    pub fn zip(&mut self, columns: Vec<(Value<'a>, Span)>, span: Span) -> R<Value<'a>> {
        let sources: Option<Vec<(Source, Dim)>> = columns.iter().map(|(value, _)| self.source(value)).collect();
        if let Some(sources) = sources
            && let Some((_, length)) = sources.first()
            && sources.iter().all(|(_, other)| other.decide(length) == Decision::Equal)
        {
            return Ok(Value::Zip(Rc::new(columns.into_iter().map(|(value, _)| value).collect())));
        }
        let mut lists = Vec::new();
        for (value, span) in columns {
            lists.push(self.items(value, span)?);
        }
        let length = lists.first().map_or(0, Vec::len);
        if lists.iter().any(|column| column.len() != length) {
            let lengths: Vec<String> = lists.iter().map(|column| column.len().to_string()).collect();
            let title = format!("`zip` takes lists of one length, and these have {}", lengths.join(", "));
            return self.fail(Code::E0119, span, title);
        }
        let row =
            |at: usize| Value::Tuple(Rc::new(lists.iter().map(|column: &Vec<Value<'a>>| column[at].clone()).collect()));
        Ok(Value::List(Rc::new((0..length).map(row).collect())))
    }
}

/// Where messages about the loop itself point.
fn head_span(parts: &For<'_>) -> Span {
    match (parts.iterables.first(), parts.iterables.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => parts.body.span,
    }
}
