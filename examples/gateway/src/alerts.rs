//! The alerts: which there are, and who is told of them.

use std::path::Path;
use std::time::Duration;

use tower_keep::ops::alerts::{AlertSettings, Rule};

use super::alert_receiver;
use super::args::Args;

/// For the embedded upstream, whose outages are over in a moment.
const SOON: Duration = Duration::from_secs(1);
/// The share of calls that may fail for a while.
const ERROR_RATE: f64 = 0.2;
/// The calls of a proxy that are slow.
const SLOW: Duration = Duration::from_secs(1);

/// The alerts of a gateway.
#[derive(Debug, Default)]
pub struct Alerting {
    pub settings: AlertSettings,
    pub rules: Vec<Rule>,
    /// Where they are sent to.
    pub webhook: Option<String>,
}

impl Alerting {
    /// Reads the file of rules, if there is one. With the embedded upstream, it starts a receiver, unless there is another.
    ///
    /// # Errors
    ///
    /// One line that names the option.
    pub async fn new(args: &Args) -> Result<Self, String> {
        let is_embedded = args.upstreams.is_empty();
        let mut settings = match &args.alerts {
            Some(path) => read(path).map_err(|error| format!("--alerts: {error}"))?,
            None => AlertSettings::default(),
        };
        if is_embedded && args.alerts.is_none() {
            settings.group_wait = SOON;
        }
        let rules = match (&args.alerts, is_embedded) {
            (Some(_), _) => Vec::new(),
            // For a second, so that they are seen to be pending; each outage is told.
            (None, true) => [Rule::breaker_open(), Rule::unhealthy()]
                .map(|rule| {
                    rule.for_(SOON)
                        .keep_firing_for(SOON)
                        .cooldown(Duration::ZERO)
                })
                .into(),
            (None, false) => vec![
                Rule::breaker_open(),
                Rule::unhealthy(),
                Rule::error_rate(ERROR_RATE),
                Rule::slow_p95(SLOW),
                Rule::budget_empty(),
                Rule::records_dropped(),
            ],
        };
        let webhook = match &args.webhook {
            None if is_embedded => Some(format!("http://{}/", alert_receiver::start().await?)),
            webhook => webhook.clone(),
        };
        Ok(Alerting {
            settings,
            rules,
            webhook,
        })
    }
}

/// Where a file of rules is, for those who have none.
const EXAMPLE: &str = "examples/gateway/alerts.toml is one with rules";

fn read(path: &Path) -> Result<AlertSettings, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}; {EXAMPLE}", path.display()))?;
    let settings: AlertSettings =
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    settings.check().map_err(|error| error.to_string())?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_example_file_are_valid() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts.toml");
        let settings = read(&file).expect("valid");
        assert_eq!(settings.rules.len(), 3);
    }

    #[test]
    fn file_that_is_not_there_is_named_and_so_is_an_example() {
        let error = read(Path::new("nowhere.toml")).expect_err("not there");
        assert!(error.starts_with("nowhere.toml: "), "{error}");
        assert!(error.contains("examples/gateway/alerts.toml"), "{error}");
    }
}
