//! A request body that can be sent again.

mod kept;

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use self::kept::Kept;
use crate::call::BoxError;

/// A body that keeps what was read of it, so that it can be sent again: with [`again`](Self::again), as long as it is
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
/// let second = first.again().expect("short enough");
/// assert_eq!(second.collect().await?.to_bytes(), "an order");
/// assert!(first.collect().await.is_err(), "only the latest may be read");
/// # Ok(()) }
/// ```
pub struct ReplayBody<B>(Form<B>);

enum Form<B> {
    /// Sent once: nothing is kept, and nothing allocated.
    Once(B),
    /// There is nothing in it, so that there is nothing to keep either.
    Empty,
    Kept(Sending<B>),
}

struct Sending<B> {
    kept: Arc<Mutex<Kept<B>>>,
    /// Which sending of the body this is.
    turn: u32,
    /// How many frames were read of it.
    at: usize,
    trailed: bool,
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
        if body.is_end_stream() {
            return ReplayBody(Form::Empty);
        }
        let kept = Arc::new(Mutex::new(Kept::new(body, cap)));
        ReplayBody(Form::Kept(Sending::new(kept, 0)))
    }
}

impl<B> ReplayBody<B> {
    /// Passes the body on as it is; it cannot be sent again.
    pub(super) fn once(body: B) -> Self {
        ReplayBody(Form::Once(body))
    }

    /// The same body from its beginning. From now on, earlier ones that are not empty fail with [`Superseded`]: cut
    /// short without a word, they would look complete.
    ///
    /// `None` if it was too long to be kept, or has failed.
    pub fn again(&self) -> Option<Self> {
        match &self.0 {
            Form::Once(_) => None,
            Form::Empty => Some(ReplayBody(Form::Empty)),
            Form::Kept(sending) => {
                let turn = sending.locked().next_turn()?;
                let next = Sending::new(sending.kept.clone(), turn);
                Some(ReplayBody(Form::Kept(next)))
            }
        }
    }

    /// It will not be sent again: the latest sending goes on without keeping anything.
    pub(in crate::resilience) fn release(self) {
        if let Form::Kept(sending) = &self.0 {
            sending.locked().release();
        }
    }

    /// Whether nothing was read of it, by whomever.
    pub(in crate::resilience) fn is_untouched(&self) -> bool {
        match &self.0 {
            Form::Once(_) => false,
            Form::Empty => true,
            Form::Kept(sending) => sending.locked().is_untouched(),
        }
    }

    /// Whether it is known that there is nothing in it.
    pub(in crate::resilience) fn is_empty(&self) -> bool {
        matches!(self.0, Form::Empty)
    }

    /// Whether it could be sent again, without doing so.
    pub fn can_go_again(&self) -> bool {
        match &self.0 {
            Form::Once(_) => false,
            Form::Empty => true,
            Form::Kept(sending) => sending.locked().can_go_again(),
        }
    }
}

impl<B> Sending<B> {
    fn new(kept: Arc<Mutex<Kept<B>>>, turn: u32) -> Self {
        Sending {
            kept,
            turn,
            at: 0,
            trailed: false,
        }
    }

    /// Held while the source is polled, too: nobody else may read it meanwhile, and an earlier sending only looks
    /// whether it may go on.
    fn locked(&self) -> MutexGuard<'_, Kept<B>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> Sending<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_turn(self.turn) {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        if let Some(data) = kept.frame(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if kept.is_open() {
            let read = kept.poll_source(cx);
            if let Poll::Ready(Some(Ok(frame))) = &read {
                self.trailed |= frame.is_trailers();
                self.at = kept.frames();
            }
            return read;
        }
        if std::mem::replace(&mut self.trailed, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(kept.trailers().cloned().map(|map| Ok(Frame::trailers(map))))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.locked();
        kept.is_turn(self.turn) && kept.is_over_at(self.at, self.trailed)
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut self.get_mut().0 {
            Form::Once(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|read| read.map(|frame| frame.map_err(Into::into))),
            Form::Empty => Poll::Ready(None),
            Form::Kept(sending) => sending.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Form::Once(body) => body.is_end_stream(),
            Form::Empty => true,
            Form::Kept(sending) => sending.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Form::Once(body) => body.size_hint(),
            Form::Empty => SizeHint::with_exact(0),
            Form::Kept(sending) => sending.locked().size_hint(sending.at),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ReplayBody");
        if let Form::Kept(sending) = &self.0 {
            f.field("turn", &sending.turn).field("at", &sending.at);
        }
        f.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
