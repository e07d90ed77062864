//! Tells a client that breaks off or stalls its upload from an upstream that breaks off or hangs: to the connection
//! upstream they look alike, and only one of them must open the circuit.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
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
        None => end.outcome(),
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
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<Course>>);

#[derive(Debug)]
struct Course {
    began: Instant,
    now: Stage,
    /// How long the upstream has waited for the client, the present wait apart.
    waited: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The upstream takes what there is: if it is late, that is its own doing.
    Flows,
    /// The upstream would take more, but the client has not sent it.
    Waits { since: Instant },
    /// The client has broken off.
    Broken,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Course {
            began: Instant::now(),
            now: Stage::Flows,
            waited: Duration::ZERO,
        })))
    }
}

impl Progress {
    /// An error of the exchange, put down to whoever caused it. Time that ran out while a client owed more of its body
    /// is the client's, even where it only wanted an answer first: neither side can be told from the other then. So is
    /// time that the client took for the most part: who ends an upload at the last moment leaves none for an answer.
    pub fn blame(&self, error: impl Into<BoxError>) -> BoxError {
        let error = error.into();
        let late = || find::<Elapsed>(&*error).is_some();
        let course = self.course();
        let clients = match course.now {
            Stage::Broken => true,
            Stage::Waits { .. } => late(),
            Stage::Flows => late() && 2 * course.waited > course.began.elapsed(),
        };
        match clients {
            true => UploadFailed(error).into(),
            false => error,
        }
    }

    fn saw<F, E>(&self, frame: &Poll<Option<Result<F, E>>>) {
        let mut course = self.course();
        let since = match course.now {
            Stage::Waits { since } => Some(since),
            _ => None,
        };
        course.now = match frame {
            Poll::Pending => Stage::Waits {
                since: since.unwrap_or_else(Instant::now),
            },
            Poll::Ready(frame) => {
                course.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
                match frame {
                    Some(Err(_)) => Stage::Broken,
                    _ => Stage::Flows,
                }
            }
        };
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.progress.saw(&frame);
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

    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
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
        let (sender, mut upload, progress) = upload();
        sender.send(Bytes::from_static(b"few")).expect("a reader");
        assert!(upload.frame().await.is_some());
        assert!(!progress.blame(late(SECOND).await).is::<UploadFailed>());
        assert!(upload.frame().now_or_never().is_none());
        assert!(progress.blame(late(SECOND).await).is::<UploadFailed>());
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(!progress.blame(reset).is::<UploadFailed>());
        drop(sender);
        assert!(upload.frame().await.is_none());
        assert!(!progress.blame(late(SECOND).await).is::<UploadFailed>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_its_upload_at_the_last_moment_is_late_itself() {
        for (wait, clients) in [(900, true), (100, false)] {
            let (sender, mut upload, progress) = upload();
            let wait = Duration::from_millis(wait);
            let end = async {
                tokio::time::sleep(wait).await;
                drop(sender);
            };
            let (frame, ()) = tokio::join!(upload.frame(), end);
            assert!(frame.is_none());
            let error = progress.blame(late(SECOND - wait).await);
            assert_eq!(error.is::<UploadFailed>(), clients, "{wait:?}");
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    async fn late(after: Duration) -> Elapsed {
        let never = TimeLimit::new("attempt", after).run(std::future::pending::<()>());
        never.await.expect_err("too late")
    }

    type Watched = Upload<Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>>;

    fn upload() -> (UnboundedSender<Bytes>, Watched, Progress) {
        let (sender, receiver) = unbounded_channel();
        let frames = stream::unfold(receiver, async |mut receiver| {
            Some((Ok(Frame::data(receiver.recv().await?)), receiver))
        });
        let progress = Progress::default();
        let upload = Upload {
            inner: Box::pin(StreamBody::new(frames)) as Pin<Box<_>>,
            progress: progress.clone(),
        };
        (sender, upload, progress)
    }
}
