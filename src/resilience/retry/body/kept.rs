use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::Polled;
use crate::call::BoxError;

/// How many pieces are kept: each costs some bytes of its own, even one that is empty.
const MOST_FRAMES: usize = 1_000;

/// What was read of a body, and where the rest comes from. Shared by all its sendings.
pub(super) struct Kept<B> {
    source: Source<B>,
    /// Most bodies have one, which needs no list.
    first: Option<Bytes>,
    others: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    room: Room,
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

#[derive(Clone, Copy)]
enum Room {
    /// How many more bytes may be kept.
    Left(usize),
    /// It will be too long, but nothing was read yet.
    Untouched,
    /// Something was read that is gone.
    Gone,
}

impl<B: Body<Data = Bytes>> Kept<B> {
    pub(super) fn new(body: B, cap: usize) -> Self {
        let length = usize::try_from(body.size_hint().lower());
        let fits = length.is_ok_and(|length| length <= cap);
        Kept {
            source: Source::Open(body),
            first: None,
            others: Vec::new(),
            trailers: None,
            room: if fits {
                Room::Left(cap)
            } else {
                Room::Untouched
            },
            turn: 0,
        }
    }

    pub(super) fn size_hint(&self, at: usize) -> SizeHint {
        let unread = (at..self.frames()).filter_map(|at| self.frame(at));
        let unread: u64 = unread.map(|data| data.len() as u64).sum();
        let rest = match &self.source {
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

    /// Whether nothing comes after that many frames, and possibly the trailers.
    pub(super) fn is_over_at(&self, at: usize, trailed: bool) -> bool {
        if at < self.frames() {
            return false;
        }
        match &self.source {
            Source::Open(body) => body.is_end_stream(),
            Source::Over => trailed || self.trailers.is_none(),
            Source::Broken => true,
        }
    }
}

impl<B> Kept<B> {
    pub(super) fn can_go_again(&self) -> bool {
        !matches!(self.room, Room::Gone) && !matches!(self.source, Source::Broken)
    }

    pub(super) fn is_untouched(&self) -> bool {
        let unread = self.frames() == 0 && !matches!(self.room, Room::Gone);
        unread && matches!(self.source, Source::Open(_))
    }

    pub(super) fn next_turn(&mut self) -> Option<u32> {
        if !self.can_go_again() {
            return None;
        }
        self.turn = self.turn.checked_add(1)?;
        Some(self.turn)
    }

    /// Nobody will ask for it again: what comes from now on is not kept, and what was is let go of when it does.
    pub(super) fn release(&mut self) {
        self.room = Room::Gone;
    }

    pub(super) fn is_turn(&self, turn: u32) -> bool {
        self.turn == turn
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.source, Source::Open(_))
    }

    pub(super) fn frame(&self, at: usize) -> Option<&Bytes> {
        match at {
            0 => self.first.as_ref(),
            _ => self.others.get(at - 1),
        }
    }

    pub(super) fn frames(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Keeps a piece if there is room, else lets go of all.
    fn keep(&mut self, data: &Bytes) {
        let left = match self.room {
            Room::Left(room) if self.frames() < MOST_FRAMES => room.checked_sub(data.len()),
            _ => None,
        };
        let Some(left) = left else {
            self.room = Room::Gone;
            self.first = None;
            self.others = Vec::new();
            return;
        };
        self.room = Room::Left(left);
        match self.first {
            None => self.first = Some(data.clone()),
            Some(_) => self.others.push(data.clone()),
        }
    }
}

impl<B> Kept<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Reads on, and keeps what comes if there is room. Only for a source that is open.
    pub(super) fn poll_source(&mut self, cx: &mut Context<'_>) -> Polled {
        // Put back below: a source that panics stays broken.
        let Source::Open(mut body) = mem::replace(&mut self.source, Source::Broken) else {
            unreachable!("only an open source is polled");
        };
        let Poll::Ready(read) = Pin::new(&mut body).poll_frame(cx) else {
            self.source = Source::Open(body);
            return Poll::Pending;
        };
        let frame: Frame<Bytes> = match read {
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
        if let Some(data) = frame.data_ref() {
            self.keep(data);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
impl<B> Kept<B> {
    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        self.first.iter().chain(&self.others).map(Bytes::len).sum()
    }
}
