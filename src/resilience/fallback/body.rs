use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::call::BoxError;

pin_project! {
    /// The body of a response that may be a fallback's: `B`, the service's own, or `A`, the fallback's.
    #[derive(Debug)]
    pub struct FallbackBody<B, A> {
        #[pin]
        whose: Whose<B, A>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = WhoseProj]
    enum Whose<B, A> {
        Service { #[pin] body: B },
        Fallback { #[pin] body: A },
    }
}

impl<B, A> FallbackBody<B, A> {
    pub(super) fn service(body: B) -> Self {
        let whose = Whose::Service { body };
        FallbackBody { whose }
    }

    pub(super) fn fallback(body: A) -> Self {
        let whose = Whose::Fallback { body };
        FallbackBody { whose }
    }
}

impl<B, A> Body for FallbackBody<B, A>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().whose.project() {
            WhoseProj::Service { body } => body.poll_frame(cx).map_err(Into::into),
            WhoseProj::Fallback { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.whose {
            Whose::Service { body } => body.is_end_stream(),
            Whose::Fallback { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.whose {
            Whose::Service { body } => body.size_hint(),
            Whose::Fallback { body } => body.size_hint(),
        }
    }
}

/// As the service's.
impl<B: Default, A> Default for FallbackBody<B, A> {
    fn default() -> Self {
        FallbackBody::service(B::default())
    }
}
