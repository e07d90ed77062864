//! The exporter against collectors on loopback that decode what they get: over HTTP and gRPC, on each kind of runtime, and while the
//! collector hangs, refuses, fails or throttles.

#[path = "../support/callsites.rs"]
mod callsites;
mod collector;
mod content;
mod failures;
#[path = "../support/nobody.rs"]
mod nobody;
mod settings;

use std::{future::Future, time::Duration};

use tower_keep::ops::otlp::{Otlp, OtlpBuilder, OtlpProtocol, Signal};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use self::collector::{Collector, Reaction};

/// Longer than any flush here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a runtime of one thread, on one with a single worker, and on one with four.
fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    current.expect("a runtime").block_on(test());
    for workers in [1, 4] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(test());
    }
}

/// Returns a builder that knows nothing of the environment.
fn builder() -> OtlpBuilder {
    Otlp::builder().variables(|_| None).service("orders")
}

/// Returns an exporter of one signal, which the collector gets when it is flushed, or sooner.
fn exporter_of(signal: Signal, endpoint: String, protocol: OtlpProtocol) -> Otlp {
    let builder = builder().endpoint(endpoint).protocol(protocol);
    only(signal, builder)
        .build()
        .expect("the settings are valid")
}

fn only(signal: Signal, builder: OtlpBuilder) -> OtlpBuilder {
    let others = Signal::ALL.into_iter().filter(|other| *other != signal);
    others.fold(builder, |builder, other| builder.export(other, false))
}

/// Subscribes an exporter in this thread.
fn subscribe(otlp: &Otlp) -> DefaultGuard {
    callsites::ask_all_subscribers();
    tracing::subscriber::set_default(tracing_subscriber::registry().with(otlp.layer()))
}

/// Ends a span of this name.
fn end_span() {
    drop(tracing::info_span!("reserve", shop = "eu"));
}

/// Returns a collector for each protocol.
fn collectors(script: &[Reaction]) -> [(OtlpProtocol, Collector); 2] {
    [
        (OtlpProtocol::HttpProtobuf, Collector::http(script)),
        (OtlpProtocol::Grpc, Collector::grpc(script)),
    ]
}

/// Runs a future without any runtime.
fn without_runtime<F: Future>(future: F) -> F::Output {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
        thread::{self, Thread},
    };

    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
