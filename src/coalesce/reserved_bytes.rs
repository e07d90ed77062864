use std::{fmt, sync::Arc};

use super::shared::CoalesceShared;

/// The bytes that one body takes of those that all shared bodies may take together. Its drop gives them back.
pub struct ReservedBytes {
    shared: Arc<CoalesceShared>,
    bytes: usize,
}

impl ReservedBytes {
    /// Creates a reservation of nothing.
    pub(super) fn new(shared: Arc<CoalesceShared>) -> Self {
        ReservedBytes { shared, bytes: 0 }
    }

    /// Reserves so many bytes in all, unless it has as many. Returns whether they fit; otherwise it stays as it is.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = more == 0 || self.shared.reserve_bytes(more);
        if fits {
            self.bytes = self.bytes.max(bytes);
        }
        fits
    }

    /// Gives back all but so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.shared.release_bytes(less);
    }
}

impl Drop for ReservedBytes {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl fmt::Debug for ReservedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservedBytes")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::coalesce::CoalesceSettings;

    const MAX: u32 = 100;

    fn shared() -> Arc<CoalesceShared> {
        let settings = CoalesceSettings {
            max_bytes_in_flight: MAX,
            ..CoalesceSettings::default()
        };
        Arc::new(CoalesceShared::new("bytes".into(), settings))
    }

    #[test]
    fn reservation_grows_up_to_the_bound_and_its_drop_gives_it_back() {
        let shared = shared();
        let reserve = || ReservedBytes::new(shared.clone());
        let used = || shared.stats().bytes_in_flight;
        let (mut one, mut other) = (reserve(), reserve());
        assert!(one.grow_to(60) && other.grow_to(40) && one.grow_to(10));
        assert_eq!(used(), 100);
        assert!(!other.grow_to(41));
        assert_eq!(used(), 100);
        one.shrink_to(59);
        assert!(other.grow_to(41));
        other.shrink_to(500);
        assert_eq!(used(), 100);
        drop(one);
        assert_eq!(used(), 41);
        drop(other);
        assert_eq!(used(), 0);
        assert!(!reserve().grow_to(usize::MAX));
        assert_eq!(used(), 0);
    }

    proptest! {
        #[test]
        fn bytes_in_flight_are_the_sum_of_all_reservations(
            steps in vec((0..4_usize, 0..3_u8, 0..120_usize), 1..60),
        ) {
            let shared = shared();
            let mut bodies: [Option<ReservedBytes>; 4] = Default::default();
            for (index, step, bytes) in steps {
                match step {
                    0 => bodies[index] = None,
                    1 => if let Some(body) = &mut bodies[index] {
                        body.shrink_to(bytes);
                    },
                    _ => {
                        let body = bodies[index].get_or_insert_with(|| ReservedBytes::new(shared.clone()));
                        let before = body.bytes;
                        let fits = body.grow_to(bytes);
                        prop_assert_eq!(body.bytes, if fits { before.max(bytes) } else { before });
                    }
                }
                let sum: usize = bodies.iter().flatten().map(|body| body.bytes).sum();
                prop_assert_eq!(shared.stats().bytes_in_flight, sum as u64);
                prop_assert!(sum <= MAX as usize);
            }
            drop(bodies);
            prop_assert_eq!(shared.stats().bytes_in_flight, 0);
        }
    }
}
