use std::{
    any::Any,
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A call in flight of any type: layers of one handle may have services of several types.
pub(super) type AnyFlight = Arc<dyn Any + Send + Sync>;

/// The calls in flight of a coalescing handle.
#[derive(Default)]
pub(super) struct FlightTable {
    /// The calls that others join, by the hash of their key.
    joinable: HashMap<u64, AnyFlight>,
    /// The addresses of the calls that are too old to be joined. Each of them is removed before it is dropped, so that no other call has its
    /// address meanwhile.
    old: HashSet<usize>,
}

impl FlightTable {
    /// Returns the call that others join.
    pub(super) fn get(&self, hash: u64) -> Option<&AnyFlight> {
        self.joinable.get(&hash)
    }

    /// Adds a call that others join.
    pub(super) fn insert(&mut self, hash: u64, flight: AnyFlight) {
        self.joinable.insert(hash, flight);
    }

    /// Lets nobody join a call any more, if it is there. Returns a reference to be dropped without the lock.
    pub(super) fn retire<F>(&mut self, hash: u64, flight: &Arc<F>) -> Option<AnyFlight> {
        let retired = self.remove_joinable(hash, flight)?;
        self.old.insert(address(flight));
        Some(retired)
    }

    /// Removes a call that is over, if it is there. Returns a reference to be dropped without the lock.
    pub(super) fn remove<F>(&mut self, hash: u64, flight: &Arc<F>) -> Option<AnyFlight> {
        let removed = self.remove_joinable(hash, flight);
        if removed.is_none() {
            self.old.remove(&address(flight));
        }
        removed
    }

    fn remove_joinable<F>(&mut self, hash: u64, flight: &Arc<F>) -> Option<AnyFlight> {
        let found = self.joinable.get(&hash)?;
        match address(found) == address(flight) {
            true => self.joinable.remove(&hash),
            false => None,
        }
    }

    /// Returns the number of calls that others join.
    pub(super) fn joinable(&self) -> usize {
        self.joinable.len()
    }

    /// Returns the number of all calls in flight.
    pub(super) fn len(&self) -> usize {
        self.joinable.len() + self.old.len()
    }
}

fn address<F: ?Sized>(flight: &Arc<F>) -> usize {
    Arc::as_ptr(flight).cast::<()>().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_one_call_of_a_key_to_join_and_counts_the_old_ones_until_they_are_over() {
        let mut table = FlightTable::default();
        let (first, second) = (Arc::new(1_u32), Arc::new(2_u32));
        let joined = |table: &FlightTable| {
            let found = table.get(7).cloned();
            found.map(|flight| *flight.downcast::<u32>().expect("a number"))
        };
        table.insert(7, first.clone());
        assert!(table.retire(7, &second).is_none(), "not there");
        assert!(table.retire(7, &first).is_some());
        assert_eq!(
            (joined(&table), table.joinable(), table.len()),
            (None, 0, 1)
        );
        assert!(table.retire(7, &first).is_none(), "once only");
        table.insert(7, second.clone());
        assert_eq!(
            (joined(&table), table.joinable(), table.len()),
            (Some(2), 1, 2)
        );
        assert!(table.remove(7, &first).is_none());
        assert_eq!(
            (joined(&table), table.joinable(), table.len()),
            (Some(2), 1, 1)
        );
        assert!(table.remove(7, &second).is_some());
        assert!(table.remove(7, &second).is_none());
        assert_eq!(
            (joined(&table), table.joinable(), table.len()),
            (None, 0, 0)
        );
    }
}
