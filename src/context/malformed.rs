//! Counts malformed headers.

use std::sync::LazyLock;

use metrics::{Counter, Unit};

use crate::{
    call::catch_hook,
    util::{
        append_map::OVERFLOW_LABEL,
        family::{Family, SeriesKey},
        recorder::RecorderKind,
    },
};

/// The name of a header.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct HeaderLabel(&'static str);

impl SeriesKey for HeaderLabel {
    const OVERFLOW_KEYS: usize = 1;

    fn overflow_key(&self) -> Self {
        HeaderLabel(OVERFLOW_LABEL)
    }
}

/// Counts a header that breaks its specification, by its name and never by its value.
#[cold]
pub(crate) fn count_malformed(header: &'static str) {
    // More than there are names, all of which are constants of this module.
    static MALFORMED: LazyLock<Family<HeaderLabel, Counter>> = LazyLock::new(|| Family::new(16));
    let make = |header: &HeaderLabel| {
        const NAME: &str = "tower_keep_malformed_headers_total";
        let help = "Headers of requests that break their specification.";
        metrics::describe_counter!(NAME, Unit::Count, help);
        metrics::counter!(NAME, "header" => header.0)
    };
    let count = |counter: &Counter| counter.increment(1);
    // Runs while a call is admitted, which a recorder that panics must not fail.
    catch_hook(|| {
        MALFORMED.with_handles(RecorderKind::current(), &HeaderLabel(header), make, count)
    });
}
