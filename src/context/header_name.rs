//! Checks header names that users configure.

use http::{HeaderName, header};

use crate::call::ConfigError;

/// Most header names in which one ID is looked for.
const MAX_ID_HEADERS: usize = 8;

/// The component that errors name.
pub(super) const COMPONENT: &str = "correlation";

pub(super) fn to_strings<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

pub(super) fn parse_header_names(
    field: &'static str,
    names: &[String],
) -> Result<Vec<HeaderName>, ConfigError> {
    if names.is_empty() || names.len() > MAX_ID_HEADERS {
        let count = format!("{} names", names.len());
        let expected = format!("1 to {MAX_ID_HEADERS} header names");
        return Err(ConfigError::new(COMPONENT, field, count, expected));
    }
    let names = names.iter();
    names.map(|name| parse_header_name(field, name)).collect()
}

pub(super) fn parse_header_name(
    field: &'static str,
    name: &str,
) -> Result<HeaderName, ConfigError> {
    let error = |expected| ConfigError::new(COMPONENT, field, format!("{name:?}"), expected);
    let name = HeaderName::try_from(name)
        .map_err(|_| error("a header name such as \"x-request-id\" (letters, digits, '-')"))?;
    if [header::AUTHORIZATION, header::COOKIE, header::HOST].contains(&name) {
        return Err(error(
            "a header that carries no credentials and is not `host`",
        ));
    }
    Ok(name)
}
