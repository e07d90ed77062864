use std::{
    fmt,
    num::ParseIntError,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// The bits of an ID below those of its millisecond.
const COUNTER_BITS: u32 = 20;

/// The ID of one run of a workflow, written as 16 hexadecimal digits. A later run has a larger one, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(u64);

impl WorkflowId {
    /// Returns the smallest ID of a time.
    pub(crate) fn first_at(at: SystemTime) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or(Duration::ZERO).as_millis() as u64;
        WorkflowId(millis << COUNTER_BITS)
    }

    /// Returns the ID of a run that begins after the last one, by a clock that may have been set back.
    pub(crate) fn after(last: Option<WorkflowId>, at: SystemTime) -> Self {
        let first = WorkflowId::first_at(at);
        last.map_or(first, |last| first.max(WorkflowId(last.0 + 1)))
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for WorkflowId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(WorkflowId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflow_ids_grow_even_if_the_clock_is_set_back() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000);
        let first = WorkflowId::after(None, at);
        let second = WorkflowId::after(Some(first), at);
        let third = WorkflowId::after(Some(second), at - Duration::from_secs(60));
        let fourth = WorkflowId::after(Some(third), at + Duration::from_millis(1));
        assert!(first < second && second < third && third < fourth);
        assert_eq!(fourth, WorkflowId::first_at(at + Duration::from_millis(1)));
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_eq!(first.to_string().len(), 16);
    }
}
