use std::{error::Error, fmt, io, time::Duration};

use super::{Classification, Evidence, Label, Outcome, Rejection};

/// The kind of time limit that elapsed. The rules of each are in the docs of [`timeout`](crate::timeout#rules).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The time limit itself.
    Limit,
    /// The deadline that came with the request, or that is set for the work around it.
    Deadline,
    /// The time between two frames of a body.
    BodyIdle,
    /// The time that a whole body may take.
    BodyTotal,
}

impl TimeoutKind {
    pub(crate) const ALL: [TimeoutKind; 4] = [
        TimeoutKind::Limit,
        TimeoutKind::Deadline,
        TimeoutKind::BodyIdle,
        TimeoutKind::BodyTotal,
    ];

    /// Returns the name in lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeoutKind::Limit => "limit",
            TimeoutKind::Deadline => "deadline",
            TimeoutKind::BodyIdle => "body_idle",
            TimeoutKind::BodyTotal => "body_total",
        }
    }
}

/// The error of work whose time limit elapsed, as returned by [timeouts](crate::timeout).
///
/// Classified as [`TimedOut`](crate::Outcome::TimedOut), in a source chain too. Work that [`TimeLimit::run`] did not begin,
/// since its deadline had passed, is [`Rejected`](crate::Outcome::Rejected): the [`Rejection`](crate::Rejection) is the source
/// of this error.
///
/// [`TimeLimit::run`]: crate::timeout::TimeLimit::run
#[derive(Clone, Debug)]
pub struct Elapsed {
    name: Label,
    kind: TimeoutKind,
    limit: Option<Duration>,
    blame: Blame,
    /// Boxed, since hardly any error has one.
    rejection: Option<Box<Rejection>>,
}

/// The party that let the time limit elapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Peer,
    Unknown,
    Caller,
}

impl Elapsed {
    /// Creates the error. The peer is at fault, unless it elapsed at the caller's own deadline.
    pub(crate) fn new(limit: Label, bound: TimeoutKind, after: Option<Duration>) -> Self {
        let blame = match bound {
            TimeoutKind::Limit | TimeoutKind::BodyIdle | TimeoutKind::BodyTotal => Blame::Peer,
            // The caller chose it, and may have left no time at all.
            TimeoutKind::Deadline => Blame::Unknown,
        };
        Elapsed {
            name: limit,
            kind: bound,
            limit: after,
            blame,
            rejection: None,
        }
    }

    /// Creates the error of work whose deadline had passed before it began.
    pub(crate) fn rejected(limit: Label, why: Rejection) -> Self {
        Elapsed {
            rejection: Some(Box::new(why)),
            ..Elapsed::new(limit, TimeoutKind::Deadline, None)
        }
    }

    /// Returns the rejection, if the work was not begun.
    pub(crate) fn into_rejection(self) -> Result<Rejection, Self> {
        match self.rejection {
            Some(rejection) => Ok(*rejection),
            None => Err(self),
        }
    }

    /// Clears the peer: it is unknown who let the limit elapse.
    pub(crate) fn blame_unknown(self) -> Self {
        let blame = Blame::Unknown;
        Elapsed { blame, ..self }
    }

    /// Blames the caller, which stalled while it sent its request.
    pub(crate) fn blame_caller(self) -> Self {
        let blame = Blame::Caller;
        Elapsed { blame, ..self }
    }

    /// Returns the name of the time limit.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the kind of time limit.
    pub fn kind(&self) -> TimeoutKind {
        self.kind
    }

    /// Returns the time limit; `None` for a deadline, which depends on the caller.
    pub fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Returns the evidence of the peer's health; see the table in the docs of [`timeout`](crate::timeout#rules).
    pub fn evidence(&self) -> Evidence {
        match self.blame {
            Blame::Peer => Evidence::Unhealthy,
            Blame::Unknown | Blame::Caller => Evidence::Inconclusive,
        }
    }

    /// Returns whether the limit elapsed because the caller stalled while it sent its request.
    pub fn is_caller_fault(&self) -> bool {
        self.blame == Blame::Caller
    }

    /// Returns the classification of a call that ends with this error.
    pub(crate) fn classification(&self) -> Classification {
        match self.blame {
            // Work that was never begun has not timed out, whoever is to blame.
            _ if self.rejection.is_some() => Classification::REJECTED,
            Blame::Caller => Classification::CALLER_FAULT,
            Blame::Peer | Blame::Unknown => Classification::new(Outcome::TimedOut, self.evidence()),
        }
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.name;
        if self.rejection.is_some() {
            return write!(f, "not begun after its deadline (time limit {limit:?})");
        }
        match (self.kind, self.limit) {
            (TimeoutKind::BodyIdle, Some(after)) => write!(f, "no data for {after:?}")?,
            (TimeoutKind::BodyTotal, Some(after)) => write!(f, "body not over after {after:?}")?,
            (_, Some(after)) => write!(f, "timed out after {after:?}")?,
            (_, None) => write!(f, "timed out at its deadline")?,
        }
        if self.is_caller_fault() {
            write!(f, ", waiting for the caller's request")?;
        }
        write!(f, " (time limit {limit:?})")
    }
}

impl Error for Elapsed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.rejection.as_deref().map(|why| why as _)
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
    fn elapsed_names_the_limit() {
        let say = |bound, after| Elapsed::new("db".into(), bound, after).to_string();
        let two = Some(Duration::from_secs(2));
        assert_eq!(
            say(TimeoutKind::Limit, two),
            r#"timed out after 2s (time limit "db")"#
        );
        assert_eq!(
            say(TimeoutKind::Deadline, None),
            r#"timed out at its deadline (time limit "db")"#
        );
        assert_eq!(
            say(TimeoutKind::BodyIdle, two),
            r#"no data for 2s (time limit "db")"#
        );
        assert_eq!(
            say(TimeoutKind::BodyTotal, two),
            r#"body not over after 2s (time limit "db")"#
        );
    }

    #[test]
    fn elapsed_names_its_limit_and_what_ran_out() {
        let names = TimeoutKind::ALL.map(TimeoutKind::as_str);
        assert_eq!(names, ["limit", "deadline", "body_idle", "body_total"]);
        let elapsed = Elapsed::new("db".into(), TimeoutKind::BodyIdle, None);
        assert_eq!(elapsed.name(), "db");
        assert_eq!(elapsed.kind(), TimeoutKind::BodyIdle);
    }

    #[test]
    fn evidence_goes_by_who_is_to_blame() {
        let of = |bound| Elapsed::new("db".into(), bound, None);
        let timed_out = |evidence| Classification::new(Outcome::TimedOut, evidence);
        let (peer, nobody) = (
            timed_out(Evidence::Unhealthy),
            timed_out(Evidence::Inconclusive),
        );
        assert_eq!(of(TimeoutKind::Limit).classification(), peer);
        assert_eq!(of(TimeoutKind::BodyIdle).classification(), peer);
        assert_eq!(of(TimeoutKind::BodyTotal).classification(), peer);
        assert_eq!(of(TimeoutKind::Deadline).classification(), nobody);
        assert_eq!(
            of(TimeoutKind::BodyTotal).blame_unknown().classification(),
            nobody
        );
        let callers = of(TimeoutKind::Limit).blame_caller();
        assert!(callers.is_caller_fault() && !of(TimeoutKind::Limit).is_caller_fault());
        assert_eq!(callers.classification(), Classification::CALLER_FAULT);
    }

    #[test]
    fn elapsed_without_a_beginning_is_a_rejection() {
        let why = Rejection::new(crate::RejectionKind::DeadlineExceeded, "db");
        let elapsed = Elapsed::rejected("db".into(), why);
        assert_eq!(elapsed.classification(), Classification::REJECTED);
        assert!(Rejection::find(&elapsed).is_some());
        let error = io::Error::from(elapsed);
        assert_eq!(Rejection::find(&error).map(Rejection::guard), Some("db"));
    }

    #[test]
    fn elapsed_says_whether_the_caller_was_awaited() {
        let after = Some(Duration::from_secs(2));
        let elapsed = Elapsed::new("api".into(), TimeoutKind::Limit, after).blame_caller();
        assert_eq!(
            elapsed.to_string(),
            r#"timed out after 2s, waiting for the caller's request (time limit "api")"#
        );
    }
}
