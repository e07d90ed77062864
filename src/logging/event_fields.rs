use tracing::{Metadata, field::Field};

use super::{
    field_visitor::{CUSTOM_FIELDS, plain_name},
    ids::id_position,
    line_format::LineFormat,
};
use crate::track::ACCESS_TARGET;

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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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
        crate::util::test_callsites::ask_all_subscribers();
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
}
