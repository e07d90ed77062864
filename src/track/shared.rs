use std::sync::OnceLock;

use super::{
    config::TrackConfig,
    in_flight::{CallSource, CallTarget, CallText},
    label_builder::LabelBuilder,
    live_settings::LiveSettings,
    metrics::{MAX_ERROR_TYPES, TrackMetrics},
    request_labels::RequestLabels,
    tracker_id::TrackerId,
};
use crate::{
    protocol::Side,
    util::{append_map::Interner, text::truncate},
};

/// Longest route or path that the table of calls shows, in bytes.
const MAX_SHOWN: usize = 256;

/// A tracker behind all of its handles.
#[derive(Debug)]
pub(super) struct TrackShared {
    pub(super) config: TrackConfig,
    pub(super) settings: LiveSettings,
    pub(super) tracker_id: TrackerId,
    pub(super) targets: Interner,
    pub(super) error_types: Interner,
    // Each is created by the first call of its side: most trackers have one side only.
    server_metrics: OnceLock<Box<TrackMetrics>>,
    client_metrics: OnceLock<Box<TrackMetrics>>,
    /// The number of this tracker in the table of calls.
    pub(super) source: OnceLock<u32>,
}

impl TrackShared {
    pub(super) fn new(config: TrackConfig) -> Self {
        let targets = Interner::new(config.max_targets());
        // Interned first, so that they have labels of their own whatever other targets there are.
        for route in config.options.settings.slow_routes.keys() {
            targets.intern(route);
        }
        TrackShared {
            tracker_id: TrackerId::new(&config.options.name),
            targets,
            error_types: Interner::new(MAX_ERROR_TYPES),
            server_metrics: OnceLock::new(),
            client_metrics: OnceLock::new(),
            source: OnceLock::new(),
            settings: LiveSettings::new(config.options.settings.clone()),
            config,
        }
    }

    #[inline]
    pub(super) fn metrics(&self, side: Side) -> &TrackMetrics {
        let metrics = match side {
            Side::Server => &self.server_metrics,
            Side::Client => &self.client_metrics,
        };
        metrics.get_or_init(|| Box::new(TrackMetrics::new(&self.config)))
    }

    pub(super) fn label_builder(&self, side: Side) -> LabelBuilder<'_> {
        LabelBuilder {
            side,
            config: &self.config,
            targets: &self.targets,
            error_types: &self.error_types,
        }
    }
}

impl CallSource for TrackShared {
    fn describe(&self, request: RequestLabels, target: &CallTarget) -> CallText {
        let (route, path) = match target {
            CallTarget::Known(id) => (Some(self.targets.resolve(*id)), None),
            CallTarget::Pending(route) => (route.get().map(|route| &**route), None),
            CallTarget::Unverified(path) => (None, Some(path.path())),
            CallTarget::Unknown => (None, None),
        };
        let text = |text: &str| truncate(text, MAX_SHOWN).into();
        CallText {
            service: self.config.options.name.clone(),
            method: (!request.is_grpc).then(|| request.method_name()),
            route: route.map(text),
            path: path.map(text),
        }
    }
}
