use std::task::Poll;

use bytes::Buf;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Upload;
use crate::protocol::grpc_framing::{FrameScanner, FramingError};

/// The reporter of a watched body, which updates its [`Upload`]. Dropped with the body.
#[derive(Debug)]
pub(crate) struct UploadReporter {
    upload: Upload,
    state: ReadState,
    /// The bytes that must come for the body to have its announced length.
    bytes_expected: u64,
    /// Scans the body's gRPC messages, as long as they are valid.
    frames: Option<FrameScanner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    Reading,
    Waiting,
    Ended,
}

impl UploadReporter {
    /// Creates the reporter of a body that has not been read yet. `frames` scans its gRPC messages.
    pub(crate) fn new(upload: Upload, hint: &SizeHint, frames: Option<FrameScanner>) -> Self {
        UploadReporter {
            upload,
            state: ReadState::Reading,
            bytes_expected: hint.lower(),
            frames,
        }
    }

    /// Handles a poll of the body. `is_over` returns whether the body has ended now.
    #[inline]
    pub(crate) fn on_poll<D: Buf, E>(
        &mut self,
        polled: &Poll<Option<Result<Frame<D>, E>>>,
        is_over: impl FnOnce() -> bool,
    ) {
        match (polled, self.state) {
            // No clock and no lock: nothing has changed.
            (_, ReadState::Ended) | (Poll::Pending, ReadState::Waiting) => return,
            (Poll::Pending, ReadState::Reading) => {
                self.state = ReadState::Waiting;
                self.upload.lock().start_wait(Instant::now());
                return;
            }
            (Poll::Ready(_), ReadState::Waiting) => {
                self.state = ReadState::Reading;
                self.upload.lock().end_wait(Instant::now());
            }
            (Poll::Ready(_), ReadState::Reading) => {}
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.on_data(data);
                }
                if frame.is_trailers() || is_over() {
                    self.on_end();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.state = ReadState::Ended;
                self.upload.lock().set_broken();
            }
            Poll::Ready(None) => self.on_end(),
            Poll::Pending => {}
        }
    }

    /// Reports that the consumer has released the body, or reads it again. That is no fault: it may not want the rest.
    pub(crate) fn release(&mut self) {
        if self.state == ReadState::Waiting {
            self.state = ReadState::Reading;
            self.upload.lock().release(Instant::now());
        }
    }

    fn on_data<D: Buf>(&mut self, data: &D) {
        self.bytes_expected = self.bytes_expected.saturating_sub(data.remaining() as u64);
        let Some(frames) = &mut self.frames else {
            return;
        };
        let chunk = data.chunk();
        // Data in several chunks cannot be scanned without consuming it; that of hyper, axum and tonic is one chunk.
        if chunk.len() < data.remaining() {
            self.frames = None;
            return;
        }
        frames.feed(chunk);
        if frames.is_invalid() {
            self.frames = None;
            self.upload.lock().set_framing_error(FramingError::Invalid);
        }
    }

    fn on_end(&mut self) {
        self.state = ReadState::Ended;
        let flaw = self.frames.take().and_then(|frames| frames.framing_error());
        let mut progress = self.upload.lock();
        if let Some(flaw) = flaw {
            progress.set_framing_error(flaw);
        }
        // More than announced is no fault: a size hint gives a lower bound.
        match self.bytes_expected {
            0 => progress.set_complete(),
            _ => progress.set_broken(),
        }
    }
}

impl Drop for UploadReporter {
    fn drop(&mut self) {
        // The consumer has left: from now on it does not wait for the caller.
        self.release();
    }
}
