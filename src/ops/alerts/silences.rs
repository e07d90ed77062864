use std::time::{Duration, SystemTime};

use super::{
    NotDone,
    alert::Alert,
    changes::{Changes, Write},
    silence::Silence,
    stored,
};
use crate::ops::store::{Collection, Document};

/// The most silences that are not over.
const MAX_SILENCES: usize = 200;
/// The time for which a silence is listed after its end.
const SILENCE_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The silences, with those that were over a short time ago.
#[derive(Debug, Default)]
pub(super) struct Silences {
    all: Vec<Silence>,
    /// The number of silences that were made, for their names.
    made: u64,
}

impl Silences {
    /// Adds a silence, and returns its name.
    pub(super) fn add(
        &mut self,
        now: SystemTime,
        mut silence: Silence,
        changes: &mut Changes,
    ) -> Result<String, NotDone> {
        let open = self.all.iter().filter(|silence| now < silence.ends_at);
        if open.count() >= MAX_SILENCES {
            return Err(NotDone::TooMany);
        }
        if self.all.len() >= 2 * MAX_SILENCES {
            let is_over = |silence: &Silence| silence.ends_at <= now;
            if let Some(at) = self.all.iter().position(is_over) {
                let id = self.all.remove(at).id;
                changes.writes.push(Write::Delete(Collection::Silences, id));
            }
        }
        self.made += 1;
        let millis = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        silence.id = format!("{millis:x}-{}", self.made);
        let id = silence.id.clone();
        save(&silence, changes);
        self.all.push(silence);
        Ok(id)
    }

    /// Ends a silence before its time, and returns it as it was before.
    pub(super) fn end(
        &mut self,
        now: SystemTime,
        id: &str,
        changes: &mut Changes,
    ) -> Result<Silence, NotDone> {
        let silence = self.all.iter_mut().find(|silence| silence.id == id);
        let silence = silence.ok_or(NotDone::Unknown)?;
        if silence.ends_at <= now {
            return Err(NotDone::IsOver);
        }
        let before = silence.clone();
        silence.ends_at = now;
        silence.starts_at = silence.starts_at.min(now);
        save(silence, changes);
        Ok(before)
    }

    /// Forgets silences that have been over for some time.
    pub(super) fn forget_old(&mut self, now: SystemTime, changes: &mut Changes) {
        self.all.retain(|silence| {
            let is_old = now
                .duration_since(silence.ends_at)
                .is_ok_and(|age| age >= SILENCE_KEPT);
            if is_old {
                let write = Write::Delete(Collection::Silences, silence.id.clone());
                changes.writes.push(write);
            }
            !is_old
        });
    }

    /// Takes in what was stored before a restart.
    pub(super) fn restore(&mut self, documents: &[Document]) {
        let documents = documents.iter();
        let silences = documents.filter_map(|document| stored::silence(&document.json));
        for silence in silences {
            if !self.all.iter().any(|own| own.id == silence.id) {
                self.all.push(silence);
            }
        }
        self.all.sort_by_key(|silence| silence.starts_at);
    }

    /// Returns the names of the silences that keep an alert silent now.
    pub(super) fn of<'a>(
        &'a self,
        alert: &'a Alert,
        now: SystemTime,
    ) -> impl Iterator<Item = &'a str> {
        let active = self
            .all
            .iter()
            .filter(move |silence| silence.is_active(now));
        active
            .filter(move |silence| silence.matches(alert))
            .map(|silence| silence.id.as_str())
    }

    pub(super) fn as_slice(&self) -> &[Silence] {
        &self.all
    }
}

fn save(silence: &Silence, changes: &mut Changes) {
    let document = stored::silence_document(silence);
    let write = Write::Put(Collection::Silences, document);
    changes.writes.push(write);
}
