use tokio::time::Instant;

use super::HoldAction;

/// What an operator has set for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) kind: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) action: HoldAction,
    pub(crate) until: Instant,
}
