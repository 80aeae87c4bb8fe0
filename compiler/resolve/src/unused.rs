//! W0001: params and parts of layers, and bindings of train blocks, that no code uses. Told only of programs without errors, about
//! what is neither read in any instance nor mentioned in the layer's text, so that what an option
//! switches off is not told.

use crate::cx::Cx;
use crate::imports::Source;
use crate::instances::Place;
use crate::value::{InstanceId, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::collections::BTreeSet;

impl<'a> Cx<'a> {
    /// Warns about the layers of the user's files, and the train blocks of the first: those of what it
    /// imports are not made.
    pub fn warn_of_unused(&mut self, sources: &[Source<'a>]) {
        if !self.report.is_clean() {
            return;
        }
        let touched = self.touched();
        for (number, source) in sources.iter().enumerate() {
            for item in &source.module.items {
                match item {
                    ast::Item::Layer(layer) => self.warn_of_layer(layer, &touched),
                    ast::Item::Train(train) if number == 0 => self.warn_of_bindings(train),
                    _ => {}
                }
            }
        }
    }

    /// Instances of which a param or a part's param is read.
    fn touched(&self) -> BTreeSet<InstanceId> {
        let mut touched = BTreeSet::new();
        for (id, _) in &self.read {
            let mut next = Some(*id);
            while let Some(id) = next.filter(|id| touched.insert(*id)) {
                next = match &self.instance(id).place {
                    Place::In(parent, _) => Some(*parent),
                    Place::Loose | Place::Root(_) => None,
                };
            }
        }
        touched
    }

    fn warn_of_layer(&mut self, layer: &'a ast::Layer, touched: &BTreeSet<InstanceId>) {
        let is_used = |id: &InstanceId| touched.contains(id) && std::ptr::eq(self.instance(*id).layer, layer);
        let ids = (0..self.instances.len()).map(|at| InstanceId(at as u32));
        let instances: Vec<InstanceId> = ids.filter(|id| is_used(id)).collect();
        if instances.is_empty() {
            return; // never called: a library, or an option
        }
        let mentioned = crate::names::mentioned_in(layer);
        let mut unused = Vec::new();
        for member in &layer.members {
            match member {
                ast::Member::Param(tensor) => {
                    let name = &tensor.name;
                    let read = instances.iter().any(|id| self.read.contains(&(*id, name.text.clone())));
                    if !read && !mentioned.contains(&name.text) {
                        unused.push((name, "the parameter"));
                    }
                }
                ast::Member::Bind(bind) => {
                    for name in bind.names.iter().filter(|name| !mentioned.contains(&name.text)) {
                        let values = instances.iter().filter_map(|id| self.instance(*id).bindings.get(&name.text));
                        let parts: Vec<InstanceId> = values.flat_map(parts).collect();
                        if !parts.is_empty() && !parts.iter().any(|part| touched.contains(part)) {
                            unused.push((name, "the layer"));
                        }
                    }
                }
                ast::Member::State(_) | ast::Member::Fn(_) => {}
            }
        }
        for (name, what) in unused {
            let title = format!("{what} `{}` of `{}` is never used", name.text, layer.name.text);
            let warning = Diagnostic::warning(Code::W0001, name.span, title)
                .help("use it in a function of the layer, or take the line out: it gets no weights");
            self.tell(warning);
        }
    }
}

impl<'a> Cx<'a> {
    /// Bindings of a train block that nothing in it mentions.
    fn warn_of_bindings(&mut self, train: &'a ast::Train) {
        const SETTINGS: [&str; 6] = ["data", "valid", "epochs", "steps", "seed", "accumulate"];
        let mentioned = crate::names::mentioned_in_train(train);
        let names = train.members.iter().flat_map(|member| match member {
            ast::Member::Bind(bind) => bind.names.as_slice(),
            _ => &[],
        });
        for name in names.filter(|name| !SETTINGS.contains(&&*name.text) && !mentioned.contains(&name.text)) {
            let title = format!("`{}` of `{}` is never used", name.text, train.name.text);
            let warning = Diagnostic::warning(Code::W0001, name.span, title).help(match &*name.text {
                "batch" | "batch_size" => "the rows of a batch belong to the data: `|> batch(32)`",
                "lr" | "learning_rate" => "the rate belongs to the optimizer: `adam(lr: 1e-3)`",
                "test" | "validation" | "val" => {
                    "the rows for `evaluate(valid)` and the command `eval` are called `valid`"
                }
                _ => "name it in the step, or take the line out",
            });
            self.tell(warning);
        }
    }
}

/// The instances in a value.
fn parts(value: &Value<'_>) -> Vec<InstanceId> {
    match value {
        Value::Instance(id) => vec![*id],
        Value::List(values) | Value::Tuple(values) => values.iter().flat_map(parts).collect(),
        _ => Vec::new(),
    }
}
