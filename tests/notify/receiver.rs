//! A server on loopback that answers as it is told, and keeps what it got.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// The reaction of the receiver to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16, &'static str),
    /// 429, with `Retry-After` in seconds.
    Throttle(u64),
    Redirect(String),
    /// Reads the request, and says nothing.
    Hang,
    /// Reads the request, and closes the connection.
    Cut,
    /// A success whose body never ends.
    Endless,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(HeaderValue::to_str);
        value.and_then(Result::ok).unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The next answers; the last one stays.
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    came: Notify,
}

impl Receiver {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answers: Mutex::new(answers.into_iter().collect()),
            received: Mutex::default(),
            came: Notify::new(),
        });
        let own = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, own.clone()));
            }
        });
        Receiver { address, shared }
    }

    pub async fn ok() -> Self {
        Self::start([Answer::Status(200, "ok")]).await
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/s3cr3tpath", self.address)
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// Waits until it has got so many requests, and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let came = self.shared.came.notified();
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            came.await;
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(received) = read(&mut stream).await else {
        return;
    };
    let answer = {
        let mut answers = shared.answers.lock().expect("no panic");
        match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        }
    };
    shared.received.lock().expect("no panic").push(received);
    shared.came.notify_waiters();
    let head = |status: u16, more: &str, length: usize| {
        let reason = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        let reason = reason.unwrap_or("Unknown");
        format!("HTTP/1.1 {status} {reason}\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    let text = match answer.expect("an answer") {
        Answer::Status(status, body) => format!("{}{body}", head(status, "", body.len())),
        Answer::Throttle(seconds) => head(429, &format!("retry-after: {seconds}\r\n"), 0),
        Answer::Redirect(location) => head(302, &format!("location: {location}\r\n"), 0),
        Answer::Hang => return std::future::pending().await,
        Answer::Cut => return,
        Answer::Endless => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"4\r\nok\n\n\r\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
            return;
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name: http::HeaderName = name.parse().ok()?;
        headers.append(name, value.parse().ok()?);
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = Bytes::copy_from_slice(&bytes[end + 4..end + 4 + length]);
    Some(Received {
        path,
        headers,
        body,
    })
}
