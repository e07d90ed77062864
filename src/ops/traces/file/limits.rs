use std::time::Duration;

/// The bounds of the traces in the file. What is beyond one of them is deleted, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::traces) struct FileLimits {
    pub(in crate::ops::traces) keep_for: Duration,
    pub(in crate::ops::traces) max_bytes: u64,
}

impl Default for FileLimits {
    fn default() -> Self {
        FileLimits {
            keep_for: Duration::from_secs(7 * 86_400),
            max_bytes: 256 * 1_024 * 1_024,
        }
    }
}
