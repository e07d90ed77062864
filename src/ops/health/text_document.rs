//! The health document as text.

use super::{HealthSnapshot, probe_text::component_lines};

/// Writes a snapshot: a line for each component, and the status of all together last.
pub(super) fn write(snapshot: &HealthSnapshot, details: bool) -> String {
    if !details {
        return format!("{}\n", snapshot.status);
    }
    let lines = component_lines(snapshot, &[] as &[&str], true);
    format!("{lines}{} is {}\n", snapshot.service, snapshot.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::health::fixtures::mixed;

    #[test]
    fn text_has_a_line_for_each_component_and_one_for_all() {
        let expected = "\
            [~]ledger-db degraded: answers in 412 ms, limit 250 ms\n\
            [-]cache failed: connection refused\n\
            [+]disk ok: 12 % used\n\
            [?]broker unknown\n\
            orders is degraded\n";
        assert_eq!(write(&mixed(), true), expected);
        assert_eq!(write(&mixed(), false), "degraded\n");
    }
}
