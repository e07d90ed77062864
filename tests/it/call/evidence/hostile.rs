//! Clients that do what no library lets one do: they break off, stall and garble what they send.

use std::{net::SocketAddr, time::Duration};

use axum::body::Bytes;
use http::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::interval,
};

use crate::support::within;

/// The ways in which an upload fails.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// Nine bytes of a thousand, and the end of the connection.
    HangsUp,
    /// The same, by a reset.
    Resets,
    /// A chunk, and the end of the connection.
    CutsChunks,
    /// A chunk, and then something else.
    Garbles,
    /// A stream that is reset after its headers.
    Cancels,
    /// The same in the middle of its body.
    CancelsLater,
    /// A stream that ends before its content-length.
    EndsEarly,
    /// A connection of HTTP/2 that is gone.
    Leaves,
}
use Break::*;

impl Break {
    pub const ALL: [Break; 8] = [
        HangsUp,
        Resets,
        CutsChunks,
        Garbles,
        Cancels,
        CancelsLater,
        EndsEarly,
        Leaves,
    ];

    /// Posts, and breaks off. What reads the body is told by somebody else when it has begun.
    pub async fn upload(self, to: SocketAddr, path: &str, arrived: &Notify) {
        match self {
            HangsUp | Resets | CutsChunks | Garbles => self.upload1(to, path, arrived).await,
            Cancels | CancelsLater | EndsEarly | Leaves => self.upload2(to, path, arrived).await,
        }
    }

    async fn upload1(self, to: SocketAddr, path: &str, arrived: &Notify) {
        let rest = match self {
            // Asked to go on, and closed without having read that: a reset.
            Resets => "expect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
            CutsChunks | Garbles => "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            _ => "content-length: 1000\r\n\r\n123456789",
        };
        let mut stream = post1(to, path, rest).await;
        within(arrived.notified()).await;
        match self {
            Garbles => {
                let _ = stream.write_all(b"zz\r\n").await;
                status1(&mut stream).await;
            }
            Resets => within(stream.readable()).await.expect("100 Continue"),
            _ => {
                stream.shutdown().await.expect("a connection");
                // Until the other side is through with it, too.
                let _ = within(stream.read_to_end(&mut Vec::new())).await;
            }
        }
    }

    async fn upload2(self, to: SocketAddr, path: &str, arrived: &Notify) {
        let length = matches!(self, EndsEarly).then_some(("content-length", "1000"));
        let mut call = post2(to, path, length.as_slice()).await;
        if matches!(self, CancelsLater | Leaves) {
            call.send(b"123456789", false);
        }
        within(arrived.notified()).await;
        match self {
            Cancels | CancelsLater => call.cancel(),
            EndsEarly => call.send(b"123456789", true),
            Leaves => call.connection.abort(),
            _ => {}
        }
        let _ = within(call.answer).await;
    }
}

/// Writes the head of a request over HTTP/1.1, and whatever else.
pub async fn post1(to: SocketAddr, path: &str, rest: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{rest}");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("a connection");
    stream
}

/// The status of what comes, or nothing if the connection ends first.
pub async fn status1(stream: &mut TcpStream) -> Option<u16> {
    let mut line = [0; 12];
    within(stream.read_exact(&mut line)).await.ok()?;
    std::str::from_utf8(&line[9..]).ok()?.parse().ok()
}

/// A call over HTTP/2 whose body is being sent.
pub struct Call2 {
    pub body: h2::SendStream<Bytes>,
    pub answer: h2::client::ResponseFuture,
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

impl Call2 {
    pub fn send(&mut self, data: &'static [u8], end: bool) {
        let sent = self.body.send_data(Bytes::from_static(data), end);
        sent.expect("an open stream");
    }

    pub fn cancel(&mut self) {
        self.body.send_reset(h2::Reason::CANCEL);
    }

    pub async fn status(self) -> StatusCode {
        within(self.answer).await.expect("an answer").status()
    }
}

pub async fn post2(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Call2 {
    let stream = TcpStream::connect(to).await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut sender = within(sender.ready()).await.expect("a connection");
    let mut request = Request::post(format!("http://{to}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let (answer, body) = sender.send_request(request, false).expect("a stream");
    Call2 {
        body,
        answer,
        connection,
    }
}

/// The ways in which an upload takes longer than it may.
#[derive(Clone, Copy, Debug)]
pub enum Stall {
    /// Sends nothing but a head.
    Head,
    /// Sends the beginning.
    Beginning,
    /// Sends a byte now and then.
    Trickles,
    /// Sends the rest once this time is over, which is nearly all there is.
    AtLast(Duration),
}

impl Stall {
    /// Posts, and returns the status of the answer.
    pub async fn upload1(self, to: SocketAddr, path: &str) -> u16 {
        let mut stream = post1(to, path, "content-length: 1000\r\n\r\n").await;
        let (mut read, mut write) = stream.split();
        let answer = async {
            let mut line = [0; 12];
            let read = within(read.read_exact(&mut line)).await;
            read.expect("a status line");
            String::from_utf8_lossy(&line[9..])
                .parse()
                .expect("a status")
        };
        let send = async {
            match self {
                Stall::Head => {}
                Stall::Beginning => write.write_all(b"123456789").await.expect("a connection"),
                Stall::Trickles => {
                    let mut ticks = interval(Duration::from_millis(10));
                    for _ in 0..900 {
                        ticks.tick().await;
                        if write.write_all(b"1").await.is_err() {
                            break;
                        }
                    }
                }
                Stall::AtLast(time) => {
                    tokio::time::sleep(time).await;
                    let _ = write.write_all(&[b'1'; 1_000]).await;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! { status = answer => status, () = send => unreachable!() }
    }

    pub async fn upload2(self, to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> StatusCode {
        let call = post2(to, path, headers).await;
        let (mut body, answer) = (call.body, call.answer);
        let mut send =
            move |data: &'static [u8], end| body.send_data(Bytes::from_static(data), end).is_ok();
        let sending = async {
            match self {
                Stall::Head => {}
                Stall::Beginning => assert!(send(b"123456789", false)),
                Stall::Trickles => {
                    let mut ticks = interval(Duration::from_millis(10));
                    for _ in 0..900 {
                        ticks.tick().await;
                        if !send(b"1", false) {
                            break;
                        }
                    }
                }
                Stall::AtLast(time) => {
                    tokio::time::sleep(time).await;
                    send(&[b'1'; 1_000], true);
                }
            }
            std::future::pending::<()>().await;
        };
        let answer = async { within(answer).await.expect("an answer").status() };
        tokio::select! { status = answer => status, () = sending => unreachable!() }
    }
}
