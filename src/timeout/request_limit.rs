use std::time::Duration;

/// Limits the time of one request until its head, in the place of the limit of each [`TimeoutLayer`] that it passes.
///
/// Goes into the request's extensions, where only this process can put it. May be longer or shorter than the layer's
/// limit, but stays within the bounds of a [table](super::TimeLimits). Deadlines hold all the same. HTTP only.
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
