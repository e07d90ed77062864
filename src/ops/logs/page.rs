use std::sync::Arc;

use super::{query::LogQuery, record::LogRecord, search_text::SearchText};

/// The most records in an answer.
pub(in crate::ops) const MAX_LIMIT: usize = 500;

/// The bytes of records from which on an answer has no more of them: only long ones reach it.
const MAX_BYTES: usize = 2 * 1_024 * 1_024;

/// A part of what a search finds.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct LogPage {
    /// Only records with lower numbers.
    pub(in crate::ops) before: Option<u64>,
    /// Only records with higher numbers.
    pub(in crate::ops) after: Option<u64>,
    /// The most records, 1 to [`MAX_LIMIT`].
    pub(in crate::ops) limit: usize,
}

/// The records of a page, the newest first.
#[derive(Debug, Default, PartialEq)]
pub(in crate::ops) struct FoundLogs {
    pub(in crate::ops) records: Vec<Arc<LogRecord>>,
    /// The beginning of the next page, if there may be more.
    pub(in crate::ops) before: Option<u64>,
    /// True if the search took too long, and is to go on with the next page.
    pub(in crate::ops) is_cut: bool,
    /// True if the records of the file were searched, false if those in memory.
    pub(in crate::ops) is_from_file: bool,
    /// The records that can be found, of whatever search.
    pub(in crate::ops) kept: u64,
    /// The time of the oldest of them, in microseconds since 1970.
    pub(in crate::ops) oldest: Option<u64>,
}

/// A page that is being filled with records, the newest first.
pub(super) struct PageFill<'a> {
    query: &'a LogQuery,
    page: LogPage,
    found: FoundLogs,
    text: SearchText,
    /// The number of the last record that was offered.
    offered: Option<u64>,
    /// The bytes of those that were found.
    bytes: usize,
}

impl<'a> PageFill<'a> {
    pub(super) fn new(query: &'a LogQuery, page: LogPage) -> Self {
        PageFill {
            query,
            page,
            found: FoundLogs::default(),
            text: SearchText::default(),
            offered: None,
            bytes: 0,
        }
    }

    /// Adds to what can be found, of whatever search.
    pub(super) fn add_kept(&mut self, records: u64, oldest: Option<u64>) {
        self.found.kept += records;
        self.found.oldest = [self.found.oldest, oldest].into_iter().flatten().min();
    }

    /// Offers a record, and returns whether more are wanted.
    pub(super) fn offer(&mut self, record: &Arc<LogRecord>) -> bool {
        self.offered = Some(record.id);
        let is_in_page = self.page.before.is_none_or(|before| record.id < before)
            && self.page.after.is_none_or(|after| record.id > after);
        if !is_in_page || !self.query.matches(record, &mut self.text) {
            return true;
        }
        if self.found.records.len() == self.page.limit || self.bytes >= MAX_BYTES {
            // There is one more.
            self.found.before = self.found.records.last().map(|last| last.id);
            return false;
        }
        self.bytes += record.size();
        self.found.records.push(record.clone());
        true
    }

    #[cfg(feature = "ops-sqlite")]
    pub(super) fn query(&self) -> &'a LogQuery {
        self.query
    }

    #[cfg(feature = "ops-sqlite")]
    pub(super) fn page(&self) -> LogPage {
        self.page
    }

    /// Ends the page since the search takes too long: the next one goes on from here.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn cut(&mut self) {
        (self.found.is_cut, self.found.before) = (true, self.offered);
    }

    /// Says that the records of the file were searched.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn set_from_file(&mut self) {
        self.found.is_from_file = true;
    }

    pub(super) fn into_found(self) -> FoundLogs {
        self.found
    }
}
