use std::fmt;

/// The fields that the records of a group have in common. `Display` writes them as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupingKey<'a> {
    /// The kind.
    pub(super) kind: &'a str,
    /// The route.
    pub(super) route: Option<&'a str>,
    /// The normalized message.
    pub(super) message: &'a str,
    /// The normalized last cause.
    pub(super) cause: Option<&'a str>,
    /// The location, without the directories of one machine.
    pub(super) location: Option<&'a str>,
    /// The version of the grouping.
    pub(super) version: u8,
    /// True if only kind and route were compared, because these already had `max_variants` messages.
    pub(super) overflow: bool,
}

impl fmt::Display for GroupingKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "same kind {:?}", self.kind)?;
        match self.route {
            Some(route) => write!(f, ", route {route:?}")?,
            None => f.write_str(", no route")?,
        }
        if self.overflow {
            f.write_str(" and one message too many to be a group of its own")?;
        } else {
            write!(f, " and message {:?}", self.message)?;
            if let Some(cause) = self.cause {
                write!(f, ", caused by {cause:?}")?;
            }
            if let Some(location) = self.location {
                write!(f, ", at {location}")?;
            }
        }
        write!(f, " (fingerprint version {})", self.version)
    }
}
