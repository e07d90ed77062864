use std::time::SystemTime;

/// A reason for which nobody is told that an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Untold {
    /// The condition has not held for long enough.
    Pending,
    /// A silence matches.
    Silenced,
    /// An operator has acknowledged it before it was told.
    Acknowledged,
    /// The last notification was a short time ago; the next one may be at this time.
    Cooldown(SystemTime),
    /// The notification comes at this time, with others of its rule.
    GroupWait(SystemTime),
}

impl Untold {
    /// Returns the word that the API has for it.
    pub(in crate::ops) const fn as_str(self) -> &'static str {
        match self {
            Untold::Pending => "pending",
            Untold::Silenced => "silenced",
            Untold::Acknowledged => "acknowledged",
            Untold::Cooldown(_) => "cooldown",
            Untold::GroupWait(_) => "group_wait",
        }
    }

    /// Returns the time at which the reason ends, where time ends it.
    pub(in crate::ops) const fn until(self) -> Option<SystemTime> {
        match self {
            Untold::Cooldown(until) | Untold::GroupWait(until) => Some(until),
            Untold::Pending | Untold::Silenced | Untold::Acknowledged => None,
        }
    }
}
