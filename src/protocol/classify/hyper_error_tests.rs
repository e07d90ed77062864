//! Errors of hyper's connections: whose doing they are.

use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use hyper::{
    client::conn::http1,
    rt::{Read, ReadBufCursor, Write},
};

use super::*;
use crate::call::BoxError;

const UNKNOWN: Classification = Classification::new(Outcome::Failure, Evidence::Inconclusive);

/// A connection to a peer that says nothing, on which writes fail with this error, if any.
struct Silent(Option<ErrorKind>);

impl Read for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl Write for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.0.map_or(Ok(bytes.len()), |kind| Err(kind.into()));
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Returns the error of a request with this body over this connection.
async fn failed<B>(connection: Silent, body: B) -> hyper::Error
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(connection).await.expect("ready");
    tokio::spawn(connection);
    let request = Request::post("/").body(body).expect("a request");
    sender.send_request(request).await.expect_err("no answer")
}

#[tokio::test]
async fn body_of_a_request_that_fails_is_the_callers_doing() {
    let frames = futures_util::stream::once(ready(Err::<Frame<Bytes>, _>("reset")));
    let error = failed(Silent(None), StreamBody::new(frames)).await;
    assert_eq!(classify_error(&error), Classification::CALLER_FAULT);
}

#[tokio::test]
async fn peer_that_closes_on_an_upload_may_be_well_and_other_trouble_is_its_own() {
    for (kind, classification) in [
        (ErrorKind::BrokenPipe, UNKNOWN),
        (ErrorKind::ConnectionReset, UNKNOWN),
        (ErrorKind::ConnectionAborted, UNKNOWN),
        (ErrorKind::HostUnreachable, Classification::FAILURE),
        (
            ErrorKind::TimedOut,
            Classification::new(Outcome::TimedOut, Evidence::Unhealthy),
        ),
    ] {
        let error = failed(Silent(Some(kind)), Full::<Bytes>::from("an order")).await;
        assert_eq!(classify_error(&error), classification, "{kind}: {error}");
    }
    // Of an answer that is awaited, the same says something of the peer.
    let reset = io::Error::from(ErrorKind::ConnectionReset);
    assert_eq!(classify_error(&reset), Classification::FAILURE);
}
