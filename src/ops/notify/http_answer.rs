use std::time::SystemTime;

use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Receipt, SendError};
use crate::{retry::RetryAfter, util::text::truncated};

/// The part of a response that is read, in bytes: it says in a few words what was wrong.
const MAX_BODY: usize = 4_096;
/// The part of it that is shown.
const MAX_SHOWN: usize = 200;

/// A response with a success.
#[derive(Debug)]
pub struct HttpAnswer {
    pub(super) status: StatusCode,
    /// The beginning of the body.
    pub(super) text: String,
}

impl HttpAnswer {
    pub(super) fn receipt(&self) -> Receipt {
        Receipt::new().with_status(self.status.as_u16())
    }
}

/// Reads the beginning of a body. One that breaks off is as good as one that ends.
pub(super) async fn read_beginning(response: Response<Incoming>) -> String {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            let room = MAX_BODY - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the error of a status that is no success. What may be different later is sent again.
pub(super) fn status_error(
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
    at: SystemTime,
) -> SendError {
    let code = status.as_u16();
    let shown = truncated(text, MAX_SHOWN);
    let text = match (status.is_redirection(), shown.is_empty()) {
        (true, _) => format!("responds {code}: redirects are not followed"),
        (false, true) => format!("responds {code}"),
        (false, false) => format!("responds {code}: {shown}"),
    };
    let is_retryable = matches!(code, 408 | 425 | 429) || status.is_server_error();
    if !is_retryable {
        return SendError::permanent(text).with_status(code);
    }
    let error = SendError::retryable(text).with_status(code);
    match RetryAfter::from_headers(headers, at) {
        Some(RetryAfter::After(wait) | RetryAfter::NotBefore(wait)) => error.with_retry_after(wait),
        Some(RetryAfter::Never) | None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn status_decides_whether_it_is_sent_again() {
        let error = |code: u16, headers: &HeaderMap| {
            let status = StatusCode::from_u16(code).expect("a status");
            status_error(status, headers, "no_service", SystemTime::UNIX_EPOCH)
        };
        let none = HeaderMap::new();
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(error(code, &none).is_retryable(), "{code}");
        }
        for code in [301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(!error(code, &none).is_retryable(), "{code}");
        }
        assert_eq!(error(404, &none).to_string(), "responds 404: no_service");
        assert_eq!(
            error(302, &none).to_string(),
            "responds 302: redirects are not followed"
        );
        let headers = [(header::RETRY_AFTER, HeaderValue::from_static("30"))];
        let error = error(429, &headers.into_iter().collect());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    }
}
