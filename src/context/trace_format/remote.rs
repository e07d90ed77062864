use super::super::{SpanId, TraceFlags, TraceId, Traceparent};

/// Holds the trace as the caller describes it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_of_the_w3c_is_linked_as_it_came() {
        for bits in 0..=3 {
            let caller = Traceparent {
                flags: TraceFlags::from_bits(bits),
                ..Traceparent::new_root(false)
            };
            let remote = RemoteTrace::from(caller);
            assert_eq!(remote.link(), Some(caller));
            assert_eq!(remote.sampling.decision(), Some(bits & 1 != 0));
            assert_eq!(remote.flags(true).bits(), bits | 1);
            assert_eq!(remote.flags(false).bits(), bits & 2);
        }
    }

    #[test]
    fn link_needs_a_trace_and_a_span_and_is_sampled_if_the_caller_has_decided_so() {
        let caller = RemoteTrace::from(Traceparent::new_root(true));
        for (sampling, decision) in [
            (Sampling::Deferred, None),
            (Sampling::Denied, Some(false)),
            (Sampling::Accepted, Some(true)),
            (Sampling::Debug, Some(true)),
        ] {
            let caller = RemoteTrace { sampling, ..caller };
            assert_eq!(sampling.decision(), decision);
            let link = caller.link().expect("a span");
            assert_eq!(link.flags.is_sampled(), decision == Some(true));
        }
        let no_span = RemoteTrace {
            parent_id: None,
            ..caller
        };
        let no_trace = RemoteTrace {
            trace_id: None,
            ..caller
        };
        assert_eq!((no_span.link(), no_trace.link()), (None, None));
    }
}
