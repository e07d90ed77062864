//! Tells a client that breaks off or stalls its upload from an upstream that breaks off or hangs: to the connection
//! upstream they look alike, and only one of them must open the circuit.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_keep::Outcome;
use tower_keep::call::{Elapsed, Ending, find};
use tower_layer::Layer;
use tower_service::Service;

use super::BoxError;

/// What the upstream's side says of an exchange whose upload the client has broken off, or has not gone on with.
#[derive(Debug)]
pub struct UploadFailed(BoxError);

impl fmt::Display for UploadFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body did not come to its end")
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

/// Puts the errors of exchanges down to whoever caused them. Place it right round the time limit of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct BlameLayer;

impl<S> Layer<S> for BlameLayer {
    type Service = Blame<S>;

    fn layer(&self, inner: S) -> Blame<S> {
        Blame { inner }
    }
}

/// Watches uploads; made by [`BlameLayer`].
#[derive(Clone, Debug)]
pub struct Blame<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Blame<S>
where
    S: Service<Request<Upload<B>>, Response = Response<R>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Download<R>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let progress = Progress::default();
        let answer = self.inner.call(request.map(|inner| Upload {
            inner,
            progress: progress.clone(),
        }));
        Box::pin(async move {
            let response = answer.await.map_err(|error| progress.blame(error))?;
            Ok(response.map(|inner| Download { inner, progress }))
        })
    }
}

/// How far the body of one request has come; shared by both directions.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

/// The upstream takes what there is: if it is late, that is its own doing.
const FLOWS: u8 = 0;
/// The upstream would take more, but the client has not sent it.
const WAITS: u8 = 1;
/// The client has broken off.
const BROKEN: u8 = 2;

impl Progress {
    /// An error of the exchange, put down to whoever caused it. Time that ran out while a client owed more of its body
    /// is the client's, even where it only wanted an answer first: neither side can be told from the other then.
    pub fn blame(&self, error: impl Into<BoxError>) -> BoxError {
        let error = error.into();
        match self.0.load(Ordering::Relaxed) {
            BROKEN => UploadFailed(error).into(),
            WAITS if find::<Elapsed>(&*error).is_some() => UploadFailed(error).into(),
            _ => error,
        }
    }
}

/// The body of a request, watched.
pub struct Upload<B> {
    inner: B,
    progress: Progress,
}

impl<B: Body + Unpin> Body for Upload<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let progress = match frame {
            Poll::Pending => WAITS,
            Poll::Ready(Some(Err(_))) => BROKEN,
            Poll::Ready(_) => FLOWS,
        };
        self.progress.0.store(progress, Ordering::Relaxed);
        frame
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
    inner: B,
    progress: Progress,
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
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        frame.map_err(|error| self.progress.blame(error))
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
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tower_keep::timeout::TimeLimit;

    use super::*;

    #[tokio::test]
    async fn an_exchange_is_the_clients_fault_from_when_its_upload_has_failed() {
        let progress = Progress::default();
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!progress.blame(reset()).is::<UploadFailed>());
        let failing = || stream::iter([Err::<Frame<Bytes>, _>(reset())]);
        let inner = StreamBody::new(failing());
        let upload = Upload {
            inner,
            progress: progress.clone(),
        };
        upload.collect().await.expect_err("broken off");
        assert!(progress.blame(reset()).is::<UploadFailed>());
        let inner = StreamBody::new(failing());
        let error = Download { inner, progress }.collect().await;
        assert!(error.expect_err("broken off").is::<UploadFailed>());
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_runs_out_is_the_clients_only_while_more_of_its_upload_is_awaited() {
        let late = async || {
            let limit = TimeLimit::new("attempt", Duration::from_secs(1));
            let never = limit.run(std::future::pending::<()>()).await;
            never.expect_err("too late")
        };
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
        let frames = stream::unfold(receiver, async |mut receiver| {
            Some((
                Ok::<_, BoxError>(Frame::data(receiver.recv().await?)),
                receiver,
            ))
        });
        let progress = Progress::default();
        let mut upload = Upload {
            inner: Box::pin(StreamBody::new(frames)),
            progress: progress.clone(),
        };
        sender.send(Bytes::from_static(b"few")).expect("a reader");
        assert!(upload.frame().await.is_some());
        assert!(!progress.blame(late().await).is::<UploadFailed>());
        assert!(upload.frame().now_or_never().is_none());
        assert!(progress.blame(late().await).is::<UploadFailed>());
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!progress.blame(reset).is::<UploadFailed>());
        drop(sender);
        assert!(upload.frame().await.is_none());
        assert!(!progress.blame(late().await).is::<UploadFailed>());
    }
}
