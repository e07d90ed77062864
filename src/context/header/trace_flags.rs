/// The flags of a trace, by which the caller recommends what to do (Trace Context, `trace-flags`). Default: none set.
///
/// Holds the two bits that levels 1 and 2 define. Reserved bits are masked off when a header is read, because they must
/// be zero when it is sent. A recommendation from an untrusted caller may be abuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// Bit 0: the caller may have recorded the trace.
    pub const SAMPLED: Self = Self(1);
    /// Bit 1, level 2: at least the low 56 bits of the trace ID are evenly random.
    pub const RANDOM: Self = Self(2);

    /// Converts from bits. Reserved bits are dropped.
    ///
    /// Only the two bits that are defined are kept:
    ///
    /// ```
    /// use tower_keep::context::TraceFlags;
    ///
    /// let flags = TraceFlags::from_bits(0b101);
    /// assert!(flags.is_sampled() && !flags.is_random());
    /// assert_eq!(flags.bits(), 1);
    /// ```
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// Returns the flags as they are printed, 0 to 3.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether the caller may have recorded the trace.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Returns whether at least the low 56 bits of the trace ID are evenly random.
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// Replaces the recording decision. The specification allows this only
    /// along with a new [`parent_id`](super::Traceparent::parent_id); see
    /// [`Traceparent::child`](super::Traceparent::child).
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED.0 | sampled as u8)
    }
}
