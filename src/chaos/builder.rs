use std::{ops::RangeInclusive, time::Duration};

use http::StatusCode;

use super::{Chaos, ChaosSettings, shared::ChaosShared};
use crate::call::{ConfigError, GrpcCode, Label};

/// Builder of a [`Chaos`]; made by [`Chaos::builder`].
#[derive(Clone, Debug)]
pub struct ChaosBuilder {
    name: Label,
    settings: ChaosSettings,
    seed: Option<u64>,
}

impl ChaosBuilder {
    pub(super) fn new(name: Label) -> Self {
        ChaosBuilder {
            name,
            settings: ChaosSettings::default(),
            seed: None,
        }
    }

    /// Takes over all settings, the defaults included: setters before this one have no effect, later ones override.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosSettings};
    ///
    /// let mut settings = ChaosSettings::default(); // or from a file
    /// settings.error_rate = 0.1;
    /// let chaos = Chaos::builder("payments").settings(&settings).build()?;
    /// assert_eq!(chaos.settings().error_rate, 0.1);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn settings(mut self, settings: &ChaosSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets the seed of the sequence of faults: with the same seed and settings, the same calls in the same order get the same
    /// faults. The order is that in which matching calls arrive. Default: random; the log says which when the chaos is switched
    /// on, and [`Chaos::seed`] returns it.
    ///
    /// ```
    /// use tower_keep::chaos::Chaos;
    ///
    /// let chaos = Chaos::builder("payments").error_rate(0.5).seed(7).build()?;
    /// assert_eq!(chaos.seed(), 7);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the share of calls that fail without a response. Must be 0 to 1, together with the response, hang and panic rates.
    /// Default: 0, as all rates: nothing happens that was not asked for.
    #[must_use]
    pub fn error_rate(mut self, rate: f64) -> Self {
        self.settings.error_rate = rate;
        self
    }

    /// Sets the share of calls that get a response in the service's place. Must be 0 to 1, together with the error, hang and
    /// panic rates. Default: 0.
    #[must_use]
    pub fn response_rate(mut self, rate: f64) -> Self {
        self.settings.response_rate = rate;
        self
    }

    /// Sets the HTTP status of such responses. Must be 400 to 599. Default: 503, as a service in an outage responds.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.settings.status = status.as_u16();
        self
    }

    /// Sets the gRPC code of such responses. Must not be `OK`. Default: `UNAVAILABLE`, as 503 is.
    #[must_use]
    pub fn grpc_code(mut self, code: GrpcCode) -> Self {
        self.settings.grpc_code = code;
        self
    }

    /// Sets the share of calls whose response comes later. Must be 0 to 1. Default: 0.
    #[must_use]
    pub fn latency_rate(mut self, rate: f64) -> Self {
        self.settings.latency_rate = rate;
        self
    }

    /// Sets the time by which such responses come later. Must be at most an hour. Default: 1 s, longer than most calls and
    /// shorter than most time limits.
    #[must_use]
    pub fn latency(mut self, time: Duration) -> Self {
        self.settings.latency = time;
        self.settings.latency_spread = Duration::ZERO;
        self
    }

    /// Sets the range from which that time is drawn for each call, evenly. Must end at an hour at most. Default: no range, the
    /// same latency for all.
    #[must_use]
    pub fn latency_range(mut self, range: RangeInclusive<Duration>) -> Self {
        self.settings.latency = *range.start();
        self.settings.latency_spread = range.end().saturating_sub(*range.start());
        self
    }

    /// Sets the share of calls to which nothing comes until their caller drops them, or the chaos is off. Must be 0 to 1,
    /// together with the error, response and panic rates. Default: 0.
    #[must_use]
    pub fn hang_rate(mut self, rate: f64) -> Self {
        self.settings.hang_rate = rate;
        self
    }

    /// Sets the share of calls that panic. Must be 0 to 1, together with the error, response and hang rates. Default: 0.
    #[must_use]
    pub fn panic_rate(mut self, rate: f64) -> Self {
        self.settings.panic_rate = rate;
        self
    }

    /// Sets the share of responses whose body breaks off. Must be 0 to 1, together with the slow rate. Default: 0.
    #[must_use]
    pub fn cut_rate(mut self, rate: f64) -> Self {
        self.settings.cut_rate = rate;
        self
    }

    /// Sets the bytes of such a body that come before it breaks off. One that is known to be no longer breaks off in the middle.
    /// Default: 1024, so that its reader has begun.
    #[must_use]
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.settings.cut_after = bytes;
        self
    }

    /// Sets the share of responses whose body comes slowly. Must be 0 to 1, together with the cut rate. Default: 0.
    #[must_use]
    pub fn slow_rate(mut self, rate: f64) -> Self {
        self.settings.slow_rate = rate;
        self
    }

    /// Sets the speed of such a body, in bytes per second. Must be 1 to 2³⁰. Default: 1024, a bad mobile connection.
    #[must_use]
    pub fn slow_speed(mut self, bytes: u64) -> Self {
        self.settings.slow_speed = bytes;
        self
    }

    /// Sets the maximum number of calls that are delayed at once: late, hanging, or with a slow body. Beyond it, a fault that
    /// would delay a call is skipped, and counted. Must be 1 to 1,000,000. Default: 1,000, so that a rehearsal does not use up
    /// the memory.
    #[must_use]
    pub fn max_delayed(mut self, max: u32) -> Self {
        self.settings.max_delayed = max;
        self
    }

    /// Builds the chaos, which is off.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting.
    pub fn build(self) -> Result<Chaos, ConfigError> {
        self.settings.check(self.name.as_str())?;
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Ok(Chaos {
            shared: ChaosShared::new(self.name, seed, self.settings),
        })
    }
}
