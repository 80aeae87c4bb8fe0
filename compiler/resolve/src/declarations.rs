//! The declarations of a file, in source order, to the tables of a [`Program`].

use crate::blocks::Block;
use crate::cx::{Cx, Overrides};
use crate::export::{Exported, is_exported};
use crate::imports::Source;
use crate::instances::Place;
use crate::program::{Function, Program, Test, Train};
use crate::value::{InstanceId, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::{FileId, Span};
use std::collections::{BTreeMap, BTreeSet};

impl<'a> Overrides<'a> {
    /// The values given on the command line, each parsed as a constant.
    pub fn new(names: &[(String, FileId)], modules: &'a [ast::Module]) -> Overrides<'a> {
        let value = |module: &'a ast::Module| {
            module.items.iter().find_map(|item| match item {
                ast::Item::Const(decl) => Some(&decl.value),
                _ => None,
            })
        };
        let list =
            names.iter().zip(modules).filter_map(|((name, file), module)| Some((name.clone(), value(module)?, *file)));
        Overrides { list: list.collect(), used: BTreeSet::new() }
    }
}

impl<'a> Cx<'a> {
    /// Resolves everything that the first of `sources` declares; the others are what it imports, and
    /// give it layers, functions and optimizers.
    pub fn program(&mut self, sources: &[Source<'a>]) -> Option<Program> {
        let (&Source { file, module }, imported) = sources.split_first()?;
        for source in sources {
            self.check_items(source.file, source.module);
            self.evaluate_constants(source.file, source.module);
        }
        let blocks = self.blocks(file, module);
        let mut functions = Vec::new();
        let mut not_exported = Vec::new();
        let (mut trains, mut tests) = (Vec::new(), Vec::new());
        for item in &module.items {
            match item {
                ast::Item::Layer(layer) => self.exports(layer, file, &blocks, &mut functions, &mut not_exported),
                ast::Item::Train(decl) => trains.extend(self.train_item(decl, &blocks)),
                ast::Item::Test(test) => tests.extend(self.test(test, file).ok()),
                ast::Item::Import(_)
                | ast::Item::Const(_)
                | ast::Item::Fn(_)
                | ast::Item::Grad(_)
                | ast::Item::Extern(_)
                | ast::Item::Optimizer(_) => {}
            }
        }
        for source in imported {
            self.imported_exports(source, &blocks, &mut functions);
        }
        for source in sources {
            self.check_names(source.file, source.module);
        }
        self.report_recursion(sources);
        self.tell_unused_overrides();
        self.warn_of_unused(sources);
        for train in &mut trains {
            if let Some(block) = blocks.iter().find(|block| *block.decl.name.text == *train.name) {
                train.loads = self.load_tables(&block.loads);
            }
        }
        let mut program = self.assemble(functions, not_exported, trains, tests)?;
        program.prototypes = sources.iter().flat_map(|source| self.prototypes(source.file, source.module)).collect();
        Some(program)
    }

    fn assemble(
        &mut self,
        functions: Vec<Function>,
        not_exported: Vec<(String, String)>,
        trains: Vec<Train>,
        tests: Vec<Test>,
    ) -> Option<Program> {
        self.settle_sessions();
        let init = self.init_entry();
        let sessions = self.session_entries();
        if !self.report.is_clean() {
            return None;
        }
        let graph = std::mem::take(&mut self.graph);
        let file_paths = std::mem::take(&mut self.file_paths);
        Some(Program {
            graph,
            file_paths,
            functions,
            not_exported,
            init,
            sessions,
            trains,
            tests,
            prototypes: Vec::new(),
        })
    }

    /// What can be said of declarations before anything is evaluated.
    fn check_items(&mut self, file: FileId, module: &'a ast::Module) {
        for item in &module.items {
            let _: Result<(), _> = match item {
                ast::Item::Grad(grad) => self.check_grad_item(grad, module),
                ast::Item::Extern(decl) => self.check_extern(decl, file),
                ast::Item::Fn(decl) => self.check_attrs(decl, "a function of a `model`"),
                ast::Item::Layer(layer) => {
                    let _ = self.check_members(layer);
                    self.check_layer_attrs(layer);
                    Ok(())
                }
                ast::Item::Optimizer(optimizer) => self.check_optimizer(optimizer),
                ast::Item::Import(_) | ast::Item::Const(_) | ast::Item::Train(_) | ast::Item::Test(_) => Ok(()),
            };
            self.check_statements(item);
        }
    }

    fn check_layer_attrs(&mut self, layer: &'a ast::Layer) {
        if let Some(attr) = layer.attrs.first() {
            let title = format!("`@{}` has no meaning on a layer", attr.name.text);
            self.tell(Diagnostic::error(Code::E0121, attr.name.span, title));
        }
        for member in &layer.members {
            match member {
                ast::Member::Fn(decl) if layer.is_model => {
                    for attr in decl.attrs.iter().filter(|attr| &*attr.name.text != "export") {
                        let _ = self.attr_error(attr);
                    }
                }
                ast::Member::Fn(decl) => {
                    let _ = self.check_attrs(decl, "a function of a `model`; this is a `layer`");
                }
                ast::Member::Param(_) | ast::Member::State(_) | ast::Member::Bind(_) => {}
            }
        }
    }

    fn check_attrs(&mut self, decl: &'a ast::Fn, exported: &str) -> Result<(), crate::report::Reported> {
        for attr in &decl.attrs {
            if &*attr.name.text == "export" {
                let error =
                    Diagnostic::error(Code::E0121, attr.name.span, format!("`@export` stands before {exported}"))
                        .help("put the function into a `model`");
                return Err(self.tell(error));
            }
            self.attr_error(attr)?;
        }
        Ok(())
    }

    fn attr_error(&mut self, attr: &'a ast::Attr) -> Result<(), crate::report::Reported> {
        if &*attr.name.text == "checkpoint" {
            return Ok(());
        }
        let error = Diagnostic::error(Code::E0121, attr.name.span, format!("unknown attribute `@{}`", attr.name.text))
            .help("the attributes are `@export` and `@checkpoint`");
        Err(self.tell(error))
    }

    fn evaluate_constants(&mut self, file: FileId, module: &'a ast::Module) {
        for item in &module.items {
            if let ast::Item::Const(decl) = item {
                let _ = self.constant(decl, file, decl.name.span);
            }
        }
    }

    /// The train blocks with their bindings made, so that exports know their instances.
    fn blocks(&mut self, file: FileId, module: &'a ast::Module) -> Vec<Block<'a>> {
        let decls: Vec<&'a ast::Train> = module
            .items
            .iter()
            .filter_map(|item| match item {
                ast::Item::Train(decl) => Some(decl),
                _ => None,
            })
            .collect();
        let mut names: BTreeMap<&str, Span> = BTreeMap::new();
        for decl in &decls {
            if let Some(first) = names.insert(&decl.name.text, decl.name.span) {
                self.tell(crate::scope::twice(&decl.name, first));
            }
        }
        let several = decls.len() > 1;
        decls.into_iter().map(|decl| self.train_bindings(decl, file, several)).collect()
    }

    fn train_item(&mut self, decl: &'a ast::Train, blocks: &[Block<'a>]) -> Option<Train> {
        let block = blocks.iter().find(|block| std::ptr::eq(block.decl, decl))?;
        self.train(block).ok()
    }

    /// The exported functions of a model.
    fn exports(
        &mut self,
        layer: &'a ast::Layer,
        file: FileId,
        blocks: &[Block<'a>],
        functions: &mut Vec<Function>,
        not_exported: &mut Vec<(String, String)>,
    ) {
        let decls = exported_fns(layer);
        if decls.is_empty() {
            return;
        }
        let mut exported = self.trained_instances(layer, blocks);
        if exported.is_empty() {
            match self.default_instance(layer, file) {
                Ok(Ok(instance)) => exported.push(Exported { instance, prefix: String::new() }),
                Ok(Err(reason)) => {
                    not_exported.extend(decls.iter().map(|decl| (decl.name.text.to_string(), reason.clone())));
                }
                Err(_) => {}
            }
        }
        for exported in &exported {
            for decl in &decls {
                functions.extend(self.export(exported, decl).ok());
            }
        }
    }

    /// The exported functions of imported models: those that train blocks make instances of.
    fn imported_exports(&mut self, source: &Source<'a>, blocks: &[Block<'a>], functions: &mut Vec<Function>) {
        for item in &source.module.items {
            let ast::Item::Layer(layer) = item else { continue };
            let decls = exported_fns(layer);
            for exported in self.trained_instances(layer, blocks) {
                functions.extend(decls.iter().filter_map(|decl| self.export(&exported, decl).ok()));
            }
        }
    }

    /// The instances of a model that train blocks bind; those with equal arguments count once.
    fn trained_instances(&mut self, layer: &'a ast::Layer, blocks: &[Block<'a>]) -> Vec<Exported> {
        let mut found: Vec<(InstanceId, String, String)> = Vec::new();
        for block in blocks {
            for value in block.bindings.values.values() {
                let Value::Instance(id) = value else { continue };
                let instance = self.instance(*id);
                let Place::Root(root) = &instance.place else { continue };
                if !std::ptr::eq(instance.layer, layer) || found.iter().any(|(other, ..)| other == id) {
                    continue;
                }
                found.push((*id, root.name.clone(), self.show_instance(instance)));
            }
        }
        found.sort_by_key(|(id, ..)| *id);
        let mut distinct: Vec<(InstanceId, String, String)> = Vec::new();
        for candidate in found {
            if !distinct.iter().any(|(.., shown)| *shown == candidate.2) {
                distinct.push(candidate);
            }
        }
        let several = distinct.len() > 1;
        let prefix = |name: String| if several { format!("{name}.") } else { String::new() };
        distinct.into_iter().map(|(instance, name, _)| Exported { instance, prefix: prefix(name) }).collect()
    }
}

/// The `@export` functions of a model.
fn exported_fns(layer: &ast::Layer) -> Vec<&ast::Fn> {
    let fns = layer.members.iter().filter_map(|member| match member {
        ast::Member::Fn(decl) => Some(decl),
        _ => None,
    });
    fns.filter(|decl| layer.is_model && is_exported(decl)).collect()
}
