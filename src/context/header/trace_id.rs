use std::{fmt, num::NonZero};

use super::{
    hex::{decode_hex, encode_hex, pad_ascii},
    random::{random_u64, random_u128},
};

/// Declares an ID that is never zero and printed in hex. A macro, since the two IDs differ in width only, and generic code over
/// an integer and three array lengths would be longer than both.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $bytes:literal, $digits:literal, $random:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(NonZero<$int>);

        impl $name {
            /// Generates an ID from the random generator of this thread. No clock reading, no allocation, no
            /// system call but one per thread, for the seed.
            ///
            /// That generator is not cryptographic: an ID is a label, not a secret, and an attacker who
            /// sees a few can compute their neighbors.
            ///
            /// Two IDs differ, save by a chance that nobody will see:
            ///
            /// ```
            #[doc = concat!("use tower_keep::context::", stringify!($name), ";")]
            ///
            #[doc = concat!("assert_ne!(", stringify!($name), "::generate(), ", stringify!($name), "::generate());")]
            /// ```
            pub fn generate() -> Self {
                Self::from_bytes($random().to_be_bytes()).unwrap_or(Self(NonZero::<$int>::MIN))
            }

            /// Generates an ID from `next`, which must return 64 evenly distributed bits.
            ///
            /// All zeros, which the specification forbids, become 1:
            ///
            /// ```
            #[doc = concat!("use tower_keep::context::", stringify!($name), ";")]
            ///
            #[doc = concat!("let id = ", stringify!($name), "::random(&mut || 0);")]
            /// assert!(id.to_string().ends_with("001"));
            /// ```
            pub fn random(next: &mut impl FnMut() -> u64) -> Self {
                let mut bytes = [0; $bytes];
                for word in bytes.chunks_exact_mut(8) {
                    word.copy_from_slice(&next().to_be_bytes());
                }
                Self::from_bytes(bytes).unwrap_or(Self(NonZero::<$int>::MIN))
            }

            /// Reads an ID from its lower-case hex digits, not all of them zero.
            ///
            #[doc = concat!("There must be exactly ", $digits, ":")]
            ///
            /// ```
            #[doc = concat!("use tower_keep::context::", stringify!($name), ";")]
            ///
            #[doc = concat!("let id = ", stringify!($name), "::generate();")]
            #[doc = concat!("assert_eq!(", stringify!($name), "::from_hex(&id.to_hex()), Some(id));")]
            /// ```
            pub fn from_hex(digits: &[u8]) -> Option<Self> {
                Self::from_bytes(decode_hex(digits)?)
            }

            /// Converts from bytes, most significant first; `None` if all are zero.
            ///
            /// ```
            #[doc = concat!("use tower_keep::context::", stringify!($name), ";")]
            ///
            #[doc = concat!("assert_eq!(", stringify!($name), "::from_bytes([0; ", $bytes, "]), None);")]
            /// ```
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Option<Self> {
                match NonZero::new(<$int>::from_be_bytes(bytes)) {
                    Some(id) => Some(Self(id)),
                    None => None,
                }
            }

            #[doc = concat!("Returns the ", $bytes, " bytes, most significant first.")]
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0.get().to_be_bytes()
            }

            #[doc = concat!("Returns the ", $digits, " lower-case hex digits as ASCII, without allocating.")]
            pub fn to_hex(self) -> [u8; $digits] {
                let mut digits = [0; $digits];
                encode_hex(&self.to_bytes(), &mut digits);
                digits
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                pad_ascii(f, &self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hex_id! {
    /// The ID of a trace: 128 bits, never zero, printed as 32 lower-case hex digits (Trace
    /// Context, `trace-id`).
    TraceId, u128, 16, 32, random_u128
}

hex_id! {
    /// The ID of one span: 64 bits, never zero, printed as 16 lower-case hex digits (Trace Context,
    /// `parent-id`).
    SpanId, u64, 8, 16, random_u64
}
