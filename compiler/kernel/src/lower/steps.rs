//! The steps of an entry, moment by moment, with every cell in its place.

use super::bands::Bands;
use super::cells::{Cells, Key, View, bytes_of};
use super::chains::{ChainRole, Chains};
use super::copies::{End, Move, sequence};
use super::homes::Homes;
use super::live::{Lives, output_places};
use super::scope::Pending;
use super::timeline::{Moment, Timeline};
use super::{Content, KernelInfo, Kernels};
use crate::fuse::storage;
use crate::nest::Source;
use crate::program::{self, CallArg, ChainRun, Kept, Loop, Place, Plan, Rest, RunIndex, Slot, Step, Trip};
use crate::to_lane::FrameWord;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::graph::{Entry, NodeId};
use mlc_ir::region_ops;

/// Where everything of an entry is, and when.
pub(super) struct Layout<'a> {
    pub cells: Cells<'a>,
    pub time: Timeline,
    homes: Homes,
    /// The copies of each moment that has some.
    copies: Vec<Vec<Move>>,
    exchanges: Vec<Place>,
    bands: Bands,
    /// What counts the rows of a band.
    band_rows: Sym,
    chains: Chains,
}

impl<'a> Layout<'a> {
    /// Also gives the plan of the arena, and what its buffers hold. `typical` has a value for each symbol
    /// of the program.
    pub fn new(mut cells: Cells<'a>, entry: &Entry, typical: &[i64]) -> (Layout<'a>, Plan, Vec<Option<Content>>) {
        let time = Timeline::new(&mut cells, entry);
        let lives = Lives::new(&mut cells, &time, entry);
        let mut homes = Homes::new(&mut cells, &time, &lives, entry);
        let mut exchanges: Vec<(usize, Dim)> = Vec::new();
        let mut copies = Vec::new();
        for (at, moment) in time.moments.iter().enumerate() {
            let mut sizes = Vec::new();
            let list = moves(&mut cells, *moment, entry);
            let mut ordered = sequence(&cells, &homes, list, &mut sizes);
            let shift = exchanges.len();
            ordered.iter_mut().flat_map(|it| [&mut it.from, &mut it.to]).for_each(|end| {
                if let End::Exchange(number) = end {
                    *number += shift;
                }
            });
            exchanges.extend(sizes.into_iter().map(|bytes| (at, bytes)));
            copies.push(ordered);
        }
        let bands = Bands::new(&mut cells, &time, &homes, &copies);
        let mut chains = Chains::new(&mut cells, &time, (&homes, &lives), &copies, &bands, &entry.typical);
        homes.put_near(&lives, &mut chains);
        let (plan, exchanges, contents) = homes.place(&mut cells, &lives, &exchanges, (&bands, &chains), typical);
        let band_rows = Sym(typical.len() as u32);
        (Layout { cells, time, homes, copies, exchanges, bands, band_rows, chains }, plan, contents)
    }

    /// What is kept from call to call; its kernels are added to the program's.
    pub fn kept(&mut self, kernels: &mut Kernels, entry: usize, infos: &mut Vec<KernelInfo>) -> Kept {
        let scopes = self.cells.scopes;
        let mut steps = Vec::new();
        for number in 0..self.time.kept.list.len() {
            let copy = &self.time.kept.list[number];
            let (scope, loops) = (copy.scope, copy.loops(scopes));
            let pending = &scopes.list[scope].groups[copy.group][copy.at];
            let kernel = kernels.add(&pending.lowered.lane);
            infos.push(info(pending, entry, kernel));
            let run = self.run(pending, kernel, (scope, scope), None);
            steps.push(loops.into_iter().rev().fold(run, |step, trip| Step::Loop(Box::new(Loop::plain(trip, step)))));
        }
        let kept = &self.time.kept;
        Kept { steps, bytes: kept.bytes, of: kept.of.iter().copied().collect() }
    }

    /// All steps; their kernels are added to the program's.
    pub fn steps(&mut self, kernels: &mut Kernels, entry: usize, infos: &mut Vec<KernelInfo>) -> Vec<Step> {
        let mut open = vec![Vec::new()];
        for at in 0..self.time.moments.len() {
            let moment = self.time.moments[at];
            let copies = self.copy_steps(at);
            match moment {
                Moment::Turn(body) => {
                    let steps = open.pop().unwrap_or_default();
                    let looped = self.looped(body, steps, copies);
                    let step = self.in_bands(body, Step::Loop(Box::new(looped)));
                    push(&mut open, step);
                }
                Moment::Head(_) => open.push(Vec::new()),
                Moment::Kernel { scope, group, at: kernel_at, home } => {
                    let pending = &self.cells.scopes.list[scope].groups[group][kernel_at];
                    let kernel = kernels.add(&pending.lowered.lane);
                    let position = infos.len() - self.runs_behind(at, &open);
                    infos.insert(position, info(pending, entry, kernel));
                    let step = self.run(pending, kernel, (scope, home), Some(at));
                    let step = self.in_chain(at, step, &mut open);
                    step.into_iter().for_each(|step| push(&mut open, step));
                }
                Moment::Call { scope, node } => {
                    let step = self.call(scope, node);
                    push(&mut open, step);
                }
                Moment::Fault(number) => {
                    let step = self.fault(number);
                    push(&mut open, step);
                }
                Moment::Renew { .. } | Moment::Begin(_) | Moment::Save { .. } | Moment::End(_) | Moment::Finish => {
                    copies.into_iter().for_each(|copy| push(&mut open, copy));
                }
            }
        }
        open.pop().unwrap_or_default()
    }

    fn copy_steps(&self, at: usize) -> Vec<Step> {
        let end = |end: &End| match end {
            End::Cell(view) => self.homes.view(&self.cells, view),
            End::Exchange(number) => self.exchanges[*number].clone(),
        };
        let step = |it: &Move| {
            let (from, to, bytes) = (end(&it.from), end(&it.to), it.bytes.clone());
            match self.bands.at(at) {
                None => Step::Copy { from, to, bytes },
                Some(band) => Step::Copy {
                    from: band.part(&bytes, from),
                    to: band.part(&bytes, to),
                    bytes: band.size(&bytes, self.band_rows),
                },
            }
        };
        self.copies[at].iter().map(step).collect()
    }

    /// A step of its own for a loop that can be run in bands.
    fn in_bands(&self, body: usize, looped: Step) -> Step {
        let Some(number) = self.bands.list.iter().position(|band| band.body == body) else { return looped };
        let band = &self.bands.list[number];
        let (rows, work) = (band.rows, band.work.clone());
        Step::Bands(Box::new(program::Bands {
            number: number as u32,
            depth: self.cells.scopes.depth(body),
            rows,
            body: vec![looped],
            work,
        }))
    }

    /// How many kernels of a begun chain run behind the one of a moment.
    fn runs_behind(&self, at: usize, open: &[Vec<Step>]) -> usize {
        let before =
            self.chains.at(at).is_some_and(|(_, chain)| chain.roles[at - *chain.moments.start()] == ChainRole::Before);
        match open.last().and_then(|steps| steps.last()) {
            Some(Step::Chain(begun)) if before => begun.runs.len(),
            _ => 0,
        }
    }

    /// A kernel's step goes into the chain that it is in, or before it; else it stays.
    fn in_chain(&self, at: usize, step: Step, open: &mut [Vec<Step>]) -> Option<Step> {
        let (Some((number, chain)), Some(steps)) = (self.chains.at(at), open.last_mut()) else { return Some(step) };
        let position = at - *chain.moments.start();
        if position == 0 {
            steps.push(Step::Chain(Box::new(program::Chain {
                number: number as u32,
                runs: Vec::new(),
                units: chain.units.clone(),
                at_once: chain.at_once,
                near: chain.near,
                work: Dim::zero(),
            })));
        }
        let last = steps.len().saturating_sub(1);
        match (chain.roles[position], step, steps.last_mut()) {
            (ChainRole::Unit(tiles), Step::Run { kernel, frame, work, .. }, Some(Step::Chain(begun))) => {
                begun.runs.push(ChainRun { kernel, frame, tiles });
                begun.work = super::checked(begun.work.add(&work));
            }
            (ChainRole::Before, step, Some(Step::Chain(_))) => steps.insert(last, step),
            _ => mlc_ir::internal_error("lower", "a chain without a beginning"),
        }
        None
    }

    fn place(&mut self, scope: usize, value: mlc_ir::graph::Value) -> Place {
        let view = self.cells.value(scope, value);
        self.homes.view(&self.cells, &view)
    }

    fn known(&self, key: Key) -> Option<Place> {
        self.cells.find(key).map(|cell| self.homes.cell(&self.cells, cell))
    }

    fn looped(&mut self, body: usize, steps: Vec<Step>, turn: Vec<Step>) -> Loop {
        let scopes = self.cells.scopes;
        let (op, node, parent) = (scopes.op(body), scopes.node(body), scopes.parent(body));
        let region = scopes.list[body].region;
        let trip = match &op.trip {
            region_ops::Trip::Exact(bound) => Trip::Exact(bound.clone()),
            region_ops::Trip::UpTo(bound) => {
                Trip::UpTo { bound: bound.clone(), count: self.place(parent, node.args[0]) }
            }
        };
        let stop = op.until.then(|| self.place(body, region.results[0]));
        let cut_short = op.until || op.has_count();
        let stacks = if cut_short { op.stack_results() } else { 0..0 };
        let rest = stacks
            .enumerate()
            .map(|(stack, result)| {
                let cell = self.cells.stack(body, stack);
                Rest { stack: self.homes.cell(&self.cells, cell), row: bytes_of(region.ty(region.results[result])) }
            })
            .collect();
        let (position, count) = (self.known(Key::Position(body)), self.known(Key::Count(body)));
        Loop { trip, rev: op.rev, position, stop, body: steps, turn, count, rest }
    }

    /// The run of a kernel of a scope, in another, at a moment of the entry if at any.
    fn run(&mut self, pending: &Pending, kernel: usize, (scope, home): (usize, usize), moment: Option<usize>) -> Step {
        let mut frame = Vec::with_capacity(pending.lowered.frame.len());
        for (number, word) in pending.lowered.frame.iter().enumerate() {
            frame.push(match word {
                FrameWord::Size(dim) => Slot::Size(self.size(moment, dim)),
                FrameWord::Buffer(source) => {
                    let buffer = pending.nest.buffers.iter().find(|buffer| buffer.source == *source);
                    let Some(buffer) = buffer else { mlc_ir::internal_error("lower", "a frame of other buffers") };
                    let view = self.cells.buffer(scope, home, buffer);
                    let place = self.homes.view(&self.cells, &view);
                    let place = self.in_window(pending, scope, *source, place);
                    let band = moment.and_then(|moment| Some((moment, self.bands.at(moment)?)));
                    Slot::Ptr(match band {
                        Some((moment, band)) => band.word(moment, number, place),
                        None => place,
                    })
                }
            });
        }
        let (tiles, work) = (self.size(moment, &pending.lowered.tiles), self.size(moment, &pending.work()));
        Step::Run { kernel, frame, tiles, work }
    }

    /// A size at a moment, which may be one of a band.
    fn size(&self, moment: Option<usize>, dim: &Dim) -> Dim {
        moment
            .and_then(|moment| self.bands.at(moment))
            .map_or_else(|| dim.clone(), |band| band.size(dim, self.band_rows))
    }

    /// The address of the window, if a kernel writes only that of a buffer.
    fn in_window(&mut self, pending: &Pending, scope: usize, source: Source, place: Place) -> Place {
        let buffers = &pending.nest.buffers;
        let Some(window) = pending.nest.window.as_ref().filter(|window| buffers[window.buffer].source == source) else {
            return place;
        };
        window.starts.iter().fold(place, |place, start| {
            let at = Box::new(self.place(scope, start.value));
            place.plus(RunIndex::Word { at, dtype: start.dtype, last: start.last.clone() }, start.bytes.clone())
        })
    }

    /// A function of C: sizes, then operands, scalars by value, then where results go.
    fn call(&mut self, scope: usize, node: NodeId) -> Step {
        let (op, node) = self.cells.scopes.call(scope, node);
        let mut args: Vec<CallArg> = op.sizes.iter().cloned().map(CallArg::Size).collect();
        for (arg, ty) in node.args.iter().zip(&op.operands) {
            let place = self.place(scope, *arg);
            args.push(match ty.shape.is_empty() {
                true => CallArg::Scalar(place, ty.dtype),
                false => CallArg::Address(place),
            });
        }
        let mut results: Vec<Place> = node.results.iter().map(|result| self.place(scope, *result)).collect();
        let Some(status) = results.pop() else { mlc_ir::internal_error("lower", "a call without a status") };
        args.extend(results.into_iter().map(CallArg::Address));
        Step::Call { symbol: op.symbol.clone(), args, status }
    }

    fn fault(&mut self, number: usize) -> Step {
        let check = self.time.checks[number].clone();
        Step::Fault {
            index: number as u32,
            first_bad: self.place(0, check.first_bad),
            indices: check.indices.map(|(value, dtype)| (self.place(0, value), dtype)),
        }
    }
}

fn push(open: &mut [Vec<Step>], step: Step) {
    if let Some(last) = open.last_mut() {
        last.push(step);
    }
}

fn info(pending: &Pending, entry: usize, kernel: usize) -> KernelInfo {
    let (nest, schedule, tree) = (pending.nest.clone(), pending.schedule.clone(), pending.tree.clone());
    KernelInfo { entry, kernel, nest, schedule, tree }
}

/// The copies of a moment, as if every cell had memory of its own.
fn moves(cells: &mut Cells<'_>, moment: Moment, entry: &Entry) -> Vec<Move> {
    let scopes = cells.scopes;
    let whole = |cell: usize| View { cell, rows: Vec::new() };
    let mut list = Vec::new();
    let mut add = |from: View, to: View, bytes: Dim| {
        list.push(Move { from: End::Cell(from), to: End::Cell(to), bytes });
    };
    match moment {
        Moment::Begin(body) => {
            let (op, node, parent) = (scopes.op(body), scopes.node(body), scopes.parent(body));
            for (carry, arg) in op.carry_args().enumerate() {
                let to = cells.carry(body, carry);
                add(cells.value(parent, node.args[arg]), whole(to), cells.list[to].bytes.clone());
            }
        }
        Moment::Renew { scope, group } => {
            if let Some((old, new)) = scopes.update(scope, group) {
                let to = cells.value(scope, new);
                let bytes = cells.list[to.cell].bytes.clone();
                add(cells.value(scope, old), to, bytes);
            }
        }
        Moment::Turn(body) => {
            for (carry, result) in scopes.op(body).carry_results().enumerate() {
                let to = cells.carry(body, carry);
                let from = cells.value(body, scopes.list[body].region.results[result]);
                add(from, whole(to), cells.list[to].bytes.clone());
            }
        }
        Moment::Save { body, stack } => {
            let region = scopes.list[body].region;
            let value = region.results[scopes.op(body).stack_results().start + stack];
            let bytes = bytes_of(region.ty(value));
            let rows = vec![(body, bytes.clone())];
            let to = View { cell: cells.stack(body, stack), rows };
            add(cells.value(body, value), to, bytes);
        }
        Moment::Finish => {
            let region = scopes.list[0].region;
            for (value, place) in region.results.iter().zip(output_places(entry)) {
                let Some(loc) = place else { continue };
                let value = storage(region, *value);
                let to = cells.typed(Key::Fixed(loc), 0, region.ty(value));
                add(cells.value(0, value), whole(to), bytes_of(region.ty(value)));
            }
        }
        Moment::Kernel { .. } | Moment::Call { .. } | Moment::Head(_) | Moment::End(_) | Moment::Fault(_) => {}
    }
    list
}
