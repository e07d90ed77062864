//! The clients' own record of their calls, call by call.
//!
//! Each request has a correlation ID of its own. Whoever saw the head of an answer knows that its request was
//! received, and with what status it was answered; whoever left before does not, and then the gateway may have
//! seen it once or not at all. What is no request has no ID, and must not be counted as a call.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::Value;

/// The behavior of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    Polite,
    ReadsSlowly,
    UploadsSlowly,
    LeavesBeforeHead,
    LeavesInBody,
    /// Takes the head of the answer and no more, and stays.
    StopsReading,
    /// Ends its upload in the middle.
    BreaksOff,
    /// Sends what is no body in the middle of one.
    Garbles,
    /// Promises a body and sends none, or not all of it, and stays.
    Stalls,
    /// Asks when its time is up already.
    Late,
}

impl Manner {
    pub const ALL: [Manner; 10] = [
        Manner::Polite,
        Manner::ReadsSlowly,
        Manner::UploadsSlowly,
        Manner::LeavesBeforeHead,
        Manner::LeavesInBody,
        Manner::StopsReading,
        Manner::BreaksOff,
        Manner::Garbles,
        Manner::Stalls,
        Manner::Late,
    ];
}

/// The end of a call, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Answered { status: u16, whole: bool },
    Left,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub manner: Manner,
    pub path: &'static str,
    /// True if it may be sent again.
    pub repeatable: bool,
    pub fate: Fate,
}

#[derive(Default)]
pub struct CallLog(Mutex<HashMap<String, Entry>>);

impl CallLog {
    /// Before the first byte is sent: whatever happens then, the call is known.
    pub fn open(&self, id: &str, manner: Manner, path: &'static str, repeatable: bool) {
        let entry = Entry {
            manner,
            path,
            repeatable,
            fate: Fate::Left,
        };
        let before = self.lock().insert(id.to_owned(), entry);
        assert!(before.is_none(), "{id} twice");
    }

    pub fn answered(&self, id: &str, status: u16, whole: bool) {
        let mut entries = self.lock();
        let entry = entries.get_mut(id).expect("opened");
        entry.fate = Fate::Answered { status, whole };
    }

    pub fn entries(&self) -> HashMap<String, Entry> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().expect("no panic")
    }
}

/// The gateway's lines, by correlation ID; one call has one line.
pub fn by_id(lines: &[Value]) -> HashMap<&str, &Value> {
    let mut found = HashMap::new();
    for line in lines {
        let id = line["correlation_id"].as_str().expect("an ID");
        if let Some(before) = found.insert(id, line) {
            panic!("{id} has two lines:\n{before}\n{line}");
        }
    }
    found
}
