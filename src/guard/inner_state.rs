/// What the handle of the wrapped service holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum InnerState {
    /// Nothing.
    #[default]
    Idle,
    /// Perhaps a place in a queue: it was polled, and was not ready.
    Waiting,
    /// A slot: it was polled ready, and is still to be called.
    Ready,
}
