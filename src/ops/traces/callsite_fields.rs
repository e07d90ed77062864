use tracing::{Metadata, field::Field};

use crate::util::credentials::looks_like_credential;

/// The target of the spans of calls.
const CALL_TARGET: &str = "tower_keep::call";
const OPERATION_TARGET: &str = "tower_keep::operation";

/// The meaning of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanFieldRole {
    Plain,
    /// Named like a credential.
    Secret,
    /// Not kept, since it says what is known anyway.
    Skipped,
    /// `otel.kind`.
    Kind,
    /// `otel.status_code`.
    StatusCode,
    /// The outcome of a call or an operation.
    Outcome,
    TraceId,
    SpanId,
}

/// The origin of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanSource {
    Call,
    Operation,
    /// The application, or another crate.
    Custom,
}

/// The facts about a callsite.
#[derive(Debug)]
pub(super) struct CallsiteFields {
    pub(super) source: SpanSource,
    roles: Box<[SpanFieldRole]>,
}

impl CallsiteFields {
    pub(super) fn new(metadata: &Metadata<'static>) -> Self {
        let source = match metadata.target() {
            CALL_TARGET => SpanSource::Call,
            OPERATION_TARGET => SpanSource::Operation,
            _ => SpanSource::Custom,
        };
        let fields = metadata.fields().iter();
        CallsiteFields {
            source,
            roles: fields.map(|field| role(source, field.name())).collect(),
        }
    }

    #[inline]
    pub(super) fn role(&self, field: &Field) -> SpanFieldRole {
        let role = self.roles.get(field.index()).copied();
        role.unwrap_or(SpanFieldRole::Plain)
    }
}

fn role(source: SpanSource, name: &str) -> SpanFieldRole {
    let is_own = source != SpanSource::Custom;
    match name {
        "otel.kind" => SpanFieldRole::Kind,
        // Of a call, the outcome decides: a client may have caused the error itself.
        "otel.status_code" if !is_own => SpanFieldRole::StatusCode,
        "outcome" if is_own => SpanFieldRole::Outcome,
        "trace_id" if is_own => SpanFieldRole::TraceId,
        "span_id" if is_own => SpanFieldRole::SpanId,
        // Of the `log` crate: where it was called.
        _ if name.starts_with("log.") => SpanFieldRole::Skipped,
        _ if !is_own && looks_like_credential(name) => SpanFieldRole::Secret,
        _ => SpanFieldRole::Plain,
    }
}
