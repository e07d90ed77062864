use std::{collections::VecDeque, fmt::Write, sync::Arc};

use super::{query::LogQuery, record::LogRecord, search_text::SearchText};

/// The most lines in a frame: more than a person can read in a second.
const MAX_LINES: usize = 200;

/// The bytes of a frame from which on it has no more lines: only long ones reach it.
const MAX_BYTES: usize = 256 * 1_024;

/// The records of the last second, for all viewers.
#[derive(Debug, Default)]
pub(in crate::ops) struct TailChunk {
    /// The newest first.
    pub(super) records: Vec<Arc<LogRecord>>,
    /// Older ones of that second.
    pub(super) skipped: u64,
}

/// The lines for one viewer that wants to see records as they come.
#[derive(Debug, Default)]
pub(in crate::ops) struct Tail {
    query: LogQuery,
    /// The newest first.
    lines: VecDeque<Arc<LogRecord>>,
    skipped: u64,
    text: SearchText,
}

impl Tail {
    pub(in crate::ops) fn new(query: LogQuery) -> Self {
        Tail {
            query,
            ..Tail::default()
        }
    }

    /// Takes what is new.
    pub(in crate::ops) fn take(&mut self, chunk: &TailChunk) {
        self.skipped += chunk.skipped;
        for record in chunk.records.iter().rev() {
            if self.query.matches(record, &mut self.text) {
                self.lines.push_front(record.clone());
            }
        }
        self.skipped += self.lines.len().saturating_sub(MAX_LINES) as u64;
        self.lines.truncate(MAX_LINES);
    }

    /// Writes the member of a frame, if there is something new.
    pub(in crate::ops) fn write(&mut self, frame: &mut String) {
        if self.lines.is_empty() && self.skipped == 0 {
            return;
        }
        frame.push_str(",\"logs\":{\"records\":[");
        let begin = frame.len();
        for record in self.lines.drain(..) {
            if frame.len() - begin >= MAX_BYTES {
                self.skipped += 1;
                continue;
            }
            let comma = if frame.len() > begin { "," } else { "" };
            let _ = write!(frame, "{comma}{}", record.to_json());
        }
        let _ = write!(
            frame,
            "],\"skipped\":{}}}",
            std::mem::take(&mut self.skipped)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::logs::{level::LogLevel, record::LogIds};

    fn chunk(ids: std::ops::Range<u64>, len: usize) -> TailChunk {
        let record = |id| {
            Arc::new(LogRecord {
                id,
                at: id,
                level: LogLevel::Info,
                target: "orders".into(),
                message: "x".repeat(len).into(),
                fields: "".into(),
                ids: LogIds::default(),
            })
        };
        TailChunk {
            records: ids.rev().map(record).collect(),
            skipped: 0,
        }
    }

    /// Returns the numbers of the lines of a frame, and how many were skipped.
    fn frame(tail: &mut Tail) -> Option<(Vec<u64>, u64)> {
        let mut frame = "{\"type\":\"tick\"".to_owned();
        tail.write(&mut frame);
        frame.push('}');
        let frame: serde_json::Value = serde_json::from_str(&frame).expect("json");
        let logs = frame.get("logs")?;
        let records = logs["records"].as_array().expect("records");
        let ids = records
            .iter()
            .map(|record| record["id"].as_u64().expect("a number"));
        Some((ids.collect(), logs["skipped"].as_u64().expect("a number")))
    }

    #[test]
    fn tail_has_the_newest_lines_and_counts_the_others() {
        let mut tail = Tail::default();
        assert_eq!(frame(&mut tail), None);
        tail.take(&chunk(0..150, 1));
        tail.take(&chunk(150..250, 1));
        let expected = (50..250).rev().collect();
        assert_eq!(frame(&mut tail), Some((expected, 50)));
        assert_eq!(frame(&mut tail), None);
    }

    #[test]
    fn tail_of_long_lines_is_bounded_in_bytes() {
        let mut tail = Tail::default();
        tail.take(&chunk(0..100, 8_000));
        let (lines, skipped) = frame(&mut tail).expect("lines");
        assert_eq!(lines.len() as u64 + skipped, 100);
        assert!(
            (30..40).contains(&lines.len()) && lines[0] == 99,
            "{lines:?}"
        );
    }
}
