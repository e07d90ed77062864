use std::{sync::Arc, time::SystemTime};

use super::{Notification, origin::Origin};

/// A notification on its way to one channel: what is told, by whom, and by which attempt. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Message {
    pub(super) id: Arc<str>,
    pub(super) channel: Arc<str>,
    pub(super) notification: Arc<Notification>,
    pub(super) origin: Arc<Origin>,
    pub(super) attempt: u32,
    pub(super) at: SystemTime,
}

impl Message {
    /// Returns the ID, which is the same in each attempt, also after a restart: receivers recognize by it what they have.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name of the channel.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Returns what is told.
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    /// Returns the number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the time of the attempt.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Returns the name of the service.
    pub fn service(&self) -> &str {
        self.origin.service.as_str()
    }

    /// Returns the version of the service.
    pub fn version(&self) -> Option<&str> {
        self.origin.version.as_ref().map(|name| name.as_str())
    }

    /// Returns the name of the instance.
    pub fn instance(&self) -> Option<&str> {
        self.origin.instance.as_ref().map(|name| name.as_str())
    }

    /// Returns the name of the environment.
    pub fn environment(&self) -> Option<&str> {
        self.origin.environment.as_ref().map(|name| name.as_str())
    }

    /// Returns where people find the console, without a slash at the end.
    pub fn external_url(&self) -> Option<&str> {
        self.origin.external_url.as_deref()
    }

    /// Returns the address that leads to the view of what is told: that of an alert, or the journal.
    pub fn link(&self) -> Option<String> {
        let base = self.external_url()?;
        Some(match self.notification() {
            Notification::Alerts(group) => match group.alerts.first() {
                Some(alert) => format!("{base}/#alerts?at={}", alert.fingerprint),
                None => format!("{base}/#alerts"),
            },
            Notification::Event(_) => format!("{base}/#journal"),
        })
    }
}
