//! Secrets, which are never shown.

use std::{fmt, hint::black_box};

/// A token, or the secret of a session or of a login link. Two are compared in a time that depends on their lengths alone.
#[derive(Clone)]
pub(super) struct Secret(Box<str>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Secret(text.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let pairs = self.0.bytes().zip(text.bytes());
        // All bytes, whichever differs; hidden from the optimizer, which would stop at the first.
        let differs = pairs.fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
        self.0.len() == text.len() && differs == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Returns a new secret of 192 random bits, as hex digits.
///
/// # Errors
///
/// Returns an error if the system has no random numbers.
pub(super) fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_matches_itself_alone_and_shows_nothing() {
        let secret = Secret::new("correct horse");
        assert!(secret.matches("correct horse"));
        for other in [
            "",
            "correct horsf",
            "correct hors",
            "correct horse ",
            "Correct horse",
            // Two differences that cancel each other out, if they are taken together.
            "crorect horse",
        ] {
            assert!(!secret.matches(other), "{other}");
        }
        assert!(!Secret::new("").matches("x") && Secret::new("").matches(""));
        assert_eq!(
            (format!("{secret:?}"), secret.len()),
            ("Secret(..)".into(), 13)
        );
    }

    #[test]
    fn new_secrets_differ_and_have_192_bits() {
        let [a, b] = [(); 2].map(|()| new_secret().expect("random numbers"));
        assert_ne!(a, b);
        assert_eq!(a.len(), 48);
    }
}
