//! Members of a JSON object that somebody has sent.

use serde_json::{Map, Value};

/// The longest reason of an operator, in bytes.
const MAX_REASON: usize = 500;

/// The members of an object, all of which are known.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

/// A member that is missing, unknown or of the wrong type: its name, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemberError {
    pub(super) name: String,
    pub(super) detail: String,
}

impl MemberError {
    pub(super) fn new(name: &str, detail: impl Into<String>) -> Self {
        MemberError {
            name: name.to_owned(),
            detail: detail.into(),
        }
    }
}

impl Members {
    /// Parses an object that has no members but the known ones.
    pub(super) fn parse(json: &[u8], known: &[&str]) -> Result<Self, MemberError> {
        let value = serde_json::from_slice(json)
            .map_err(|error| MemberError::new("body", format!("the JSON is malformed: {error}")))?;
        let Value::Object(members) = value else {
            return Err(MemberError::new("body", "the JSON must be an object"));
        };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(Members(members)),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                let known = known.join(", ");
                let detail = format!("member {shown:?} is unknown, must be one of {known}");
                Err(MemberError::new(&shown, detail))
            }
        }
    }

    /// Returns a text, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, MemberError> {
        self.get(name, "a text", Value::as_str)
    }

    /// Returns a text that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, MemberError> {
        let found = self.text(name)?;
        found.ok_or_else(|| MemberError::new(name, format!("{name} is missing, must be a text")))
    }

    /// Returns the reason of an operator's change, which must be there.
    pub(super) fn reason(&self) -> Result<&str, MemberError> {
        check_reason(self.required_text("reason")?)
    }

    /// Returns the reason of an operator's change, if it is there.
    pub(super) fn optional_reason(&self) -> Result<Option<&str>, MemberError> {
        self.text("reason")?.map(check_reason).transpose()
    }

    /// Returns a whole number, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, MemberError> {
        self.get(name, "a whole number", Value::as_u64)
    }

    /// Returns a number that must be there; `None` if it is `null`.
    pub(super) fn required_number_or_null(&self, name: &str) -> Result<Option<f64>, MemberError> {
        let expected = "a number or null";
        if !self.0.contains_key(name) {
            let detail = format!("{name} is missing, must be {expected}");
            return Err(MemberError::new(name, detail));
        }
        self.get(name, expected, Value::as_f64)
    }

    /// Returns a list of texts that must be there.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, MemberError> {
        let texts = |value| {
            let list = Value::as_array(value)?;
            list.iter().map(Value::as_str).collect()
        };
        let found = self.get(name, "a list of texts", texts)?;
        found.ok_or_else(|| {
            MemberError::new(name, format!("{name} is missing, must be a list of texts"))
        })
    }

    fn get<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MemberError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value)
                .map(Some)
                .ok_or_else(|| MemberError::new(name, format!("{name} must be {expected}"))),
        }
    }
}

fn check_reason(reason: &str) -> Result<&str, MemberError> {
    let reason = reason.trim();
    if (1..=MAX_REASON).contains(&reason.len()) {
        return Ok(reason);
    }
    let len = reason.len();
    let detail = format!("reason has {len} bytes, must have 1 to {MAX_REASON}");
    Err(MemberError::new("reason", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail<T: std::fmt::Debug>(result: Result<T, MemberError>) -> (String, String) {
        let error = result.unwrap_err();
        (error.name, error.detail)
    }

    #[test]
    fn members_have_types() {
        let json = br#"{"a":"x","b":7,"c":["y","z"],"d":null}"#;
        let members = Members::parse(json, &["a", "b", "c", "d"]).expect("known");
        assert_eq!(members.text("a"), Ok(Some("x")));
        assert_eq!(members.required_text("a"), Ok("x"));
        assert_eq!(
            (members.text("d"), members.number("e")),
            (Ok(None), Ok(None))
        );
        assert_eq!(members.number("b"), Ok(Some(7)));
        assert_eq!(members.texts("c"), Ok(vec!["y", "z"]));
        let error = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(detail(members.text("b")), error("b", "b must be a text"));
        assert_eq!(
            detail(members.number("a")),
            error("a", "a must be a whole number")
        );
        assert_eq!(
            detail(members.texts("a")),
            error("a", "a must be a list of texts")
        );
        assert_eq!(
            detail(members.texts("d")),
            error("d", "d is missing, must be a list of texts")
        );
        assert_eq!(
            detail(members.required_text("d")),
            error("d", "d is missing, must be a text")
        );
    }

    #[test]
    fn reason_is_trimmed_and_bounded() {
        let of = |text: &str| {
            let json = serde_json::json!({"reason": text}).to_string();
            Members::parse(json.as_bytes(), &["reason"]).expect("known")
        };
        assert_eq!(of(" on it ").reason(), Ok("on it"));
        let longest = "x".repeat(MAX_REASON);
        assert_eq!(of(&longest).optional_reason(), Ok(Some(&*longest)));
        for (text, len) in [(" ".to_owned(), 0), (longest.clone() + "x", 501)] {
            let expected = format!("reason has {len} bytes, must have 1 to 500");
            assert_eq!(detail(of(&text).reason()).1, expected);
            assert_eq!(detail(of(&text).optional_reason()).1, expected);
        }
        let none = Members::parse(b"{}", &["reason"]).expect("an object");
        assert_eq!(none.optional_reason(), Ok(None));
        assert_eq!(detail(none.reason()).1, "reason is missing, must be a text");
    }

    #[test]
    fn members_have_numbers_that_may_be_null() {
        let json = br#"{"a":0.5,"b":null,"c":"x"}"#;
        let members = Members::parse(json, &["a", "b", "c"]).expect("known");
        assert_eq!(members.required_number_or_null("a"), Ok(Some(0.5)));
        assert_eq!(members.required_number_or_null("b"), Ok(None));
        let error = |name| detail(members.required_number_or_null(name)).1;
        assert_eq!(error("c"), "c must be a number or null");
        assert_eq!(error("d"), "d is missing, must be a number or null");
    }

    #[test]
    fn members_must_be_of_an_object_and_known() {
        let parse = |json: &str| detail(Members::parse(json.as_bytes(), &["a", "b"]));
        assert_eq!(parse("[]").1, "the JSON must be an object");
        assert!(parse("{").1.starts_with("the JSON is malformed: "));
        let unknown = "member \"c\" is unknown, must be one of a, b";
        assert_eq!(
            parse(r#"{"a":1,"c":2}"#),
            ("c".to_owned(), unknown.to_owned())
        );
    }
}
