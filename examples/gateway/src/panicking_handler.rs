//! A handler with a bug, for the demonstration: it panics when it is asked for one path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{Either, Lazy, lazy};
use http::Request;
use tower_service::Service;

pub const PATH: &str = "/panic";

/// Passes everything on but calls to [`PATH`], if it is switched on.
#[derive(Clone)]
pub struct PanickingHandler<S> {
    inner: S,
    on: bool,
}

impl<S> PanickingHandler<S> {
    pub fn new(inner: S, on: bool) -> Self {
        Self { inner, on }
    }
}

impl<S, B> Service<Request<B>> for PanickingHandler<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Lazy<Panic<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.on && request.uri().path() == PATH {
            return Either::Right(lazy(panic_on_purpose));
        }
        Either::Left(self.inner.call(request))
    }
}

type Panic<T, E> = fn(&mut Context<'_>) -> Result<T, E>;

/// The numbers change from one panic to the next, as they do in life.
fn panic_on_purpose<T, E>(_: &mut Context<'_>) -> Result<T, E> {
    static ORDERS: AtomicU64 = AtomicU64::new(0);
    let number = ORDERS.fetch_add(1, Ordering::Relaxed);
    let message = format!(
        "on purpose: order {} has {} items, none has a price",
        4711 + number * 13,
        1 + number % 9
    );
    // A panic in all but the hook, which would fill the terminal once a second.
    std::panic::resume_unwind(Box::new(message))
}
