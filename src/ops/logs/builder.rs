#[cfg(feature = "ops-sqlite")]
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::{LogStore, kept::Kept, memory::Memory, shared::Shared};
#[cfg(feature = "ops-sqlite")]
use super::{file::LogFileLimits, file_read, kept::FileSettings};
use crate::{
    call::{ConfigError, check_range},
    ops::store::Store,
};

/// More than this is what the file is for.
const MAX_RECORDS: usize = 1_000_000;
const MAX_BYTES: usize = 1_024 * 1_024 * 1_024;
/// The least that is of any use, in bytes.
const MIN_BYTES: usize = 64 * 1_024;

/// A builder of what is kept of the log; see the [module](super). Changed by [`OpsBuilder::logs`](crate::ops::OpsBuilder::logs).
#[derive(Clone, Debug)]
#[must_use]
pub struct LogsBuilder {
    level: LevelFilter,
    max_records: usize,
    max_bytes: usize,
    #[cfg(feature = "ops-sqlite")]
    file: LogFileLimits,
}

impl Default for LogsBuilder {
    fn default() -> Self {
        LogsBuilder {
            level: LevelFilter::INFO,
            max_records: 10_000,
            max_bytes: 16 * 1_024 * 1_024,
            #[cfg(feature = "ops-sqlite")]
            file: LogFileLimits {
                keep_for: Duration::from_secs(7 * 24 * 60 * 60),
                max_records: 5_000_000,
                max_bytes: 1_024 * 1_024 * 1_024,
            },
        }
    }
}

impl LogsBuilder {
    /// Sets the least level of events that are kept, as far as the filter of the subscriber lets them through;
    /// [`LevelFilter::OFF`] keeps none. Default: [`LevelFilter::INFO`], since more detail would leave little room for what
    /// matters.
    ///
    /// ```
    /// use tower_keep::ops::Ops;
    /// use tracing::level_filters::LevelFilter;
    ///
    /// let ops = Ops::builder("orders").logs(|logs| logs.level(LevelFilter::DEBUG)).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn level(mut self, level: impl Into<LevelFilter>) -> Self {
        self.level = level.into();
        self
    }

    /// Sets how many records are in memory, 1 to 1,000,000. Default: 10,000, which take about 4 MB.
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// Sets how many bytes the records in memory take, 64 KiB to 1 GiB. Default: 16 MiB, for records that are long.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets for how long records are in the file, an hour to 10 years. Default: 7 days, in which most incidents are looked into.
    #[cfg(feature = "ops-sqlite")]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.file.keep_for = time;
        self
    }

    /// Sets how many records are in the file, 1,000 to 1,000,000,000. Default: 5,000,000.
    #[cfg(feature = "ops-sqlite")]
    pub fn max_file_records(mut self, records: u64) -> Self {
        self.file.max_records = records;
        self
    }

    /// Sets how many bytes of the file records take, about, 1 MiB to 1 TiB. The file must have room for it, see
    /// [`StoreFile::max_bytes`](crate::ops::StoreFile::max_bytes). Default: 1 GiB, half of the file.
    #[cfg(feature = "ops-sqlite")]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.file.max_bytes = bytes;
        self
    }

    pub(in crate::ops) fn build(
        &self,
        component: &str,
        store: &Store,
    ) -> Result<LogStore, ConfigError> {
        for (field, value, allowed) in [
            ("logs.max_records", self.max_records, 1..=MAX_RECORDS),
            ("logs.max_bytes", self.max_bytes, MIN_BYTES..=MAX_BYTES),
        ] {
            check_range(component, field, value, allowed)?;
        }
        let shared = Shared::new(self.level);
        let memory = Memory::new(self.max_records, self.max_bytes);
        #[cfg(feature = "ops-sqlite")]
        let kept = {
            self.validate_file(component)?;
            let limits = self.file;
            let settings = store.signal().map(|signal| FileSettings { limits, signal });
            // The tables may not be there yet.
            let last = store.read(file_read::last_id).ok().flatten();
            Kept::new(shared, memory, last.unwrap_or(0)).with_file(settings)
        };
        #[cfg(not(feature = "ops-sqlite"))]
        let kept = Kept::new(shared, memory, 0);
        Ok(LogStore::new(kept, store))
    }

    #[cfg(feature = "ops-sqlite")]
    fn validate_file(&self, component: &str) -> Result<(), ConfigError> {
        let limits = &self.file;
        let hours = limits.keep_for.as_secs() / 3_600;
        for (field, value, allowed) in [
            ("logs.keep_for (hours)", hours, 1..=10 * 366 * 24),
            (
                "logs.max_file_records",
                limits.max_records,
                1_000..=1_000_000_000,
            ),
            ("logs.max_file_bytes", limits.max_bytes, 1 << 20..=1 << 40),
        ] {
            check_range(component, field, value, allowed)?;
        }
        Ok(())
    }
}
