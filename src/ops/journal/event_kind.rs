/// The subject of an event, in general.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The process or its operations side started or stops.
    Lifecycle,
    /// A guard changed its state.
    Guard,
    /// The health of a component changed.
    Health,
    /// An error group is new, or has regressed.
    Error,
    /// An alert fires, or no longer does.
    Alert,
    /// An operator changed something.
    Control,
    /// The filter of the log was changed.
    LogLevel,
    /// A login, or several that have failed.
    Login,
    /// A workflow was lost.
    Workflow,
    /// The application recorded it.
    Custom,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 10] = [
        EventKind::Lifecycle,
        EventKind::Guard,
        EventKind::Health,
        EventKind::Error,
        EventKind::Alert,
        EventKind::Control,
        EventKind::LogLevel,
        EventKind::Login,
        EventKind::Workflow,
        EventKind::Custom,
    ];

    /// Returns the kind in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Lifecycle => "lifecycle",
            EventKind::Guard => "guard",
            EventKind::Health => "health",
            EventKind::Error => "error",
            EventKind::Alert => "alert",
            EventKind::Control => "control",
            EventKind::LogLevel => "log_level",
            EventKind::Login => "login",
            EventKind::Workflow => "workflow",
            EventKind::Custom => "custom",
        }
    }

    /// Returns the kind of this text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = EventKind::ALL.into_iter();
        all.find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::EventKind;

    #[test]
    fn event_kind_is_parsed_from_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::parse("guards"), None);
    }
}
