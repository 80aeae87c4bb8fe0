//! Orders of units.

use super::units::Units;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// From the order given, from its end on: each unit right before the first that reads it, if that
/// takes less than keeping what it reads. Units that nothing reads stay.
pub(super) fn late(units: &Units, given: &[usize]) -> Vec<usize> {
    let mut place = vec![0; units.len()];
    for (at, unit) in given.iter().enumerate() {
        place[*unit] = at;
    }
    // The place of the unit before which a unit is put, its own if it stays.
    let mut settled = place.clone();
    // The last place where a unit is read, as far as readers are settled.
    let mut last_read = vec![0; units.len()];
    for unit in given.iter().rev() {
        let first = units.readers[*unit].iter().map(|reader| settled[*reader]).min();
        if let Some(first) = first.filter(|_| !units.stays[*unit]) {
            let longer = |operand: &&usize| !units.stays[**operand] && last_read[**operand] < first;
            let cost = units.operands[*unit].iter().filter(longer).map(|operand| units.bytes[*operand]);
            if cost.fold(0, i64::saturating_add) < units.bytes[*unit] {
                settled[*unit] = first;
            }
        }
        for operand in &units.operands[*unit] {
            last_read[*operand] = last_read[*operand].max(settled[*unit]);
        }
    }
    // Units put before the same one keep their order, and stand before it: it came later.
    let mut order = given.to_vec();
    order.sort_by_key(|unit| (settled[*unit], place[*unit]));
    order
}

/// Always the unit that adds least to what is alive, of those whose operands are there; of equals
/// the one that stands first.
pub(super) fn from_the_front(units: &Units) -> Vec<usize> {
    let count = units.len();
    let mut missing: Vec<usize> = units.operands.iter().map(Vec::len).collect();
    let mut unread: Vec<usize> = units.readers.iter().map(Vec::len).collect();
    let mut adds: Vec<i64> = (0..count)
        .map(|unit| {
            let own = if unread[unit] == 0 && !units.stays[unit] { 0 } else { units.bytes[unit] };
            let ends = units.operands[unit].iter().filter(|operand| unread[**operand] == 1 && !units.stays[**operand]);
            ends.fold(own, |sum, operand| sum - units.bytes[*operand])
        })
        .collect();
    let mut ready: BinaryHeap<Reverse<(i64, usize)>> =
        (0..count).filter(|unit| missing[*unit] == 0).map(|unit| Reverse((adds[unit], unit))).collect();
    let mut done = vec![false; count];
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse((cost, unit))) = ready.pop() {
        if done[unit] || cost != adds[unit] {
            continue;
        }
        done[unit] = true;
        order.push(unit);
        for operand in &units.operands[unit] {
            unread[*operand] -= 1;
            if unread[*operand] == 1
                && !units.stays[*operand]
                && let Some(last) = units.readers[*operand].iter().find(|reader| !done[**reader])
            {
                adds[*last] -= units.bytes[*operand];
                if missing[*last] == 0 {
                    ready.push(Reverse((adds[*last], *last)));
                }
            }
        }
        for reader in &units.readers[unit] {
            missing[*reader] -= 1;
            if missing[*reader] == 0 {
                ready.push(Reverse((adds[*reader], *reader)));
            }
        }
    }
    order
}

/// The same in reverse: always the unit that frees most when time runs backwards, of those whose
/// readers are placed; of equals the one that stands last.
pub(super) fn from_the_back(units: &Units) -> Vec<usize> {
    let count = units.len();
    let mut unplaced: Vec<usize> = units.readers.iter().map(Vec::len).collect();
    // Alive behind the point that is looked at.
    let mut alive: Vec<bool> = units.stays.clone();
    let mut adds: Vec<i64> = (0..count)
        .map(|unit| {
            let new = units.operands[unit].iter().filter(|operand| !alive[**operand]);
            new.fold(-units.bytes[unit], |sum, operand| sum.saturating_add(units.bytes[*operand]))
        })
        .collect();
    let mut ready: BinaryHeap<(Reverse<i64>, usize)> =
        (0..count).filter(|unit| unplaced[*unit] == 0).map(|unit| (Reverse(adds[unit]), unit)).collect();
    let mut done = vec![false; count];
    let mut order = Vec::with_capacity(count);
    while let Some((Reverse(cost), unit)) = ready.pop() {
        if done[unit] || cost != adds[unit] {
            continue;
        }
        done[unit] = true;
        order.push(unit);
        for operand in &units.operands[unit] {
            if !std::mem::replace(&mut alive[*operand], true) {
                for reader in units.readers[*operand].iter().filter(|reader| !done[**reader]) {
                    adds[*reader] -= units.bytes[*operand];
                    if unplaced[*reader] == 0 {
                        ready.push((Reverse(adds[*reader]), *reader));
                    }
                }
            }
            unplaced[*operand] -= 1;
            if unplaced[*operand] == 0 {
                ready.push((Reverse(adds[*operand]), *operand));
            }
        }
    }
    order.reverse();
    order
}
