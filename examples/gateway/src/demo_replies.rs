//! The embedded upstream's replies: each way in which a server can behave.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TRAILER, UPGRADE,
};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use super::BoxError;

/// Longer than any caller's patience, yet no call stays for ever.
const HANG: Duration = Duration::from_secs(60);

pub type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;

pub fn reply(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let body = Full::new(text.into()).map_err(|never| match never {});
    let mut reply = Response::new(body.boxed_unsync());
    *reply.status_mut() = status;
    reply
}

pub async fn slow(number: u64) -> Reply {
    sleep(Duration::from_millis(200 + number * 37 % 300)).await;
    reply(StatusCode::OK, "at last\n")
}

pub async fn hanging() -> Reply {
    let _ = timeout(HANG, pending::<()>()).await;
    reply(StatusCode::OK, "nobody waited for this\n")
}

pub fn failing(number: u64) -> Reply {
    reply(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("{}\n", complaint(number)),
    )
}

/// The same failure, never in the same words: IDs and numbers differ.
fn complaint(number: u64) -> String {
    let (order, took) = (4711 + number * 13, 20 + number * 7 % 60);
    let customer = format!("0d4c2a61-9f0e-4b7d-8a35-1c6e72b0{:04x}", number % 65_536);
    format!("order {order} of customer {customer} not saved: lock held for {took} ms")
}

pub fn busy(number: u64) -> Reply {
    let status = match number % 2 {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut reply = reply(status, "too much to do\n");
    reply
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// Five lines with pauses, and their number in a trailer.
pub fn streaming() -> Reply {
    let lines = stream::iter(1..=5).then(|line| async move {
        sleep(Duration::from_millis(40)).await;
        Ok(Frame::data(Bytes::from(format!("line {line}\n"))))
    });
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("lines"), HeaderValue::from(5))]);
    let end = stream::iter([Ok::<_, BoxError>(Frame::trailers(trailers))]);
    let mut reply = Response::new(StreamBody::new(lines.chain(end)).boxed_unsync());
    reply
        .headers_mut()
        .insert(TRAILER, HeaderValue::from_static("lines"));
    reply
}

/// Promises more than it sends.
pub fn cut() -> Reply {
    let start = stream::iter([Ok(Frame::data(Bytes::from_static(b"half of")))]);
    let end = stream::once(async {
        sleep(Duration::from_millis(20)).await;
        Err::<Frame<Bytes>, BoxError>("cut off on purpose".into())
    });
    let mut reply = Response::new(StreamBody::new(start.chain(end)).boxed_unsync());
    reply
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("1000"));
    reply
}

/// Sends the body back as it arrives, its trailers too.
pub fn echo(request: Request<Incoming>) -> Reply {
    let trailer = request.headers().get(TRAILER).cloned();
    let mut reply = Response::new(request.into_body().map_err(BoxError::from).boxed_unsync());
    if let Some(trailer) = trailer {
        reply.headers_mut().insert(TRAILER, trailer);
    }
    reply
}

/// Switches to whatever the client likes, and echoes from then on.
pub fn upgrade(mut request: Request<Incoming>) -> Reply {
    let Some(protocol) = request.headers().get(UPGRADE).cloned() else {
        return reply(StatusCode::UPGRADE_REQUIRED, "ask for an upgrade\n");
    };
    let switch = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(switch.await?));
        tokio::io::copy(&mut reader, &mut writer).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut writer).await?;
        Ok::<_, BoxError>(())
    });
    let mut reply = reply(StatusCode::SWITCHING_PROTOCOLS, "");
    reply
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    reply.headers_mut().insert(UPGRADE, protocol);
    reply
}

/// An empty message and OK; every third call fails, in its trailers.
pub fn grpc(number: u64) -> Reply {
    const INTERNAL: u16 = 13;
    let code = if number.is_multiple_of(3) {
        INTERNAL
    } else {
        0
    };
    let message = if code == 0 {
        String::new()
    } else {
        complaint(number)
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&message) {
        trailers.insert("grpc-message", message);
    }
    let empty_message = Frame::data(Bytes::from_static(&[0; 5]));
    let frames = stream::iter([
        Ok::<_, BoxError>(empty_message),
        Ok(Frame::trailers(trailers)),
    ]);
    let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
    let kind = HeaderValue::from_static("application/grpc");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_keep::errors::normalize_message;

    #[test]
    fn complaints_differ_and_are_one_group_of_errors() {
        let group = normalize_message(&complaint(0));
        for number in 1..1000 {
            assert_ne!(complaint(number - 1), complaint(number));
            assert_eq!(normalize_message(&complaint(number)), group);
        }
    }
}
