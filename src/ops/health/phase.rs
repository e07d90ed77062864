/// The phase of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not everything that must have worked once has done so, or the application has not said that it has started.
    Starting,
    /// The process has started.
    Started,
    /// The process takes no more requests, and ends.
    ShuttingDown,
}

impl Phase {
    /// Returns the phase in lower case, words joined by `_`, for logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Started => "started",
            Phase::ShuttingDown => "shutting_down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;

    #[test]
    fn phase_has_a_word() {
        let all = [Phase::Starting, Phase::Started, Phase::ShuttingDown];
        assert_eq!(
            all.map(Phase::as_str),
            ["starting", "started", "shutting_down"]
        );
    }
}
