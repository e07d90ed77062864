/// A fault in the messages of a body that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is no sequence of gRPC messages.
    Broken,
    /// It ended inside of a message.
    CutShort,
    /// There was no message in it. That is in order where the client streams, and nowhere else.
    NoMessage,
}
