use tracing::Metadata;

/// The part of a record that a field becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFieldRole {
    Message,
    /// The target of a record of the `log` crate.
    Target,
    RequestId,
    CorrelationId,
    TraceId,
    SpanId,
    /// Has the name of a credential: the value is not kept.
    Secret,
    Plain,
    /// Tells of a record of the `log` crate where it was made; not kept.
    Hidden,
}

/// Names whose value is a secret wherever they stand in the name of a field.
const SECRET_PARTS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "authorization",
    "cookie",
    "credential",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
    "access_key",
];

impl RecordFieldRole {
    /// Returns the roles of the fields of a callsite.
    pub(super) fn of_all(metadata: &Metadata<'_>) -> Box<[Self]> {
        let fields = metadata.fields();
        // As `tracing-log` makes them; a program may have a target of that name as well.
        let from_log = metadata.target() == "log" && fields.field("log.target").is_some();
        let roles = fields
            .iter()
            .map(|field| RecordFieldRole::of(field.name(), from_log));
        roles.collect()
    }

    /// Returns the role of a field. `from_log` tells whether the event is that of the `log` crate.
    fn of(name: &str, from_log: bool) -> Self {
        match name {
            "message" => RecordFieldRole::Message,
            "request_id" => RecordFieldRole::RequestId,
            "correlation_id" => RecordFieldRole::CorrelationId,
            "trace_id" => RecordFieldRole::TraceId,
            "span_id" => RecordFieldRole::SpanId,
            "log.target" if from_log => RecordFieldRole::Target,
            _ if from_log && name.starts_with("log.") => RecordFieldRole::Hidden,
            _ if is_secret(name) => RecordFieldRole::Secret,
            _ => RecordFieldRole::Plain,
        }
    }
}

/// Returns whether a field is called like a credential. `key` and `session` are not: those are rather IDs, by which one
/// searches; nor is `tokens`, which is a number.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("token") || name == "auth" || SECRET_PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_of_credentials_are_known() {
        for name in [
            "password",
            "db.password",
            "token",
            "auth_token",
            "x-csrf-Token",
            "Authorization",
            "set-cookie",
            "client_secret",
            "api_key",
            "apiKey",
            "aws_secret_access_key",
            "auth",
        ] {
            assert_eq!(
                RecordFieldRole::of(name, false),
                RecordFieldRole::Secret,
                "{name}"
            );
        }
        for name in [
            "key",
            "author",
            "tokens",
            "session_id",
            "idempotency_key",
            "log.target",
        ] {
            assert_eq!(
                RecordFieldRole::of(name, false),
                RecordFieldRole::Plain,
                "{name}"
            );
        }
    }

    #[test]
    fn fields_of_log_records_have_their_own_roles() {
        assert_eq!(
            RecordFieldRole::of("log.target", true),
            RecordFieldRole::Target
        );
        assert_eq!(
            RecordFieldRole::of("log.line", true),
            RecordFieldRole::Hidden
        );
        assert_eq!(
            RecordFieldRole::of("message", true),
            RecordFieldRole::Message
        );
        assert_eq!(
            RecordFieldRole::of("trace_id", false),
            RecordFieldRole::TraceId
        );
    }
}
