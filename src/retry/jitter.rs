/// The random part of a delay, so that clients that failed together do not retry together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Jitter {
    /// Uses the delay as it is. Clients that failed together retry together.
    None,
    /// Draws from zero to the delay: spreads best.
    Full,
    /// Draws from half of the delay to the delay: never retries at once.
    Equal,
    /// Draws from the first delay to three times the previous one, up to the maximum. Ignores steps and factors.
    Decorrelated,
}
