/// A part of the frames that a viewer can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushChannel {
    Metrics,
    Guards,
    Health,
    Errors,
    Alerts,
    Journal,
    Workflows,
    Logs,
    Traces,
}

impl PushChannel {
    pub(crate) const ALL: [PushChannel; 9] = [
        PushChannel::Metrics,
        PushChannel::Guards,
        PushChannel::Health,
        PushChannel::Errors,
        PushChannel::Alerts,
        PushChannel::Journal,
        PushChannel::Workflows,
        PushChannel::Logs,
        PushChannel::Traces,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            PushChannel::Metrics => "metrics",
            PushChannel::Guards => "guards",
            PushChannel::Health => "health",
            PushChannel::Errors => "errors",
            PushChannel::Alerts => "alerts",
            PushChannel::Journal => "journal",
            PushChannel::Workflows => "workflows",
            PushChannel::Logs => "logs",
            PushChannel::Traces => "traces",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut all = PushChannel::ALL.into_iter();
        all.find(|channel| channel.as_str() == text)
    }
}

/// A set of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels(u16);

impl Channels {
    pub(crate) const NONE: Channels = Channels(0);
    pub(crate) const ALL: Channels = Channels((1 << PushChannel::ALL.len()) - 1);
    /// The channels of a viewer that asks for none: all but what most do not look at.
    pub(crate) const DEFAULT: Channels =
        Channels(Channels::ALL.0 & !(1 << PushChannel::Logs as u16));

    /// Parses names with commas in between.
    ///
    /// # Errors
    ///
    /// Returns the first name that is no channel's.
    pub(crate) fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut channels = Channels::NONE;
        for name in names {
            channels.insert(PushChannel::parse(name).ok_or(name)?);
        }
        Ok(channels)
    }

    pub(crate) fn insert(&mut self, channel: PushChannel) {
        self.0 |= 1 << channel as u16;
    }

    pub(super) fn remove(&mut self, channel: PushChannel) {
        self.0 &= !(1 << channel as u16);
    }

    pub(crate) fn contains(self, channel: PushChannel) -> bool {
        self.0 & (1 << channel as u16) != 0
    }

    pub(super) fn without(self, other: Channels) -> Channels {
        Channels(self.0 & !other.0)
    }

    pub(super) fn union(self, other: Channels) -> Channels {
        Channels(self.0 | other.0)
    }

    pub(super) fn intersection(self, other: Channels) -> Channels {
        Channels(self.0 & other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Channels::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_parse_their_names() {
        for channel in PushChannel::ALL {
            let one = Channels::parse([channel.as_str()]).expect("a channel");
            let held = PushChannel::ALL
                .into_iter()
                .filter(|other| one.contains(*other));
            assert_eq!(held.collect::<Vec<_>>(), [channel]);
        }
        assert_eq!(
            Channels::parse(PushChannel::ALL.map(PushChannel::as_str)),
            Ok(Channels::ALL)
        );
        assert_eq!(Channels::parse("metrics,guard".split(',')), Err("guard"));
        assert!(Channels::parse([]).expect("none").is_empty());
    }

    #[test]
    fn channels_have_union_intersection_and_difference() {
        let [a, b] = ["metrics,guards", "guards,health"]
            .map(|names| Channels::parse(names.split(',')).expect("channels"));
        assert_eq!(
            a.intersection(b),
            Channels::parse(["guards"]).expect("a channel")
        );
        let all = ["metrics", "guards", "health"];
        assert_eq!(a.union(b), Channels::parse(all).expect("channels"));
        assert_eq!(
            a.without(b),
            Channels::parse(["metrics"]).expect("a channel")
        );
        let mut removed = a;
        removed.remove(PushChannel::Guards);
        removed.remove(PushChannel::Health);
        assert_eq!(removed, a.without(b));
    }
}
