use std::fmt;

use http::HeaderMap;

/// A message of an [`HttpChannel`](super::HttpChannel): JSON that is sent by POST.
pub struct HttpMessage {
    /// The path on the same server, where it is not that of the URL.
    pub(super) path: Option<&'static str>,
    pub(super) body: String,
    pub(super) headers: HeaderMap,
}

impl HttpMessage {
    /// Creates a message to the URL, without headers of its own.
    pub(super) fn new(body: String) -> Self {
        HttpMessage {
            path: None,
            body,
            headers: HeaderMap::new(),
        }
    }
}

impl fmt::Debug for HttpMessage {
    /// Writes what is no secret: bodies have keys in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpMessage");
        debug.field("path", &self.path).finish_non_exhaustive()
    }
}
