//! One HTTP exchange, however strange: whatever peers send, nothing panics, and a call has one outcome.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tower_keep::{
    BoxError, Guard, GuardLayer, Outcome, Rejection,
    call::{CallClock, CallEnd},
    guard::{Admit, Head},
    protocol::WireFormat,
};
use tower_layer::Layer;
use tower_service::Service;

/// An exchange as text: flags, the request's line, the response's, its headers, an empty line, and what becomes of its
/// body.
///
/// ```text
/// 2                          server (0), client (1) or gRPC client (2); +4: the body says when it has ended; +8: it is
///                            dropped unread
/// POST 2 application/grpc    method, version, content type
/// 200 application/grpc       status, or `!` for an error, and content type
/// content-length: 5          headers
///
/// data hello                 frames: `data`, `trailer name: value`, `error`, `pending`
/// trailer grpc-status: 0
/// ```
pub fn exchange(bytes: &[u8]) {
    let (flags, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut lines = rest.split(|byte| *byte == b'\n');
    // The rest of the first line.
    lines.next();
    let request = request(lines.next().unwrap_or_default());
    let head = lines.next().unwrap_or_default();
    let mut response = response(head);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if let (Some((name, value)), Some(response)) = (field(line), &mut response) {
            response.headers_mut().append(name, value);
        }
    }
    let steps: VecDeque<Step> = lines.map(Step::of).collect();
    let says_its_end = flags & 4 != 0;
    let peer = Peer {
        response: response.map(|head| {
            head.map(|()| Script {
                steps,
                says_its_end,
            })
        }),
    };
    let (outer, inner) = (Recorder::default(), Recorder::default());
    let guards = [outer.clone(), inner.clone()];
    let reader = (flags & 8 == 0).then_some(&inner);
    let read = match flags & 3 {
        1 => {
            let [outer, inner] = guards.map(|guard| GuardLayer::client(guard).pass_through());
            drive(outer.layer(inner.layer(peer)), request, reader)
        }
        2 => {
            let [outer, inner] = guards.map(|guard| GuardLayer::grpc_client(guard).pass_through());
            drive(outer.layer(inner.layer(peer)), request, reader)
        }
        _ => {
            let [outer, inner] = guards.map(|guard| GuardLayer::server(guard).pass_through());
            drive(outer.layer(inner.layer(peer)), request, reader)
        }
    };
    let [outer, inner] = [outer, inner].map(|recorder| recorder.check(&read));
    assert_eq!(outer, inner, "layers of one stack agree");
    // Whatever the HTTP status and the method, as tonic has it.
    if flags & 3 == 2 && read.is_whole && !contains_status(bytes) {
        assert_ne!(inner, Outcome::Success, "no grpc-status");
    }
}

fn contains_status(bytes: &[u8]) -> bool {
    // In text, as gRPC-Web has it, it may be spelled in any way.
    let bytes = bytes.to_ascii_lowercase();
    let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    contains(b"grpc-status") || contains(b"grpc-web-text")
}

fn request(line: &[u8]) -> Request<()> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mut request = Request::new(());
    if let Ok(method) = Method::from_bytes(parts.next().unwrap_or_default()) {
        *request.method_mut() = method;
    }
    *request.version_mut() = match parts.next() {
        Some(b"0") => Version::HTTP_10,
        Some(b"1") => Version::HTTP_11,
        Some(b"3") => Version::HTTP_3,
        _ => Version::HTTP_2,
    };
    set_content_type(request.headers_mut(), parts.next());
    request
}

/// Returns the head of the response, or `None` for an error.
fn response(line: &[u8]) -> Option<Response<()>> {
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let status = parts.next().unwrap_or_default();
    if status == b"!" {
        return None;
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_bytes(status).unwrap_or_default();
    set_content_type(response.headers_mut(), parts.next());
    Some(response)
}

fn set_content_type(headers: &mut HeaderMap, value: Option<&[u8]>) {
    if let Some(Ok(value)) = value.map(HeaderValue::from_bytes) {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

#[derive(Debug)]
enum Step {
    Frame(Frame<Bytes>),
    Error,
    Pending,
}

impl Step {
    fn of(line: &[u8]) -> Self {
        if let Some(field) = line.strip_prefix(b"trailer ") {
            return Step::Frame(Frame::trailers(self::field(field).into_iter().collect()));
        }
        match line {
            b"error" => Step::Error,
            b"pending" => Step::Pending,
            _ => {
                let data = line.strip_prefix(b"data ").unwrap_or(line);
                Step::Frame(Frame::data(Bytes::copy_from_slice(data)))
            }
        }
    }
}

/// A body that does what its steps say.
#[derive(Debug)]
struct Script {
    steps: VecDeque<Step>,
    says_its_end: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.steps.pop_front() {
            Some(Step::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Step::Error) => {
                self.steps.clear();
                Poll::Ready(Some(Err("cut off".into())))
            }
            Some(Step::Pending) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.says_its_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Answers one request.
struct Peer {
    response: Option<Response<Script>>,
}

impl Service<Request<()>> for Peer {
    type Response = Response<Script>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Script>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(self.response.take().ok_or_else(|| "no response".into()))
    }
}

/// The part of the response that the caller has read.
#[derive(Debug, Default)]
struct Read {
    bytes: u64,
    /// True if the body came to its end, well or badly.
    is_whole: bool,
    /// True if call or body failed before the call was complete.
    has_failed: bool,
}

/// Makes the call, and reads its body until it ends or has been pending twice. Without a `guard`, which sees whether the
/// call is complete, the body is dropped unread.
fn drive<S, B>(mut service: S, request: Request<()>, guard: Option<&Recorder>) -> Read
where
    S: Service<Request<()>, Response = Response<B>, Error = BoxError>,
    B: Body<Data = Bytes>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let mut read = Read::default();
    assert!(service.poll_ready(cx).is_ready());
    let Poll::Ready(result) = pin!(service.call(request)).poll(cx) else {
        panic!("the peer answers at once");
    };
    let Ok(response) = result else {
        read.is_whole = true;
        read.has_failed = true;
        return read;
    };
    let Some(guard) = guard else {
        return read;
    };
    let mut body = pin!(response.into_body());
    let mut pending = 0;
    while !body.is_end_stream() {
        let is_complete = guard.has_ended();
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                read.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(Some(Err(_))) => {
                read.has_failed = !is_complete;
                break;
            }
            Poll::Ready(None) => break,
            // A caller that waits twice gives up.
            Poll::Pending if pending == 1 => return read,
            Poll::Pending => pending += 1,
        }
    }
    read.is_whole = true;
    read
}

/// A guard that records the calls that it sees.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    head: Option<(WireFormat, StatusCode, Outcome)>,
    ends: Vec<(Outcome, u64)>,
}

impl Recorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.0.lock().expect("no check fails under the lock")
    }

    fn has_ended(&self) -> bool {
        !self.lock().ends.is_empty()
    }

    /// Checks what this guard has seen; returns the one outcome.
    fn check(&self, read: &Read) -> Outcome {
        let record = self.lock();
        let [(outcome, bytes)] = record.ends[..] else {
            panic!("a call ends once: {record:?}");
        };
        // A call may be over before its body is: with the status of gRPC-Web, say.
        assert!(bytes <= read.bytes, "bytes are counted once");
        if let Some((wire, status, at_head)) = record.head {
            if wire == WireFormat::Plain {
                assert_eq!(
                    at_head == Outcome::Success,
                    status.as_u16() < 400,
                    "{status}"
                );
            }
            assert!(at_head == Outcome::Success || outcome != Outcome::Success);
        }
        assert!(!read.has_failed || outcome != Outcome::Success);
        outcome
    }
}

impl Guard for Recorder {
    type Permit = ();

    fn on_head(&self, (): &mut (), head: &mut Head<'_>) {
        let mut record = self.lock();
        assert!(record.head.is_none() && record.ends.is_empty());
        record.head = Some((head.wire, head.status, head.outcome));
    }

    fn on_end(&self, (): (), end: &CallEnd<'_>) {
        self.lock().ends.push((end.outcome(), end.response_bytes()));
    }
}

impl<Req> Admit<Req> for Recorder {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
        Ok(())
    }
}
