//! The series in the file: each has a number, under which its points are.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension};

use super::minute_row::{kind_number, kind_of};
use crate::ops::series::SeriesKind;

/// The most series in the file: twice what a recorder gives a history by default, for ten versions of a service.
const MAX_SERIES: i64 = 20_000;

type Labels = Vec<(Arc<str>, Arc<str>)>;

/// A series in the file.
#[derive(Clone, Debug)]
pub(super) struct StoredSeries {
    pub(super) number: i64,
    pub(super) kind: SeriesKind,
    pub(super) labels: Labels,
}

/// The numbers of series, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    known: HashMap<String, i64>,
    count: Option<i64>,
}

impl Numbers {
    /// Returns the number of a series, which gets one if it has none: none if the file has too many.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        name: &str,
        kind: SeriesKind,
        labels: &[(Arc<str>, Arc<str>)],
        hour: u64,
    ) -> rusqlite::Result<Option<i64>> {
        let labels = labels_text(labels);
        let key = format!("{} {name} {labels}", kind_number(kind));
        if let Some(number) = self.known.get(&key) {
            return Ok(Some(*number));
        }
        let number = match find(connection, name, kind, &labels)? {
            Some(number) => number,
            None => {
                let count = "SELECT count(*) FROM metric_series";
                let count = match self.count {
                    Some(count) => count,
                    None => connection.query_row(count, [], |row| row.get(0))?,
                };
                self.count = Some(count);
                if count >= MAX_SERIES {
                    return Ok(None);
                }
                let sql = "INSERT INTO metric_series (name, kind, labels, last_hour) VALUES (?1, ?2, ?3, ?4)";
                connection.execute(sql, (name, kind_number(kind) as i64, labels, hour as i64))?;
                self.count = Some(count + 1);
                connection.last_insert_rowid()
            }
        };
        self.known.insert(key, number);
        Ok(Some(number))
    }
}

/// Returns the number of a series that has one.
pub(super) fn find(
    connection: &Connection,
    name: &str,
    kind: SeriesKind,
    labels: &str,
) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT number FROM metric_series WHERE name = ?1 AND kind = ?2 AND labels = ?3";
    let parameters = (name, kind_number(kind) as i64, labels);
    connection
        .query_row(sql, parameters, |row| row.get(0))
        .optional()
}

/// Returns the series of a name.
pub(super) fn of_name(connection: &Connection, name: &str) -> rusqlite::Result<Vec<StoredSeries>> {
    let sql = "SELECT number, kind, labels FROM metric_series WHERE name = ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([name])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let kind = kind_of(row.get::<_, i64>(1)?.max(0) as u64);
        let labels = labels_of(row.get_ref(2)?.as_str()?);
        // What is not sound is none of ours.
        if let (Some(kind), Some(labels)) = (kind, labels) {
            let number = row.get(0)?;
            all.push(StoredSeries {
                number,
                kind,
                labels,
            });
        }
    }
    Ok(all)
}

/// Returns labels as they are in the file.
pub(super) fn labels_text(labels: &[(Arc<str>, Arc<str>)]) -> String {
    let pairs = labels.iter().map(|(name, value)| [&**name, &**value]);
    serde_json::json!(pairs.collect::<Vec<_>>()).to_string()
}

fn labels_of(text: &str) -> Option<Labels> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let pair = |pair: &serde_json::Value| {
        let text = |at: usize| Some(Arc::from(pair.get(at)?.as_str()?));
        Some((text(0)?, text(1)?))
    };
    value.as_array()?.iter().map(pair).collect()
}
