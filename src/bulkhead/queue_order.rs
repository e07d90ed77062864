/// The order in which calls that wait for a slot get one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum QueueOrder {
    /// The call that has waited longest is next. A call that finds the queue full is rejected.
    #[default]
    Fifo,
    /// The call that came last is next. A call that finds the queue full takes the place of the one that has waited longest,
    /// which is rejected.
    ///
    /// For overload that lasts: with first in, first out, all calls wait until their callers are about to stop waiting;
    /// with this order most are served at once, and the others are rejected.
    Lifo,
    /// The call of the highest [priority](crate::priority) is next; of several, the one that has waited longest. A call that finds
    /// the queue full takes the place of the one of the lowest priority, which is rejected, unless its own is not higher.
    ///
    /// For overload, where some calls matter more than others. A [`Prioritizer`](crate::priority::Prioritizer) around the bulkhead says where a
    /// call stands among those that come, and keeps the floor of each class. Calls without a priority stand in the middle.
    Priority,
}
