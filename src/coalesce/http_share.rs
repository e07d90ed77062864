//! Reads a response to its end, so that several callers can have it.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, header, response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    CoalescedBody, SharedError, body_buffer::BodyBuffer, flight::Landed,
    reserved_bytes::ReservedBytes, share::ShareError, share_rules::ShareRules,
    shared_response::SharedResponse,
};
use crate::{call::BoxError, util::poll::POLLED_AFTER_COMPLETION};

/// Content types of responses that end when the caller has had enough.
const ENDLESS: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];

pin_project! {
    /// The future of a call whose response is read to its end.
    pub struct CollectResponse<F, B, K> {
        #[pin]
        state: CollectState<F, B>,
        rules: ShareRules,
        kind: PhantomData<fn() -> K>,
    }
}

pin_project! {
    #[project = CollectStateProj]
    enum CollectState<F, B> {
        Calling { #[pin] future: F, reserved: Option<ReservedBytes> },
        Reading { reading: Option<Reading<B>> },
    }
}

/// A response whose body is being read. Boxed, since it moves on with what was read where it is too long.
struct Reading<B> {
    head: response::Parts,
    body: Pin<Box<B>>,
    buffer: BodyBuffer,
    reserved: ReservedBytes,
}

impl<F, B, K> CollectResponse<F, B, K> {
    pub(super) fn new(future: F, rules: ShareRules, reserved: ReservedBytes) -> Self {
        let reserved = Some(reserved);
        CollectResponse {
            state: CollectState::Calling { future, reserved },
            rules,
            kind: PhantomData,
        }
    }
}

/// The response of a call, whole or not.
type Collected<B> = Landed<SharedResponse, Response<CoalescedBody<B>>>;

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Reading<B> {
    /// Reads on. Returns whether the body is too long, for itself or with the others, or the error in which it ended.
    fn poll_read(
        &mut self,
        max_bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<(bool, Option<SharedError>)> {
        // Not before the first frame: a body of a known length says when it has ended.
        while !self.body.is_end_stream() {
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready((false, Some(SharedError::new(error)))),
            };
            match frame.into_data() {
                Ok(chunk) => {
                    let len = self.buffer.push(chunk);
                    if len > max_bytes || !self.reserved.grow_to(len) {
                        return Poll::Ready((true, None));
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.buffer.set_trailers(trailers);
                        break;
                    }
                }
            }
        }
        Poll::Ready((false, None))
    }

    fn finish(mut self, is_too_long: bool, error: Option<SharedError>) -> Collected<B> {
        if is_too_long {
            let body =
                CoalescedBody::from_long(self.buffer.into_chunks(), self.body, self.reserved);
            return Landed::Own(Response::from_parts(self.head, body));
        }
        // Before the response is handed on: the body may hold a connection.
        drop(self.body);
        // A body that broke off is shorter than its head has said.
        self.reserved.shrink_to(self.buffer.len());
        let mut body = self.buffer.into_shared(error);
        body.reserved = Some(Arc::new(self.reserved));
        Landed::Shared(SharedResponse::new(self.head, body))
    }
}

/// Returns whether a response can be kept as a whole, as far as its head says.
fn is_shareable<B: Body>(response: &Response<B>, rules: ShareRules) -> bool {
    let is_endless = |value: &http::HeaderValue| {
        let starts_with = |name: &&[u8]| {
            let start = value.as_bytes().get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        ENDLESS.iter().any(starts_with)
    };
    let content_type = response.headers().get(header::CONTENT_TYPE);
    // A connection that is upgraded belongs to one caller.
    response.status() != StatusCode::SWITCHING_PROTOCOLS
        && rules.allow(response.headers())
        && response.body().size_hint().lower() <= rules.max_bytes as u64
        && !content_type.is_some_and(is_endless)
}

impl<F, B, K, E> Future for CollectResponse<F, B, K>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    K: ShareError<E>,
{
    type Output = Landed<Result<SharedResponse, K::SharedError>, Response<CoalescedBody<B>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                CollectStateProj::Calling { future, reserved } => {
                    let response = match ready!(future.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            return Poll::Ready(Landed::Shared(Err(K::share_error(error))));
                        }
                    };
                    let mut reserved = reserved.take().expect(POLLED_AFTER_COMPLETION);
                    // As much as is known, so that two long bodies do not stop each other half way.
                    let len = usize::try_from(response.body().size_hint().lower());
                    if !is_shareable(&response, *this.rules)
                        || !len.is_ok_and(|len| reserved.grow_to(len))
                    {
                        let response = response.map(CoalescedBody::from_service);
                        return Poll::Ready(Landed::Own(response));
                    }
                    let (head, body) = response.into_parts();
                    let (body, buffer) = (Box::pin(body), BodyBuffer::default());
                    let reading = Some(Reading {
                        head,
                        body,
                        buffer,
                        reserved,
                    });
                    this.state.set(CollectState::Reading { reading });
                }
                CollectStateProj::Reading { reading } => {
                    let read = reading.as_mut().expect(POLLED_AFTER_COMPLETION);
                    let (is_too_long, error) = ready!(read.poll_read(this.rules.max_bytes, cx));
                    let read = reading.take().expect(POLLED_AFTER_COMPLETION);
                    return Poll::Ready(match read.finish(is_too_long, error) {
                        Landed::Shared(response) => Landed::Shared(Ok(response)),
                        Landed::Own(response) => Landed::Own(response),
                    });
                }
            }
        }
    }
}
