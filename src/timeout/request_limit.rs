use std::time::Duration;

/// A time limit of one HTTP request until its head, which replaces the limit of each [`TimeoutLayer`] that it passes.
///
/// Put it into the request's extensions, which only this process can set. It may be longer or shorter than the layer's
/// limit, within the bounds of [`TimeLimits`](super::TimeLimits). Deadlines still apply.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::timeout::RequestLimit;
///
/// let mut request = http::Request::post("/reports").body(())?;
/// request.extensions_mut().insert(RequestLimit(Duration::from_secs(120)));
/// # Ok::<_, http::Error>(())
/// ```
///
/// [`TimeoutLayer`]: super::TimeoutLayer
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimit(pub Duration);
