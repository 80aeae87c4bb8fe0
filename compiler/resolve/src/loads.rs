//! `load(net, "pretrained.safetensors", skip: ["head*"])`: an instance whose first weights come from a
//! file that is read when the run starts.

use crate::builtins::Args;
use crate::chosen::matches;
use crate::cx::{Cx, FrameKind};
use crate::program;
use crate::value::{InstanceId, R, Value};
use mlc_ir::graph::{GlobalId, GlobalKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::sync::Arc;

/// A `load` in the bindings of a train block.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub instance: InstanceId,
    path: Arc<str>,
    skip: Vec<(Arc<str>, Span)>,
    span: Span,
}

impl<'a> Cx<'a> {
    /// What the files of `loads` fill: known when all entries have been evaluated.
    pub fn load_tables(&mut self, loads: &[Load]) -> Vec<program::Load> {
        loads.iter().filter_map(|load| self.load_table(load).ok()).collect()
    }

    fn load_table(&mut self, load: &Load) -> R<program::Load> {
        let mut keys = Vec::new();
        self.params_under(load.instance, &mut keys);
        self.states_under(load.instance, &mut keys);
        let mut tensors: Vec<(GlobalId, String)> = Vec::new();
        let mut used = vec![false; load.skip.len()];
        for key in keys {
            let name = self.path_below(load.instance, &key);
            let mut skipped = false;
            for ((pattern, _), used) in load.skip.iter().zip(&mut used) {
                let fits = matches(pattern, &name);
                (skipped, *used) = (skipped || fits, *used || fits);
            }
            if skipped {
                continue;
            }
            for owner in std::iter::once(key.0).chain(self.later_twins(key.0)) {
                if let Some(global) = self.globals.get(&(owner, key.1.clone()))
                    && self.graph.globals[global.index()].kind != GlobalKind::Session
                {
                    tensors.push((*global, name.clone()));
                }
            }
        }
        if let Some(at) = used.iter().position(|used| !used) {
            let (pattern, span) = &load.skip[at];
            let error = Diagnostic::error(Code::E0101, *span, format!("no parameter is called `{pattern}`"))
                .help("`*` stands for any letters, dots too: `head*`, `*.bias`");
            return Err(self.tell(error));
        }
        let binding = self.instance_name(load.instance);
        Ok(program::Load { path: load.path.to_string(), binding, tensors, span: load.span })
    }

    /// Copies of an instance, which have its first values.
    fn later_twins(&self, id: InstanceId) -> Vec<InstanceId> {
        if self.origin(id) == id { self.twins(id) } else { Vec::new() }
    }
}

/// `load(net, path, skip: […])`
pub(crate) fn load<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let site = args.site;
    let in_train = matches!(cx.top().kind, FrameKind::Bindings) && cx.top().instance.is_none();
    if !in_train {
        let error = Diagnostic::error(Code::E0121, site.span, "`load` is a binding of a train block")
            .help("write `net = load(Net(), \"pretrained.safetensors\")` there");
        return Err(cx.tell(error));
    }
    let mut placed = cx.place_args(args.builtin.params, args.raw, &site)?.into_iter();
    let mut next = || placed.next().flatten();
    let (net, path, skip) = (next(), next(), next());
    let (Some(net), Some(path)) = (net, path) else {
        let error = Diagnostic::error(Code::E0103, site.span, "`load` needs a layer and a file");
        return Err(cx.tell(error.help("write `load(Net(), \"pretrained.safetensors\", skip: [\"head*\"])`")));
    };
    let (net_span, path_span) = (net.span(), path.span());
    let instance = match cx.given_value(net)? {
        Value::Instance(id) => id,
        Value::Poison => return Err(cx.report.silent()),
        other => {
            let title = format!("`load` takes a layer, and this is {}", cx.show_value(&other));
            return cx.fail(Code::E0122, net_span, title);
        }
    };
    let path = match cx.given_value(path)? {
        Value::Str(path) => path,
        other => {
            let title = format!("`path` of `load` is a string, and this is {}", cx.show_value(&other));
            return cx.fail(Code::E0122, path_span, title);
        }
    };
    let skip = cx.patterns(skip, "skip")?;
    cx.loads.push(Load { instance, path, skip, span: site.span });
    Ok(Value::Instance(instance))
}
