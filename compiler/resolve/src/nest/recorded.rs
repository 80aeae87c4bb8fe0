//! Gradients that a loop hands on where no gradient leads to them: `h = h - 0.1 * stop_gradient(gradient(f(h), w))`,
//! or its sign. What they give in each pass is recorded. Each pass then makes those before it once more, with the
//! records for constants, and its gradients go through these.

use super::Holes;
use super::gradients::Lacking;
use crate::cx::Cx;
use mlc_ir::dim::Dim;
use mlc_ir::graph::{Def, Value as IrValue};
use mlc_ir::nested::{Carry, LoopCut, computed_with, cut_loop, made_of};
use mlc_ir::ops::gather::Gather;
use mlc_ir::ops::reshape::Reshape;
use mlc_ir::ops::update_slice::UpdateSlice;
use mlc_ir::region_ops::{Trip, stacked};
use mlc_ir::scalar::Literal;
use mlc_ir::ty::{DType, Type};

/// A body as it was evaluated with holes for its gradients, which are to be recorded.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    cut: LoopCut,
    gradients: Vec<Lacking>,
}

/// What one gradient gave in each pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) hole: IrValue,
    start: IrValue,
    pub(super) of: Lacking,
}

impl Recording {
    /// `None` if some are taken in inner loops, where a pass of this one has more than one of them.
    pub(super) fn new(cut: &LoopCut, lacking: &[Lacking]) -> Option<Recording> {
        let all = lacking.iter().all(|lacking| lacking.number.is_some());
        all.then(|| Recording { cut: cut.clone(), gradients: lacking.to_vec() })
    }
}

impl<'a> Cx<'a> {
    /// Holes for the records of a loop.
    pub(super) fn records(&mut self, recording: &Recording) -> Vec<Record> {
        let builder = &mut self.entry.builder;
        let record = |of: &Lacking| {
            let ty: Type = stacked(recording.cut.trip.bound(), builder.ty(of.hole));
            let start = builder.full(ty.dtype, 0.0, &ty.shape);
            Record { hole: builder.hole(ty), start, of: *of }
        };
        recording.gradients.iter().map(record).collect()
    }

    /// The passes before the one that is being evaluated, made once more; gives what they hand on.
    pub(super) fn passes_again(&mut self, recording: &Recording, holes: &Holes<'a, '_>) -> Vec<IrValue> {
        let cut = &recording.cut;
        let builder = &mut self.entry.builder;
        let mut instead = Vec::new();
        for record in &holes.records {
            let row = builder.add1(Gather { axis: 0, batch: 0 }, &[record.hole, cut.position]);
            instead.push((record.of.hole, row));
        }
        let nexts: Vec<IrValue> = cut.carries.iter().map(|carry| carry.next).collect();
        let nexts = computed_with(builder, &instead, &nexts);
        let carries = cut.carries.iter().zip(nexts).map(|(carry, next)| Carry { next, ..carry.clone() }).collect();
        let again = LoopCut {
            trip: Trip::UpTo(cut.trip.bound().clone()),
            count: Some(holes.position.value),
            carries,
            stacks: Vec::new(),
            stop: None,
            narrow: true,
            ..cut.clone()
        };
        cut_loop(&mut self.graph, builder, &again).carries
    }

    /// The carries for the records of a loop; `None` if a gradient is known only within a call.
    pub(super) fn record_carries(&mut self, holes: &Holes<'a, '_>) -> Option<Vec<Carry>> {
        if holes.records.is_empty() {
            return Some(Vec::new());
        }
        let given = self.entry.bodies.last().map(|body| body.given.clone()).unwrap_or_default();
        let (own, lacking) = (holes.own(), self.lacking_holes());
        let region = self.entry.builder.region();
        let first = own.iter().map(|hole| hole.index()).min().unwrap_or_default();
        let inner: Vec<IrValue> = (first..region.values.len())
            .map(|at| IrValue(at as u32))
            .filter(|value| region.values[value.index()].def == Def::Hole)
            .filter(|hole| !own.contains(hole) && !lacking.contains(hole))
            .collect();
        let hidden = made_of(region, 0, &inner);
        let mut carries = Vec::new();
        for record in &holes.records {
            let value = given.get(record.of.number?).copied().filter(|value| !hidden[value.index()])?;
            carries.push(self.recorded(record, value, holes.position.value));
        }
        Some(carries)
    }

    fn recorded(&mut self, record: &Record, value: IrValue, position: IrValue) -> Carry {
        let builder = &mut self.entry.builder;
        let whole = builder.ty(record.hole).clone();
        let mut shape = whole.shape.clone();
        shape[0] = Dim::one();
        let row = builder.add1(Reshape { shape }, &[value]);
        let zero = builder.literal(Literal::zero(DType::I64));
        let mut args = vec![record.hole, row, position];
        args.resize(2 + whole.rank(), zero);
        let next = builder.add1(UpdateSlice, &args);
        Carry { inside: record.hole, start: record.start, next }
    }
}
