use std::{
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use http::Request;
use tracing::{Level, level_filters::LevelFilter};

use super::{
    TrackBuilder, TrackPermit, TrackSettings,
    access_log::LogFields,
    config::{TrackConfig, component},
    in_flight::{CallSource, CallSubject, CallTable, DEFAULT_SLOW, InFlightEntry, WatchedCall},
    labels::{CallLabels, ErrorLabel},
    long_lived::LongLived,
    report::CallReport,
    request_labels::RequestLabels,
    route_slot::{RouteSlot, TrackerPosition},
    sampling::hash_fraction,
    settings_word::SettingsWord,
    shared::TrackShared,
    slow::SlowLevel,
    target::Target,
};
use crate::{
    call::{CallClock, ConfigError, GrpcCode, Label, catch_hook},
    context::Context,
    errors::{ErrorRecord, error_description::ErrorDescription},
    operation::{Operation, operation},
    protocol::Side,
    util::setting_changes::SettingChanges,
};

/// A guard that tracks HTTP and gRPC calls: counts those in flight, measures, logs and traces them, and groups their
/// errors.
///
/// See the [module](super). The layer decides whether metrics and spans are those of a server or of a client: under
/// [`GuardLayer::server`](crate::GuardLayer::server) those of a server, else those of a client. Clones are cheap and share series
/// and settings. Never rejects.
#[derive(Clone, Debug)]
pub struct Track {
    pub(super) shared: Arc<TrackShared>,
}

impl Track {
    /// Returns a tracker with the default settings.
    ///
    /// A tracker around a server:
    ///
    /// ```
    /// use tower_keep::{GuardLayer, Track};
    ///
    /// let layer = GuardLayer::server(Track::new("orders"));
    /// # let _ = layer;
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        Track::from_config(TrackConfig::from_defaults(Track::builder(name)))
    }

    /// Returns a builder of a tracker for the service of this name.
    ///
    /// One in ten successful calls is logged:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders").sample(0.1).build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> TrackBuilder {
        TrackBuilder::new(name.into())
    }

    pub(super) fn from_config(config: TrackConfig) -> Self {
        Track {
            shared: Arc::new(TrackShared::new(config)),
        }
    }

    /// Returns the settings of calls that begin now, as far as a file may have them.
    pub fn settings(&self) -> TrackSettings {
        (*self.shared.settings.latest()).clone()
    }

    /// Changes the settings that a file may have, all of them, while the tracker is in use.
    ///
    /// They hold for calls that begin later: a call in progress keeps those with which it began, up to the last seven
    /// changes. Series and counts go on. Layers of [`any`](crate::Observe::any) kind of service take the thresholds when they
    /// are made, and keep them.
    ///
    /// A route that gets thresholds here for the first time gets a label of its own only while there are fewer than
    /// [`max_targets`](TrackBuilder::max_targets): the calls of one without a label have the thresholds of
    /// [`slow`](TrackSettings::slow). In its life, a tracker has thresholds for at most 2,000 different routes.
    ///
    /// One `INFO` event of the target `tower_keep::track` has what has changed; none if nothing has.
    ///
    /// ```
    /// use tower_keep::{Track, track::TrackSettings};
    ///
    /// let track = Track::new("orders");
    /// let mut settings = TrackSettings::default(); // or from a file
    /// settings.sample = 0.1;
    /// track.apply(&settings)?;
    /// assert_eq!(track.settings().sample, 0.1);
    ///
    /// settings.sample = -1.0;
    /// let error = track.apply(&settings).unwrap_err();
    /// assert_eq!(error.to_string(), r#"tracker "orders": sample is -1, must be 0 to 1 (a fraction)"#);
    /// assert_eq!(track.settings().sample, 0.1);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values; nothing is changed then.
    pub fn apply(&self, settings: &TrackSettings) -> Result<(), ConfigError> {
        let component = component(&self.options().name);
        settings.validate(&component)?;
        let targets = &self.shared.targets;
        let on_route = |route: &str| {
            targets.intern(route);
        };
        let changes = self.shared.settings.apply(&component, settings, on_route)?;
        self.report_applied(&changes);
        Ok(())
    }

    fn report_applied(&self, changes: &SettingChanges) {
        if changes.is_empty() {
            return;
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::track",
                service = self.options().name.as_str(),
                changes = &*changes.text(),
                "tracker settings applied"
            );
        });
    }

    /// Returns an operation with the same settings, for services that are neither HTTP nor gRPC.
    pub(crate) fn operation(&self) -> Operation {
        let options = self.options();
        let operation = operation(options.name.clone()).errors(options.errors.clone());
        match self.shared.settings.latest().slow {
            Some(slow) => operation.slow(slow.warning).critical(slow.critical),
            None => operation,
        }
    }

    pub(super) fn options(&self) -> &TrackBuilder {
        &self.shared.config.options
    }

    pub(super) fn request_labels<B>(
        &self,
        request: &Request<B>,
        clock: &CallClock,
    ) -> RequestLabels {
        let is_grpc = clock.wire().is_grpc();
        RequestLabels::from_request(clock.side(), request, self.options().https, is_grpc)
    }

    /// Returns the target of a request, as far as HTTP can tell.
    pub(super) fn http_target<B>(&self, request: &mut Request<B>, side: Side) -> Target {
        let targets = &self.shared.targets;
        let tracker = self.shared.tracker_id.with_side(side);
        if side == Side::Server {
            return Target::from_route(request, tracker, targets);
        }
        // Only servers have routes.
        match RouteSlot::register_tracker(request.extensions_mut(), tracker, false) {
            TrackerPosition::Duplicate => Target::Untracked,
            _ => {
                let configured = self.options().server_address.as_deref();
                Target::from_authority(request, configured, targets)
            }
        }
    }

    /// Returns the name of a target that is a route and is known when the call starts.
    pub(super) fn initial_route(&self, target: &Target, side: Side) -> Option<&str> {
        match target {
            Target::Known(id) if side == Side::Server => Some(self.shared.targets.resolve(*id)),
            _ => None,
        }
    }

    /// Returns the address of the client that has sent the request, if that is configured.
    pub(super) fn client_address<B>(&self, request: &Request<B>, side: Side) -> Option<IpAddr> {
        let proxies = self.options().client_address.as_ref()?;
        // A request that is sent has come from here.
        (side == Side::Server).then(|| proxies.client_address(request))?
    }

    /// Returns what the access log needs of the request, if anything listens to it.
    pub(super) fn capture_log_fields<B>(
        &self,
        settings: SettingsWord,
        request: &Request<B>,
        client: Option<IpAddr>,
    ) -> Option<Box<LogFields>> {
        let options = self.options();
        // Not `tracing::enabled!`: with per-layer filters it can disable the handler's next event (tokio-rs/tracing
        // issue 2519).
        if !settings.access_log() || Level::ERROR > LevelFilter::current() {
            return None;
        }
        // The request is gone when the line is written. A clone of the path is a reference count.
        let path = || request.uri().path_and_query().cloned();
        let (skip, custom) = (options.skip_log.as_ref(), options.log_fields.as_ref());
        Some(Box::new(LogFields {
            path: options.log_path.then(path).flatten(),
            headers: LogFields::select_headers(&self.shared.config.log_headers, request.headers()),
            client,
            custom: custom.map(|hook| hook.fields(request)).unwrap_or_default(),
            is_skipped: skip.is_some_and(|skip| skip.matches(request)),
        }))
    }

    /// Returns the labels of a completed call.
    pub(super) fn call_labels(
        &self,
        permit: &TrackPermit,
        report: &CallReport<'_>,
    ) -> CallLabels<'_> {
        let (shared, end) = (&self.shared, report.end);
        // Either shows that the server implements the method. A failed call may have been rejected on its way there.
        let method_exists = || permit.method_exists || end.grpc_code() == Some(GrpcCode::OK);
        let target = permit
            .final_target()
            .resolve(&shared.targets, method_exists);
        CallLabels {
            request: permit.request,
            target,
            target_name: target.map(|id| shared.targets.resolve(id)),
            status: end.status().map(|status| status.as_u16()),
            grpc_code: end.grpc_code(),
            error: ErrorLabel::new(report.error.as_ref(), end, &shared.error_types),
            long_lived: permit.long_lived,
        }
    }

    pub(super) fn slow_level(
        &self,
        settings: SettingsWord,
        call: &CallLabels<'_>,
        report: &CallReport<'_>,
    ) -> Option<SlowLevel> {
        if call.long_lived != LongLived::No {
            return None;
        }
        let elapsed = elapsed_of(call, report);
        self.shared
            .settings
            .slow_thresholds(settings, call.target_name)?
            .level(elapsed)
    }

    /// Puts a call that begins into the table of the process, if there is one.
    #[inline]
    pub(super) fn watch(
        &self,
        request: RequestLabels,
        target: &Target,
        clock: &CallClock,
    ) -> WatchedCall {
        WatchedCall::enter(|table| self.watch_in(table, request, target, clock))
    }

    #[inline(never)]
    fn watch_in(
        &self,
        table: &CallTable,
        request: RequestLabels,
        target: &Target,
        clock: &CallClock,
    ) -> WatchedCall {
        let shared = &self.shared;
        let add = || table.add_source(Arc::downgrade(shared) as Weak<dyn CallSource>);
        let entry = InFlightEntry {
            started_at: clock.now(),
            context: Context::current(),
            subject: CallSubject::Tracked {
                source: *shared.source.get_or_init(add),
                request,
                target: target.in_flight(),
            },
        };
        WatchedCall::in_table(table, entry)
    }

    /// Returns whether the table of the process shows the call as slow: by its thresholds, or else by those of all calls.
    pub(super) fn is_slow(
        &self,
        settings: SettingsWord,
        call: &CallLabels<'_>,
        report: &CallReport<'_>,
    ) -> bool {
        let elapsed = elapsed_of(call, report);
        if report.slow.is_some() || elapsed < DEFAULT_SLOW {
            return report.slow.is_some();
        }
        let settings = self
            .shared
            .settings
            .slow_thresholds(settings, call.target_name);
        call.long_lived == LongLived::No && settings.is_none()
    }

    #[cold]
    pub(super) fn error_record(
        &self,
        error: &ErrorDescription<'_>,
        call: &CallLabels<'_>,
    ) -> ErrorRecord {
        let record = error
            .error_record()
            .with_service(self.options().name.as_str());
        match call.target_name {
            Some(target) => record.with_route(target),
            None => record,
        }
    }

    pub(super) fn should_log(
        &self,
        settings: SettingsWord,
        fields: &LogFields,
        report: &CallReport<'_>,
    ) -> bool {
        let is_logged = report.slow.is_some() || !report.is_uneventful();
        is_logged || !fields.is_skipped && self.is_sampled(settings)
    }

    /// Returns whether the request chain of the current context is in the log.
    fn is_sampled(&self, settings: SettingsWord) -> bool {
        let sample = self.shared.settings.sample(settings);
        // The default needs neither hash nor context.
        if sample >= 1.0 {
            return true;
        }
        let fraction = Context::peek(|context| Some(hash_fraction(context?.correlation_id())));
        // Without a context there is no ID by which services could agree.
        fraction.unwrap_or_else(fastrand::f64) < sample
    }
}

/// Returns the duration of a call that counts as its own.
fn elapsed_of(call: &CallLabels<'_>, report: &CallReport<'_>) -> Duration {
    // A gRPC stream may be long-lived. A single response cannot be told from one, but comes together with its head.
    match call.request.is_grpc {
        true => report.end.time_to_head().unwrap_or(report.elapsed),
        false => report.elapsed,
    }
}
