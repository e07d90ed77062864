use std::sync::Arc;

use tracing::{Level, Metadata};

/// The place in the code at which spans or events are made, with the names of their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callsite {
    pub(crate) name: Box<str>,
    pub(crate) target: Box<str>,
    pub(crate) level: Box<str>,
    /// File and line.
    pub(crate) location: Option<Box<str>>,
    pub(crate) fields: Box<[Box<str>]>,
}

impl Callsite {
    pub(super) fn new(metadata: &Metadata<'_>) -> Arc<Self> {
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let line = |file: &str| match metadata.line() {
            Some(line) => format!("{file}:{line}").into(),
            None => file.into(),
        };
        let fields = metadata.fields().iter();
        // The mark of a name that is a keyword.
        let fields = fields.map(|field| field.name().trim_start_matches("r#").into());
        Arc::new(Callsite {
            name: metadata.name().into(),
            target: metadata.target().into(),
            level: level.into(),
            location: metadata.file().map(line),
            fields: fields.collect(),
        })
    }

    /// Returns the name of a field.
    pub(crate) fn field(&self, index: u8) -> Option<&str> {
        self.fields.get(usize::from(index)).map(|name| &**name)
    }

    /// Returns the index of a field.
    pub(crate) fn index_of(&self, field: &str) -> Option<u8> {
        let index = self.fields.iter().position(|name| &**name == field)?;
        u8::try_from(index).ok()
    }
}
