//! Three times the load that a service can take, on a virtual clock: what each class gets, with the layers as they are used.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Bulkhead, Throttle,
    adaptive::AdaptiveSettings,
    bulkhead::{BulkheadBuilder, QueueOrder},
    priority::{Prioritizer, PrioritizerBuilder, PriorityClass},
};

use PriorityClass::{Bulk, Critical, High, Low, Normal};

/// The calls of each class of 100: 30 of the classes above normal come where 33 can be served.
const MIX: [(PriorityClass, u32); 5] = [
    (Critical, 10),
    (High, 20),
    (Normal, 30),
    (Low, 20),
    (Bulk, 20),
];
/// The calls that the service works on at once; each takes a tenth of a second.
const WORKERS: usize = 50;
const WORK: Duration = Duration::from_millis(100);
/// The time after which nobody waits for a response any more.
const PATIENCE: Duration = Duration::from_millis(500);
/// The calls that the service can take in a second.
const CAPACITY: f64 = 500.0;
const SECONDS: f64 = 20.0;
/// The time that is not counted: a prioritizer has to see an overload first.
const WARM_UP: f64 = 2.0;

type Call = PriorityClass;

/// The calls of each class that came, and that were served while their callers still waited.
#[derive(Clone, Copy, Default)]
struct Goodput([(u32, u32); 5]);

impl Goodput {
    fn of(&self, class: PriorityClass) -> f64 {
        let (came, served) = self.0[class as usize];
        f64::from(served) / f64::from(came)
    }

    /// Returns how much of what the service can take was of use.
    fn utilization(&self) -> f64 {
        let served: u32 = self.0.iter().map(|(_, served)| served).sum();
        f64::from(served) / (CAPACITY * (SECONDS - WARM_UP))
    }
}

impl fmt::Debug for Goodput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for class in PriorityClass::ALL.iter().rev() {
            write!(f, "{class} {:.2} %, ", self.of(*class) * 100.0)?;
        }
        write!(f, "utilization {:.1} %", self.utilization() * 100.0)
    }
}

/// Calls a service at random times, so many times a second, and returns what became of the calls.
async fn overload<S>(service: S, per_second: f64) -> Goodput
where
    S: Service<Call, Error: Send, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
{
    let mut random = fastrand::Rng::with_seed(7);
    let (start, mut at) = (Instant::now(), 0.0);
    let (sender, mut ends) = mpsc::unbounded_channel();
    let mut goodput = Goodput::default();
    while at < SECONDS {
        at += -(1.0 - random.f64()).ln() / per_second;
        let mut left = random.u32(0..100);
        let class = MIX.into_iter().find(|(_, share)| {
            let is_here = left < *share;
            left = left.saturating_sub(*share);
            is_here
        });
        let (class, _) = class.expect("the shares are 100");
        sleep_until(start + Duration::from_secs_f64(at)).await;
        let (service, sender) = (service.clone(), sender.clone());
        let is_counted = at >= WARM_UP;
        tokio::spawn(async move {
            let response = timeout(PATIENCE, service.oneshot(class)).await;
            let served = matches!(response, Ok(Ok(_)));
            let _ = sender.send((class, is_counted, served));
        });
    }
    drop(sender);
    while let Some((class, is_counted, served)) = ends.recv().await {
        if is_counted {
            let (came, all_served) = &mut goodput.0[class as usize];
            (*came, *all_served) = (*came + 1, *all_served + u32::from(served));
        }
    }
    goodput
}

/// Works on 50 calls at once; others wait in the order in which they came.
fn workers() -> impl Service<Call, Response = (), Error = BoxError, Future: Send> + Clone + Send {
    let workers = Arc::new(Semaphore::new(WORKERS));
    service_fn(move |_: Call| {
        let workers = workers.clone();
        async move {
            // Not given up by a caller that has gone: a server does not know.
            let work = tokio::spawn(async move {
                let _worker = workers.acquire().await;
                sleep(WORK).await;
            });
            Ok(work.await?)
        }
    })
}

fn bulkhead() -> BulkheadBuilder {
    Bulkhead::builder("overload").limit(WORKERS as u32)
}

fn queued(order: QueueOrder) -> Bulkhead {
    let bulkhead = bulkhead().queue_limit(WORKERS as u32).queue_order(order);
    let bulkhead = bulkhead.wait_limit(PATIENCE - WORK);
    bulkhead.build().expect("valid settings")
}

fn prioritizer(name: &'static str) -> PrioritizerBuilder {
    Prioritizer::builder(name).seed(7)
}

#[tokio::test(start_paused = true)]
async fn load_without_a_limit_collapses_and_serves_nobody() {
    let goodput = overload(workers(), 3.0 * CAPACITY).await;
    assert!(goodput.utilization() < 0.01, "{goodput:?}");
}

#[tokio::test(start_paused = true)]
async fn load_with_a_limit_alone_is_served_whoever_calls() {
    let bulkhead = queued(QueueOrder::Lifo);
    let service = bulkhead.layer().any().layer(workers());
    let goodput = overload(service, 3.0 * CAPACITY).await;
    assert!(goodput.utilization() > 0.9, "{goodput:?}");
    for class in PriorityClass::ALL {
        assert!((0.25..0.4).contains(&goodput.of(class)), "{goodput:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn critical_calls_are_served_while_bulk_is_shed_down_to_its_floor() {
    let prioritizer = prioritizer("overload").build().expect("valid settings");
    let guard = prioritizer.by(|class: &Call| Some(*class));
    let service = ServiceBuilder::new()
        .layer(guard.layer().any())
        .layer(queued(QueueOrder::Priority).layer().any())
        .service(workers());
    let goodput = overload(service, 3.0 * CAPACITY).await;
    assert!(goodput.of(Critical) >= 0.999, "{goodput:?}");
    assert!(goodput.of(High) >= 0.98, "{goodput:?}");
    assert!((0.05..0.15).contains(&goodput.of(Normal)), "{goodput:?}");
    // The floor is a twentieth of the third that all would get alike: one of sixty.
    for class in [Low, Bulk] {
        assert!((0.013..0.025).contains(&goodput.of(class)), "{goodput:?}");
    }
    assert!(goodput.utilization() > 0.97, "{goodput:?}");
    let bulk = prioritizer.stats().class(Bulk);
    assert!(
        bulk.shed > 20 * bulk.pushed_back,
        "shed before it waits: {bulk:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn critical_calls_are_served_by_a_limit_that_adapts_itself() {
    let prioritizer = prioritizer("adaptive").build().expect("valid settings");
    let guard = prioritizer.by(|class: &Call| Some(*class));
    let bulkhead = bulkhead().limit(20).adaptive(AdaptiveSettings::default());
    let bulkhead = bulkhead
        .queue_limit(WORKERS as u32)
        .queue_order(QueueOrder::Priority)
        .wait_limit(PATIENCE - WORK)
        .build()
        .expect("valid settings");
    let service = ServiceBuilder::new()
        .layer(guard.layer().any())
        .layer(bulkhead.layer().any())
        .service(workers());
    let goodput = overload(service, 3.0 * CAPACITY).await;
    // The limit begins at two fifths of what is best, and grows all the time.
    assert!(bulkhead.limit() > 20, "{}", bulkhead.limit());
    assert!(goodput.of(Critical) >= 0.99, "{goodput:?}");
    assert!(goodput.of(Bulk) < 0.02, "{goodput:?}");
}

#[tokio::test(start_paused = true)]
async fn priority_counts_for_most_where_calls_cannot_wait() {
    let prioritizer = prioritizer("no queue").factor(1.1).build();
    let prioritizer = prioritizer.expect("valid settings");
    let guard = prioritizer.by(|class: &Call| Some(*class));
    let bulkhead = bulkhead().build().expect("valid settings");
    let service = ServiceBuilder::new()
        .layer(guard.layer().any())
        .layer(bulkhead.layer().any())
        .service(workers());
    let goodput = overload(service, 3.0 * CAPACITY).await;
    assert!(goodput.of(Critical) >= 0.8, "{goodput:?}");
    assert!(goodput.of(Bulk) < 0.025, "{goodput:?}");
}

/// A peer that responds 503 where it has no room.
fn peer() -> impl Service<Request<Call>, Response = Response<String>, Error = BoxError, Future: Send>
+ Clone
+ Send {
    let in_flight = Arc::new(AtomicU32::new(0));
    service_fn(move |_: Request<Call>| {
        let in_flight = in_flight.clone();
        async move {
            let status = if in_flight.fetch_add(1, Ordering::Relaxed) < WORKERS as u32 {
                sleep(WORK).await;
                StatusCode::OK
            } else {
                sleep(WORK / 10).await;
                StatusCode::SERVICE_UNAVAILABLE
            };
            in_flight.fetch_sub(1, Ordering::Relaxed);
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            Ok(response)
        }
    })
}

fn served<B>(response: Response<B>) -> Result<(), BoxError> {
    match response.status() {
        StatusCode::OK => Ok(()),
        status => Err(status.to_string().into()),
    }
}

#[tokio::test(start_paused = true)]
async fn throttle_of_a_peer_that_knows_no_priorities_sends_the_highest() {
    let throttle = Throttle::builder("peer").seed(7).factor(1.1);
    let throttle = throttle.window(Duration::from_secs(5)).build();
    let throttle = throttle.expect("valid settings");
    // The throttle alone decides.
    let prioritizer = prioritizer("around").max_shed_rate(0.0).build();
    let prioritizer = prioritizer.expect("valid settings");
    let guard = prioritizer.by(|request: &Request<Call>| Some(*request.body()));
    let service = ServiceBuilder::new()
        .map_request(|class: Call| Request::new(class))
        .map_result(|response: Result<_, BoxError>| served(response?))
        .layer(guard.layer().client())
        .layer(throttle.layer().client())
        .service(peer());
    let goodput = overload(service, 3.0 * CAPACITY).await;
    assert!(goodput.of(Critical) >= 0.8, "{goodput:?}");
    assert!(goodput.of(Bulk) < 0.025, "{goodput:?}");
}
