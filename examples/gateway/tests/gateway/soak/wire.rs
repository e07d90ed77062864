//! A connection of the upstream that can be made to say anything, or to break, whatever the server above it
//! would write.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The fault of the connection in place of the next thing that the server writes. It is over then.
#[derive(Clone, Copy)]
pub enum Blow {
    /// Sends this and closes.
    Says(&'static [u8]),
    /// Closes with a reset.
    Resets,
}

/// Shared by a connection and the handler of its requests.
#[derive(Clone, Default)]
pub struct Order(Arc<Mutex<Option<Blow>>>);

impl Order {
    pub fn give(&self, blow: Blow) {
        *self.0.lock().expect("no panic") = Some(blow);
    }

    fn take(&self) -> Option<Blow> {
        self.0.lock().expect("no panic").take()
    }
}

pub struct Wire {
    stream: TcpStream,
    order: Order,
}

impl Wire {
    pub fn new(stream: TcpStream, order: Order) -> Self {
        Wire { stream, order }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.order.take() {
            None => return Pin::new(&mut self.stream).poll_write(cx, bytes),
            Some(Blow::Says(words)) => {
                // A few bytes: there is room for them, or the reader is no better off.
                let _ = self.stream.try_write(words);
            }
            Some(Blow::Resets) => self.stream.set_zero_linger()?,
        }
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
