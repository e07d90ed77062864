//! Bulkheads beside a model: never more in flight than the limit allows, and nobody waits while a slot is free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    bulkhead::{AcquireFuture, Bulkhead, BulkheadPermit, QueueOrder},
    testing::CountingWaker,
};

use crate::support::storm::InFlight;

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    TryAcquire,
    End(prop::sample::Index),
    Leave(prop::sample::Index),
    Resize(u32),
    Order(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Step::Acquire),
        2 => Just(Step::TryAcquire),
        4 => which().prop_map(Step::End),
        2 => which().prop_map(Step::Leave),
        1 => (1..5_u32).prop_map(Step::Resize),
        1 => any::<bool>().prop_map(Step::Order),
    ]
}

type Waiting = (CountingWaker, std::pin::Pin<Box<AcquireFuture>>);

proptest! {
    #[test]
    fn bulkhead_takes_no_slot_too_many_and_leaves_none_free_while_somebody_waits(
        steps in prop::collection::vec(step(), 0..150)
    ) {
        // No timer is needed: nothing waits until a moment.
        let builder = Bulkhead::builder("model").limit(2).queue_limit(1_000);
        let bulkhead = builder.wait_limit(None).build().expect("valid settings");
        let mut permits: Vec<BulkheadPermit> = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        for step in steps {
            let (before, limit) = (bulkhead.in_flight(), bulkhead.limit());
            match step {
                Step::Acquire => {
                    let wakes = CountingWaker::new();
                    let mut future = Box::pin(bulkhead.acquire());
                    match wakes.poll(future.as_mut()) {
                        Poll::Ready(result) => permits.push(result.expect("free")),
                        Poll::Pending => waiting.push((wakes, future)),
                    }
                }
                Step::TryAcquire => {
                    let result = bulkhead.try_acquire();
                    prop_assert_eq!(result.is_ok(), before < limit);
                    permits.extend(result);
                }
                Step::End(which) if !permits.is_empty() => {
                    drop(permits.swap_remove(which.index(permits.len())));
                }
                Step::Leave(which) if !waiting.is_empty() => {
                    drop(waiting.remove(which.index(waiting.len())));
                }
                Step::Resize(limit) => {
                    let mut settings = bulkhead.settings();
                    settings.limit = limit;
                    bulkhead.apply(&settings).expect("valid settings");
                }
                Step::Order(lifo) => {
                    let mut settings = bulkhead.settings();
                    settings.queue_order = if lifo { QueueOrder::Lifo } else { QueueOrder::Fifo };
                    bulkhead.apply(&settings).expect("valid settings");
                }
                Step::End(_) | Step::Leave(_) => {}
            }
            // Only those that were woken are polled: a wake that is lost is a slot that stays free.
            let mut woken = 0;
            let mut index = 0;
            while index < waiting.len() {
                let (wakes, future) = &mut waiting[index];
                if wakes.count() == 0 {
                    index += 1;
                    continue;
                }
                woken += 1;
                let polled = wakes.poll(future.as_mut());
                let Poll::Ready(result) = polled else {
                    return Err(TestCaseError::fail("woken for nothing"));
                };
                permits.push(result.expect("a slot"));
                drop(waiting.remove(index));
            }
            let (in_flight, limit) = (bulkhead.in_flight(), bulkhead.limit());
            prop_assert_eq!(in_flight as usize, permits.len());
            prop_assert!(in_flight <= limit.max(before), "{} of {}", in_flight, limit);
            prop_assert!(woken == 0 || in_flight <= limit);
            prop_assert!(waiting.is_empty() || in_flight >= limit, "a slot is free");
            prop_assert_eq!(bulkhead.stats().queued as usize, waiting.len());
        }
        drop((permits, waiting));
        prop_assert_eq!(bulkhead.in_flight(), 0);
        prop_assert!(bulkhead.try_acquire().is_ok());
    }
}

/// Calls from several threads, dropped at random, while the limit changes.
#[test]
fn peak_in_flight_stays_within_the_limit_over_threads_drops_and_resizes() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let builder = Bulkhead::builder("threads").limit(4).queue_limit(50);
        let bulkhead = builder.build().expect("valid settings");
        let in_flight = InFlight::default();
        let served = Arc::new(AtomicUsize::new(0));
        let layer = bulkhead.layer().any();
        let service = layer.layer(service_fn({
            let (in_flight, served) = (in_flight.clone(), served.clone());
            move |yields: u32| {
                let (token, served) = (in_flight.enter(), served.clone());
                async move {
                    let _token = token;
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                    if yields == 7 {
                        std::panic::resume_unwind(Box::new("a call"));
                    }
                    Ok::<_, BoxError>(())
                }
            }
        }));
        let calls: Vec<_> = (0..64_u64)
            .map(|seed| {
                let (service, bulkhead) = (service.clone(), bulkhead.clone());
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..300 {
                        let call = tokio::spawn(service.clone().oneshot(random.u32(0..8)));
                        match random.u8(..) {
                            0..40 => call.abort(),
                            40..44 => {
                                let mut settings = bulkhead.settings();
                                settings.limit = random.u32(1..=4);
                                bulkhead.apply(&settings).expect("valid settings");
                            }
                            _ => {}
                        }
                        let _ = call.await;
                    }
                })
            })
            .collect();
        for call in calls {
            let end = tokio::time::timeout(Duration::from_secs(60), call).await;
            end.expect("no call is stuck").expect("no panic");
        }
        assert!(in_flight.peak() <= 4);
        assert!(served.load(Ordering::Relaxed) > 1_000);
        assert_eq!(in_flight.count(), 0);
        assert_eq!((bulkhead.in_flight(), bulkhead.stats().queued), (0, 0));
    });
}
