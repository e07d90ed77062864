use std::{cmp::Reverse, sync::Arc};

use super::bounds::Bounds;

/// The bounds of the exposed buckets of each histogram, by its name.
#[derive(Debug)]
pub(super) struct BucketTable {
    /// Keyed by whole names, and by ends of names, which begin with `_`. The first that matches counts.
    by_name: Vec<(String, Arc<Bounds>)>,
    others: Arc<Bounds>,
}

impl BucketTable {
    /// Creates the table from bounds that ascend and are finite, at most 200 each; `others` are those of all other names.
    pub(super) fn new(by_name: Vec<(String, Vec<f64>)>, others: &[f64]) -> Self {
        let mut by_name: Vec<_> = by_name
            .into_iter()
            .map(|(name, bounds)| (name, Arc::new(Bounds::new(&bounds))))
            .collect();
        // Whole names before ends, longer ends before shorter ones.
        by_name.sort_by_key(|(name, _)| (is_end(name), Reverse(name.len())));
        BucketTable {
            by_name,
            others: Arc::new(Bounds::new(others)),
        }
    }

    /// Returns the bounds of a histogram.
    pub(super) fn bounds(&self, name: &str) -> Arc<Bounds> {
        let matches = |other: &str| match is_end(other) {
            true => name.ends_with(other),
            false => name == other,
        };
        let found = self.by_name.iter().find(|(other, _)| matches(other));
        found.map_or(&self.others, |(_, bounds)| bounds).clone()
    }
}

fn is_end(name: &str) -> bool {
    name.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_name_then_of_its_longest_end() {
        let table = BucketTable::new(
            vec![
                ("_seconds".into(), vec![1.0]),
                ("_stream_seconds".into(), vec![2.0]),
                ("load_seconds".into(), vec![3.0]),
            ],
            &[4.0],
        );
        for (name, bound) in [
            ("load_seconds", 3.0),
            ("work_seconds", 1.0),
            ("load_stream_seconds", 2.0),
            ("overload_seconds", 1.0),
            ("load_bytes", 4.0),
        ] {
            assert_eq!(table.bounds(name).values(), [bound], "{name}");
        }
    }
}
