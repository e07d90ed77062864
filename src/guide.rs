//! Answers to questions, one page each.
//!
//! | question | page |
//! |---|---|
//! | Which client do I wrap, and how? | [`clients`] |
//! | How do I call several instances, and survive the loss of one? | [`balance`] |
//! | How do I keep it in the state of my application? | [`state`] |
//! | How do I trust my own network only? | [`trust`] |
//! | How do web sockets keep the IDs of their call? | [`upgrades`] |
//! | How do I switch a layer off? | [`feature_flags`] |
//! | How do I read settings from a file, and change them later? | [`settings`] |
//! | How do I run it with its operations console? | [`operations`] |
//! | How do I export traces, metrics and logs to an OpenTelemetry collector? | [`otlp`] |
//! | Which alerts do I want, and how do I write, silence and test their rules? | [`alerts`] |
//! | How do I have people told of alerts and deployments? | [`notifications`] |
//! | What does it remember in its file, and how do I copy that? | [`ops_file`] |
//! | Which calls are served when not all can be? | [`priorities`] |
//! | How do I rehearse an outage? | [`game_day`] |
//! | How do I choose settings, and see what they do? | [`tuning`] |
//! | What if it does not compile, hangs or is counted otherwise? | [`troubleshooting`] |
//! | What are the equivalents of tower-http's layers? | [`from_tower_http`] |
//! | And those of tower-resilience's? | [`from_tower_resilience`] |

#[doc = include_str!("../docs/guide/alerts.md")]
pub mod alerts {}
#[doc = include_str!("../docs/guide/balance.md")]
pub mod balance {}
#[doc = include_str!("../docs/guide/clients.md")]
pub mod clients {}
#[doc = include_str!("../docs/guide/feature_flags.md")]
pub mod feature_flags {}
#[doc = include_str!("../docs/guide/from_tower_http.md")]
pub mod from_tower_http {}
#[doc = include_str!("../docs/guide/from_tower_resilience.md")]
pub mod from_tower_resilience {}
#[doc = include_str!("../docs/guide/game_day.md")]
pub mod game_day {}
#[doc = include_str!("../docs/guide/notifications.md")]
pub mod notifications {}
#[doc = include_str!("../docs/guide/operations.md")]
pub mod operations {}
#[doc = include_str!("../docs/guide/otlp.md")]
pub mod otlp {}
#[doc = include_str!("../docs/guide/ops_file.md")]
pub mod ops_file {}
#[doc = include_str!("../docs/guide/priorities.md")]
pub mod priorities {}
#[doc = include_str!("../docs/guide/settings.md")]
pub mod settings {}
#[doc = include_str!("../docs/guide/state.md")]
pub mod state {}
#[doc = include_str!("../docs/guide/troubleshooting.md")]
pub mod troubleshooting {}
#[doc = include_str!("../docs/guide/trust.md")]
pub mod trust {}
#[doc = include_str!("../docs/guide/tuning.md")]
pub mod tuning {}
#[doc = include_str!("../docs/guide/upgrades.md")]
pub mod upgrades {}
