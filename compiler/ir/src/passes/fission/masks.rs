//! Rows that a counted loop does not run count as zero.

use super::Split;
use super::body::Varies;
use crate::graph::{Def, NodeId, Value};
use crate::ops::Op;
use crate::ops::broadcast::Broadcast;
use crate::ops::compare::Compare;
use crate::ops::iota::Iota;
use crate::ops::select::Select;
use crate::scalar::{CompareOp, Literal};
use crate::ty::DType;

impl Split<'_, '_, '_> {
    /// Rows with zeros where the loop did not run.
    pub(super) fn masked(&mut self, value: Value, rows: Value) -> Value {
        let Some(count) = self.count.filter(|count| !self.is_zero_behind(value, rows, *count)) else { return rows };
        self.at_loop();
        let b = &mut self.cursor.b;
        let ty = b.ty(rows).clone();
        let bound = vec![ty.shape[0].clone()];
        let position = b.add1(Iota { shape: bound.clone(), axis: 0, dtype: DType::I64 }, &[]);
        let count = b.broadcast_scalar(count, &bound);
        let runs = b.add1(Compare { op: CompareOp::Lt }, &[position, count]);
        let runs = b.add1(Broadcast { shape: ty.shape.clone(), axes: vec![0] }, &[runs]);
        let zero = b.literal(Literal::zero(ty.dtype));
        let zero = b.broadcast_scalar(zero, &ty.shape);
        b.add1(Select, &[runs, rows, zero])
    }

    /// Whether rows behind the count are known to be zero: stacks of this loop, and of one that ran
    /// as often.
    fn is_zero_behind(&self, value: Value, rows: Value, count: Value) -> bool {
        if self.body.of(value) == Varies::Never {
            return false;
        }
        let moved = |id: NodeId| self.choice.early[id.index()] || self.choice.late[id.index()];
        if let Some(id) = self.body.producer(value) {
            return !moved(id);
        }
        if !self.body.is_row_param(value) {
            return true;
        }
        let outer = self.cursor.b.region();
        let Def::Node(id, result) = outer.values[rows.index()].def else { return false };
        let node = &outer.nodes[id.index()];
        let Op::Loop(op) = &node.op else { return false };
        let ran = if op.until { Some(node.results[0]) } else { node.args.first().copied().filter(|_| op.has_count()) };
        op.stack_results().contains(&(result as usize)) && ran == Some(count)
    }
}
