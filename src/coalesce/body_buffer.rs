use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{SharedError, shared_bytes::SharedBytes};
#[cfg(feature = "cache")]
use crate::util::headers::copy_headers;

/// A shorter chunk is copied to others like it, so that a peer which sends single bytes takes no more memory than they have.
const SHORT_CHUNK: usize = 1024;

/// The part of a body that has been read.
#[derive(Debug, Default)]
pub(crate) struct BodyBuffer {
    chunks: VecDeque<Bytes>,
    /// Short chunks that come after those.
    short: BytesMut,
    len: usize,
    trailers: Option<HeaderMap>,
}

impl BodyBuffer {
    /// Appends a chunk, and returns the length of all.
    pub(crate) fn push(&mut self, chunk: Bytes) -> usize {
        self.len = self.len.saturating_add(chunk.len());
        if chunk.len() < SHORT_CHUNK {
            self.short.extend_from_slice(&chunk);
        } else {
            self.flush();
            self.chunks.push_back(chunk);
        }
        self.len
    }

    /// Returns the length of all chunks.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    fn flush(&mut self) {
        if !self.short.is_empty() {
            self.chunks.push_back(self.short.split().freeze());
        }
    }

    /// Returns the chunks, for a body that goes on.
    pub(crate) fn into_chunks(mut self) -> VecDeque<Bytes> {
        self.flush();
        self.chunks
    }

    /// Returns a copy of the body in memory of its own, which has ended: its chunks may be slices of a far larger buffer.
    #[cfg(feature = "cache")]
    pub(crate) fn into_copy(mut self) -> SharedBytes {
        let trailers = self.trailers.take();
        let mut bytes = Vec::with_capacity(self.len);
        for chunk in self.into_chunks() {
            bytes.extend_from_slice(&chunk);
        }
        let copy = (!bytes.is_empty()).then(|| Bytes::from(bytes));
        SharedBytes {
            chunks: copy.into_iter().collect(),
            trailers: trailers.as_ref().map(copy_headers),
            error: None,
            reserved: None,
        }
    }

    /// Returns the body, which has ended, maybe in an error.
    pub(crate) fn into_shared(mut self, error: Option<SharedError>) -> SharedBytes {
        let trailers = self.trailers.take();
        SharedBytes {
            chunks: self.into_chunks().into_iter().collect(),
            trailers,
            error,
            reserved: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_keeps_the_bytes_in_order_and_few_chunks() {
        let mut buffer = BodyBuffer::default();
        let long = Bytes::from(vec![b'x'; SHORT_CHUNK]);
        for _ in 0..10_000 {
            buffer.push(Bytes::from_static(b"a"));
            buffer.push(Bytes::new());
        }
        buffer.push(long.clone());
        assert_eq!(buffer.push(Bytes::from_static(b"b")), 10_001 + SHORT_CHUNK);
        let shared = buffer.into_shared(None);
        let lens: Vec<_> = shared.chunks.iter().map(Bytes::len).collect();
        assert_eq!(lens, [10_000, SHORT_CHUNK, 1]);
        assert_eq!(shared.chunks[1], long);
    }
}
