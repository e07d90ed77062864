//! What a row comes to, as a line of the table, and what is wrong with it.

use std::{fmt, ops::Range, time::Duration};

use super::hour::{HOUR, Hour, OUTAGES, Recovery};

pub const HEAD: &str = "\
| clients | breaker | calls | opened without outage | openings | closed after 3 min outage (open for) | closed after 40 s outage (open for) | admitted afterwards |
|---|---|--:|--:|--:|--:|--:|--:|";

/// One row with one breaker: an hour without outages, and one with.
#[derive(Debug)]
pub struct Cells {
    pub row: &'static str,
    pub breaker: &'static str,
    pub without: Hour,
    pub with: Hour,
    /// How long a probe may need for its head.
    pub probes_take: Duration,
}

impl Cells {
    /// From each closing to the next outage.
    fn afterwards(&self) -> Vec<Range<Duration>> {
        let ends = OUTAGES[1..].iter().map(|outage| outage.start);
        let outages = OUTAGES.iter().zip(ends.chain([HOUR]));
        let times = outages.filter_map(|(outage, end)| {
            // A call that was refused at that very instant came before.
            let from = self.with.recovery(outage)?.closed_at + Duration::from_nanos(1);
            Some(from..end)
        });
        times.collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, what: &dyn fmt::Display| {
            if !holds {
                faults.push(format!("{}, {}: {what}", self.row, self.breaker));
            }
        };
        for (at, event) in self.without.openings() {
            must(false, &format_args!("opened after {at:?}: {event:?}"));
        }
        let all = [Duration::ZERO..HOUR];
        let admitted = self.without.admitted(&all);
        must(
            admitted == 1.0,
            &format_args!("admitted without outage: {admitted}"),
        );
        for outage in &OUTAGES {
            let time = outage.start..outage.end + self.probes_take;
            must(
                self.with.openings_in(time) > 0,
                &format_args!("not opened in {outage:?}"),
            );
            let Some(recovery) = self.with.recovery(outage) else {
                must(false, &format_args!("never closed after {outage:?}"));
                continue;
            };
            let Recovery {
                closed_after,
                open_for,
                ..
            } = recovery;
            must(
                closed_after <= 2 * open_for + self.probes_take,
                &format_args!("closed after {closed_after:?}, {open_for:?} open, {outage:?}"),
            );
        }
        for (at, event) in self.with.openings() {
            let ours = |outage: &Range<Duration>| {
                (outage.start..outage.end + self.probes_take).contains(at)
            };
            must(
                OUTAGES.iter().any(ours),
                &format_args!("opened after {at:?}: {event:?}"),
            );
        }
        let admitted = self.with.admitted(&self.afterwards());
        must(
            admitted >= 0.99,
            &format_args!("admitted afterwards: {admitted}"),
        );
        faults
    }
}

pub fn faults_of(cells: &[Cells]) -> Vec<String> {
    cells.iter().flat_map(Cells::faults).collect()
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.without.calls.len() + self.with.calls.len();
        write!(
            f,
            "| {} | {} | {calls} | {} | {} |",
            self.row,
            self.breaker,
            self.without.openings().count(),
            self.with.openings().count(),
        )?;
        for outage in &OUTAGES {
            match self.with.recovery(outage) {
                Some(Recovery {
                    closed_after,
                    open_for,
                    ..
                }) => write!(
                    f,
                    " {:.1} s ({:.1} s) |",
                    closed_after.as_secs_f64(),
                    open_for.as_secs_f64()
                )?,
                None => write!(f, " never |")?,
            }
        }
        let admitted = self.with.admitted(&self.afterwards());
        write!(f, " {:.2} % |", admitted * 100.0)
    }
}
