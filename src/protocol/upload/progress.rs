use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::grpc_framing::FramingError;

/// The progress of a request's body, and the time spent waiting for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct UploadProgress {
    stage: UploadStage,
    /// The time that the consumer has waited for the caller, without the current wait.
    waited: Duration,
    framing_error: Option<FramingError>,
    /// True if there is a reporter of the body.
    has_reporter: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum UploadStage {
    /// The consumer takes what there is, or has not asked yet: a delay is its own fault.
    #[default]
    Flowing,
    /// The consumer waits for more, which the caller has not sent.
    Waiting { since: Instant },
    /// The consumer has released the body while it waited.
    Released { since: Instant, at: Instant },
    /// The body has broken off.
    Broken,
    /// The body has ended.
    Complete,
}

impl UploadProgress {
    /// Claims the role of the reporter. Returns `false` if there is one already.
    pub(super) fn claim_reporter(&mut self) -> bool {
        !std::mem::replace(&mut self.has_reporter, true)
    }

    /// Starts a wait: nothing was ready when the consumer asked for more.
    pub(super) fn start_wait(&mut self, now: Instant) {
        if let UploadStage::Flowing | UploadStage::Released { .. } = self.stage {
            self.stage = UploadStage::Waiting { since: now };
        }
    }

    /// Ends a wait: something came.
    pub(super) fn end_wait(&mut self, now: Instant) {
        if let UploadStage::Waiting { since } = self.stage {
            self.waited += now.saturating_duration_since(since);
            self.stage = UploadStage::Flowing;
        }
    }

    /// Ends a wait: the consumer has released the body, or reads it again.
    pub(super) fn release(&mut self, now: Instant) {
        if let UploadStage::Waiting { since } = self.stage {
            self.end_wait(now);
            self.stage = UploadStage::Released { since, at: now };
        }
    }

    pub(super) fn set_broken(&mut self) {
        // An error after the end is the connection's: the request was whole.
        if self.stage != UploadStage::Complete {
            self.stage = UploadStage::Broken;
        }
    }

    pub(super) fn set_complete(&mut self) {
        if self.stage != UploadStage::Broken {
            self.stage = UploadStage::Complete;
        }
    }

    pub(super) fn set_framing_error(&mut self, flaw: FramingError) {
        // The first one: what follows it is not read in frames any more.
        self.framing_error.get_or_insert(flaw);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.stage == UploadStage::Broken
    }

    pub(super) fn is_complete(&self) -> bool {
        self.stage == UploadStage::Complete
    }

    pub(super) fn framing_error(&self) -> Option<FramingError> {
        self.framing_error
    }

    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Returns the time spent waiting, with the current wait.
    pub(super) fn waited_until(&self, now: impl FnOnce() -> Instant) -> Duration {
        let present = match self.stage {
            UploadStage::Waiting { since } => now().saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        self.waited + present
    }

    /// Returns whether a timeout of a call is the caller's fault. `before` is the time spent waiting before the call began.
    pub(super) fn blames_caller(&self, before: Duration, began: Instant, now: Instant) -> bool {
        let waits = match self.stage {
            UploadStage::Broken | UploadStage::Waiting { .. } => true,
            // A consumer that times out releases the body, often before the call is classified. One that went on for longer than
            // it had waited did not time out because of this wait.
            UploadStage::Released { since, at } => {
                let wait = at.saturating_duration_since(since.max(began));
                wait >= now.saturating_duration_since(at)
            }
            UploadStage::Flowing | UploadStage::Complete => false,
        };
        // More than half of the time, so that what was left for the peer was the smaller part.
        let waited = self.waited.saturating_sub(before);
        waits || waited.saturating_mul(2) > now.saturating_duration_since(began)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn blames(progress: &UploadProgress, began: Instant, now: Instant) -> bool {
        progress.blames_caller(Duration::ZERO, began, now)
    }

    #[test]
    fn time_that_runs_out_is_the_callers_only_while_more_is_awaited() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut progress = UploadProgress::default();
        assert!(!blames(&progress, began, at(10)), "not asked yet");
        progress.start_wait(at(10));
        assert!(blames(&progress, began, at(11)), "waits");
        progress.end_wait(at(11));
        assert!(!blames(&progress, began, at(12)), "flows");
        progress.set_complete();
        assert!(!blames(&progress, began, at(12)), "whole");
    }

    #[test]
    fn caller_that_ends_its_body_at_the_last_moment_is_late_itself() {
        let began = Instant::now();
        for (wait, callers) in [(900, true), (501, true), (500, false), (100, false)] {
            let mut progress = UploadProgress::default();
            progress.start_wait(began);
            progress.end_wait(began + ms(wait));
            progress.set_complete();
            assert_eq!(blames(&progress, began, began + SECOND), callers, "{wait}");
        }
    }

    #[test]
    fn body_that_broke_is_the_callers_from_then_on() {
        let began = Instant::now();
        let mut progress = UploadProgress::default();
        assert!(!progress.is_broken());
        progress.set_broken();
        progress.set_complete();
        progress.start_wait(began);
        progress.end_wait(began + SECOND);
        assert!(progress.is_broken());
        assert!(blames(&progress, began, began + 9 * SECOND));
    }

    #[test]
    fn body_that_has_ended_cannot_break() {
        let mut progress = UploadProgress::default();
        progress.set_complete();
        progress.set_broken();
        progress.start_wait(Instant::now());
        assert!(!progress.is_broken());
        assert!(progress.is_complete());
    }

    #[test]
    fn body_that_is_let_go_of_while_it_is_awaited_blames_the_caller_for_no_longer_than_the_wait() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut progress = UploadProgress::default();
        progress.start_wait(at(6));
        progress.release(at(8));
        for (classified, callers) in [(8, true), (10, true), (11, false), (60, false)] {
            assert_eq!(
                blames(&progress, began, at(classified)),
                callers,
                "{classified}"
            );
        }
        // A call that began afterwards has not waited for it.
        let later = progress.blames_caller(progress.waited(), at(9), at(10));
        assert!(!later);
    }

    #[test]
    fn body_dropped_while_it_flows_reports_nothing() {
        let began = Instant::now();
        let mut progress = UploadProgress::default();
        progress.release(began);
        assert_eq!(progress, UploadProgress::default());
    }

    #[test]
    fn body_that_is_read_again_is_awaited_again() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut progress = UploadProgress::default();
        progress.start_wait(at(0));
        progress.release(at(1));
        progress.start_wait(at(2));
        progress.start_wait(at(3));
        assert!(blames(&progress, began, at(50)));
        progress.end_wait(at(4));
        assert_eq!(progress.waited(), 3 * SECOND);
    }

    #[test]
    fn waits_before_a_call_are_not_counted_for_it() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut progress = UploadProgress::default();
        progress.start_wait(began);
        progress.end_wait(at(60));
        progress.set_complete();
        let before = progress.waited();
        assert!(blames(&progress, began, at(70)));
        assert!(!progress.blames_caller(before, at(60), at(70)));
    }

    #[test]
    fn present_wait_counts_as_far_as_it_has_lasted() {
        let began = Instant::now();
        let at = |seconds| began + seconds * SECOND;
        let mut progress = UploadProgress::default();
        progress.start_wait(at(0));
        progress.end_wait(at(2));
        assert_eq!(progress.waited_until(|| at(9)), 2 * SECOND);
        progress.start_wait(at(3));
        assert_eq!(progress.waited_until(|| at(7)), 6 * SECOND);
        assert_eq!(progress.waited(), 2 * SECOND, "the present wait apart");
    }

    #[test]
    fn body_is_reported_on_once() {
        let mut progress = UploadProgress::default();
        assert!(progress.claim_reporter());
        assert!(!progress.claim_reporter());
    }

    #[test]
    fn first_flaw_is_kept() {
        let mut progress = UploadProgress::default();
        progress.set_framing_error(FramingError::Invalid);
        progress.set_framing_error(FramingError::Truncated);
        assert_eq!(progress.framing_error(), Some(FramingError::Invalid));
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wait,
        GoOn,
        LetGo,
        Broke,
        Ended,
    }

    proptest! {
        #[test]
        fn blame_follows_from_who_held_the_body_up(
            events in vec(
                (
                    prop_oneof![
                        6 => Just(Event::Wait),
                        6 => Just(Event::GoOn),
                        2 => Just(Event::LetGo),
                        1 => Just(Event::Broke),
                        1 => Just(Event::Ended),
                    ],
                    0_u64..50,
                ),
                0..30,
            ),
            rest in 0_u64..50,
        ) {
            let began = Instant::now();
            let (mut progress, mut now) = (UploadProgress::default(), began);
            // Told again, in the plainest way.
            let (mut over, mut broken, mut since, mut waited) = (false, false, None, Duration::ZERO);
            let mut left = None;
            for (event, after) in events {
                now += ms(after);
                match event {
                    Event::Wait => progress.start_wait(now),
                    Event::GoOn => progress.end_wait(now),
                    Event::LetGo => progress.release(now),
                    Event::Broke => progress.set_broken(),
                    Event::Ended => progress.set_complete(),
                }
                if over {
                    continue;
                }
                match event {
                    Event::Wait => {
                        since = since.or(Some(now));
                        left = None;
                    }
                    Event::GoOn | Event::LetGo => {
                        if let Some(since) = since.take() {
                            waited += now - since;
                            left = matches!(event, Event::LetGo).then_some((now - since, now));
                        }
                    }
                    Event::Broke | Event::Ended => {
                        (over, since, left) = (true, None, None);
                        broken = matches!(event, Event::Broke);
                    }
                }
            }
            now += ms(rest);
            let just_left = left.is_some_and(|(wait, at)| wait >= now - at);
            let callers = broken || since.is_some() || just_left || 2 * waited > now - began;
            prop_assert_eq!(progress.is_broken(), broken);
            prop_assert_eq!(progress.waited(), waited);
            prop_assert_eq!(blames(&progress, began, now), callers);
            prop_assert!(waited <= now - began);
        }
    }
}
