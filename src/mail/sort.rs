//! Sorting where it need not be as fast as can be: the executable holds the algorithm once, not once
//! for every type.

use std::cmp::Ordering;

/// Sorts stably. Memory: a word for each item; each comparison costs a call more than that of the
/// standard library.
pub(crate) fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut order = order(
        items.len(),
        &mut |a, b| match (items.get(a), items.get(b)) {
            (Some(a), Some(b)) => compare(a, b),
            _ => Ordering::Equal,
        },
    );
    for start in 0..items.len() {
        let mut to = start;
        // What belongs to a place comes there by a swap; what stood there goes where that was.
        while let Some(from) = order.get_mut(to).map(|own| std::mem::replace(own, to)) {
            if from == start || from == to {
                break;
            }
            items.swap(to, from);
            to = from;
        }
    }
}

/// As [`sort_by`] by what the items themselves say.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// For each place, which item belongs there.
fn order(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_sorts() {
        let mut state = 7u64;
        for length in 0..200 {
            let mut items: Vec<(u8, usize)> = (0..length)
                .map(|at| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    ((state >> 60) as u8, at)
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort_by(&mut items, |a, b| a.0.cmp(&b.0));
            assert_eq!(items, expected);
            items.reverse();
            sort(&mut items);
            expected.sort();
            assert_eq!(items, expected);
        }
    }
}
