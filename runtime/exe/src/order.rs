//! Lists put in order. The library's sorting is compiled anew for each type of elements, some kilobytes each time;
//! here one copy sorts the places of the elements of all.

use std::cmp::Ordering;

/// Puts elements in order; equal ones stay as they were.
pub fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let places = in_order(items.len(), &|a, b| compare(&items[a], &items[b]));
    let mut found: Vec<Option<T>> = std::mem::take(items).into_iter().map(Some).collect();
    items.extend(places.into_iter().filter_map(|place| found[place].take()));
}

/// Puts elements in their own order.
pub fn sort<T: Ord>(items: &mut Vec<T>) {
    sort_by(items, T::cmp);
}

fn in_order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|a, b| compare(*a, *b));
    places
}
