use std::time::SystemTime;

use super::window::WindowChange;
use crate::{
    call::Label,
    registry::{self, GuardTransition},
};

/// The words by which a guard that rejects calls by a window tells of it.
pub(crate) struct WindowReport {
    pub(crate) kind: &'static str,
    /// The state in which it rejects calls; in the other one it is `admitting`.
    pub(crate) rejecting: &'static str,
    /// The reason for which it begins to.
    pub(crate) reason: &'static str,
}

impl WindowReport {
    /// Tells subscribers of a change.
    pub(crate) fn publish(&self, name: &Label, change: WindowChange, shadow: bool) {
        let (from, to, reason) = match change {
            WindowChange::Began => ("admitting", self.rejecting, self.reason),
            WindowChange::Ended => (self.rejecting, "admitting", "recovered"),
        };
        registry::publish(|| GuardTransition {
            kind: self.kind,
            name: name.clone(),
            key: None,
            from,
            to,
            reason,
            last_error: None,
            limits: None,
            shadow,
            at: SystemTime::now(),
        });
    }
}
