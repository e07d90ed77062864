/// Numbers that a [`Coalesce`](super::Coalesce) gives about itself. Counts are since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoalesceStats {
    /// The number of shared calls in flight, also of those that are too old to be joined.
    pub in_flight: usize,
    /// The bytes of the response bodies that are shared now, or being read for that, and of those that turned out too long, until they are read.
    pub bytes_in_flight: u64,
    /// The number of calls that were made for all that share them.
    pub led: u64,
    /// The number of calls that joined one in flight instead of being made.
    pub joined: u64,
    /// The number of calls that were made for themselves: without a key, without room for it, or since a response could not be shared.
    pub alone: u64,
    /// The number of shared calls that went on in another caller when the one that drove it was dropped.
    pub handed_over: u64,
    /// The number of calls that were rejected, since too many waited for the same one or their deadline had passed.
    pub rejected: u64,
    /// The number of calls that stopped waiting for a shared one at their deadline. They have led or joined one, and count there as well.
    pub timed_out: u64,
    /// The number of shared calls whose response went to one caller since the bodies in flight had reached `max_bytes_in_flight`. They have
    /// led, and count there as well.
    pub bytes_exceeded: u64,
}
