use std::{fmt, ptr};

use tracing::{Metadata, field::Field};

use super::{
    field_visitor::{CUSTOM_FIELDS, plain_name},
    ids::id_position,
    line_format::LineFormat,
};
use crate::{track::ACCESS_TARGET, util::append_map::AppendMap};

/// The number of callsites whose fields are kept, per layer. Those of further callsites are looked at for each event.
const MAX_CALLSITES: usize = 2_048;

/// The part of a line that a field becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldRole {
    Message,
    /// An ID of the call, by its position.
    Id(usize),
    /// The fields of the application, of a line of the access log.
    Custom,
    Plain,
    /// Has the name of another field of the event. The first one that has a value counts.
    Repeated,
}

/// A field of an event.
#[derive(Debug)]
pub(super) struct EventField {
    pub(super) role: FieldRole,
    pub(super) name: &'static str,
    /// The text before the value in the line, the name included.
    pub(super) key: Box<str>,
}

/// The fields of the events of one callsite, in their order; `None` for metadata of an event of the `log` crate, which is not
/// written.
#[derive(Debug)]
pub(super) struct EventFields(Box<[Option<EventField>]>);

impl EventFields {
    /// Looks at the fields of a callsite. `from_log` tells whether its events are those of the `log` crate.
    pub(super) fn new(format: LineFormat, metadata: &Metadata<'static>, from_log: bool) -> Self {
        let is_access_line = metadata.target() == ACCESS_TARGET;
        let names = metadata.fields().iter();
        let names: Vec<_> = names.map(|field| plain_name(field.name())).collect();
        let role = |name: &str| {
            if name == "message" {
                FieldRole::Message
            } else if let Some(position) = id_position(name) {
                FieldRole::Id(position)
            } else if names.iter().filter(|other| **other == name).count() > 1 {
                FieldRole::Repeated
            } else if is_access_line && name == CUSTOM_FIELDS {
                FieldRole::Custom
            } else {
                FieldRole::Plain
            }
        };
        let fields = names.iter().map(|name| {
            let is_hidden = from_log && name.starts_with("log.");
            (!is_hidden).then(|| EventField {
                role: role(name),
                name,
                key: format.key(name).into(),
            })
        });
        EventFields(fields.collect())
    }

    /// Returns what is known of a field; `None` if it is not written.
    pub(super) fn get(&self, field: &Field) -> Option<&EventField> {
        self.0.get(field.index())?.as_ref()
    }
}

/// The fields of all callsites that a layer has seen.
pub(super) struct KnownFields(AppendMap<(&'static Metadata<'static>, EventFields)>);

impl fmt::Debug for KnownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownFields").finish_non_exhaustive()
    }
}

impl Default for KnownFields {
    fn default() -> Self {
        KnownFields(AppendMap::new(MAX_CALLSITES))
    }
}

impl KnownFields {
    /// Calls a closure with the fields of a callsite, which `make` returns if they are not known.
    pub(super) fn with<R>(
        &self,
        metadata: &'static Metadata<'static>,
        make: impl Fn() -> EventFields,
        work: impl FnOnce(&EventFields) -> R,
    ) -> R {
        // The address is that of a constant, or of a callsite that is never freed.
        let hash = spread(ptr::from_ref(metadata).addr());
        let matches = |known: &(&Metadata<'_>, EventFields)| ptr::eq(known.0, metadata);
        let known = self.0.find(hash, matches).or_else(|| {
            self.0
                .find_or_insert(hash, matches, |_| Some((metadata, make())), || ())
        });
        match known {
            Some((_, fields)) => work(fields),
            None => work(&make()),
        }
    }
}

/// Returns a hash of an address, whose low bits are the same for all.
fn spread(address: usize) -> u64 {
    (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{Arc, Mutex},
    };

    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    type SeenMetadata = Arc<Mutex<Vec<&'static Metadata<'static>>>>;

    struct Seen(SeenMetadata);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("no panic").push(event.metadata());
        }
    }

    fn metadata_of(emit: impl FnOnce()) -> Vec<&'static Metadata<'static>> {
        let seen = SeenMetadata::default();
        let subscriber = tracing_subscriber::registry().with(Seen(seen.clone()));
        tracing::subscriber::with_default(subscriber, emit);
        seen.lock().expect("no panic").clone()
    }

    fn roles(
        format: LineFormat,
        from_log: bool,
        emit: impl FnOnce(),
    ) -> Vec<Option<(FieldRole, String)>> {
        let EventFields(fields) = EventFields::new(format, metadata_of(emit)[0], from_log);
        let fields = fields.iter();
        fields
            .map(|field| Some((field.as_ref()?.role, field.as_ref()?.key.to_string())))
            .collect()
    }

    #[test]
    fn event_fields_have_roles_and_keys_by_name() {
        use FieldRole::{Custom, Id, Message, Plain, Repeated};
        let key = |role, key: &str| Some((role, key.to_owned()));
        let emit = || {
            tracing::info!(
                fields = 1,
                trace_id = 2,
                level = 3,
                r#type = 4,
                log.line = 5,
                "text"
            );
        };
        let plain = [
            key(Message, ",\"message\":"),
            key(Plain, ",\"fields\":"),
            key(Id(2), ",\"trace_id\":"),
            key(Plain, ",\"field.level\":"),
            key(Plain, ",\"type\":"),
            key(Plain, ",\"log.line\":"),
        ];
        assert_eq!(roles(LineFormat::Json, false, emit), plain);
        let mut from_log = plain.clone();
        from_log[5] = None;
        assert_eq!(roles(LineFormat::Json, true, emit), from_log);

        let pretty = LineFormat::Pretty { colors: false };
        let repeated = roles(pretty, false, || {
            tracing::info!(target: ACCESS_TARGET, a = 1, fields = 2, b = 3, a = 4);
        });
        let expected = [
            key(Repeated, " a="),
            key(Custom, " fields="),
            key(Plain, " b="),
            key(Repeated, " a="),
        ];
        assert_eq!(repeated, expected);
    }

    #[test]
    fn event_fields_are_made_once_per_callsite_as_far_as_there_is_room() {
        let metadata = metadata_of(|| {
            tracing::info!(first = 1);
            tracing::info!(second = 2);
        });
        let (known, made) = (KnownFields(AppendMap::new(1)), Cell::new(0));
        let first_key = |at: usize| {
            let make = || {
                made.set(made.get() + 1);
                EventFields::new(LineFormat::Json, metadata[at], false)
            };
            known.with(metadata[at], make, |fields| {
                fields.0[0].as_ref().map(|field| field.key.to_string())
            })
        };
        let first = Some(",\"first\":".to_owned());
        assert_eq!([first_key(0), first_key(0)], [first.clone(), first]);
        assert_eq!(made.get(), 1);
        let second = Some(",\"second\":".to_owned());
        assert_eq!([first_key(1), first_key(1)], [second.clone(), second]);
        assert_eq!(made.get(), 3);
        assert_eq!(format!("{known:?}"), "KnownFields { .. }");
    }

    #[test]
    fn addresses_are_spread_over_the_low_bits() {
        let slots = (0..64_usize).map(|at| spread(0x5500_0000 + at * 64) % 128);
        let mut slots: Vec<_> = slots.collect();
        slots.sort_unstable();
        slots.dedup();
        assert!(slots.len() > 40, "{slots:?}");
    }
}
