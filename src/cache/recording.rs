use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;

use super::{
    CacheSettings,
    http_entry::{HttpEntry, Variant},
    misses::Miss,
    shared::CacheShared,
};
use crate::{
    coalesce::{BodyBuffer, HeadKey},
    util::headers::copy_headers,
};

/// A response that is kept once its body has ended well. Its drop before that forgets it, unless all bytes are there that its head
/// promised: a reader that knows the length, such as hyper's, does not ask for the end.
///
/// All recordings of a cache together stay inside of its bound of memory: readers may be slow, and many.
pub(super) struct Recording {
    shared: Arc<CacheShared>,
    buffer: BodyBuffer,
    max_body_bytes: usize,
    max_bytes: usize,
    reserved: usize,
    /// Absent once it is kept or given up.
    response: Option<Unread>,
}

/// A response whose body has not been read.
struct Unread {
    key: HeadKey,
    miss: Miss,
    variant: Variant,
}

impl Recording {
    pub(super) fn new(
        shared: Arc<CacheShared>,
        key: HeadKey,
        miss: Miss,
        variant: Variant,
        settings: &CacheSettings,
    ) -> Self {
        Recording {
            shared,
            buffer: BodyBuffer::default(),
            max_body_bytes: settings.max_body_bytes as usize,
            max_bytes: settings.max_bytes as usize,
            reserved: 0,
            response: Some(Unread { key, miss, variant }),
        }
    }

    /// Records a frame. Returns whether it is of use to go on.
    pub(super) fn record(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(data) = frame.data_ref() {
            return self.record_data(data);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.buffer.set_trailers(trailers.clone());
        }
        true
    }

    fn record_data(&mut self, data: &Bytes) -> bool {
        let len = data.len();
        if self.buffer.len().saturating_add(len) > self.max_body_bytes
            || !self.shared.reserve(len, self.max_bytes)
        {
            return false;
        }
        self.reserved += len;
        self.buffer.push(data.clone());
        true
    }

    /// Keeps the response, unless its body is shorter or longer than it said.
    pub(super) fn finish(mut self: Box<Self>) {
        if self.has_declared_len() != Some(false) {
            self.keep();
        }
        self.response = None;
    }

    /// Forgets the response.
    pub(super) fn give_up(mut self: Box<Self>) {
        self.response = None;
    }

    /// Returns whether the body is as long as its head says; none if that says nothing.
    fn has_declared_len(&self) -> Option<bool> {
        let headers = &self.response.as_ref()?.variant.headers;
        let declared = headers.get(header::CONTENT_LENGTH)?.to_str();
        let declared = declared.ok().and_then(|len| len.parse::<usize>().ok());
        Some(declared == Some(self.buffer.len()))
    }

    fn has_trailer_field(&self) -> bool {
        let has_field = |headers: &HeaderMap| headers.contains_key(header::TRAILER);
        let response = self.response.as_ref();
        response.is_some_and(|response| has_field(&response.variant.headers))
    }

    fn keep(&mut self) {
        let Some(Unread {
            key,
            miss,
            mut variant,
        }) = self.response.take()
        else {
            return;
        };
        // What was read is a slice of a buffer that may be far larger than what counts for the bound.
        variant.headers = copy_headers(&variant.headers);
        variant.body = std::mem::take(&mut self.buffer).into_copy();
        let before = self.shared.get::<HttpEntry>(miss.hash);
        let entry = HttpEntry::with(before.as_deref(), key, variant);
        let bytes = entry.bytes();
        self.shared.insert(&miss, entry, bytes);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.shared.release(self.reserved);
        if self.has_declared_len() == Some(true) && !self.has_trailer_field() {
            self.keep();
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}
