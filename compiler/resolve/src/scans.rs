//! `scan h = h0 for x_t in x along T { …; yield y }` (rule 20).

use crate::assigned::{assigned_in, find_stmt};
use crate::axes::Sought;
use crate::cx::Cx;
use crate::nest::{Handed, LoopForm, Source};
use crate::report::Reported;
use crate::value::{R, Size, Tensor, Value};
use mlc_ir::dim::Decision;
use mlc_syntax::ast::{self, ExprKind, StmtKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// An input of a scan.
struct Input {
    source: Source,
    length: Size,
    /// Where the input had the axis.
    axis: usize,
    span: Span,
}

impl<'a> Cx<'a> {
    /// The value of a scan: the final carries, then a stack for each yield.
    pub fn scan(&mut self, scan: &'a ast::Scan, span: Span) -> R<Value<'a>> {
        self.require_region(span)?;
        let handed = self.scan_carries(scan);
        let inputs = self.scan_inputs(scan);
        let (handed, inputs) = (handed?, inputs?);
        self.check_scan_body(scan, &handed)?;
        let head = scan.along.span.to(scan.along.span);
        let form = LoopForm {
            what: "scan",
            span: head,
            trip: inputs[0].length.dim.clone(),
            items: self.scan_items(scan, &inputs)?,
            handed,
            condition: None,
            body: &scan.body,
            checkpoint: false,
        };
        let before = self.top().locals.clone();
        let outcome = self.loop_form(&form);
        self.frame().locals = before;
        let outcome = outcome?;
        let mut values = outcome.handed;
        for stack in outcome.yields {
            values.push(Value::Tensor(self.place_stack(stack, &inputs[0], span)?));
        }
        match values.len() {
            1 => Ok(values.remove(0)),
            _ => Ok(Value::Tuple(Rc::new(values))),
        }
    }

    fn scan_carries(&mut self, scan: &'a ast::Scan) -> R<Vec<Handed<'a>>> {
        let last = assigned_in(&scan.body);
        let mut handed: Vec<Handed<'a>> = Vec::new();
        let mut failed = None;
        for (name, init) in &scan.carries {
            if let Some(first) = scan.carries.iter().find(|(other, _)| other.text == name.text)
                && first.0.span != name.span
            {
                failed = Some(self.tell(crate::scope::twice(name, first.0.span)));
                continue;
            }
            let start = self.check_assignable(name).and_then(|()| self.expr(init));
            let next_span = last.iter().find(|assigned| assigned.name == name.text).map_or(name.span, |at| at.span);
            match start {
                Ok(start) => {
                    handed.push(Handed { name: name.text.clone(), start, start_span: init.span, next_span });
                }
                Err(reported) => failed = Some(reported),
            }
        }
        match failed {
            Some(reported) => Err(reported),
            None => Ok(handed),
        }
    }

    fn scan_inputs(&mut self, scan: &'a ast::Scan) -> R<Vec<Input>> {
        let mut inputs: Vec<Input> = Vec::new();
        let mut failed = None;
        for iterable in &scan.iterables {
            match self.expr(iterable).and_then(|value| self.scan_input(value, iterable.span, &scan.along)) {
                Ok(input) => inputs.push(input),
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        for input in inputs.iter().skip(1) {
            if input.length.dim.decide(&inputs[0].length.dim) != Decision::Equal {
                return Err(self.lengths_differ(&inputs[0], input));
            }
        }
        match inputs.is_empty() {
            true => Err(self.report.silent()),
            false => Ok(inputs),
        }
    }

    fn scan_input(&mut self, value: Value<'a>, span: Span, along: &'a ast::Expr) -> R<Input> {
        match value {
            Value::Stack(placed) => {
                let length = self.stack_count(placed.id);
                Ok(Input { source: Source::Stack(placed.id, placed.rows), length, axis: 0, span })
            }
            Value::Range(range) => {
                let length = Size::plain(range.length.clone());
                Ok(Input { source: Source::Count { low: range.low.clone() }, length, axis: 0, span })
            }
            Value::Tensor(_) | Value::Lazy(_) => {
                let tensor = self.tensor(value, span)?;
                let axis = self.along_axis(&tensor, along, span)?;
                let mut perm: Vec<usize> = (0..tensor.rank()).filter(|at| *at != axis).collect();
                perm.insert(0, axis);
                let length = tensor.axes[axis].clone();
                let rows = self.permute(&tensor, perm, span)?;
                Ok(Input { source: Source::Rows(rows), length, axis, span })
            }
            Value::Poison => Err(self.report.silent()),
            other => {
                let title = format!("a scan runs along an axis of tensors, and this is {}", self.show_value(&other));
                let error = Diagnostic::error(Code::E0122, span, title).help("a list is walked with `for x in xs`");
                Err(self.tell(error))
            }
        }
    }

    fn along_axis(&mut self, tensor: &Tensor, along: &'a ast::Expr, span: Span) -> R<usize> {
        let axes = match &along.kind {
            ExprKind::Name(_) => self.axes_by_name(&Sought { in_scan: true, ..Sought::of(tensor, span) }, along)?,
            _ => {
                let number = self.expr(along)?;
                self.axes_by_number(tensor.rank(), &number, along.span)?
            }
        };
        match axes.as_slice() {
            [axis] => Ok(*axis),
            _ => self.fail(Code::E0117, along.span, "a scan runs along one axis"),
        }
    }

    fn lengths_differ(&mut self, first: &Input, other: &Input) -> Reported {
        let (a, b) = (self.show_dim(&first.length.dim), self.show_dim(&other.length.dim));
        let error = Diagnostic::error(Code::E0105, other.span, "the inputs of a scan have different lengths")
            .label(format!("{b} along this axis"))
            .also(first.span, format!("{a} along this axis"))
            .help("if they are always equal, give the sizes one name in the types of the arguments");
        self.tell(error)
    }

    /// The names of a pass with their inputs.
    fn scan_items(&mut self, scan: &'a ast::Scan, inputs: &[Input]) -> R<Vec<(&'a [ast::Name], Source)>> {
        if inputs.len() == 1 || inputs.len() == scan.names.len() {
            for name in &scan.names {
                self.check_assignable(name)?;
            }
        }
        match inputs {
            [input] if scan.names.len() == 1 => Ok(vec![(scan.names.as_slice(), input.source.clone())]),
            inputs if inputs.len() == scan.names.len() => {
                let items = scan.names.iter().zip(inputs);
                Ok(items.map(|(name, input)| (std::slice::from_ref(name), input.source.clone())).collect())
            }
            inputs => {
                let span = scan.names.first().map_or(scan.along.span, |name| name.span);
                let title = format!("{} names for {} inputs of a scan", scan.names.len(), inputs.len());
                let error = Diagnostic::error(Code::E0119, span, title).help("write `for x_t, m_t in x, m along T`");
                Err(self.tell(error))
            }
        }
    }

    /// Refuses what a body of a scan may not do.
    fn check_scan_body(&mut self, scan: &'a ast::Scan, handed: &[Handed<'a>]) -> R<()> {
        let is_yield = |kind: &StmtKind| matches!(kind, StmtKind::Yield(_));
        let stmts = &scan.body.stmts;
        let early = match stmts.split_last() {
            Some((last, rest)) => rest
                .iter()
                .find(|stmt| is_yield(&stmt.kind))
                .or_else(|| stmts.iter().filter(|stmt| !is_yield(&stmt.kind)).find_map(|stmt| inner_yield(stmt)))
                .map(|stmt| (stmt.span, last.span)),
            None => None,
        };
        if let Some((span, last)) = early {
            let error = Diagnostic::error(Code::E0121, span, "`yield` is the last statement of a `scan`")
                .also(last, "this stands behind it")
                .help("assign to names first, and yield them at the end: `yield a, b`");
            return Err(self.tell(error));
        }
        let yields = stmts.last().is_some_and(|last| is_yield(&last.kind));
        if !yields && handed.is_empty() {
            let error = Diagnostic::error(Code::E0121, scan.body.span, "this scan gives nothing")
                .help("hand something on, `scan h = h0 for …`, or end the body with `yield y`");
            return Err(self.tell(error));
        }
        self.refuse_lost_names(scan, handed)
    }

    /// A name of the surroundings that the body reads and assigns is meant to be a carry.
    fn refuse_lost_names(&mut self, scan: &'a ast::Scan, handed: &[Handed<'a>]) -> R<()> {
        let own = |name: &str| {
            handed.iter().any(|handed| *handed.name == *name) || scan.names.iter().any(|other| *other.text == *name)
        };
        for assigned in assigned_in(&scan.body) {
            let name = &assigned.name;
            let outside = self.top().locals.contains_key(name) && !own(name);
            if outside && crate::names::reads_before_assigning(&scan.body, name) {
                let title = format!("`{name}` is changed in a scan but not handed from pass to pass");
                let error = Diagnostic::error(Code::E0121, assigned.span, title)
                    .note("the names of a scan's body end with each pass; its carries are handed on")
                    .help(format!("write `scan {name} = {name} for …`; its last value is a result of the scan"));
                return Err(self.tell(error));
            }
        }
        Ok(())
    }

    /// The stack of a yield with its new axis where the first input had it, or last if there are fewer axes.
    fn place_stack(&mut self, stack: Tensor, first: &Input, span: Span) -> R<Tensor> {
        let mut axes = stack.axes.clone();
        axes[0] = first.length.clone();
        let stack = Tensor { axes, ..stack };
        let axis = first.axis.min(stack.rank() - 1);
        let mut perm: Vec<usize> = (1..stack.rank()).collect();
        perm.insert(axis, 0);
        self.permute(&stack, perm, span)
    }
}

fn inner_yield(stmt: &ast::Stmt) -> Option<&ast::Stmt> {
    let is = |kind: &StmtKind| matches!(kind, StmtKind::Yield(_));
    match &stmt.kind {
        StmtKind::For { body, .. } => find_stmt(body, &is),
        StmtKind::If { then, otherwise, .. } => {
            find_stmt(then, &is).or_else(|| otherwise.as_ref().and_then(|block| find_stmt(block, &is)))
        }
        _ => None,
    }
}
