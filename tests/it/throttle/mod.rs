//! Throttles: as handles, as guards of every protocol, and in a pipeline.

mod priorities;
mod simulation;

use std::{io, time::Duration};

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::advance;
use tower_keep::{
    Outcome, Pipeline, Rejection, RejectionKind, registry,
    registry::GuardAction,
    testing::{Reply, ScriptedBody},
    throttle::{Throttle, ThrottleAccounting, ThrottleBuilder, ThrottleSettings},
};

use crate::support::{alone_paused, scripted::call};

const SECOND: Duration = Duration::from_secs(1);

fn builder(name: &'static str) -> ThrottleBuilder {
    Throttle::builder(name).seed(7).min_calls(10)
}

fn throttle(name: &'static str) -> Throttle {
    builder(name).build().expect("valid settings")
}

/// Completes so many calls that a throttle admits. Returns how many it rejects meanwhile.
fn complete(throttle: &Throttle, calls: u32, outcome: Outcome) -> u32 {
    let (mut admitted, mut rejected) = (0, 0);
    while admitted < calls {
        match throttle.try_acquire() {
            Ok(permit) => {
                permit.complete(outcome);
                admitted += 1;
            }
            Err(_) => rejected += 1,
        }
    }
    rejected
}

fn counts(throttle: &Throttle) -> (u64, u64, u64) {
    let stats = throttle.stats();
    (stats.accepted, stats.failed, stats.rejected)
}

fn request() -> Request<ScriptedBody> {
    let request = Request::get("http://ledger/").body(ScriptedBody::new());
    request.expect("a request")
}

fn grpc_request() -> Request<ScriptedBody> {
    let request = Request::post("http://ledger/a.Ledger/Get")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    request.body(ScriptedBody::new()).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn calls_are_admitted_while_the_peer_serves_half_of_them() {
    let throttle = throttle("half");
    for _ in 0..50 {
        assert_eq!(complete(&throttle, 1, Outcome::Success), 0);
        assert_eq!(complete(&throttle, 1, Outcome::Failure), 0);
    }
    assert_eq!(counts(&throttle), (50, 50, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_are_rejected_while_the_peer_fails_and_admitted_again_after_it() {
    let throttle = throttle("outage");
    assert_eq!(complete(&throttle, 10, Outcome::Failure), 0);
    let rejected = complete(&throttle, 50, Outcome::Overload);
    assert!(
        (300..700).contains(&rejected),
        "about nine of ten: {rejected}"
    );
    assert_eq!(throttle.stats().rejection_rate, 0.9);
    advance(30 * SECOND).await;
    assert_eq!(counts(&throttle), (0, 0, 0), "forgotten");
    assert_eq!(complete(&throttle, 100, Outcome::Success), 0);
}

#[tokio::test(start_paused = true)]
async fn rejection_says_why_and_when_to_come_again() {
    let throttle = builder("why").max_rejection_rate(1.0).min_calls(1).build();
    let throttle = throttle.expect("valid settings");
    complete(&throttle, 1, Outcome::TimedOut);
    let rejection = loop {
        match throttle.try_acquire() {
            Ok(permit) => permit.complete(Outcome::Failure),
            Err(rejection) => break rejection,
        }
    };
    assert_eq!(rejection.kind(), RejectionKind::Overloaded);
    assert_eq!(rejection.guard(), "why");
    assert_eq!(rejection.retry_after(), Some(3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn call_that_says_nothing_of_the_peer_does_not_count() {
    let throttle = throttle("nothing");
    drop(throttle.try_acquire().expect("admitted"));
    for outcome in [Outcome::Cancelled, Outcome::Rejected] {
        throttle.try_acquire().expect("admitted").complete(outcome);
    }
    let rejected = async { Err::<(), _>(Rejection::full("further in")) };
    throttle.call(rejected).await.expect_err("rejected");
    assert_eq!(counts(&throttle), (0, 0, 0));
    throttle
        .try_acquire()
        .expect("admitted")
        .complete(Outcome::ClientError);
    assert_eq!(counts(&throttle), (1, 0, 0), "the peer is alive");
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_do_not_count() {
    let throttle = throttle("burst");
    let permits: Vec<_> = (0..1_000).map(|_| throttle.try_acquire()).collect();
    assert!(permits.iter().all(Result::is_ok));
    for permit in permits.into_iter().flatten() {
        permit.complete(Outcome::Success);
    }
    assert_eq!(counts(&throttle), (1_000, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn result_of_a_future_counts_by_its_error() {
    let throttle = throttle("futures");
    assert_eq!(
        throttle.call(async { Ok::<_, io::Error>(7) }).await.ok(),
        Some(7)
    );
    let refused = async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) };
    throttle.call(refused).await.expect_err("refused");
    throttle
        .call_display(async { Err::<(), _>("no") })
        .await
        .expect_err("no");
    drop(throttle.call(std::future::pending::<Result<(), io::Error>>()));
    assert_eq!(counts(&throttle), (1, 2, 0));
    let panics = throttle.call(async { panic!("of the work") as Result<(), io::Error> });
    tokio::spawn(panics).await.expect_err("a panic");
    assert_eq!(counts(&throttle), (1, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn client_counts_responses_by_their_status() {
    let throttle = throttle("statuses");
    let layer = throttle.layer().client();
    for reply in [|| Reply::status(200), || Reply::status(404)] {
        call(&layer, request(), reply).await.expect("a response");
    }
    assert_eq!(counts(&throttle), (2, 0, 0));
    for reply in [|| Reply::status(503), || Reply::status(500)] {
        call(&layer, request(), reply).await.expect("a response");
    }
    assert_eq!(counts(&throttle), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn success_counts_at_the_head_and_a_failure_of_the_body_in_its_place() {
    let throttle = throttle("bodies");
    let layer = throttle.layer().client();
    let reply = || Reply::ok().body(ScriptedBody::new().data("x").error("reset"));
    let response = call(&layer, request(), reply).await.expect("a head");
    assert_eq!(counts(&throttle), (1, 0, 0));
    response
        .into_body()
        .collect()
        .await
        .expect_err("the body fails");
    assert_eq!(counts(&throttle), (0, 1, 0));
    let reply = || Reply::ok().body(ScriptedBody::new().data("x").data("y"));
    drop(call(&layer, request(), reply).await.expect("a head"));
    assert_eq!(
        counts(&throttle),
        (1, 1, 0),
        "a body that is not wanted is no failure"
    );
}

#[tokio::test(start_paused = true)]
async fn grpc_client_counts_calls_by_the_status_in_their_trailers() {
    let throttle = throttle("trailers");
    let layer = throttle.layer().grpc_client();
    fn ended(status: &'static str) -> Reply {
        let body = ScriptedBody::new().data(&b"\0\0\0\0\0"[..]);
        let body = body.trailers([("grpc-status", status)]);
        Reply::ok()
            .header("content-type", "application/grpc")
            .body(body)
    }
    let replies: [fn() -> Reply; 3] = [|| ended("0"), || ended("5"), || ended("14")];
    for reply in replies {
        let response = call(&layer, grpc_request(), reply).await.expect("a head");
        response.into_body().collect().await.expect("a body");
    }
    assert_eq!(
        counts(&throttle),
        (2, 1, 0),
        "not found is an answer of a healthy peer"
    );
}

#[tokio::test(start_paused = true)]
async fn rejections_are_responses_or_errors_of_the_protocol() {
    let builder = builder("protocols").min_calls(1).max_rejection_rate(1.0);
    let throttle = builder
        .window(3_600 * SECOND)
        .build()
        .expect("valid settings");
    // So many that all of the calls below are rejected.
    while throttle.stats().rejection_rate < 0.9999 {
        if let Ok(permit) = throttle.try_acquire() {
            permit.complete(Outcome::Failure);
        }
    }
    let rejected = call(&throttle.layer().server(), request(), Reply::ok).await;
    let rejected = rejected.expect("a response");
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers()["retry-after"], "360");
    let rejected = call(&throttle.layer().server(), grpc_request(), Reply::ok).await;
    assert_eq!(rejected.expect("a response").headers()["grpc-status"], "14");
    let error = call(&throttle.layer().client(), request(), Reply::ok).await;
    let error = error.expect_err("a client gets an error");
    assert_eq!(
        Rejection::find(&*error).map(Rejection::guard),
        Some("protocols")
    );
}

#[tokio::test(start_paused = true)]
async fn pipeline_rejects_attempts_by_its_throttle() {
    let pipeline = Pipeline::builder("piped").throttle(|throttle| throttle.seed(7));
    let pipeline = pipeline.build().expect("valid settings");
    let throttle = pipeline.throttle().expect("a throttle").clone();
    let (mut failed, mut rejected) = (0, 0);
    for _ in 0..300 {
        let work = || async { Err::<(), _>(io::Error::other("down")) };
        match pipeline.run(work).await {
            Err(error) if error.rejection().is_some() => rejected += 1,
            Err(_) => failed += 1,
            Ok(()) => unreachable!("the work fails"),
        }
    }
    assert_eq!(counts(&throttle), (0, failed, rejected));
    assert!(rejected > 200, "{rejected}");
    throttle.reset();
    pipeline
        .run(|| async { Ok::<_, io::Error>(()) })
        .await
        .expect("admitted");
    assert_eq!(counts(&throttle), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_rejections_and_admits_all() {
    let throttle = builder("shadow")
        .shadow(true)
        .build()
        .expect("valid settings");
    assert_eq!(complete(&throttle, 1_000, Outcome::Failure), 0);
    assert!(throttle.stats().rejected > 500);
    throttle.set_shadow(false);
    assert!(complete(&throttle, 100, Outcome::Failure) > 0);
    throttle.disable();
    assert_eq!(complete(&throttle, 100, Outcome::Failure), 0);
    throttle.reset();
    assert_eq!(counts(&throttle), (0, 0, 0));
}

/// A call that shadow mode admits counted twice, as rejected and by its result: the rate was far above what it would be without.
#[tokio::test(start_paused = true)]
async fn shadow_shows_the_rate_at_which_the_throttle_would_reject() {
    for accounting in [ThrottleAccounting::All, ThrottleAccounting::Admitted] {
        let throttle = builder("shadowed").shadow(true).accounting(accounting);
        let throttle = throttle.build().expect("valid settings");
        for _ in 0..400 {
            complete(&throttle, 1, Outcome::Success);
            complete(&throttle, 4, Outcome::Failure);
        }
        let stats = throttle.stats();
        assert_eq!((stats.accepted, stats.failed), (400, 1_600));
        // A fifth is served, and twice as much would be sent.
        assert!((stats.rejection_rate - 0.6).abs() < 0.01, "{stats:?}");
        assert!((1_000..1_400).contains(&stats.rejected), "{stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_are_applied_to_the_live_throttle_and_counts_stay() {
    let throttle = throttle("applied");
    complete(&throttle, 20, Outcome::Failure);
    let mut settings = ThrottleSettings::default();
    settings.max_rejection_rate = 0.5;
    settings.accounting = ThrottleAccounting::Admitted;
    throttle.apply(&settings).expect("valid settings");
    assert_eq!(throttle.settings(), settings);
    let stats = throttle.stats();
    assert_eq!((stats.failed, stats.rejection_rate), (20, 0.5));
    settings.window = Duration::ZERO;
    let error = throttle.apply(&settings).expect_err("invalid");
    assert_eq!(error.field(), "window");
    assert_eq!(throttle.settings().window, 30 * SECOND);
}

#[test]
fn registry_shows_and_controls_the_throttle() {
    // The transitions of other tests push those of this one out of the channel.
    let name = "throttle::registry_shows_and_controls_the_throttle";
    alone_paused(name, async || {
        let throttle = throttle("registered throttle");
        let mut transitions = registry::subscribe();
        let entry = || {
            let all = registry::snapshots();
            let own = all
                .into_iter()
                .find(|guard| guard.name() == throttle.name());
            own.expect("registered")
        };
        assert_eq!((entry().kind(), entry().state()), ("throttle", "admitting"));
        complete(&throttle, 100, Outcome::Failure);
        assert_eq!(entry().state(), "throttling");
        let transition = loop {
            let transition = transitions.recv().await.expect("a transition");
            // Other tests have transitions too.
            if transition.name.as_str() == throttle.name() {
                break transition;
            }
        };
        assert_eq!(
            (transition.from, transition.to),
            ("admitting", "throttling")
        );
        let set = |value| registry::set("throttle", throttle.name(), "factor", Some(value));
        assert_eq!(set(4.0), Ok(1));
        assert_eq!(throttle.settings().factor, 4.0);
        set(0.5).expect_err("below 1");
        let act = |action| registry::act("throttle", throttle.name(), action);
        assert_eq!(act(GuardAction::Disable), 1);
        assert_eq!(entry().state(), "disabled");
        act(GuardAction::Reset);
        assert_eq!(entry().state(), "admitting");
        act(GuardAction::ShadowOn);
        assert!(throttle.is_shadow());
    });
}

#[test]
fn throttle_counts_all_calls_of_all_threads() {
    let throttle = throttle("threads");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..1_000).for_each(|_| {
                    complete(&throttle, 1, Outcome::Success);
                })
            });
        }
    });
    assert_eq!(counts(&throttle), (4_000, 0, 0));
}
