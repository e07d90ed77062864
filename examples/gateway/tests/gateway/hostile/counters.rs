//! The count of what was done to the gateway, and of what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::attack::Attack;

/// The end of an exchange, as the client that began it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saw {
    Status(u16),
    /// The gateway closed or reset without an answer.
    Nothing,
    /// The client did not wait for one.
    Left,
}

/// Clones share the counts.
#[derive(Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<(Attack, Saw), u64>>>);

impl Counters {
    pub fn count(&self, attack: Attack, saw: Saw) {
        *self.lock().entry((attack, saw)).or_default() += 1;
    }

    pub fn of(&self, attack: Attack) -> u64 {
        let counts = self.lock();
        let of = counts.iter().filter(|((of, _), _)| *of == attack);
        of.map(|(_, count)| count).sum()
    }

    pub fn saw(&self, attack: Attack, saw: Saw) -> u64 {
        self.lock().get(&(attack, saw)).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Attack, Saw), u64>> {
        self.0.lock().expect("no panic")
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for attack in Attack::ALL {
            write!(f, "{attack:?}: {} (", self.of(attack))?;
            let mut gap = "";
            for ((_, saw), count) in self.lock().iter().filter(|((of, _), _)| *of == attack) {
                match saw {
                    Saw::Status(status) => write!(f, "{gap}{status}: {count}")?,
                    saw => write!(f, "{gap}{saw:?}: {count}")?,
                }
                gap = ", ";
            }
            writeln!(f, ")")?;
        }
        Ok(())
    }
}
