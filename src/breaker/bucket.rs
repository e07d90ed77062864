/// A bucket of a window: its index, and the number of the shape that the index belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) shape: u8,
    pub(super) index: u64,
}
