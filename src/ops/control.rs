//! Controls of guards by operators, and their end.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{
    core::Core,
    guards::{Hold, HoldAction, HoldEnd},
    journal::{Event, EventKind, Severity},
};
use crate::{
    call::ConfigError,
    registry::{self, GuardAction, Setting, Stat},
};

/// An action of an operator on a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Set something for a time.
    Hold(HoldAction, Duration),
    /// End what was set for a time.
    Release,
    /// Take back what was forced, and forget what was counted.
    Reset,
}

impl Control {
    fn as_str(self) -> &'static str {
        match self {
            Control::Hold(action, _) => action.as_str(),
            Control::Release => "release",
            Control::Reset => "reset",
        }
    }
}

/// The reason for which a guard was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotControlled {
    /// The guard does not exist.
    NoGuard,
    /// The guards of this kind and name do not have the action.
    NoAction,
    /// The guard is not held, and cannot be released.
    NotHeld,
    /// The number of guards that are held is at its limit.
    TooManyHolds,
}

/// The reason for which a setting was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotSet {
    /// The guard does not exist.
    NoGuard,
    /// The guards of this kind and name do not have the setting.
    NoSetting,
    /// The guard cannot have this value.
    Invalid(ConfigError),
}

/// Acts on a guard for an operator, and records it. Returns the number of the event.
///
/// A hold ends before anything else is done: the guard is as it was before the hold.
pub(super) fn control(
    core: &Core,
    (kind, name): (&str, &str),
    control: Control,
    (who, reason): (Option<&str>, &str),
    now: Instant,
) -> Result<u64, NotControlled> {
    let alone = core.control_alone();
    let before = GuardMode::of(kind, name).ok_or(NotControlled::NoGuard)?;
    apply(core, (kind, name), control, now)?;
    let after = GuardMode::of(kind, name).map(GuardMode::words);
    drop(alone);
    let word = control.as_str();
    let seconds = match control {
        Control::Hold(_, time) => Some(time.as_secs()),
        Control::Release | Control::Reset => None,
    };
    let text = match seconds {
        Some(seconds) => format!("{word} for {seconds} s: {reason}"),
        None => format!("{word}: {reason}"),
    };
    let event = Event::new(EventKind::Control, Severity::Warning, name, text)
        .with_who(who)
        .with("kind", kind)
        .with("action", word)
        .with("before", before.words())
        .with("after", after)
        .with("seconds", seconds)
        .with("reason", reason);
    Ok(core.audit(event))
}

/// Changes a setting of a guard for an operator, and records it. Returns the number of the event.
pub(super) fn set(
    core: &Core,
    (kind, name): (&str, &str),
    (setting, value): (&str, Option<f64>),
    (who, reason): (Option<&str>, &str),
) -> Result<u64, NotSet> {
    let alone = core.control_alone();
    GuardMode::of(kind, name).ok_or(NotSet::NoGuard)?;
    let before = setting_of(kind, name, setting).ok_or(NotSet::NoSetting)?;
    registry::set(kind, name, setting, value).map_err(NotSet::Invalid)?;
    // As it is now: something else may have changed it, too.
    let after = setting_of(kind, name, setting).unwrap_or(value);
    drop(alone);
    let word =
        |value: Option<f64>| value.map_or_else(|| "off".to_owned(), |value| value.to_string());
    let (before, after) = (word(before), word(after));
    let text = format!("{setting} is {after}, was {before}: {reason}");
    let event = Event::new(EventKind::Control, Severity::Warning, name, text)
        .with_who(who)
        .with("kind", kind)
        .with("action", "set")
        .with("setting", setting)
        .with("before", before)
        .with("after", after)
        .with("reason", reason);
    Ok(core.audit(event))
}

/// Returns the value of a setting of the first guard of this kind and name.
fn setting_of(kind: &str, name: &str, setting: &str) -> Option<Option<f64>> {
    let all = registry::snapshots();
    let mut meant = all
        .iter()
        .filter(|guard| guard.kind() == kind && guard.name() == name);
    let found = meant.find_map(|guard| guard.settings().iter().find(|each| each.name() == setting));
    found.map(Setting::value)
}

/// Ends the holds whose time is over.
pub(super) fn end_holds(core: &Core, now: Instant) {
    let _alone = core.control_alone();
    let ended = core.holds().take_ended(now);
    for hold in ended {
        let word = hold.action.as_str();
        let reason = match hold.end() {
            HoldEnd::Held => "its time is over",
            HoldEnd::Changed => "the guard was changed meanwhile",
            HoldEnd::Gone => "the guard is gone",
        };
        let text = format!("{word} has ended: {reason}");
        let after = GuardMode::of(&hold.kind, &hold.name).map(GuardMode::words);
        let event = Event::new(EventKind::Control, Severity::Info, &hold.name, text);
        let event = event.with("kind", &*hold.kind).with("action", word);
        core.audit(event.with("after", after));
    }
}

fn apply(
    core: &Core,
    (kind, name): (&str, &str),
    control: Control,
    now: Instant,
) -> Result<(), NotControlled> {
    let (held, is_full) = {
        let holds = core.holds();
        (holds.get(kind, name).cloned(), holds.is_full())
    };
    let begin = match control {
        Control::Hold(..) if held.is_none() && is_full => {
            return Err(NotControlled::TooManyHolds);
        }
        Control::Hold(action, _) => Some(action.begin()),
        Control::Reset => Some(GuardAction::Reset),
        Control::Release if held.is_none() => return Err(NotControlled::NotHeld),
        Control::Release => None,
    };
    if begin.is_some_and(|action| !has_action(kind, name, action)) {
        return Err(NotControlled::NoAction);
    }
    // What was there before the first of several holds, unless somebody else has changed the guard since.
    let in_force = held.as_ref().filter(|hold| hold.find() == HoldEnd::Held);
    let before = in_force.map_or_else(|| GuardMode::common(kind, name), |hold| hold.before);
    if let Some(hold) = &held {
        core.holds().remove(kind, name);
        // The same again goes on, without a moment in between.
        if !matches!(control, Control::Hold(action, _) if action == hold.action) {
            hold.end();
        }
    }
    if let Some(action) = begin {
        registry::act(kind, name, action);
    }
    if let Control::Hold(action, time) = control {
        core.holds().insert(Hold {
            kind: kind.into(),
            name: name.into(),
            action,
            before,
            until: now + time,
            until_at: SystemTime::now() + time,
        });
    }
    Ok(())
}

fn has_action(kind: &str, name: &str, action: GuardAction) -> bool {
    let all = registry::snapshots();
    let mut meant = all
        .iter()
        .filter(|guard| guard.kind() == kind && guard.name() == name);
    meant.any(|guard| guard.actions().contains(&action))
}

/// The part of a guard that operators can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GuardMode {
    pub(super) state: &'static str,
    pub(super) is_shadow: bool,
}

impl GuardMode {
    /// Returns those of the guards of this kind and name.
    pub(super) fn all(kind: &str, name: &str) -> Vec<Self> {
        let all = registry::snapshots();
        let meant = all
            .iter()
            .filter(|guard| guard.kind() == kind && guard.name() == name);
        let modes = meant.map(|guard| GuardMode {
            state: guard.state(),
            is_shadow: matches!(guard.stat("mode"), Some(Stat::Text(mode)) if mode == "shadow"),
        });
        modes.collect()
    }

    /// Returns the one that all guards of this kind and name have, or else that of a guard that nobody has changed: none of them
    /// may become what only another one was.
    fn common(kind: &str, name: &str) -> Self {
        let modes = GuardMode::all(kind, name);
        match modes.split_first() {
            Some((first, others)) if others.iter().all(|mode| mode == first) => *first,
            _ => GuardMode {
                state: "closed",
                is_shadow: false,
            },
        }
    }

    /// Returns that of the first guard of this kind and name.
    fn of(kind: &str, name: &str) -> Option<Self> {
        GuardMode::all(kind, name).into_iter().next()
    }

    fn words(self) -> String {
        match self.is_shadow {
            true => format!("{}, shadow", self.state),
            false => self.state.to_owned(),
        }
    }
}
