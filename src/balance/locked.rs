use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{
    BalanceSettings,
    endpoint::Endpoint,
    rotation::{EndpointId, Rotation, RotationChange},
};
use crate::{breaker::Transition, call::Label};

/// The part of a balancer that is behind its lock.
pub(super) struct Locked {
    pub(super) rotation: Rotation,
    pub(super) settings: BalanceSettings,
    /// The version of the settings of breakers; 0 for those that it was built with.
    pub(super) settings_version: u64,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    latest_id: EndpointId,
    /// Changes that are still to be reported, in order.
    reports: VecDeque<EndpointReport>,
    /// True while a thread is reporting, which also reports the changes that other threads queue meanwhile.
    is_reporting: bool,
}

/// A change of an endpoint, to be reported when the lock is free.
pub(super) struct EndpointReport {
    pub(super) endpoint: Label,
    /// `true` if it was ejected, and has not returned.
    pub(super) is_ejected: bool,
    pub(super) reason: &'static str,
    pub(super) last_error: Option<Label>,
}

impl Locked {
    pub(super) fn new(settings: BalanceSettings) -> Self {
        Locked {
            rotation: Rotation::new(settings.max_ejected),
            settings,
            settings_version: 0,
            endpoints: Vec::new(),
            latest_id: 0,
            reports: VecDeque::new(),
            is_reporting: false,
        }
    }

    pub(super) fn next_id(&mut self) -> EndpointId {
        self.latest_id += 1;
        self.latest_id
    }

    pub(super) fn index(&self, id: EndpointId) -> Option<usize> {
        self.endpoints.iter().position(|other| other.id == id)
    }

    /// Lets calls see the changes, and queues their reports. `cause` is the transition of the circuit of an endpoint.
    pub(super) fn apply_changes(
        &mut self,
        changes: Vec<RotationChange>,
        now: Instant,
        cause: Option<(EndpointId, &Transition)>,
    ) {
        for change in changes {
            let (id, is_ejected) = match change {
                RotationChange::Ejected(id) => (id, true),
                RotationChange::Recovered(id) | RotationChange::Readmitted(id) => (id, false),
            };
            let Some(index) = self.index(id) else {
                continue;
            };
            let endpoint = &self.endpoints[index];
            endpoint.set_ejected(is_ejected, now);
            let own = cause.filter(|cause| cause.0 == id);
            let own = own.map(|(_, transition)| transition);
            self.reports.push_back(EndpointReport {
                endpoint: endpoint.label.clone(),
                is_ejected,
                // Without a cause of its own: another one has left a place, or taken one.
                reason: own.map_or("share", |own| own.reason.as_str()),
                last_error: own.and_then(|own| own.last_error.clone()),
            });
        }
    }

    /// Returns whether the caller is to report; otherwise another thread does.
    pub(super) fn begin_reporting(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reporting, true)
    }

    /// Returns the next change to report. After the last one, the next thread begins anew.
    pub(super) fn next_report(&mut self) -> Option<EndpointReport> {
        let next = self.reports.pop_front();
        self.is_reporting = next.is_some();
        next
    }
}
