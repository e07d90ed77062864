use super::super::{SpanId, TraceFlags, TraceId, Traceparent};

/// What the caller says of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct RemoteTrace {
    /// None where the caller only says whether to sample.
    pub(in super::super) trace_id: Option<TraceId>,
    /// The caller's span. A load balancer has none.
    pub(in super::super) parent_id: Option<SpanId>,
    pub(in super::super) is_random: bool,
    pub(in super::super) sampling: Sampling,
}

/// The caller's decision to sample a trace, in the terms of B3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Sampling {
    /// Left to the receiver.
    Deferred,
    Denied,
    Accepted,
    /// Accepted, and wanted whatever samplers further on say.
    Debug,
}

impl Sampling {
    /// Returns whether to sample, if that is decided.
    pub(in super::super) fn decision(self) -> Option<bool> {
        match self {
            Sampling::Deferred => None,
            Sampling::Denied => Some(false),
            Sampling::Accepted | Sampling::Debug => Some(true),
        }
    }
}

impl RemoteTrace {
    /// Returns the flags of the trace where it is sampled or not.
    pub(in super::super) fn flags(&self, sampled: bool) -> TraceFlags {
        let flags = match self.is_random {
            true => TraceFlags::RANDOM,
            false => TraceFlags::default(),
        };
        flags.with_sampled(sampled)
    }

    /// Returns the caller's span, to be remembered where its trace does not go on.
    pub(in super::super) fn link(&self) -> Option<Traceparent> {
        Some(Traceparent {
            trace_id: self.trace_id?,
            parent_id: self.parent_id?,
            flags: self.flags(self.sampling.decision() == Some(true)),
        })
    }
}

impl From<Traceparent> for RemoteTrace {
    fn from(caller: Traceparent) -> Self {
        RemoteTrace {
            trace_id: Some(caller.trace_id),
            parent_id: Some(caller.parent_id),
            is_random: caller.flags.is_random(),
            sampling: match caller.flags.is_sampled() {
                true => Sampling::Accepted,
                false => Sampling::Denied,
            },
        }
    }
}
