//! Recognition of names that belong to credentials.

/// The text in place of a secret.
pub(crate) const REDACTED: &str = "REDACTED";

/// Parts of the names of credentials. Rather too many than too few: a value that is redacted without need can be shown, but
/// a credential in a log cannot be removed.
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

/// Returns whether the name of a header or field looks like that of a credential, in whatever case.
pub(crate) fn looks_like_credential(name: &str) -> bool {
    let contains = |part: &str| {
        let mut windows = name.as_bytes().windows(part.len());
        windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    };
    CREDENTIAL_PARTS.into_iter().any(contains)
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
            "apiKey",
            "user_TOKEN",
        ] {
            assert!(looks_like_credential(name), "{name}");
        }
        for name in [
            "",
            "user-agent",
            "accept",
            "x-tenant",
            "referer",
            "content-type",
        ] {
            assert!(!looks_like_credential(name), "{name}");
        }
    }
}
