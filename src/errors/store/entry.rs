use crate::errors::{fingerprint::Fingerprint, group::ErrorGroup, group_status::GroupStatus};

/// The rank of a group in the order of eviction: by status, then by its latest record.
pub(super) type EvictionKey = (u8, u64, Fingerprint);

/// A group in the store.
#[derive(Clone, Debug)]
pub(super) struct GroupEntry {
    pub(super) group: ErrorGroup,
    /// The number of the latest record. Unlike the wall clock, it never goes back.
    pub(super) last_seen: u64,
}

impl GroupEntry {
    pub(super) fn eviction_key(&self) -> EvictionKey {
        let rank = match self.group.status {
            GroupStatus::Resolved => 0,
            GroupStatus::Open => 1,
            GroupStatus::Ignored => 2,
        };
        (rank, self.last_seen, self.group.fingerprint)
    }
}
