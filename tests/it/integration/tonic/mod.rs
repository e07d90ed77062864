//! The layer around tonic servers and clients, over real connections: unary calls and streams, in both directions.

/// Serves with tonic's own transport, inside of the layer. Above the modules, which find macros by the order of the text.
macro_rules! serve_tonic {
    ($layer:expr, $service:expr) => {{
        let (listener, address) = crate::support::listen().await;
        let server = tonic::transport::Server::builder()
            .layer($layer)
            .add_service($service);
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(server.serve_with_incoming(incoming));
        address
    }};
}

mod calls;
mod ends;
mod labels;
mod placement;
mod rejections;
mod streams;

use std::{
    error::Error, fmt, future::pending, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use tokio::sync::Notify;
use tokio_stream::{Stream, StreamExt};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server::Health};
use tower_keep::Rejection;

/// Answers as the name of the service in the request says.
#[derive(Clone, Default)]
struct Scripted {
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[derive(Debug)]
struct TornPage;

impl fmt::Display for TornPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page is torn")
    }
}
impl Error for TornPage {}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: 1 }
}

#[tonic::async_trait]
impl Health for Scripted {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.arrived.notify_one();
        match &*request.get_ref().service {
            "" => Ok(Response::new(serving())),
            "missing" => Err(Status::not_found("no such service")),
            "forbidden" => Err(Status::permission_denied("not for you")),
            "busy" => Err(Status::resource_exhausted("come back later")),
            "late" => Err(Status::deadline_exceeded("no time left")),
            "closed" => {
                let why = Rejection::rate_limited("till");
                Err(why.with_retry_after(Duration::from_millis(1_200)).into())
            }
            "gone" => Err(Status::unavailable("moved out")),
            "torn" => {
                let mut status = Status::internal("cannot read order 7");
                status.set_source(Arc::new(TornPage));
                Err(status)
            }
            "panics" => panic!("the ink ran out"),
            "hangs" => pending().await,
            other => Err(Status::invalid_argument(other.to_owned())),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = tokio_stream::once(Ok(serving()));
        let stream: Self::WatchStream = match &*request.get_ref().service {
            "" => Box::pin(tokio_stream::iter([Ok(serving()), Ok(serving())])),
            "torn" => Box::pin(first.chain(tokio_stream::once(Err(Status::data_loss("torn"))))),
            "panics" => {
                let go_on = self.go_on.clone();
                let then = async move {
                    go_on.notified().await;
                    panic!("ran dry")
                };
                Box::pin(first.chain(futures_util::stream::once(then)))
            }
            "endless" => Box::pin(first.chain(tokio_stream::pending())),
            _ => return Err(Status::not_found("no such service")),
        };
        Ok(Response::new(stream))
    }
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

fn channel(to: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{to}"))
        .expect("an endpoint")
        .connect_lazy()
}
