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
    /// `None` once the end was read, or the source has failed or panicked.
    source: Option<WatchedBody<B>>,
    /// Most bodies have one frame, which needs no list.
    first_frame: Option<Bytes>,
    more_frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// `true` if the source said at first how long it is.
    has_exact_size: bool,
    /// The error of the source, if nobody has read it yet.
    error: Option<BoxError>,
    /// Number of bytes that may still be buffered. `None` once no replay can follow: data was read that is not in the
    /// buffer, or the source has failed, so that a replay would not be the same body.
    space: Option<usize>,
    /// Identifies the latest reader. Only it polls the source, since a source wakes only one task.
    generation: u32,
    /// Number of the buffered frames that the latest reader has read.
    position: usize,
    /// `true` once the latest reader has read the trailers, or the end.
    trailers_read: bool,
    /// Wakes the latest reader if it waits for the source.
    reader_waker: Option<Waker>,
}

impl<B: Body<Data = Bytes>> ReplayBuffer<B> {
    pub(super) fn new(body: WatchedBody<B>, max_bytes: usize) -> Self {
        let hint = body.size_hint();
        let length = usize::try_from(hint.lower());
        let fits = length.is_ok_and(|length| length <= max_bytes);
        ReplayBuffer {
            source: Some(body),
            first_frame: None,
            more_frames: Vec::new(),
            trailers: None,
            has_exact_size: hint.exact().is_some(),
            error: None,
            // Of a body that will be too long nothing is buffered, but it can be replayed until it is read.
            space: Some(if fits { max_bytes } else { 0 }),
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
        let rest = match (&self.source, &self.error) {
            // The source tells its own rest only.
            (Some(source), _) => source.size_hint(),
            // HTTP/1.1 sends trailers after a body of unknown length only.
            (None, None) if self.has_trailers_left() && !self.has_exact_size => SizeHint::default(),
            (None, None) => SizeHint::with_exact(0),
            // Nobody may take what came before the error for all of it.
            (None, Some(_)) => SizeHint::default(),
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
            Some(body) => body.is_end_stream(),
            None => self.error.is_none() && !self.has_trailers_left(),
        }
    }

    fn has_trailers_left(&self) -> bool {
        self.trailers.is_some() && !self.trailers_read
    }
}

impl<B> ReplayBuffer<B> {
    pub(super) fn is_replayable(&self) -> bool {
        self.space.is_some()
    }

    pub(super) fn is_unread(&self) -> bool {
        // An empty buffer may also mean that everything was discarded.
        self.frame_count() == 0 && self.is_replayable() && self.source.is_some()
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
        if let Some(body) = &mut self.source {
            body.release();
        }
        Some((self.generation, self.reader_waker.take()))
    }

    /// Drops what the latest reader has read, and buffers nothing from now on.
    pub(super) fn release(&mut self) {
        self.space = None;
        let read = self.position.min(self.frame_count());
        for index in 0..read {
            // The list stays as it is, since `position` counts its entries.
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
        let data = match self.is_replayable() {
            true => self.frame(self.position)?.clone(),
            false => self.take_frame(self.position)?,
        };
        self.position += 1;
        if !self.is_replayable() {
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

    fn push(&mut self, data: Bytes) {
        match self.first_frame {
            None => self.first_frame = Some(data),
            Some(_) => self.more_frames.push(data),
        }
    }

    /// Buffers a frame that was read from the source if there is space, else discards the buffer.
    fn buffer(&mut self, data: &Bytes) {
        // All or nothing: a replay from the middle would be another body.
        let space = self.space.filter(|_| self.frame_count() < MAX_FRAMES);
        self.space = space.and_then(|space| space.checked_sub(data.len()));
        if self.is_replayable() {
            self.push(data.clone());
        }
        // The source is read only after all buffered frames.
        self.position = self.frame_count();
        if !self.is_replayable() {
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
        // The buffer before the source, which goes on where the reader before has stopped.
        if let Some(data) = self.next_buffered() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(body) = self.source.take() {
            return self.poll_source(body, cx);
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if mem::replace(&mut self.trailers_read, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.trailers.clone().map(|map| Ok(Frame::trailers(map))))
    }

    /// Polls the source, which was taken out, and buffers what it gives.
    fn poll_source(
        &mut self,
        mut body: WatchedBody<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Taken out like the source, and put back after the poll: a body that fails or panics is not replayed.
        let space = self.space.take();
        match Pin::new(&mut body).poll_frame(cx) {
            Poll::Pending => {
                (self.source, self.space) = (Some(body), space);
                self.store_waker(cx.waker());
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.space = space;
                // Nothing may follow trailers, so the source is not needed any more.
                self.source = (!frame.is_trailers()).then_some(body);
                self.record(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.space = space;
                Poll::Ready(None)
            }
        }
    }

    /// Reads the source as far as it is ready and there is space, for a copy: the latest reader has read none of it.
    ///
    /// Returns the waker of that reader if it waits for what was read.
    pub(super) fn fill(&mut self) -> Option<Waker> {
        // The source goes on to wake the reader.
        let waker = self.reader_waker.clone();
        let cx = &mut Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        let mut has_read = false;
        // Taken out, so that one that panics is not polled again.
        while self.is_replayable()
            && let Some(mut body) = self.source.take()
        {
            let space = self.space.take();
            match self.poll_unread(&mut body, cx) {
                Poll::Pending => {
                    (self.source, self.space) = (Some(body), space);
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.space = space;
                    self.source = (!frame.is_trailers()).then_some(body);
                    self.keep(frame);
                }
                // The reader gets the error: it comes after what it has not read.
                Poll::Ready(Some(Err(error))) => self.error = Some(error.into()),
                Poll::Ready(None) => self.space = space,
            }
            has_read = true;
        }
        self.reader_waker.take_if(|_| has_read)
    }

    /// Polls the source, of which the latest reader has read nothing.
    fn poll_unread(
        &mut self,
        body: &mut WatchedBody<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        // Stays if the source panics, so that its reader does not take that for the end.
        self.error = Some("the body panicked".into());
        let polled = Pin::new(body).poll_frame(cx);
        self.error = None;
        polled
    }

    /// Keeps a frame that no reader has read, also one for which there is no space: only copies and replays end then.
    fn keep(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                let space = self.space.filter(|_| self.frame_count() < MAX_FRAMES);
                self.space = space.and_then(|space| space.checked_sub(data.len()));
                self.push(data);
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }

    /// Returns a buffer of its own for another reader, if all of the body is here.
    pub(super) fn copy_if_complete(&self) -> Option<Self> {
        let is_complete = self.source.as_ref().is_none_or(Body::is_end_stream);
        let space = self.space.filter(|_| is_complete)?;
        Some(ReplayBuffer {
            source: None,
            first_frame: self.first_frame.clone(),
            more_frames: self.more_frames.clone(),
            trailers: self.trailers.clone(),
            has_exact_size: self.has_exact_size,
            error: None,
            space: Some(space),
            generation: 0,
            position: 0,
            trailers_read: false,
            reader_waker: None,
        })
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
