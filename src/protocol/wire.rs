/// What a call speaks: decided once from the request, and revised once by what the peer answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// HTTP, or no protocol at all for a plain service.
    #[default]
    Plain,
    /// gRPC over HTTP/2 or HTTP/3: its status is in the trailers.
    Grpc,
    /// gRPC-Web: its trailers are the last message of the body.
    GrpcWeb,
}

impl Wire {
    /// Whether it is gRPC of either kind.
    #[inline]
    pub fn is_grpc(self) -> bool {
        self != Wire::Plain
    }
}
