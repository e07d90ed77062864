use std::{collections::VecDeque, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::ScriptedBody;
use crate::call::BoxError;

/// The reply of a [`Script`](super::Script) to a request.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::testing::Reply;
///
/// let reply = Reply::<std::io::Error>::status(503)
///     .header("retry-after", "1")
///     .data("come back later")
///     .after(Duration::from_secs(2));
/// # let _ = reply;
/// ```
pub struct Reply<E = BoxError> {
    pub(super) response: Response<ScriptedBody>,
    pub(super) waits: VecDeque<ReplyWait>,
    pub(super) action: ReplyAction<E>,
    pub(super) panic_in_drop: Option<&'static str>,
}

/// A wait before the reply.
pub(super) enum ReplyWait {
    Polls(usize),
    Delay(Duration),
}

/// The reply after all waits.
pub(super) enum ReplyAction<E> {
    Respond,
    Fail(E),
    PanicInCall(&'static str),
    PanicInPoll(&'static str),
    Hang,
}

impl<E> Reply<E> {
    fn from_action(action: ReplyAction<E>) -> Self {
        Reply {
            response: Response::new(ScriptedBody::new()),
            waits: VecDeque::new(),
            action,
            panic_in_drop: None,
        }
    }

    /// Creates a response with status 200 and an empty body.
    ///
    /// A service that always answers alike:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::always(|| Reply::ok().data("hello"));
    /// # let _ = script;
    /// ```
    pub fn ok() -> Self {
        Reply::from_action(ReplyAction::Respond)
    }

    /// Creates a response with a status and an empty body.
    ///
    /// A service that is overloaded once:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::status(503).header("retry-after", "1"), Reply::ok()]);
    /// # let _ = script;
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the status is invalid.
    pub fn status(status: u16) -> Self {
        let mut reply = Reply::ok();
        *reply.response.status_mut() =
            StatusCode::from_u16(status).expect("the status is valid in HTTP");
        reply
    }

    /// Creates a gRPC response: status 200, one message, and the code in the trailers.
    ///
    /// A gRPC service that is unavailable:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::always(|| Reply::grpc(14));
    /// # let _ = script;
    /// ```
    pub fn grpc(code: u8) -> Self {
        Reply::ok()
            .header("content-type", "application/grpc")
            // A frame of gRPC: not compressed, a message of two bytes.
            .data("\0\0\0\0\x02hi")
            .trailers([("grpc-status", HeaderValue::from(u16::from(code)))])
    }

    /// Creates an error instead of a response.
    ///
    /// A connection that is reset before the head:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::error("connection reset")]);
    /// # let _ = script;
    /// ```
    pub fn error(error: impl Into<E>) -> Self {
        Reply::from_action(ReplyAction::Fail(error.into()))
    }

    /// Creates a panic in `Service::call`, which does not call the panic hook.
    ///
    /// A service with a bug before its future exists:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::panic_in_call("a bug")]);
    /// # let _ = script;
    /// ```
    pub fn panic_in_call(message: &'static str) -> Self {
        Reply::from_action(ReplyAction::PanicInCall(message))
    }

    /// Creates a panic in the poll of the future, which does not call the panic hook.
    ///
    /// A handler that panics after it has waited:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::panic_in_poll("a bug").pending(1)]);
    /// # let _ = script;
    /// ```
    pub fn panic_in_poll(message: &'static str) -> Self {
        Reply::from_action(ReplyAction::PanicInPoll(message))
    }

    /// Creates a reply that is pending forever and never wakes the task.
    ///
    /// A peer that never answers, for the test of a time limit:
    ///
    /// ```
    /// use tower_keep::testing::{Reply, Script};
    ///
    /// let script: Script = Script::new([Reply::hang()]);
    /// # let _ = script;
    /// ```
    pub fn hang() -> Self {
        Reply::from_action(ReplyAction::Hang)
    }

    /// Adds a header to the response.
    ///
    /// # Panics
    ///
    /// Panics if the name or the value is invalid in HTTP.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N, Error: fmt::Debug>,
        HeaderValue: TryFrom<V, Error: fmt::Debug>,
    {
        let name = HeaderName::try_from(name).expect("the name of the header is valid in HTTP");
        let value = HeaderValue::try_from(value).expect("the value of the header is valid in HTTP");
        // Appended, so that a header can come twice.
        self.response.headers_mut().append(name, value);
        self
    }

    /// Adds an extension to the response.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> Self {
        self.response.extensions_mut().insert(extension);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: ScriptedBody) -> Self {
        self.map_body(|_| body)
    }

    /// Adds a data frame to the body.
    #[must_use]
    pub fn data(self, data: impl Into<Bytes>) -> Self {
        self.map_body(|body| body.data(data))
    }

    /// Adds trailers to the body; see [`ScriptedBody::trailers`].
    #[must_use]
    pub fn trailers<N, V>(self, trailers: impl IntoIterator<Item = (N, V)>) -> Self
    where
        HeaderName: TryFrom<N, Error: fmt::Debug>,
        HeaderValue: TryFrom<V, Error: fmt::Debug>,
    {
        self.map_body(|body| body.trailers(trailers))
    }

    fn map_body(mut self, map: impl FnOnce(ScriptedBody) -> ScriptedBody) -> Self {
        self.response = self.response.map(map);
        self
    }

    /// Adds a number of pending polls before the reply, each of which wakes the task.
    #[must_use]
    pub fn pending(mut self, polls: usize) -> Self {
        self.waits.push_back(ReplyWait::Polls(polls));
        self
    }

    /// Adds a delay before the reply, on tokio's clock.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.waits.push_back(ReplyWait::Delay(delay));
        self
    }

    /// Makes the future panic with this message when it is dropped, completed or not, unless the thread is already
    /// panicking.
    #[must_use]
    pub fn panic_in_drop(mut self, message: &'static str) -> Self {
        self.panic_in_drop = Some(message);
        self
    }
}

impl<E> fmt::Debug for Reply<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}
