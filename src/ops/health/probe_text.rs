//! Components as lines of text, as Kubernetes' own servers have them.

use std::fmt::Write;

use super::{ComponentSnapshot, HealthSnapshot, HealthStatus};

/// Returns a line for each component, `[+]ledger-db ok`, with the reason if that is wanted.
pub(super) fn component_lines(
    snapshot: &HealthSnapshot,
    excluded: &[impl AsRef<str>],
    has_reasons: bool,
) -> String {
    let mut lines = String::new();
    for component in &snapshot.components {
        let name = component.name.as_str();
        let line = match excluded.iter().any(|each| each.as_ref() == name) {
            true => writeln!(lines, "[+]{name} excluded: ok"),
            false => write_component(&mut lines, component, has_reasons),
        };
        line.expect("a String takes everything");
    }
    lines
}

fn write_component(
    lines: &mut String,
    component: &ComponentSnapshot,
    has_reasons: bool,
) -> std::fmt::Result {
    let (mark, word) = match component.status {
        HealthStatus::Healthy => ("+", "ok"),
        HealthStatus::Degraded => ("~", "degraded"),
        HealthStatus::Unhealthy => ("-", "failed"),
        HealthStatus::Unknown => ("?", "unknown"),
    };
    write!(lines, "[{mark}]{} {word}", component.name)?;
    match (&component.text, component.status) {
        (Some(text), _) if has_reasons => writeln!(lines, ": {text}"),
        (_, HealthStatus::Unhealthy) if !has_reasons => writeln!(lines, ": reason withheld"),
        _ => writeln!(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::{component, mixed, snapshot};

    #[test]
    fn lines_withhold_reasons_and_mark_what_is_excluded() {
        let expected = "\
            [~]ledger-db degraded\n\
            [-]cache failed: reason withheld\n\
            [+]disk excluded: ok\n\
            [?]broker unknown\n";
        assert_eq!(component_lines(&mixed(), &["disk"], false), expected);
    }

    #[test]
    fn line_of_a_component_without_a_reason_says_nothing_of_one() {
        let db = component("db", HealthStatus::Unhealthy);
        let snapshot = snapshot(HealthStatus::Unhealthy, vec![db]);
        let none = &[] as &[&str];
        assert_eq!(component_lines(&snapshot, none, true), "[-]db failed\n");
    }
}
