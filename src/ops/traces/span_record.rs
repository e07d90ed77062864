use crate::call::Outcome;

/// The span that caused another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    None,
    /// A span of the same segment, by its index. It came before.
    Index(u32),
    /// A span by its ID: of another process, or of another segment of the trace.
    Id(u64),
}

/// The role that a span has in the call of which it is a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SpanKind {
    #[default]
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
    /// An [`operation`](crate::operation()).
    Operation,
}

impl SpanKind {
    pub(crate) const ALL: [SpanKind; 6] = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
        SpanKind::Operation,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Operation => "operation",
        }
    }

    /// Returns the kind that `otel.kind` names.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = SpanKind::ALL.into_iter();
        all.find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// The part of a span that has a fixed size. Times are nanoseconds since the base of its segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SpanRecord {
    pub(crate) id: u64,
    pub(crate) parent: Parent,
    pub(crate) start: u64,
    /// `None` while it is open.
    pub(crate) end: Option<u64>,
    /// The time in which code ran in it.
    pub(crate) busy: u64,
    pub(crate) callsite: u16,
    pub(crate) kind: SpanKind,
    pub(crate) outcome: Option<Outcome>,
    /// True if it is one of this crate, whose outcome says whether it failed.
    pub(crate) is_own: bool,
    /// True if it failed: by its outcome, or by an event where there is none.
    pub(crate) is_error: bool,
    /// True if an event in it is an error.
    pub(crate) has_error_event: bool,
    /// True if the beginning of the span is in an earlier segment.
    pub(crate) is_continued: bool,
    /// The number of values that it carries, those that replaced earlier ones included.
    pub(crate) values: u8,
    pub(crate) events: u8,
    pub(crate) links: u8,
}

impl SpanRecord {
    pub(super) fn new(id: u64, parent: Parent, start: u64, kind: SpanKind) -> Self {
        SpanRecord {
            id,
            parent,
            start,
            end: None,
            busy: 0,
            callsite: 0,
            kind,
            outcome: None,
            is_own: false,
            is_error: false,
            has_error_event: false,
            is_continued: false,
            values: 0,
            events: 0,
            links: 0,
        }
    }

    /// Takes over what a later segment knows of the same span.
    pub(super) fn continue_with(&mut self, later: &SpanRecord) {
        self.end = later.end.or(self.end);
        self.busy = self.busy.max(later.busy);
        self.outcome = later.outcome.or(self.outcome);
        self.is_error |= later.is_error;
        self.has_error_event |= later.has_error_event;
        self.events = self.events.saturating_add(later.events);
    }
}
