use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    reserved_bytes::ReservedBytes,
    shared_bytes::{SharedBytes, SharedCursor},
};
use crate::{call::BoxError, util::service_body::ServiceBody};

pin_project! {
    /// The body of a response through a [`CoalesceLayer`](super::CoalesceLayer): that of the service, or one that several callers
    /// share. Forwards `size_hint` and `is_end_stream`.
    #[derive(Debug)]
    pub struct CoalescedBody<B> {
        #[pin]
        kind: BodyKind<B>,
    }
}

pin_project! {
    #[project = BodyKindProj]
    #[derive(Debug)]
    enum BodyKind<B> {
        Service { #[pin] body: ServiceBody<B> },
        // The service's own, after what was read of it before it turned out to be too long, which is reserved until it is read.
        Long { first: VecDeque<Bytes>, rest: Pin<Box<B>>, reserved: Option<ReservedBytes> },
        Shared { cursor: SharedCursor },
    }
}

impl<B> CoalescedBody<B> {
    pub(super) fn from_service(body: B) -> Self {
        let body = ServiceBody::new(body);
        CoalescedBody {
            kind: BodyKind::Service { body },
        }
    }

    pub(super) fn from_long(
        first: VecDeque<Bytes>,
        rest: Pin<Box<B>>,
        reserved: ReservedBytes,
    ) -> Self {
        CoalescedBody {
            kind: BodyKind::Long {
                first,
                rest,
                reserved: Some(reserved),
            },
        }
    }

    pub(super) fn from_shared(body: SharedBytes) -> Self {
        CoalescedBody {
            kind: BodyKind::Shared {
                cursor: SharedCursor::new(body),
            },
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        let body = ServiceBody::from_bytes(message);
        CoalescedBody {
            kind: BodyKind::Service { body },
        }
    }
}

impl<B> Body for CoalescedBody<B>
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
            BodyKindProj::Service { body } => body.poll_frame(cx),
            BodyKindProj::Long {
                first,
                rest,
                reserved,
            } => match first.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => {
                    *reserved = None;
                    let frame = ready!(rest.as_mut().poll_frame(cx));
                    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
                }
            },
            BodyKindProj::Shared { cursor } => Poll::Ready(cursor.next_frame()),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Service { body } => body.is_end_stream(),
            BodyKind::Long { first, rest, .. } => first.is_empty() && rest.is_end_stream(),
            BodyKind::Shared { cursor } => cursor.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Service { body } => body.size_hint(),
            BodyKind::Long { first, rest, .. } => {
                let read = first.iter().map(|chunk| chunk.len() as u64).sum();
                add(rest.size_hint(), read)
            }
            BodyKind::Shared { cursor } => cursor.size_hint(),
        }
    }
}

/// Adds bytes that come before those of the hint.
fn add(mut hint: SizeHint, bytes: u64) -> SizeHint {
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(bytes));
    }
    hint.set_lower(hint.lower().saturating_add(bytes));
    hint
}

/// The default body of the service.
impl<B: Default> Default for CoalescedBody<B> {
    fn default() -> Self {
        CoalescedBody::from_service(B::default())
    }
}
