/// A fault in the messages of a body that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// It is no sequence of gRPC messages.
    Invalid,
    /// It ended inside of a message.
    Truncated,
    /// There was no message in it. That is in order where the client streams, and nowhere else.
    NoMessage,
}
