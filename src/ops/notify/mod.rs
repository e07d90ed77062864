//! Notifications: people are told of alerts, deployments and other events, by Slack, PagerDuty, mail or whatever else they have.
//!
//! Use it where somebody must hear of what happens while nobody looks at the console. Do not use it to carry events of the
//! business to other systems: messages of one alert replace each other, and old ones are given up. If there is an Alertmanager
//! already, one channel to it is enough. The guide has the [setup](crate::guide::notifications) of each channel.
//!
//! ```
//! use tower_keep::ops::{Ops, notify::{Channel, ChannelBuilder, EventNotice, Message, Receipt, SendFuture}};
//!
//! /// Writes to the standard error; those for Slack and others need the feature `ops-notify`.
//! struct Terminal;
//!
//! impl Channel for Terminal {
//!     fn kind(&self) -> &str {
//!         "terminal"
//!     }
//!
//!     fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
//!         eprintln!("{}", message.notification().title());
//!         Box::pin(async { Ok(Receipt::new()) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::ConfigError> {
//! let ops = Ops::builder("orders").notify(ChannelBuilder::new("terminal", Terminal)).build()?;
//! ops.spawn();
//! ops.notify(EventNotice::deployment_started("2.14.0"));
//! ops.notifications_tried().await;
//! # Ok(()) }
//! ```
//!
//! # What happens
//!
//! Each channel has a task, a queue, a time limit for each attempt and a [circuit breaker](mod@crate::breaker), so that one that
//! hangs, fails or panics delays no other and harms no call.
//!
//! | a message | then |
//! |---|---|
//! | is below the severity of the channel, or of a kind that it does not want | it is not sent there |
//! | is delivered | it is in the delivery log |
//! | fails, and may be sent again | it waits: 1 s, doubled up to 5 min, with [jitter](crate::retry::Jitter::Equal); not before the peer's `Retry-After`, for which the whole channel waits |
//! | is rejected by the breaker | it waits until the circuit lets probes through, which is no attempt |
//! | fails for good, or is older than 24 h | it is a dead letter, which an operator can send again |
//! | comes while the queue is full | the oldest that is no resolve is dropped, and counted |
//!
//! Messages about different alerts do not wait for each other; those about the same ones keep their order:
//!
//! | while this waits | comes | then |
//! |---|---|---|
//! | a trigger | a newer trigger | it takes the place of the older one |
//! | a trigger that nobody has heard of | its resolve | both are cancelled |
//! | a trigger that may have arrived (the time limit elapsed, the connection broke, the process restarted) | its resolve | the resolve takes its place |
//! | a trigger that is being sent | its resolve | it waits for what becomes of the trigger |
//! | a resolve | a trigger | both are sent, in this order |
//! | a resolve and a trigger | a resolve | the first resolve stays, and the others are cancelled |
//!
//! A resolve goes where its trigger was delivered, and nowhere else. All attempts of a message have one ID. It is delivered at
//! least once: a receiver that broke off, or a process that was killed, may make it twice.
//!
//! If the operations side has a file, a restart loses neither what waits, nor what was told, nor the log of deliveries.
//!
//! # Bounds
//!
//! 64 channels; of each 1,000 waiting messages, 100 deliveries, 100 dead letters with 10 attempts of each, and 4,096 groups of
//! alerts that fire. Of responses, 4 KiB are read. `tower_keep_notifications_total` counts what became of messages.
//!
//! # Clones
//!
//! Clones of a [`Message`] are cheap. Channels belong to their [`Ops`](crate::ops::Ops), whose clones share them.
//!
//! # Cancellation
//!
//! [`Ops::notify`](crate::ops::Ops::notify) does not wait. An attempt is dropped when its limit elapses, and when the last clone of
//! the [`Ops`](crate::ops::Ops) is.

#[cfg(feature = "ops-notify")]
mod address_policy;
mod alert_group;
mod alert_notice;
#[cfg(feature = "ops-notify")]
mod alertmanager;
mod attempt;
#[cfg(feature = "ops-notify")]
mod brief;
mod channel;
mod channel_builder;
mod channel_config;
mod channel_handle;
mod channel_health;
mod channel_store;
mod delivery;
mod delivery_log;
mod delivery_state;
#[cfg(feature = "ops-notify")]
mod discord;
#[cfg(feature = "ops-email")]
mod email;
#[cfg(feature = "ops-email")]
mod email_templates;
mod erased_channel;
mod event_notice;
#[cfg(test)]
mod fixtures;
#[cfg(feature = "ops-notify")]
mod http_answer;
#[cfg(feature = "ops-notify")]
mod http_channel;
#[cfg(feature = "ops-notify")]
mod http_message;
#[cfg(feature = "ops-notify")]
mod http_sender;
#[cfg(feature = "ops-notify")]
mod http_url;
mod message;
mod message_id;
mod metrics;
mod not_retried;
mod notification;
mod notifications;
mod origin;
mod outbox;
#[cfg(feature = "ops-notify")]
mod pagerduty;
mod persisted;
mod queued;
mod receipt;
mod refusal;
#[cfg(feature = "ops-notify")]
mod resolver;
#[cfg(feature = "ops-notify")]
mod secrets;
mod send_error;
#[cfg(feature = "ops-notify")]
mod signature;
#[cfg(feature = "ops-notify")]
mod slack;
#[cfg(feature = "ops-notify")]
mod teams;
mod told;
#[cfg(feature = "ops-notify")]
mod webhook;
#[cfg(feature = "ops-notify")]
mod webhook_v4;

#[cfg(feature = "ops-email")]
pub use self::email::Email;
pub use self::{
    alert_group::AlertGroup,
    alert_notice::AlertNotice,
    channel::{Channel, SendFuture},
    channel_builder::ChannelBuilder,
    event_notice::EventNotice,
    message::Message,
    notification::Notification,
    receipt::Receipt,
    send_error::SendError,
};
#[cfg(feature = "ops-notify")]
pub use self::{
    alertmanager::Alertmanager, discord::Discord, http_channel::HttpChannel, pagerduty::PagerDuty,
    slack::Slack, teams::Teams, webhook::Webhook,
};

pub(crate) use self::{
    channel_handle::ChannelHandle, delivery::Delivery, delivery_state::DeliveryState,
    erased_channel::ErasedChannel, not_retried::NotResent, notifications::Notifications,
    origin::Origin, refusal::Refusal,
};
