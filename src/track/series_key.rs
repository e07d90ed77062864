//! The keys of all series but the durations, and the tests of all keys.

use std::hash::{Hash, Hasher};

use super::{config::TrackConfig, labels::CallLabels, request_labels::RequestLabels};
use crate::{call::Outcome, util::family::SeriesKey};

/// The target of calls whose target did not fit: see [`Interner`](crate::util::append_map::Interner).
pub(super) const OVERFLOW_TARGET: Option<u16> = Some(0);

/// The key of calls in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActiveKey {
    pub(super) method: u8,
    pub(super) https: bool,
}

impl ActiveKey {
    /// Takes the scheme of a server from the settings, since callers choose that of requests.
    pub(super) fn new(config: &TrackConfig, request: RequestLabels) -> Self {
        ActiveKey {
            method: request.method,
            https: match request.is_client() {
                true => request.https,
                false => config.options.https,
            },
        }
    }
}

impl Hash for ActiveKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.method << 1 | u8::from(self.https));
    }
}

impl SeriesKey for ActiveKey {
    // One per scheme.
    const OVERFLOW_KEYS: usize = 2;

    fn overflow_key(&self) -> Self {
        ActiveKey { method: 0, ..*self }
    }
}

/// The key of calls by outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutcomeKey {
    pub(super) target: Option<u16>,
    pub(super) is_grpc: bool,
    pub(super) outcome: Outcome,
}

impl OutcomeKey {
    pub(super) fn new(call: &CallLabels<'_>, outcome: Outcome) -> Self {
        OutcomeKey {
            target: call.target,
            is_grpc: call.request.is_grpc,
            outcome,
        }
    }
}

impl Hash for OutcomeKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let target = self.target.map_or(0, |id| u64::from(id) + 1);
        // Three bits for the outcome: there are eight.
        state.write_u64(target << 4 | u64::from(self.is_grpc) << 3 | self.outcome.index() as u64);
    }
}

impl SeriesKey for OutcomeKey {
    // An overflow series still says how its calls went.
    const OVERFLOW_KEYS: usize = 2 * Outcome::ALL.len();

    fn overflow_key(&self) -> Self {
        OutcomeKey {
            target: OVERFLOW_TARGET,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{Method, Request, Version};

    use super::*;
    use crate::{
        Track,
        call::GrpcCode,
        protocol::Side,
        track::{
            call_key::{CallKey, MetricKind, SeriesLabels},
            failure_key::{ErrorTypeKey, SlowKey},
            labels::ErrorLabel,
            long_lived::LongLived,
            slow::SlowLevel,
        },
    };

    fn call_labels(
        method: &Method,
        version: Version,
        uri: &str,
        status: u16,
        target: Option<u16>,
    ) -> CallLabels<'static> {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.version_mut() = version;
        *request.uri_mut() = uri.parse().expect("a URI");
        CallLabels {
            request: RequestLabels::from_request(Side::Server, &request, false, false),
            target,
            target_name: None,
            status: Some(status),
            grpc_code: None,
            error: ErrorLabel::None,
            long_lived: LongLived::No,
        }
    }

    /// Returns the number of keys of requests that differ in everything that a caller chooses.
    fn count_keys(status: u16, target: Option<u16>) -> usize {
        let config = TrackConfig::from_defaults(Track::builder("api").https(true));
        let mut keys = HashSet::new();
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                for uri in ["/", "http://a.test/", "https://b.test/"] {
                    let call = call_labels(&method, version, uri, status, target);
                    keys.insert(CallKey::new(&config, &call, false));
                }
            }
        }
        keys.len()
    }

    #[test]
    fn call_key_of_a_server_ignores_what_callers_choose() {
        assert_eq!(count_keys(200, Some(1)), 3);
        assert_eq!(count_keys(200, None), 3);
        assert_eq!(count_keys(404, Some(1)), 3);
        assert_eq!(count_keys(404, None), 1);
        assert_eq!(count_keys(405, Some(1)), 1);
    }

    #[test]
    fn status_text_is_the_grpc_code_or_else_the_status() {
        let config = TrackConfig::from_defaults(Track::builder("api"));
        let text = |status, grpc_code| {
            let call = CallLabels {
                status,
                grpc_code,
                ..call_labels(&Method::POST, Version::HTTP_2, "/", 200, None)
            };
            let labels = CallKey::new(&config, &call, false).labels;
            labels.expect("no overflow").status_text()
        };
        let unavailable = Some(GrpcCode::UNAVAILABLE);
        assert_eq!(text(Some(503), None).as_deref(), Some("503"));
        assert_eq!(text(Some(200), unavailable).as_deref(), Some("UNAVAILABLE"));
        assert_eq!(text(None, None), None);
    }

    const TARGETS: [Option<u16>; 4] = [None, Some(0), Some(1), Some(u16::MAX)];

    /// Returns a key, and keys that each differ from it in one thing.
    fn call_keys() -> Vec<CallKey> {
        let request = RequestLabels {
            side: Side::Server,
            method: 0,
            version: 0,
            https: false,
            is_grpc: false,
        };
        let labels = SeriesLabels {
            request,
            target: None,
            status: None,
            grpc_code: Some(GrpcCode::OK),
            error: ErrorLabel::None,
        };
        let requests = [
            (1, 0, false),
            (10, 0, false),
            (0, 1, false),
            (0, 4, false),
            (0, 0, true),
        ]
        .map(|(method, version, https)| RequestLabels {
            method,
            version,
            https,
            ..request
        });
        let targets = TARGETS[1..]
            .iter()
            .map(|&target| SeriesLabels { target, ..labels });
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
        let all = requests
            .map(|request| SeriesLabels { request, ..labels })
            .into_iter()
            .chain(targets)
            .chain(statuses)
            .chain(codes)
            .chain(errors.map(|error| SeriesLabels { error, ..labels }));
        let key = |kind, is_failure| CallKey::from_parts(kind, is_failure, Some(labels));
        let kinds = [
            MetricKind::Http,
            MetricKind::Stream,
            MetricKind::Grpc,
            MetricKind::Tunnel,
        ]
        .map(|kind| key(kind, false));
        let labels = all.map(|labels| CallKey::from_parts(MetricKind::Http, false, Some(labels)));
        labels
            .chain(kinds)
            .chain([key(MetricKind::Http, true)])
            .collect()
    }

    fn outcome_keys() -> Vec<OutcomeKey> {
        let keys = |target, outcome| {
            [true, false].map(|is_grpc| OutcomeKey {
                target,
                is_grpc,
                outcome,
            })
        };
        let targets = TARGETS.into_iter();
        let all = targets.flat_map(|target| Outcome::ALL.map(|outcome| keys(target, outcome)));
        all.flatten().collect()
    }

    fn active_keys() -> Vec<ActiveKey> {
        let keys = |method| [true, false].map(|https| ActiveKey { method, https });
        (0..11).flat_map(keys).collect()
    }

    fn overflows<K: SeriesKey>(keys: &[K]) -> HashSet<K> {
        keys.iter().map(K::overflow_key).collect()
    }

    /// Checks that keys are equal, and have equal hashes, only if all their parts are equal.
    fn assert_distinct<K: SeriesKey + std::fmt::Debug>(keys: &[K]) {
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
    fn series_keys_differ_if_any_part_differs() {
        let calls = call_keys().into_iter();
        let calls: Vec<CallKey> = calls.chain(overflows(&call_keys())).collect();
        assert_distinct(&calls);
        assert_distinct(&outcome_keys());
        assert_distinct(&active_keys());
    }

    #[test]
    fn overflow_keys_are_as_many_as_declared() {
        fn count<K: SeriesKey>(keys: &[K]) -> usize {
            overflows(keys).len()
        }
        let slow = |target| {
            [SlowLevel::Warning, SlowLevel::Critical].map(|level| SlowKey { target, level })
        };
        let slow: Vec<SlowKey> = TARGETS.into_iter().flat_map(slow).collect();
        let both = |key: &CallKey| {
            [true, false].map(|is_failure| CallKey::from_parts(key.kind, is_failure, key.labels))
        };
        let calls: Vec<CallKey> = call_keys().iter().flat_map(both).collect();
        assert_eq!(count(&calls), CallKey::OVERFLOW_KEYS);
        assert_eq!(count(&outcome_keys()), OutcomeKey::OVERFLOW_KEYS);
        assert_eq!(count(&active_keys()), ActiveKey::OVERFLOW_KEYS);
        assert_eq!(count(&slow), SlowKey::OVERFLOW_KEYS);
        assert_eq!(
            count(&[ErrorTypeKey(1), ErrorTypeKey(2)]),
            ErrorTypeKey::OVERFLOW_KEYS
        );
    }

    #[test]
    fn reserve_is_for_failures() {
        for key in call_keys() {
            assert_eq!(key.has_reserve(), key.is_failure);
        }
    }
}
