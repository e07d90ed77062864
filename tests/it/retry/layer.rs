//! Services whose requests are tried again, on a paused clock.

use std::{
    collections::VecDeque,
    future::{Future, Ready, ready},
    io::Error,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    BoxError, Outcome, Rejection, RejectionKind,
    call::{CallClock, ClassifyInput},
    protocol::AnyService,
    retry::{Backoff, Budget, CloneRequests, Retry, RetryLayer, RetryService},
};

const WAIT: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn attempt_uses_the_handle_polled_ready() {
    let script = Script::new([Err("down"), Err("down"), Ok(1), Err("down"), Ok(2)]);
    let mut service = retry_service(&script, retry(3));
    for expected in [1, 2] {
        let began = Instant::now();
        let answer = service.ready().await.unwrap().call("ask").await.unwrap();
        assert_eq!(answer.0, expected);
        assert!(began.elapsed() >= WAIT);
    }
    assert_eq!(script.requests(), ["ask"; 5]);
}

#[tokio::test(start_paused = true)]
async fn attempts_exhausted_return_last_error() {
    let script = Script::new([Err("first"), Err("second"), Ok(3)]);
    let error = retry_service(&script, retry(2))
        .oneshot("ask")
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "second");
}

#[tokio::test(start_paused = true)]
async fn rejection_in_source_chain_is_not_retried() {
    #[derive(Debug)]
    struct Outer(Rejection);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let calls = Arc::new(Mutex::new(0));
    let service = tower::service_fn(|_: &'static str| {
        *calls.lock().unwrap() += 1;
        ready(Err::<(), _>(Outer(Rejection::overloaded("shed"))))
    });
    let layer = RetryLayer::any(retry(3));
    assert!(layer.layer(service).oneshot("ask").await.is_err());
    assert_eq!(*calls.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_answer_is_dropped_before_the_wait() {
    let script = Script::new([Ok(500), Ok(200), Ok(404)]);
    let layer = RetryLayer::any(retry(2)).classify(|end: &ClassifyInput<'_>| {
        match end.response::<Answer>() {
            Some(answer) if answer.0 >= 500 => Outcome::Failure,
            Some(answer) if answer.0 >= 400 => Outcome::ClientError,
            _ => end.outcome(),
        }
    });
    let service = layer.layer(script.service());
    let mut call = Box::pin(service.clone().oneshot("ask"));
    assert!(timeout(WAIT / 2, &mut call).await.is_err(), "in its wait");
    assert_eq!(
        Arc::strong_count(&script.held),
        1,
        "nothing holds the bad answer"
    );
    assert_eq!(call.await.unwrap().0, 200);
    // What is the caller's own fault is an answer.
    assert_eq!(service.oneshot("ask").await.unwrap().0, 404);
}

#[tokio::test(start_paused = true)]
async fn attempt_waits_for_readiness_with_budget_token() {
    let script = Script::new([Err("down"), Ok(1)]);
    let (retry, budget) = budgeted();
    let mut call = Box::pin(retry_service(&script, retry).oneshot("ask"));
    assert!(timeout(WAIT / 2, &mut call).await.is_err());
    script.set_ready(Readiness::Busy);
    assert!(timeout(WAIT * 10, &mut call).await.is_err());
    assert_eq!(script.requests().len(), 1, "not called while it is busy");
    assert_eq!(available(&budget), 0);
    drop(call);
    assert_eq!(available(&budget), 1);
}

/// It was waited for without end, and an attempt begun that nobody waited for any more.
#[tokio::test(start_paused = true)]
async fn deadline_bounds_wait_for_readiness() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let script = Script::new([Err("down"), Err("down"), Ok(1)]);
    let (began, budget) = (Instant::now(), budgeted().1);
    let builder = Retry::builder("peer").backoff(Backoff::constant(WAIT));
    let retry = builder.budget(budget.clone()).max_elapsed(WAIT * 3).build();
    let retry = retry.unwrap();
    let mut call = Box::pin(retry_service(&script, retry.clone()).oneshot("ask"));
    assert!(timeout(WAIT / 2, &mut call).await.is_err());
    script.set_ready(Readiness::Busy);
    let error = call.await.unwrap_err();
    assert_eq!(began.elapsed(), WAIT * 3);
    let why = Rejection::find(&*error).expect("a rejection of ours");
    assert_eq!(why.kind(), RejectionKind::DeadlineExceeded);
    assert_eq!((script.requests().len(), available(&budget)), (1, 1));
    let counted = r#"tower_keep_not_retried_total{retry="peer",reason="deadline"} 1"#;
    assert!(recorder.handle().render().contains(counted));

    // Ready too late, though nobody looked in between.
    script.set_ready(Readiness::Ready);
    let mut call = Box::pin(retry_service(&script, retry).oneshot("ask"));
    assert!(timeout(WAIT / 2, &mut call).await.is_err());
    tokio::time::advance(WAIT * 3).await;
    assert!(Rejection::find(&*call.await.unwrap_err()).is_some());
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn readiness_error_ends_retrying() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _listening = metrics::set_default_local_recorder(&recorder);
    let script = Script::new([Err("down"), Ok(1)]);
    let (retry, budget) = budgeted();
    let mut call = Box::pin(retry_service(&script, retry).oneshot("ask"));
    assert!(timeout(WAIT / 2, &mut call).await.is_err());
    script.set_ready(Readiness::Broken);
    assert_eq!(call.await.unwrap_err().to_string(), "broken");
    assert_eq!(available(&budget), 1);
    let counted = r#"tower_keep_not_retried_total{retry="peer",reason="not_ready"} 1"#;
    assert!(recorder.handle().render().contains(counted));
}

#[tokio::test(start_paused = true)]
async fn dropped_ready_service_leaves_nothing() {
    let script = Script::new([Ok(1)]);
    let (retry, budget) = budgeted();
    let mut service = retry_service(&script, retry);
    service.ready().await.unwrap();
    drop(service);
    assert_eq!(available(&budget), 1);
    assert_eq!(Arc::strong_count(&script.held), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_budget_not_readiness() {
    let script = Script::new([Err("down"), Ok(1), Err("down"), Ok(2)]);
    let (retry, budget) = budgeted();
    let mut service = retry_service(&script, retry);
    service.ready().await.unwrap();
    // Strict's clones start out not ready: one that took the readiness over would panic here.
    let clone = service.clone();
    assert_eq!(service.call("ask").await.unwrap().0, 1);
    assert_eq!(available(&budget), 0);
    assert!(clone.oneshot("ask").await.is_err(), "the budget is used up");
}

#[tokio::test(start_paused = true)]
async fn request_is_cloned_for_later_attempts_only() {
    struct Counted(Arc<Mutex<u32>>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            *self.0.lock().unwrap() += 1;
            Counted(self.0.clone())
        }
    }
    for (attempts, clones) in [(1, 0), (2, 1), (3, 2)] {
        let count = Arc::new(Mutex::new(0));
        let service = tower::service_fn(|_: Counted| ready(Err::<(), _>(Error::other("down"))));
        let service = RetryLayer::any(retry(attempts)).layer(service);
        let _ = service.oneshot(Counted(count.clone())).await;
        assert_eq!(*count.lock().unwrap(), clones, "{attempts} attempts");
    }
}

#[test]
fn retry_layer_is_send_sync_and_boxable() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    fn sent<F: Future + Send>(_: F) {}
    let script = Script::new([]);
    let mut service = shared(retry_service(&script, retry(2)));
    let _ = service.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
    script.shared.lock().unwrap().answers.push_back(Ok(1));
    sent(service.call("ask"));
    let _: tower::util::BoxCloneService<&'static str, Answer, BoxError> =
        tower::util::BoxCloneService::new(service);
}

fn retry(attempts: u32) -> Retry {
    let steady = Backoff::constant(WAIT);
    let builder = Retry::builder("peer")
        .max_attempts(attempts)
        .backoff(steady);
    builder.budget(None).build().unwrap()
}

/// Three attempts, but one retry in all.
fn budgeted() -> (Retry, Budget) {
    let budget = Budget::window().ratio(0.0).per_second(0.1).build().unwrap();
    let builder = Retry::builder("peer").backoff(Backoff::constant(WAIT));
    (builder.budget(budget.clone()).build().unwrap(), budget)
}

fn available(budget: &Budget) -> u64 {
    budget.available(&CallClock::default()).unwrap()
}

fn retry_service(
    script: &Script,
    retry: Retry,
) -> RetryService<ReadyCheckedService, AnyService, CloneRequests> {
    RetryLayer::any(retry).layer(script.service())
}

/// An answer that shows how long it is held.
#[derive(Debug)]
struct Answer(u32, #[allow(dead_code)] Arc<()>);

/// The answers of a service, and what it was asked.
struct Script {
    shared: Arc<Mutex<Scripted>>,
    /// Held by every answer.
    held: Arc<()>,
}

struct Scripted {
    answers: VecDeque<Result<u32, &'static str>>,
    requests: Vec<&'static str>,
    readiness: Readiness,
}

#[derive(Clone, Copy)]
enum Readiness {
    Ready,
    Busy,
    Broken,
}

impl Script {
    fn new<const N: usize>(answers: [Result<u32, &'static str>; N]) -> Self {
        let scripted = Scripted {
            answers: answers.into(),
            requests: Vec::new(),
            readiness: Readiness::Ready,
        };
        Script {
            shared: Arc::new(Mutex::new(scripted)),
            held: Arc::new(()),
        }
    }

    fn service(&self) -> ReadyCheckedService {
        ReadyCheckedService {
            shared: self.shared.clone(),
            held: Arc::downgrade(&self.held),
            ready: false,
        }
    }

    fn set_ready(&self, readiness: Readiness) {
        self.shared.lock().unwrap().readiness = readiness;
    }

    fn requests(&self) -> Vec<&'static str> {
        self.shared.lock().unwrap().requests.clone()
    }
}

/// Panics when called on a handle that was not itself polled ready; clones start out not ready.
struct ReadyCheckedService {
    shared: Arc<Mutex<Scripted>>,
    held: std::sync::Weak<()>,
    ready: bool,
}

impl Clone for ReadyCheckedService {
    fn clone(&self) -> Self {
        ReadyCheckedService {
            shared: self.shared.clone(),
            held: self.held.clone(),
            ready: false,
        }
    }
}

impl Service<&'static str> for ReadyCheckedService {
    type Response = Answer;
    type Error = Error;
    type Future = Ready<Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.shared.lock().unwrap().readiness {
            Readiness::Ready => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Busy => Poll::Pending,
            Readiness::Broken => Poll::Ready(Err(Error::other("broken"))),
        }
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        let mut shared = self.shared.lock().unwrap();
        shared.requests.push(request);
        let answer = shared.answers.pop_front().expect("an answer");
        let held = self.held.upgrade().expect("the script lives");
        ready(answer.map(|n| Answer(n, held)).map_err(Error::other))
    }
}

/// Inside of an async block that is spawned the compiler does not follow: the module's docs say what to do instead.
#[tokio::test(start_paused = true)]
async fn retry_service_with_boxed_error_can_be_spawned() {
    let peer = tower::service_fn(|()| async { Err::<(), tower_keep::BoxError>("down".into()) });
    let service = RetryLayer::any(retry(2)).layer(peer);
    assert!(
        tokio::spawn(service.clone().oneshot(()))
            .await
            .unwrap()
            .is_err()
    );
    async fn ask<S>(service: S) -> bool
    where
        S: Service<(), Response = (), Error = tower_keep::BoxError>,
    {
        service.oneshot(()).await.is_err()
    }
    assert!(tokio::spawn(ask(service)).await.unwrap());
}
