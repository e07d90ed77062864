use std::{fmt, ptr};

use tracing::Metadata;

use super::append_map::AppendMap;

/// The number of callsites that a table knows. What is asked of further ones is found out each time.
const MAX_CALLSITES: usize = 2_048;

/// A table of what is known of each callsite of spans and events, found out once.
pub(crate) struct Callsites<T>(AppendMap<(&'static Metadata<'static>, T)>);

impl<T> Callsites<T> {
    /// Calls a closure with what is known of a callsite, which `make` returns if the callsite is new.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        metadata: &'static Metadata<'static>,
        make: impl Fn() -> T,
        work: impl FnOnce(&T) -> R,
    ) -> R {
        // The address is that of a constant, or of a callsite that is never freed.
        let hash = spread(ptr::from_ref(metadata).addr());
        let matches = |known: &(&Metadata<'_>, T)| ptr::eq::<Metadata<'_>>(known.0, metadata);
        let known = self.0.find(hash, matches).or_else(|| {
            let make = |_| Some((metadata, make()));
            self.0.find_or_insert(hash, matches, make, || ())
        });
        match known {
            Some((_, known)) => work(known),
            None => work(&make()),
        }
    }
}

impl<T> Default for Callsites<T> {
    fn default() -> Self {
        Callsites(AppendMap::new(MAX_CALLSITES))
    }
}

impl<T> fmt::Debug for Callsites<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callsites").finish_non_exhaustive()
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

    #[test]
    fn callsites_are_looked_at_once_as_far_as_there_is_room() {
        crate::util::test_callsites::ask_all_subscribers();
        let seen = SeenMetadata::default();
        let subscriber = tracing_subscriber::registry().with(Seen(seen.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "first", "");
            tracing::info!(target: "second", "");
        });
        let metadata = seen.lock().expect("no panic").clone();
        let (known, made) = (Callsites(AppendMap::new(1)), Cell::new(0));
        let target = |at: usize| {
            let make = || {
                made.set(made.get() + 1);
                metadata[at].target().to_owned()
            };
            known.with(metadata[at], make, String::clone)
        };
        assert_eq!([target(0), target(0)], ["first", "first"]);
        assert_eq!(made.get(), 1);
        assert_eq!([target(1), target(1)], ["second", "second"]);
        assert_eq!(made.get(), 3);
        assert_eq!(format!("{known:?}"), "Callsites { .. }");
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
