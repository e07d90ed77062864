use std::fmt;

use http::Uri;

use crate::ops::redact::redacted;

/// The length from which on a part of the path or of the query may be a secret: words like `services` are shorter.
const MIN_SECRET_PART: usize = 12;

/// The texts that no error of a channel may show, besides what may be one in its URL.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn add(&mut self, secret: &str) {
        self.0.push(secret.to_owned());
    }

    /// Returns a text without the secrets, nor what may be one in a URL: receivers name a part of it.
    pub(super) fn mask(&self, text: &str, uri: Option<&Uri>) -> String {
        let path = uri.and_then(Uri::path_and_query);
        let path = path.map(|path| path.as_str()).filter(|path| path.len() > 1);
        let parts = path
            .into_iter()
            .flat_map(|path| path.split(['/', '?', '&', '=']));
        let parts = parts.filter(|part| part.len() >= MIN_SECRET_PART);
        let mut safe = text.to_owned();
        let whole = self.0.iter().map(String::as_str).chain(path);
        for secret in whole.chain(parts) {
            if safe.contains(secret) {
                safe = safe.replace(secret, &last_four(secret));
            }
        }
        redacted(&safe)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Returns the last four characters of a secret, if that does not say most of it.
pub(super) fn last_four(secret: &str) -> String {
    let count = secret.chars().count();
    match count {
        ..12 => "…".to_owned(),
        _ => std::iter::once('…')
            .chain(secret.chars().skip(count - 4))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_parts_of_the_url_that_may_be_one_are_masked() {
        let url = "https://hooks.example/services/T0AAAAAAAAAA/hunter2hunter2?key=qwertyuiopasdf";
        let uri = Uri::from_static(url);
        let mut secrets = Secrets::default();
        secrets.add("0123456789abcdef0123456789abcdef");
        for (text, expected) in [
            (
                "Cannot POST /services/T0AAAAAAAAAA/hunter2hunter2",
                "Cannot POST /services/…AAAA/…ter2",
            ),
            ("no hook hunter2hunter2", "no hook …ter2"),
            (r"\/services\/hunter2hunter2", r"\/services\/…ter2"),
            ("bad key qwertyuiopasdf", "bad key …asdf"),
            ("no services", "no services"),
            ("no 0123456789abcdef0123456789abcdef", "no …cdef"),
        ] {
            assert_eq!(secrets.mask(text, Some(&uri)), expected);
        }
        assert!(!format!("{secrets:?}").contains("0123"));
        assert_eq!(last_four("short"), "…");
    }
}
