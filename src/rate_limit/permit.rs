/// The permit of a call that a rate limit has admitted or rejected.
///
/// A rejected call has one too, so that the limit sees the head of its own rejection and adds the fields of the limit.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitPermit {
    pub(super) is_server: bool,
    pub(super) is_rejected: bool,
    /// True if the peer has said in the head that it is called too often.
    pub(super) has_emptied: bool,
}

impl RateLimitPermit {
    #[inline]
    pub(super) fn new(is_server: bool, is_rejected: bool) -> Self {
        RateLimitPermit {
            is_server,
            is_rejected,
            has_emptied: false,
        }
    }
}
