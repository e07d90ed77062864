//! The pages for whoever runs the gateway, on a port of their own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_keep::prometheus::Prometheus;
use tower_service::Service;

const PAGES: &str = "\
/metrics  Prometheus text
/livez    200 as long as the process answers
/readyz   200 while new calls are welcome, else 503
/errors   what went wrong lately, as JSON
/guards   each guard, its state and its figures, as JSON
";
const TEXT: &str = "text/plain; charset=utf-8";

/// Makes a page.
pub type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers from what it is given; knows nothing about where that comes from.
#[derive(Clone)]
pub struct Admin {
    /// Whether new calls are welcome: set when everything listens, cleared when the end begins.
    pub ready: Arc<AtomicBool>,
    pub metrics: Page,
    pub errors: Page,
    pub guards: Page,
}

impl Admin {
    fn page(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/" => text(StatusCode::OK, TEXT, PAGES),
            "/livez" => text(StatusCode::OK, TEXT, "alive\n"),
            "/readyz" if self.ready.load(Ordering::SeqCst) => text(StatusCode::OK, TEXT, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n"),
            "/metrics" => text(StatusCode::OK, Prometheus::CONTENT_TYPE, (self.metrics)()),
            "/errors" => json(&self.errors),
            "/guards" => json(&self.guards),
            _ => text(StatusCode::NOT_FOUND, TEXT, "no such page; / lists them\n"),
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The server drops the body of an answer to HEAD, and keeps its length.
        let response = match *request.method() {
            Method::GET | Method::HEAD => self.page(request.uri().path()),
            _ => not_allowed(),
        };
        ready(Ok(response))
    }
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD only\n");
    let methods = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, methods);
    response
}

fn json(page: &Page) -> Response<Full<Bytes>> {
    text(StatusCode::OK, "application/json", page())
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_answers_every_page_it_lists() {
        let admin = admin();
        let listed = PAGES.lines().filter_map(|line| line.split(' ').next());
        for path in listed.chain(["/"]) {
            assert_eq!(admin.page(path).status(), StatusCode::OK, "{path}");
        }
        assert_eq!(admin.page("/metrics/").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn admin_is_alive_but_not_ready_during_shutdown() {
        let admin = admin();
        admin.ready.store(false, Ordering::SeqCst);
        assert_eq!(
            admin.page("/readyz").status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(admin.page("/livez").status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn admin_is_read_only() {
        let request = Request::post("/metrics").body(()).expect("a request");
        let Ok(response) = admin().call(request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }

    fn admin() -> Admin {
        Admin {
            ready: Arc::new(AtomicBool::new(true)),
            metrics: Arc::new(|| "calls_total 1\n".into()),
            errors: Arc::new(|| "[]\n".into()),
            guards: Arc::new(|| "[]\n".into()),
        }
    }
}
