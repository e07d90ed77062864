//! What makes sense.

use std::{fmt, time::Duration};

use super::{CircuitBreakerBuilder, MIN_CALLS, WindowKind};
use crate::call::{InvalidSetting, fraction};

/// Three probes may hold up a few callers; more than that is traffic.
const MAX_PROBES: u32 = 1_000;
const MAX_BUCKETS: usize = 1_000;
const MAX_COUNT: usize = 10_000;

impl CircuitBreakerBuilder {
    /// Finds the first setting that makes no sense, and fills in what depends on others.
    pub(super) fn check(&mut self) -> Result<(), InvalidSetting> {
        let owner = Owner(format!("breaker {:?}", self.name));
        let room = self.check_window(&owner)?;
        self.check_minimum(&owner, room)?;
        self.check_limits(&owner)?;
        self.check_times(&owner)?;
        self.check_probes(&owner)
    }

    /// How many calls the window holds.
    fn check_window(&self, owner: &Owner) -> Result<u32, InvalidSetting> {
        match self.settings.window {
            WindowKind::Time(_, buckets) if !(1..=MAX_BUCKETS).contains(&buckets) => {
                let got = format!("in {buckets} buckets");
                owner.wrong("time_window", got, "in 1 to 1000 buckets")
            }
            WindowKind::Time(window, buckets)
                if window / (buckets as u32) < Duration::from_millis(1) =>
            {
                let got = format!("{window:?} in {buckets} buckets");
                owner.wrong("time_window", got, "at least a millisecond for each bucket")
            }
            WindowKind::Time(..) => Ok(u32::MAX),
            WindowKind::Count(calls) if (1..=MAX_COUNT).contains(&calls) => Ok(calls as u32),
            WindowKind::Count(calls) => owner.wrong("count_window", calls, "1 to 10000"),
        }
    }

    fn check_minimum(&mut self, owner: &Owner, room: u32) -> Result<(), InvalidSetting> {
        let calls = self.min_calls.unwrap_or(MIN_CALLS.min(room));
        if !(1..=room).contains(&calls) {
            let must = format!("1 to {room}, which is all that the window holds");
            return owner.wrong("minimum_calls", calls, must);
        }
        self.settings.min_calls = calls;
        Ok(())
    }

    fn check_limits(&self, owner: &Owner) -> Result<(), InvalidSetting> {
        let s = &self.settings;
        for (field, rate) in [
            ("failure_rate", s.failure_rate),
            ("slow_rate", s.slow_rate),
            ("probe_ratio", Some(s.probe_ratio)),
        ] {
            if let Some(rate) = rate {
                positive_fraction(owner, field, rate)?;
            }
        }
        fraction(&owner.0, "open_jitter", s.open_jitter)?;
        if s.consecutive == Some(0) {
            return owner.wrong("consecutive_failures", 0, "at least 1");
        }
        if s.slow_rate.is_some() && s.slow_limit.is_none() {
            return owner.wrong("slow_call", "not set", "set, or slow_rate means nothing");
        }
        Ok(())
    }

    fn check_times(&mut self, owner: &Owner) -> Result<(), InvalidSetting> {
        let s = &mut self.settings;
        for (field, time) in [
            ("slow_call", s.slow_limit),
            ("open_time", Some(s.open_time)),
            ("probe_limit", Some(s.probe_limit)),
            ("heed_retry_after", self.heed.retry_after),
            ("heed_head", self.heed.head.as_ref().map(|head| head.0)),
        ] {
            if time == Some(Duration::ZERO) {
                return owner.wrong(field, "0s", "above zero");
            }
        }
        let longest = s.max_open_time.max(s.open_time);
        s.max_open_time = self.max_open_time.unwrap_or(longest);
        if s.max_open_time < s.open_time {
            let must = format!("at least open_time, {:?}", s.open_time);
            return owner.wrong("max_open_time", format!("{:?}", s.max_open_time), must);
        }
        if !(s.open_growth >= 1.0 && s.open_growth.is_finite()) {
            return owner.wrong("open_growth", s.open_growth, "at least 1");
        }
        Ok(())
    }

    fn check_probes(&mut self, owner: &Owner) -> Result<(), InvalidSetting> {
        let s = &mut self.settings;
        if !(1..=MAX_PROBES).contains(&s.probes) {
            return owner.wrong("probes", s.probes, "1 to 1000");
        }
        let meets = |good: &u32| f64::from(*good) / f64::from(s.probes) >= s.probe_ratio;
        s.probes_needed = (1..=s.probes).find(meets).unwrap_or(s.probes);
        Ok(())
    }
}

/// Whose settings they are.
struct Owner(String);

impl Owner {
    fn wrong<T>(
        &self,
        field: &'static str,
        got: impl fmt::Display,
        must: impl Into<String>,
    ) -> Result<T, InvalidSetting> {
        Err(InvalidSetting::new(self.0.clone(), field, got, must))
    }
}

fn positive_fraction(owner: &Owner, field: &'static str, rate: f64) -> Result<(), InvalidSetting> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    let hint = if rate > 1.0 && rate <= 100.0 {
        format!(" (a fraction; did you mean {}?)", rate / 100.0)
    } else {
        " (a fraction)".to_owned()
    };
    owner.wrong(field, rate, format!("above 0 and at most 1{hint}"))
}
