use std::fmt;

use crate::call::GrpcCode;

/// A set of gRPC codes.
///
/// In a file (feature `serde`) it is a list of names.
///
/// ```
/// use tower_keep::{call::GrpcCode, retry::GrpcCodes};
///
/// let codes = GrpcCodes::new([GrpcCode::UNAVAILABLE, GrpcCode::ABORTED]);
/// assert!(codes.contains(GrpcCode::ABORTED));
/// assert_eq!(format!("{codes:?}"), "{ABORTED, UNAVAILABLE}");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrpcCodes(u32);

impl GrpcCodes {
    /// The only code that says the peer may be able to respond a moment later, and that it has not done the work. What else
    /// fails may fail again, or have been done.
    const DEFAULT: GrpcCodes = GrpcCodes(bit(GrpcCode::UNAVAILABLE));

    /// Creates a set of these codes.
    ///
    /// ```
    /// use tower_keep::{call::GrpcCode, retry::GrpcCodes};
    ///
    /// assert_eq!(GrpcCodes::new([GrpcCode::UNAVAILABLE]), GrpcCodes::default());
    /// ```
    pub fn new(codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        codes.into_iter().fold(GrpcCodes(0), GrpcCodes::with)
    }

    /// Returns the set with this code as well.
    #[must_use]
    pub fn with(self, code: GrpcCode) -> Self {
        GrpcCodes(self.0 | bit(code))
    }

    /// Returns whether the set has this code.
    pub fn contains(self, code: GrpcCode) -> bool {
        self.0 & bit(code) != 0
    }

    /// Returns the codes of the set, the smallest first.
    pub fn iter(self) -> impl Iterator<Item = GrpcCode> {
        GrpcCode::all().filter(move |code| self.contains(*code))
    }
}

const fn bit(code: GrpcCode) -> u32 {
    // At most 16.
    1 << code.as_u8()
}

/// `UNAVAILABLE`.
impl Default for GrpcCodes {
    fn default() -> Self {
        GrpcCodes::DEFAULT
    }
}

impl FromIterator<GrpcCode> for GrpcCodes {
    fn from_iter<I: IntoIterator<Item = GrpcCode>>(codes: I) -> Self {
        GrpcCodes::new(codes)
    }
}

impl fmt::Debug for GrpcCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, code) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{code}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_have_each_code_once_in_order() {
        assert_eq!(GrpcCodes::new(GrpcCode::all()).iter().count(), 17);
        let codes = [GrpcCode::UNAUTHENTICATED, GrpcCode::OK, GrpcCode::OK];
        let set: GrpcCodes = codes.into_iter().collect();
        assert_eq!(format!("{set:?}"), "{OK, UNAUTHENTICATED}");
        assert!(set.contains(GrpcCode::OK) && !set.contains(GrpcCode::UNAVAILABLE));
        assert_eq!(format!("{:?}", GrpcCodes::new([])), "{}");
        assert_eq!(format!("{:?}", GrpcCodes::default()), "{UNAVAILABLE}");
    }
}
