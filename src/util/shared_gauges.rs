use std::sync::{Mutex, PoisonError};

use super::{
    per_recorder::{PerRecorder, create_handles},
    recorder::{RecorderKind, current_address},
};

/// Number of local recorders that are told. Tests have some; a process has none.
const MAX_LOCAL_RECORDERS: usize = 8;

/// Handles of gauges that are set, for each recorder that has shown them: what an earlier one shows must not stay so for
/// ever.
///
/// Handles of a recorder that is gone are harmless here: nobody looks at what is set.
pub(crate) struct SharedGauges<T> {
    global: PerRecorder<T>,
    /// With the recorder's address: the next one there takes the place of one that is gone.
    local: Mutex<Vec<(usize, T)>>,
}

impl<T: Clone> SharedGauges<T> {
    pub(crate) fn new() -> Self {
        SharedGauges {
            global: PerRecorder::new(),
            local: Mutex::default(),
        }
    }

    /// Returns whether the recorder of this moment is known to have been met. Cheap enough for every call.
    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        match RecorderKind::current() {
            RecorderKind::None => true,
            RecorderKind::Global => self.global.get_global().is_some(),
            RecorderKind::Local => false,
        }
    }

    /// Makes the handles for the recorder of this moment.
    pub(crate) fn register(&self, make: impl FnOnce() -> T) {
        let listener = RecorderKind::current();
        if listener != RecorderKind::Local {
            return self.global.with_recorder(listener, make, |_| ());
        }
        let address = current_address();
        let Some(made) = create_handles(make) else {
            return;
        };
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.retain(|(other, _)| *other != address);
        if local.len() == MAX_LOCAL_RECORDERS {
            local.remove(0);
        }
        local.push((address, made));
    }

    /// Uses the handles of all recorders that have been met. No lock is held meanwhile.
    pub(crate) fn for_each(&self, mut then: impl FnMut(&T)) {
        if let Some(global) = self.global.get_global() {
            then(global);
        }
        let local: Vec<T> = {
            let local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            local.iter().map(|(_, made)| made.clone()).collect()
        };
        local.iter().for_each(then);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn recorders_that_have_been_met_are_told_and_those_that_are_gone_take_no_place() {
        let shown = SharedGauges::new();
        let meet = || shown.register(|| metrics::gauge!("shown"));
        let stays = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&stays, meet);
        for n in 0..MAX_LOCAL_RECORDERS {
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, meet);
            metrics::with_local_recorder(&recorder, meet);
            shown.for_each(|gauge| gauge.set(n as f64));
            let line = format!("shown {n}");
            assert!(recorder.handle().render().contains(&line));
            assert!(stays.handle().render().contains(&line), "{line}");
        }
        meet(); // nobody
        assert_eq!(shown.local.lock().expect("whole").len(), 2);
    }
}
