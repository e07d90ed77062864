use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::counters::{InFlightToken, panic_silently, panic_silently_in_drop};
use crate::call::BoxError;

/// A body that does what it is told, poll by poll, for responses and for requests.
///
/// What it says of itself is true: `is_end_stream` holds as soon as nothing is left, and the size hint is exact
/// unless told [otherwise](Self::without_size_hint).
///
/// ```
/// use http_body::Body;
/// use tower_keep::testing::ScriptedBody;
///
/// let body = ScriptedBody::new()
///     .data("hello")
///     .pending(2)
///     .data(" world")
///     .trailers([("grpc-status", "0")]);
/// assert_eq!(body.size_hint().exact_len(), Some(11));
/// assert!(!body.is_end_stream());
/// ```
#[derive(Debug, Default)]
pub struct ScriptedBody {
    steps: VecDeque<BodyStep>,
    sleep: Option<Pin<Box<Sleep>>>,
    size_mode: SizeMode,
    panic_in_drop: Option<&'static str>,
    in_flight_token: Option<InFlightToken>,
}

#[derive(Debug)]
enum BodyStep {
    Frame(Frame<Bytes>),
    Pending(usize),
    Delay(Duration),
    Error(BoxError),
    Panic(&'static str),
    Hang,
    ExtraEndPoll,
}

#[derive(Debug, Default)]
enum SizeMode {
    /// What the data frames come to.
    #[default]
    Exact,
    Unknown,
    /// What is left of a promise.
    Declared(u64),
}

impl ScriptedBody {
    /// A body without frames.
    pub fn new() -> Self {
        ScriptedBody::default()
    }

    fn push_step(mut self, step: BodyStep) -> Self {
        self.steps.push_back(step);
        self
    }

    /// Gives a frame of data.
    #[must_use]
    pub fn data(self, data: impl Into<Bytes>) -> Self {
        self.push_step(BodyStep::Frame(Frame::data(data.into())))
    }

    /// Gives trailers.
    ///
    /// # Panics
    ///
    /// If a name or a value is none that HTTP allows.
    #[must_use]
    pub fn trailers<N, V>(self, trailers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        HeaderName: TryFrom<N, Error: std::fmt::Debug>,
        HeaderValue: TryFrom<V, Error: std::fmt::Debug>,
    {
        let field = |(name, value)| {
            (
                HeaderName::try_from(name).expect("a trailer's name"),
                HeaderValue::try_from(value).expect("a trailer's value"),
            )
        };
        let trailers: HeaderMap = trailers.into_iter().map(field).collect();
        self.push_step(BodyStep::Frame(Frame::trailers(trailers)))
    }

    /// Is pending for so many polls, and wakes the task at each.
    #[must_use]
    pub fn pending(self, polls: usize) -> Self {
        self.push_step(BodyStep::Pending(polls))
    }

    /// Waits for so long, on tokio's clock.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        self.push_step(BodyStep::Delay(delay))
    }

    /// Fails, as where a connection is cut.
    #[must_use]
    pub fn error(self, error: impl Into<BoxError>) -> Self {
        self.push_step(BodyStep::Error(error.into()))
    }

    /// Panics with this message, without a word from the panic hook.
    #[must_use]
    pub fn panic(self, message: &'static str) -> Self {
        self.push_step(BodyStep::Panic(message))
    }

    /// Stays pending for ever, and never wakes the task.
    #[must_use]
    pub fn hang(self) -> Self {
        self.push_step(BodyStep::Hang)
    }

    /// Learns only at one more poll that nothing is left, as most bodies do.
    #[must_use]
    pub fn end_after_extra_poll(self) -> Self {
        self.push_step(BodyStep::ExtraEndPoll)
    }

    /// Does not know its size.
    #[must_use]
    pub fn without_size_hint(mut self) -> Self {
        self.size_mode = SizeMode::Unknown;
        self
    }

    /// Says that this many bytes are to come, whatever comes: a body that ends before that was cut short.
    #[must_use]
    pub fn declared_size(mut self, bytes: u64) -> Self {
        self.size_mode = SizeMode::Declared(bytes);
        self
    }

    /// Panics with this message when it is dropped, unless the thread is panicking already.
    #[must_use]
    pub fn panic_in_drop(mut self, message: &'static str) -> Self {
        self.panic_in_drop = Some(message);
        self
    }

    /// The body belongs to a call of a script.
    pub(super) fn set_in_flight_token(&mut self, alive: InFlightToken) {
        self.in_flight_token = Some(alive);
    }
}

impl From<&'static str> for ScriptedBody {
    fn from(data: &'static str) -> Self {
        ScriptedBody::new().data(data)
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(step) = self.steps.pop_front() else {
            return Poll::Ready(None);
        };
        match step {
            BodyStep::Frame(frame) => {
                if let (SizeMode::Declared(left), Some(data)) =
                    (&mut self.size_mode, frame.data_ref())
                {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            BodyStep::Pending(0) => self.poll_frame(cx),
            BodyStep::Pending(polls) => {
                self.steps.push_front(BodyStep::Pending(polls - 1));
                if let Some(alive) = &self.in_flight_token {
                    alive.wake(cx);
                } else {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            BodyStep::Delay(delay) => {
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(delay)));
                if sleep.as_mut().poll(cx).is_pending() {
                    self.steps.push_front(BodyStep::Delay(delay));
                    return Poll::Pending;
                }
                self.sleep = None;
                self.poll_frame(cx)
            }
            BodyStep::Error(error) => Poll::Ready(Some(Err(error))),
            BodyStep::Panic(message) => panic_silently(message),
            BodyStep::Hang => {
                self.steps.push_front(BodyStep::Hang);
                Poll::Pending
            }
            BodyStep::ExtraEndPoll => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.size_mode {
            SizeMode::Unknown => SizeHint::default(),
            SizeMode::Declared(left) => SizeHint::with_exact(left),
            SizeMode::Exact => {
                let data = self.steps.iter().map(|step| match step {
                    BodyStep::Frame(frame) => frame.data_ref().map_or(0, |data| data.len() as u64),
                    _ => 0,
                });
                SizeHint::with_exact(data.sum())
            }
        }
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        panic_silently_in_drop(self.panic_in_drop);
    }
}
