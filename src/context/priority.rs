use std::{fmt, str::FromStr, sync::OnceLock};

use http::{HeaderName, HeaderValue};

use super::{InvalidPriority, PriorityClass, scope};

/// The levels of a class.
pub(crate) const LEVELS: u16 = 100;
/// The levels of all classes.
pub(crate) const ALL_LEVELS: usize = LEVELS as usize * PriorityClass::ALL.len();
/// The header that carries a priority by default.
pub(crate) const PRIORITY_HEADER: HeaderName = HeaderName::from_static("x-request-priority");
/// The part of the text between the class and the level: a parameter of a structured field (RFC 9651).
const LEVEL_PARAMETER: &str = ";level=";

/// The priority of a call: one of five classes, and within that one of a hundred levels.
///
/// Among calls of one class, those with the higher level are shed later. A priority without a level gets a random one from the first
/// [`Prioritizer`](crate::priority::Prioritizer) that the call passes; from then on it has that, in this process and in all that it calls, so
/// that what is shed in one place is not served in vain in another.
///
/// As text, and in the header, it is the class, with the level as a parameter: `high` or `high;level=42`.
///
/// ```
/// use tower_keep::priority::{Priority, PriorityClass};
///
/// let priority: Priority = "high;level=42".parse()?;
/// assert_eq!(priority, Priority::new(PriorityClass::High).with_level(42));
/// assert_eq!(priority.to_string(), "high;level=42");
/// assert!("urgent".parse::<Priority>().is_err());
/// # Ok::<_, tower_keep::priority::InvalidPriority>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Priority {
    class: PriorityClass,
    level: Option<u8>,
}

impl Priority {
    /// Creates a priority of this class, without a level.
    pub const fn new(class: PriorityClass) -> Self {
        Priority { class, level: None }
    }

    /// Sets the level, from 0, which is shed first, to 99. Higher ones count as 99.
    ///
    /// ```
    /// use tower_keep::priority::{Priority, PriorityClass};
    ///
    /// let paying = Priority::new(PriorityClass::Normal).with_level(80);
    /// assert_eq!((paying.class(), paying.level()), (PriorityClass::Normal, Some(80)));
    /// ```
    #[must_use]
    pub const fn with_level(self, level: u8) -> Self {
        const MAX: u8 = LEVELS as u8 - 1;
        let level = if level > MAX { MAX } else { level };
        Priority {
            class: self.class,
            level: Some(level),
        }
    }

    /// Returns the class.
    pub const fn class(self) -> PriorityClass {
        self.class
    }

    /// Returns the level; `None` if it has none yet.
    pub const fn level(self) -> Option<u8> {
        self.level
    }

    /// Returns the priority of the call that this thread works on: that of its [`Context`](crate::Context), else the one that a
    /// [`Prioritizer`](crate::priority::Prioritizer) around it has found.
    ///
    /// ```
    /// use tower_keep::priority::Priority;
    ///
    /// assert_eq!(Priority::current(), None, "no layer runs this example");
    /// ```
    pub fn current() -> Option<Priority> {
        scope::call_priority().map(|call| call.priority)
    }

    /// Returns the index among all levels; that of the middle of its class where it has no level.
    pub(crate) fn index(self) -> usize {
        let level = self.level.map_or(LEVELS / 2, u16::from);
        usize::from(self.class as u16 * LEVELS + level)
    }

    /// Returns whether this is the other priority, or what that is before it has got its level.
    pub(crate) fn is_leveled(self, other: Priority) -> bool {
        self.class == other.class && (other.level.is_none() || other.level == self.level)
    }

    /// Parses the value of a header. Looks at no more bytes than a priority can have.
    pub(crate) fn from_header(value: &HeaderValue) -> Result<Self, InvalidPriority> {
        value.to_str().map_err(|_| InvalidPriority)?.parse()
    }

    /// Returns the value of a header. Those of all levels are made once, so that sending one allocates nothing.
    pub(crate) fn to_header_value(self) -> HeaderValue {
        static VALUES: OnceLock<Vec<HeaderValue>> = OnceLock::new();
        let Some(_) = self.level else {
            return HeaderValue::from_static(self.class.as_str());
        };
        let values = VALUES.get_or_init(|| {
            let all = PriorityClass::ALL.into_iter().flat_map(|class| {
                (0..LEVELS as u8).map(move |level| Priority::new(class).with_level(level))
            });
            let value = |priority: Priority| HeaderValue::try_from(priority.to_string());
            all.map(|priority| value(priority).expect("ASCII letters and digits"))
                .collect()
        });
        values[self.index()].clone()
    }
}

impl From<PriorityClass> for Priority {
    fn from(class: PriorityClass) -> Self {
        Priority::new(class)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.as_str())?;
        match self.level {
            Some(level) => write!(f, "{LEVEL_PARAMETER}{level}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Priority {
    type Err = InvalidPriority;

    fn from_str(text: &str) -> Result<Self, InvalidPriority> {
        let (class, level) = match text.split_once(LEVEL_PARAMETER) {
            Some((class, level)) => (class, Some(parse_level(level)?)),
            None => (text, None),
        };
        let class = PriorityClass::ALL
            .into_iter()
            .find(|known| known.as_str() == class)
            .ok_or(InvalidPriority)?;
        Ok(Priority { class, level })
    }
}

/// Parses a level as it is written: one or two digits, without a sign or a leading zero.
fn parse_level(text: &str) -> Result<u8, InvalidPriority> {
    match *text.as_bytes() {
        [ones @ b'0'..=b'9'] => Ok(ones - b'0'),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => Ok((tens - b'0') * 10 + (ones - b'0')),
        _ => Err(InvalidPriority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_of_a_level_is_its_place_among_all_of_them() {
        let all: Vec<_> = PriorityClass::ALL
            .into_iter()
            .flat_map(|class| (0..100).map(move |level| Priority::new(class).with_level(level)))
            .collect();
        assert_eq!(all.len(), ALL_LEVELS);
        for (index, priority) in all.iter().enumerate() {
            assert_eq!(priority.index(), index);
            let value = priority.to_header_value();
            assert_eq!(value, *priority.to_string());
            assert_eq!(Priority::from_header(&value), Ok(*priority));
        }
        assert_eq!(Priority::new(PriorityClass::Low).index(), 150);
        let class_alone = Priority::new(PriorityClass::Low);
        assert_eq!(class_alone.to_header_value(), "low");
    }

    #[test]
    fn priority_is_leveled_if_it_differs_at_most_by_a_level_that_was_missing() {
        let low = Priority::new(PriorityClass::Low);
        assert!(low.with_level(3).is_leveled(low));
        assert!(low.with_level(3).is_leveled(low.with_level(3)));
        assert!(!low.with_level(3).is_leveled(low.with_level(4)));
        assert!(!low.is_leveled(PriorityClass::High.into()));
    }
}
