//! A request body that can be sent again.

mod buffer;

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use self::buffer::ReplayBuffer;
use crate::{
    call::BoxError,
    protocol::upload::{Upload, WatchedBody},
};

/// A body that keeps what was read of it, so that it can be sent again: with [`replay`](Self::replay), as long as it is
/// no longer than its cap.
///
/// It is read only as fast as it is sent, and streamed whatever its length: one that turns out longer than the cap, or
/// comes in more than a thousand pieces, lets go of what it kept, and cannot be sent again. One that says beforehand
/// that it is longer is not kept at all. Whatever its length, it can be sent again while nothing was read of it.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full};
/// use tower_keep::retry::ReplayBody;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
/// let first = ReplayBody::new(Full::new(Bytes::from("an order")), 64 * 1024);
/// let second = first.replay().expect("short enough");
/// assert_eq!(second.collect().await?.to_bytes(), "an order");
/// assert!(first.collect().await.is_err(), "only the latest may be read");
/// # Ok(()) }
/// ```
pub struct ReplayBody<B>(ReplayKind<B>);

enum ReplayKind<B> {
    /// Sent once: nothing is kept, and nothing allocated.
    Once(WatchedBody<B>),
    /// There is nothing in it, so that there is nothing to keep either.
    Empty,
    Buffered(ReplayReader<B>),
}

struct ReplayReader<B> {
    buffer: Arc<Mutex<ReplayBuffer<B>>>,
    /// Which reader of the body this is.
    generation: u32,
}

/// An earlier sending of a body was read after it was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Superseded;

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is being sent again")
    }
}

impl Error for Superseded {}

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    /// Keeps at most `cap` bytes.
    pub fn new(body: B, cap: usize) -> Self {
        ReplayBody::with_upload(body, cap, None)
    }

    /// Reports on the body, unless somebody does already.
    pub(crate) fn with_upload(body: B, cap: usize, upload: Option<&Upload>) -> Self {
        if body.is_end_stream() {
            return ReplayBody(ReplayKind::Empty);
        }
        let buffer = Arc::new(Mutex::new(ReplayBuffer::new(watch(body, upload), cap)));
        let generation = 0;
        ReplayBody(ReplayKind::Buffered(ReplayReader { buffer, generation }))
    }
}

fn watch<B: Body>(body: B, upload: Option<&Upload>) -> WatchedBody<B> {
    let reporter = upload.and_then(|upload| upload.reporter(&body.size_hint(), None));
    WatchedBody::new(body, reporter)
}

impl<B: Body> ReplayBody<B> {
    /// Passes the body on as it is; it cannot be sent again.
    pub(super) fn once(body: B, upload: Option<&Upload>) -> Self {
        ReplayBody(ReplayKind::Once(watch(body, upload)))
    }
}

impl<B> ReplayBody<B> {
    /// The same body from its beginning. From now on, earlier ones that are not empty fail with [`Superseded`]: cut
    /// short without a word, they would look complete. One that waits for more is woken, so that whoever sends it
    /// notices.
    ///
    /// `None` if it was too long to be kept, or has failed.
    pub fn replay(&self) -> Option<Self> {
        match &self.0 {
            ReplayKind::Once(_) => None,
            ReplayKind::Empty => Some(ReplayBody(ReplayKind::Empty)),
            ReplayKind::Buffered(reader) => {
                let (generation, earlier) = reader.lock().start_replay()?;
                // Not under the lock: what is woken may look at the body.
                if let Some(earlier) = earlier {
                    earlier.wake();
                }
                let buffer = reader.buffer.clone();
                Some(ReplayBody(ReplayKind::Buffered(ReplayReader {
                    buffer,
                    generation,
                })))
            }
        }
    }

    /// It will not be sent again: the latest sending goes on without keeping anything.
    pub(crate) fn release_buffer(self) {
        if let ReplayKind::Buffered(reader) = &self.0 {
            reader.lock().release();
        }
    }

    /// Returns whether nothing was read of it, by whomever.
    pub(crate) fn is_unread(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(_) => false,
            ReplayKind::Empty => true,
            ReplayKind::Buffered(reader) => reader.lock().is_unread(),
        }
    }

    /// Returns whether it is known that there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, ReplayKind::Empty)
    }

    /// Returns whether it could be sent again, without doing so.
    pub fn is_replayable(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(_) => false,
            ReplayKind::Empty => true,
            ReplayKind::Buffered(reader) => reader.lock().is_replayable(),
        }
    }
}

impl<B> ReplayReader<B> {
    /// Held while the source is polled, too: nobody else may read it meanwhile, and an earlier reader only looks
    /// whether it may go on.
    fn lock(&self) -> MutexGuard<'_, ReplayBuffer<B>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffer if this is the latest reader.
    fn lock_if_current(&self) -> Option<MutexGuard<'_, ReplayBuffer<B>>> {
        let buffer = self.lock();
        buffer.is_current(self.generation).then_some(buffer)
    }
}

type PolledBytes = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledBytes {
        match &mut self.get_mut().0 {
            ReplayKind::Once(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|read| read.map(|frame| frame.map_err(Into::into))),
            ReplayKind::Empty => Poll::Ready(None),
            ReplayKind::Buffered(reader) => match reader.lock_if_current() {
                Some(mut buffer) => buffer.poll_frame(cx),
                None => Poll::Ready(Some(Err(Superseded.into()))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(body) => body.is_end_stream(),
            ReplayKind::Empty => true,
            ReplayKind::Buffered(reader) => reader
                .lock_if_current()
                .is_some_and(|buffer| buffer.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            ReplayKind::Once(body) => body.size_hint(),
            ReplayKind::Empty => SizeHint::with_exact(0),
            ReplayKind::Buffered(reader) => reader
                .lock_if_current()
                .map_or_else(SizeHint::new, |buffer| buffer.size_hint()),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ReplayBody");
        if let ReplayKind::Buffered(reader) = &self.0 {
            f.field("generation", &reader.generation);
        }
        f.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
