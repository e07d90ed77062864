use std::collections::VecDeque;

use super::{Peer, call_table::AttemptKey};

/// The workers of a peer and the queue before them. Pure: others say when work is done.
#[derive(Debug)]
pub(super) struct PeerWorkers {
    peer: Peer,
    busy: u32,
    queue: VecDeque<AttemptKey>,
}

/// The answer of a peer to an attempt that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// A worker begins with it at once.
    Started,
    Queued,
    /// The peer rejects it.
    Full,
}

impl PeerWorkers {
    pub(super) fn new(peer: Peer) -> Self {
        PeerWorkers {
            peer,
            busy: 0,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn queued(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Offers an attempt.
    pub(super) fn offer(&mut self, key: AttemptKey) -> Offered {
        if self.busy < self.peer.workers {
            self.busy += 1;
            Offered::Started
        } else if self.queue.len() < self.peer.queue as usize {
            self.queue.push_back(key);
            Offered::Queued
        } else {
            Offered::Full
        }
    }

    /// Frees the worker that has done its work. Returns the attempt that it begins with, if it begins with one: a worker that
    /// was taken away meanwhile does not.
    pub(super) fn finish(&mut self) -> Option<AttemptKey> {
        self.busy -= 1;
        self.start_queued()
    }

    /// Changes the peer. What workers have begun takes as long as before, and what is queued stays.
    pub(super) fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// Returns the next queued attempt if there is a worker for it, which begins with it.
    pub(super) fn start_queued(&mut self) -> Option<AttemptKey> {
        if self.busy >= self.peer.workers {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.busy += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{
            call_table::{SimulatedCall, SimulatedCalls},
            events::CallOrigin,
        },
        *,
    };

    fn peer(workers: u32) -> Peer {
        Peer::new(workers, Duration::from_secs(1)).queue(2)
    }

    fn keys() -> impl Iterator<Item = AttemptKey> {
        let mut table = SimulatedCalls::<()>::new();
        std::iter::repeat_with(move || {
            let source = CallOrigin {
                generation: 0,
                user: None,
            };
            let call = table.insert(SimulatedCall::new(0, source, Duration::ZERO));
            AttemptKey { call, number: 1 }
        })
    }

    #[test]
    fn server_fills_its_workers_then_its_queue_and_serves_in_order() {
        let mut server = PeerWorkers::new(peer(2));
        let keys: Vec<_> = keys().take(5).collect();
        let offered: Vec<_> = keys.iter().map(|&key| server.offer(key)).collect();
        use Offered::{Full, Queued, Started};
        assert_eq!(offered, [Started, Started, Queued, Queued, Full]);
        assert_eq!(server.queued(), 2);
        assert_eq!(server.finish(), Some(keys[2]));
        assert_eq!(server.finish(), Some(keys[3]));
        assert_eq!((server.finish(), server.finish()), (None, None));
        assert_eq!(server.offer(keys[4]), Started);
    }

    #[test]
    fn workers_that_are_taken_away_finish_what_they_have_begun() {
        let mut server = PeerWorkers::new(peer(2));
        let keys: Vec<_> = keys().take(4).collect();
        keys.iter().for_each(|&key| _ = server.offer(key));
        server.set_peer(peer(1));
        assert_eq!(server.finish(), None, "one is taken away");
        assert_eq!(server.finish(), Some(keys[2]));
        server.set_peer(peer(3));
        assert_eq!(server.start_queued(), Some(keys[3]));
        assert_eq!(server.start_queued(), None);
    }
}
