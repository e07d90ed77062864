//! Tells a client that breaks off its upload from an upstream that breaks off the exchange: to the connection
//! upstream they look alike, and only one of them must open the circuit.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use tower_keep::Outcome;
use tower_keep::call::{Ending, find};

use super::BoxError;

/// What the upstream's side says of an exchange whose upload the client has broken off.
#[derive(Debug)]
pub struct UploadFailed(BoxError);

impl fmt::Display for UploadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body broke off")
    }
}

impl Error for UploadFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// The caller's own fault, wherever it shows: in place of the head, or in the body of the answer.
pub fn judge(end: &Ending<'_>) -> Outcome {
    match end.error().and_then(find::<UploadFailed>) {
        Some(_) => Outcome::Ignored,
        None => end.verdict(),
    }
}

/// Whether the body of one request has failed; shared by both directions.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<AtomicBool>);

impl Broken {
    /// An error of the exchange, put down to whoever caused it.
    pub fn blame(&self, error: impl Into<BoxError>) -> BoxError {
        let error = error.into();
        match self.0.load(Ordering::Relaxed) {
            true => UploadFailed(error).into(),
            false => error,
        }
    }
}

/// The body of a request, watched for its failure.
pub struct Upload<B> {
    pub inner: B,
    pub broken: Broken,
}

impl<B: Body + Unpin> Body for Upload<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            self.broken.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of the answer, whose end may be the upload's fault.
pub struct Download<B> {
    pub inner: B,
    pub broken: Broken,
}

impl<B: Body + Unpin> Body for Download<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| self.broken.blame(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn an_exchange_is_the_clients_fault_from_when_its_upload_has_failed() {
        let broken = Broken::default();
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!broken.blame(reset()).is::<UploadFailed>());
        let failing = || stream::iter([Err::<Frame<Bytes>, _>(reset())]);
        let inner = StreamBody::new(failing());
        let upload = Upload {
            inner,
            broken: broken.clone(),
        };
        upload.collect().await.expect_err("broken off");
        assert!(broken.blame(reset()).is::<UploadFailed>());
        let inner = StreamBody::new(failing());
        let error = Download { inner, broken }.collect().await;
        assert!(error.expect_err("broken off").is::<UploadFailed>());
    }
}
