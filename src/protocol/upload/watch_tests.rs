use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, stream};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, advance},
};

use super::*;
use crate::protocol::grpc_framing::FramingError;

/// Watches a body where it is: a box round it takes its place. `frames` looks at its gRPC messages.
///
/// `None` if there is nothing to watch, or if the body's type is none of those that can be changed in place.
fn watch<B: 'static + Default>(body: &mut B, frames: Option<FrameScanner>) -> Option<Upload> {
    let mut request = Request::new(mem::take(body));
    let upload = watch_request(&mut request, frames);
    *body = request.into_body();
    upload
}

type Piece = Result<Frame<Bytes>, BoxError>;
type Boxed = UnsyncBoxBody<Bytes, BoxError>;

fn data(data: &'static [u8]) -> Piece {
    Ok(Frame::data(Bytes::from_static(data)))
}

fn reset() -> Piece {
    Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

/// A body that yields what is sent, and ends when the sender is dropped.
fn channel() -> (UnboundedSender<Piece>, Boxed) {
    let (sender, receiver) = unbounded_channel();
    let frames = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    (
        sender,
        UnsyncBoxBody::new(StreamBody::new(Box::pin(frames))),
    )
}

fn channel_watched() -> (UnboundedSender<Piece>, Boxed, Upload) {
    let (sender, mut body) = channel();
    let upload = watch(&mut body, None).expect("a stream");
    (sender, body, upload)
}

fn pieces(pieces: Vec<Piece>) -> Boxed {
    UnsyncBoxBody::new(StreamBody::new(stream::iter(pieces)))
}

/// Reads to the end, or to the error.
fn read<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    while let Some(Ok(_)) = body.frame().now_or_never().expect("no wait") {}
}

fn upload_of(mut body: Boxed, frames: Option<FrameScanner>) -> Upload {
    let upload = watch(&mut body, frames).expect("a stream");
    read(&mut body);
    upload
}

/// A body that says what it is told to say.
struct Says {
    exact: Option<u64>,
    frames: std::vec::IntoIter<Piece>,
    knows_its_end: bool,
}

impl Says {
    fn new(exact: Option<u64>, knows_its_end: bool, frames: Vec<Piece>) -> Self {
        let frames = frames.into_iter();
        Says {
            exact,
            frames,
            knows_its_end,
        }
    }
}

impl Body for Says {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(self.frames.next())
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.frames.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.exact
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

// ---- what is watched

/// A body that panics when it is asked whether it has ended.
struct Panics;

impl Body for Panics {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        std::panic::resume_unwind(Box::new(()))
    }
}

#[test]
fn body_that_panics_when_it_is_asked_costs_its_request_no_extension() {
    let mut request = Request::new(UnsyncBoxBody::new(Panics));
    request.extensions_mut().insert("kept");
    let asked = catch_unwind(AssertUnwindSafe(|| watch_request(&mut request, None)));
    assert!(asked.is_err());
    assert_eq!(request.extensions().get(), Some(&"kept"));
}

#[test]
fn body_with_nothing_in_it_is_not_watched() {
    let nothing = Says::new(Some(0), false, Vec::new());
    for mut body in [
        Boxed::default(),
        UnsyncBoxBody::new(Empty::new().map_err(|never| match never {})),
        UnsyncBoxBody::new(nothing),
    ] {
        assert!(watch(&mut body, None).is_none());
    }
}

#[test]
fn bodies_of_types_that_cannot_be_changed_in_place_are_left_alone() {
    let mut full = Full::new(Bytes::from_static(b"order"));
    assert!(watch(&mut full, None).is_none());
    assert!(watch(&mut "no body at all", None).is_none());
}

macro_rules! each_boxed_type_is_watched {
    ($($(#[$cfg:meta])* $type:ty: $new:expr;)*) => {
        #[test]
        fn bodies_of_every_boxed_type_are_watched_and_say_the_same() {
            $($(#[$cfg])* {
                let frames = stream::iter([Ok(Frame::data(Bytes::from_static(b"order")))]);
                let mut body: $type = $new(StreamBody::new(frames));
                let upload = watch(&mut body, Some(FrameScanner::new())).expect(stringify!($type));
                let read = body.collect().now_or_never().expect("no wait");
                assert_eq!(read.expect("whole").to_bytes(), "order", stringify!($type));
                assert!(upload.is_malformed(), stringify!($type));
            })*
        }
    };
}
each_boxed_type_is_watched! {
    UnsyncBoxBody<Bytes, BoxError>: UnsyncBoxBody::new;
    UnsyncBoxBody<Bytes, Infallible>: UnsyncBoxBody::new;
    UnsyncBoxBody<Bytes, io::Error>: UnsyncBoxBody::new;
    BoxBody<Bytes, BoxError>: BoxBody::new;
    BoxBody<Bytes, Infallible>: BoxBody::new;
    BoxBody<Bytes, io::Error>: BoxBody::new;
    #[cfg(feature = "hyper")]
    UnsyncBoxBody<Bytes, hyper::Error>: UnsyncBoxBody::new;
    #[cfg(feature = "hyper")]
    BoxBody<Bytes, hyper::Error>: BoxBody::new;
    #[cfg(feature = "axum")]
    UnsyncBoxBody<Bytes, axum_core::Error>: UnsyncBoxBody::new;
    #[cfg(feature = "axum")]
    BoxBody<Bytes, axum_core::Error>: BoxBody::new;
    #[cfg(feature = "tonic")]
    UnsyncBoxBody<Bytes, tonic::Status>: UnsyncBoxBody::new;
    #[cfg(feature = "tonic")]
    BoxBody<Bytes, tonic::Status>: BoxBody::new;
    #[cfg(feature = "axum")]
    axum_core::body::Body: |body| axum_core::body::Body::new(typed::<_, BoxError>(body));
    #[cfg(feature = "tonic")]
    tonic::body::Body: |body| tonic::body::Body::new(typed::<_, BoxError>(body));
}

#[cfg(any(feature = "axum", feature = "tonic"))]
fn typed<B: Body<Data = Bytes, Error = E>, E>(body: B) -> B {
    body
}

#[test]
fn hints_and_the_end_are_forwarded_exactly() {
    for (exact, knows_its_end) in [
        (Some(5), true),
        (Some(5), false),
        (None, true),
        (None, false),
    ] {
        let says = Says::new(exact, knows_its_end, vec![data(b"order")]);
        let mut body: Boxed = UnsyncBoxBody::new(says);
        watch(&mut body, None).expect("watched");
        let told = body.size_hint();
        assert_eq!((told.lower(), told.upper()), (exact.unwrap_or(0), exact));
        assert!(!body.is_end_stream());
        assert!(body.frame().now_or_never().expect("ready").is_some());
        assert_eq!(body.is_end_stream(), knows_its_end);
    }
}

#[cfg(feature = "axum")]
#[test]
fn errors_of_axum_bodies_are_wrapped_no_deeper() {
    let mut body = axum_core::body::Body::new(pieces(vec![reset()]));
    let upload = watch(&mut body, None).expect("a stream");
    let error = body
        .frame()
        .now_or_never()
        .expect("ready")
        .expect("a frame");
    let error = error.expect_err("broken").into_inner();
    assert!(error.is::<io::Error>(), "{error:?}");
    assert!(upload.is_broken());
}

#[cfg(feature = "tonic")]
#[test]
fn errors_of_tonic_bodies_stay_the_same() {
    let failing = pieces(vec![Err(tonic::Status::data_loss("torn").into())]);
    let mut body = tonic::body::Body::new(failing);
    let upload = watch(&mut body, None).expect("a stream");
    let error = body
        .frame()
        .now_or_never()
        .expect("ready")
        .expect("a frame");
    assert_eq!(error.expect_err("broken").code(), tonic::Code::DataLoss);
    assert!(upload.is_broken());
}

// ---- layers around each other

#[test]
fn inner_layers_find_what_the_outermost_watches() {
    let mut request = Request::new(pieces(vec![data(b"order"), reset()]));
    request.extensions_mut().insert("kept");
    let outer = watch_request(&mut request, None).expect("a stream");
    let inner = watch_request(&mut request, None).expect("watched");
    assert!(outer.ptr_eq(&inner));
    assert_eq!(request.extensions().get(), Some(&"kept"));
    // A layer between them has given the body a type of its own.
    let mut mapped = request.map(Some);
    let innermost = watch_request(&mut mapped, None).expect("watched");
    read(mapped.body_mut().as_mut().expect("still there"));
    assert!(outer.is_broken() && inner.is_broken() && innermost.is_broken());
}

#[test]
fn body_with_the_extensions_of_one_that_has_ended_is_watched_itself() {
    let mut request = Request::new(pieces(vec![data(b"order")]));
    let inbound = watch_request(&mut request, None).expect("a stream");
    read(request.body_mut());
    let mut onward = request.map(|_| pieces(vec![reset()]));
    let outbound = watch_request(&mut onward, None).expect("a stream");
    read(onward.body_mut());
    assert!(outbound.is_broken() && !inbound.is_broken());
    let found = onward.extensions().get::<Upload>().expect("put there");
    assert!(found.ptr_eq(&outbound));
}

#[test]
fn request_without_a_body_gets_nothing_new() {
    let mut request = Request::new(Boxed::default());
    assert!(watch_request(&mut request, None).is_none());
    assert!(request.extensions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn call_that_begins_later_is_not_blamed_on_earlier_waits() {
    let (sender, body) = channel();
    let mut request = Request::new(body);
    let (began, first) = (Instant::now(), watch_request(&mut request, None));
    assert!(request.body_mut().frame().now_or_never().is_none());
    advance(Duration::from_secs(60)).await;
    drop(sender);
    read(request.body_mut());
    let (began_again, second) = (Instant::now(), watch_request(&mut request, None));
    advance(Duration::from_secs(10)).await;
    let now = Instant::now();
    assert!(
        first
            .expect("watched")
            .blames_caller_for_timeout(began, now)
    );
    assert!(
        !second
            .expect("watched")
            .blames_caller_for_timeout(began_again, now)
    );
}

#[path = "reporter_tests.rs"]
mod reporter;
#[cfg(feature = "hyper")]
#[path = "wire_tests.rs"]
mod wire;
