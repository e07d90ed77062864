use tracing::level_filters::LevelFilter;

use super::{field_role::RecordFieldRole, own_filter::OwnFilter, queue::LogQueue};
use crate::util::callsites::Callsites;

/// The part that the layer needs, which the subscriber of the process holds for ever. It does not hold the store.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: LogQueue,
    pub(super) filter: OwnFilter,
    /// The roles of the fields of callsites.
    pub(super) callsites: Callsites<Box<[RecordFieldRole]>>,
}

impl Shared {
    pub(super) fn new(level: LevelFilter) -> Self {
        Shared {
            queue: LogQueue::default(),
            filter: OwnFilter::new(level),
            callsites: Callsites::default(),
        }
    }
}
