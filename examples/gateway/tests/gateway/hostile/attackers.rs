//! Clients that mean harm, or behave as if they did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::super::client::{AnyBody, Client, full, pieces};
use super::super::process::DEADLINE;
use super::super::soak::callers::GARBAGE;
use super::LIMIT;
use super::attack::Attack;
use super::counters::{Counters, Saw};
use super::healthy_upstream::GRPC;

/// The words that no label may show: parts of the methods, paths and hosts that attackers think up.
pub const MADE_UP: [&str; 7] = ["BREW", "PROPFIND", "XYZ", "made", "Made", "odd-", "example"];
/// Of what stalls and what takes seconds, a little beside the limit.
const NEARLY: [f64; 4] = [0.80, 0.90, 0.97, 1.0];
const KINDS: [&str; 5] = [
    "application/grpc",
    "application/grpc+proto",
    "application/grpc; x=y",
    "application/grpc-web",
    "application/grpc-web-text",
];
const STALLED: [&str; 6] = [
    "content-length: 100\r\n\r\n",
    "content-length: 100\r\n\r\nfew",
    "transfer-encoding: chunked\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n3\r\nfew\r\n",
    "transfer-encoding: chunked\r\n\r\n3\r\nfe",
    "expect: 100-continue\r\ncontent-length: 100\r\n\r\n",
];
const MALFORMED: [&str; 6] = [
    "3\r\nfew\r\nzz\r\n",
    "zz\r\n",
    "3\r\nfewer\r\n0\r\n\r\n",
    "-3\r\nfew\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFFFF\r\nfew",
    "3;\x01\r\nfew\r\n0\r\nbad trailer\r\n\r\n",
];
/// Longer than this takes no reader here.
const READS: Duration = Duration::from_millis(2000);
const BYTE_EVERY: Duration = Duration::from_millis(50);

/// One connection, one attack; or a client of its own, and one after the other.
struct Attacker {
    address: String,
    url: String,
    http1: Client,
    http2: Client,
    counters: Counters,
    dice: fastrand::Rng,
    /// The number of attacks it has begun, for names that were never seen before.
    number: u64,
}

/// All attacks at once until then, in tasks of their own.
pub fn start(url: &str, counters: &Counters, until: Instant) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for attack in Attack::ALL {
        for _ in 0..attack.at_once() {
            let mut attacker = Attacker::new(url, counters.clone());
            tasks.spawn(async move {
                while Instant::now() < until {
                    attacker.number += 1;
                    let saw = attacker.attack(attack).await;
                    attacker.counters.count(attack, saw);
                    sleep(attack.rest()).await;
                }
            });
        }
    }
    tasks
}

/// Ten requests a second that say gRPC, in all versions, POST among them. Returns how many.
pub async fn say_grpc(url: &str, until: Instant) -> u32 {
    let (old, new) = (Client::http1(), Client::http2());
    let mut tick = interval(Duration::from_millis(100));
    let mut sent = 0;
    while Instant::now() < until {
        tick.tick().await;
        let method = [Method::GET, Method::POST][sent as usize % 2].clone();
        let client = [&old, &new][sent as usize / 2 % 2];
        let request = Request::builder().method(method).uri(format!("{url}/ok"));
        let request = request.header("content-type", "application/grpc");
        let request = request.body(full(vec![0; 5])).expect("a request");
        answered(client, request).await;
        sent += 1;
    }
    sent
}

/// Connections whose clients have taken the head of a large answer, and take no more of it.
pub async fn stop_reading(url: &str, number: usize) -> Vec<TcpStream> {
    let address = url.trim_start_matches("http://");
    let mut idle = Vec::new();
    for _ in 0..number {
        let mut stream = connect_narrow(address).await;
        let request = b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).await.expect("a connection");
        assert_eq!(status(&mut stream).await, Saw::Status(200));
        idle.push(stream);
    }
    idle
}

/// A connection whose client has little room for what it does not read.
async fn connect_narrow(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    let address = address.parse().expect("an address");
    socket.connect(address).await.expect("a connection")
}

impl Attacker {
    fn new(url: &str, counters: Counters) -> Self {
        // The same choices in each run, and other ones for each attacker.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        Attacker {
            address: url.trim_start_matches("http://").to_owned(),
            url: url.to_owned(),
            http1: Client::http1(),
            http2: Client::http2(),
            counters,
            dice: fastrand::Rng::with_seed(nth),
            number: nth << 20,
        }
    }

    async fn attack(&mut self, attack: Attack) -> Saw {
        match attack {
            Attack::AbortedUpload => self.abort_upload().await,
            Attack::MalformedChunks => self.send_malformed_chunks().await,
            Attack::StalledUpload => self.stall_upload().await,
            Attack::LateUpload => self.end_upload_late().await,
            Attack::UnwantedUpload => self.upload_unwanted().await,
            Attack::ResetStream => self.reset_stream().await,
            Attack::TinyDeadline => self.allow_no_time().await,
            Attack::SlowReader => self.read_slowly().await,
            Attack::LeavingReader => self.leave().await,
            Attack::GrpcHeader => self.say_grpc().await,
            Attack::OddRequest => self.ask_oddly().await,
            Attack::OldVersion => self.ask_as_of_old().await,
            Attack::Garbage => self.send_garbage().await,
        }
    }

    // --------------------------------------------------------------------------------------------- uploads

    async fn abort_upload(&mut self) -> Saw {
        let path = self.of(&["/read", "/echo", "/slow"]);
        let kind = self.of(&["text/plain", KINDS[0]]);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: 1000\r\n\r\nnine byte"
        );
        let mut stream = self.raw(head.as_bytes()).await;
        sleep(Duration::from_millis(self.dice.u64(..10))).await;
        match self.dice.u8(..3) {
            0 => Saw::Left,
            1 => {
                let _ = stream.set_zero_linger();
                Saw::Left
            }
            _ => {
                let _ = stream.shutdown().await;
                status(&mut stream).await
            }
        }
    }

    async fn send_malformed_chunks(&mut self) -> Saw {
        let (path, chunks) = (self.of(&["/read", "/echo"]), self.of(&MALFORMED));
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        );
        let mut stream = self.raw(request.as_bytes()).await;
        status(&mut stream).await
    }

    async fn stall_upload(&mut self) -> Saw {
        let path = self.of(&["/read", "/slow", "/demo.Hostile/Good"]);
        if self.dice.u8(..3) == 0 {
            let (sender, body) = pieces();
            let _ = sender.send(Frame::data("few".into()));
            let request = Request::post(format!("{}{path}", self.url));
            let request = self.maybe_grpc(request).body(body).expect("a request");
            let saw = answered(&self.http2, request).await;
            drop(sender);
            return saw;
        }
        let rest = self.of(&STALLED);
        let mut stream = self
            .raw(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{rest}").as_bytes())
            .await;
        let first = status(&mut stream).await;
        if first != Saw::Status(100) {
            return first;
        }
        let mut rest = [0; 13];
        let _ = stream.read_exact(&mut rest).await;
        status(&mut stream).await
    }

    async fn end_upload_late(&mut self) -> Saw {
        let whole = LIMIT.mul_f64(*self.dice.choice(&NEARLY).expect("some"));
        let path = self.of(&["/read", "/slow"]);
        let feed = 8;
        let (sender, body) = pieces();
        let client = [&self.http1, &self.http2][usize::from(self.dice.bool())];
        let request = Request::post(format!("{}{path}", self.url)).body(body);
        let answer = answered(client, request.expect("a request"));
        let upload = async move {
            for _ in 0..feed {
                let _ = sender.send(Frame::data(vec![b'u'; 500].into()));
                sleep(whole / feed).await;
            }
        };
        tokio::join!(answer, upload).0
    }

    async fn upload_unwanted(&mut self) -> Saw {
        let client = [&self.http1, &self.http2][usize::from(self.dice.bool())];
        let request = Request::post(format!("{}/unwanted", self.url));
        let request = request.body(full(vec![b'u'; 1 << 20]));
        match client.try_send(request.expect("a request")).await {
            Ok(answer) => Saw::Status(answer.status().as_u16()),
            Err(_) => Saw::Nothing,
        }
    }

    async fn reset_stream(&mut self) -> Saw {
        let path = self.of(&["/slow", "/read", "/ok", GRPC, "/big"]);
        let patience = Duration::from_micros(self.dice.u64(..3000));
        let (sender, body) = pieces();
        let request = Request::post(format!("{}{path}", self.url));
        let request = self.maybe_grpc(request).body(body).expect("a request");
        let answer = timeout(patience, answered(&self.http2, request)).await;
        drop(sender);
        answer.unwrap_or(Saw::Left)
    }

    // --------------------------------------------------------------------------------------------- patience

    async fn allow_no_time(&mut self) -> Saw {
        let path = self.of(&["/slow", "/ok", "/stream", GRPC]);
        let (name, value) = *self
            .dice
            .choice(&[
                ("grpc-timeout", "1n"),
                ("grpc-timeout", "5m"),
                ("x-envoy-expected-rq-timeout-ms", "0"),
                ("x-envoy-expected-rq-timeout-ms", "1"),
                ("x-envoy-expected-rq-timeout-ms", "5"),
            ])
            .expect("some");
        let method = self.dice.choice([Method::GET, Method::POST]).expect("one");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(name, value);
        let request = self.maybe_grpc(request).body(full("")).expect("a request");
        let client = [&self.http1, &self.http2][usize::from(self.dice.bool())];
        answered(client, request).await
    }

    async fn read_slowly(&mut self) -> Saw {
        if self.dice.bool() {
            let request = Request::get(format!("{}/big", self.url)).body(full(""));
            let sent = Client::http2().try_send(request.expect("a request")).await;
            let Ok(answer) = sent else {
                return Saw::Nothing;
            };
            let status = answer.status().as_u16();
            let mut body = answer.into_body();
            let end = Instant::now() + READS;
            while Instant::now() < end {
                let _ = timeout(DEADLINE, body.frame()).await.expect("a piece");
                sleep(BYTE_EVERY).await;
            }
            return Saw::Status(status);
        }
        let mut stream = connect_narrow(&self.address).await;
        let _ = stream
            .write_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        let saw = status(&mut stream).await;
        let end = Instant::now() + READS;
        while Instant::now() < end {
            let read = timeout(DEADLINE, stream.read_u8()).await;
            read.expect("a byte in time").expect("an open connection");
            sleep(BYTE_EVERY).await;
        }
        saw
    }

    async fn leave(&mut self) -> Saw {
        let path = self.of(&["/big", "/stream", "/slow"]);
        let client = [&self.http1, &self.http2][usize::from(self.dice.bool())];
        let request = Request::get(format!("{}{path}", self.url)).body(full(""));
        let patience = Duration::from_millis(self.dice.u64(..80));
        let sent = client.try_send(request.expect("a request"));
        let Ok(Ok(answer)) = timeout(patience, sent).await else {
            return Saw::Left;
        };
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        for _ in 0..self.dice.u8(..3) {
            let _ = timeout(DEADLINE, body.frame()).await.expect("a piece");
        }
        Saw::Status(status)
    }

    // ---------------------------------------------------------------------------------------------- requests

    async fn say_grpc(&mut self) -> Saw {
        let made_up = format!("/demo.Made{}/Up{}", self.number % 100, self.number);
        let other = format!("/made{}/up", self.number);
        let path = self
            .of(&["/ok", "/slow", GRPC, &made_up, &other])
            .to_owned();
        let method = self.of(&["GET", "PUT", "HEAD", "POST", "POST"]).to_owned();
        let kind = self.of(&KINDS);
        if self.dice.u8(..3) == 0 {
            let request = Request::builder()
                .method(&*method)
                .uri(format!("{}{path}", self.url))
                .version(Version::HTTP_2)
                .header("content-type", kind)
                .body(full(vec![0; 5]));
            return answered(&self.http2, request.expect("a request")).await;
        }
        let version = self.of(&["1.0", "1.1"]);
        let request = format!(
            "{method} {path} HTTP/{version}\r\nhost: a\r\ncontent-type: {kind}\r\ngrpc-timeout: 9m\r\n\
             content-length: 5\r\n\r\n\0\0\0\0\0"
        );
        status(&mut self.raw(request.as_bytes()).await).await
    }

    async fn ask_oddly(&mut self) -> Saw {
        let number = self.number;
        let long = format!("XYZ{number}{}", "Y".repeat(self.dice.usize(..300)));
        let method = self
            .of(&["BREW", "PROPFIND", "GET", "OPTIONS", &long])
            .to_owned();
        if self.dice.u8(..4) == 0 {
            let request = Request::builder()
                .method(&*method)
                .uri(format!("{}/odd-{number}?{}", self.url, "q".repeat(900)))
                .header("x-request-id", "i".repeat(5000))
                .body(full(""));
            return answered(&self.http2, request.expect("a request")).await;
        }
        let targets = [
            "/ok",
            "//ok",
            "*",
            "http://elsewhere.example:1/ok",
            "/../../etc/passwd",
            "/%00%ff%2e%2e",
            "/?",
            &format!("/{}{number}", "long/".repeat(1638)),
            &format!("/odd-{number}"),
        ];
        let target = self.of(&targets).to_owned();
        let hosts = [
            "host: a\r\n",
            "host: \r\n",
            "host: [::1\r\n",
            "host: b\u{e4}r:99999\r\n",
            "host: a\r\nhost: b\r\n",
            "",
            &format!("host: {}.example\r\n", "h".repeat(2000)),
            &format!("host: host-{number}.example\r\n"),
        ];
        let host = self.of(&hosts).to_owned();
        let more = self.of(&[
            "",
            "connection: upgrade\r\nupgrade: websocket\r\n",
            "max-forwards: 0\r\n",
            "traceparent: 00-zz-zz-zz\r\ntracestate: ,,=\r\n",
            "accept: text/html\r\n",
        ]);
        let request = match self.dice.u8(..10) {
            0 => format!("CONNECT elsewhere.example:443 HTTP/1.1\r\n{host}\r\n"),
            _ => format!("{method} {target} HTTP/1.1\r\n{host}{more}\r\n"),
        };
        status(&mut self.raw(request.as_bytes()).await).await
    }

    async fn ask_as_of_old(&mut self) -> Saw {
        let request = self.of(&[
            "GET /ok HTTP/1.0\r\n\r\n",
            "GET /ok HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
            "HEAD /ok HTTP/1.0\r\n\r\n",
            "POST /echo HTTP/1.0\r\ncontent-length: 4\r\n\r\nfour",
            "POST /read HTTP/1.0\r\ncontent-length: 400\r\n\r\nfour",
            "POST /read HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
            "POST /demo.Hostile/Good HTTP/1.0\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0",
            "GET /stream HTTP/1.0\r\n\r\n",
            "BREW /ok HTTP/1.0\r\n\r\n",
        ]);
        let mut stream = self.raw(request.as_bytes()).await;
        if request.contains("400") {
            let _ = stream.shutdown().await;
        }
        status(&mut stream).await
    }

    async fn send_garbage(&mut self) -> Saw {
        let garbage = self.dice.choice(GARBAGE).expect("some");
        let mut stream = self.raw(garbage).await;
        let answer = timeout(Duration::from_millis(50), status(&mut stream)).await;
        answer.unwrap_or(Saw::Left)
    }

    // --------------------------------------------------------------------------------------------- the helpers

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        self.dice.choice(choices).expect("some")
    }

    fn maybe_grpc(&mut self, request: http::request::Builder) -> http::request::Builder {
        match self.dice.bool() {
            true => request.header("content-type", KINDS[0]),
            false => request,
        }
    }

    async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("a place");
        let _ = stream.write_all(bytes).await;
        stream
    }
}

/// The status of an answer whose body is read to its end.
async fn answered(client: &Client, request: Request<AnyBody>) -> Saw {
    let Ok(answer) = client.try_send(request).await else {
        return Saw::Nothing;
    };
    let status = answer.status().as_u16();
    let end = timeout(DEADLINE, answer.into_body().collect()).await;
    let _ = end.expect("an end in time");
    Saw::Status(status)
}

/// The status of an answer over HTTP/1, of which nothing else is read.
async fn status(stream: &mut TcpStream) -> Saw {
    let mut line = [0; 12];
    let read = timeout(DEADLINE, stream.read_exact(&mut line)).await;
    let read = read.expect("an answer, or an end");
    let status = std::str::from_utf8(&line[9..]).ok();
    match (read, status.and_then(|status| status.parse().ok())) {
        (Ok(_), Some(status)) => Saw::Status(status),
        _ => Saw::Nothing,
    }
}
