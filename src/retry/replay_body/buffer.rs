use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::{call::BoxError, protocol::upload::WatchedBody};

/// Largest number of frames that are buffered: each costs some bytes of its own, even an empty one.
const MAX_FRAMES: usize = 1_000;

/// The part of a body that was read, and the source of the rest. Shared by all readers of the body, of which only the
/// latest may read.
pub(super) struct ReplayBuffer<B> {
    source: BodySource<B>,
    /// Most bodies have one frame, which needs no list.
    first_frame: Option<Bytes>,
    more_frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    space: Space,
    /// Identifies the latest reader. Only it polls the source, since a source wakes only one task.
    generation: u32,
    /// Number of the buffered frames that the latest reader has read.
    position: usize,
    /// `true` once the latest reader has read the trailers, or the end.
    trailers_read: bool,
    /// Wakes the latest reader if it waits for the source.
    reader_waker: Option<Waker>,
}

enum BodySource<B> {
    /// More may come.
    Open(WatchedBody<B>),
    /// The end was read.
    Ended,
    /// The source failed, or panicked: a replay would not be the same body.
    Failed,
}

#[derive(Clone, Copy)]
enum Space {
    /// Number of bytes that may still be buffered.
    Left(usize),
    /// The body will be too long, but nothing was read of it yet.
    TooLarge,
    /// Data was read that is not in the buffer.
    Discarded,
}

impl<B: Body<Data = Bytes>> ReplayBuffer<B> {
    pub(super) fn new(body: WatchedBody<B>, max_bytes: usize) -> Self {
        let length = usize::try_from(body.size_hint().lower());
        let fits = length.is_ok_and(|length| length <= max_bytes);
        ReplayBuffer {
            source: BodySource::Open(body),
            first_frame: None,
            more_frames: Vec::new(),
            trailers: None,
            space: if fits {
                Space::Left(max_bytes)
            } else {
                Space::TooLarge
            },
            generation: 0,
            position: 0,
            trailers_read: false,
            reader_waker: None,
        }
    }

    /// Returns the length of what the latest reader has not read.
    pub(super) fn size_hint(&self) -> SizeHint {
        let unread = (self.position..self.frame_count()).filter_map(|index| self.frame(index));
        let unread: u64 = unread.map(|data| data.len() as u64).sum();
        let rest = match &self.source {
            BodySource::Open(body) => body.size_hint(),
            BodySource::Ended | BodySource::Failed => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unread));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unread)) {
            hint.set_upper(upper);
        }
        hint
    }

    /// Returns whether the latest reader has read everything.
    pub(super) fn is_end_stream(&self) -> bool {
        if self.position < self.frame_count() {
            return false;
        }
        match &self.source {
            BodySource::Open(body) => body.is_end_stream(),
            BodySource::Ended => self.trailers_read || self.trailers.is_none(),
            BodySource::Failed => true,
        }
    }
}

impl<B> ReplayBuffer<B> {
    pub(super) fn is_replayable(&self) -> bool {
        !matches!(self.space, Space::Discarded) && !matches!(self.source, BodySource::Failed)
    }

    pub(super) fn is_unread(&self) -> bool {
        // An empty buffer may also mean that everything was discarded.
        let unread = self.frame_count() == 0 && !matches!(self.space, Space::Discarded);
        unread && matches!(self.source, BodySource::Open(_))
    }

    /// Starts over for a new reader. Returns its generation, and the waker of the reader before, which the source will
    /// never wake again: a connection that waits for more of its request would stay open for good.
    pub(super) fn start_replay(&mut self) -> Option<(u32, Option<Waker>)> {
        if !self.is_replayable() {
            return None;
        }
        // Before anything else: from here on, earlier readers fail.
        self.generation = self.generation.checked_add(1)?;
        self.position = 0;
        self.trailers_read = false;
        // Until the new reader polls, nobody waits for the caller's upload.
        if let BodySource::Open(body) = &mut self.source {
            body.release();
        }
        Some((self.generation, self.reader_waker.take()))
    }

    /// Drops what the latest reader has read, and buffers nothing from now on.
    pub(super) fn release(&mut self) {
        self.space = Space::Discarded;
        let read = self.position.min(self.frame_count());
        for index in 0..read {
            drop(self.take_frame(index));
        }
        self.discard_if_read();
    }

    pub(super) fn is_current(&self, generation: u32) -> bool {
        self.generation == generation
    }

    fn frame(&self, index: usize) -> Option<&Bytes> {
        match index {
            0 => self.first_frame.as_ref(),
            _ => self.more_frames.get(index - 1),
        }
    }

    fn take_frame(&mut self, index: usize) -> Option<Bytes> {
        let frame = match index {
            0 => self.first_frame.as_mut(),
            _ => self.more_frames.get_mut(index - 1),
        };
        frame.map(mem::take)
    }

    fn frame_count(&self) -> usize {
        usize::from(self.first_frame.is_some()) + self.more_frames.len()
    }

    /// Reads the next buffered frame; takes it out of the buffer if no replay can follow.
    fn next_buffered(&mut self) -> Option<Bytes> {
        let data = match self.space {
            Space::Discarded => self.take_frame(self.position)?,
            _ => self.frame(self.position)?.clone(),
        };
        self.position += 1;
        if matches!(self.space, Space::Discarded) {
            self.discard_if_read();
        }
        Some(data)
    }

    fn discard_if_read(&mut self) {
        if self.position >= self.frame_count() {
            self.first_frame = None;
            // A new one, since `clear` would keep the allocation.
            self.more_frames = Vec::new();
            self.position = 0;
        }
    }

    /// Buffers a frame that was read from the source if there is space, else discards the buffer.
    fn buffer(&mut self, data: &Bytes) {
        // All or nothing: a replay from the middle would be another body.
        let left = match self.space {
            Space::Left(space) if self.frame_count() < MAX_FRAMES => space.checked_sub(data.len()),
            _ => None,
        };
        match left {
            None => self.space = Space::Discarded,
            Some(left) => {
                self.space = Space::Left(left);
                match self.first_frame {
                    None => self.first_frame = Some(data.clone()),
                    Some(_) => self.more_frames.push(data.clone()),
                }
            }
        }
        // The source is read only after all buffered frames.
        self.position = self.frame_count();
        if left.is_none() {
            self.discard_if_read();
        }
    }
}

impl<B> ReplayBuffer<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Polls the next frame for the latest reader.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(data) = self.next_buffered() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if matches!(self.source, BodySource::Open(_)) {
            return self.poll_source(cx);
        }
        if mem::replace(&mut self.trailers_read, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.trailers.clone().map(|map| Ok(Frame::trailers(map))))
    }

    /// Polls a source that is open, and buffers what it gives.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Put back below: a source that panics stays failed.
        let BodySource::Open(mut body) = mem::replace(&mut self.source, BodySource::Failed) else {
            unreachable!("only an open source is polled");
        };
        let Poll::Ready(read) = Pin::new(&mut body).poll_frame(cx) else {
            self.source = BodySource::Open(body);
            self.store_waker(cx.waker());
            return Poll::Pending;
        };
        let frame: Frame<Bytes> = match read {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => {
                self.source = BodySource::Ended;
                return Poll::Ready(None);
            }
        };
        // Nothing may follow trailers, so the source is not needed any more.
        self.source = match frame.trailers_ref() {
            Some(_) => BodySource::Ended,
            None => BodySource::Open(body),
        };
        self.record(&frame);
        Poll::Ready(Some(Ok(frame)))
    }

    fn record(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.trailers_read = true;
        }
        if let Some(data) = frame.data_ref() {
            self.buffer(data);
        }
    }

    fn store_waker(&mut self, waker: &Waker) {
        match &mut self.reader_waker {
            // Does not clone a waker that would wake the same task.
            Some(stored) => stored.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

#[cfg(test)]
impl<B> ReplayBuffer<B> {
    pub(super) fn buffered_bytes(&self) -> usize {
        let frames = self.first_frame.iter().chain(&self.more_frames);
        frames.map(Bytes::len).sum()
    }
}
