//! The series of alerts in a scrape: one for each that is pending or active, as Prometheus' own `ALERTS`.

use std::fmt::Write;

use super::engine::Engine;
use crate::util::text::truncated;

const NAME: &str = "tower_keep_alerts";
/// The longest value of a label, in bytes.
const MAX_VALUE: usize = 256;
const END: &str = "# EOF\n";

/// Adds the series to what a scrape returns, in either format.
pub(in crate::ops) fn add_alerts(scrape: &mut String, engine: &Engine) {
    let mut alerts = engine
        .alerts()
        .filter(|alert| !alert.is_resolved())
        .peekable();
    if alerts.peek().is_none() {
        return;
    }
    let is_open_metrics = scrape.ends_with(END);
    if is_open_metrics {
        scrape.truncate(scrape.len() - END.len());
    }
    let _ = write!(
        scrape,
        "# HELP {NAME} Alerts that are pending or active.\n# TYPE {NAME} gauge\n"
    );
    for alert in alerts {
        let _ = write!(scrape, "{NAME}{{alertname=\"");
        push_value(scrape, &alert.rule);
        let state = if alert.is_active() {
            "firing"
        } else {
            "pending"
        };
        let acknowledged = alert.is_acknowledged();
        let severity = alert.severity.as_str();
        let _ = write!(
            scrape,
            "\",alertstate=\"{state}\",acknowledged=\"{acknowledged}\",severity=\"{severity}\""
        );
        for (name, value) in &alert.labels {
            // Those of above come first.
            let is_taken = matches!(
                name.as_str(),
                "alertname" | "alertstate" | "acknowledged" | "severity"
            );
            if !is_taken {
                let _ = write!(scrape, ",{name}=\"");
                push_value(scrape, value);
                scrape.push('"');
            }
        }
        scrape.push_str("} 1\n");
    }
    if is_open_metrics {
        scrape.push_str(END);
    }
}

fn push_value(out: &mut String, value: &str) {
    for c in truncated(value, MAX_VALUE).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
