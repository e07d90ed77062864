/// A value of [`Stats`](super::Stats).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum Stat {
    /// A count.
    Count(u64),
    /// A fraction, or a time in seconds.
    Number(f64),
    /// A text.
    Text(String),
    /// An unknown value; `null` in JSON.
    Unknown,
}
