//! Decides which calls share a series: keys of low cardinality, whatever strangers send.

use std::hash::{Hash, Hasher};

use super::facts::{Asked, ErrorLabel, Facts, Side};
use crate::{
    call::{GrpcCode, Outcome},
    track::Slow,
    util::family::Labels,
};

/// A place that found no room: see [`Interner`](crate::util::table::Interner).
const OTHER_PLACE: Option<u16> = Some(0);

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

impl Labels for ActiveKey {
    const OVERFLOWS: usize = 2;

    fn overflow(&self) -> Self {
        ActiveKey { method: 0, ..*self }
    }
}

/// Names the metric that a duration belongs to.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// A stream that is meant to last.
    Stream,
    Grpc,
}

/// Holds the values that the labels of a call are made from.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct CallLabels {
    pub(super) asked: Asked,
    pub(super) place: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) code: Option<GrpcCode>,
    pub(super) error: ErrorLabel,
}

/// The durations of calls, and what else is measured of them.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) struct CallKey {
    pub(super) kind: Kind,
    /// 5xx and the like: failures that somebody has to see, however many other series there are.
    pub(super) failed: bool,
    /// None for those that found no room.
    pub(super) labels: Option<CallLabels>,
    /// All of it, each part in bits of its own: hashing and comparing field by field takes longer than all the rest of
    /// finding the series.
    word: u64,
}

/// Holds what all calls of a tracker have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) side: Side,
    /// The scheme as the settings give it.
    pub(super) https: bool,
    pub(super) classic: bool,
}

impl CallKey {
    pub(super) fn new(rules: Rules, facts: &Facts, failed: bool) -> Self {
        let kind = match (facts.asked.grpc, facts.lasting) {
            (true, _) => Kind::Grpc,
            (false, true) => Kind::Stream,
            (false, false) => Kind::Plain,
        };
        CallKey::of(kind, failed, Some(CallLabels::new(rules, facts)))
    }

    #[inline]
    fn of(kind: Kind, failed: bool, labels: Option<CallLabels>) -> Self {
        let word = labels.as_ref().map_or(0, CallLabels::word);
        CallKey {
            kind,
            failed,
            labels,
            word: word | u64::from(failed) << 2 | kind as u64,
        }
    }
}

impl CallLabels {
    /// Leaves out what is no label, and what callers choose freely: on a server the scheme and the version, and the
    /// method and the route of what nobody serves.
    fn new(rules: Rules, facts: &Facts) -> Self {
        let (asked, grpc) = (facts.asked, facts.asked.grpc);
        let is_server = rules.side == Side::Server;
        let is_unserved = is_server && !grpc && is_unserved(facts);
        let has_own = !is_server && !grpc && !rules.classic;
        CallLabels {
            asked: Asked {
                method: if is_unserved { 0 } else { asked.method },
                version: if has_own { asked.version } else { 0 },
                https: if has_own { asked.https } else { rules.https },
                grpc,
            },
            place: facts.place.filter(|_| !is_unserved),
            status: facts.status.filter(|_| facts.code.is_none()),
            code: facts.code,
            error: if rules.classic {
                ErrorLabel::None
            } else {
                facts.error
            },
        }
    }
}

impl CallLabels {
    #[inline]
    fn word(&self) -> u64 {
        let error = match self.error {
            ErrorLabel::None => 0,
            ErrorLabel::Status => 1,
            ErrorLabel::Named(number) => u64::from(number) + 2,
        };
        let asked = self.asked;
        let code = self.code.map_or(31, |code| u64::from(code.number()));
        let place = self.place.map_or(0, |place| u64::from(place) + 1);
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
        self.word == other.word
    }
}

impl Hash for CallKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.word);
    }
}

/// Returns whether there is no such route, or no such method of one.
fn is_unserved(facts: &Facts) -> bool {
    match facts.status {
        Some(404) => facts.place.is_none(),
        Some(405) => true,
        _ => false,
    }
}

impl Labels for CallKey {
    const OVERFLOWS: usize = 6;

    fn overflow(&self) -> Self {
        CallKey::of(self.kind, self.failed, None)
    }

    fn has_reserve(&self) -> bool {
        self.failed
    }
}

/// Calls by how they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndKey {
    pub(super) place: Option<u16>,
    pub(super) grpc: bool,
    pub(super) outcome: Outcome,
}

impl Hash for EndKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let place = self.place.map_or(0, |place| u64::from(place) + 1);
        state.write_u64(place << 4 | u64::from(self.grpc) << 3 | self.outcome.index() as u64);
    }
}

impl Labels for EndKey {
    const OVERFLOWS: usize = 2 * Outcome::ALL.len();

    fn overflow(&self) -> Self {
        EndKey {
            place: OTHER_PLACE,
            ..*self
        }
    }
}

/// Slow calls.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct SlowKey {
    pub(super) place: Option<u16>,
    pub(super) slow: Slow,
}

impl Labels for SlowKey {
    const OVERFLOWS: usize = 2;

    fn overflow(&self) -> Self {
        SlowKey {
            place: OTHER_PLACE,
            ..*self
        }
    }
}

/// Errors by the number of their type.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(super) struct ErrorKey(pub(super) u16);

impl Labels for ErrorKey {
    const OVERFLOWS: usize = 1;

    fn overflow(&self) -> Self {
        ErrorKey(0)
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
    ) -> Facts {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.version_mut() = version;
        *request.uri_mut() = uri.parse().expect("a URI");
        let https = request.uri().scheme_str() == Some("https");
        Facts {
            asked: Asked::of(Side::Server, &request, https, false),
            place,
            status: Some(status),
            code: None,
            error: ErrorLabel::None,
            lasting: false,
        }
    }

    /// Counts the keys of the requests of a stranger.
    fn keys(status: u16, place: Option<u16>) -> usize {
        let rules = Rules {
            side: Side::Server,
            https: true,
            classic: false,
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
        let asked = Asked {
            method: 0,
            version: 0,
            https: false,
            grpc: false,
        };
        let labels = CallLabels {
            asked,
            place: None,
            status: None,
            code: Some(GrpcCode::OK),
            error: ErrorLabel::None,
        };
        let asked = [
            Asked { method: 1, ..asked },
            Asked {
                method: 10,
                ..asked
            },
            Asked {
                version: 1,
                ..asked
            },
            Asked {
                version: 4,
                ..asked
            },
            Asked {
                https: true,
                ..asked
            },
        ];
        let places = PLACES[1..]
            .iter()
            .map(|&place| CallLabels { place, ..labels });
        let statuses = [100, 599].map(|status| CallLabels {
            status: Some(status),
            ..labels
        });
        let codes = [None, Some(GrpcCode::UNAVAILABLE)].map(|code| CallLabels { code, ..labels });
        let errors = [
            ErrorLabel::Status,
            ErrorLabel::Named(0),
            ErrorLabel::Named(1),
            ErrorLabel::Named(u16::MAX),
        ];
        let all = asked
            .map(|asked| CallLabels { asked, ..labels })
            .into_iter()
            .chain(places)
            .chain(statuses)
            .chain(codes)
            .chain(errors.map(|error| CallLabels { error, ..labels }));
        let of = |kind, failed| CallKey::of(kind, failed, Some(labels));
        let kinds = [Kind::Plain, Kind::Stream, Kind::Grpc].map(|kind| of(kind, false));
        let labels = all.map(|labels| CallKey::of(Kind::Plain, false, Some(labels)));
        labels.chain(kinds).chain([of(Kind::Plain, true)]).collect()
    }

    fn end_keys() -> Vec<EndKey> {
        let of = |place, outcome| {
            [true, false].map(|grpc| EndKey {
                place,
                grpc,
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

    fn overflows<K: Labels>(keys: &[K]) -> HashSet<K> {
        keys.iter().map(K::overflow).collect()
    }

    /// They are equal if all they have is, and what is hashed of them tells them apart.
    fn are_told_apart<K: Labels + std::fmt::Debug>(keys: &[K]) {
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
        fn count<K: Labels>(keys: &[K]) -> usize {
            overflows(keys).len()
        }
        let slow = |place| [Slow::Warning, Slow::Critical].map(|slow| SlowKey { place, slow });
        let slow: Vec<SlowKey> = PLACES.into_iter().flat_map(slow).collect();
        let of_kind =
            |key: &CallKey| [true, false].map(|failed| CallKey::of(key.kind, failed, key.labels));
        let calls: Vec<CallKey> = call_keys().iter().flat_map(of_kind).collect();
        assert_eq!(count(&calls), CallKey::OVERFLOWS);
        assert_eq!(count(&end_keys()), EndKey::OVERFLOWS);
        assert_eq!(count(&active_keys()), ActiveKey::OVERFLOWS);
        assert_eq!(count(&slow), SlowKey::OVERFLOWS);
        assert_eq!(count(&[ErrorKey(1), ErrorKey(2)]), ErrorKey::OVERFLOWS);
    }

    #[test]
    fn failures_have_a_reserve() {
        for key in call_keys() {
            assert_eq!(key.has_reserve(), key.failed);
        }
    }
}
