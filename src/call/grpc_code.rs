use std::fmt;

/// A gRPC status code, 0 to 16. Larger numbers are read as [`UNKNOWN`](Self::UNKNOWN).
///
/// See <https://grpc.io/docs/guides/status-codes/>. Does not need tonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcCode(u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[allow(missing_docs)] // the names are the protocol's
impl GrpcCode {
    pub const OK: GrpcCode = GrpcCode(0);
    pub const CANCELLED: GrpcCode = GrpcCode(1);
    pub const UNKNOWN: GrpcCode = GrpcCode(2);
    pub const INVALID_ARGUMENT: GrpcCode = GrpcCode(3);
    pub const DEADLINE_EXCEEDED: GrpcCode = GrpcCode(4);
    pub const NOT_FOUND: GrpcCode = GrpcCode(5);
    pub const ALREADY_EXISTS: GrpcCode = GrpcCode(6);
    pub const PERMISSION_DENIED: GrpcCode = GrpcCode(7);
    pub const RESOURCE_EXHAUSTED: GrpcCode = GrpcCode(8);
    pub const FAILED_PRECONDITION: GrpcCode = GrpcCode(9);
    pub const ABORTED: GrpcCode = GrpcCode(10);
    pub const OUT_OF_RANGE: GrpcCode = GrpcCode(11);
    pub const UNIMPLEMENTED: GrpcCode = GrpcCode(12);
    pub const INTERNAL: GrpcCode = GrpcCode(13);
    pub const UNAVAILABLE: GrpcCode = GrpcCode(14);
    pub const DATA_LOSS: GrpcCode = GrpcCode(15);
    pub const UNAUTHENTICATED: GrpcCode = GrpcCode(16);
}

impl GrpcCode {
    /// Parses the value of a `grpc-status` header or trailer. Anything else is `UNKNOWN`, as the gRPC protocol demands.
    ///
    /// ```
    /// use tower_keep::call::GrpcCode;
    ///
    /// assert_eq!(GrpcCode::parse(b"14"), GrpcCode::UNAVAILABLE);
    /// assert_eq!(GrpcCode::parse(b"fine"), GrpcCode::UNKNOWN);
    /// ```
    pub fn parse(value: &[u8]) -> Self {
        match *value {
            [digit @ b'0'..=b'9'] => GrpcCode(digit - b'0'),
            [b'1', digit @ b'0'..=b'6'] => GrpcCode(10 + digit - b'0'),
            _ => GrpcCode::UNKNOWN,
        }
    }

    /// The names of all codes, by their number.
    #[cfg(feature = "serde")]
    pub(crate) const NAMES: [&'static str; NAMES.len()] = NAMES;

    /// Returns all codes, the smallest first.
    pub(crate) fn all() -> impl Iterator<Item = GrpcCode> {
        // As many as there are names.
        (0..NAMES.len() as u8).map(GrpcCode)
    }

    /// Returns the number on the wire.
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Returns the name in upper case, as semantic conventions spell it.
    pub fn as_str(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }
}

#[cfg(feature = "tonic")]
impl GrpcCode {
    pub(crate) fn from_tonic(code: tonic::Code) -> Self {
        let number = u8::try_from(i32::from(code)).ok();
        let known = number.filter(|number| usize::from(*number) < NAMES.len());
        known.map_or(GrpcCode::UNKNOWN, GrpcCode)
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_code_has_a_name_for_each_number_and_the_rest_is_unknown() {
        for n in 0..=16u8 {
            assert_eq!(GrpcCode::parse(n.to_string().as_bytes()).as_u8(), n);
        }
        for odd in [&b"17"[..], b"", b"-1", b"00", b"1x", b"\xff"] {
            assert_eq!(GrpcCode::parse(odd), GrpcCode::UNKNOWN);
        }
        assert_eq!(GrpcCode::parse(b"16").as_str(), "UNAUTHENTICATED");
    }
}
