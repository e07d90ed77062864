use std::sync::{Mutex, PoisonError};

use super::{
    late::{Late, made},
    listener::{Listener, address},
};

/// Number of local recorders that are told. Tests have some; a process has none.
const LOCAL: usize = 8;

/// Handles of gauges that are set, for each recorder that has shown them: what an earlier one shows must not stay so for
/// ever.
///
/// Handles of a recorder that is gone are harmless here: nobody looks at what is set.
pub(crate) struct Shown<T> {
    global: Late<T>,
    /// With the recorder's address: the next one there takes the place of one that is gone.
    local: Mutex<Vec<(usize, T)>>,
}

impl<T: Clone> Shown<T> {
    pub(crate) fn new() -> Self {
        Shown {
            global: Late::new(),
            local: Mutex::default(),
        }
    }

    /// Returns whether the recorder of this moment is known to have been met. Cheap enough for every call.
    #[inline]
    pub(crate) fn has_met(&self) -> bool {
        match Listener::now() {
            Listener::Nobody => true,
            Listener::Global => self.global.kept().is_some(),
            Listener::Local => false,
        }
    }

    /// Makes the handles for the recorder of this moment.
    pub(crate) fn meet(&self, make: impl FnOnce() -> T) {
        let listener = Listener::now();
        if listener != Listener::Local {
            return self.global.with_for(listener, make, |_| ());
        }
        let address = address();
        let Some(made) = made(make) else { return };
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.retain(|(other, _)| *other != address);
        if local.len() == LOCAL {
            local.remove(0);
        }
        local.push((address, made));
    }

    /// Uses the handles of all recorders that have been met. No lock is held meanwhile.
    pub(crate) fn each(&self, mut then: impl FnMut(&T)) {
        if let Some(global) = self.global.kept() {
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
        let shown = Shown::new();
        let meet = || shown.meet(|| metrics::gauge!("shown"));
        let stays = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&stays, meet);
        for n in 0..LOCAL {
            let recorder = PrometheusBuilder::new().build_recorder();
            metrics::with_local_recorder(&recorder, meet);
            metrics::with_local_recorder(&recorder, meet);
            shown.each(|gauge| gauge.set(n as f64));
            let line = format!("shown {n}");
            assert!(recorder.handle().render().contains(&line));
            assert!(stays.handle().render().contains(&line), "{line}");
        }
        meet(); // nobody
        assert_eq!(shown.local.lock().expect("whole").len(), 2);
    }
}
