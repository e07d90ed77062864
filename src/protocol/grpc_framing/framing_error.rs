/// A framing error in the gRPC messages of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// The body is not a sequence of gRPC messages.
    Invalid,
    /// The body ended inside of a message.
    Truncated,
    /// The body had no message, which is valid for client streams only.
    NoMessage,
}
