/// The calls that a throttle counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ThrottleAccounting {
    /// All calls, those included that the throttle rejects, as the SRE book has it: what reaches the peer stays at
    /// [`factor`](super::ThrottleBuilder::factor) times what it can do, however much comes.
    #[default]
    All,
    /// The calls that were admitted only, as Envoy and failsafe-go do: it recovers sooner after an outage, and lets more through the
    /// more comes.
    Admitted,
}
