use std::{error::Error, fmt, future::Future, sync::Arc};

use http::HeaderName;
use tokio::time::Instant;

use super::{
    ClosurePriority, ExtensionPriority, HeaderPriority, PrioritizerBuilder, PrioritizerFuture,
    PrioritizerGuard, PrioritizerSettings, PrioritizerStats, PriorityPermit, guard::context_with,
    permit::PrioritizedCall, shared::PrioritizerShared,
};
use crate::{
    call::{ConfigError, Label, Rejection},
    context::{PRIORITY_HEADER, Priority, Trust},
    guard::GuardLayerBuilder,
    registry,
};

/// A prioritizer of calls: see the [module](super).
///
/// # Clones
///
/// Clones are the same prioritizer.
#[derive(Clone)]
pub struct Prioritizer {
    pub(super) shared: Arc<PrioritizerShared>,
}

impl Prioritizer {
    /// Creates a prioritizer with the default settings.
    ///
    /// ```
    /// use tower_keep::priority::Prioritizer;
    ///
    /// let orders = Prioritizer::new("orders");
    /// assert_eq!(orders.stats().shed_rate, 0.0);
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Prioritizer::from_settings(name.into(), PrioritizerSettings::default(), None)
    }

    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use tower_keep::priority::{Prioritizer, PriorityClass};
    ///
    /// let orders = Prioritizer::builder("orders").default_class(PriorityClass::Low).build()?;
    /// # let _ = orders;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> PrioritizerBuilder {
        PrioritizerBuilder::new(name.into())
    }

    pub(super) fn from_settings(
        name: Label,
        settings: PrioritizerSettings,
        seed: Option<u64>,
    ) -> Self {
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        let shared = Arc::new(PrioritizerShared::new(name, settings, seed));
        registry::register(&shared);
        Prioritizer { shared }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.shared.name().as_str()
    }

    /// Returns the settings as they are now, [shadow mode](Self::set_shadow) included.
    pub fn settings(&self) -> PrioritizerSettings {
        self.shared.settings()
    }

    /// Applies settings to the live prioritizer, and to all of its clones. What it knows of the load stays; with another window, all of it
    /// counts as that of now. The same settings again change nothing. A change is logged once, with the fields that have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid. Then all settings are as they were.
    ///
    /// ```
    /// use tower_keep::priority::{Prioritizer, PrioritizerSettings};
    ///
    /// let orders = Prioritizer::new("orders");
    /// let mut settings = PrioritizerSettings::default();
    /// settings.factor = 0.5;
    /// let error = orders.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"prioritizer "orders": factor is 0.5, must be 1 to 100"#);
    /// ```
    pub fn apply(&self, settings: &PrioritizerSettings) -> Result<(), ConfigError> {
        self.shared.apply(settings)
    }

    /// Returns the fraction of calls that is shed now, and what has become of the calls of each class.
    pub fn stats(&self) -> PrioritizerStats {
        self.shared.stats(Instant::now())
    }

    /// Admits a call of this priority, whose permit is to be completed with its result.
    ///
    /// # Errors
    ///
    /// Returns the rejection of a call that is shed, [`Overloaded`](crate::RejectionKind::Overloaded), with the window as its
    /// retry-after.
    pub fn try_acquire(&self, priority: impl Into<Priority>) -> Result<PriorityPermit, Rejection> {
        self.acquire(Some(priority.into()))
    }

    /// Admits a call of this priority; of that of the work around it, if none is given.
    pub(super) fn acquire(&self, priority: Option<Priority>) -> Result<PriorityPermit, Rejection> {
        let priority = priority.or_else(Priority::current);
        let priority = priority.unwrap_or_else(|| self.shared.default_priority());
        let now = Instant::now();
        let call = self.shared.admit(priority, || now)?;
        let call = PrioritizedCall::new(call, context_with(call.priority));
        Ok(PriorityPermit::new(self.shared.clone(), call, now))
    }

    /// Runs a future with a priority, unless it is shed, and counts its result. What it calls has that priority as well: a bulkhead, a
    /// throttle, clients that [propagate](crate::context::Propagate) it.
    ///
    /// ```
    /// use tower_keep::priority::{Prioritizer, Priority, PriorityClass};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let jobs = Prioritizer::new("jobs");
    /// let class = jobs
    ///     .call(PriorityClass::Bulk, async { Ok::<_, std::io::Error>(Priority::current().unwrap().class()) })
    ///     .await?;
    /// assert_eq!(class, PriorityClass::Bulk);
    /// # Ok(()) }
    /// ```
    pub fn call<F, T, E>(&self, priority: impl Into<Priority>, future: F) -> PrioritizerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        PrioritizerFuture::new(self, priority.into(), future)
    }

    /// Does the same for errors that do not implement `Error`, such as `anyhow::Error` and `BoxError`.
    pub fn call_display<F, T, E>(
        &self,
        priority: impl Into<Priority>,
        future: F,
    ) -> PrioritizerFuture<F, E>
    where
        F: Future<Output = Result<T, E>>,
        E: fmt::Display + 'static,
    {
        PrioritizerFuture::new_display(self, priority.into(), future)
    }

    /// Forgets the load and the distribution, and takes [`disable`](Self::disable) back. The counts of the calls since the beginning
    /// stay.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Admits every call until [`reset`](Self::reset). Calls keep their priority, and results still count.
    pub fn disable(&self) {
        self.shared.disable();
    }

    /// Sets shadow mode: calls that would be shed are counted, and admitted.
    pub fn set_shadow(&self, on: bool) {
        self.shared.set_shadow(on);
    }

    /// Returns whether shadow mode is on.
    pub fn is_shadow(&self) -> bool {
        self.shared.settings().shadow
    }

    /// Takes the priority from the request's extensions, where a layer further out has put a [`Priority`], or from the
    /// [`Context`](crate::Context) there.
    ///
    /// ```
    /// use tower_keep::priority::Prioritizer;
    ///
    /// let layer = Prioritizer::new("orders").by_extension().layer().server();
    /// # let _ = layer;
    /// ```
    pub fn by_extension(&self) -> PrioritizerGuard<ExtensionPriority> {
        PrioritizerGuard::new(self, ExtensionPriority(()))
    }

    /// Takes the priority from the header `x-request-priority` of trusted callers, where the request's
    /// [extensions](Self::by_extension) have none.
    ///
    /// The header of a caller that is not trusted is removed, and so is one that is malformed or comes twice, which is counted in
    /// `tower_keep_malformed_headers_total`. Whoever may ask for a high priority will: trust your own network only, or check in a layer
    /// further out who calls, and put the priority into the extensions.
    ///
    /// ```
    /// use tower_keep::{context::Trust, priority::Prioritizer};
    ///
    /// let trust = Trust::networks(["10.0.0.0/8"])?;
    /// let layer = Prioritizer::new("orders").by_header(trust).layer().server();
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn by_header(&self, trust: Trust) -> PrioritizerGuard<HeaderPriority> {
        let name = PRIORITY_HEADER;
        PrioritizerGuard::new(self, HeaderPriority { name, trust })
    }

    /// Does the same with a header of another name; clients send it by
    /// [`PropagateBuilder::priority_header`](crate::context::PropagateBuilder::priority_header).
    ///
    /// # Errors
    ///
    /// Returns an error if this is no name of a header.
    pub fn by_named_header(
        &self,
        name: &str,
        trust: Trust,
    ) -> Result<PrioritizerGuard<HeaderPriority>, ConfigError> {
        let name = HeaderName::try_from(name).map_err(|_| {
            let component = format!("prioritizer {:?}", self.name());
            let expected = "a header name such as \"x-request-priority\" (letters, digits, '-')";
            ConfigError::new(component, "header", format!("{name:?}"), expected)
        })?;
        Ok(PrioritizerGuard::new(self, HeaderPriority { name, trust }))
    }

    /// Takes the priority that a closure finds in the request, whatever its type. Where that finds none, it is that of the call
    /// around it, else the default. A closure that panics admits the call, without a priority.
    ///
    /// ```
    /// use http::Request;
    /// use tower_keep::priority::{Priority, Prioritizer, PriorityClass};
    ///
    /// fn by_path<B>(request: &Request<B>) -> Option<Priority> {
    ///     match request.uri().path() {
    ///         "/checkout" => Some(PriorityClass::Critical.into()),
    ///         path if path.starts_with("/export/") => Some(PriorityClass::Bulk.into()),
    ///         _ => None,
    ///     }
    /// }
    ///
    /// let layer = Prioritizer::new("orders").by(by_path::<axum::body::Body>).layer().server();
    /// # let _ = layer;
    /// ```
    pub fn by<Req, P, F>(&self, find: F) -> PrioritizerGuard<ClosurePriority<F>>
    where
        F: Fn(&Req) -> Option<P>,
        P: Into<Priority>,
    {
        PrioritizerGuard::new(self, ClosurePriority(find))
    }

    /// Returns the prioritizer as a layer whose calls have the priority of the work around them, for the protocol that is named next:
    /// on a client, that of the call which is served. It is a guard: with others, one layer over a pair is cheaper than a layer for
    /// each.
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::priority::Prioritizer;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let ledger = service_fn(async |id: u32| Ok::<_, std::io::Error>(id));
    /// let ledger = Prioritizer::new("ledger").layer().any().layer(ledger);
    /// assert_eq!(ledger.oneshot(7).await?, 7);
    /// # Ok(()) }
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<Prioritizer> {
        GuardLayerBuilder(self.clone())
    }
}

impl fmt::Debug for Prioritizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prioritizer")
            .field("name", self.shared.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
