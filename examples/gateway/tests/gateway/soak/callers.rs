//! Clients, most of them ill-mannered.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::client::{AnyBody, Client, full, pieces};
use super::super::process::DEADLINE;
use super::call_log::{CallLog, Manner};
use super::faulty_upstream::{BAD, GOOD, GRPC_BAD, GRPC_GOOD};

const TIME_LEFT: &str = "x-envoy-expected-rq-timeout-ms";
/// None of it is a request, so none of it is a call.
pub const GARBAGE: [&[u8]; 8] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
    b"\0\0\0\0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: many\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nb ad: header\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand no frame after it, not a single one",
    b"EHLO somebody.example\r\nQUIT\r\n",
];
/// Beginnings that nothing follows.
const HALVES: [&[u8]; 4] = [
    b"",
    b"P",
    b"GET / HTTP/1.1\r\nhost: a\r\nx-half",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];
/// The parts of bodies that are sent before they stall.
const STALLED: [&str; 4] = [
    "content-length: 100\r\n\r\n",
    "content-length: 100\r\n\r\nfew",
    "transfer-encoding: chunked\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n3\r\nfew\r\n",
];
/// The number of calls and connections that one caller leaves half done; enough that most outlast the gateway's limits.
const HELD: usize = 24;
/// The time for which the answer to garbage is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Sends one call after the other, each in a manner of its own.
pub struct Caller {
    dice: fastrand::Rng,
    name: String,
    calls: u64,
    clients: [Client; 2],
    call_log: Arc<CallLog>,
    url: String,
    /// One task each, which ends when it is dropped.
    held: VecDeque<JoinSet<()>>,
}

/// A call about to be made.
struct Call {
    id: String,
    path: &'static str,
    http2: bool,
    post: bool,
    keyed: bool,
    grpc: bool,
    time_left: Option<u64>,
}

impl Caller {
    pub fn new(seed: u64, name: &str, url: &str, call_log: Arc<CallLog>) -> Self {
        Caller {
            dice: fastrand::Rng::with_seed(seed),
            name: name.to_owned(),
            calls: 0,
            clients: [Client::http1(), Client::http2()],
            call_log,
            url: url.to_owned(),
            held: VecDeque::new(),
        }
    }

    /// Until then; `faulty` is how many of a hundred calls ask for something that goes wrong.
    pub async fn run(mut self, until: Instant, faulty: u32) {
        while Instant::now() < until {
            match self.dice.u32(..100) {
                0..4 => self.garbage().await,
                4..8 => self.half_open().await,
                manner => {
                    let call = self.call(faulty);
                    self.send(call, manner).await;
                }
            }
            self.pause(8).await;
        }
    }

    /// A polite call for this. The status, if there was one.
    pub async fn ask(&mut self, path: &'static str) -> Option<u16> {
        let call = Call {
            path,
            post: false,
            grpc: false,
            time_left: (path == "/hang").then_some(300),
            ..self.call(0)
        };
        self.open(&call, Manner::Polite);
        self.polite(&call, full("")).await
    }

    fn call(&mut self, faulty: u32) -> Call {
        self.calls += 1;
        let dice = &mut self.dice;
        let (faulty, grpc) = (dice.u32(..100) < faulty, dice.u32(..100) < 15);
        let path = match (faulty, grpc) {
            (false, false) => dice.choice(GOOD),
            (true, false) => dice.choice(BAD),
            (false, true) => Some(GRPC_GOOD),
            (true, true) => dice.choice(GRPC_BAD),
        };
        let path = path.expect("a path");
        // Not all that hang are waited for to the end.
        let time_left = match dice.u8(..4) {
            0 => Some(dice.u64(2000..20_000)),
            1 | 2 if path == "/hang" || path == "/crawl" => Some(dice.u64(1..400)),
            _ => None,
        };
        Call {
            id: format!("{}-{}", self.name, self.calls),
            path,
            http2: grpc || dice.bool(),
            post: grpc || path == "/echo" || dice.u8(..3) == 0,
            keyed: dice.bool(),
            grpc,
            time_left,
        }
    }

    async fn send(&mut self, mut call: Call, manner: u32) {
        match manner {
            8..14 => self.leave_before_head(&call).await,
            14..20 => self.leave_in_body(&call).await,
            20..28 => self.upload(&mut call, Manner::UploadsSlowly).await,
            28..32 => self.upload(&mut call, Manner::BreaksOff).await,
            32..42 => self.raw(&mut call, manner).await,
            42..44 => self.stall(&mut call),
            44..49 => self.read_slowly(&call).await,
            49..51 => self.stop_reading(&call).await,
            51..54 => {
                call.time_left = Some(0);
                self.open(&call, Manner::Late);
                self.polite(&call, full("")).await;
            }
            _ => {
                self.open(&call, Manner::Polite);
                let order = vec![b'o'; self.dice.usize(..10_000)];
                let body = if call.post { full(order) } else { full("") };
                self.polite(&call, body).await;
            }
        }
    }

    fn open(&self, call: &Call, manner: Manner) {
        let repeatable = !call.post || call.keyed;
        self.call_log.open(&call.id, manner, call.path, repeatable);
    }

    /// The status, if there was one.
    async fn polite(&mut self, call: &Call, body: AnyBody) -> Option<u16> {
        let answer = self.answer(call, body).await?;
        let status = answer.status().as_u16();
        let whole = timeout(DEADLINE, answer.into_body().collect()).await;
        let whole = whole.unwrap_or_else(|_| panic!("{}: no end of the body", call.id));
        self.call_log.answered(&call.id, status, whole.is_ok());
        Some(status)
    }

    /// None if it broke off before its head was seen: on HTTP/2 the reset of a body overtakes the head.
    async fn answer(&self, call: &Call, body: AnyBody) -> Option<Response<Incoming>> {
        let request = call.request(&self.url, body);
        let sent = self.clients[usize::from(call.http2)].try_send(request);
        let answer = sent.await.ok()?;
        let status = answer.status().as_u16();
        self.call_log.answered(&call.id, status, false);
        Some(answer)
    }

    async fn leave_before_head(&mut self, call: &Call) {
        self.open(call, Manner::LeavesBeforeHead);
        let patience = Duration::from_micros(self.dice.u64(..60_000));
        if let Ok(Some(answer)) = timeout(patience, self.answer(call, full("an order"))).await {
            let whole = timeout(DEADLINE, answer.into_body().collect()).await;
            let _ = whole.expect("an end of the body");
        }
    }

    async fn leave_in_body(&mut self, call: &Call) {
        self.open(call, Manner::LeavesInBody);
        let Some(answer) = self.answer(call, full("an order")).await else {
            return;
        };
        let mut body = answer.into_body();
        for _ in 0..self.dice.u8(..3) {
            let _ = timeout(DEADLINE, body.frame()).await.expect("a piece");
        }
    }

    async fn read_slowly(&mut self, call: &Call) {
        self.open(call, Manner::ReadsSlowly);
        let Some(answer) = self.answer(call, full("an order")).await else {
            return;
        };
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut pauses = 10;
        loop {
            match timeout(DEADLINE, body.frame()).await.expect("a piece") {
                Some(Ok(_)) => {}
                end => return self.call_log.answered(&call.id, status, end.is_none()),
            }
            if pauses > 0 {
                pauses -= 1;
                self.pause(20).await;
            }
        }
    }

    /// Takes the head, and lets the rest wait.
    async fn stop_reading(&mut self, call: &Call) {
        self.open(call, Manner::StopsReading);
        if let Some(answer) = self.answer(call, full("an order")).await {
            self.hold(answer);
        }
    }

    /// Begins an upload and does not go on with it, over either version.
    fn stall(&mut self, call: &mut Call) {
        call.post = true;
        self.open(call, Manner::Stalls);
        let (sender, body) = pieces();
        let mut request = call.request(&self.url, body);
        if self.dice.bool() {
            let promised = http::HeaderValue::from_static("100");
            request.headers_mut().insert("content-length", promised);
        }
        if self.dice.bool() {
            let _ = sender.send(Frame::data("few".into()));
        }
        let client = self.clients[usize::from(call.http2)].clone();
        let (call_log, id) = (Arc::clone(&self.call_log), call.id.clone());
        self.hold_task(async move {
            let answer = client.try_send(request).await;
            if let Ok(answer) = &answer {
                call_log.answered(&id, answer.status().as_u16(), false);
            }
            let () = pending().await;
            drop((sender, answer));
        });
    }

    /// Piece by piece; one that breaks off is given up with pieces to come.
    async fn upload(&mut self, call: &mut Call, manner: Manner) {
        call.post = true;
        self.open(call, manner);
        let (sender, body) = pieces();
        let number = self.dice.u32(1..6);
        let pauses: Vec<_> = (0..number).map(|_| self.dice.u64(..20)).collect();
        if manner == Manner::BreaksOff {
            tokio::select! {
                () = feed(&sender, &pauses) => {}
                answer = self.answer(call, body) => drop(answer),
            }
            // The body must not end well before the call is given up.
            return self.pause(20).await;
        }
        let answer = async {
            let Some(answer) = self.answer(call, body).await else {
                return;
            };
            let status = answer.status().as_u16();
            let whole = timeout(DEADLINE, answer.into_body().collect()).await;
            let whole = whole.expect("an end of the body").is_ok();
            self.call_log.answered(&call.id, status, whole);
        };
        let upload = async {
            feed(&sender, &pauses).await;
            drop(sender);
        };
        tokio::join!(answer, upload);
    }

    /// Sends over HTTP/1.1 what no decent client sends.
    async fn raw(&mut self, call: &mut Call, manner: u32) {
        (call.post, call.grpc) = (true, false);
        let (manner, rest) = match manner {
            32..36 => (
                Manner::BreaksOff,
                "content-length: 5000\r\n\r\nnot all of it",
            ),
            36..40 => (
                Manner::Garbles,
                "transfer-encoding: chunked\r\n\r\n3\r\nfew\r\nzz\r\n",
            ),
            _ => (Manner::Stalls, *self.dice.choice(&STALLED).expect("some")),
        };
        self.open(call, manner);
        let key = if call.keyed {
            "idempotency-key: k\r\n"
        } else {
            ""
        };
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: soak\r\nx-correlation-id: {}\r\n{key}{rest}",
            call.path, call.id,
        );
        let mut stream = self.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        if manner == Manner::Stalls {
            return self.hold(stream);
        }
        self.pause(30).await;
        if self.dice.bool() {
            let _ = stream.set_zero_linger();
        }
        if self.dice.bool() {
            listen(&mut stream).await;
        }
    }

    async fn garbage(&mut self) {
        let mut stream = self.connect().await;
        let garbage = self.dice.choice(GARBAGE).expect("some");
        let _ = stream.write_all(garbage).await;
        listen(&mut stream).await;
    }

    async fn half_open(&mut self) {
        let mut stream = self.connect().await;
        let half = self.dice.choice(HALVES).expect("some");
        let _ = stream.write_all(half).await;
        self.hold(stream);
    }

    /// Does nothing more with it, for a while.
    fn hold(&mut self, what: impl Send + 'static) {
        self.hold_task(async move {
            let () = pending().await;
            drop(what);
        });
    }

    fn hold_task(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.held.push_back(JoinSet::from_iter([task]));
        if self.held.len() > HELD {
            self.held.pop_front();
        }
    }

    async fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        TcpStream::connect(address).await.expect("a connection")
    }

    /// People take their time. Nothing relies on how long.
    async fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.dice.u64(..=most))).await;
    }
}

impl Call {
    fn request(&self, url: &str, body: AnyBody) -> Request<AnyBody> {
        let url = format!("{url}{}", self.path);
        let mut request = if self.post {
            Request::post(url)
        } else {
            Request::get(url)
        };
        request = request.header("x-correlation-id", &self.id);
        if self.http2 {
            request = request.version(Version::HTTP_2);
        }
        if self.grpc {
            request = request
                .header("content-type", "application/grpc")
                .header("te", "trailers");
        }
        if self.keyed {
            request = request.header("idempotency-key", &self.id);
        }
        match self.time_left {
            // gRPC has no zero: a nanosecond is as good.
            Some(0) if self.grpc => request = request.header("grpc-timeout", "1n"),
            Some(left) if self.grpc => request = request.header("grpc-timeout", format!("{left}m")),
            Some(left) => request = request.header(TIME_LEFT, left),
            None => {}
        }
        request.body(body).expect("a request")
    }
}

async fn feed(body: &UnboundedSender<Frame<Bytes>>, pauses: &[u64]) {
    for pause in pauses {
        // Nobody may want it any more: the answer can be there before the end.
        let _ = body.send(Frame::data(vec![b'u'; 2000].into()));
        sleep(Duration::from_millis(*pause)).await;
    }
}

/// Reads until the other side closes, and not for long.
async fn listen(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
}
