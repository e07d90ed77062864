//! What makes sense.

use std::{fmt, time::Duration};

use super::{CircuitBreakerBuilder, DEFAULT_MIN_CALLS, WindowKind};
use crate::call::{ConfigError, check_fraction};

/// Three probes may hold up a few callers; more than that is traffic.
const MAX_PROBES: u32 = 1_000;
const MAX_BUCKETS: usize = 1_000;
const MAX_COUNT_WINDOW: usize = 10_000;

impl CircuitBreakerBuilder {
    /// Finds the first setting that makes no sense, and fills in what depends on others.
    pub(super) fn validate(&mut self) -> Result<(), ConfigError> {
        let owner = ConfigContext(format!("breaker {:?}", self.name));
        let room = self.validate_window(&owner)?;
        self.validate_min_calls(&owner, room)?;
        self.validate_thresholds(&owner)?;
        self.validate_times(&owner)?;
        self.validate_probes(&owner)
    }

    /// How many calls the window holds.
    fn validate_window(&self, owner: &ConfigContext) -> Result<u32, ConfigError> {
        match self.settings.window {
            WindowKind::Time(_, buckets) if !(1..=MAX_BUCKETS).contains(&buckets) => {
                let got = format!("in {buckets} buckets");
                owner.error("time_window", got, "in 1 to 1000 buckets")
            }
            WindowKind::Time(window, buckets)
                if window / (buckets as u32) < Duration::from_millis(1) =>
            {
                let got = format!("{window:?} in {buckets} buckets");
                owner.error("time_window", got, "at least a millisecond for each bucket")
            }
            WindowKind::Time(..) => Ok(u32::MAX),
            WindowKind::Count(calls) if (1..=MAX_COUNT_WINDOW).contains(&calls) => Ok(calls as u32),
            WindowKind::Count(calls) => owner.error("count_window", calls, "1 to 10000"),
        }
    }

    fn validate_min_calls(&mut self, owner: &ConfigContext, room: u32) -> Result<(), ConfigError> {
        let calls = self.min_calls.unwrap_or(DEFAULT_MIN_CALLS.min(room));
        if !(1..=room).contains(&calls) {
            let must = format!("1 to {room}, which is all that the window holds");
            return owner.error("minimum_calls", calls, must);
        }
        self.settings.min_calls = calls;
        Ok(())
    }

    fn validate_thresholds(&self, owner: &ConfigContext) -> Result<(), ConfigError> {
        let s = &self.settings;
        for (field, rate) in [
            ("failure_rate", s.failure_rate),
            ("slow_rate", s.slow_rate),
            ("probe_ratio", Some(s.probe_success_ratio)),
        ] {
            if let Some(rate) = rate {
                check_positive_fraction(owner, field, rate)?;
            }
        }
        check_fraction(&owner.0, "open_jitter", s.open_jitter)?;
        if s.consecutive_failures == Some(0) {
            return owner.error("consecutive_failures", 0, "at least 1");
        }
        if s.slow_rate.is_some() && s.slow_call.is_none() {
            return owner.error("slow_call", "not set", "set, or slow_rate means nothing");
        }
        Ok(())
    }

    fn validate_times(&mut self, owner: &ConfigContext) -> Result<(), ConfigError> {
        let s = &mut self.settings;
        for (field, time) in [
            ("slow_call", s.slow_call),
            ("open_time", Some(s.open_time)),
            ("probe_limit", Some(s.probe_timeout)),
            ("heed_retry_after", self.retry_after.max_retry_after),
            (
                "heed_head",
                self.retry_after.head_fn.as_ref().map(|head| head.0),
            ),
        ] {
            if time == Some(Duration::ZERO) {
                return owner.error(field, "0s", "above zero");
            }
        }
        let longest = s.max_open_time.max(s.open_time);
        s.max_open_time = self.max_open_time.unwrap_or(longest);
        if s.max_open_time < s.open_time {
            let must = format!("at least open_time, {:?}", s.open_time);
            return owner.error("max_open_time", format!("{:?}", s.max_open_time), must);
        }
        if !(s.open_backoff >= 1.0 && s.open_backoff.is_finite()) {
            return owner.error("open_growth", s.open_backoff, "at least 1");
        }
        Ok(())
    }

    fn validate_probes(&mut self, owner: &ConfigContext) -> Result<(), ConfigError> {
        let s = &mut self.settings;
        if !(1..=MAX_PROBES).contains(&s.probes) {
            return owner.error("probes", s.probes, "1 to 1000");
        }
        let meets = |good: &u32| f64::from(*good) / f64::from(s.probes) >= s.probe_success_ratio;
        s.probes_required = (1..=s.probes).find(meets).unwrap_or(s.probes);
        Ok(())
    }
}

/// Whose settings they are.
struct ConfigContext(String);

impl ConfigContext {
    fn error<T>(
        &self,
        field: &'static str,
        got: impl fmt::Display,
        must: impl Into<String>,
    ) -> Result<T, ConfigError> {
        Err(ConfigError::new(self.0.clone(), field, got, must))
    }
}

fn check_positive_fraction(
    owner: &ConfigContext,
    field: &'static str,
    rate: f64,
) -> Result<(), ConfigError> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    let hint = if rate > 1.0 && rate <= 100.0 {
        format!(" (a fraction; did you mean {}?)", rate / 100.0)
    } else {
        " (a fraction)".to_owned()
    };
    owner.error(field, rate, format!("above 0 and at most 1{hint}"))
}
