//! Remembers the groups that had to go, by name, in a bounded space.

use std::collections::{HashMap, VecDeque};

use super::fingerprint::Fingerprint;
use super::group::Status;

#[derive(Clone, Debug, Default)]
pub(super) struct Gone {
    /// With the number of the time that each went.
    groups: HashMap<Fingerprint, (Status, u64)>,
    /// In the order that they went; one that is back, or went again, is there in vain.
    order: VecDeque<(Fingerprint, u64)>,
    went: u64,
}

impl Gone {
    /// Remembers a group. Of more than `most`, the one that went first is forgotten.
    pub(super) fn put(&mut self, name: Fingerprint, status: Status, most: usize) {
        self.went += 1;
        self.groups.insert(name, (status, self.went));
        self.order.push_back((name, self.went));
        while self.order.len() > most {
            let Some((name, went)) = self.order.pop_front() else {
                return;
            };
            if self
                .groups
                .get(&name)
                .is_some_and(|(_, last)| *last == went)
            {
                self.groups.remove(&name);
            }
        }
    }

    /// Takes back the status of a group, if it is remembered.
    pub(super) fn take(&mut self, name: Fingerprint) -> Option<Status> {
        self.groups.remove(&name).map(|(status, _)| status)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::Key;
    use super::*;

    fn name(number: u32) -> Fingerprint {
        let number = number.to_string();
        Fingerprint::of(Key {
            message: &number,
            ..Key::default()
        })
    }

    #[test]
    fn groups_are_remembered_once_with_their_status_and_the_first_to_go_are_forgotten() {
        let mut gone = Gone::default();
        for number in 0..4 {
            gone.put(name(number), Status::Ignored, 3);
        }
        assert_eq!(gone.take(name(0)), None);
        assert_eq!(gone.take(name(1)), Some(Status::Ignored));
        assert_eq!(gone.take(name(1)), None);
        // Went again: what is known of the first time does not count.
        gone.put(name(2), Status::Open, 3);
        gone.put(name(4), Status::Open, 3);
        assert_eq!(gone.take(name(2)), Some(Status::Open));
        assert!(gone.order.len() <= 3 && gone.groups.len() <= 3);
    }
}
