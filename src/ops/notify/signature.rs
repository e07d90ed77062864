//! Signatures of webhooks, as in Standard Webhooks 1.0.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;

/// The prefix of secrets.
const PREFIX: &str = "whsec_";
/// The bytes of a key, as the specification has them.
const MIN_KEY: usize = 24;
const MAX_KEY: usize = 64;

/// Returns the key of a secret. The error says what is expected, and nothing about the secret.
pub(super) fn parse_secret(secret: &str) -> Result<hmac::Key, &'static str> {
    const EXPECTED: &str = "whsec_ and 24 to 64 bytes in Base64";
    let bytes = secret.strip_prefix(PREFIX).ok_or(EXPECTED)?;
    let bytes = STANDARD.decode(bytes).map_err(|_| EXPECTED)?;
    if !(MIN_KEY..=MAX_KEY).contains(&bytes.len()) {
        return Err(EXPECTED);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Signs a message with each of the keys. Receivers accept any, so that a key can be replaced.
pub(super) fn sign(keys: &[hmac::Key], id: &str, timestamp: u64, body: &str) -> String {
    let mut signatures = String::new();
    for key in keys {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body.as_bytes());
        let signature = STANDARD.encode(context.sign());
        let sep = if signatures.is_empty() { "" } else { " " };
        let _ = write!(signatures, "{sep}v1,{signature}");
    }
    signatures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_reference() {
        // The example of the libraries of Standard Webhooks.
        let key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign(&[key], id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn signature_has_one_part_for_each_key() {
        let new = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let old = parse_secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").expect("a secret");
        let signed = sign(&[new.clone(), old.clone()], "a", 1, "{}");
        let (first, second) = signed.split_once(' ').expect("two");
        assert_eq!(first, sign(&[new], "a", 1, "{}"));
        assert_eq!(second, sign(&[old], "a", 1, "{}"));
    }

    #[test]
    fn secret_has_a_prefix_and_a_length() {
        for secret in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_!!!!",
            "whsec_c2hvcnQ=",
        ] {
            assert!(parse_secret(secret).is_err(), "{secret}");
        }
    }
}
