use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::recording::Recording;
use crate::{
    call::BoxError,
    coalesce::{SharedBytes, SharedCursor},
    util::service_body::ServiceBody,
};

pin_project! {
    /// The body of a response through an [`HttpCacheLayer`](super::HttpCacheLayer): that of the service, which may be recorded as it
    /// passes, or one that was kept. Forwards `size_hint` and `is_end_stream`.
    #[derive(Debug)]
    pub struct CachedBody<B> {
        #[pin]
        kind: BodyKind<B>,
    }
}

pin_project! {
    #[project = BodyKindProj]
    #[derive(Debug)]
    enum BodyKind<B> {
        Service { #[pin] body: ServiceBody<B>, recording: Option<Box<Recording>> },
        Kept { cursor: SharedCursor },
    }
}

impl<B> CachedBody<B> {
    pub(super) fn from_service(body: B) -> Self {
        let body = ServiceBody::new(body);
        CachedBody {
            kind: BodyKind::Service {
                body,
                recording: None,
            },
        }
    }

    pub(super) fn from_kept(body: SharedBytes) -> Self {
        let cursor = SharedCursor::new(body);
        CachedBody {
            kind: BodyKind::Kept { cursor },
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        let body = ServiceBody::from_bytes(message);
        CachedBody {
            kind: BodyKind::Service {
                body,
                recording: None,
            },
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> CachedBody<B> {
    /// Creates a body that is recorded, and kept once it has ended well.
    pub(super) fn recorded(body: B, recording: Recording) -> Self {
        let is_end = body.is_end_stream();
        let body = ServiceBody::new(body);
        let mut recording = Some(Box::new(recording));
        if is_end {
            finish(&mut recording);
        }
        CachedBody {
            kind: BodyKind::Service { body, recording },
        }
    }
}

fn finish(recording: &mut Option<Box<Recording>>) {
    if let Some(recording) = recording.take() {
        recording.finish();
    }
}

fn give_up(recording: &mut Option<Box<Recording>>) {
    if let Some(recording) = recording.take() {
        recording.give_up();
    }
}

/// Records a frame, or gives up.
fn record(recording: &mut Option<Box<Recording>>, frame: Option<&Result<Frame<Bytes>, BoxError>>) {
    let Some(kept) = recording else { return };
    match frame {
        None => finish(recording),
        Some(Ok(frame)) if kept.record(frame) => {
            // Nothing comes after them.
            if frame.is_trailers() {
                finish(recording);
            }
        }
        Some(_) => give_up(recording),
    }
}

impl<B> Body for CachedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            BodyKindProj::Service {
                mut body,
                recording,
            } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                if recording.is_some() {
                    record(recording, frame.as_ref());
                    // A reader that knows the length does not ask for more.
                    if body.is_end_stream() {
                        finish(recording);
                    }
                }
                Poll::Ready(frame)
            }
            BodyKindProj::Kept { cursor } => Poll::Ready(cursor.next_frame()),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Service { body, .. } => body.is_end_stream(),
            BodyKind::Kept { cursor } => cursor.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Service { body, .. } => body.size_hint(),
            BodyKind::Kept { cursor } => cursor.size_hint(),
        }
    }
}

/// The default body of the service.
impl<B: Default> Default for CachedBody<B> {
    fn default() -> Self {
        CachedBody::from_service(B::default())
    }
}
