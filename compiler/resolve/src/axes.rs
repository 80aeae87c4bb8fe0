//! Which axes `axis:` and `over:` mean (rule 7).

use crate::cx::Cx;
use crate::report::Reported;
use crate::scope;
use crate::value::{R, ScopeId, Size, Tensor, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// A tensor whose axes are sought by name.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    pub axes: Vec<Size>,
    /// None where it is open yet.
    pub dtype: Option<DType>,
    /// Where the tensor stands.
    pub span: Span,
    /// Whether a `scan` seeks it.
    pub in_scan: bool,
}

impl Sought {
    pub fn of(tensor: &Tensor, span: Span) -> Sought {
        Sought { axes: tensor.axes.clone(), dtype: Some(tensor.dtype), span, in_scan: false }
    }
}

impl<'a> Cx<'a> {
    /// The axes of a value that has some.
    pub fn axes_of_value(&mut self, value: &Value<'a>, span: Span) -> R<Sought> {
        match value {
            Value::Tensor(tensor) => Ok(Sought::of(tensor, span)),
            Value::Lazy(lazy) => Ok(Sought { axes: lazy.axes.clone(), dtype: None, span, in_scan: false }),
            other => self.fail(
                Code::E0122,
                span,
                format!("`over:` names axes of a tensor, and this is {}", other.describe()),
            ),
        }
    }

    /// The axes with these numbers, each in `0..rank`; negative ones count from the end.
    pub fn axes_by_number(&mut self, rank: usize, value: &Value<'a>, span: Span) -> R<Vec<usize>> {
        let parts = match value {
            Value::Tuple(parts) | Value::List(parts) => parts.to_vec(),
            single => vec![single.clone()],
        };
        let mut axes = Vec::new();
        for part in &parts {
            let number = self.as_int(part, span)?;
            let rank_int = rank as i64;
            if number < -rank_int || number >= rank_int {
                let axes = match rank {
                    0 => "it has no axes".to_string(),
                    1 => "its only axis is 0, or -1".to_string(),
                    rank => format!("its axes are 0 to {}, or -{rank} to -1", rank - 1),
                };
                let error = Diagnostic::error(Code::E0117, span, format!("there is no axis {number}")).note(axes);
                return Err(self.tell(error));
            }
            let axis = number.rem_euclid(rank_int) as usize;
            if axes.contains(&axis) {
                return self.fail(Code::E0117, span, format!("axis {axis} is named twice"));
            }
            axes.push(axis);
        }
        Ok(axes)
    }

    /// The axes that are written with these names.
    pub fn axes_by_name(&mut self, sought: &Sought, over: &'a ast::Expr) -> R<Vec<usize>> {
        let names = match &over.kind {
            ExprKind::Tuple(parts) => parts.iter().collect(),
            _ => vec![over],
        };
        let mut picked = Vec::new();
        for name in names {
            let ExprKind::Name(text) = &name.kind else {
                let error = Diagnostic::error(Code::E0117, name.span, "`over:` takes the name of an axis")
                    .help("write `axis: -1` for an axis by its number");
                return Err(self.tell(error));
            };
            for axis in self.axes_named(sought, text, name.span)? {
                if !picked.contains(&axis) {
                    picked.push(axis);
                }
            }
        }
        picked.sort_unstable();
        Ok(picked)
    }

    fn axes_named(&mut self, sought: &Sought, text: &Arc<str>, span: Span) -> R<Vec<usize>> {
        use crate::value::AxisNameKind::{Label, Pack, Size as Written};
        let axes = &sought.axes;
        let scopes = self.visible_scopes();
        let with = |kind| -> Vec<usize> {
            let has = |axis: &Size| {
                axis.names.iter().any(|name| name.kind == kind && name.text == *text && scopes.contains(&name.scope))
            };
            (0..axes.len()).filter(|at| has(&axes[*at])).collect()
        };
        let pack = with(Pack);
        if !pack.is_empty() {
            return Ok(pack);
        }
        for found in [with(Label), with(Written), self.axes_of_size(axes, text, span)?] {
            match found.as_slice() {
                [] => {}
                [axis] => return Ok(vec![*axis]),
                [first, second, ..] => return Err(self.ambiguous(sought, text, (*first, *second), span)),
            }
        }
        if let Some(Value::Pack(_)) = self.top().locals.get(text) {
            return Ok(Vec::new());
        }
        Err(self.no_such_axis(sought, text, span))
    }

    /// Axes of the size that a name stands for, where none is written with it.
    fn axes_of_size(&mut self, axes: &[Size], text: &Arc<str>, span: Span) -> R<Vec<usize>> {
        let crate::sizes::SizeName::Bound(Value::Number(number)) = self.size_name(text, span)? else {
            return Ok(Vec::new());
        };
        let Some(size) = number.as_size() else { return Ok(Vec::new()) };
        Ok((0..axes.len()).filter(|at| axes[*at].dim == size.dim).collect())
    }

    /// The scopes whose names mean something here: this call, its instance, its file.
    fn visible_scopes(&mut self) -> Vec<ScopeId> {
        let frame = self.top();
        let (scope, file, instance) = (frame.scope, frame.file, frame.instance);
        let mut scopes = vec![scope, self.file_scope(file)];
        scopes.extend(instance.map(|id| self.instance(id).scope));
        scopes
    }

    /// `f32[B, Heads, T, T]`: sizes with the names they have here.
    fn show_named_axes(&mut self, axes: &[Size]) -> String {
        let scopes = self.visible_scopes();
        let shown = axes.iter().map(|axis| {
            let name = axis
                .names
                .iter()
                .find(|name| name.kind == crate::value::AxisNameKind::Size && scopes.contains(&name.scope));
            name.map_or_else(|| self.show_dim(&axis.dim), |name| name.text.to_string())
        });
        format!("[{}]", shown.collect::<Vec<_>>().join(", "))
    }

    fn ambiguous(&mut self, sought: &Sought, text: &str, (first, second): (usize, usize), span: Span) -> Reported {
        let axes = &sought.axes;
        let shown = self.show_named_axes(axes);
        let mut labelled: Vec<String> = shown.trim_matches(['[', ']']).split(", ").map(str::to_string).collect();
        for (label, axis) in [("i", first), ("j", second)] {
            if let Some(size) = labelled.get_mut(axis) {
                *size = format!("{label}:{size}");
            }
        }
        let dtype = sought.dtype.map_or("", DType::name);
        let what = self.sources.text(sought.span);
        let what = if what.len() <= 30 && !what.contains('\n') { format!("`{what}` is ") } else { String::new() };
        let error = Diagnostic::error(Code::E0118, span, format!("axis name `{text}` is ambiguous here"))
            .label(format!("{what}{dtype}{shown}: axes {first} and {second} are both {text}"))
            .help(format!(
                "write `axis: {}`, or label the axes in a type and write `over: j`: [{}]",
                second as i64 - axes.len() as i64,
                labelled.join(", ")
            ));
        self.tell(error)
    }

    fn no_such_axis(&mut self, sought: &Sought, text: &str, span: Span) -> Reported {
        let axes = &sought.axes;
        let shown = self.show_named_axes(axes);
        let scopes = self.visible_scopes();
        let names: Vec<&str> = axes
            .iter()
            .flat_map(|axis| &axis.names)
            .filter(|name| scopes.contains(&name.scope))
            .map(|name| &*name.text)
            .collect();
        let mut error = Diagnostic::error(Code::E0117, span, format!("no axis is called `{text}`"))
            .also(sought.span, format!("its axes: {shown}"));
        error = match scope::nearest(text, names) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if sought.in_scan => error.help(
                "a scan has the axis in each of its inputs: name it so in their types, or write its number, `along 1`",
            ),
            None => error.help("write `axis: -1` for an axis by its number, or name it in a type: `x: f32[B, T] = …`"),
        };
        self.tell(error)
    }
}
