//! Notifications against real receivers: servers on loopback that fail, throttle, hang, redirect and break off; and, where
//! `.ci/notify` has installed them, an Alertmanager and an SMTP server.

mod alertmanager;
mod api;
mod channels;
mod custom;
mod delivery;
mod email;
#[path = "../support/nobody.rs"]
mod nobody;
mod receiver;
mod restart;
mod rules;
mod support;
