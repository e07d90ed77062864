use std::task::Poll;

use bytes::Buf;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Upload;
use crate::protocol::grpc_frames::{Flaw, Frames};

/// Tells an [`Upload`] what is read of its body. For bodies that are watched; dropped with them.
#[derive(Debug)]
pub(crate) struct Reporter {
    upload: Upload,
    at: At,
    /// How many bytes must come yet for the body to be as long as it said.
    owed: u64,
    /// Reads the body's gRPC messages, as long as they make sense.
    frames: Option<Frames>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Flowing,
    Waiting,
    Over,
}

impl Reporter {
    /// Reports on a body that has not been read yet, and what `frames` finds in it.
    pub(crate) fn new(upload: Upload, hint: &SizeHint, frames: Option<Frames>) -> Self {
        Reporter {
            upload,
            at: At::Flowing,
            owed: hint.lower(),
            frames,
        }
    }

    /// The body was polled. `is_over` says whether it is at its end now.
    #[inline]
    pub(crate) fn saw<D: Buf, E>(
        &mut self,
        polled: &Poll<Option<Result<Frame<D>, E>>>,
        is_over: impl FnOnce() -> bool,
    ) {
        match (polled, self.at) {
            (_, At::Over) | (Poll::Pending, At::Waiting) => return,
            (Poll::Pending, At::Flowing) => {
                self.at = At::Waiting;
                self.upload.locked().wait(Instant::now());
                return;
            }
            (Poll::Ready(_), At::Waiting) => {
                self.at = At::Flowing;
                self.upload.locked().go_on(Instant::now());
            }
            (Poll::Ready(_), At::Flowing) => {}
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.read(data);
                }
                if frame.is_trailers() || is_over() {
                    self.end();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.at = At::Over;
                self.upload.locked().broke();
            }
            Poll::Ready(None) => self.end(),
            Poll::Pending => {}
        }
    }

    /// The consumer has let go of the body, or begins it anew. Says nothing by itself: it may not want the rest.
    pub(crate) fn let_go(&mut self) {
        if self.at == At::Waiting {
            self.at = At::Flowing;
            self.upload.locked().let_go(Instant::now());
        }
    }

    fn read<D: Buf>(&mut self, data: &D) {
        self.owed = self.owed.saturating_sub(data.remaining() as u64);
        let Some(frames) = &mut self.frames else {
            return;
        };
        let chunk = data.chunk();
        // What comes in several parts cannot be read without taking it; hyper's, axum's and tonic's never does.
        if chunk.len() < data.remaining() {
            self.frames = None;
            return;
        }
        frames.feed(chunk);
        if frames.is_broken() {
            self.frames = None;
            self.upload.locked().found(Flaw::Broken);
        }
    }

    fn end(&mut self) {
        self.at = At::Over;
        let flaw = self.frames.take().and_then(|frames| frames.flaw());
        let mut progress = self.upload.locked();
        if let Some(flaw) = flaw {
            progress.found(flaw);
        }
        match self.owed {
            0 => progress.ended(),
            _ => progress.broke(),
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.let_go();
    }
}
