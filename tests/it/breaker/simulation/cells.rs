//! The result of a row, as a line of the table, and what is wrong with it.

use std::{fmt, ops::Range, time::Duration};

use super::{
    hour::{HOUR, Hour, OUTAGES, Recovery, Timed},
    peer::Outage,
};

pub const HEAD: &str = "\
| clients | breaker | the peer, when down | calls | opened without outage | openings | closed after 3 min outage (open time) | closed after 40 s outage (open time) | admitted afterwards |
|---|---|---|--:|--:|--:|--:|--:|--:|";

/// One row with one breaker: an hour without outages, and one with.
#[derive(Debug)]
pub struct Cells {
    pub row: &'static str,
    pub breaker: &'static str,
    pub outage: Outage,
    pub without: Hour,
    pub with: Hour,
    /// The time that a probe may need for its head.
    pub probes_take: Duration,
}

impl Cells {
    /// Returns the times from each closing to the next outage.
    fn afterwards(&self) -> Vec<Range<Duration>> {
        let ends = OUTAGES[1..].iter().map(|outage| outage.start);
        let outages = OUTAGES.iter().zip(ends.chain([HOUR]));
        let times = outages.filter_map(|(outage, end)| {
            // A call that was rejected at that very instant came before.
            let from = self.with.recovery(outage)?.closed_at + Duration::from_nanos(1);
            Some(from..end)
        });
        times.collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(opened(self.without.openings()));
        faults.extend(too_few(self.without.admitted(&[Duration::ZERO..HOUR]), 1.0));
        faults.extend(OUTAGES.iter().filter_map(|outage| self.fault_of(outage)));
        faults.extend(opened(self.with.openings().filter(|(at, _)| {
            let mut outages = OUTAGES.iter();
            !outages.any(|outage| self.felt(outage).contains(at))
        })));
        faults.extend(too_few(self.with.admitted(&self.afterwards()), 0.99));
        let row = format!("{}, {}, {}", self.row, self.breaker, self.outage.as_str());
        let named = |fault| format!("{row}: {fault}");
        faults.into_iter().map(named).collect()
    }

    /// Returns when an outage may open the circuit.
    fn felt(&self, outage: &Range<Duration>) -> Range<Duration> {
        outage.start..outage.end + self.probes_take
    }

    fn fault_of(&self, outage: &Range<Duration>) -> Option<String> {
        if self.with.openings_in(self.felt(outage)) == 0 {
            return Some(format!("not opened in {outage:?}"));
        }
        let Some(recovery) = self.with.recovery(outage) else {
            return Some(format!("never closed after {outage:?}"));
        };
        let late = recovery.closed_after > 2 * recovery.open_for + self.probes_take;
        late.then(|| format!("closed late after {outage:?}: {recovery:?}"))
    }
}

fn too_few(admitted: f64, least: f64) -> Option<String> {
    (admitted < least).then(|| format!("admitted: {admitted}"))
}

/// Openings that should not have been.
fn opened<'a>(mut openings: impl Iterator<Item = &'a Timed>) -> Option<String> {
    let (at, event) = openings.next()?;
    let (reason, more) = (event.reason.as_str(), openings.count());
    Some(format!("opened at {at:?}, {reason}, and {more} times more"))
}

pub fn faults_of(cells: &[Cells]) -> Vec<String> {
    cells.iter().flat_map(Cells::faults).collect()
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.without.calls.len() + self.with.calls.len();
        write!(
            f,
            "| {} | {} | {} | {calls} | {} | {} |",
            self.row,
            self.breaker,
            self.outage.as_str(),
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
