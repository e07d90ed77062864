//! Decides which calls share a series: keys of low cardinality, whatever strangers send.

use std::hash::{Hash, Hasher};

use super::labels::{CallLabels, CallSide, ErrorLabel, RequestLabels};
use crate::{
    call::{GrpcCode, Outcome},
    track::SlowLevel,
    util::family::SeriesKey,
};

/// A place that found no room: see [`Interner`](crate::util::table::Interner).
const OVERFLOW_TARGET: Option<u16> = Some(0);

/// Calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActiveKey {
    pub(super) method: u8,
    pub(super) https: bool,
}

impl Hash for ActiveKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.method << 1 | u8::from(self.https));
    }
}

impl SeriesKey for ActiveKey {
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        ActiveKey { method: 0, ..*self }
    }
}

/// Names the metric that a duration belongs to.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum MetricKind {
    Http,
    /// A stream that is meant to last.
    Stream,
    Grpc,
}

/// Holds the values that the labels of a call are made from.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct SeriesLabels {
    pub(super) request: RequestLabels,
    pub(super) target: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
}

/// The durations of calls, and what else is measured of them.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) struct CallKey {
    pub(super) kind: MetricKind,
    /// 5xx and the like: failures that somebody has to see, however many other series there are.
    pub(super) is_failure: bool,
    /// None for those that found no room.
    pub(super) labels: Option<SeriesLabels>,
    /// All of it, each part in bits of its own: hashing and comparing field by field takes longer than all the rest of
    /// finding the series.
    packed: u64,
}

/// Holds what all calls of a tracker have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelRules {
    pub(super) side: CallSide,
    /// The scheme as the settings give it.
    pub(super) https: bool,
    pub(super) is_classic: bool,
}

impl CallKey {
    pub(super) fn new(rules: LabelRules, facts: &CallLabels, failed: bool) -> Self {
        let kind = match (facts.request.is_grpc, facts.long_lived) {
            (true, _) => MetricKind::Grpc,
            (false, true) => MetricKind::Stream,
            (false, false) => MetricKind::Http,
        };
        CallKey::from_parts(kind, failed, Some(SeriesLabels::new(rules, facts)))
    }

    #[inline]
    fn from_parts(kind: MetricKind, failed: bool, labels: Option<SeriesLabels>) -> Self {
        let word = labels.as_ref().map_or(0, SeriesLabels::pack);
        CallKey {
            kind,
            is_failure: failed,
            labels,
            packed: word | u64::from(failed) << 2 | kind as u64,
        }
    }
}

impl SeriesLabels {
    /// Leaves out what is no label, and what callers choose freely: on a server the scheme and the version, and the
    /// method and the route of what nobody serves.
    fn new(rules: LabelRules, facts: &CallLabels) -> Self {
        let (asked, grpc) = (facts.request, facts.request.is_grpc);
        let is_server = rules.side == CallSide::Server;
        let is_unserved = is_server && !grpc && is_unrouted(facts);
        let has_own = !is_server && !grpc && !rules.is_classic;
        SeriesLabels {
            request: RequestLabels {
                method: if is_unserved { 0 } else { asked.method },
                version: if has_own { asked.version } else { 0 },
                https: if has_own { asked.https } else { rules.https },
                is_grpc: grpc,
            },
            target: facts.target.filter(|_| !is_unserved),
            status: facts.status.filter(|_| facts.grpc_code.is_none()),
            grpc_code: facts.grpc_code,
            error: if rules.is_classic {
                ErrorLabel::None
            } else {
                facts.error
            },
        }
    }
}

impl SeriesLabels {
    #[inline]
    fn pack(&self) -> u64 {
        let error = match self.error {
            ErrorLabel::None => 0,
            ErrorLabel::Status => 1,
            ErrorLabel::Named(number) => u64::from(number) + 2,
        };
        let asked = self.request;
        let code = self.grpc_code.map_or(31, |code| u64::from(code.as_u8()));
        let place = self.target.map_or(0, |place| u64::from(place) + 1);
        1 << 63
            | place << 46
            | u64::from(self.status.unwrap_or_default()) << 36
            | error << 18
            | code << 12
            | u64::from(asked.method) << 8
            | u64::from(asked.version) << 4
            | u64::from(asked.https) << 3
    }
}

impl PartialEq for CallKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.packed == other.packed
    }
}

impl Hash for CallKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.packed);
    }
}

/// Returns whether there is no such route, or no such method of one.
fn is_unrouted(facts: &CallLabels) -> bool {
    match facts.status {
        Some(404) => facts.target.is_none(),
        Some(405) => true,
        _ => false,
    }
}

impl SeriesKey for CallKey {
    const OVERFLOW_KEYS: usize = 6;

    fn overflow_key(&self) -> Self {
        CallKey::from_parts(self.kind, self.is_failure, None)
    }

    fn has_reserve(&self) -> bool {
        self.is_failure
    }
}

/// Calls by how they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutcomeKey {
    pub(super) target: Option<u16>,
    pub(super) is_grpc: bool,
    pub(super) outcome: Outcome,
}

impl Hash for OutcomeKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let place = self.target.map_or(0, |place| u64::from(place) + 1);
        state.write_u64(place << 4 | u64::from(self.is_grpc) << 3 | self.outcome.index() as u64);
    }
}

impl SeriesKey for OutcomeKey {
    const OVERFLOW_KEYS: usize = 2 * Outcome::ALL.len();

    fn overflow_key(&self) -> Self {
        OutcomeKey {
            target: OVERFLOW_TARGET,
            ..*self
        }
    }
}

/// Slow calls.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct SlowKey {
    pub(super) target: Option<u16>,
    pub(super) level: SlowLevel,
}

impl SeriesKey for SlowKey {
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        SlowKey {
            target: OVERFLOW_TARGET,
            ..*self
        }
    }
}

/// Errors by the number of their type.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct ErrorTypeKey(pub(super) u16);

impl SeriesKey for ErrorTypeKey {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        ErrorTypeKey(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{Method, Request, Version};

    use super::*;

    fn facts(
        method: &Method,
        version: Version,
        uri: &str,
        status: u16,
        place: Option<u16>,
    ) -> CallLabels {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.version_mut() = version;
        *request.uri_mut() = uri.parse().expect("a URI");
        let https = request.uri().scheme_str() == Some("https");
        CallLabels {
            request: RequestLabels::from_request(CallSide::Server, &request, https, false),
            target: place,
            status: Some(status),
            grpc_code: None,
            error: ErrorLabel::None,
            long_lived: false,
        }
    }

    /// Counts the keys of the requests of a stranger.
    fn keys(status: u16, place: Option<u16>) -> usize {
        let rules = LabelRules {
            side: CallSide::Server,
            https: true,
            is_classic: false,
        };
        let mut keys = HashSet::new();
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                for uri in ["/", "http://a.test/", "https://b.test/"] {
                    let facts = facts(&method, version, uri, status, place);
                    keys.insert(CallKey::new(rules, &facts, false));
                }
            }
        }
        keys.len()
    }

    #[test]
    fn calls_of_a_server_are_told_apart_by_what_it_serves_alone() {
        assert_eq!(keys(200, Some(1)), 3);
        assert_eq!(keys(200, None), 3);
        assert_eq!(keys(404, Some(1)), 3);
        assert_eq!(keys(404, None), 1);
        assert_eq!(keys(405, Some(1)), 1);
    }

    const PLACES: [Option<u16>; 4] = [None, Some(0), Some(1), Some(u16::MAX)];

    /// One key, and those that differ from it in one thing.
    fn call_keys() -> Vec<CallKey> {
        let asked = RequestLabels {
            method: 0,
            version: 0,
            https: false,
            is_grpc: false,
        };
        let labels = SeriesLabels {
            request: asked,
            target: None,
            status: None,
            grpc_code: Some(GrpcCode::OK),
            error: ErrorLabel::None,
        };
        let asked = [
            RequestLabels { method: 1, ..asked },
            RequestLabels {
                method: 10,
                ..asked
            },
            RequestLabels {
                version: 1,
                ..asked
            },
            RequestLabels {
                version: 4,
                ..asked
            },
            RequestLabels {
                https: true,
                ..asked
            },
        ];
        let places = PLACES[1..].iter().map(|&place| SeriesLabels {
            target: place,
            ..labels
        });
        let statuses = [100, 599].map(|status| SeriesLabels {
            status: Some(status),
            ..labels
        });
        let codes = [None, Some(GrpcCode::UNAVAILABLE)].map(|code| SeriesLabels {
            grpc_code: code,
            ..labels
        });
        let errors = [
            ErrorLabel::Status,
            ErrorLabel::Named(0),
            ErrorLabel::Named(1),
            ErrorLabel::Named(u16::MAX),
        ];
        let all = asked
            .map(|asked| SeriesLabels {
                request: asked,
                ..labels
            })
            .into_iter()
            .chain(places)
            .chain(statuses)
            .chain(codes)
            .chain(errors.map(|error| SeriesLabels { error, ..labels }));
        let of = |kind, failed| CallKey::from_parts(kind, failed, Some(labels));
        let kinds =
            [MetricKind::Http, MetricKind::Stream, MetricKind::Grpc].map(|kind| of(kind, false));
        let labels = all.map(|labels| CallKey::from_parts(MetricKind::Http, false, Some(labels)));
        labels
            .chain(kinds)
            .chain([of(MetricKind::Http, true)])
            .collect()
    }

    fn end_keys() -> Vec<OutcomeKey> {
        let of = |place, outcome| {
            [true, false].map(|grpc| OutcomeKey {
                target: place,
                is_grpc: grpc,
                outcome,
            })
        };
        let places = PLACES.into_iter();
        let all = places.flat_map(|place| Outcome::ALL.map(|outcome| of(place, outcome)));
        all.flatten().collect()
    }

    fn active_keys() -> Vec<ActiveKey> {
        let of = |method| [true, false].map(|https| ActiveKey { method, https });
        (0..11).flat_map(of).collect()
    }

    fn overflows<K: SeriesKey>(keys: &[K]) -> HashSet<K> {
        keys.iter().map(K::overflow_key).collect()
    }

    /// They are equal if all they have is, and what is hashed of them tells them apart.
    fn are_told_apart<K: SeriesKey + std::fmt::Debug>(keys: &[K]) {
        let hash = |key: &K| {
            let mut state = std::hash::DefaultHasher::new();
            key.hash(&mut state);
            state.finish()
        };
        for (at, a) in keys.iter().enumerate() {
            for (other, b) in keys.iter().enumerate() {
                assert_eq!(a == b, at == other, "{a:?} {b:?}");
                assert_eq!(hash(a) == hash(b), at == other, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn keys_are_told_apart_by_each_thing_they_have() {
        let calls = call_keys().into_iter();
        let calls: Vec<CallKey> = calls.chain(overflows(&call_keys())).collect();
        are_told_apart(&calls);
        are_told_apart(&end_keys());
        are_told_apart(&active_keys());
    }

    #[test]
    fn overflows_are_as_many_as_there_is_room_for() {
        fn count<K: SeriesKey>(keys: &[K]) -> usize {
            overflows(keys).len()
        }
        let slow = |place| {
            [SlowLevel::Warning, SlowLevel::Critical].map(|slow| SlowKey {
                target: place,
                level: slow,
            })
        };
        let slow: Vec<SlowKey> = PLACES.into_iter().flat_map(slow).collect();
        let of_kind = |key: &CallKey| {
            [true, false].map(|failed| CallKey::from_parts(key.kind, failed, key.labels))
        };
        let calls: Vec<CallKey> = call_keys().iter().flat_map(of_kind).collect();
        assert_eq!(count(&calls), CallKey::OVERFLOW_KEYS);
        assert_eq!(count(&end_keys()), OutcomeKey::OVERFLOW_KEYS);
        assert_eq!(count(&active_keys()), ActiveKey::OVERFLOW_KEYS);
        assert_eq!(count(&slow), SlowKey::OVERFLOW_KEYS);
        assert_eq!(
            count(&[ErrorTypeKey(1), ErrorTypeKey(2)]),
            ErrorTypeKey::OVERFLOW_KEYS
        );
    }

    #[test]
    fn failures_have_a_reserve() {
        for key in call_keys() {
            assert_eq!(key.has_reserve(), key.is_failure);
        }
    }
}
