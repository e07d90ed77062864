//! Bodies of requests as reqwest takes them.

use std::{
    any::Any,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::call::BoxError;

/// The longest body that is taken over whole, in bytes: what retries buffer, and a socket takes at once.
const MAX_WHOLE: u64 = 64 * 1024;

/// Converts a body into one of reqwest's, which must be `Sync`: those of layers are not.
///
/// A body of up to 64 KiB that is ready, and every one of reqwest's own, can be sent again by a redirect.
///
/// For stacks whose type is to be erased: see the second example of the [module](super).
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_keep::reqwest::into_body;
///
/// let body = into_body(Full::new(Bytes::from("an order")));
/// assert_eq!(body.as_bytes(), Some(&b"an order"[..]));
/// ```
pub fn into_body<B>(body: B) -> ::reqwest::Body
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut body = Some(body);
    let own = (&mut body as &mut dyn Any).downcast_mut::<Option<::reqwest::Body>>();
    if let Some(own) = own.and_then(Option::take) {
        return own;
    }
    body.map_or_else(::reqwest::Body::default, convert)
}

fn convert<B>(body: B) -> ::reqwest::Body
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let len = body.size_hint().exact();
    let mut inner = Box::pin(body);
    if !len.is_some_and(|len| (1..=MAX_WHOLE).contains(&len)) {
        return ::reqwest::Body::wrap(SyncBody::new(None, inner));
    }
    // A body that is not ready is polled again by reqwest, and then takes its waker.
    let mut cx = Context::from_waker(Waker::noop());
    let first = match inner.as_mut().poll_frame(&mut cx) {
        Poll::Ready(Some(frame)) => Some(frame.map_err(Into::into)),
        // Shorter than it said: reqwest comes to the same end.
        Poll::Ready(None) | Poll::Pending => None,
    };
    match first {
        Some(Ok(frame)) if inner.is_end_stream() && frame.is_data() => {
            frame.into_data().unwrap_or_default().into()
        }
        first => ::reqwest::Body::wrap(SyncBody::new(first, inner)),
    }
}

/// A body that may be shared between threads, although only one of them ever reads it.
struct SyncBody<B> {
    /// The first frame, if it has been read already.
    first: Option<Result<Frame<Bytes>, BoxError>>,
    // Boxed: a pinned mutex gives no pinned access to what it holds.
    inner: Mutex<Pin<Box<B>>>,
}

impl<B> SyncBody<B> {
    fn new(first: Option<Result<Frame<Bytes>, BoxError>>, inner: Pin<Box<B>>) -> Self {
        SyncBody {
            first,
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pin<Box<B>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for SyncBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        let inner = this.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let frame = ready!(inner.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.lock().size_hint();
        let Some(Ok(frame)) = &self.first else {
            return hint;
        };
        let read = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::iter;
    use http_body_util::{BodyExt, Full, StreamBody};
    use pin_project_lite::pin_project;

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

    pin_project! {
        /// Frames that claim to be so many bytes.
        struct Claims<B> {
            #[pin]
            inner: B,
            len: u64,
        }
    }

    impl<B: Body> Body for Claims<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
            self.project().inner.poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.len)
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
        Ok(Frame::data(Bytes::from(text)))
    }

    async fn collected(frames: Frames, len: u64) -> Result<Bytes, String> {
        let inner = StreamBody::new(iter(frames));
        let body = into_body(Claims { inner, len });
        assert!(body.as_bytes().is_none(), "more may follow");
        let collected = body.collect().await;
        collected.map(|body| body.to_bytes()).map_err(|error| {
            crate::call::find::<std::io::Error>(&error)
                .expect("its cause")
                .to_string()
        })
    }

    #[test]
    fn body_that_is_short_and_ready_can_be_sent_again() {
        let body = into_body(Full::<Bytes>::from("an order"));
        assert_eq!(body.as_bytes(), Some(&b"an order"[..]));
        let own = into_body(::reqwest::Body::from("an order"));
        assert_eq!(own.as_bytes(), Some(&b"an order"[..]));
        let long = into_body(Full::<Bytes>::from("x".repeat(MAX_WHOLE as usize + 1)));
        assert_eq!(long.as_bytes(), None);
        assert_eq!(long.size_hint().exact(), Some(MAX_WHOLE + 1));
        let empty = into_body(http_body_util::Empty::<Bytes>::new());
        assert_eq!(empty.size_hint().exact(), Some(0));
    }

    #[tokio::test]
    async fn body_of_several_frames_loses_none() {
        let frames = vec![data("an "), data("order")];
        assert_eq!(collected(frames, 8).await.expect("no error"), "an order");
        assert_eq!(collected(vec![], 8).await.expect("no error"), "");
        let broken = || Err(std::io::Error::other("broken").into());
        let frames = vec![data("an "), broken()];
        assert_eq!(collected(frames, 8).await.expect_err("broken"), "broken");
        assert_eq!(
            collected(vec![broken()], 8).await.expect_err("broken"),
            "broken"
        );
    }

    #[test]
    fn body_of_which_a_frame_was_read_is_as_long_as_before() {
        let inner = StreamBody::new(iter([Ok::<_, Infallible>(Frame::data(Bytes::from("an ")))]));
        let mut body = SyncBody::new(Some(data("an ")), Box::pin(Claims { inner, len: 5 }));
        assert_eq!(body.size_hint().exact(), Some(8));
        body.first = None;
        assert_eq!(body.size_hint().exact(), Some(5));
    }
}
