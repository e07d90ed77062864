//! The shards of the recorder's counts: those of the crate.

pub(super) use crate::util::shards::{Padded, shard_count, thread_number};
