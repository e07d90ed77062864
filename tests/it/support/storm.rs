//! A storm of failures, hangs, panics and drops, through layers in every order.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::BoxError;

pub type StormService = BoxCloneSyncService<u64, u64, BoxError>;

const CALLS: u64 = 120;
const SECOND: Duration = Duration::from_secs(1);

/// The number of what is in flight, and the largest that it has been.
#[derive(Clone, Default)]
pub struct InFlight {
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

/// Counts as in flight until it is dropped.
pub struct Token(Arc<AtomicUsize>);

impl InFlight {
    pub fn enter(&self) -> Token {
        let before = self.now.fetch_add(1, Ordering::SeqCst);
        self.peak.fetch_max(before + 1, Ordering::SeqCst);
        Token(self.now.clone())
    }

    pub fn count(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All orders of so many parts, by their indices.
pub fn orders(parts: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![vec![]];
    for part in 0..parts {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, part);
                    longer
                })
            })
            .collect();
    }
    orders
}

/// A storm through layers in one order.
pub struct Storm<'a> {
    order: &'a [usize],
    /// Of 256 requests, so many are served at once.
    served: u8,
    service: StormService,
    in_flight: InFlight,
}

impl<'a> Storm<'a> {
    /// Puts layers around a service in which anything may happen to a call. The last of the order is the innermost.
    pub fn new(
        order: &'a [usize],
        served: u8,
        layer: impl Fn(usize, StormService) -> StormService,
    ) -> Self {
        let in_flight = InFlight::default();
        let stormy = stormy(in_flight.clone(), served);
        let layered = |inner, index: &usize| layer(*index, inner);
        Storm {
            order,
            served,
            service: order.iter().rev().fold(stormy, layered),
            in_flight,
        }
    }

    /// Makes the calls, and waits for the ends of all. Nothing is in flight after it.
    pub async fn run(&self) {
        let mut calls = Vec::new();
        for call in 0..CALLS {
            let service = self.service.clone();
            let patience = Duration::from_millis(call * 37 % 5_000);
            // Some callers lose patience, and drop their calls.
            calls.push(tokio::spawn(async move {
                sleep(Duration::from_millis(call * 20)).await;
                let _ = timeout(patience, service.oneshot(call)).await;
            }));
        }
        let order = self.order;
        for call in calls {
            let end = timeout(600 * SECOND, call).await;
            // A panic of the service is passed on.
            let _ = end.unwrap_or_else(|_| panic!("a call is stuck in {order:?}"));
        }
        assert_eq!(self.in_flight.count(), 0, "{order:?}");
    }

    /// Waits until a call is served again, which it is where nothing holds a slot, a probe or a permit.
    pub async fn serves_again(&self) {
        let served = (0..).find(|request| fate(*request) < self.served);
        let served = served.unwrap_or_default();
        let again = async {
            while self.service.clone().oneshot(served).await.is_err() {
                sleep(SECOND).await;
            }
        };
        let (end, order) = (timeout(600 * SECOND, again).await, self.order);
        end.unwrap_or_else(|_| panic!("no call is served in {order:?}"));
    }
}

fn stormy(in_flight: InFlight, served: u8) -> StormService {
    BoxCloneSyncService::new(service_fn(move |request: u64| {
        let token = in_flight.enter();
        async move {
            let _token = token;
            match fate(request) {
                fate if fate < served => Ok(request),
                fate if fate < served + 40 => {
                    sleep(Duration::from_millis(request % 700)).await;
                    Ok(request)
                }
                ..190 => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                190..220 => std::future::pending().await,
                220..240 => {
                    sleep(Duration::from_millis(300)).await;
                    Err(io::Error::other("late").into())
                }
                _ => std::panic::resume_unwind(Box::new("a panic")),
            }
        }
    }))
}

/// Decides what happens to a request, which is sent as often as that takes.
fn fate(request: u64) -> u8 {
    fastrand::Rng::with_seed(request).u8(..)
}
