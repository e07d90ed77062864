//! An honest client: it asks for this and that at a steady rate, and wants all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::super::client::{AnyBody, Client, full, text};
use super::super::process::DEADLINE;
use super::healthy_upstream::{GRPC, STREAM};

/// Of each kind.
const EVERY: Duration = Duration::from_millis(25);
const ORDER: usize = 2000;

#[derive(Clone, Copy)]
enum Errand {
    Get,
    Head,
    /// Within a deadline that it has no need of.
    Slow,
    Stream,
    Echo,
    Grpc,
}

const ERRANDS: [(Errand, Version); 10] = [
    (Errand::Get, Version::HTTP_11),
    (Errand::Get, Version::HTTP_2),
    (Errand::Head, Version::HTTP_11),
    (Errand::Slow, Version::HTTP_11),
    (Errand::Slow, Version::HTTP_2),
    (Errand::Stream, Version::HTTP_11),
    (Errand::Stream, Version::HTTP_2),
    (Errand::Echo, Version::HTTP_11),
    (Errand::Echo, Version::HTTP_2),
    (Errand::Grpc, Version::HTTP_2),
];

#[derive(Clone, Debug, Default)]
pub struct Service {
    pub good: u64,
    pub bad: Vec<String>,
}

/// Asks until then, in tasks of its own.
pub async fn run(url: &str, until: Instant) -> Service {
    let (served, mut tasks) = (Arc::<Mutex<Service>>::default(), JoinSet::new());
    for (errand, version) in ERRANDS {
        let (url, served) = (url.to_owned(), Arc::clone(&served));
        tasks.spawn(async move {
            let client = match version {
                Version::HTTP_2 => Client::http2(),
                _ => Client::http1(),
            };
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while Instant::now() < until {
                tick.tick().await;
                let done = errand.run(&client, &url).await;
                let mut served = served.lock().expect("no panic");
                match done {
                    Ok(()) => served.good += 1,
                    Err(why) => served.bad.push(format!("{version:?}: {why}")),
                }
            }
        });
    }
    tasks.join_all().await;
    let served = served.lock().expect("no panic");
    served.clone()
}

/// Asks for a page again and again: how often it came with what status.
pub async fn ask(url: &str, until: Instant) -> BTreeMap<u16, u32> {
    let (client, mut statuses) = (Client::http1(), BTreeMap::new());
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        tick.tick().await;
        let answer = client.get(&format!("{url}/ok")).await;
        *statuses.entry(answer.status().as_u16()).or_default() += 1;
        text(answer).await;
    }
    statuses
}

impl Errand {
    async fn run(self, client: &Client, url: &str) -> Result<(), String> {
        let request = self.request(url);
        let asked = format!("{} {}", request.method(), request.uri().path());
        let sent = client.try_send(request).await;
        let answer = sent.map_err(|error| format!("{asked}: {error:?}"))?;
        let status = answer.status();
        match self.is_as_wanted(answer).await {
            true => Ok(()),
            false => Err(format!("{asked}: {status}")),
        }
    }

    fn request(self, url: &str) -> Request<AnyBody> {
        let at = |path: &str| format!("{url}{path}");
        let (request, body) = match self {
            Errand::Get => (Request::get(at("/ok")), vec![]),
            Errand::Head => (Request::head(at("/ok")), vec![]),
            Errand::Slow => {
                let request = Request::get(at("/slow"));
                let patient = request.header("x-envoy-expected-rq-timeout-ms", "20000");
                (patient, vec![])
            }
            Errand::Stream => (Request::get(at("/stream")), vec![]),
            Errand::Echo => (Request::post(at("/echo")), vec![b'o'; ORDER]),
            Errand::Grpc => {
                let request = Request::post(at(GRPC)).version(Version::HTTP_2);
                let request = request.header("content-type", "application/grpc");
                let request = request
                    .header("te", "trailers")
                    .header("grpc-timeout", "20S");
                (request, vec![0; 5])
            }
        };
        request.body(full(body)).expect("a request")
    }

    async fn is_as_wanted(self, answer: Response<Incoming>) -> bool {
        let status = answer.status();
        let Ok(Ok(body)) = timeout(DEADLINE, answer.into_body().collect()).await else {
            return false;
        };
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        let whole = match self {
            Errand::Get | Errand::Slow => body == "from upstream",
            Errand::Head => body.is_empty(),
            Errand::Stream => body == STREAM.concat(),
            Errand::Echo => body.len() == ORDER,
            Errand::Grpc => trailers.is_some_and(|trailers| trailers["grpc-status"] == "0"),
        };
        status == 200 && whole
    }
}
