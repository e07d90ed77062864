//! Decides which headers the log may show.

use http::HeaderName;

/// A request header that the access log carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedHeader {
    pub(super) name: HeaderName,
    /// Keeps its values out of the log.
    pub(super) redact: bool,
}

/// What names of credentials have in common. Rather too many than too few: what is hidden without need can be
/// [shown](super::TrackBuilder::unredact_headers), what is shown cannot be taken back.
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

/// Returns whether a header looks by its name as if it held a credential.
pub(super) fn looks_like_credential(name: &HeaderName) -> bool {
    CREDENTIAL_PARTS
        .iter()
        .any(|part| name.as_str().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_parts_of_their_names() {
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
