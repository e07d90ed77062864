use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{body_injection::BodyInjection, plan::BodyFault, shared::ChaosShared};
use crate::{call::BoxError, protocol::WrapBody, util::service_body::ServiceBody};

pin_project! {
    /// A response body that may break off or come slowly. Forwards `size_hint` and `is_end_stream`.
    pub struct ChaosBody<B> {
        // Empty after it has broken off.
        #[pin]
        inner: ServiceBody<B>,
        // Boxed, since most bodies are as the service made them.
        injection: Option<Box<BodyInjection>>,
    }
}

impl<B> Body for ChaosBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(injection) = this.injection else {
            return this.inner.poll_frame(cx);
        };
        let polled = injection.poll_frame(this.inner.as_mut(), cx);
        if injection.is_broken() {
            this.inner.as_mut().end();
        }
        if injection.is_over() {
            *this.injection = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let injection = self.injection.as_ref();
        !injection.is_some_and(|injection| injection.has_more()) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.size_hint();
        match &self.injection {
            None => hint,
            Some(injection) => injection.size_hint(hint),
        }
    }
}

impl<B: Default> Default for ChaosBody<B> {
    fn default() -> Self {
        ChaosBody {
            inner: ServiceBody::default(),
            injection: None,
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for ChaosBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// A wrapper that puts bodies in a [`ChaosBody`].
#[derive(Debug)]
pub struct WrapChaosBody;

impl WrapBody for WrapChaosBody {
    type Body<B> = ChaosBody<B>;
    type With<'a> = Option<(&'a Arc<ChaosShared>, BodyFault)>;

    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: Self::With<'_>,
        _: &mut response::Parts,
        body: B,
    ) -> ChaosBody<B> {
        let injection = with.and_then(|(chaos, fault)| BodyInjection::begin(chaos, fault, &body));
        ChaosBody {
            inner: ServiceBody::new(body),
            injection,
        }
    }

    fn message_body<B>(message: Bytes) -> ChaosBody<B> {
        ChaosBody {
            inner: ServiceBody::from_bytes(message),
            injection: None,
        }
    }
}
