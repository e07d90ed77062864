//! A request body that can be sent again.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::call::BoxError;

/// A body that keeps what was read of it, so that it can be sent again: with [`again`](Self::again), as long as it is
/// no longer than its cap.
///
/// It is read only as fast as it is sent, and streamed whatever its length: one that turns out longer than the cap lets
/// go of what it kept, and cannot be sent again. One that says beforehand that it is longer is not kept at all.
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
pub struct ReplayBody<B> {
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

struct Kept<B> {
    source: Source<B>,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many more bytes may be kept; none once there were too many.
    room: Option<usize>,
    /// The latest sending. Only it reads the source, since a source wakes only one reader.
    turn: u32,
}

enum Source<B> {
    /// More may come.
    Open(B),
    /// Everything was read.
    Over,
    /// It failed, or panicked: it cannot be trusted to say the same again.
    Broken,
}

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    /// Keeps at most `cap` bytes.
    pub fn new(body: B, cap: usize) -> Self {
        let too_long = usize::try_from(body.size_hint().lower()).map_or(true, |len| len > cap);
        let kept = Kept {
            source: Source::Open(body),
            frames: Vec::new(),
            trailers: None,
            room: (!too_long).then_some(cap),
            turn: 0,
        };
        ReplayBody {
            kept: Arc::new(Mutex::new(kept)),
            turn: 0,
            at: 0,
            trailed: false,
        }
    }
}

impl<B> ReplayBody<B> {
    /// The same body from its beginning. From now on, earlier ones fail with [`Superseded`]: cut short without a word,
    /// they would look complete.
    ///
    /// `None` if it was too long to be kept, or has failed.
    pub fn again(&self) -> Option<Self> {
        let mut kept = self.locked();
        if !kept.can_go_again() {
            return None;
        }
        kept.turn = kept.turn.checked_add(1)?;
        Some(ReplayBody {
            kept: self.kept.clone(),
            turn: kept.turn,
            at: 0,
            trailed: false,
        })
    }

    /// Whether it could be sent again, without doing so.
    pub fn can_go_again(&self) -> bool {
        self.locked().can_go_again()
    }

    /// Held while the source is polled, too: nobody else may read it meanwhile, and an earlier sending only looks
    /// whether it may go on.
    fn locked(&self) -> MutexGuard<'_, Kept<B>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Kept<B> {
    fn can_go_again(&self) -> bool {
        self.room.is_some() && !matches!(self.source, Source::Broken)
    }
}

impl<B> Kept<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Reads on, and keeps what comes if there is room.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Put back below: a source that panics stays broken.
        let Source::Open(mut body) = std::mem::replace(&mut self.source, Source::Broken) else {
            unreachable!("only an open source is polled");
        };
        let Poll::Ready(read) = Pin::new(&mut body).poll_frame(cx) else {
            self.source = Source::Open(body);
            return Poll::Pending;
        };
        let frame = match read {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => {
                self.source = Source::Over;
                return Poll::Ready(None);
            }
        };
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.source = Source::Over;
        } else {
            self.source = Source::Open(body);
        }
        if let (Some(data), Some(room)) = (frame.data_ref(), self.room) {
            self.room = room.checked_sub(data.len());
            match self.room {
                Some(_) => self.frames.push(data.clone()),
                None => self.frames = Vec::new(),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut kept = this.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.turn != this.turn {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        if let Some(data) = kept.frames.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        match kept.source {
            Source::Open(_) => {
                let read = ready!(kept.poll_source(cx));
                if let Some(Ok(frame)) = &read {
                    this.trailed |= frame.is_trailers();
                    this.at = kept.frames.len();
                }
                Poll::Ready(read)
            }
            Source::Over if !std::mem::replace(&mut this.trailed, true) => {
                let trailers = kept.trailers.clone().map(Frame::trailers);
                Poll::Ready(trailers.map(Ok))
            }
            Source::Over | Source::Broken => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.locked();
        if kept.turn != self.turn || self.at < kept.frames.len() {
            return false;
        }
        match &kept.source {
            Source::Open(body) => body.is_end_stream(),
            Source::Over => self.trailed || kept.trailers.is_none(),
            Source::Broken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.locked();
        let unread = kept.frames.get(self.at..).unwrap_or_default();
        let unread: u64 = unread.iter().map(|data| data.len() as u64).sum();
        let rest = match &kept.source {
            Source::Open(body) => body.size_hint(),
            Source::Over | Source::Broken => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unread));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unread)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("turn", &self.turn)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::find;
    use proptest::prelude::*;
    use std::{collections::VecDeque, io, task::Waker};

    /// Gives these frames, after being pending once before each.
    struct Scripted {
        frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
        waited: bool,
        /// Whether it tells its length.
        tells: bool,
    }

    impl Body for Scripted {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.waited = !self.waited;
            if self.waited {
                return Poll::Pending;
            }
            Poll::Ready(self.frames.pop_front())
        }

        fn size_hint(&self) -> SizeHint {
            let data = self.frames.iter().flatten().filter_map(Frame::data_ref);
            match self.tells {
                true => SizeHint::with_exact(data.map(|data| data.len() as u64).sum()),
                false => SizeHint::new(),
            }
        }
    }

    fn scripted(chunks: &[Vec<u8>], trailers: bool, tells: bool) -> Scripted {
        let data = chunks.iter().map(|chunk| Frame::data(chunk.clone().into()));
        let mut map = HeaderMap::new();
        map.insert("x-sum", "7".parse().expect("a value"));
        let trailers = trailers.then(|| Frame::trailers(map));
        Scripted {
            frames: data.chain(trailers).map(Ok).collect(),
            waited: false,
            tells,
        }
    }

    /// What one sending gave: its bytes, whether trailers came, and how it ended.
    #[derive(Debug, Default, PartialEq)]
    struct Sent {
        data: Vec<u8>,
        trailers: bool,
        over: bool,
        failed: Option<String>,
    }

    /// Polls at most so many times.
    fn read<B>(body: &mut ReplayBody<B>, polls: usize) -> Sent
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (mut sent, mut cx) = (Sent::default(), Context::from_waker(Waker::noop()));
        for _ in 0..polls {
            let hint = body.size_hint();
            let ended = body.is_end_stream();
            match Pin::new(&mut *body).poll_frame(&mut cx) {
                Poll::Pending => {}
                Poll::Ready(None) => {
                    assert_eq!(hint.lower(), 0, "promised more");
                    sent.over = true;
                    break;
                }
                Poll::Ready(Some(Err(error))) => {
                    sent.failed = Some(error.to_string());
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    assert!(!ended, "more after the end");
                    sent.trailers |= frame.is_trailers();
                    if let Ok(data) = frame.into_data() {
                        assert!(hint.upper().is_none_or(|upper| upper >= data.len() as u64));
                        sent.data.extend_from_slice(&data);
                    }
                }
            }
        }
        sent
    }

    #[test]
    fn an_earlier_sending_fails_once_there_is_a_later_one() {
        let mut first =
            ReplayBody::new(scripted(&[b"an".into(), b" order".into()], false, true), 99);
        assert_eq!(read(&mut first, 2).data, b"an");
        let mut second = first.again().expect("short enough");
        let error = read(&mut first, 9).failed;
        assert_eq!(error.as_deref(), Some("the body is being sent again"));
        assert!(!first.is_end_stream(), "it is not complete");
        assert_eq!(read(&mut second, 99).data, b"an order");
    }

    #[test]
    fn a_body_that_failed_is_not_sent_again() {
        let mut source = scripted(&[b"an".into()], false, false);
        source.frames.push_back(Err(io::Error::other("torn")));
        let mut first = ReplayBody::new(source, 99);
        assert_eq!(read(&mut first, 99).failed.as_deref(), Some("torn"));
        assert!(first.again().is_none());
        assert!(read(&mut first, 1).over);
    }

    #[test]
    fn one_that_says_that_it_is_too_long_is_not_kept_at_all() {
        let body = || scripted(&[vec![0; 100]], false, true);
        assert!(ReplayBody::new(body(), 99).again().is_none());
        assert!(ReplayBody::new(body(), 100).again().is_some());
    }

    #[test]
    fn one_that_turns_out_too_long_is_sent_to_its_end_once() {
        let chunks = [vec![1; 60], vec![2; 60], vec![3; 60]];
        let mut first = ReplayBody::new(scripted(&chunks, true, false), 100);
        assert_eq!(read(&mut first, 2).data.len(), 60);
        let mut second = first.again().expect("still short");
        let sent = read(&mut second, 99);
        assert_eq!(sent.data, chunks.concat());
        assert!(sent.trailers && sent.over);
        assert!(second.again().is_none());
        assert!(
            second.locked().frames.is_empty(),
            "what was kept is let go of"
        );
    }

    #[test]
    fn the_error_says_what_it_is() {
        let first = ReplayBody::new(http_body_util::Full::<Bytes>::default(), 1);
        let _second = first.again();
        let mut first = first;
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut first).poll_frame(&mut cx) {
            Poll::Ready(Some(Err(error))) => assert!(find::<Superseded>(&*error).is_some()),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn every_sending_is_the_whole_body_however_far_the_ones_before_came(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..8),
            trailers: bool, tells: bool, stops in prop::collection::vec(0_usize..24, 0..5),
        ) {
            let whole = Sent { data: chunks.concat(), trailers, over: true, failed: None };
            let mut body = ReplayBody::new(scripted(&chunks, trailers, tells), 100);
            for stop in stops {
                let sent = read(&mut body, stop);
                prop_assert!(whole.data.starts_with(&sent.data));
                body = body.again().unwrap();
                if tells {
                    prop_assert_eq!(body.size_hint().exact(), Some(whole.data.len() as u64));
                }
            }
            prop_assert_eq!(read(&mut body, 99), whole);
        }

        #[test]
        fn no_more_than_the_cap_is_kept(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12), cap in 0_usize..60,
        ) {
            let length = chunks.concat().len();
            let mut body = ReplayBody::new(scripted(&chunks, false, false), cap);
            for _ in 0..40 {
                read(&mut body, 1);
                let kept: usize = body.locked().frames.iter().map(Bytes::len).sum();
                prop_assert!(kept <= cap);
            }
            prop_assert_eq!(body.again().is_some(), length <= cap);
        }
    }
}
