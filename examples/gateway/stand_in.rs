//! Stands in for the guards until they are here: judges each call by its status and how its body ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use crate::report::Window;

#[derive(Clone)]
pub struct Watched<S> {
    inner: S,
    window: Arc<Window>,
    in_flight: Arc<AtomicUsize>,
}

impl<S> Watched<S> {
    pub fn new(inner: S, window: Arc<Window>, in_flight: Arc<AtomicUsize>) -> Self {
        Self {
            inner,
            window,
            in_flight,
        }
    }
}

/// Reports the call when it is dropped, whoever drops it.
struct Call {
    window: Arc<Window>,
    in_flight: Arc<AtomicUsize>,
    began: Instant,
    verdict: Option<&'static str>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let outcome = match self.verdict {
            _ if std::thread::panicking() => "panicked",
            Some(verdict) => verdict,
            None => "cancelled",
        };
        metrics::counter!("gateway_calls_total", "outcome" => outcome).increment(1);
        self.window.observe(outcome, self.began.elapsed());
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, R, B> Service<Request<R>> for Watched<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body,
{
    type Response = Response<WatchedBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut call = Call {
            window: Arc::clone(&self.window),
            in_flight: Arc::clone(&self.in_flight),
            began: Instant::now(),
            verdict: None,
        };
        let future = self.inner.call(request);
        Box::pin(async move {
            let response = future.await?;
            call.verdict = judge(response.status())
                .or(Some("success").filter(|_| response.body().is_end_stream()));
            Ok(response.map(|inner| WatchedBody {
                inner: Box::pin(inner),
                call,
            }))
        })
    }
}

fn judge(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        429 | 503 => Some("overload"),
        504 => Some("timed_out"),
        500.. => Some("failure"),
        400.. => Some("ignored"),
        _ => None,
    }
}

pub struct WatchedBody<B> {
    inner: Pin<Box<B>>,
    call: Call,
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(self.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.call.verdict = Some("failure"),
            _ if self.is_end_stream() || frame.is_none() => {
                self.call.verdict.get_or_insert("success");
            }
            _ => {}
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
