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

/// A body that buffers what was read of it, so that [`replay`](Self::replay) can send it again.
///
/// It is read only as fast as it is sent, and streamed whatever its length. A body that turns out longer than the
/// limit, or comes in more than a thousand frames, drops its buffer and cannot be replayed. A body whose size hint
/// exceeds the limit is not buffered at all. Any body can be replayed while nothing was read of it.
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
    /// Sent once: nothing is buffered, and nothing allocated.
    Once(WatchedBody<B>),
    /// Needs no buffer.
    Empty,
    Buffered {
        buffer: Arc<Mutex<ReplayBuffer<B>>>,
        /// Counts the readers of the buffer. Only the latest may read.
        generation: u32,
    },
}

/// Error of a body that was read after a later attempt replayed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Superseded;

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request body superseded by a later attempt")
    }
}

impl Error for Superseded {}

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    /// Buffers at most `max_bytes`.
    ///
    /// A body that is too long can be replayed until it is read:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Full};
    /// use tower_keep::retry::ReplayBody;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let mut body = ReplayBody::new(Full::new(Bytes::from("an order")), 4);
    /// assert!(body.is_replayable());
    /// body.frame().await.expect("data")?;
    /// assert!(!body.is_replayable());
    /// # Ok(()) }
    /// ```
    pub fn new(body: B, max_bytes: usize) -> Self {
        ReplayBody::with_upload(body, max_bytes, None)
    }

    /// Reports the progress of the body to the upload, unless another layer reports it already.
    pub(crate) fn with_upload(body: B, max_bytes: usize, upload: Option<&Upload>) -> Self {
        // No lock and no allocation for the many requests that have no body.
        if body.is_end_stream() {
            return ReplayBody(ReplayKind::Empty);
        }
        let buffer = ReplayBuffer::new(watch(body, upload), max_bytes);
        ReplayBody(ReplayKind::Buffered {
            buffer: Arc::new(Mutex::new(buffer)),
            generation: 0,
        })
    }

    /// Passes the body on as it is; it cannot be replayed.
    pub(super) fn once(body: B, upload: Option<&Upload>) -> Self {
        ReplayBody(ReplayKind::Once(watch(body, upload)))
    }
}

impl<B> ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Returns a body of its own with the same content, if all of it is here: both may be read at the same time. Reads the
    /// source as far as it is ready.
    pub(super) fn copy_if_complete(&self) -> Option<Self> {
        match &self.0 {
            ReplayKind::Once(_) => None,
            ReplayKind::Empty => Some(ReplayBody(ReplayKind::Empty)),
            ReplayKind::Buffered { buffer, .. } => {
                let mut buffer = lock(buffer);
                let waker = buffer.fill();
                let copy = buffer.copy_if_complete();
                drop(buffer);
                // Not under the lock: the task that is woken may poll the body at once.
                if let Some(waker) = waker {
                    waker.wake();
                }
                let buffer = Arc::new(Mutex::new(copy?));
                let generation = 0;
                Some(ReplayBody(ReplayKind::Buffered { buffer, generation }))
            }
        }
    }
}

fn watch<B: Body>(body: B, upload: Option<&Upload>) -> WatchedBody<B> {
    let reporter = upload.and_then(|upload| upload.reporter(&body.size_hint(), None));
    WatchedBody::new(body, reporter)
}

impl<B> ReplayBody<B> {
    /// Returns the same body from its beginning, or `None` if it was too long to buffer, or failed.
    ///
    /// Earlier ones that are not empty fail with [`Superseded`] from now on: if they just ended, they would look
    /// complete. A task that waits for an earlier one is woken, so that its connection notices.
    pub fn replay(&self) -> Option<Self> {
        match &self.0 {
            ReplayKind::Once(_) => None,
            ReplayKind::Empty => Some(ReplayBody(ReplayKind::Empty)),
            ReplayKind::Buffered { buffer, .. } => {
                let (generation, waker) = lock(buffer).start_replay()?;
                // Not under the lock: the task that is woken may poll the body at once.
                if let Some(waker) = waker {
                    waker.wake();
                }
                let buffer = buffer.clone();
                Some(ReplayBody(ReplayKind::Buffered { buffer, generation }))
            }
        }
    }

    /// Stops buffering: the latest reader goes on, and no replay will follow.
    pub(crate) fn release_buffer(self) {
        if let ReplayKind::Buffered { buffer, .. } = &self.0 {
            lock(buffer).release();
        }
    }

    /// Returns whether nothing was read of it, by any reader.
    pub(crate) fn is_unread(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(_) => false,
            ReplayKind::Empty => true,
            ReplayKind::Buffered { buffer, .. } => lock(buffer).is_unread(),
        }
    }

    /// Returns whether the body was known to be empty.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, ReplayKind::Empty)
    }

    /// Returns whether [`replay`](Self::replay) would return a body, without superseding this one.
    pub fn is_replayable(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(_) => false,
            ReplayKind::Empty => true,
            ReplayKind::Buffered { buffer, .. } => lock(buffer).is_replayable(),
        }
    }
}

/// Locks the buffer. The lock is held while the source is polled: only the latest reader does so, and earlier ones only
/// compare their generation.
fn lock<B>(buffer: &Mutex<ReplayBuffer<B>>) -> MutexGuard<'_, ReplayBuffer<B>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_if_current<B>(
    buffer: &Mutex<ReplayBuffer<B>>,
    generation: u32,
) -> Option<MutexGuard<'_, ReplayBuffer<B>>> {
    let buffer = lock(buffer);
    buffer.is_current(generation).then_some(buffer)
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            ReplayKind::Once(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|read| read.map(|frame| frame.map_err(Into::into))),
            ReplayKind::Empty => Poll::Ready(None),
            ReplayKind::Buffered { buffer, generation } => {
                match lock_if_current(buffer, *generation) {
                    Some(mut buffer) => buffer.poll_frame(cx),
                    // An error instead of an end: the body must not look complete to its connection.
                    None => Poll::Ready(Some(Err(Superseded.into()))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            ReplayKind::Once(body) => body.is_end_stream(),
            ReplayKind::Empty => true,
            ReplayKind::Buffered { buffer, generation } => {
                // A superseded reader has not ended: its next poll fails.
                lock_if_current(buffer, *generation).is_some_and(|buffer| buffer.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            ReplayKind::Once(body) => body.size_hint(),
            ReplayKind::Empty => SizeHint::with_exact(0),
            ReplayKind::Buffered { buffer, generation } => lock_if_current(buffer, *generation)
                .map_or_else(SizeHint::new, |buffer| buffer.size_hint()),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ReplayBody");
        if let ReplayKind::Buffered { generation, .. } = &self.0 {
            f.field("generation", generation);
        }
        f.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
