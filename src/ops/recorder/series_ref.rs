use std::sync::Arc;

use super::{Recorder, series::Series};
use crate::ops::series::{OldPoint, SeriesKind};

/// A series with its name, for whoever keeps its history in a file.
#[derive(Clone, Debug)]
pub(in crate::ops) struct SeriesRef {
    name: Arc<str>,
    series: Arc<Series>,
}

impl SeriesRef {
    /// Returns the series of a name.
    pub(in crate::ops) fn of_name(recorder: &Recorder, name: &str) -> Vec<SeriesRef> {
        let name: Arc<str> = name.into();
        let series = recorder.0.family(&name).map(|(_, series)| series);
        let of_name = |series| SeriesRef {
            name: name.clone(),
            series,
        };
        series.into_iter().flatten().map(of_name).collect()
    }

    /// Returns the series that have a history.
    pub(in crate::ops) fn tracked(recorder: &Recorder) -> Vec<SeriesRef> {
        let mut all = recorder.0.all_series();
        all.retain(|(_, series)| series.tracked().is_some());
        let with_name = |(name, series)| SeriesRef { name, series };
        all.into_iter().map(with_name).collect()
    }

    /// Returns the series that have got a history since the last call.
    pub(in crate::ops) fn take_fresh(recorder: &Recorder) -> Vec<SeriesRef> {
        if !recorder.0.ticker().take_has_fresh() {
            return Vec::new();
        }
        let mut all = SeriesRef::tracked(recorder);
        all.retain(|each| {
            let mut tracked = each.series.tracked_mut();
            tracked
                .as_mut()
                .is_some_and(|tracked| tracked.take_is_fresh())
        });
        all
    }

    pub(in crate::ops) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::ops) fn labels(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.series.labels
    }

    pub(in crate::ops) fn kind(&self) -> SeriesKind {
        self.series.cell.kind()
    }

    /// Returns one minute, if the series has a history, and a point in it.
    pub(in crate::ops) fn minute(&self, minute: u64) -> Option<OldPoint> {
        let tracked = self.series.tracked();
        tracked.as_ref()?.history().minute(minute)
    }

    /// Returns the minutes from one on, if the series has a history.
    pub(in crate::ops) fn minutes_from(&self, from: u64) -> Option<Vec<OldPoint>> {
        let tracked = self.series.tracked();
        Some(tracked.as_ref()?.history().minutes_from(from))
    }

    /// Adds minutes that an earlier process has seen, ascending.
    pub(in crate::ops) fn restore(&self, minutes: Vec<OldPoint>) {
        if let Some(tracked) = &mut *self.series.tracked_mut() {
            tracked.restore(minutes);
        }
    }
}
