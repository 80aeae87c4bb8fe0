//! The memory plan: where an entry's buffers lie in the arena, for all sizes at once.
//!
//! Buffers are placed best-fit at representative sizes. That fixes only an order: of each pair that
//! lives at the same time, one lies above the other. Offsets follow from the order for any sizes
//! ([`crate::program::Plan`]), so the plan is right for all of them; only how tight it is depends on
//! the representative ones.

use crate::program::{Plan, PlanBuffer};
use mlc_ir::dim::{Dim, SizeError};
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
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(sizes[*i]), requests[*i].from, *i));
    let mut offsets: Vec<Option<i64>> = vec![None; requests.len()];
    for i in order {
        offsets[i] = Some(lowest_gap(i, requests, &sizes, &offsets));
    }
    let offset = |i: usize| offsets[i].unwrap_or(0);
    let mut by_offset: Vec<usize> = (0..requests.len()).collect();
    by_offset.sort_by_key(|i| (offset(*i), *i));
    let mut position = vec![0u32; requests.len()];
    for (at, i) in by_offset.iter().enumerate() {
        position[*i] = at as u32;
    }
    let buffers = by_offset.iter().enumerate().map(|(at, i)| {
        let below = by_offset[..at].iter().filter(|j| overlap(&requests[*i], &requests[**j]));
        let below = without_implied(below.copied().collect(), requests);
        PlanBuffer {
            name: requests[*i].name.clone(),
            bytes: requests[*i].bytes.clone(),
            below: below.into_iter().map(|j| position[j]).collect(),
        }
    });
    (Plan { buffers: buffers.collect() }, position)
}

fn overlap(a: &Request, b: &Request) -> bool {
    a.from <= b.to && b.from <= a.to
}

fn lowest_gap(i: usize, requests: &[Request], sizes: &[i64], offsets: &[Option<i64>]) -> i64 {
    let mut taken: Vec<(i64, i64)> = (0..requests.len())
        .filter(|j| overlap(&requests[i], &requests[*j]))
        .filter_map(|j| offsets[j].map(|offset| (offset, offset.saturating_add(sizes[j]))))
        .collect();
    taken.sort_unstable();
    let mut low = 0;
    for (start, end) in taken {
        if start.saturating_sub(low) >= sizes[i] {
            break;
        }
        low = low.max(end);
    }
    low
}

/// `below`, lowest first, without those that lie below another one that they overlap in time.
fn without_implied(below: Vec<usize>, requests: &[Request]) -> Vec<usize> {
    let implied = |at: usize| below[at + 1..].iter().any(|above| overlap(&requests[below[at]], &requests[*above]));
    (0..below.len()).filter(|at| !implied(*at)).map(|at| below[at]).collect()
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
