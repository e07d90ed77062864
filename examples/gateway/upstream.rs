//! The embedded upstream: one path for each way a server can behave, and `/work`, which changes on a schedule.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::replies::{self, Reply, reply};
use crate::server;

pub const GRPC_PATH: &str = "/demo.Shop/Buy";

const CONNECTIONS: usize = 512;
const PAGES: &str = "\
/ok /slow /fail /busy /missing /late /hang /stream /cut /echo (POST) /upgrade (echoes, once switched)
/work: fine, but for four of every ten seconds failing, slow or hanging
/demo.Shop/Buy (gRPC)
";

/// How `/work` does at the moment.
#[derive(Debug, PartialEq)]
enum Weather {
    Fine,
    Failing,
    Slow,
    Hanging,
}

/// Fine first, so that what goes wrong can be seen to.
fn weather(since_start: Duration) -> Weather {
    match since_start.as_secs() % 10 {
        0..=3 | 8..=9 => Weather::Fine,
        4..=5 => Weather::Failing,
        6 => Weather::Slow,
        _ => Weather::Hanging,
    }
}

/// Serves on a free port of the loopback until the drain ends.
pub async fn start() -> io::Result<(SocketAddr, Drain)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (drain, ticket) = Drain::new();
    let started = Instant::now();
    let calls = Arc::new(AtomicU64::new(0));
    let service = tower::service_fn(move |request| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(answer(request, number, started.elapsed()).await) }
    });
    tokio::spawn(server::serve(listener, service, ticket, CONNECTIONS));
    Ok((address, drain))
}

/// `number` tells one call from the next, so that messages and choices vary.
async fn answer(request: Request<Incoming>, number: u64, since_start: Duration) -> Reply {
    match request.uri().path() {
        "/" => reply(StatusCode::OK, PAGES),
        "/ok" | "/gate" => reply(StatusCode::OK, "fine\n"),
        "/work" => match weather(since_start) {
            Weather::Fine => reply(StatusCode::OK, "done\n"),
            Weather::Failing => replies::failing(number),
            Weather::Slow => replies::slow(number).await,
            Weather::Hanging => replies::hanging().await,
        },
        "/slow" => replies::slow(number).await,
        "/fail" => replies::failing(number),
        "/busy" => replies::busy(number),
        "/late" => reply(
            StatusCode::GATEWAY_TIMEOUT,
            "the warehouse did not answer\n",
        ),
        "/hang" => replies::hanging().await,
        "/stream" => replies::streaming(),
        "/cut" => replies::cut(),
        "/echo" => replies::echo(request),
        "/upgrade" => replies::upgrade(request),
        GRPC_PATH => replies::grpc(number),
        _ => reply(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weather_comes_within_ten_seconds() {
        let week: Vec<_> = (0..10).map(|s| weather(Duration::from_secs(s))).collect();
        for kind in [
            Weather::Fine,
            Weather::Failing,
            Weather::Slow,
            Weather::Hanging,
        ] {
            assert!(week.contains(&kind), "{kind:?}");
        }
        assert_eq!(weather(Duration::from_secs(14)), Weather::Failing);
    }
}
