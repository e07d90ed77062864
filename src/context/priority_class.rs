use std::fmt;

/// The class of a call's [`Priority`](super::Priority): what is shed last comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum PriorityClass {
    /// Work that nobody waits for: exports, backfills, indexing.
    Bulk,
    /// Work that may fail without anybody noticing: prefetches, suggestions, refreshes of a cache.
    Low,
    /// The calls that say nothing about themselves.
    #[default]
    Normal,
    /// A person waits.
    High,
    /// Work that must not fail: a payment, a login, a health check of an operator.
    Critical,
}

impl PriorityClass {
    /// All classes, from the one that is shed first to the one that is shed last.
    pub const ALL: [PriorityClass; 5] = [
        PriorityClass::Bulk,
        PriorityClass::Low,
        PriorityClass::Normal,
        PriorityClass::High,
        PriorityClass::Critical,
    ];

    /// Returns the name in lower case, as in the header, in labels and in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            PriorityClass::Bulk => "bulk",
            PriorityClass::Low => "low",
            PriorityClass::Normal => "normal",
            PriorityClass::High => "high",
            PriorityClass::Critical => "critical",
        }
    }
}

impl fmt::Display for PriorityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
