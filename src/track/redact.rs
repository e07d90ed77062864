//! Redaction of headers in the access log.

use http::HeaderName;

/// A request header that the access log carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedHeader {
    pub(super) name: HeaderName,
    /// The values are redacted.
    pub(super) redact: bool,
}

/// Parts of the names of credentials. Rather too many than too few: a header that is redacted without need can be
/// [unredacted](super::TrackBuilder::unredact_headers), but a credential in a log cannot be removed.
const CREDENTIAL_PARTS: [&str; 8] = [
    "auth",
    "token",
    "key",
    "secret",
    "cookie",
    "session",
    "password",
    "credential",
];

/// Returns whether the name of a header looks like that of a credential.
pub(super) fn looks_like_credential(name: &HeaderName) -> bool {
    CREDENTIAL_PARTS
        .iter()
        .any(|part| name.as_str().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redact_recognizes_names_of_credentials() {
        for name in [
            "authorization",
            "proxy-authorization",
            "x-forwarded-authorization",
            "x-auth-token",
            "cookie",
            "set-cookie",
            "api-key",
            "apikey",
            "x-api-key",
            "x-goog-api-key",
            "x-access-token",
            "x-amz-security-token",
            "x-vault-token",
            "private-token",
            "ocp-apim-subscription-key",
            "x-csrf-token",
            "x-xsrf-token",
            "x-session-id",
            "x-github-token",
            "x-client-secret",
            "x-password",
            "x-amz-credential",
        ] {
            let name = HeaderName::from_static(name);
            assert!(looks_like_credential(&name), "{name}");
        }
        for name in [
            "user-agent",
            "accept",
            "x-tenant",
            "referer",
            "content-type",
        ] {
            let name = HeaderName::from_static(name);
            assert!(!looks_like_credential(&name), "{name}");
        }
    }
}
