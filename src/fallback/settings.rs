use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::{HeaderName, HeaderValue};
use metrics::{Counter, Unit};

use super::{FailedCall, FallbackInfo};
use crate::{
    call::{ConfigError, Elapsed, Label, Outcome, TimeoutKind, catch_hook},
    registry::{self, Inspect, Stats},
    util::per_recorder::PerRecorder,
};

type WhenFn = dyn Fn(&FailedCall<'_>) -> bool + Send + Sync;

/// For which failed calls there is another answer, and how it is marked: see the [module](super).
///
/// # Clones
///
/// Clones are the same fallback: one name, one entry in the [registry], one count.
#[derive(Clone)]
pub struct Fallback {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    name: Label,
    when: Option<Box<WhenFn>>,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    served: AtomicU64,
    failed: AtomicU64,
    metrics: PerRecorder<FallbackMetrics>,
}

/// Why a fallback that was wanted did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackError {
    /// The other service failed to become ready.
    NotReady,
    /// The other service failed as well.
    Failed,
    /// The closure panicked.
    Panicked,
    /// The request cannot be sent to another service.
    NotRepeatable,
    /// The caller's deadline had passed before the other service began, or came before its answer.
    Deadline,
}

impl FallbackError {
    const ALL: [FallbackError; 5] = [
        FallbackError::NotReady,
        FallbackError::Failed,
        FallbackError::Panicked,
        FallbackError::NotRepeatable,
        FallbackError::Deadline,
    ];

    fn as_str(self) -> &'static str {
        match self {
            FallbackError::NotReady => "not_ready",
            FallbackError::Failed => "failed",
            FallbackError::Panicked => "panicked",
            FallbackError::NotRepeatable => "not_repeatable",
            FallbackError::Deadline => "deadline",
        }
    }
}

impl Fallback {
    /// All defaults, under a name of one's own.
    pub fn new(name: impl Into<Label>) -> Self {
        Fallback::builder(name).build_unchecked(None)
    }

    /// Begins with the defaults; the name is what metrics, logs and [`FallbackInfo`] show.
    pub fn builder(name: impl Into<Label>) -> FallbackBuilder {
        FallbackBuilder {
            name: name.into(),
            when: None,
            header: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", &self.shared.name)
            .field("header", &self.shared.header)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether there is another answer for this call.
    pub(super) fn applies_to(&self, failed: &FailedCall<'_>) -> bool {
        match &self.when {
            // One that panics leaves the failure as it is.
            Some(when) => catch_hook(|| when(failed)).unwrap_or(false),
            None => is_failure_by_default(failed.outcome()),
        }
    }

    pub(super) fn info(&self, outcome: Outcome) -> FallbackInfo {
        FallbackInfo {
            name: self.name.clone(),
            outcome,
        }
    }

    /// Says that the caller's deadline has come while another service answered.
    pub(super) fn record_elapsed(&self, outcome: Outcome) -> Elapsed {
        self.report_failed(outcome, FallbackError::Deadline);
        Elapsed::new(self.name.clone(), TimeoutKind::Deadline, None)
    }

    pub(super) fn report_served(&self, outcome: Outcome) {
        self.served.fetch_add(1, Relaxed);
        catch_hook(|| {
            self.with_metrics(|meters| meters.served[outcome.index()].increment(1));
            tracing::debug!(
                target: "tower_keep::fallback",
                fallback = self.name.as_str(),
                outcome = outcome.as_str(),
                "call failed, fallback served"
            );
        });
    }

    pub(super) fn report_failed(&self, outcome: Outcome, why: FallbackError) {
        self.failed.fetch_add(1, Relaxed);
        catch_hook(|| {
            self.with_metrics(|meters| {
                let all = FallbackError::ALL.iter().zip(&meters.failed);
                all.filter(|(reason, _)| **reason == why)
                    .for_each(|(_, counter)| counter.increment(1));
            });
            tracing::debug!(
                target: "tower_keep::fallback",
                fallback = self.name.as_str(),
                outcome = outcome.as_str(),
                reason = why.as_str(),
                "call failed, and so did its fallback"
            );
        });
    }

    fn with_metrics(&self, count: impl FnOnce(&FallbackMetrics)) {
        self.metrics
            .with(|| FallbackMetrics::new(&self.name), count);
    }
}

/// Whatever another answer is better than; the caller's own fault deserves its own answer.
pub(super) fn is_failure_by_default(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failure
        | Outcome::Overload
        | Outcome::TimedOut
        | Outcome::Rejected
        | Outcome::Panicked => true,
        Outcome::Success | Outcome::ClientError | Outcome::Cancelled => false,
    }
}

struct FallbackMetrics {
    served: [Counter; Outcome::ALL.len()],
    failed: [Counter; FallbackError::ALL.len()],
}

impl FallbackMetrics {
    fn new(name: &Label) -> Self {
        const SERVED: &str = "tower_keep_fallbacks_total";
        const UNSERVED: &str = "tower_keep_fallbacks_failed_total";
        let name = || name.to_string();
        metrics::describe_counter!(
            SERVED,
            Unit::Count,
            "Answers that a fallback gave, by how the call ended that they are in place of."
        );
        metrics::describe_counter!(
            UNSERVED,
            Unit::Count,
            "Failed calls whose fallback did not help."
        );
        FallbackMetrics {
            served: Outcome::ALL.map(|outcome| {
                metrics::counter!(SERVED, "fallback" => name(), "outcome" => outcome.as_str())
            }),
            failed: FallbackError::ALL.map(|why| {
                metrics::counter!(UNSERVED, "fallback" => name(), "reason" => why.as_str())
            }),
        }
    }
}

impl Inspect for Shared {
    fn kind(&self) -> &'static str {
        "fallback"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        stats.count("served", self.served.load(Relaxed));
        stats.count("failed", self.failed.load(Relaxed));
    }
}

/// Settings of a [`Fallback`]; made by [`Fallback::builder`].
#[must_use]
pub struct FallbackBuilder {
    name: Label,
    when: Option<Box<WhenFn>>,
    header: Option<HeaderName>,
}

impl FallbackBuilder {
    /// For which failed calls there is another answer. Default: `Failure`, `Overload`, `TimedOut`, `Rejected`, and
    /// `Panicked` where a panic was answered; not `Ignored`, which is the caller's own fault, nor `Cancelled`.
    ///
    /// Asked about every outcome but `Success`: for an answer that only looks like one, have a classifier say so.
    ///
    /// ```
    /// use tower_keep::{RejectionKind, fallback::Fallback};
    ///
    /// let when_open = Fallback::builder("quotes")
    ///     .when(|failed| failed.rejection().is_some_and(|why| why.kind() == RejectionKind::CircuitOpen))
    ///     .build()?;
    /// # let _ = when_open;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn when(mut self, which: impl Fn(&FailedCall<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Box::new(which));
        self
    }

    /// Names the fallback in this header of the HTTP responses that it gives. Default: in none, so that callers do not
    /// learn what is behind; [`FallbackInfo`] is in the extensions in any case.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }

    /// Makes it, and enters it in the [registry].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is a header that cannot hold the name.
    pub fn build(self) -> Result<Fallback, ConfigError> {
        let Some(header) = self.header.clone() else {
            return Ok(self.build_unchecked(None));
        };
        match HeaderValue::from_str(self.name.as_str()) {
            Ok(value) => Ok(self.build_unchecked(Some((header, value)))),
            Err(_) => {
                let owner = format!("fallback {:?}", self.name);
                let must = "off, or the name one that a header can hold";
                Err(ConfigError::new(owner, "header", header, must))
            }
        }
    }

    fn build_unchecked(self, header: Option<(HeaderName, HeaderValue)>) -> Fallback {
        let shared = Arc::new(Shared {
            name: self.name,
            when: self.when,
            header,
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            metrics: PerRecorder::new(),
        });
        registry::register(&shared);
        Fallback { shared }
    }
}

impl fmt::Debug for FallbackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackBuilder")
            .field("name", &self.name)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
