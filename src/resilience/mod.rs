//! Keeping calls going when the other side is not at its best, and services standing when it is down.
//!
//! | module | what |
//! |---|---|
//! | [`breaker`] | stop calling what fails, and find out when it is well again |
//! | [`timeout`] | time limits and deadlines |
//! | [`fallback`] | another answer where a call fails |
//! | [`retry`] | another attempt after a failure: how long to wait, how many, and never too many at once |

pub mod breaker;
pub mod fallback;
mod hint;
pub mod retry;
pub mod timeout;

use http::{HeaderMap, HeaderValue, Method};

/// Whether an HTTP request says of itself that it may be done twice.
fn may_be_done_twice(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent() || headers.get("idempotency-key").is_some_and(is_a_key)
}

/// An empty key, quoted or not, tells no request from another.
fn is_a_key(value: &HeaderValue) -> bool {
    let mut bytes = value.as_bytes().iter();
    bytes.any(|byte| !byte.is_ascii_whitespace() && *byte != b'"')
}
