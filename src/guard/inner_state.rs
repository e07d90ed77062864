/// The state of the handle of the wrapped service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InnerState {
    /// Holds nothing.
    #[default]
    Idle,
    /// May hold a place in a queue: it was polled, and was not ready.
    Waiting,
    /// Holds a slot: it was polled ready, and is still to be called.
    Ready,
}
