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

use super::demo_replies::{self, Reply, reply};
use super::drain::Drain;
use super::server;

pub const GRPC_PATH: &str = "/demo.Shop/Buy";

const CONNECTIONS: usize = 512;
const PAGES: &str = "\
Always the same:   /ok /slow /fail /busy /missing /late /hang /stream /cut
Varying:           /work (fine, but for four of every ten seconds failing, slow or hanging)
                   /flaky (every other call fails)
And all of them fail for one second in twenty.
By POST:           /echo, and gRPC at /demo.Shop/Buy
Upgraded:          /upgrade (echoes, once switched)
The gateway's own: /gate (rejected), /panic
";
/// The behavior of `/work` at the moment.
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

/// Returns whether nothing works at all. Long enough before anything else goes wrong for the circuit to close again.
fn is_out(since_start: Duration) -> bool {
    since_start.as_secs() % 20 == 9
}

/// The path as a route, if it is one of those that [`PAGES`] lists.
pub fn route(path: &str) -> Option<&'static str> {
    let mut words = PAGES.split([' ', ',', '\n']);
    words.find(|word| word.starts_with('/') && *word == path)
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
    if is_out(since_start) {
        return demo_replies::failing(number);
    }
    match request.uri().path() {
        "/" => reply(StatusCode::OK, PAGES),
        "/ok" => reply(StatusCode::OK, "fine\n"),
        "/work" => match weather(since_start) {
            Weather::Fine => reply(StatusCode::OK, "done\n"),
            Weather::Failing => demo_replies::failing(number),
            Weather::Slow => demo_replies::slow(number).await,
            Weather::Hanging => demo_replies::hanging().await,
        },
        "/slow" => demo_replies::slow(number).await,
        "/fail" => demo_replies::failing(number),
        "/flaky" if number.is_multiple_of(2) => demo_replies::failing(number),
        "/flaky" => reply(StatusCode::OK, "this time\n"),
        "/busy" => demo_replies::busy(number),
        "/late" => reply(
            StatusCode::GATEWAY_TIMEOUT,
            "the warehouse did not answer\n",
        ),
        "/hang" => demo_replies::hanging().await,
        "/stream" => demo_replies::streaming(),
        "/cut" => demo_replies::cut(),
        "/echo" => demo_replies::echo(request),
        "/upgrade" => demo_replies::upgrade(request),
        GRPC_PATH => demo_replies::grpc(number),
        _ => reply(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{guards, panicking_handler};
    use super::*;

    #[test]
    fn listed_paths_are_routes_and_made_up_ones_are_none() {
        for path in ["/ok", "/work", "/echo", "/cut", GRPC_PATH] {
            assert_eq!(route(path), Some(path));
        }
        assert_eq!(route(guards::GATE), Some(guards::GATE));
        assert_eq!(
            route(panicking_handler::PATH),
            Some(panicking_handler::PATH)
        );
        for path in ["/", "/made/up", "/o", "(fine", ""] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn outage_is_followed_by_fine_weather() {
        let outage = (0..20).map(Duration::from_secs).find(|now| is_out(*now));
        let outage = outage.expect("one in twenty seconds");
        // The circuit is open for at most three seconds; then come the probes.
        for after in 1..=4 {
            let later = outage + Duration::from_secs(after);
            assert!(weather(later) == Weather::Fine && !is_out(later), "{after}");
        }
    }

    #[test]
    fn weather_of_each_kind_comes_within_ten_seconds() {
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
