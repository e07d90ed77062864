//! The operations side: what is checked, who may see the console, and who may change something there.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use tower_keep::ConfigError;
use tower_keep::breaker::CircuitBreaker;
use tower_keep::logging::FilterHandle;
use tower_keep::ops::health::{Check, READINESS};
use tower_keep::ops::notify::Webhook;
use tower_keep::ops::{Access, Ops};

use super::alerts::Alerting;
use super::policy::{GATEWAY, UPSTREAM};
use super::upstream_url::UpstreamUrl;

/// For those who change something, such as to hold the circuit breaker open.
pub const OPERATOR_TOKEN: &str = "OPS_OPERATOR_TOKEN";
/// For those who only look.
pub const VIEWER_TOKEN: &str = "OPS_VIEWER_TOKEN";

const CHECK_EVERY: Duration = Duration::from_secs(10);
/// So that an outage of one second is seen.
const CHECK_EMBEDDED_EVERY: Duration = Duration::from_millis(500);
/// Some 5,000 lines.
const MAX_LOG_BYTES: usize = 2 * 1024 * 1024;
/// Some thousand calls.
const MAX_TRACE_BYTES: usize = 4 * 1024 * 1024;
/// A runtime that wakes its tasks later than this is too busy.
const MAX_LAG: Duration = Duration::from_millis(100);

/// Builds the operations side, which does nothing before it is installed.
///
/// # Errors
///
/// A setting that makes no sense.
pub fn build(
    targets: &[UpstreamUrl],
    is_embedded: bool,
    breaker: &CircuitBreaker,
    alerting: Alerting,
    options: Options,
) -> Result<Ops, ConfigError> {
    let builder = Ops::builder(GATEWAY)
        .version(env!("CARGO_PKG_VERSION"))
        .check(Check::breaker(breaker).name("upstream circuit"))
        // Alone in its group: a gateway whose upstream is down answers with what it knows, and one that is taken out of
        // service could not even do that.
        .check(Check::runtime_lag(MAX_LAG).group(READINESS))
        .health(|health| health.wait_for_started())
        .allow_control(true);
    let checks = targets
        .iter()
        .map(|target| check_upstream(target, is_embedded, targets.len() > 1));
    let builder = checks.fold(builder, |builder, check| builder.check(check));
    let builder = builder
        .alerts(alerting.settings)
        .rules(alerting.rules)
        .external_url(options.url);
    // A proxy is not there to remember: what the console keeps in memory of the log and of traces is little, and the file has more.
    let builder = builder
        .logs(|logs| logs.max_bytes(MAX_LOG_BYTES))
        .traces(|traces| traces.max_bytes(MAX_TRACE_BYTES));
    let mut builder = match options.log_filter {
        Some(filter) => builder.log_filter(filter),
        None => builder,
    };
    if let Some(url) = &alerting.webhook {
        builder = builder.notify(Webhook::new(url));
    }
    if let Some(file) = options.file {
        builder = builder.sqlite(file);
    }
    builder.build()
}

/// The arguments of the operations side.
#[derive(Default)]
pub struct Options {
    /// The address of the console, for links in notifications.
    pub url: String,
    /// With it, operators can change what is logged.
    pub log_filter: Option<FilterHandle>,
    /// Where the console remembers.
    pub file: Option<PathBuf>,
}

/// Makes the check of the upstream. What a stranger's upstream has under which path is not known, so that it is only
/// connected to.
/// One of several is not critical: the others serve in its place.
fn check_upstream(target: &UpstreamUrl, is_embedded: bool, is_one_of_several: bool) -> Check {
    if is_one_of_several {
        let name = format!("{UPSTREAM} {}", target.authority());
        return Check::tcp(name, target.address()).interval(CHECK_EVERY);
    }
    let check = match is_embedded {
        true => Check::http(UPSTREAM, &format!("{target}/ok")).interval(CHECK_EMBEDDED_EVERY),
        false => Check::tcp(UPSTREAM, target.address()).interval(CHECK_EVERY),
    };
    check.critical()
}

/// The people who may see the console.
pub struct Door {
    pub access: Access,
    /// The path and the query of a link that logs an operator in.
    pub login: Option<String>,
}

impl Door {
    /// Takes the tokens of the environment. Whoever has none of an operator gets a link, which is printed; with one, no
    /// output holds what lets in.
    ///
    /// # Errors
    ///
    /// One line that names the variable.
    pub fn from_env() -> Result<Self, String> {
        Self::new(token(OPERATOR_TOKEN)?, token(VIEWER_TOKEN)?)
    }

    fn new(operator: Option<String>, viewer: Option<String>) -> Result<Self, String> {
        let has_operator = operator.is_some();
        let access = Access::builder();
        let access = operator
            .into_iter()
            .fold(access, |access, token| access.operator_token(token));
        let access = viewer
            .into_iter()
            .fold(access, |access, token| access.viewer_token(token));
        let access = access
            .build()
            .map_err(|error| format!("{OPERATOR_TOKEN}, {VIEWER_TOKEN}: {error}"))?;
        let login = match has_operator {
            true => None,
            false => {
                let link = access.login_link();
                Some(link.map_err(|error| format!("cannot make a login link: {error}"))?)
            }
        };
        Ok(Self { access, login })
    }
}

fn token(name: &str) -> Result<Option<String>, String> {
    match env::var(name) {
        Ok(token) => Ok(Some(token).filter(|token| !token.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{name}: is no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn door_has_a_link_unless_there_is_a_token_of_an_operator() {
        let token = || Some("0123456789abcdef".to_owned());
        let has_link = |operator, viewer| {
            let door = Door::new(operator, viewer).expect("valid tokens");
            door.login
                .is_some_and(|link| link.starts_with("login?code="))
        };
        assert!(has_link(None, None));
        assert!(has_link(None, token()));
        assert!(!has_link(token(), token()));
    }

    #[test]
    fn door_tells_what_is_wrong_without_the_token() {
        let error = Door::new(Some("short".into()), None)
            .err()
            .unwrap_or_default();
        assert!(
            error.contains(OPERATOR_TOKEN) && error.contains("16 to 512"),
            "{error}"
        );
        assert!(!error.contains("short"), "{error}");
    }

    #[test]
    fn operations_of_any_upstream_can_be_built() {
        let breaker = CircuitBreaker::new(UPSTREAM);
        for url in ["http://up", "http://[::1]:81/base"] {
            let target = UpstreamUrl::parse(url).expect("a URL");
            for is_embedded in [false, true] {
                let options = Options {
                    url: "http://127.0.0.1:9901/ops/".to_owned(),
                    ..Options::default()
                };
                let targets = std::slice::from_ref(&target);
                build(targets, is_embedded, &breaker, Alerting::default(), options).expect(url);
            }
        }
    }
}
