/// The bounds of a recorder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) series: usize,
    pub(super) series_per_family: usize,
    pub(super) labels: usize,
    pub(super) label_value: usize,
    pub(super) history_series: usize,
    pub(super) history_histograms: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            series: 10_000,
            series_per_family: 2_000,
            labels: 32,
            label_value: 256,
            history_series: 1_000,
            history_histograms: 300,
        }
    }
}
