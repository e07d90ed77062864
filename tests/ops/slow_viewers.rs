//! Viewers that take nothing or say nothing, under a paused clock: over connections in memory, whose buffers are small.

use std::{future::pending, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol};
use tower_keep::ops::{
    Ops,
    journal::{Event, EventKind, Severity},
};

use super::support::*;

/// The bytes that a connection takes without a reader.
const BUFFER: usize = 1_024;
/// A connection that takes no more than is read from it.
const HEAD: usize = 1;

/// The server's side of connections in memory.
struct InMemory(mpsc::UnboundedReceiver<DuplexStream>);

impl axum::serve::Listener for InMemory {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Service {
    ops: Ops,
    connections: mpsc::UnboundedSender<DuplexStream>,
}

impl Service {
    fn start(max_viewers: usize) -> Self {
        let ops = Ops::builder("orders").max_viewers(max_viewers).build();
        let ops = ops.expect("valid");
        ops.spawn();
        let console = ops.console::<()>(access());
        let (connections, accepted) = mpsc::unbounded_channel();
        tokio::spawn(async move { axum::serve(InMemory(accepted), console).await });
        Service { ops, connections }
    }

    /// Asks for live push, and returns the connection after the head of the answer with its status.
    async fn watch(&self, path: &str) -> (DuplexStream, u16) {
        self.watch_with(path, BUFFER).await
    }

    async fn watch_with(&self, path: &str, buffer: usize) -> (DuplexStream, u16) {
        let (mut client, server) = duplex(buffer);
        self.connections.send(server).expect("it accepts");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {VIEWER}\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.expect("an answer"));
        }
        let status = String::from_utf8_lossy(&head[9..12]).parse();
        (client, status.expect("a status"))
    }

    /// Returns whether a WebSocket is closed at once, since all places are taken.
    async fn is_full(&self) -> bool {
        let (mut connection, status) = self.watch(LIVE).await;
        assert_eq!(status, 101);
        let mut begin = [0; 4];
        let begin_of_a_frame = connection.read_exact(&mut begin).await;
        begin_of_a_frame.expect("a frame");
        // A close with the code 4429.
        begin[0] == 0x88 && begin[2..] == [0x11, 0x4d]
    }

    fn record(&self) {
        let text = "a text of an event that the application records, of some length, as they are"
            .repeat(2);
        for _ in 0..10 {
            let event = Event::new(EventKind::Custom, Severity::Info, "orders", &text);
            self.ops.journal().record(event);
        }
    }

    /// Records a lot for a while.
    async fn be_busy(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.record();
            sleep(Duration::from_millis(100)).await;
        }
    }
}

const LIVE: &str = "/api/v1/live?every=1&channels=journal";

fn resident_bytes() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

#[tokio::test(start_paused = true)]
async fn viewer_that_takes_nothing_loses_its_connection() {
    for path in [LIVE, "/api/v1/events?every=1&channels=journal"] {
        let service = Service::start(1);
        service.be_busy(Duration::from_secs(1)).await;
        let (_slow, status) = service.watch(path).await;
        assert!(matches!(status, 101 | 200), "{status}");
        assert!(service.is_full().await);
        // Longer than what a viewer may take for one frame.
        service.be_busy(Duration::from_secs(20)).await;
        // Its place is free, while it still holds its side of the connection.
        assert!(!service.is_full().await, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn viewer_that_is_too_slow_is_told_so() {
    let service = Service::start(1);
    service.be_busy(Duration::from_secs(1)).await;
    let (mut slow, _) = service.watch(LIVE).await;
    // It takes something, but not a whole frame, until it is too late; then all that is in the way.
    let mut some = [0; 256];
    slow.read_exact(&mut some)
        .await
        .expect("the begin of a frame");
    service.be_busy(Duration::from_millis(5_500)).await;
    let mut rest = Vec::new();
    timeout(Duration::from_secs(60), slow.read_to_end(&mut rest))
        .await
        .expect("an end")
        .expect("read");
    let close = [0x88, 10, 0x11, 0x38];
    assert!(rest.windows(4).any(|part| part == close), "close code 4408");
}

#[tokio::test(start_paused = true)]
async fn viewer_that_lost_frames_begins_anew() {
    let service = Service::start(1);
    let (slow, _) = service.watch(LIVE).await;
    service.be_busy(Duration::from_secs(4)).await;
    let mut socket = WebSocketStream::from_raw_socket(slow, protocol::Role::Client, None).await;
    let mut kinds = Vec::new();
    while kinds.iter().filter(|kind| **kind == "hello").count() < 2 {
        let message = futures_util::StreamExt::next(&mut socket).await;
        let message = message.expect("not the end").expect("a message");
        if let Ok(text) = message.to_text()
            && let Ok(frame) = serde_json::from_str::<serde_json::Value>(text)
        {
            kinds.push(frame["type"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(kinds[0], "hello");
}

#[tokio::test(start_paused = true)]
async fn viewer_gets_its_first_frame_without_waiting_for_a_tick() {
    let service = Service::start(1);
    service.be_busy(Duration::from_millis(1_500)).await;
    let begun = Instant::now();
    let (connection, _) = service.watch(LIVE).await;
    let mut socket =
        WebSocketStream::from_raw_socket(connection, protocol::Role::Client, None).await;
    let hello = loop {
        let message = futures_util::StreamExt::next(&mut socket).await;
        let message = message.expect("not the end").expect("a message");
        if message.is_text() {
            break message.to_string();
        }
    };
    assert!(hello.starts_with(r#"{"type":"hello""#), "{hello}");
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn viewer_that_says_nothing_is_dead() {
    let service = Service::start(1);
    let (mut dead, _) = service.watch(LIVE).await;
    // It takes everything, but answers no ping.
    let begun = Instant::now();
    let mut all = Vec::new();
    dead.read_to_end(&mut all).await.expect("read");
    let seconds = begun.elapsed().as_secs();
    assert!((45..=75).contains(&seconds), "{seconds}");
    assert!(!service.is_full().await);
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_only_told_of_too_many_viewers_are_few_at_once() {
    let service = Service::start(1);
    let (mut viewer, _) = service.watch(LIVE).await;
    tokio::spawn(async move { viewer.read_to_end(&mut Vec::new()).await });
    // They take the head of the answer, and not one byte of the close that follows.
    let mut told = Vec::new();
    loop {
        match service.watch_with(LIVE, HEAD).await {
            (connection, 101) => told.push(connection),
            (_, status) => break assert_eq!(status, 429),
        }
    }
    assert_eq!(told.len(), 16);
    // They are not waited for.
    sleep(Duration::from_secs(6)).await;
    assert!(service.is_full().await);
}

#[tokio::test(start_paused = true)]
async fn thousand_viewers_that_never_read_cost_bounded_memory() {
    const VIEWERS: usize = 1_000;
    let service = Service::start(VIEWERS);
    service.be_busy(Duration::from_secs(2)).await;
    let before = resident_bytes();
    let mut connections = Vec::new();
    for _ in 0..VIEWERS {
        let (connection, status) = service.watch(LIVE).await;
        assert_eq!(status, 101);
        connections.push(connection);
    }
    let mut most = before;
    for _ in 0..30 {
        service.be_busy(Duration::from_secs(1)).await;
        most = most.max(resident_bytes());
    }
    // Each of them was offered 300 frames of some kilobytes; all together 3 GB.
    if let (Some(before), Some(most)) = (before, most) {
        let used = most.saturating_sub(before) / 1_000_000;
        println!("{VIEWERS} viewers that never read: {used} MB");
        assert!(used < 300, "{used} MB");
    }
    assert!(!service.is_full().await, "they are gone");
}
