//! Trying something out: the state of a resolution can be noted and gone back to, with everything
//! that was said in between.

use crate::cx::{Cx, FrameState};
use crate::report::Told;
use crate::train::{ParamKey, StepState};
use crate::value::Tensor;
use mlc_ir::builder::Checkpoint;
use std::collections::BTreeMap;

/// What can be gone back to. Only valid in the frame and the entry it was taken in.
pub(crate) struct Snapshot<'a> {
    told: Told,
    builder: Checkpoint,
    values: usize,
    inputs: usize,
    tensors: BTreeMap<ParamKey, Tensor>,
    states: BTreeMap<ParamKey, crate::states::Held>,
    session: BTreeMap<ParamKey, crate::sizes::Solved>,
    session_uses: usize,
    test_params: usize,
    checks: usize,
    facts: usize,
    lengths: usize,
    faults: usize,
    loops: usize,
    indices: usize,
    /// How many gradients were lacking in each body of a loop, how many there were, and how many by its carries.
    bodies: Vec<[usize; 3]>,
    stand_ins: usize,
    prefixes: usize,
    in_passes: Vec<crate::nest::InPasses>,
    conditional: u32,
    step: Option<StepState<'a>>,
    frame: FrameState<'a>,
    solved: Vec<crate::instances::Openness>,
    globals: usize,
    regions: usize,
    test_checks: usize,
    constants: BTreeMap<u32, Vec<crate::value::Value<'a>>>,
}

/// Open sizes of instances and sizes of sessions, as far as they are known.
pub(crate) struct SolvedSizes {
    instances: Vec<crate::instances::Openness>,
    session: BTreeMap<ParamKey, crate::sizes::Solved>,
}

impl<'a> Cx<'a> {
    /// Notes the state of the resolution.
    pub fn snapshot(&self) -> Snapshot<'a> {
        let entry = &self.entry;
        Snapshot {
            told: self.report.mark(),
            builder: entry.builder.checkpoint(),
            values: entry.builder.region().values.len(),
            inputs: entry.inputs.len(),
            tensors: entry.tensors.clone(),
            states: entry.states.clone(),
            session: entry.session.clone(),
            session_uses: entry.session_uses.len(),
            test_params: entry.test_params.len(),
            checks: entry.checks.len(),
            facts: entry.facts.new.len(),
            lengths: entry.lengths.len(),
            faults: entry.faults.len(),
            loops: entry.loops.len(),
            indices: entry.indices.len(),
            bodies: entry
                .bodies
                .iter()
                .map(|body| [body.lacking.len(), body.given.len(), body.by_carries.len()])
                .collect(),
            stand_ins: entry.holes.stand_ins.len(),
            prefixes: entry.holes.prefixes.len(),
            in_passes: entry.in_passes.clone(),
            conditional: entry.conditional,
            step: entry.step.clone(),
            frame: self.top().state(),
            solved: self.instances.iter().map(|instance| instance.openness()).collect(),
            globals: self.graph.globals.len(),
            regions: self.graph.regions.len(),
            test_checks: self.checks.len(),
            constants: entry.constants.clone(),
        }
    }

    /// The sizes of instances that are known now.
    pub fn solved_sizes(&self) -> SolvedSizes {
        let instances = self.instances.iter().map(|instance| instance.openness()).collect();
        SolvedSizes { instances, session: self.entry.session.clone() }
    }

    /// Makes sizes known that were known before going back.
    pub fn keep_solved(&mut self, solved: SolvedSizes) {
        for (instance, openness) in self.instances.iter_mut().zip(solved.instances) {
            instance.reopen(openness);
        }
        self.entry.session = solved.session;
    }

    /// Goes back to a noted state.
    pub fn restore(&mut self, to: Snapshot<'a>) {
        self.report.rewind(to.told);
        let entry = &mut self.entry;
        entry.builder.rewind(&to.builder);
        entry.inputs.truncate(to.inputs);
        entry.tensors = to.tensors;
        entry.states = to.states;
        entry.session = to.session;
        entry.session_uses.truncate(to.session_uses);
        entry.test_params.truncate(to.test_params);
        entry.checks.truncate(to.checks);
        entry.facts.new.truncate(to.facts);
        entry.lengths.truncate(to.lengths);
        entry.faults.truncate(to.faults);
        entry.loops.truncate(to.loops);
        entry.indices.truncate(to.indices);
        entry.bodies.truncate(to.bodies.len());
        for (body, [lacking, given, by_carries]) in entry.bodies.iter_mut().zip(to.bodies) {
            body.lacking.truncate(lacking);
            body.given.truncate(given);
            body.by_carries.truncate(by_carries);
        }
        entry.holes.stand_ins.truncate(to.stand_ins);
        entry.holes.prefixes.truncate(to.prefixes);
        entry.in_passes = to.in_passes;
        entry.conditional = to.conditional;
        entry.step = to.step;
        entry.constants = to.constants;
        entry.probabilities.retain(|value, _| value.index() < to.values);
        self.frame().go_back(to.frame);
        self.instances.truncate(to.solved.len());
        for (instance, solved) in self.instances.iter_mut().zip(to.solved) {
            instance.reopen(solved);
        }
        self.graph.globals.truncate(to.globals);
        self.file_paths.truncate(to.globals);
        self.initial.truncate(to.globals);
        self.globals.retain(|_, id| id.index() < to.globals);
        self.graph.regions.truncate(to.regions);
        self.checks.truncate(to.test_checks);
    }
}
