//! Answers to questions, one page each.
//!
//! | question | page |
//! |---|---|
//! | Which client do I wrap, and how? | [`clients`] |
//! | How do I keep it in the state of my application? | [`state`] |
//! | How do I trust my own network only? | [`trust`] |
//! | How do web sockets keep the IDs of their call? | [`upgrades`] |
//! | How do I switch a layer off? | [`feature_flags`] |
//! | How do I read settings from a file, and change them later? | [`settings`] |
//! | How do I run it with its operations console? | [`operations`] |
//! | How do I rehearse an outage? | [`game_day`] |
//! | What if it does not compile, hangs or is counted otherwise? | [`troubleshooting`] |
//! | What are the equivalents of tower-http's layers? | [`from_tower_http`] |
//! | And those of tower-resilience's? | [`from_tower_resilience`] |

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
#[doc = include_str!("../docs/guide/operations.md")]
pub mod operations {}
#[doc = include_str!("../docs/guide/settings.md")]
pub mod settings {}
#[doc = include_str!("../docs/guide/state.md")]
pub mod state {}
#[doc = include_str!("../docs/guide/troubleshooting.md")]
pub mod troubleshooting {}
#[doc = include_str!("../docs/guide/trust.md")]
pub mod trust {}
#[doc = include_str!("../docs/guide/upgrades.md")]
pub mod upgrades {}
