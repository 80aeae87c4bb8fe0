//! The state of a resolution: what is known so far, the calls under way, and the entry under
//! construction. Every other module adds methods for its job to [`Cx`].

use crate::entry::Entry;
use crate::instances::Instance;
use crate::report::{Reported, Reporter};
use crate::scope::{Files, Origin};
use crate::value::{Bindings, InstanceId, R, ScopeId, Size, Tensor, Value, shape_of};
use mlc_ir::dim::Dim;
use mlc_ir::graph::{GlobalId, Graph, Place, SpanId};
use mlc_ir::ty::{DType, Type};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Sources, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// Calls may nest that deep.
const MOST_CALLS: usize = 100;
/// Expressions, blocks and calls together may nest that deep; the stack of [`crate::resolve`] is made for it.
const MOST_NESTING: u32 = 1500;
/// So many expressions and statements are evaluated in all; the largest models take a hundredth.
const MOST_WORK: u32 = 500_000;

/// A class of dtypes in a signature: one dtype throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Float,
    Num,
    Any,
}

impl Class {
    pub fn named(word: &str) -> Option<Class> {
        match word {
            "float" => Some(Class::Float),
            "num" => Some(Class::Num),
            "any" => Some(Class::Any),
            _ => None,
        }
    }

    pub fn takes(self, dtype: DType) -> bool {
        match self {
            Class::Float => dtype.is_float(),
            Class::Num => dtype != DType::Bool,
            Class::Any => true,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Class::Float => "float",
            Class::Num => "num",
            Class::Any => "any",
        }
    }
}

/// What code a frame runs: it decides which statements and builtins are allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FrameKind<'a> {
    /// The top of a file: constants.
    File,
    /// Bindings of a layer, or of a train block.
    Bindings,
    Fn(&'a ast::Fn),
    Step,
    Every,
    Test,
    /// `update` of an optimizer, or a function it calls.
    Update,
    /// The body of a `grad`.
    Grad,
    /// Arguments of an optimizer.
    OptimizerArgs,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub kind: FrameKind<'a>,
    pub scope: ScopeId,
    pub file: FileId,
    pub instance: Option<InstanceId>,
    pub locals: BTreeMap<Arc<str>, Value<'a>>,
    /// Where locals got their value last.
    pub places: BTreeMap<Arc<str>, Span>,
    /// Rows that were chosen of stacks.
    pub rows: Rc<Vec<crate::stacks::Row>>,
    /// Names of the block around (train block, optimizer).
    pub block: Rc<Bindings<'a>>,
    pub classes: BTreeMap<Class, DType>,
    /// Session sizes of the instance that are seen here.
    pub session: Rc<BTreeSet<Arc<str>>>,
    /// Lengths of the results, in an exported function.
    pub lengths: Rc<Vec<crate::lengths::Length<'a>>>,
    /// Where it was called.
    pub call: Option<Span>,
    /// Where the arguments bound so far are written in that call.
    pub given: Vec<(Arc<str>, Span)>,
    /// The way from the entry point, for random draws.
    pub path: String,
    /// How often each callee was called from here.
    pub ordinals: BTreeMap<String, u32>,
    /// The update of a parameter that this runs.
    pub updating: Option<Rc<crate::optimizer::Updating<'a>>>,
}

/// What changes in a frame while its code runs.
#[derive(Clone, Debug)]
pub(crate) struct FrameState<'a> {
    locals: BTreeMap<Arc<str>, Value<'a>>,
    ordinals: BTreeMap<String, u32>,
    classes: BTreeMap<Class, DType>,
}

impl<'a> Frame<'a> {
    /// What its code has come to so far.
    pub fn state(&self) -> FrameState<'a> {
        FrameState { locals: self.locals.clone(), ordinals: self.ordinals.clone(), classes: self.classes.clone() }
    }

    /// Goes back to an earlier state.
    pub fn go_back(&mut self, to: FrameState<'a>) {
        (self.locals, self.ordinals, self.classes) = (to.locals, to.ordinals, to.classes);
    }
}

/// Values from the command line that replace constants and constructor arguments.
#[derive(Debug, Default)]
pub(crate) struct Overrides<'a> {
    /// `D` or `Model.V`.
    pub list: Vec<(String, &'a ast::Expr, FileId)>,
    pub used: BTreeSet<String>,
}

/// How far the evaluation of a constant is.
#[derive(Debug, Clone)]
pub(crate) enum ConstState<'a> {
    Underway,
    Done(R<Value<'a>>),
}

/// Everything about one resolution.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub files: &'a Files<'a>,
    pub sources: &'a Sources,
    pub report: Reporter,
    pub graph: Graph,
    pub entry: Entry<'a>,
    pub frames: Vec<Frame<'a>>,
    pub instances: Vec<Instance<'a>>,
    pub globals: BTreeMap<(InstanceId, Arc<str>), GlobalId>,
    /// Names in weight files, one for each global.
    pub file_paths: Vec<String>,
    /// How each global gets its first value, one for each global.
    pub initial: Vec<crate::init::Initial<'a>>,
    pub sessions: crate::sessions::Sessions,
    pub consts: BTreeMap<(FileId, Arc<str>), ConstState<'a>>,
    pub overrides: Overrides<'a>,
    /// The user's file that the others are imported by.
    pub main: FileId,
    /// The files behind the paths of imports.
    pub imports: BTreeMap<Span, FileId>,
    pub every_state: crate::every::EveryState,
    pub recompute: crate::Recompute,
    /// How often the body of a loop failed, looped and unrolled.
    pub loop_failures: BTreeMap<Span, u32>,
    pub checks: Vec<crate::program::Check>,
    /// The expression of a first value that is being evaluated.
    pub first_value: Option<Span>,
    /// For functions in which a name was unknown: what their loops and branches bind.
    pub ends: BTreeMap<Span, BTreeMap<Arc<str>, (Span, crate::assigned::End)>>,
    /// For each train block with states, a layer that has just these.
    pub holders: &'a [ast::Layer],
    /// `load`s of the train block whose bindings are being made.
    pub loads: Vec<crate::loads::Load>,
    file_scopes: BTreeMap<FileId, ScopeId>,
    places: BTreeMap<Span, SpanId>,
    scopes: u32,
    depth: u32,
    /// Expressions and statements evaluated so far.
    work: u32,
    /// Params and states that some code reads.
    pub read: BTreeSet<(InstanceId, Arc<str>)>,
}

impl<'a> Cx<'a> {
    pub fn new(
        files: &'a Files<'a>,
        holders: &'a [ast::Layer],
        sources: &'a Sources,
        overrides: Overrides<'a>,
        main: FileId,
        imports: BTreeMap<Span, FileId>,
    ) -> Cx<'a> {
        Cx {
            files,
            sources,
            report: Reporter::default(),
            graph: Graph::new(),
            entry: Entry::idle(),
            frames: Vec::new(),
            instances: Vec::new(),
            globals: BTreeMap::new(),
            file_paths: Vec::new(),
            initial: Vec::new(),
            sessions: crate::sessions::Sessions::default(),
            consts: BTreeMap::new(),
            overrides,
            main,
            imports,
            every_state: crate::every::EveryState::default(),
            recompute: crate::Recompute::default(),
            loop_failures: BTreeMap::new(),
            checks: Vec::new(),
            first_value: None,
            ends: BTreeMap::new(),
            holders,
            loads: Vec::new(),
            file_scopes: BTreeMap::new(),
            places: BTreeMap::new(),
            scopes: 0,
            depth: 0,
            work: 0,
            read: BTreeSet::new(),
        }
    }

    /// A scope that no other shares.
    pub fn new_scope(&mut self) -> ScopeId {
        self.scopes += 1;
        ScopeId(self.scopes)
    }

    /// The scope of a file's constants.
    pub fn file_scope(&mut self, file: FileId) -> ScopeId {
        if let Some(scope) = self.file_scopes.get(&file) {
            return *scope;
        }
        let scope = self.new_scope();
        self.file_scopes.insert(file, scope);
        scope
    }

    /// The innermost call. There is always one while something is evaluated.
    pub fn frame(&mut self) -> &mut Frame<'a> {
        match self.frames.last_mut() {
            Some(frame) => frame,
            None => mlc_ir::internal_error("resolver", "evaluation outside of any frame"),
        }
    }

    /// The innermost call, to be read.
    pub fn top(&self) -> &Frame<'a> {
        match self.frames.last() {
            Some(frame) => frame,
            None => mlc_ir::internal_error("resolver", "evaluation outside of any frame"),
        }
    }

    /// A frame with nothing in it.
    pub fn new_frame(&mut self, kind: FrameKind<'a>, file: FileId) -> Frame<'a> {
        Frame {
            kind,
            scope: self.new_scope(),
            file,
            instance: None,
            locals: BTreeMap::new(),
            places: BTreeMap::new(),
            rows: self.frames.last().map(|frame| frame.rows.clone()).unwrap_or_default(),
            block: Rc::new(Bindings::default()),
            classes: BTreeMap::new(),
            session: Rc::default(),
            lengths: Rc::default(),
            call: None,
            given: Vec::new(),
            path: String::new(),
            ordinals: BTreeMap::new(),
            updating: None,
        }
    }

    /// Runs `job` in a frame and takes the frame off again.
    pub fn within<T>(&mut self, frame: Frame<'a>, job: impl FnOnce(&mut Cx<'a>) -> T) -> T {
        self.frames.push(frame);
        let result = job(self);
        self.frames.pop();
        result
    }

    /// Runs `job` one level deeper, or reports that it is too deep.
    pub fn deeper<T>(&mut self, span: Span, job: impl FnOnce(&mut Cx<'a>) -> R<T>) -> R<T> {
        self.work = self.work.saturating_add(1);
        if self.work >= MOST_WORK {
            return Err(self.give_up(span));
        }
        if self.depth >= MOST_NESTING || self.frames.len() >= MOST_CALLS {
            let error = Diagnostic::error(Code::E0003, span, "this is nested too deep")
                .note(format!("calls nest at most {MOST_CALLS} deep, expressions and calls together {MOST_NESTING}"));
            return Err(self.tell(error));
        }
        self.depth += 1;
        let result = job(self);
        self.depth -= 1;
        result
    }

    /// Ends an expansion that does not end by itself: told once, everything behind it fails silently.
    fn give_up(&mut self, span: Span) -> Reported {
        if self.work > MOST_WORK {
            return self.report.silent();
        }
        let error = Diagnostic::error(Code::E0003, span, "this program expands to too much")
            .note(format!("calls, loops and lists are expanded; more than {MOST_WORK} expressions were evaluated"))
            .help("look for functions that call others twice, again and again, and for lists in lists");
        self.tell(error)
    }

    /// Reports a diagnostic. One that stands in the prelude is moved to the user's line that led there.
    pub fn tell(&mut self, mut diagnostic: Diagnostic) -> Reported {
        if let Some(primary) = &mut diagnostic.primary {
            let inside = primary.span;
            let place = self.user_span(inside);
            if place != inside {
                primary.span = place;
                let function = self.frames.last().and_then(|frame| match frame.kind {
                    FrameKind::Fn(decl) => Some(decl.name.text.to_string()),
                    _ => None,
                });
                let function = function.map_or(String::new(), |name| format!("inside `{name}`, "));
                diagnostic.notes.push(format!("{function}{}", self.sources.position(inside)));
            }
        }
        diagnostic.secondary.retain(|label| self.files.origin(label.span.file) == Origin::User);
        let place = diagnostic.primary.as_ref().map(|label| label.span);
        if let Some(note) = self.instance_note(place) {
            diagnostic.notes.push(note);
        }
        if let Some(note) = self.call_note(&diagnostic) {
            diagnostic.notes.push(note);
        }
        self.report.add(diagnostic)
    }

    /// Where a function was called, if what is wrong in its body hangs on the sizes it was given.
    fn call_note(&self, diagnostic: &Diagnostic) -> Option<String> {
        let of_sizes = matches!(
            diagnostic.code,
            Code::E0104 | Code::E0105 | Code::E0107 | Code::E0109 | Code::E0113 | Code::E0114 | Code::E0115
        );
        let place = diagnostic.primary.as_ref()?.span;
        let at = self.frames.iter().rposition(|frame| self.files.origin(frame.file) == Origin::User)?;
        let frame = &self.frames[at];
        let FrameKind::Fn(decl) = frame.kind else { return None };
        let inside = place.file == frame.file && decl.span.lo <= place.lo && place.hi <= decl.body.span.hi;
        // A function of the layer under way, or of no layer: for others the instance is named.
        let helper = frame.instance.is_none() || at > 0 && self.frames[at - 1].instance == frame.instance;
        let call = frame.call.filter(|call| helper && inside && self.files.origin(call.file) == Origin::User)?;
        of_sizes.then(|| format!("in the call of `{}` at {}", decl.name.text, self.sources.position(call)))
    }

    /// Shorthand for an error with only a title.
    pub fn fail<T>(&mut self, code: Code, span: Span, title: impl Into<String>) -> R<T> {
        Err(self.tell(Diagnostic::error(code, span, title)))
    }

    /// Refuses a part of the language that is not there yet, by name.
    pub fn unsupported<T>(&mut self, span: Span, what: &str) -> R<T> {
        self.fail(Code::E0009, span, format!("{what} is not supported yet"))
    }

    /// The place itself, or the innermost call in the user's files that led to it.
    pub fn user_span(&self, span: Span) -> Span {
        if self.files.origin(span.file) == Origin::User {
            return span;
        }
        let calls = self.frames.iter().rev().filter_map(|frame| frame.call);
        calls.into_iter().find(|call| self.files.origin(call.file) == Origin::User).unwrap_or(span)
    }

    /// The instance whose code is at `place`, if its arguments may matter.
    fn instance_note(&self, place: Option<Span>) -> Option<String> {
        let frame = self.frames.iter().rev().find(|frame| self.files.origin(frame.file) == Origin::User)?;
        let instance = &self.instances[frame.instance?.0 as usize];
        let at_making =
            place.is_some_and(|place| place.file == instance.made.file && instance.made.to(place) == instance.made);
        let is_default = instance.made == instance.layer.name.span;
        if instance.layer.params.is_empty() || at_making || is_default && self.overrides.used.is_empty() {
            return None;
        }
        let made = self.sources.position(instance.made);
        Some(format!("in `{}`, made at {made}", self.show_instance(instance)))
    }

    /// The id of a place, for nodes.
    pub fn place(&mut self, span: Span) -> SpanId {
        let span = self.user_span(span);
        if let Some(id) = self.places.get(&span) {
            return *id;
        }
        let file = self.sources.file(span.file);
        let (line, column) = file.line_col(span.lo);
        self.graph.places.push(Place { file: file.name.clone(), line, column });
        let id = SpanId(self.graph.places.len() as u32 - 1);
        self.places.insert(span, id);
        id
    }

    /// The source range behind a place made by [`Cx::place`].
    pub fn span_of_place(&self, place: SpanId) -> Option<Span> {
        self.places.iter().find(|(_, id)| **id == place).map(|(span, _)| *span)
    }

    /// A size as the user reads it.
    pub fn show_dim(&self, dim: &Dim) -> String {
        dim.display(&self.graph.symbols).to_string()
    }

    /// A type as the user reads it: `f32[B, 28]`.
    pub fn show_type(&self, ty: &Type) -> String {
        ty.display(&self.graph.symbols)
    }

    /// A tensor's type as the user reads it.
    pub fn show(&self, tensor: &Tensor) -> String {
        self.show_type(&tensor.ty())
    }

    /// Sizes as the user reads them: `[B, 28]`.
    pub fn show_axes(&self, axes: &[Size]) -> String {
        let sizes: Vec<String> = shape_of(axes).iter().map(|dim| self.show_dim(dim)).collect();
        format!("[{}]", sizes.join(", "))
    }

    /// `VggStage(2, 64)`: a layer with its arguments.
    pub fn show_instance(&self, instance: &Instance<'a>) -> String {
        let args = instance.layer.params.iter().filter_map(|param| {
            let value = instance.args.get(&param.name.text)?;
            self.show_static(value)
        });
        format!("{}({})", instance.layer.name.text, args.collect::<Vec<_>>().join(", "))
    }
}
