/// The state of a workflow, or of one of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RunState {
    Running,
    Done,
    /// The work returned an error, or panicked.
    Failed,
    /// The future was dropped before its end.
    Cancelled,
    /// The process ended while it ran.
    Lost,
}

impl RunState {
    pub(crate) const ALL: [RunState; 5] = [
        RunState::Running,
        RunState::Done,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Lost,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::Lost => "lost",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut all = RunState::ALL.into_iter();
        all.find(|state| state.as_str() == text)
    }
}
