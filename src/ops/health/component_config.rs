use std::time::Duration;

use crate::call::Label;

/// The checked settings of a component.
#[derive(Clone, Debug)]
pub(super) struct ComponentConfig {
    pub(super) name: Label,
    pub(super) kind: Label,
    pub(super) is_critical: bool,
    pub(super) groups: Vec<Label>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) slower_than: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub(super) failures: u32,
}
