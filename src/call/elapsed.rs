use std::{error::Error, fmt, io, time::Duration};

use super::Name;

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeBound {
    /// The time limit itself.
    Limit,
    /// The deadline that came with the request, or that is set for the work around it.
    Deadline,
    /// The time between two frames of a body.
    BodyIdle,
    /// The time that a whole body may take.
    BodyTotal,
}

impl TimeBound {
    pub(crate) const ALL: [TimeBound; 4] = [
        TimeBound::Limit,
        TimeBound::Deadline,
        TimeBound::BodyIdle,
        TimeBound::BodyTotal,
    ];

    /// In lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeBound::Limit => "limit",
            TimeBound::Deadline => "deadline",
            TimeBound::BodyIdle => "body_idle",
            TimeBound::BodyTotal => "body_total",
        }
    }
}

/// Work was given up because its time ran out: what [timeouts](crate::timeout) say.
///
/// Judged as [`TimedOut`](crate::Outcome::TimedOut), in a source chain too. Work that was not even begun is
/// refused instead, by a [`Rejection`](crate::Rejection).
#[derive(Clone, Debug)]
pub struct Elapsed {
    limit: Name,
    bound: TimeBound,
    after: Option<Duration>,
}

impl Elapsed {
    pub(crate) fn new(limit: Name, bound: TimeBound, after: Option<Duration>) -> Self {
        Elapsed {
            limit,
            bound,
            after,
        }
    }

    /// The name of the time limit.
    pub fn limit(&self) -> &str {
        self.limit.as_str()
    }

    /// What ran out.
    pub fn bound(&self) -> TimeBound {
        self.bound
    }

    /// How long it was allowed to take; for a deadline, that depends on the caller.
    pub fn after(&self) -> Option<Duration> {
        self.after
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.limit;
        match (self.bound, self.after) {
            (TimeBound::BodyIdle, Some(after)) => {
                write!(f, "no data for {after:?} (time limit {limit:?})")
            }
            (TimeBound::BodyTotal, Some(after)) => {
                write!(f, "body not over after {after:?} (time limit {limit:?})")
            }
            (_, Some(after)) => write!(f, "timed out after {after:?} (time limit {limit:?})"),
            (_, None) => write!(f, "timed out at its deadline (time limit {limit:?})"),
        }
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_ran_out() {
        let say = |bound, after| Elapsed::new("db".into(), bound, after).to_string();
        let two = Some(Duration::from_secs(2));
        assert_eq!(
            say(TimeBound::Limit, two),
            r#"timed out after 2s (time limit "db")"#
        );
        assert_eq!(
            say(TimeBound::Deadline, None),
            r#"timed out at its deadline (time limit "db")"#
        );
        assert_eq!(
            say(TimeBound::BodyIdle, two),
            r#"no data for 2s (time limit "db")"#
        );
        assert_eq!(
            say(TimeBound::BodyTotal, two),
            r#"body not over after 2s (time limit "db")"#
        );
    }
}
