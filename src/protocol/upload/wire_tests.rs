//! Checks what hyper makes of requests that break off: it decides between an error and a quiet end.

use h2::{Reason, client};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc::UnboundedReceiver,
};

use super::*;

/// Serves one connection; what was seen of each request comes out.
fn serve(
    two: bool,
) -> (
    DuplexStream,
    UnboundedReceiver<(bool, Option<FramingError>)>,
) {
    let (ours, theirs) = duplex(1 << 16);
    let (seen, found) = unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        // Apart, since hyper drops the future of a request that was reset.
        tokio::spawn(async move {
            let mut body: UnsyncBoxBody<Bytes, hyper::Error> = request.into_body().boxed_unsync();
            let frames = two.then(FrameScanner::new);
            let upload = watch(&mut body, frames).expect("a body that is to come");
            let _ = body.collect().await;
            let _ = seen.send((upload.is_broken(), upload.framing_error()));
        });
        std::future::pending::<Result<http::Response<String>, Infallible>>()
    });
    let io = TokioIo::new(theirs);
    tokio::spawn(async move {
        if two {
            let builder = conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(io, service).await;
        } else {
            let _ = conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        }
    });
    (ours, found)
}

#[tokio::test]
async fn requests_that_are_reset_are_the_callers() {
    let whole = &b"\0\0\0\0\x01x"[..];
    let half = &whole[..3];
    for (reason, sent, expected) in [
        (None, whole, (false, None)),
        (None, half, (false, Some(FramingError::Truncated))),
        (Some(Reason::CANCEL), half, (true, None)),
        (Some(Reason::CANCEL), whole, (true, None)),
        (Some(Reason::INTERNAL_ERROR), half, (true, None)),
        // hyper calls this one a quiet end.
        (
            Some(Reason::NO_ERROR),
            half,
            (false, Some(FramingError::Truncated)),
        ),
    ] {
        let (io, mut found) = serve(true);
        let (mut client, connection) = client::handshake(io).await.expect("a server");
        tokio::spawn(connection);
        let request = Request::post("http://shop/order")
            .body(())
            .expect("a request");
        let (_response, mut stream) = client.send_request(request, false).expect("open");
        let data = Bytes::from_static(sent);
        stream.send_data(data, reason.is_none()).expect("open");
        if let Some(reason) = reason {
            stream.send_reset(reason);
        }
        assert_eq!(found.recv().await, Some(expected), "{reason:?} {sent:?}");
    }
}

#[tokio::test]
async fn requests_that_break_off_or_are_malformed_are_the_callers() {
    for (head, body, broken) in [
        ("content-length: 5", "hello", false),
        ("content-length: 1000", "few bytes", true),
        (
            "transfer-encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            false,
        ),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", true),
        ("transfer-encoding: chunked", "5\r\nhello\r\nzz\r\n", true),
    ] {
        let (mut io, mut found) = serve(false);
        let request = format!("POST / HTTP/1.1\r\nhost: shop\r\n{head}\r\n\r\n{body}");
        io.write_all(request.as_bytes()).await.expect("a server");
        io.shutdown().await.expect("a server");
        assert_eq!(found.recv().await, Some((broken, None)), "{head} {body:?}");
    }
}
