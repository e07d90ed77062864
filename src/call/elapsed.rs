use std::{error::Error, fmt, io, time::Duration};

use super::{Evidence, Judged, Name, Outcome, Rejection};

/// The kind of time limit that ran out. The rules of each are in the docs of [`timeout`](crate::timeout#rules).
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
/// Judged as [`TimedOut`](crate::Outcome::TimedOut), in a source chain too. Work that [`TimeLimit::run`] did not even
/// begin, since its deadline had passed, is [`Rejected`](crate::Outcome::Rejected): the
/// [`Rejection`](crate::Rejection) is this error's source.
///
/// [`TimeLimit::run`]: crate::timeout::TimeLimit::run
#[derive(Clone, Debug)]
pub struct Elapsed {
    limit: Name,
    bound: TimeBound,
    after: Option<Duration>,
    blame: Blame,
    /// Apart, since hardly any has one.
    refused: Option<Box<Rejection>>,
}

/// Whose doing it is that time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Peer,
    Nobody,
    Caller,
}

impl Elapsed {
    /// Blames the peer by default, unless whoever asked chose the moment.
    pub(crate) fn new(limit: Name, bound: TimeBound, after: Option<Duration>) -> Self {
        let blame = match bound {
            TimeBound::Limit | TimeBound::BodyIdle | TimeBound::BodyTotal => Blame::Peer,
            TimeBound::Deadline => Blame::Nobody,
        };
        Elapsed {
            limit,
            bound,
            after,
            blame,
            refused: None,
        }
    }

    /// The deadline had passed before the work began.
    pub(crate) fn refused(limit: Name, why: Rejection) -> Self {
        Elapsed {
            refused: Some(Box::new(why)),
            ..Elapsed::new(limit, TimeBound::Deadline, None)
        }
    }

    /// Time ran out for another reason than the peer.
    pub(crate) fn blaming_nobody(self) -> Self {
        let blame = Blame::Nobody;
        Elapsed { blame, ..self }
    }

    /// The caller stalled while it sent its request.
    pub(crate) fn blaming_caller(self) -> Self {
        let blame = Blame::Caller;
        Elapsed { blame, ..self }
    }

    /// Returns the name of the time limit.
    pub fn limit(&self) -> &str {
        self.limit.as_str()
    }

    /// Returns what ran out.
    pub fn bound(&self) -> TimeBound {
        self.bound
    }

    /// Returns how long it was allowed to take; for a deadline, that depends on the caller.
    pub fn after(&self) -> Option<Duration> {
        self.after
    }

    /// Returns what it says about the peer's health: the table is in the docs of [`timeout`](crate::timeout#rules).
    pub fn evidence(&self) -> Evidence {
        match self.blame {
            Blame::Peer => Evidence::Unhealthy,
            Blame::Nobody | Blame::Caller => Evidence::Inconclusive,
        }
    }

    /// Tells whether time ran out because the caller stalled while it sent its request.
    pub fn is_callers(&self) -> bool {
        self.blame == Blame::Caller
    }

    /// Returns how a call is judged that it ended.
    pub(crate) fn judged(&self) -> Judged {
        match self.blame {
            _ if self.refused.is_some() => Judged::REJECTED,
            Blame::Caller => Judged::CALLERS,
            Blame::Peer | Blame::Nobody => Judged::new(Outcome::TimedOut, self.evidence()),
        }
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.limit;
        if self.refused.is_some() {
            return write!(f, "not begun after its deadline (time limit {limit:?})");
        }
        match (self.bound, self.after) {
            (TimeBound::BodyIdle, Some(after)) => write!(f, "no data for {after:?}")?,
            (TimeBound::BodyTotal, Some(after)) => write!(f, "body not over after {after:?}")?,
            (_, Some(after)) => write!(f, "timed out after {after:?}")?,
            (_, None) => write!(f, "timed out at its deadline")?,
        }
        if self.is_callers() {
            write!(f, ", waiting for the caller's request")?;
        }
        write!(f, " (time limit {limit:?})")
    }
}

impl Error for Elapsed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refused.as_deref().map(|why| why as _)
    }
}

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

    #[test]
    fn elapsed_names_its_limit_and_what_ran_out() {
        let names = TimeBound::ALL.map(TimeBound::as_str);
        assert_eq!(names, ["limit", "deadline", "body_idle", "body_total"]);
        let elapsed = Elapsed::new("db".into(), TimeBound::BodyIdle, None);
        assert_eq!(elapsed.limit(), "db");
        assert_eq!(elapsed.bound(), TimeBound::BodyIdle);
    }

    #[test]
    fn evidence_goes_by_who_is_to_blame() {
        let of = |bound| Elapsed::new("db".into(), bound, None);
        let timed_out = |evidence| Judged::new(Outcome::TimedOut, evidence);
        let (peer, nobody) = (
            timed_out(Evidence::Unhealthy),
            timed_out(Evidence::Inconclusive),
        );
        assert_eq!(of(TimeBound::Limit).judged(), peer);
        assert_eq!(of(TimeBound::BodyIdle).judged(), peer);
        assert_eq!(of(TimeBound::BodyTotal).judged(), peer);
        assert_eq!(of(TimeBound::Deadline).judged(), nobody);
        assert_eq!(of(TimeBound::BodyTotal).blaming_nobody().judged(), nobody);
        let callers = of(TimeBound::Limit).blaming_caller();
        assert!(callers.is_callers() && !of(TimeBound::Limit).is_callers());
        assert_eq!(callers.judged(), Judged::CALLERS);
    }

    #[test]
    fn elapsed_without_a_beginning_is_a_refusal() {
        let why = Rejection::new(crate::RejectionKind::DeadlineExceeded, "db");
        let elapsed = Elapsed::refused("db".into(), why);
        assert_eq!(elapsed.judged(), Judged::REJECTED);
        assert!(Rejection::find(&elapsed).is_some());
        let error = io::Error::from(elapsed);
        assert_eq!(Rejection::find(&error).map(Rejection::guard), Some("db"));
    }

    #[test]
    fn elapsed_says_when_the_caller_was_waited_for() {
        let after = Some(Duration::from_secs(2));
        let elapsed = Elapsed::new("api".into(), TimeBound::Limit, after).blaming_caller();
        assert_eq!(
            elapsed.to_string(),
            r#"timed out after 2s, waiting for the caller's request (time limit "api")"#
        );
    }
}
