use super::Sampling;
use crate::context::{SpanId, TraceFlags, TraceId, Traceparent};

/// A trace as the caller describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteTrace {
    /// The ID of the trace. None if the caller only says whether to sample.
    pub(crate) trace_id: Option<TraceId>,
    /// The caller's span. A load balancer has none.
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) is_random: bool,
    pub(crate) sampling: Sampling,
}

impl RemoteTrace {
    /// Returns the flags of the trace, with the decision to sample it.
    pub(crate) fn flags(&self, sampled: bool) -> TraceFlags {
        let flags = match self.is_random {
            true => TraceFlags::RANDOM,
            false => TraceFlags::default(),
        };
        flags.with_sampled(sampled)
    }

    /// Returns the caller's span as a link, for a trace that is not continued.
    pub(crate) fn link(&self) -> Option<Traceparent> {
        Some(Traceparent {
            trace_id: self.trace_id?,
            // A load balancer has no span that could be linked to.
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
    fn w3c_caller_is_linked_unchanged() {
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
