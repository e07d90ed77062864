//! A limit as a guard of every protocol.

use std::{io, task::Poll};

use http::{Request, Response, StatusCode};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, GuardLayer, Outcome, Pipeline, Rejection, RejectionKind,
    call::{CallClock, find},
    guard::Admit,
    rate_limit::RateLimit,
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
};

use super::{SECOND, call, grpc_request, limit, request};
use crate::support::scripted::never_ready;

fn rejection(error: &BoxError) -> &Rejection {
    Rejection::find(&**error).expect("a rejection")
}

#[tokio::test(start_paused = true)]
async fn rejection_is_the_error_of_any_service() {
    let service = service_fn(|n: u32| async move { Ok::<_, io::Error>(n) });
    let mut service = limit(2).layer().any().layer(service);
    for n in 0..2 {
        let answer = service.ready().await.expect("ready").call(n).await;
        assert_eq!(answer.expect("admitted"), n);
    }
    let error = service.ready().await.expect("ready").call(2).await;
    let error = error.expect_err("used up");
    assert_eq!(rejection(&error).kind(), RejectionKind::RateLimited);
    assert_eq!(rejection(&error).retry_after(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn server_responds_with_429_or_resource_exhausted() {
    let layer = limit(1).layer().server();
    let admitted = call(&layer, request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(admitted.status(), 200);
    advance(SECOND / 2).await;
    let rejected = call(&layer, request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.headers()["retry-after"], "1");
    let rejected = call(&layer, grpc_request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(rejected.headers()["grpc-status"], "8");
    assert_eq!(rejected.headers()["grpc-retry-pushback-ms"], "500");
    assert!(!rejected.headers().contains_key("ratelimit"));
}

#[tokio::test(start_paused = true)]
async fn clients_get_the_rejection_as_error_or_as_grpc_response() {
    let limit = limit(1);
    limit.check().expect("the only one");
    let layer = limit.layer().client();
    let error = call(&layer, request(), Reply::ok)
        .await
        .expect_err("an error");
    assert_eq!(rejection(&error).guard(), "peer");
    let layer = limit.layer().grpc_client();
    // With the feature `tonic` it is a status, which tonic's clients find in the error.
    let kind = match call(&layer, grpc_request(), Reply::ok).await {
        Ok(response) => response.extensions().get().map(Rejection::kind),
        Err(error) => Rejection::find(&*error).map(Rejection::kind),
    };
    assert_eq!(kind, Some(RejectionKind::RateLimited));
}

#[tokio::test(start_paused = true)]
async fn outer_guards_see_the_rejected_call_and_its_head() {
    let (limit, seen) = (limit(1), RecordingGuard::new());
    let layer = GuardLayer::server((seen.clone(), limit.clone()));
    for _ in 0..2 {
        call(&layer, request(), Reply::ok)
            .await
            .expect("a response");
    }
    let outcomes: Vec<_> = seen.completed().iter().map(|end| end.outcome).collect();
    assert_eq!(outcomes, [Outcome::Success, Outcome::Rejected]);
    let heads: Vec<_> = seen.heads().iter().map(|head| head.status).collect();
    assert_eq!(heads, [200, 429]);
}

#[tokio::test(start_paused = true)]
async fn rejecting_limit_does_not_wait_for_the_service() {
    let (limit, wakes) = (limit(1), CountingWaker::new());
    let mut service = limit.layer().client().layer(never_ready());
    limit.check().expect("the only one");
    // The limit does not know yet that it will reject, since it does not read the clock for that.
    assert!(
        wakes
            .poll_ready::<Request<ScriptedBody>, _>(&mut service)
            .is_pending()
    );
    limit.check().expect_err("used up");
    assert!(
        wakes
            .poll_ready::<Request<ScriptedBody>, _>(&mut service)
            .is_ready()
    );
    let error = service.call(request()).await.expect_err("rejected");
    assert_eq!(rejection(&error).guard(), "peer");
}

#[tokio::test(start_paused = true)]
async fn back_pressure_makes_the_service_not_ready_until_there_is_room() {
    let (limit, wakes) = (limit(1), CountingWaker::new());
    let inner: Script = Script::always(Reply::ok);
    let mut service = limit.layer().client().back_pressure().layer(inner);
    limit.check().expect("the only one");
    let mut poll = || wakes.poll_ready::<Request<ScriptedBody>, _>(&mut service);
    assert!(poll().is_pending());
    advance(SECOND / 2).await;
    assert!(poll().is_pending());
    advance(SECOND / 2).await;
    assert!(poll().is_ready());

    // Settings that leave room wake those who wait.
    limit.check().expect("one");
    assert!(poll().is_pending());
    let woken = wakes.count();
    let mut settings = limit.settings();
    settings.burst = Some(5);
    limit.apply(&settings).expect("valid");
    assert_eq!(wakes.count(), woken + 1);
    assert!(poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn dropped_call_stays_counted() {
    let (limit, wakes) = (limit(2), CountingWaker::new());
    let service: Script = Script::always(Reply::hang);
    let mut service = limit.layer().client().layer(service);
    for _ in 0..2 {
        assert!(
            wakes
                .poll_ready::<Request<ScriptedBody>, _>(&mut service)
                .is_ready()
        );
        let mut call = wakes.call(&mut service, request());
        assert!(wakes.poll(call.as_mut()).is_pending());
    }
    limit.check().expect_err("both are counted");
}

/// A guard whose `admit` is called by another guard, instead of by a pair.
#[tokio::test(start_paused = true)]
async fn admit_rejects_without_a_permit() {
    let limit = limit(1);
    let clock = CallClock::default();
    limit.admit(&mut (), &clock).expect("the only one");
    limit.admit(&mut (), &clock).expect_err("used up");
}

#[tokio::test(start_paused = true)]
async fn pipeline_is_limited_by_the_handle() -> Result<(), BoxError> {
    let limit = limit(1);
    let pipeline = Pipeline::builder("quotes").build()?;
    let quote = || async {
        limit.check()?;
        Ok::<_, Rejection>(7)
    };
    assert_eq!(pipeline.run(quote).await?, 7);
    let error = pipeline.run(quote).await.expect_err("used up");
    assert_eq!(
        find::<Rejection>(&error).expect("a rejection").kind(),
        RejectionKind::RateLimited
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn limit_of_the_edge_is_one_for_all_clones_of_the_service() {
    let service = service_fn(|_: Request<ScriptedBody>| async {
        Ok::<_, std::convert::Infallible>(Response::new(ScriptedBody::new()))
    });
    let layer = RateLimit::layer(&limit(2)).server();
    let services = [layer.layer(service), layer.layer(service)];
    let mut statuses = Vec::new();
    for service in services.iter().chain(&services) {
        let response = service
            .clone()
            .oneshot(request())
            .await
            .expect("a response");
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert!(matches!(
        CountingWaker::new().poll_ready::<Request<ScriptedBody>, _>(&mut services[0].clone()),
        Poll::Ready(Ok(()))
    ));
}
