//! Rejections, and who learns of them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tower::Layer;
use tower_keep::{
    Guard, GuardLayer,
    Outcome::*,
    Rejection, RejectionKind,
    call::{CallClock, CallEnd, GrpcCode},
    context::{Context, Correlate},
    guard::{Admit, Head},
    retry::RetryAfter,
    testing::{RecordingGuard, Reply},
};

use super::{driver::*, requests::*};

#[test]
fn rejection_is_reported_to_earlier_guards() {
    let (outer, never) = (RecordingGuard::new(), RecordingGuard::new());
    let rejection = Rejection::rate_limited("login").with_retry_after(Duration::from_millis(1200));
    let rejecting = RecordingGuard::rejecting(rejection);
    let guards = (
        Correlate::default(),
        (outer.clone(), (rejecting.clone(), never.clone())),
    );
    let script = scripted(Reply::ok);
    let service = GuardLayer::server(guards).layer(script.clone());
    let seen = play(service, &call(get, Reply::ok, Until::End));

    let head = seen.head.expect("an answer");
    assert_eq!(head.status, 429);
    assert_eq!(head.headers["retry-after"], "2");
    assert_eq!(head.headers["content-type"], "application/problem+json");
    assert_eq!(head.headers["cache-control"], "no-store");
    assert!(head.headers.contains_key("x-request-id"));
    assert!(head.extensions.get::<Rejection>().is_some());
    let problem: serde_json::Value = serde_json::from_slice(&seen.data).expect("JSON");
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["title"], "Too Many Requests");

    let shown: Vec<_> = outer
        .heads()
        .iter()
        .map(|head| (head.status, head.outcome))
        .collect();
    assert_eq!(shown, [(head.status, Rejected)]);
    let settled = outer.single();
    assert_eq!(settled.outcome, Rejected);
    assert_eq!(settled.status, Some(head.status));
    assert_eq!(settled.response_bytes, seen.data.len() as u64);
    assert_eq!(
        settled.cause.as_deref(),
        Some(r#"rejected by "login": rate_limited; retry after 1.2 s"#)
    );
    assert_eq!(
        (rejecting.admitted(), rejecting.rejected(), never.admitted()),
        (0, 1, 0)
    );
    assert_eq!(script.calls(), 0, "the service is not asked");
}

#[test]
fn rejection_over_grpc_is_trailers_only() {
    for server in [true, false] {
        let outer = RecordingGuard::new();
        let rejection = Rejection::overloaded("shed").with_retry_after(Duration::from_millis(1200));
        let guards = (outer.clone(), RecordingGuard::rejecting(rejection));
        let (script, unary) = (scripted(Reply::ok), call(grpc, Reply::ok, Until::End));
        let seen = match server {
            true => play(GuardLayer::server(guards).layer(script), &unary),
            false => play(GuardLayer::grpc_client(guards).layer(script), &unary),
        };
        assert_eq!(outer.single().outcome, Rejected);
        // A client of tonic gets the status itself, with the rejection as its source.
        if !server && cfg!(feature = "tonic") {
            let error = seen.error.expect("a status");
            assert!(error.contains("the service is overloaded"), "{error}");
            assert!(outer.heads().is_empty());
            continue;
        }
        let head = seen.head.expect("an answer");
        assert_eq!((head.status.as_u16(), &*seen.data), (200, &b""[..]));
        assert_eq!(head.headers["grpc-status"], "14");
        assert_eq!(head.headers["grpc-retry-pushback-ms"], "1200");
        assert_eq!(head.headers["cache-control"], "no-store");
        assert_eq!(outer.heads().len(), 1);
        assert_eq!(outer.single().grpc_code, Some(GrpcCode::UNAVAILABLE));
    }
}

#[test]
fn rejection_with_details_shows_all_but_the_last_error() {
    let rejection = Rejection::overloaded("shed")
        .with_key("tenant 7")
        .with_reason("queue")
        .with_last_error("secret")
        .with_retry_after(Duration::from_millis(1200))
        .with_details_for_caller();
    let layer = GuardLayer::server(RecordingGuard::rejecting(rejection.clone()));
    let seen = play(
        layer.layer(scripted(Reply::ok)),
        &call(get, Reply::ok, Until::End),
    );
    let head = seen.head.expect("an answer");
    assert_eq!(head.status, 503);
    let problem: serde_json::Value = serde_json::from_slice(&seen.data).expect("JSON");
    let expected = serde_json::json!({
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the service is overloaded",
        "kind": "overloaded",
        "guard": "shed",
        "key": "tenant 7",
        "reason": "queue",
        "retry_after_ms": 1200,
    });
    assert_eq!(problem, expected);

    let layer = GuardLayer::server(RecordingGuard::rejecting(rejection.clone()));
    let seen = play(
        layer.layer(scripted(Reply::ok)),
        &call(grpc, Reply::ok, Until::End),
    );
    let mut headers = seen.head.expect("an answer").headers;
    let received = tonic::Status::from_header_map(&headers).expect("a status");
    let details = String::from_utf8_lossy(received.details());
    let shown = [
        "google.rpc.ErrorInfo",
        "OVERLOADED",
        "tower-keep",
        "shed",
        "tenant 7",
        "queue",
    ];
    for text in shown {
        assert!(details.contains(text), "{text} in {details:?}");
    }
    assert!(!details.contains("secret"));
    // What retries read, if a proxy removes the pushback.
    headers.remove("grpc-retry-pushback-ms");
    let wait = RetryAfter::from_headers(&headers, SystemTime::now());
    assert_eq!(
        wait,
        Some(RetryAfter::NotBefore(Duration::from_millis(1200)))
    );

    #[cfg(feature = "tonic")]
    {
        let sent = tonic::Status::from(rejection);
        assert_eq!(received.details(), sent.details());
        let plain = tonic::Status::from(Rejection::overloaded("shed").with_key("tenant 7"));
        assert!(plain.details().is_empty());
    }
}

#[test]
fn rejection_on_client_is_an_error() {
    let outer = RecordingGuard::new();
    let guards = (
        outer.clone(),
        RecordingGuard::rejecting(Rejection::overloaded("shed")),
    );
    let service = GuardLayer::client(guards).layer(scripted(Reply::ok));
    let seen = play(service, &call(get, Reply::ok, Until::End));
    assert_eq!(
        seen.error.as_deref(),
        Some(r#"rejected by "shed": overloaded"#)
    );
    assert_eq!((outer.single().outcome, outer.heads().len()), (Rejected, 0));
}

#[test]
fn rejection_by_outermost_guard_skips_inner() {
    let inner = RecordingGuard::new();
    let guards = (
        RecordingGuard::rejecting(Rejection::overloaded("shed")),
        inner.clone(),
    );
    let service = GuardLayer::server(guards).layer(scripted(Reply::ok));
    assert_eq!(
        play(service, &call(get, Reply::ok, Until::End)).status(),
        503
    );
    assert_eq!((inner.admitted(), inner.completed().len()), (0, 0));
}

/// The guards that had granted knew that the call was rejected, but not by whom.
#[test]
fn rejection_has_cause_if_future_unpolled() {
    let outer = RecordingGuard::new();
    let guards = (outer.clone(), RecordingGuard::rejecting(rejection()));
    let service = GuardLayer::server(guards).layer(scripted(Reply::ok));
    play(service, &call(get, Reply::ok, Until::Polls(0)));
    assert_eq!(outer.single().outcome, Rejected);
    assert_eq!(outer.single().cause.as_deref(), Some(REJECTED));
}

/// The log lines of a guard about a head must carry the call's IDs, as in its other hooks.
#[test]
fn on_head_runs_inside_earlier_guards() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<(&'static str, bool)>>>);
    impl Seen {
        fn note(&self, hook: &'static str) {
            let inside = Context::with_current(|context| context.is_some());
            self.0.lock().unwrap().push((hook, inside));
        }
    }
    impl Guard for Seen {
        type Permit = ();
        fn on_head(&self, (): &mut (), _: &mut Head<'_>) {
            self.note("head");
        }
        fn on_end(&self, (): (), _: &CallEnd<'_>) {
            self.note("settle");
        }
    }
    impl<Req> Admit<Req> for Seen {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            self.note("admit");
            Ok(())
        }
    }
    let seen = Seen::default();
    let guards = (seen.clone(), (Correlate::default(), seen.clone()));
    let service = GuardLayer::server(guards).layer(scripted(Reply::ok));
    play(service, &call(get, Reply::ok, Until::End));
    // Admitted from the outside in, the rest from the inside out.
    let inward = [("admit", false), ("admit", true)];
    let outward = [
        ("head", true),
        ("head", false),
        ("settle", true),
        ("settle", false),
    ];
    assert_eq!(*seen.0.lock().unwrap(), [&inward[..], &outward].concat());
}

#[test]
fn rejection_kinds_have_their_status() {
    let kinds = [
        (RejectionKind::CircuitOpen, 503, "14"),
        (RejectionKind::RateLimited, 429, "8"),
        (RejectionKind::Full, 503, "8"),
        (RejectionKind::Overloaded, 503, "14"),
        (RejectionKind::DeadlineExceeded, 504, "4"),
    ];
    for (kind, status, code) in kinds {
        let layer = GuardLayer::server(RecordingGuard::rejecting(Rejection::new(kind, "it")));
        let service = layer.layer(scripted(Reply::ok));
        assert_eq!(
            play(service.clone(), &call(get, Reply::ok, Until::End)).status(),
            status
        );
        let head = play(service, &call(grpc, Reply::ok, Until::End)).head;
        assert_eq!(head.expect("an answer").headers["grpc-status"], code);
    }
}
