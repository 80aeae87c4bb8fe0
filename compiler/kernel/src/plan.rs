//! The memory plan: where an entry's buffers lie in the arena, for all sizes at once.
//!
//! Buffers are placed best-fit at representative sizes. That fixes only an order: of each pair that
//! lives at the same time, one lies above the other. Offsets follow from the order for any sizes
//! ([`crate::program::Plan`]), so the plan is right for all of them; only how tight it is depends on
//! the representative ones.

use crate::program::{Plan, PlanBuffer};
use mlc_ir::dim::{Dim, SizeError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A buffer to be placed.
#[derive(Clone, Debug)]
pub struct Request {
    /// For dumps.
    pub name: String,
    /// Its size.
    pub bytes: Dim,
    /// First step that writes it.
    pub from: usize,
    /// Last step that reads it.
    pub to: usize,
}

const ALIGN: i64 = 64;

fn align(bytes: i64) -> i64 {
    bytes.saturating_add(ALIGN - 1) / ALIGN * ALIGN
}

/// Places buffers; `typical` are representative values of the symbols. The plan's buffers are in
/// another order than the requests: the second result gives each request's position.
pub fn plan(requests: &[Request], typical: &[i64]) -> (Plan, Vec<u32>) {
    let sizes: Vec<i64> = requests.iter().map(|r| align(r.bytes.eval(typical).unwrap_or(i64::MAX / 4))).collect();
    let neighbours = Neighbours::new(requests);
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(sizes[*i]), requests[*i].from, *i));
    let mut offsets = vec![0; requests.len()];
    // Those that have their place, lowest first.
    let mut placed: Vec<usize> = Vec::with_capacity(requests.len());
    for i in order {
        let low_first = |j: &usize| (offsets[*j], *j);
        offsets[i] = lowest_gap(i, neighbours.among(i, &placed, low_first), &sizes, &offsets);
        let at = placed.partition_point(|j| (offsets[*j], *j) < (offsets[i], i));
        placed.insert(at, i);
    }
    let mut position = vec![0u32; requests.len()];
    for (at, i) in placed.iter().enumerate() {
        position[*i] = at as u32;
    }
    let buffers = placed.iter().enumerate().map(|(at, i)| {
        let below = neighbours.among(*i, &placed[..at], |j| position[*j]);
        PlanBuffer {
            name: requests[*i].name.clone(),
            bytes: requests[*i].bytes.clone(),
            below: without_implied(&requests[*i], &below, requests).into_iter().map(|j| position[j]).collect(),
        }
    });
    (Plan { buffers: buffers.collect() }, position)
}

/// Finds the requests that live at the same time as one, in time that grows as their number does.
struct Neighbours<'a> {
    requests: &'a [Request],
    /// By their first step.
    by_start: Vec<usize>,
    /// Their last steps, in order.
    ends: Vec<usize>,
    /// A tree over steps: node `n` has the children `2n` and `2n + 1`, its leaves start at `leaves`.
    /// A request is at the highest nodes whose steps it lives through.
    tree: Vec<Vec<usize>>,
    leaves: usize,
}

/// From this part of a list on it is faster to look through the list than to sort what is found.
const MANY: usize = 16;

impl<'a> Neighbours<'a> {
    fn new(requests: &'a [Request]) -> Neighbours<'a> {
        let steps = requests.iter().map(|request| request.to + 1).max().unwrap_or(1);
        let leaves = steps.next_power_of_two();
        let mut tree = vec![Vec::new(); 2 * leaves];
        for (i, request) in requests.iter().enumerate() {
            let (mut low, mut high) = (request.from + leaves, request.to + 1 + leaves);
            while low < high {
                if low % 2 == 1 {
                    tree[low].push(i);
                    low += 1;
                }
                if high % 2 == 1 {
                    high -= 1;
                    tree[high].push(i);
                }
                (low, high) = (low / 2, high / 2);
            }
        }
        let mut by_start: Vec<usize> = (0..requests.len()).collect();
        by_start.sort_by_key(|i| requests[*i].from);
        let mut ends: Vec<usize> = requests.iter().map(|request| request.to).collect();
        ends.sort_unstable();
        Neighbours { requests, by_start, ends, tree, leaves }
    }

    /// Those of a list that live at the same time as request `i`, in the order of the list, which is
    /// that of `key`; without `i`.
    fn among<K: Ord>(&self, i: usize, list: &[usize], key: impl Fn(&usize) -> K) -> Vec<usize> {
        let Request { from, to, .. } = self.requests[i];
        let over = self.ends.partition_point(|end| *end < from);
        let begun = self.by_start.partition_point(|at| self.requests[*at].from <= to);
        if (begun - over) * MANY >= list.len() {
            let together = |j: &&usize| self.requests[**j].from <= to && from <= self.requests[**j].to && **j != i;
            return list.iter().filter(together).copied().collect();
        }
        let mut found = self.of(i);
        found.retain(|j| list.binary_search_by_key(&key(j), &key).is_ok_and(|at| list[at] == *j));
        found.sort_unstable_by_key(key);
        found
    }

    /// Those that live at the same time as request `i`, in no order.
    fn of(&self, i: usize) -> Vec<usize> {
        let Request { from, to, .. } = self.requests[i];
        let start = |at: &usize| self.requests[*at].from;
        let (first, behind) =
            (self.by_start.partition_point(|at| start(at) < from), self.by_start.partition_point(|at| start(at) <= to));
        let mut found: Vec<usize> = self.by_start[first..behind].iter().copied().filter(|at| *at != i).collect();
        let mut node = from + self.leaves;
        while node > 0 {
            found.extend(self.tree[node].iter().filter(|at| start(at) < from));
            node /= 2;
        }
        found
    }
}

/// The lowest place for `i` between its neighbours, of which the lowest comes first.
fn lowest_gap(i: usize, neighbours: Vec<usize>, sizes: &[i64], offsets: &[i64]) -> i64 {
    let mut low = 0;
    for j in neighbours {
        if offsets[j].saturating_sub(low) >= sizes[i] {
            break;
        }
        low = low.max(offsets[j].saturating_add(sizes[j]));
    }
    low
}

/// `below`, lowest first, without those that lie below another one that they overlap in time. All of them overlap
/// `buffer`, so behind those that cover all of its life nothing is left.
fn without_implied(buffer: &Request, below: &[usize], requests: &[Request]) -> Vec<usize> {
    let mut above = Cover::default();
    let mut kept = Vec::new();
    for i in below.iter().rev() {
        let Request { from, to, .. } = requests[*i];
        if !above.meets(from, to) {
            kept.push(*i);
        }
        above.add(from, to);
        if above.covers(buffer.from, buffer.to) {
            break;
        }
    }
    kept.reverse();
    kept
}

/// A set of steps: disjoint stretches, by their first step.
#[derive(Default)]
struct Cover(BTreeMap<usize, usize>);

impl Cover {
    fn meets(&self, from: usize, to: usize) -> bool {
        self.0.range(..=to).next_back().is_some_and(|(_, end)| *end >= from)
    }

    fn covers(&self, from: usize, to: usize) -> bool {
        self.0.range(..=from).next_back().is_some_and(|(_, end)| *end >= to)
    }

    fn add(&mut self, mut from: usize, mut to: usize) {
        while let Some((start, end)) = self.0.range(..=to).next_back().filter(|(_, end)| **end >= from) {
            let (start, end) = (*start, *end);
            self.0.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.0.insert(from, to);
    }
}

impl Plan {
    /// Offsets and total at given sizes: the rule that compiled code follows.
    pub fn eval(&self, symbols: &[i64]) -> Result<(Vec<i64>, i64), SizeError> {
        let mut ends = Vec::with_capacity(self.buffers.len());
        let mut offsets = Vec::with_capacity(self.buffers.len());
        for buffer in &self.buffers {
            let offset = buffer.below.iter().map(|i| ends[*i as usize]).max().unwrap_or(0);
            let bytes = buffer.bytes.eval(symbols)?;
            let end = bytes.checked_add(ALIGN - 1).map(|b| b / ALIGN * ALIGN).and_then(|b| b.checked_add(offset));
            ends.push(end.ok_or(SizeError::Overflow)?);
            offsets.push(offset);
        }
        Ok((offsets, ends.iter().copied().max().unwrap_or(0)))
    }

    /// A size that the total never exceeds, as a sum that grows with every symbol; each buffer is
    /// rounded up to the alignment.
    pub fn majorant(&self) -> Result<Dim, SizeError> {
        let mut totals: Vec<Dim> = Vec::new();
        for buffer in &self.buffers {
            let bytes = buffer.bytes.majorant()?;
            let bytes = match bytes.as_const() {
                Some(bytes) => Dim::from(align(bytes)),
                None => bytes.add(&Dim::from(ALIGN - 1))?,
            };
            let mut base: Option<Dim> = None;
            for below in buffer.below.iter().map(|i| &totals[*i as usize]) {
                base = Some(match base {
                    None => below.clone(),
                    Some(base) => termwise_max(&base, below)?,
                });
            }
            totals.push(base.unwrap_or_else(Dim::zero).add(&bytes)?);
        }
        totals.iter().try_fold(Dim::zero(), |most, total| termwise_max(&most, total))
    }

    /// `bytes(B) = …`, for people.
    pub fn formula(&self, names: &[Arc<str>]) -> String {
        let Ok(bytes) = self.majorant() else { return "too large".to_string() };
        let mut symbols = Vec::new();
        bytes.each_symbol(&mut |sym| {
            if !symbols.contains(&sym) {
                symbols.push(sym);
            }
        });
        symbols.sort();
        let list: Vec<String> = symbols.iter().map(|sym| Dim::from(*sym).display(names).to_string()).collect();
        let of = if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
        format!("bytes{of} = {}", bytes.display(names))
    }
}

/// A size at least as large as either: the larger coefficient of each term.
fn termwise_max(a: &Dim, b: &Dim) -> Result<Dim, SizeError> {
    let difference = b.sub(a)?;
    let (low, high) = difference.range();
    if high <= 0 {
        return Ok(a.clone());
    }
    if low >= 0 {
        return Ok(b.clone());
    }
    // a + max(0, b - a), the maximum taken for each term.
    difference.positive_part()?.add(a)
}
