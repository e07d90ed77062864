//! Components of a process and whether they are healthy: checks in the background, a snapshot for probes.
//!
//! Use it to tell Kubernetes, load balancers and people what works. Do not use it to decide about single calls: that is what
//! breakers are for, which learn from the calls themselves. A [`Check::breaker`] shows what they have learned.

mod actuator_document;
mod aggregate;
mod blocking;
mod breaker_check;
mod builder;
mod change;
mod check;
mod check_output;
mod check_result;
mod component;
mod component_config;
mod component_snapshot;
#[cfg(all(feature = "ops-disk", unix))]
mod disk_space;
mod error_text;
#[cfg(test)]
mod fixtures;
mod health_document;
mod health_format;
mod health_handle;
mod heartbeat;
mod http_get;
mod json_document;
mod metrics;
mod model;
mod phase;
mod probe_query;
mod probe_text;
mod probes;
mod recent_durations;
mod report;
mod rfc3339;
mod run;
mod runner;
mod runtime_lag;
mod schedule;
mod service_check;
mod shared;
mod snapshot;
mod status;
mod tcp_connect;
mod text_document;
mod trigger;

pub use builder::HealthBuilder;
pub use change::HealthChange;
pub use check::Check;
pub use check_output::CheckOutput;
pub use check_result::CheckResult;
pub use component_snapshot::ComponentSnapshot;
pub use health_document::HealthDocument;
pub use health_format::HealthFormat;
pub use health_handle::Health;
pub use phase::Phase;
pub use snapshot::{HealthSnapshot, READINESS, STARTUP};
pub use status::HealthStatus;
