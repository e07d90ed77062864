/// The policy for a trace that comes in with a request.
///
/// Callers that [`Trust::when`](super::Trust::when) trusts are an exception: their traces are always continued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TracePolicy {
    /// Continues the trace and keeps the caller's sampling decision. The default.
    #[default]
    Continue,
    /// Continues the trace, and decides here whether to sample it.
    Resample,
    /// Starts a new trace with a link to the caller's, whose `tracestate` is dropped.
    Restart,
    /// Starts a new trace, and does not read the caller's.
    Ignore,
}
