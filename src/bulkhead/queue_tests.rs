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
    queue.push(None, true)
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
    let late = queue.push(Some(now), true);
    let soon = queue.push(Some(now + SECOND), true);
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
    let handle = queue.push(None, false);
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
    Push { until: Option<u8>, is_bounded: bool },
    Grant { lifo: bool },
    Displace,
    Take { which: prop::sample::Index },
    Remove { which: prop::sample::Index },
    Advance,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (prop::option::of(0..6_u8), any::<bool>())
            .prop_map(|(until, is_bounded)| Step::Push { until, is_bounded }),
        3 => any::<bool>().prop_map(|lifo| Step::Grant { lifo }),
        1 => Just(Step::Displace),
        2 => which().prop_map(|which| Step::Take { which }),
        2 => which().prop_map(|which| Step::Remove { which }),
        1 => Just(Step::Advance),
    ]
}

/// Those that wait in their order, and what has become of the others.
#[derive(Default)]
struct Model {
    waiting: Vec<(usize, Option<Instant>, bool)>,
    settled: HashMap<usize, Settled>,
}

impl Model {
    fn grant(&mut self, lifo: bool, now: Instant) -> bool {
        while !self.waiting.is_empty() {
            let next = if lifo { self.waiting.len() - 1 } else { 0 };
            let (id, until, _) = self.waiting.remove(next);
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
        let oldest = self.waiting.iter().position(|(.., is_bounded)| *is_bounded);
        let displaced = oldest.map(|oldest| self.waiting.remove(oldest).0);
        displaced.map(|id| self.settled.insert(id, Settled::Displaced));
        displaced.is_some()
    }
}

proptest! {
    #[test]
    fn queue_does_what_a_list_does(steps in prop::collection::vec(step(), 0..200)) {
        let (mut queue, mut model) = (WaitQueue::new(), Model::default());
        let mut tickets: Vec<(usize, Ticket)> = Vec::new();
        let mut now = Instant::now();
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push { until, is_bounded } => {
                    let until = until.map(|seconds| now + u32::from(seconds) * SECOND);
                    tickets.push((id, queue.push(until, is_bounded)));
                    model.waiting.push((id, until, is_bounded));
                }
                Step::Grant { lifo } => {
                    let order = if lifo { QueueOrder::Lifo } else { QueueOrder::Fifo };
                    let granted = queue.grant_next(order, now, &mut Vec::new());
                    prop_assert_eq!(granted, model.grant(lifo, now));
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
                    model.waiting.retain(|(other, ..)| *other != id);
                }
                Step::Advance => now += SECOND,
                Step::Take { .. } | Step::Remove { .. } => {}
            }
            let bounded = model.waiting.iter().filter(|(.., is_bounded)| *is_bounded);
            prop_assert_eq!(queue.bounded_len() as usize, bounded.count());
            prop_assert_eq!(queue.len() as usize, model.waiting.len());
            prop_assert_eq!(queue.is_empty(), model.waiting.is_empty());
        }
    }
}
