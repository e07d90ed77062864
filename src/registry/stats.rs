use std::{fmt, time::Duration};

use super::Stat;

/// The stats of a guard, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats(Vec<(&'static str, Stat)>);

impl Stats {
    /// Adds a count.
    pub fn count(&mut self, name: &'static str, count: impl Into<u64>) {
        self.0.push((name, Stat::Count(count.into())));
    }

    /// Adds a number, such as a fraction.
    pub fn number(&mut self, name: &'static str, number: f64) {
        self.0.push((name, Stat::Number(number)));
    }

    /// Adds a time in seconds, or an unknown value for `None`. The name should end in `_seconds`.
    pub fn seconds(&mut self, name: &'static str, time: impl Into<Option<Duration>>) {
        let stat = time
            .into()
            .map_or(Stat::Unknown, |time| Stat::Number(time.as_secs_f64()));
        self.0.push((name, stat));
    }

    /// Adds a text, or an unknown value for `None`.
    pub fn text(&mut self, name: &'static str, text: Option<impl fmt::Display>) {
        let stat = text.map_or(Stat::Unknown, |text| Stat::Text(text.to_string()));
        self.0.push((name, stat));
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Stat)> {
        self.0.iter().map(|(name, stat)| (*name, stat))
    }
}

/// Serializes the stats as an object, in the order in which they were added.
#[cfg(feature = "serde")]
impl serde::Serialize for Stats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
