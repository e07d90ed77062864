//! The queue beside a model: a list that is searched.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{
    QueueOrder,
    queue::{Removed, Settled, Ticket, WaitQueue},
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn push(queue: &mut WaitQueue) -> Ticket {
    queue.push(None, true, None)
}

fn grant(queue: &mut WaitQueue, order: QueueOrder) -> bool {
    queue.grant_next(order, Instant::now(), &mut Vec::new())
}

#[test]
fn first_is_next_in_fifo_and_last_in_lifo() {
    for (order, granted) in [
        (QueueOrder::Fifo, [true, false, false]),
        (QueueOrder::Lifo, [false, false, true]),
    ] {
        let mut queue = WaitQueue::new();
        let tickets = [(); 3].map(|()| push(&mut queue));
        assert!(grant(&mut queue, order));
        let settled = tickets.map(|ticket| queue.take_settled(&ticket).is_some());
        assert_eq!(settled, granted);
        assert_eq!(queue.len(), 2);
    }
}

#[test]
fn call_that_leaves_leaves_no_hole() {
    let mut queue = WaitQueue::new();
    let [first, second, third] = [(); 3].map(|()| push(&mut queue));
    assert!(matches!(queue.remove(&second), Removed::Waiting(None)));
    let fourth = push(&mut queue);
    for ticket in [&first, &third, &fourth] {
        assert!(queue.take_settled(ticket).is_none());
        assert!(grant(&mut queue, QueueOrder::Fifo));
        assert_eq!(queue.take_settled(ticket), Some(Settled::Granted));
    }
    assert!(queue.is_empty() && !grant(&mut queue, QueueOrder::Fifo));
}

#[test]
fn call_whose_time_is_over_is_passed_over_and_woken() {
    let (mut queue, wakes) = (WaitQueue::new(), Arc::new(Wakes::default()));
    let now = Instant::now();
    let late = queue.push(Some(now), true, None);
    let soon = queue.push(Some(now + SECOND), true, None);
    assert!(queue.set_waker(&late, wakes.clone().into()).is_none());
    let mut wake = Vec::new();
    assert!(queue.grant_next(QueueOrder::Fifo, now, &mut wake));
    assert_eq!(queue.take_settled(&late), Some(Settled::Expired));
    assert_eq!(queue.take_settled(&soon), Some(Settled::Granted));
    wake.into_iter().for_each(Waker::wake);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
}

#[test]
fn oldest_call_is_displaced_and_no_handle() {
    let mut queue = WaitQueue::new();
    let handle = queue.push(None, false, None);
    assert!(!queue.displace_oldest(&mut Vec::new()));
    let [older, newer] = [(); 2].map(|()| push(&mut queue));
    assert_eq!((queue.len(), queue.bounded_len()), (3, 2));
    assert!(queue.displace_oldest(&mut Vec::new()));
    assert_eq!(queue.take_settled(&older), Some(Settled::Displaced));
    assert!(queue.take_settled(&newer).is_none());
    assert!(queue.take_settled(&handle).is_none());
    assert_eq!((queue.len(), queue.bounded_len()), (2, 1));
}

#[test]
fn call_of_the_highest_priority_is_next_and_the_lowest_is_displaced() {
    let mut queue = WaitQueue::new();
    // Prepared for the order while some wait already.
    let unknown = queue.push(None, true, None);
    queue.set_order(QueueOrder::Priority);
    let [low, older, newer] = [0.1, 0.9, 0.9].map(|at| queue.push(None, true, Some(at)));
    assert!(
        !queue.displace_lowest(Some(0.1), &mut Vec::new()),
        "not higher"
    );
    assert!(queue.displace_lowest(Some(0.2), &mut Vec::new()));
    assert_eq!(queue.take_settled(&low), Some(Settled::Displaced));
    for ticket in [older, newer, unknown] {
        assert!(grant(&mut queue, QueueOrder::Priority));
        assert_eq!(queue.take_settled(&ticket), Some(Settled::Granted));
    }
    assert!(!grant(&mut queue, QueueOrder::Priority));
}

#[test]
fn handle_is_not_displaced_by_priority() {
    let mut queue = WaitQueue::new();
    queue.set_order(QueueOrder::Priority);
    let handle = queue.push(None, false, None);
    assert!(!queue.displace_lowest(Some(0.9), &mut Vec::new()));
    let call = queue.push(None, true, Some(0.8));
    assert!(queue.displace_lowest(Some(0.9), &mut Vec::new()));
    assert_eq!(queue.take_settled(&call), Some(Settled::Displaced));
    assert!(queue.take_settled(&handle).is_none());
}

#[test]
fn waker_is_replaced_and_handed_out_where_it_is_not_woken() {
    let mut queue = WaitQueue::new();
    let ticket = push(&mut queue);
    let [one, other] = [(); 2].map(|()| Waker::from(Arc::new(Wakes::default())));
    assert!(!queue.will_wake(&ticket, &one));
    assert!(queue.set_waker(&ticket, one.clone()).is_none());
    assert!(queue.will_wake(&ticket, &one) && !queue.will_wake(&ticket, &other));
    let replaced = queue.set_waker(&ticket, other.clone());
    assert!(replaced.is_some_and(|replaced| replaced.will_wake(&one)));
    assert!(
        matches!(queue.remove(&ticket), Removed::Waiting(Some(waker)) if waker.will_wake(&other))
    );
}

#[test]
fn memory_of_a_long_queue_is_given_back() {
    let mut queue = WaitQueue::new();
    let tickets: Vec<_> = (0..1_000).map(|_| push(&mut queue)).collect();
    for _ in 0..500 {
        assert!(grant(&mut queue, QueueOrder::Lifo));
    }
    for ticket in tickets {
        queue.remove(&ticket);
    }
    assert_eq!(queue.capacity(), 0);
    let again = push(&mut queue);
    assert!(grant(&mut queue, QueueOrder::Fifo));
    assert_eq!(queue.take_settled(&again), Some(Settled::Granted));
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        until: Option<u8>,
        is_bounded: bool,
        quantile: Option<u8>,
    },
    Grant(QueueOrder),
    Displace,
    DisplaceLowest {
        quantile: u8,
    },
    SetOrder(QueueOrder),
    Take {
        which: prop::sample::Index,
    },
    Remove {
        which: prop::sample::Index,
    },
    Advance,
}

fn order() -> impl Strategy<Value = QueueOrder> {
    prop::sample::select(vec![
        QueueOrder::Fifo,
        QueueOrder::Lifo,
        QueueOrder::Priority,
    ])
}

/// Returns a quantile in eighths, which a place keeps exactly enough.
fn eighths(quantile: u8) -> f32 {
    f32::from(quantile) / 8.0
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (prop::option::of(0..6_u8), any::<bool>(), prop::option::of(0..8_u8))
            .prop_map(|(until, is_bounded, quantile)| Step::Push { until, is_bounded, quantile }),
        3 => order().prop_map(Step::Grant),
        1 => Just(Step::Displace),
        1 => (0..8_u8).prop_map(|quantile| Step::DisplaceLowest { quantile }),
        1 => order().prop_map(Step::SetOrder),
        2 => which().prop_map(|which| Step::Take { which }),
        2 => which().prop_map(|which| Step::Remove { which }),
        1 => Just(Step::Advance),
    ]
}

/// Those that wait in the order in which they came, and what has become of the others.
#[derive(Default)]
struct Model {
    waiting: Vec<Waits>,
    settled: HashMap<usize, Settled>,
}

#[derive(Clone, Copy)]
struct Waits {
    id: usize,
    until: Option<Instant>,
    is_bounded: bool,
    /// In eighths.
    quantile: u8,
}

impl Model {
    fn next(&self, order: QueueOrder) -> usize {
        let last = self.waiting.len() - 1;
        match order {
            QueueOrder::Fifo => 0,
            QueueOrder::Lifo => last,
            QueueOrder::Priority => {
                let highest = self.waiting.iter().map(|call| call.quantile).max();
                let mut all = self.waiting.iter();
                all.position(|call| Some(call.quantile) == highest)
                    .unwrap_or(last)
            }
        }
    }

    fn grant(&mut self, order: QueueOrder, now: Instant) -> bool {
        while !self.waiting.is_empty() {
            let next = self.next(order);
            let Waits { id, until, .. } = self.waiting.remove(next);
            let is_expired = until.is_some_and(|until| until <= now);
            let settled = if is_expired {
                Settled::Expired
            } else {
                Settled::Granted
            };
            self.settled.insert(id, settled);
            if !is_expired {
                return true;
            }
        }
        false
    }

    fn displace(&mut self) -> bool {
        let oldest = self.waiting.iter().position(|call| call.is_bounded);
        self.settle_displaced(oldest)
    }

    fn displace_lowest(&mut self, quantile: u8) -> bool {
        let bounded = self.waiting.iter().filter(|call| call.is_bounded);
        let lowest = bounded.map(|call| call.quantile).min();
        let lowest = lowest.filter(|lowest| *lowest < quantile);
        // The one that came last.
        let found = lowest.and_then(|lowest| {
            let mut all = self.waiting.iter();
            all.rposition(|call| call.is_bounded && call.quantile == lowest)
        });
        self.settle_displaced(found)
    }

    fn settle_displaced(&mut self, index: Option<usize>) -> bool {
        let displaced = index.map(|index| self.waiting.remove(index).id);
        displaced.map(|id| self.settled.insert(id, Settled::Displaced));
        displaced.is_some()
    }
}

proptest! {
    #[test]
    fn queue_does_what_a_list_does(steps in prop::collection::vec(step(), 0..200)) {
        let (mut queue, mut model) = (WaitQueue::new(), Model::default());
        let mut tickets: Vec<(usize, Ticket)> = Vec::new();
        let (mut now, mut order) = (Instant::now(), QueueOrder::Fifo);
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { until, is_bounded, quantile } => {
                    let until = until.map(|seconds| now + u32::from(seconds) * SECOND);
                    tickets.push((id, queue.push(until, is_bounded, quantile.map(eighths))));
                    let quantile = quantile.unwrap_or(4);
                    model.waiting.push(Waits { id, until, is_bounded, quantile });
                }
                Step::Grant(wanted) => {
                    queue.set_order(wanted);
                    order = wanted;
                    let granted = queue.grant_next(order, now, &mut Vec::new());
                    prop_assert_eq!(granted, model.grant(order, now));
                }
                Step::SetOrder(wanted) => {
                    queue.set_order(wanted);
                    order = wanted;
                }
                Step::DisplaceLowest { quantile } => {
                    let displaced = queue.displace_lowest(Some(eighths(quantile)), &mut Vec::new());
                    let is_by_priority = order == QueueOrder::Priority;
                    prop_assert_eq!(displaced, is_by_priority && model.displace_lowest(quantile));
                }
                Step::Displace => {
                    prop_assert_eq!(queue.displace_oldest(&mut Vec::new()), model.displace());
                }
                Step::Take { which } if !tickets.is_empty() => {
                    let index = which.index(tickets.len());
                    let (id, ticket) = &tickets[index];
                    let settled = queue.take_settled(ticket);
                    prop_assert_eq!(settled, model.settled.remove(id));
                    if settled.is_some() {
                        tickets.swap_remove(index);
                    }
                }
                Step::Remove { which } if !tickets.is_empty() => {
                    let (id, ticket) = tickets.swap_remove(which.index(tickets.len()));
                    let settled = match queue.remove(&ticket) {
                        Removed::Settled(settled) => Some(settled),
                        Removed::Waiting(_) => None,
                    };
                    prop_assert_eq!(settled, model.settled.remove(&id));
                    model.waiting.retain(|call| call.id != id);
                }
                Step::Advance => now += SECOND,
                Step::Take { .. } | Step::Remove { .. } => {}
            }
            let bounded = model.waiting.iter().filter(|call| call.is_bounded);
            prop_assert_eq!(queue.bounded_len() as usize, bounded.count());
            prop_assert_eq!(queue.len() as usize, model.waiting.len());
            prop_assert_eq!(queue.is_empty(), model.waiting.is_empty());
        }
    }
}
