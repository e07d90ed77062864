//! Remembers the groups that had to go, by name, in a bounded space.

use std::collections::{HashMap, VecDeque};

use super::fingerprint::Fingerprint;
use super::group::GroupStatus;

#[derive(Clone, Debug, Default)]
pub(super) struct EvictedGroups {
    /// With the number of the time that each went.
    groups: HashMap<Fingerprint, (GroupStatus, u64)>,
    /// In the order that they went; one that is back, or went again, is there in vain.
    eviction_order: VecDeque<(Fingerprint, u64)>,
    evictions: u64,
}

impl EvictedGroups {
    /// Remembers a group. Of more than `most`, the one that went first is forgotten.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, status: GroupStatus, max: usize) {
        self.evictions += 1;
        self.groups.insert(fingerprint, (status, self.evictions));
        self.eviction_order.push_back((fingerprint, self.evictions));
        while self.eviction_order.len() > max {
            let Some((oldest, went)) = self.eviction_order.pop_front() else {
                return;
            };
            if self
                .groups
                .get(&oldest)
                .is_some_and(|(_, last)| *last == went)
            {
                self.groups.remove(&oldest);
            }
        }
    }

    /// Takes back the status of a group, if it is remembered.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint) -> Option<GroupStatus> {
        self.groups.remove(&fingerprint).map(|(status, _)| status)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::FingerprintInput;
    use super::*;

    fn name(number: u32) -> Fingerprint {
        let number = number.to_string();
        Fingerprint::compute(FingerprintInput {
            message: &number,
            ..FingerprintInput::default()
        })
    }

    #[test]
    fn groups_are_remembered_once_with_their_status_and_the_first_to_go_are_forgotten() {
        let mut gone = EvictedGroups::default();
        for number in 0..4 {
            gone.insert(name(number), GroupStatus::Ignored, 3);
        }
        assert_eq!(gone.remove(name(0)), None);
        assert_eq!(gone.remove(name(1)), Some(GroupStatus::Ignored));
        assert_eq!(gone.remove(name(1)), None);
        // Went again: what is known of the first time does not count.
        gone.insert(name(2), GroupStatus::Open, 3);
        gone.insert(name(4), GroupStatus::Open, 3);
        assert_eq!(gone.remove(name(2)), Some(GroupStatus::Open));
        assert!(gone.eviction_order.len() <= 3 && gone.groups.len() <= 3);
    }
}
