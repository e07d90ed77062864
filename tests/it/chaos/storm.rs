//! Every order of the layers in a storm of faults that is switched on and off: no call is stuck, nothing is left.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::{task::JoinSet, time::timeout};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Retry,
    chaos::{Chaos, ChaosLayer, FaultKind},
    fallback::{Fallback, FallbackLayer},
    retry::{ReplayBody, RetryLayer},
    testing::RecordingGuard,
    timeout::TimeoutLayer,
};

use super::{HOUR, MILLI, SECOND};
use crate::support::storm::orders;

/// An error that can be spawned: the compiler does not see that a future with a `BoxError` in its types is `Send`.
#[derive(Debug)]
struct Failed(BoxError);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

type Body = UnsyncBoxBody<Bytes, Failed>;
type Client = BoxCloneSyncService<Request<Body>, Response<Body>, Failed>;

fn failed(error: impl Into<BoxError>) -> Failed {
    Failed(error.into())
}

/// Boxes what a layer makes, so that layers can stand in any order.
fn boxed<S, B>(service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = service.map_response(|response: Response<B>| {
        response.map(|body| body.map_err(failed).boxed_unsync())
    });
    BoxCloneSyncService::new(service.map_err(failed))
}

struct Parts {
    chaos: Chaos,
    breaker: CircuitBreaker,
    spy: RecordingGuard,
}

/// The layers of a client; the chaos is one of them.
const LAYERS: usize = 4;

impl Parts {
    fn wrap(&self, layer: usize, inner: Client) -> Client {
        match layer {
            0 => boxed(ChaosLayer::client(&self.chaos).layer(inner)),
            1 => boxed(self.breaker.layer().client().layer(inner)),
            2 => {
                let limit = TimeoutLayer::client(50 * MILLI).body_idle(50 * MILLI);
                boxed(limit.layer(inner))
            }
            _ => {
                let retry = Retry::builder("storm").budget(None).build().expect("valid");
                let layer = RetryLayer::client(retry)
                    .request_body(|body: ReplayBody<Body>| body.map_err(failed).boxed_unsync());
                boxed(layer.layer(inner))
            }
        }
    }

    /// Returns a client with the layers in this order, the innermost first, between a guard and a fallback.
    fn client(&self, order: &[usize]) -> Client {
        let service = service_fn(async |_: Request<Body>| {
            Ok::<_, Failed>(Response::new(Full::from(vec![7_u8; 4_096])))
        });
        let mut client = boxed(GuardLayer::client(self.spy.clone()).layer(service));
        for layer in order {
            client = self.wrap(*layer, client);
        }
        let stale = FallbackLayer::client(Fallback::new("storm"));
        let stale = stale.with(|_| Response::new(Full::<Bytes>::from("stale")));
        let client = boxed(stale.layer(client));
        boxed(GuardLayer::client(self.spy.clone()).layer(client))
    }
}

fn request() -> Request<Body> {
    Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync())
}

/// Makes a call, and reads its body. Every third caller gives up in between.
async fn call(client: Client, number: u64) {
    let exchange = async move {
        if let Ok(response) = client.oneshot(request()).await {
            let _ = response.into_body().collect().await;
        }
    };
    let patience = if number.is_multiple_of(3) {
        number % 40 * MILLI.as_millis() as u64
    } else {
        3_600_000
    };
    let _ = timeout(patience as u32 * MILLI, exchange).await;
}

#[tokio::test(start_paused = true)]
async fn layers_in_any_order_survive_a_storm_that_is_switched_on_and_off() {
    for order in &orders(LAYERS) {
        let chaos = Chaos::builder("storm")
            .error_rate(0.2)
            .response_rate(0.2)
            .hang_rate(0.2)
            .latency_rate(0.3)
            .latency_range(MILLI..=80 * MILLI)
            .cut_rate(0.2)
            .slow_rate(0.2)
            .max_delayed(20)
            .seed(7);
        let parts = Parts {
            chaos: chaos.build().expect("valid"),
            breaker: CircuitBreaker::builder("storm").build().expect("valid"),
            spy: RecordingGuard::new(),
        };
        let client = parts.client(order);
        let mut calls = JoinSet::new();
        for number in 0..300 {
            match number % 60 {
                0 => parts.chaos.enable(),
                20 => parts.chaos.disable(),
                30 => parts.chaos.enable_for(15 * MILLI),
                _ => {}
            }
            calls.spawn(call(client.clone(), number));
            tokio::time::sleep(MILLI).await;
        }
        parts.chaos.disable();
        let all = async { while calls.join_next().await.is_some_and(|call| call.is_ok()) {} };
        timeout(HOUR, all)
            .await
            .unwrap_or_else(|_| panic!("stuck with {order:?}"));
        assert!(calls.is_empty(), "a call panicked with {order:?}");
        assert_eq!(
            (parts.spy.in_flight(), parts.chaos.delayed_count()),
            (0, 0),
            "{order:?}"
        );
        let injected: u64 = FaultKind::ALL
            .iter()
            .map(|kind| parts.chaos.injected_count(*kind))
            .sum();
        assert!(injected > 10, "{order:?}: {injected}");
        // And all is well again.
        parts.breaker.reset();
        tokio::time::sleep(SECOND).await;
        let response = client.oneshot(request()).await.expect("a response");
        let body = response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        assert_eq!(body.len(), 4_096, "{order:?}");
    }
}
