//! The page that people in a browser see while the upstream is given a rest, instead of a problem in JSON.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use tower_keep::fallback::{FailedCall, Fallback, FallbackLayer, FromFn};
use tower_keep::protocol::Server;
use tower_keep::{ConfigError, RejectionKind};

const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Back soon</title>\
<h1>Back soon</h1><p>The service behind this page is out of order, and is being given a rest.\n";

/// The reader of the answer: left in it for the fallback to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reader {
    Person,
    Program,
}

impl Reader {
    pub fn of(request: &HeaderMap) -> Self {
        let mut kinds = request.get_all(ACCEPT).iter();
        match kinds.any(|kinds| kinds.as_bytes().starts_with(b"text/html")) {
            true => Reader::Person,
            false => Reader::Program,
        }
    }

    pub fn note<B>(self, mut response: Response<B>) -> Response<B> {
        response.extensions_mut().insert(self);
        response
    }
}

type Answer = fn(&FailedCall<'_>) -> Response<Full<Bytes>>;

/// Answers for a circuit that is open.
///
/// # Errors
///
/// A setting that makes no sense.
pub fn page() -> Result<FallbackLayer<Server, FromFn<Answer>>, ConfigError> {
    let fallback = Fallback::builder("error_page")
        .when(is_for_people)
        .build()?;
    Ok(FallbackLayer::server(fallback).with(answer as Answer))
}

fn is_for_people(failed: &FailedCall<'_>) -> bool {
    let open = |kind| kind == RejectionKind::CircuitOpen;
    failed.extension() == Some(&Reader::Person)
        && failed.rejection().is_some_and(|why| open(why.kind()))
}

/// The status and the time stay: it is still a failure, and programs that ask for pages must know.
fn answer(failed: &FailedCall<'_>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(PAGE));
    *response.status_mut() = failed.status().unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    if let Some(wait) = failed
        .headers()
        .and_then(|headers| headers.get(RETRY_AFTER))
    {
        headers.insert(RETRY_AFTER, wait.clone());
    }
    // For the guards round the gateway: the call was rejected, whatever it looks like.
    if let Some(why) = failed.rejection() {
        response.extensions_mut().insert(why.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_pages_and_other_clients_do_not() {
        let reader = |accept| {
            let accept = HeaderValue::from_static(accept);
            Reader::of(&HeaderMap::from_iter([(ACCEPT, accept)]))
        };
        assert_eq!(
            reader("text/html,application/xhtml+xml,*/*;q=0.8"),
            Reader::Person
        );
        assert_eq!(reader("*/*"), Reader::Program);
        assert_eq!(reader("application/json"), Reader::Program);
        assert_eq!(Reader::of(&HeaderMap::new()), Reader::Program);
    }
}
