use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{
    in_flight_token::InFlightToken,
    silent_panic::{panic_silently, panic_silently_in_drop},
};
use crate::call::BoxError;

/// A request or response body that performs scripted steps.
///
/// `is_end_stream` is true as soon as no step is left, and the size hint is exact unless you
/// [remove it](Self::without_size_hint).
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
/// assert_eq!(body.size_hint().exact(), Some(11));
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

/// A step of a scripted body.
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

/// The size hint of a scripted body.
#[derive(Debug, Default)]
enum SizeMode {
    /// The sum of the data frames.
    #[default]
    Exact,
    Unknown,
    /// The rest of a declared size.
    Declared(u64),
}

impl ScriptedBody {
    /// Creates a body without frames.
    ///
    /// A body that ends at once, to which steps can be added:
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_keep::testing::ScriptedBody;
    ///
    /// assert!(ScriptedBody::new().is_end_stream());
    /// assert!(!ScriptedBody::new().data("hello").is_end_stream());
    /// ```
    pub fn new() -> Self {
        ScriptedBody::default()
    }

    fn push_step(mut self, step: BodyStep) -> Self {
        self.steps.push_back(step);
        self
    }

    /// Adds a data frame.
    #[must_use]
    pub fn data(self, data: impl Into<Bytes>) -> Self {
        self.push_step(BodyStep::Frame(Frame::data(data.into())))
    }

    /// Adds trailers.
    ///
    /// # Panics
    ///
    /// Panics if a name or a value is invalid in HTTP.
    #[must_use]
    pub fn trailers<N, V>(self, trailers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        HeaderName: TryFrom<N, Error: std::fmt::Debug>,
        HeaderValue: TryFrom<V, Error: std::fmt::Debug>,
    {
        let field = |(name, value)| {
            (
                HeaderName::try_from(name).expect("the name of the trailer is valid in HTTP"),
                HeaderValue::try_from(value).expect("the value of the trailer is valid in HTTP"),
            )
        };
        let trailers: HeaderMap = trailers.into_iter().map(field).collect();
        self.push_step(BodyStep::Frame(Frame::trailers(trailers)))
    }

    /// Adds a number of pending polls, each of which wakes the task.
    #[must_use]
    pub fn pending(self, polls: usize) -> Self {
        self.push_step(BodyStep::Pending(polls))
    }

    /// Adds a delay on tokio's clock.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        self.push_step(BodyStep::Delay(delay))
    }

    /// Adds an error, such as that of a closed connection.
    #[must_use]
    pub fn error(self, error: impl Into<BoxError>) -> Self {
        self.push_step(BodyStep::Error(error.into()))
    }

    /// Adds a panic with this message, which does not call the panic hook.
    #[must_use]
    pub fn panic(self, message: &'static str) -> Self {
        self.push_step(BodyStep::Panic(message))
    }

    /// Stays pending forever, and never wakes the task.
    #[must_use]
    pub fn hang(self) -> Self {
        self.push_step(BodyStep::Hang)
    }

    /// Reports the end only at one more poll, as most bodies do, instead of by `is_end_stream`.
    #[must_use]
    pub fn end_after_extra_poll(self) -> Self {
        self.push_step(BodyStep::ExtraEndPoll)
    }

    /// Removes the size hint.
    #[must_use]
    pub fn without_size_hint(mut self) -> Self {
        self.size_mode = SizeMode::Unknown;
        self
    }

    /// Sets the size hint, whatever the frames are. A body that ends earlier was truncated.
    #[must_use]
    pub fn declared_size(mut self, bytes: u64) -> Self {
        self.size_mode = SizeMode::Declared(bytes);
        self
    }

    /// Makes the body panic with this message when it is dropped, unless the thread is already panicking.
    #[must_use]
    pub fn panic_in_drop(mut self, message: &'static str) -> Self {
        self.panic_in_drop = Some(message);
        self
    }

    /// Subtracts a frame from the rest of a declared size.
    fn subtract_declared(&mut self, frame: &Frame<Bytes>) {
        if let (SizeMode::Declared(rest), Some(data)) = (&mut self.size_mode, frame.data_ref()) {
            // A body may be longer than it has declared: layers must bear that too.
            *rest = rest.saturating_sub(data.len() as u64);
        }
    }

    /// Wakes the task, on behalf of the script if the body is part of a call.
    fn wake(&self, cx: &Context<'_>) {
        match &self.in_flight_token {
            Some(token) => token.wake(cx),
            None => cx.waker().wake_by_ref(),
        }
    }

    fn poll_sleep(&mut self, delay: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(delay)));
        if sleep.as_mut().poll(cx).is_pending() {
            // Put back, so that the next poll comes to the same sleep.
            self.steps.push_front(BodyStep::Delay(delay));
            return Poll::Pending;
        }
        self.sleep = None;
        Poll::Ready(())
    }

    /// Makes the body part of a call of a script.
    pub(super) fn set_in_flight_token(&mut self, token: InFlightToken) {
        self.in_flight_token = Some(token);
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
        // Polled after its end, which most bodies allow.
        let Some(step) = self.steps.pop_front() else {
            return Poll::Ready(None);
        };
        match step {
            BodyStep::Frame(frame) => {
                self.subtract_declared(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            // Used up: the next step belongs to the same poll.
            BodyStep::Pending(0) => self.poll_frame(cx),
            BodyStep::Pending(polls) => {
                self.steps.push_front(BodyStep::Pending(polls - 1));
                self.wake(cx);
                Poll::Pending
            }
            BodyStep::Delay(delay) => {
                ready!(self.poll_sleep(delay, cx));
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
        // A step that is left may be `ExtraEndPoll`, which has no frame.
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.size_mode {
            SizeMode::Unknown => SizeHint::default(),
            SizeMode::Declared(left) => SizeHint::with_exact(left),
            SizeMode::Exact => {
                // What is left: the hint shrinks with each frame.
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
