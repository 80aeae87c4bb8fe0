//! Matching values against types: arguments bind fresh names, annotations and results are compared.

use crate::calls::CallSite;
use crate::cx::{Cx, FrameKind};
use crate::report::Reported;
use crate::sizes::{Agreement, SizeName, Undecided};
use crate::types::Element;
use crate::value::{AxisNameKind, InstanceId, R, Size, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::rc::Rc;
use std::sync::Arc;

/// What is matched against a type, for messages and for what may be bound.
#[derive(Clone, Debug)]
pub(crate) enum Matched<'s> {
    /// An argument of a call.
    Argument { name: Arc<str>, site: &'s CallSite },
    /// `x: f32[B, P] = …`
    Annotation { name: Arc<str> },
    /// What a function returns.
    Result { function: Arc<str> },
    /// The shape that an initialiser has to fill.
    Declaration,
}

/// A match under way.
pub(crate) struct Match<'a, 's> {
    pub what: Matched<'s>,
    /// Where the value was written.
    pub span: Span,
    pub ty: &'a ast::Type,
    /// The value's type, for messages.
    pub shown: String,
    /// Sizes that could not be compared yet because a name in them was not bound.
    pub later: Vec<(&'a ast::Expr, Size)>,
}

impl<'a> Cx<'a> {
    /// Compares or binds the dtype of a value.
    pub fn match_element(&mut self, element: Element, actual: DType, found: &Match<'a, '_>) -> R<()> {
        let wanted = match element {
            Element::Exact(dtype) => Some(dtype),
            Element::Class(class) if !class.takes(actual) => None,
            Element::Class(class) => Some(self.class_dtype(class).unwrap_or(actual)),
        };
        if wanted == Some(actual) {
            if let Element::Class(class) = element {
                self.bind_class(class, actual);
            }
            return Ok(());
        }
        let wanted = match (wanted, element) {
            (Some(dtype), _) => dtype.name(),
            (None, Element::Class(class)) => class.word(),
            (None, Element::Exact(dtype)) => dtype.name(),
        };
        let subject = subject(&found.what);
        let error =
            Diagnostic::error(Code::E0104, found.span, format!("{subject} is {actual}, and {wanted} is wanted"))
                .label(found.shown.clone())
                .also(found.ty.span, format!("declared `{}`", self.sources.text(found.ty.span)));
        let cast_to = if wanted == "float" { "f32" } else { wanted };
        let written = self.sources.text(found.span);
        let declared = self.entry.arguments.get(written).copied();
        let error = match declared.filter(|ty| self.sources.text(*ty).starts_with(actual.name())) {
            Some(ty) => {
                let ours = self.sources.text(ty).replacen(actual.name(), cast_to, 1);
                error.also(ty, "its type is given here").help(format!("declare `{written}: {ours}`"))
            }
            None => error.help(format!("write `cast(…, {cast_to})` where the conversion is meant")),
        };
        Err(self.tell(error))
    }

    /// Matches the axes of a value, binding fresh names where `what` allows it. Returns the axes
    /// with the names that the type gives them.
    pub fn match_axes(&mut self, pattern: &'a [ast::Axis], actual: &[Size], found: &mut Match<'a, '_>) -> R<Vec<Size>> {
        let packs = pattern.iter().filter(|axis| is_pack(axis)).count();
        if packs > 1 {
            return Err(self.tell(two_packs(found.ty.span)));
        }
        self.require_sizes(pattern)?;
        let fits = if packs == 1 { actual.len() + 1 >= pattern.len() } else { actual.len() == pattern.len() };
        if !fits {
            let wanted = pattern.len() - packs;
            let wanted = if packs == 1 { format!("at least {wanted}") } else { wanted.to_string() };
            let plural = if wanted == "1" { "is" } else { "are" };
            let axes = if actual.len() == 1 { "1 axis".to_string() } else { format!("{} axes", actual.len()) };
            let detail = format!("{axes}, and {wanted} {plural} wanted");
            let flatten = pattern.len() == 2 && packs == 0 && actual.len() > 3;
            let flatten = flatten.then(|| {
                "`flatten(x)` joins all axes but the first into one: the features of a dense layer".to_string()
            });
            let help = flatten.or_else(|| self.one_axis_off(pattern, actual, found.span));
            return Err(self.mismatch_with(found, Some(detail), help.as_deref()));
        }
        let in_pack = actual.len() + packs - pattern.len();
        let mut rest = actual;
        let mut axes = Vec::new();
        for axis in pattern {
            let count = if is_pack(axis) { in_pack } else { 1 };
            let (mine, others) = rest.split_at(count);
            rest = others;
            axes.extend(self.match_axis(axis, mine, found)?);
        }
        Ok(axes)
    }

    /// How a last axis of 1 is taken away or made, where it is all that is wrong.
    fn one_axis_off(&self, pattern: &[ast::Axis], actual: &[Size], place: Span) -> Option<String> {
        let is_one = |axis: &ast::Axis| match &axis.kind {
            ast::AxisKind::Size(size) => matches!(size.kind, ast::ExprKind::Int(1)),
            _ => false,
        };
        if actual.len() == pattern.len() + 1 && actual.last().is_some_and(|axis| axis.dim.is(1)) {
            let index = if actual.len() == 2 { "[:, 0]" } else { "[..., 0]" };
            return Some(format!("`{}{index}` takes the last axis of 1 away", self.operand(place)));
        }
        let wants_one = pattern.len() == actual.len() + 1 && pattern.last().is_some_and(is_one);
        wants_one.then(|| {
            let index = if actual.len() == 1 { "[:, new]" } else { "[..., new]" };
            format!("`{}{index}` has a last axis of 1", self.operand(place))
        })
    }

    /// A name in a shape that stands for something else than a size is an error of its own.
    fn require_sizes(&mut self, pattern: &'a [ast::Axis]) -> R<()> {
        for axis in pattern {
            let ast::AxisKind::Size(expr) = &axis.kind else { continue };
            let ast::ExprKind::Name(text) = &expr.kind else { continue };
            if let SizeName::Bound(value @ Value::Tensor(_)) = self.size_name(text, expr.span)? {
                self.as_size(value, expr.span)?;
            }
        }
        Ok(())
    }

    fn match_axis(&mut self, pattern: &'a ast::Axis, actual: &[Size], found: &mut Match<'a, '_>) -> R<Vec<Size>> {
        let axes = match &pattern.kind {
            ast::AxisKind::Hole | ast::AxisKind::HolePack => {
                if !matches!(found.what, Matched::Result { .. }) {
                    return self.fail(Code::E0122, pattern.span, "`_` stands in result types only");
                }
                actual.to_vec()
            }
            ast::AxisKind::Pack(name) => self.match_pack(name, actual, found)?,
            ast::AxisKind::Size(expr) => vec![self.match_size(expr, &actual[0], found)?],
        };
        let Some(label) = &pattern.label else { return Ok(axes) };
        let scope = self.top().scope;
        Ok(axes.into_iter().map(|axis| axis.named(scope, &label.text, AxisNameKind::Label)).collect())
    }

    fn match_pack(&mut self, name: &'a ast::Name, actual: &[Size], found: &mut Match<'a, '_>) -> R<Vec<Size>> {
        let scope = self.top().scope;
        let label = |axis: &Size| axis.clone().named(scope, &name.text, AxisNameKind::Pack);
        let named: Vec<Size> = actual.iter().map(label).collect();
        let bound = match self.size_name(&name.text, name.span)? {
            SizeName::Bound(value) => self.as_shape(&value, name.span)?,
            SizeName::Open(_) | SizeName::Unbound => {
                if !may_bind(&found.what) {
                    return Err(self.unbound_in_type(name, found));
                }
                self.frame().locals.insert(name.text.clone(), Value::Pack(Rc::new(named.clone())));
                return Ok(named);
            }
        };
        if bound.len() != actual.len() {
            return Err(self.pack_mismatch(name, &bound, actual, found));
        }
        for (declared, actual) in bound.iter().zip(actual) {
            self.compare(declared, actual, None, found)?;
        }
        Ok(bound.iter().zip(&named).map(|(declared, actual)| declared.meet(actual)).collect())
    }

    /// A pack stands for another number of axes than an argument before said.
    fn pack_mismatch(
        &mut self,
        name: &'a ast::Name,
        bound: &[Size],
        actual: &[Size],
        found: &Match<'a, '_>,
    ) -> Reported {
        let detail = format!("`*{}` is {}", name.text, self.show_axes(bound));
        let earlier = self.argument_with_pack(&name.text);
        let (long, short) = if bound.len() > actual.len() { (bound, actual) } else { (actual, bound) };
        let last_is_one = long.len() == short.len() + 1 && long.last().is_some_and(|axis| axis.dim.is(1));
        let place =
            if bound.len() > actual.len() { earlier.as_ref().map(|(place, _)| *place) } else { Some(found.span) };
        let help = place.filter(|_| last_is_one).map(|place| {
            let index = if long.len() == 2 { "[:, 0]" } else { "[..., 0]" };
            format!(
                "`{}{index}` takes the last axis of 1 away: its shape is {}",
                self.operand(place),
                self.show_axes(short)
            )
        });
        let error = self.mismatch_error(found, Some(detail), help.as_deref()).label(found.shown.clone());
        self.tell(earlier.into_iter().fold(error, |error, (place, shown)| error.also(place, shown)))
    }

    /// The argument that said what a pack of the function under way is: where it is written, and its type.
    fn argument_with_pack(&self, pack: &str) -> Option<(Span, String)> {
        let frame = self.top();
        let FrameKind::Fn(decl) = frame.kind else { return None };
        frame.given.iter().find_map(|(name, span)| {
            let param = decl.params.iter().find(|param| param.name.text == *name)?;
            let ast::TypeKind::Named { axes: Some(axes), .. } = &param.ty.kind else { return None };
            let has_pack = |axis: &ast::Axis| matches!(&axis.kind, ast::AxisKind::Pack(name) if *name.text == *pack);
            let value = frame.locals.get(name).filter(|_| axes.iter().any(has_pack))?;
            Some((*span, self.show_value(value)))
        })
    }

    /// An expression as it is written, so that an index can follow it.
    pub fn operand(&self, place: Span) -> String {
        let text = self.excerpt(place);
        let mut depth = 0_i32;
        let is_bare = text.chars().all(|c| {
            depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
            depth > 0 || c.is_alphanumeric() || matches!(c, '_' | '.' | ')' | ']')
        });
        if is_bare { text } else { format!("({text})") }
    }

    fn match_size(&mut self, expr: &'a ast::Expr, actual: &Size, found: &mut Match<'a, '_>) -> R<Size> {
        let ast::ExprKind::Name(text) = &expr.kind else {
            if let Some((name, span)) = self.unbound_in(expr)? {
                if !may_bind(&found.what) {
                    return Err(self.unbound_in_type(&ast::Name { text: name, span }, found));
                }
                found.later.push((expr, actual.clone()));
                return Ok(actual.clone());
            }
            let declared = self.size_expr(expr)?;
            self.compare(&declared, actual, None, found)?;
            return Ok(declared.meet(actual));
        };
        let scope = self.top().scope;
        match self.size_name(text, expr.span)? {
            SizeName::Bound(value) => {
                let declared = self.as_size(value, expr.span)?;
                let open = self.open_size(text);
                self.compare(&declared, actual, open, found)?;
                Ok(declared.meet(actual))
            }
            SizeName::Open(id) => {
                let span = self.open_span(found);
                self.solve(id, text, actual, span)?;
                let scope = self.instance(id).scope;
                Ok(actual.clone().named(scope, text, AxisNameKind::Size))
            }
            SizeName::Unbound if text.starts_with(char::is_lowercase) => {
                Err(self.size_expr(expr).err().unwrap_or(self.report.silent()))
            }
            SizeName::Unbound if !may_bind(&found.what) => {
                Err(self.unbound_in_type(&ast::Name { text: text.clone(), span: expr.span }, found))
            }
            SizeName::Unbound => {
                let size = actual.clone().named(scope, text, AxisNameKind::Size);
                self.frame().locals.insert(text.clone(), Value::size(size.clone()));
                Ok(size)
            }
        }
    }

    fn open_span(&self, found: &Match<'a, '_>) -> Span {
        match &found.what {
            Matched::Argument { site, .. } => site.callee,
            Matched::Annotation { .. } | Matched::Result { .. } | Matched::Declaration => found.span,
        }
    }

    /// The instance whose open size a name is.
    fn open_size(&self, text: &Arc<str>) -> Option<(InstanceId, Arc<str>)> {
        let frame = self.top();
        let id = frame.instance?;
        let known = self.instance(id).open.contains_key(text) || frame.session.contains(text);
        let open = known && !frame.locals.contains_key(text);
        open.then(|| (id, text.clone()))
    }

    /// Compares the sizes that had to wait.
    pub fn match_later(&mut self, mut found: Match<'a, '_>) -> R<()> {
        for (expr, actual) in std::mem::take(&mut found.later) {
            if let Some((name, span)) = self.unbound_in(expr)? {
                let error = Diagnostic::error(
                    Code::E0106,
                    span,
                    format!("the size `{name}` cannot be found from these arguments"),
                )
                .help(format!("a size is found where a type has it alone: `{name}`, not `{name} / 2`"));
                return Err(self.tell(error));
            }
            let declared = self.size_expr(expr)?;
            self.compare(&declared, &actual, None, &found)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        declared: &Size,
        actual: &Size,
        open: Option<(InstanceId, Arc<str>)>,
        found: &Match<'a, '_>,
    ) -> R<()> {
        let undecided = match found.what {
            Matched::Annotation { .. } => Undecided::Check,
            Matched::Argument { .. } | Matched::Result { .. } | Matched::Declaration => Undecided::Refuse,
        };
        let text = format!("{} has the type {}", subject(&found.what), self.sources.text(found.ty.span));
        match self.agree(&declared.dim, &actual.dim, undecided, found.span, &text) {
            Agreement::Agree => Ok(()),
            Agreement::Differ | Agreement::Unknown => match (open, &found.what) {
                (Some((id, name)), Matched::Argument { site, .. }) => {
                    Err(self.open_mismatch(id, &name, actual, site, found))
                }
                _ => {
                    let (a, b) = (self.size_with_origin(actual), self.size_with_origin(declared));
                    let comma = if a.contains(", ") { "," } else { "" };
                    Err(self.mismatch(found, Some(format!("{a}{comma} is not {b}"))))
                }
            },
        }
    }

    /// A size with where it comes from: `16, the `C` of `stem``, `3136 = 7 * 7 * 64`.
    fn size_with_origin(&self, size: &Size) -> String {
        if size.why.is_some() {
            return self.show_size(size);
        }
        let owner = size.names.iter().filter(|name| name.kind == AxisNameKind::Size).find_map(|name| {
            let at = self.instances.iter().position(|instance| instance.scope == name.scope)?;
            Some((name.text.clone(), self.instance_name(InstanceId(at as u32))))
        });
        match owner {
            Some((name, owner)) => format!("{}, the `{name}` of `{owner}`", self.show_dim(&size.dim)),
            None => self.show_size(size),
        }
    }

    /// A size with the arithmetic behind it: `3136 = 7 * 7 * 64`.
    pub fn show_size(&self, size: &Size) -> String {
        let shown = self.show_dim(&size.dim);
        match &size.why {
            Some(why) => format!("{shown} = {why}"),
            None => match size.names.iter().find(|name| name.kind == AxisNameKind::Size) {
                Some(name) if *name.text != *shown => format!("{} = {shown}", name.text),
                Some(_) | None => shown,
            },
        }
    }

    /// E0107: a weight's size was settled by an earlier use.
    fn open_mismatch(
        &mut self,
        id: InstanceId,
        name: &Arc<str>,
        actual: &Size,
        site: &CallSite,
        found: &Match<'a, '_>,
    ) -> Reported {
        if let Some(solved) = self.entry.session.get(&(id, name.clone())).cloned() {
            return self.session_mismatch(id, name, actual, &solved, found);
        }
        let Some(Some(solved)) = self.instance(id).open.get(name) else {
            return self.mismatch(found, None);
        };
        let (first, origin) = (self.show_dim(&solved.size.dim), solved.span);
        let (second, path) = (self.show_dim(&actual.dim), self.instance_name(id));
        let line = self.sources.position(origin);
        let because = actual.why.as_ref().map_or(String::new(), |why| format!(", because {second} = {why}"));
        let reason = solved.size.why.as_ref().map_or(String::new(), |why| format!(": {first} = {why}"));
        let unknown = if actual.dim.as_const().is_none() { " (they are equal only by chance)" } else { "" };
        let title = format!("matrix sizes do not agree: {second} and {first}{unknown}");
        // Where both uses are one place, or in the prelude, the calls that led there are told apart.
        let calls = self.users_calls();
        let apart = calls.iter().zip(&solved.calls).position(|(now, before)| now != before);
        let is_users = self.files.origin(site.callee.file) == crate::scope::Origin::User;
        if let Some(at) = apart.filter(|at| *at > 0 || !is_users) {
            let (now, before) = (calls[at], solved.calls[at]);
            let error = Diagnostic::error(Code::E0107, now, title)
                .label(format!("here `{path}` gets {second} features"))
                .also(before, format!("here {first}, at its first use"))
                .also(site.callee, format!("`{path}` is called here{because}"))
                .help("give the two uses their own layer, or make the sizes agree");
            return self.tell(error);
        }
        let error = Diagnostic::error(Code::E0107, site.callee, title)
            .label(format!("`{path}` takes {first} features (set by its first use, {line}{reason})"))
            .also(found.span, format!("{}{because}", found.shown))
            .help("give the two uses their own layer, or make the sizes agree");
        self.tell(error)
    }

    /// E0107: a function that touches a state is called with another session size than before.
    fn session_mismatch(
        &mut self,
        id: InstanceId,
        name: &Arc<str>,
        actual: &Size,
        solved: &crate::sizes::Solved,
        found: &Match<'a, '_>,
    ) -> Reported {
        let (first, second) = (self.show_dim(&solved.size.dim), self.show_dim(&actual.dim));
        let (path, line) = (self.instance_name(id), self.sources.position(solved.span));
        let settled = if first == **name { String::new() } else { format!(" = {first}") };
        let title = format!("the states of `{path}` have the size {name}{settled}, and here it is {second}");
        let error = Diagnostic::error(Code::E0107, found.span, title)
            .label(found.shown.clone())
            .note(format!("{name} was settled at {line}; a state keeps its sizes for a whole session"))
            .help("give the two uses their own layer, or call both with the same size");
        self.tell(error)
    }

    /// E0105 or E0109: a value does not have its type.
    pub fn mismatch(&mut self, found: &Match<'a, '_>, detail: Option<String>) -> Reported {
        self.mismatch_with(found, detail, None)
    }

    fn mismatch_with(&mut self, found: &Match<'a, '_>, detail: Option<String>, help: Option<&str>) -> Reported {
        let error = self.mismatch_error(found, detail, help);
        self.tell(error)
    }

    fn mismatch_error(&self, found: &Match<'a, '_>, detail: Option<String>, help: Option<&str>) -> Diagnostic {
        let declared = self.sources.text(found.ty.span).to_string();
        let shown = &found.shown;
        let error = match &found.what {
            Matched::Argument { name, site } => {
                let title = format!("`{}` takes {declared} for `{name}`, and this is {shown}", site.name);
                Diagnostic::error(Code::E0105, found.span, title).also(found.ty.span, "declared here")
            }
            Matched::Annotation { name } => {
                let title = format!("`{name}` is {shown}, and its annotation says {declared}");
                Diagnostic::error(Code::E0105, found.span, title).label(shown.clone()).also(found.ty.span, "said here")
            }
            Matched::Result { function } => {
                let title = format!("`{function}` returns {shown}, and its result type is {declared}");
                Diagnostic::error(Code::E0109, found.span, title)
                    .label(shown.clone())
                    .also(found.ty.span, "declared here")
            }
            Matched::Declaration => {
                let title = format!("this initialiser makes {declared}, and {shown} is wanted");
                Diagnostic::error(Code::E0105, found.span, title)
            }
        };
        let error = match detail {
            Some(detail) => error.note(detail),
            None => error,
        };
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    fn unbound_in_type(&mut self, name: &ast::Name, found: &Match<'a, '_>) -> Reported {
        let error = Diagnostic::error(Code::E0101, name.span, format!("no size is called `{}` here", name.text));
        let error = match found.what {
            Matched::Result { .. } => error
                .note("a result type mentions sizes of the arguments, constructor arguments and constants")
                .help("write `_` for one axis that the body decides, `*_` for any number of them"),
            Matched::Argument { .. } | Matched::Annotation { .. } | Matched::Declaration => error,
        };
        self.tell(error)
    }
}

/// Whether an axis of a type stands for several.
pub(crate) fn is_pack(axis: &ast::Axis) -> bool {
    matches!(axis.kind, ast::AxisKind::Pack(_) | ast::AxisKind::HolePack)
}

/// A type with more than one pack.
pub(crate) fn two_packs(span: Span) -> Diagnostic {
    Diagnostic::error(Code::E0122, span, "a type has at most one pack")
}

fn may_bind(what: &Matched<'_>) -> bool {
    match what {
        Matched::Argument { .. } | Matched::Annotation { .. } | Matched::Declaration => true,
        Matched::Result { .. } => false,
    }
}

/// What a message calls the value that is matched.
pub(crate) fn subject(what: &Matched<'_>) -> String {
    match what {
        Matched::Argument { name, site } => format!("`{name}` of `{}`", site.name),
        Matched::Annotation { name } => format!("`{name}`"),
        Matched::Result { function } => format!("the result of `{function}`"),
        Matched::Declaration => "the initial value".to_string(),
    }
}
