use std::collections::{HashMap, VecDeque};

use super::{Collection, Document};

/// The most documents and bytes that are kept for a new file: as many as those of what is still true may be, and as many bytes as
/// may wait. What is more is lost with the file.
const MAX_DOCUMENTS: usize = 50_000;
const MAX_BYTES: usize = 32 << 20;

/// A document's collection and key.
pub(super) type Key = (Collection, String);

/// The documents of what is still true, as the file has them: they are written again where another file takes its place.
///
/// Resolved alerts, deliveries and workflows that are over are lost with a file, as the journal before it is.
#[derive(Debug, Default)]
pub(super) struct Present {
    documents: HashMap<Key, Document>,
    bytes: usize,
    /// The keys of those that are to be written again.
    again: VecDeque<Key>,
}

impl Present {
    /// Takes in what a file has of a key, or that it has nothing.
    pub(super) fn set(&mut self, key: &Key, document: Option<&Document>) {
        if !key.0.is_present() {
            return;
        }
        if let Some(before) = self.documents.remove(key) {
            self.bytes -= size(key, &before);
        }
        let Some(document) = document else {
            return;
        };
        let bytes = self.bytes + size(key, document);
        if self.documents.len() < MAX_DOCUMENTS && bytes <= MAX_BYTES {
            self.bytes = bytes;
            self.documents.insert(key.clone(), document.clone());
        }
    }

    /// Takes in that there is another file, which has none of them.
    pub(super) fn begin_again(&mut self) {
        self.again = self.documents.keys().cloned().collect();
    }

    /// Takes out up to `limit` documents that are to be written again.
    pub(super) fn take_again(&mut self, limit: usize) -> Vec<(Key, Document)> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(key) = self.again.pop_front()
        {
            // Not what was removed meanwhile.
            if let Some(document) = self.documents.get(&key) {
                taken.push((key, document.clone()));
            }
        }
        taken
    }
}

fn size(key: &Key, document: &Document) -> usize {
    // The key is there twice.
    2 * key.1.len() + document.json.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::time::from_millis;

    fn key(collection: Collection, key: &str) -> Key {
        (collection, key.to_owned())
    }

    fn document(key: &str, json: &str) -> Document {
        Document {
            key: key.to_owned(),
            at: from_millis(1),
            json: json.to_owned(),
        }
    }

    #[test]
    fn newest_document_of_a_key_is_written_again_once() {
        let mut present = Present::default();
        let (a, b) = (key(Collection::Told, "a"), key(Collection::Told, "b"));
        present.set(&a, Some(&document("a", "1")));
        present.set(&a, Some(&document("a", "2")));
        present.set(&b, Some(&document("b", "1")));
        assert!(present.take_again(9).is_empty());
        present.begin_again();
        present.set(&b, None);
        assert_eq!(present.take_again(9), [(a, document("a", "2"))]);
        assert!(present.take_again(9).is_empty());
    }

    #[test]
    fn documents_of_what_is_over_are_not_kept() {
        let mut present = Present::default();
        let over = [
            Collection::AlertHistory,
            Collection::Deliveries,
            Collection::Workflows,
        ];
        for collection in over {
            present.set(&key(collection, "a"), Some(&document("a", "1")));
        }
        present.begin_again();
        assert!(present.take_again(9).is_empty());
    }

    #[test]
    fn documents_and_their_bytes_are_bounded() {
        let mut present = Present::default();
        let json = "x".repeat(MAX_BYTES / 4);
        for name in ["a", "b", "c", "d"] {
            let key = key(Collection::Alerts, name);
            present.set(&key, Some(&document(name, &json)));
        }
        assert_eq!(present.documents.len(), 3);
        present.set(&key(Collection::Alerts, "a"), None);
        present.set(&key(Collection::Alerts, "d"), Some(&document("d", &json)));
        assert_eq!(present.documents.len(), 3);
        let mut present = Present::default();
        for n in 0..=MAX_DOCUMENTS {
            let name = n.to_string();
            present.set(&key(Collection::Alerts, &name), Some(&document(&name, "")));
        }
        assert_eq!(present.documents.len(), MAX_DOCUMENTS);
    }
}
