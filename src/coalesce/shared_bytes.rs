use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{SharedError, reserved_bytes::ReservedBytes};
use crate::call::BoxError;

/// A body that has been read to its end. Clones share its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedBytes {
    pub(super) chunks: Arc<[Bytes]>,
    pub(super) trailers: Option<HeaderMap>,
    /// The error in which the body ended.
    pub(super) error: Option<SharedError>,
    /// The part of the bytes in flight that it takes, which is given back with the last clone.
    pub(super) reserved: Option<Arc<ReservedBytes>>,
}

/// The position of a reader in a body that has been read to its end.
#[derive(Debug)]
pub(crate) struct SharedCursor {
    body: SharedBytes,
    next: usize,
}

#[cfg(feature = "cache")]
impl SharedBytes {
    /// Returns the memory that its bytes take.
    pub(crate) fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(Bytes::len).sum();
        let trailers = self.trailers.iter().flatten();
        chunks + trailers.map(|(_, value)| value.len() + 64).sum::<usize>()
    }
}

impl SharedCursor {
    pub(crate) fn new(body: SharedBytes) -> Self {
        SharedCursor { body, next: 0 }
    }

    /// Returns the next frame: the chunks, then the trailers, then the error.
    pub(crate) fn next_frame(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        if let Some(chunk) = self.body.chunks.get(self.next) {
            self.next += 1;
            return Some(Ok(Frame::data(chunk.clone())));
        }
        if let Some(trailers) = self.body.trailers.take() {
            return Some(Ok(Frame::trailers(trailers)));
        }
        let error = self.body.error.take();
        error.map(|error| Err(error.into()))
    }

    pub(crate) fn is_end(&self) -> bool {
        let SharedBytes {
            chunks,
            trailers,
            error,
            ..
        } = &self.body;
        self.next >= chunks.len() && trailers.is_none() && error.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let left = self.body.chunks.iter().skip(self.next);
        let bytes = left.map(|chunk| chunk.len() as u64).sum();
        if self.body.error.is_none() && self.body.trailers.is_none() {
            return SizeHint::with_exact(bytes);
        }
        // The body broke off and was longer; or trailers follow, which HTTP/1.1 sends after a body of unknown length only.
        let mut hint = SizeHint::new();
        hint.set_lower(bytes);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_exact_without_trailers_only() {
        let mut body = SharedBytes {
            chunks: [Bytes::from_static(b"hello")].into(),
            ..SharedBytes::default()
        };
        let exact = |body: &SharedBytes| SharedCursor::new(body.clone()).size_hint().exact();
        assert_eq!(exact(&body), Some(5));
        body.trailers = Some(HeaderMap::new());
        assert_eq!(exact(&body), None);
        let mut cursor = SharedCursor::new(body);
        assert_eq!(cursor.size_hint().lower(), 5);
        let frames: Vec<_> = std::iter::from_fn(|| cursor.next_frame()).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!(cursor.size_hint().exact(), Some(0));
    }
}
