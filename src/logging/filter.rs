use std::env::{self, VarError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, filter::Directive};

use crate::call::{ConfigError, InstallError};

/// The target of the span of a call, which carries the IDs into tasks.
const CALL_SPAN: &str = "tower_keep::call";

/// Returns a variable of the environment, `None` if it is unset or blank.
pub(super) fn env_var(name: &'static str) -> Result<Option<String>, InstallError> {
    match env::var(name) {
        Ok(value) if value.trim().is_empty() => Ok(None),
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => {
            Err(ConfigError::new("logging", name, format!("{value:?}"), "UTF-8").into())
        }
    }
}

/// Parses filter directives, and enables the span of a call unless the directives name `tower_keep`.
///
/// `source` is the name of the setting, for the error.
pub(super) fn parse_filter(
    source: &'static str,
    directives: &str,
) -> Result<EnvFilter, ConfigError> {
    let Ok(filter) = EnvFilter::builder().parse(directives) else {
        return Err(invalid_directives(source, directives));
    };
    // The span of a call is at `INFO`. Without it, events of spawned tasks would have no IDs.
    let is_off = filter.max_level_hint() == Some(LevelFilter::OFF);
    let default_level = directives
        .split(',')
        .find_map(|part| part.trim().parse::<LevelFilter>().ok());
    let hides_calls = default_level.is_none_or(|level| level < LevelFilter::INFO);
    // Directives that name this crate are meant as they are.
    if is_off || !hides_calls || directives.contains("tower_keep") {
        return Ok(filter);
    }
    match format!("{CALL_SPAN}=info").parse() {
        Ok(directive) => Ok(filter.add_directive(directive)),
        // Never, since the directive is a constant.
        Err(_) => Ok(filter),
    }
}

/// Returns the error for directives that cannot be parsed, with the first invalid one.
fn invalid_directives(source: &'static str, directives: &str) -> ConfigError {
    let invalid = directives
        .split(',')
        .find(|part| part.parse::<Directive>().is_err())
        // A comma inside of brackets is part of a directive, so the parts are not directives.
        .filter(|_| !directives.contains('['));
    let invalid = invalid.map(|part| format!(" ({part:?} is not a directive)"));
    let expected = format!(
        "directives such as info,my_app=debug{}",
        invalid.unwrap_or_default()
    );
    ConfigError::new("logging", source, format!("{directives:?}"), expected)
}
