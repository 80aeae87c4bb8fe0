//! Which forward values a backward pass keeps: the cheapest set, in bytes, from which it can make
//! the rest again.
//!
//! A minimum cut between what the forward pass alone can give (contractions, reductions, windows,
//! loops, what changes from iteration to iteration) and what the backward pass reads; elementwise
//! ops, views, conversions and draws are made again. An op of many steps must spare more than half
//! its own bytes for that. Of equal cuts it takes the one nearest to the backward pass, which repeats
//! least.

use crate::cost::is_dear;
use crate::graph::{Region, Value};

/// What a forward value costs to have in the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Price {
    /// It is there.
    Nothing,
    /// It is kept for other reasons.
    Kept,
    /// It must be kept.
    Bytes,
    /// It can be made again of its node's operands, or be kept.
    Again,
}

/// The values to keep, in order, so that all of `read` can be had; `bytes` is what a value takes.
pub(crate) fn cheapest(
    region: &Region,
    read: &[Value],
    bytes: impl Fn(Value) -> i64,
    price: impl Fn(Value) -> Price,
) -> Vec<Value> {
    let mut network = Network::default();
    let mut number = vec![None; region.values.len()];
    let mut members: Vec<Value> = Vec::new();
    let mut open: Vec<Value> = read.to_vec();
    while let Some(value) = open.pop() {
        if number[value.index()].is_some() || price(value) == Price::Nothing {
            continue;
        }
        number[value.index()] = Some(members.len());
        members.push(value);
        if price(value) == Price::Again
            && let Some(node) = region.producer(value)
        {
            open.extend(&node.args);
        }
    }
    // Ends: 0 is the forward pass, 1 the backward pass; value `n` is an edge from `2n + 2` to `2n + 3`.
    let (enter, leave) = (|n: usize| 2 * n + 2, |n: usize| 2 * n + 3);
    for (n, value) in members.iter().enumerate() {
        // What is kept anyway costs a little, so that it is not kept twice under two names.
        let bytes = if price(*value) == Price::Kept { 1 } else { bytes(*value).max(1) };
        network.edge(enter(n), leave(n), bytes);
        if price(*value) != Price::Again {
            network.edge(0, enter(n), i64::MAX);
        } else if let Some(node) = region.producer(*value) {
            if is_dear(&node.op) {
                // Cut if the value is made again.
                network.edge(0, enter(n), bytes / 2);
            }
            for operand in node.args.iter().filter_map(|arg| number[arg.index()]) {
                network.edge(leave(operand), enter(n), i64::MAX);
            }
        }
    }
    for n in read.iter().filter_map(|value| number[value.index()]) {
        network.edge(leave(n), 1, i64::MAX);
    }
    let behind = network.behind_the_cut();
    let mut kept: Vec<Value> =
        members.iter().enumerate().filter(|(n, _)| !behind[enter(*n)] && behind[leave(*n)]).map(|(_, v)| *v).collect();
    kept.sort_unstable();
    kept
}

/// A flow network: Dinic's algorithm.
#[derive(Default)]
struct Network {
    /// Edges out of each end; edge `e ^ 1` is the reverse of `e`.
    out: Vec<Vec<usize>>,
    to: Vec<usize>,
    room: Vec<i64>,
}

impl Network {
    fn edge(&mut self, from: usize, to: usize, room: i64) {
        let ends = from.max(to) + 1;
        if self.out.len() < ends {
            self.out.resize(ends, Vec::new());
        }
        for (from, to, room) in [(from, to, room), (to, from, 0)] {
            self.out[from].push(self.to.len());
            self.to.push(to);
            self.room.push(room);
        }
    }

    /// Which ends can still reach end 1 when as much as possible flows there from end 0.
    fn behind_the_cut(&mut self) -> Vec<bool> {
        if self.out.len() < 2 {
            self.out.resize(2, Vec::new());
        }
        loop {
            let level = self.levels();
            if level[1] == usize::MAX {
                return self.reaching();
            }
            let mut next = vec![0; self.out.len()];
            while self.augment(&level, &mut next) {}
        }
    }

    /// Distances from end 0 over edges with room.
    fn levels(&self) -> Vec<usize> {
        let mut level = vec![usize::MAX; self.out.len()];
        level[0] = 0;
        let mut queue = std::collections::VecDeque::from([0]);
        while let Some(end) = queue.pop_front() {
            for edge in &self.out[end] {
                let to = self.to[*edge];
                if self.room[*edge] > 0 && level[to] == usize::MAX {
                    level[to] = level[end] + 1;
                    queue.push_back(to);
                }
            }
        }
        level
    }

    /// Fills one shortest path.
    fn augment(&mut self, level: &[usize], next: &mut [usize]) -> bool {
        let mut path: Vec<usize> = Vec::new();
        let mut end = 0;
        while end != 1 {
            let forward = |edge: usize| self.room[edge] > 0 && level[self.to[edge]] == level[end] + 1;
            match self.out[end][next[end]..].iter().position(|edge| forward(*edge)) {
                Some(skipped) => {
                    next[end] += skipped;
                    let edge = self.out[end][next[end]];
                    path.push(edge);
                    end = self.to[edge];
                }
                None => {
                    next[end] = self.out[end].len();
                    let Some(edge) = path.pop() else { return false };
                    end = self.to[edge ^ 1];
                    next[end] += 1;
                }
            }
        }
        let amount = path.iter().map(|edge| self.room[*edge]).min().unwrap_or(0);
        for edge in path {
            self.room[edge] = self.room[edge].saturating_sub(amount);
            self.room[edge ^ 1] = self.room[edge ^ 1].saturating_add(amount);
        }
        true
    }

    /// Ends from which end 1 can be reached over edges with room.
    fn reaching(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.out.len()];
        reaches[1] = true;
        let mut open = vec![1];
        while let Some(end) = open.pop() {
            for edge in &self.out[end] {
                // The edge from there to here.
                let from = self.to[*edge];
                if self.room[edge ^ 1] > 0 && !std::mem::replace(&mut reaches[from], true) {
                    open.push(from);
                }
            }
        }
        reaches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_the_least_and_the_last() {
        // 0 → 2 →(5) 3 → 4 →(5) 5 → 1 and 0 → 2 →(5) 3 → 6 →(1) 7 → 1: 4|5 and 6|7 cost 6, 2|3 costs 5.
        let mut network = Network::default();
        for (from, to, room) in [(0, 2, i64::MAX), (2, 3, 5), (3, 4, i64::MAX), (4, 5, 5), (5, 1, i64::MAX)] {
            network.edge(from, to, room);
        }
        assert_eq!(network.behind_the_cut()[..6], [false, true, false, false, false, true], "the last of two equals");
        let mut whole = Network::default();
        let edges = [(0, 2, i64::MAX), (2, 3, 5), (3, 4, i64::MAX), (4, 5, 5), (5, 1, i64::MAX)];
        for (from, to, room) in edges.into_iter().chain([(3, 6, i64::MAX), (6, 7, 1), (7, 1, i64::MAX)]) {
            whole.edge(from, to, room);
        }
        assert_eq!(whole.behind_the_cut(), [false, true, false, true, true, true, true, true]);
    }
}
