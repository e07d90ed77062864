//! A bounded load on the gateway itself: a fixed mix, in which everything that can happen to a call does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{Method, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tower_service::Service;

use super::BoxError;
use super::client::UpstreamClient;
use super::demo_upstream::GRPC_PATH;
use super::guards;
use super::panicking_handler;

/// Calls under way at most; a tick that would exceed it is left out.
const AT_ONCE: usize = 64;
const PATIENT: Duration = Duration::from_secs(5);
/// Gives up on what hangs: the gateway sees a cancelled call.
const IMPATIENT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy)]
struct Shot {
    path: &'static str,
    patience: Duration,
    version: Version,
}

const fn shot(path: &'static str) -> Shot {
    Shot {
        path,
        patience: PATIENT,
        version: Version::HTTP_11,
    }
}

/// Two of three calls are these.
const COMMON: [Shot; 3] = [
    shot("/ok"),
    shot("/work"),
    Shot {
        version: Version::HTTP_2,
        ..shot("/ok")
    },
];

/// Every third call is one of these, in turn: each comes once a second at 40 calls a second.
///
/// `/fail` is left to whoever tries it: theirs are then the IDs that its group of errors shows.
const RARE: [Shot; 13] = [
    shot("/slow"),
    shot("/busy"),
    shot("/flaky"),
    shot("/missing"),
    shot("/late"),
    Shot {
        patience: IMPATIENT,
        ..shot("/hang")
    },
    shot("/hang"),
    shot("/stream"),
    shot("/cut"),
    shot(panicking_handler::PATH),
    shot(guards::GATE),
    shot("/echo"),
    Shot {
        version: Version::HTTP_2,
        ..shot(GRPC_PATH)
    },
];

fn mix(number: usize) -> Shot {
    match number % 3 {
        2 => RARE[number / 3 % RARE.len()],
        // Not by `number` itself, or each would always meet the same one.
        _ => COMMON[number / 2 % COMMON.len()],
    }
}

/// Sends `rate` calls a second until it is dropped, which gives up on the calls under way.
pub async fn run(gateway: SocketAddr, rate: u32) {
    let Some(pause) = Duration::from_secs(1).checked_div(rate) else {
        return;
    };
    let client = UpstreamClient::new();
    let mut tick = interval(pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    for number in 0.. {
        tick.tick().await;
        while under_way.try_join_next().is_some() {}
        if under_way.len() < AT_ONCE {
            let shot = mix(number);
            let call = fire(client.clone(), gateway, shot, number);
            under_way.spawn(timeout(shot.patience, call));
        }
    }
}

/// One call to the end of its body. What came of it is for the gateway to tell.
async fn fire(
    mut client: UpstreamClient<Full<Bytes>>,
    gateway: SocketAddr,
    shot: Shot,
    number: usize,
) -> Result<(), BoxError> {
    let response = client.call(request(gateway, shot, number)?).await?;
    response.into_body().collect().await?;
    Ok(())
}

fn request(
    gateway: SocketAddr,
    shot: Shot,
    number: usize,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let uri: Uri = format!("http://{gateway}{}", shot.path).parse()?;
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    *request.version_mut() = shot.version;
    let headers = request.headers_mut();
    if number.is_multiple_of(2) {
        headers.insert(
            "x-correlation-id",
            HeaderValue::from_str(&format!("demo-{number}"))?,
        );
    }
    if shot.path == GRPC_PATH {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if shot.path == GRPC_PATH || shot.path == "/echo" {
        *request.method_mut() = Method::POST;
        // Also an empty gRPC message: its flag and its length, both zero.
        *request.body_mut() = Full::from(&[0; 5][..]);
    }
    Ok(request)
}

/// Returns where a gateway that listens on `bound` is reached from here.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_has_everything_within_forty_calls() {
        let paths: Vec<_> = (0..40).map(|number| mix(number).path).collect();
        for shot in COMMON.iter().chain(&RARE) {
            assert!(paths.contains(&shot.path), "{}", shot.path);
        }
        let common = paths
            .iter()
            .filter(|path| matches!(**path, "/ok" | "/work"));
        assert!(common.count() >= 26);
    }

    #[test]
    fn calls_of_the_mix_are_valid_requests() {
        let gateway = SocketAddr::from(([127, 0, 0, 1], 80));
        for number in 0..40 {
            assert!(request(gateway, mix(number), number).is_ok());
        }
    }

    #[test]
    fn unspecified_address_is_reached_over_the_loopback() {
        let reached = |bound: &str| reachable(bound.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reached("[::]:80"), "[::1]:80");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }
}
