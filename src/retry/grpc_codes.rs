use std::fmt;

use crate::call::GrpcCode;

/// The gRPC codes that are retried, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct GrpcCodes(u32);

impl GrpcCodes {
    /// The only code that says the peer may be able to respond a moment later, and that it has not done the work. What else
    /// fails may fail again, or have been done.
    pub(super) const DEFAULT: GrpcCodes = GrpcCodes(bit(GrpcCode::UNAVAILABLE));

    pub(super) fn new(codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        GrpcCodes(codes.into_iter().fold(0, |bits, code| bits | bit(code)))
    }

    pub(super) fn contains(self, code: GrpcCode) -> bool {
        self.0 & bit(code) != 0
    }
}

const fn bit(code: GrpcCode) -> u32 {
    // At most 16.
    1 << code.as_u8()
}

impl fmt::Debug for GrpcCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrpcCodes({:#b})", self.0)
    }
}
