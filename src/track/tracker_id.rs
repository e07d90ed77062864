use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::{call::Label, protocol::Side};

/// The name and the side of a tracker in one number.
///
/// The name is hashed to 63 bits, which are as unique as the name in practice and are cheap to store in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackerId(u64);

impl TrackerId {
    /// Smaller numbers stand for no tracker.
    const MIN: u64 = 2;

    pub(super) fn new(name: &Label) -> Self {
        // With fixed keys, so that trackers of one name have one ID wherever they are built.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name.as_str());
        // The lowest bit is that of the side.
        TrackerId((hash << 1).max(Self::MIN))
    }

    /// Returns the number, which is neither 0 nor 1.
    pub(super) fn as_u64(self) -> u64 {
        self.0
    }

    pub(super) fn with_side(self, side: Side) -> Self {
        TrackerId(self.0 | u64::from(side == Side::Client))
    }
}
