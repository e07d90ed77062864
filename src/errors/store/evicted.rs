//! The fingerprints and statuses of evicted groups, in bounded space.

use std::collections::{HashMap, VecDeque};

use crate::errors::{fingerprint::Fingerprint, group_status::GroupStatus};

/// The fingerprints and statuses of the groups that were evicted last.
#[derive(Clone, Debug, Default)]
pub(super) struct EvictedGroups {
    /// The status of each group, and the number of its latest eviction.
    groups: HashMap<Fingerprint, (GroupStatus, u64)>,
    /// Oldest eviction first. Entries of groups that came back or were evicted again are stale.
    eviction_order: VecDeque<(Fingerprint, u64)>,
    evictions: u64,
}

impl EvictedGroups {
    /// Adds a group, and removes the oldest ones beyond `max`.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, status: GroupStatus, max: usize) {
        self.evictions += 1;
        self.groups.insert(fingerprint, (status, self.evictions));
        self.eviction_order.push_back((fingerprint, self.evictions));
        while self.eviction_order.len() > max {
            let Some((oldest, went)) = self.eviction_order.pop_front() else {
                return;
            };
            // A later eviction of the same group has another number, and keeps its entry.
            if self
                .groups
                .get(&oldest)
                .is_some_and(|(_, last)| *last == went)
            {
                self.groups.remove(&oldest);
            }
        }
    }

    /// Removes a group and returns its status, if it is known.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint) -> Option<GroupStatus> {
        self.groups.remove(&fingerprint).map(|(status, _)| status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::fingerprint::FingerprintInput;

    fn name(number: u32) -> Fingerprint {
        let number = number.to_string();
        Fingerprint::compute(FingerprintInput {
            message: &number,
            ..FingerprintInput::default()
        })
    }

    #[test]
    fn evicted_groups_keep_latest_status_and_drop_oldest() {
        let mut gone = EvictedGroups::default();
        for number in 0..4 {
            gone.insert(name(number), GroupStatus::Ignored, 3);
        }
        assert_eq!(gone.remove(name(0)), None);
        assert_eq!(gone.remove(name(1)), Some(GroupStatus::Ignored));
        assert_eq!(gone.remove(name(1)), None);
        // Evicted again: the entry of the first eviction is stale.
        gone.insert(name(2), GroupStatus::Open, 3);
        gone.insert(name(4), GroupStatus::Open, 3);
        assert_eq!(gone.remove(name(2)), Some(GroupStatus::Open));
        assert!(gone.eviction_order.len() <= 3 && gone.groups.len() <= 3);
    }
}
