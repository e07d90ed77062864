use std::sync::{Mutex, PoisonError};

use super::{
    per_recorder::{PerRecorder, create_handles},
    recorder::{RecorderKind, current_address},
};

/// Number of local recorders whose gauges are set. Tests have some, applications none.
const MAX_LOCAL_RECORDERS: usize = 8;

/// Handles of gauges for each recorder that has shown them.
///
/// A gauge that is set must be set in all of these recorders, or an earlier one would show an old value forever. Handles
/// of a dropped recorder are harmless: nothing reads their values.
pub(crate) struct SharedGauges<T> {
    global: PerRecorder<T>,
    /// With the address of the recorder: a new recorder at the address of a dropped one replaces its handles.
    local: Mutex<Vec<(usize, T)>>,
}

impl<T: Clone> SharedGauges<T> {
    pub(crate) fn new() -> Self {
        SharedGauges {
            global: PerRecorder::new(),
            local: Mutex::default(),
        }
    }

    /// Returns whether the current recorder is known to have handles. Cheap enough for every call.
    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        match RecorderKind::current() {
            // There is nobody to show them to.
            RecorderKind::None => true,
            RecorderKind::Global => self.global.get_global().is_some(),
            RecorderKind::Local => false,
        }
    }

    /// Creates the handles for the current recorder.
    pub(crate) fn register(&self, make: impl FnOnce() -> T) {
        let recorder = RecorderKind::current();
        if recorder != RecorderKind::Local {
            return self.global.with_recorder(recorder, make, |_| ());
        }
        let address = current_address();
        // Before the lock: a recorder is foreign code.
        let Some(handles) = create_handles(make) else {
            return;
        };
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.retain(|(other, _)| *other != address);
        if local.len() == MAX_LOCAL_RECORDERS {
            // The oldest, whose recorder is most likely gone.
            local.remove(0);
        }
        local.push((address, handles));
    }

    /// Runs `f` with the handles of each recorder, without holding the lock.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&T)) {
        if let Some(global) = self.global.get_global() {
            f(global);
        }
        let local: Vec<T> = {
            let local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            local.iter().map(|(_, handles)| handles.clone()).collect()
        };
        local.iter().for_each(f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn shared_gauges_are_set_in_all_recorders_and_forget_dropped_ones() {
        let gauges = SharedGauges::new();
        let register = || gauges.register(|| metrics::gauge!("shown"));
        let stays = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&stays, register);
        for n in 0..MAX_LOCAL_RECORDERS {
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, register);
            metrics::with_local_recorder(&recorder, register);
            gauges.for_each(|gauge| gauge.set(n as f64));
            let line = format!("shown {n}");
            assert!(recorder.handle().render().contains(&line));
            assert!(stays.handle().render().contains(&line), "{line}");
        }
        register(); // no recorder
        assert_eq!(gauges.local.lock().expect("whole").len(), 2);
    }
}
