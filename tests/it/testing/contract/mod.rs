//! Every guard and every layer of the crate signs the contract, and fits where it is meant to.

mod guards;
mod layers;

use std::time::Duration;

use tower_keep::{
    Guard, GuardLayer, Rejection, Track,
    call::{CallClock, CallEnd},
    context::{Correlate, InheritContext, Propagate},
    guard::Admit,
    observe, operation,
    testing::{RecordingGuard, contract},
};

/// Longer than any run of the contract.
const HOUR: Duration = Duration::from_secs(3_600);

/// All layers and guards: a new one fails the test below until its name is here and it has a test.
const SIGNED: [&str; 31] = [
    "Bulkhead",
    "BulkheadLayer",
    "CacheLayer",
    "ChaosLayer",
    "CircuitBreaker",
    "CoalesceLayer",
    "Correlate",
    "Deadline",
    // In `balance::contract`.
    "EndpointGuard",
    "FallbackLayer",
    "GuardLayer",
    "HedgeLayer",
    "HttpCacheLayer",
    "IncludeReadinessLayer",
    "InheritContext",
    "KeyedGuard",
    "KeyedRateLimitGuard",
    "Operation",
    "Option",
    "Prioritizer",
    "PrioritizerGuard",
    "Propagate",
    "RateLimit",
    "RateLimitLayer",
    "RecordingGuard",
    "RequestBodyLayer",
    "RetryLayer",
    "RouteLayer",
    "Throttle",
    "TimeoutLayer",
    "Track",
];

#[test]
fn contract_covers_every_layer_and_guard() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/public-api.txt");
    // A package goes without it.
    let Ok(api) = std::fs::read_to_string(file) else {
        return;
    };
    let is_ours = |what: &str| what.contains("tower_layer::Layer<") || what.ends_with("::Guard");
    let mut found: Vec<&str> = api
        .lines()
        .filter_map(|line| line.strip_prefix("impl")?.split_once(" for "))
        // A layer of `tracing-subscriber`'s is none of tower's, and a tuple has no name.
        .filter(|(what, whom)| is_ours(what) && !whom.starts_with('('))
        .filter_map(|(_, whom)| whom.split(['<', ' ']).next()?.rsplit("::").next())
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, SIGNED);
}

#[test]
fn contract_unit_guard() {
    struct Nothing;
    impl Guard for Nothing {
        type Permit = ();
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Nothing {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    contract::check_guard(|| Nothing);
}

#[test]
fn contract_spy() {
    contract::check_guard(RecordingGuard::new);
    contract::check_guard(RecordingGuard::timed);
}

#[test]
fn contract_pairs_and_options() {
    contract::check_guard(|| (Correlate::default(), Track::new("signed")));
    contract::check_guard(|| (Propagate::default(), Track::new("signed")));
    contract::check_guard(|| ((InheritContext, Some(operation("signed"))), None::<Track>));
    contract::check_guard(|| None::<RecordingGuard>);
    contract::check_guard(|| Some((RecordingGuard::new(), RecordingGuard::timed())));
    contract::check_any_guard(|| (InheritContext, operation("signed")), || ());
}

#[test]
fn contract_observe_layers() {
    contract::check_http(|| observe("signed").server());
    contract::check_http(|| observe("signed").client());
    contract::check_http(|| observe("signed").grpc_client());
    contract::check_any(|| observe("signed").any(), || "a request");
    contract::check_any(|| GuardLayer::any(None::<InheritContext>), || "a request");
}
