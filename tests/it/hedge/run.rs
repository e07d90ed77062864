//! Hedges of closures, on a paused clock.

use std::{
    future::pending,
    io::{Error, ErrorKind},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tower_keep::{
    Context, Rejection,
    hedge::Hedge,
    retry::{Attempt, Budget, Retry, RetryAfter, RetryDecision},
};

use super::{DELAY, InFlight, SECOND, builder, counts, hedge};

const MS: Duration = Duration::from_millis(1);

/// Runs a call whose attempts end after these times, in milliseconds. Returns the number of the one that wins, and when.
async fn race(hedge: &Hedge, times: &[u64]) -> (u32, Duration) {
    let start = Instant::now();
    let work = |attempt: Attempt| async move {
        sleep(times[attempt.number() as usize - 1] as u32 * MS).await;
        Ok::<_, Error>(attempt.number())
    };
    let winner = hedge.run(work).await.expect("an answer");
    (winner, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn answer_before_the_delay_sends_no_hedge() {
    let hedge = hedge("in time");
    assert_eq!(race(&hedge, &[99]).await, (1, 99 * MS));
    assert_eq!(counts(&hedge), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn hedge_after_the_delay_wins_if_it_is_faster() {
    let hedge = hedge("faster");
    assert_eq!(race(&hedge, &[1_000, 20]).await, (2, 120 * MS));
    assert_eq!(counts(&hedge), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn first_attempt_wins_over_a_slower_hedge() {
    let hedge = hedge("slower");
    assert_eq!(race(&hedge, &[150, 1_000]).await, (1, 150 * MS));
    assert_eq!(counts(&hedge), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn hedges_follow_each_other_by_the_delay_up_to_the_maximum() {
    let hedge = builder("three").max_hedges(3).build().expect("valid");
    let times = [5_000, 5_000, 5_000, 50];
    assert_eq!(race(&hedge, &times).await, (4, 350 * MS));
    assert_eq!(race(&hedge, &[900; 4]).await, (1, 900 * MS));
    assert_eq!(counts(&hedge), (6, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn maximum_of_zero_sends_no_hedge() {
    let hedge = builder("off").max_hedges(0).build().expect("valid");
    assert_eq!(race(&hedge, &[1_000]).await, (1, SECOND));
    assert_eq!(counts(&hedge), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn losers_are_dropped_with_the_answer_of_the_winner() {
    let (hedge, in_flight) = (builder("losers").max_hedges(2), InFlight::default());
    let hedge = hedge.build().expect("valid");
    let mut most = 0;
    let work = |attempt: Attempt| {
        let token = in_flight.enter();
        most = most.max(in_flight.count());
        async move {
            let _token = token;
            match attempt.number() {
                2 => sleep(150 * MS).await,
                _ => pending().await,
            }
            Ok::<_, Error>(())
        }
    };
    hedge.run(work).await.expect("an answer");
    assert_eq!((most, in_flight.count()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn cancelled_call_drops_all_attempts() {
    let (hedge, in_flight) = (hedge("cancelled"), InFlight::default());
    let work = |_| {
        let token = in_flight.enter();
        async move {
            let _token = token;
            pending::<Result<(), Error>>().await
        }
    };
    let mut call = Box::pin(hedge.run(work));
    timeout(SECOND, &mut call).await.expect_err("hangs");
    assert_eq!(in_flight.count(), 2);
    drop(call);
    assert_eq!(in_flight.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn panic_of_an_attempt_is_that_of_the_call_and_leaves_nothing_in_flight() {
    for panics in [1, 2] {
        let (hedge, in_flight) = (hedge("panics"), InFlight::default());
        let counted = in_flight.clone();
        let work = move |attempt: Attempt| {
            let token = counted.enter();
            async move {
                let _token = token;
                if attempt.number() == panics {
                    sleep(120 * MS).await;
                    panic!("of the work");
                }
                pending::<Result<(), Error>>().await
            }
        };
        let call = tokio::spawn(hedge.run(work)).await;
        assert!(call.expect_err("a panic").is_panic());
        assert_eq!(in_flight.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn failure_starts_the_next_attempt_at_once() {
    let (hedge, start) = (hedge("at once"), Instant::now());
    let work = |attempt: Attempt| async move {
        match attempt.number() {
            1 => Err(Error::other("reset")),
            number => Ok(number),
        }
    };
    assert_eq!(hedge.run(work).await.expect("an answer"), 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(counts(&hedge), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn failure_of_one_attempt_waits_for_the_other() {
    let hedge = hedge("one fails");
    for fails in [1, 2] {
        let work = |attempt: Attempt| async move {
            if attempt.number() == fails {
                sleep(130 * MS).await;
                return Err(Error::other("reset"));
            }
            sleep(400 * MS).await;
            Ok(attempt.number())
        };
        assert_eq!(hedge.run(work).await.expect("an answer"), 3 - fails);
    }
}

#[tokio::test(start_paused = true)]
async fn last_failure_is_the_result_if_all_attempts_fail() {
    let hedge = builder("all fail").max_hedges(2).build().expect("valid");
    let work =
        |attempt: Attempt| async move { Err::<(), _>(Error::other(attempt.number().to_string())) };
    let error = hedge.run(work).await.expect_err("all fail");
    assert_eq!(error.to_string(), "3");
}

#[tokio::test(start_paused = true)]
async fn fatal_error_ends_the_call_and_drops_the_rest() {
    let (hedge, in_flight) = (hedge("fatal"), InFlight::default());
    let work = |attempt: Attempt| {
        let token = in_flight.enter();
        async move {
            let _token = token;
            if attempt.number() == 2 {
                return Err::<(), _>(Error::from(ErrorKind::NotFound));
            }
            pending().await
        }
    };
    let call = hedge
        .run(work)
        .when(|error: &Error| error.kind() != ErrorKind::NotFound);
    let error = call.await.expect_err("not found");
    assert_eq!((error.kind(), in_flight.count()), (ErrorKind::NotFound, 0));
}

#[tokio::test(start_paused = true)]
async fn rejection_of_a_hedge_is_no_result_and_costs_no_budget() {
    let budget = Budget::window().ratio(1.0).per_second(0.0).build();
    let budget = budget.expect("valid");
    let hedge = builder("rejected").budget(budget.clone());
    let hedge = hedge.build().expect("valid");
    let work = |attempt: Attempt| async move {
        if attempt.is_retry() {
            return Err(Rejection::full("further in"));
        }
        sleep(300 * MS).await;
        Ok(attempt.number())
    };
    assert_eq!(hedge.run(work).await.expect("an answer"), 1);
    assert_eq!(counts(&hedge), (1, 0, 0));
    let now = tower_keep::call::CallClock::default();
    assert_eq!(budget.available(&now), Some(1), "refunded");
}

#[tokio::test(start_paused = true)]
async fn failure_of_the_peer_is_the_result_rather_than_a_rejection() {
    let hedge = hedge("peer before guard");
    let work = |attempt: Attempt| async move {
        let error: tower_keep::BoxError = match attempt.number() {
            1 => Error::other("of the peer").into(),
            _ => Rejection::full("further in").into(),
        };
        Err::<(), _>(error)
    };
    let error = hedge.run_any_error(work).await.expect_err("both fail");
    assert_eq!(error.to_string(), "of the peer");
    let rejected = |_| async { Err::<(), _>(Rejection::full("further in")) };
    hedge.run(rejected).await.expect_err("rejected");
    assert_eq!(counts(&hedge), (1, 0, 0), "a rejection sends no hedge");
}

#[tokio::test(start_paused = true)]
async fn peer_that_asks_to_wait_delays_the_next_hedge() {
    let hedge = builder("pushback").max_hedges(2).build().expect("valid");
    let start = Instant::now();
    let work = |attempt: Attempt| async move {
        match attempt.number() {
            // Fails while the second runs.
            1 => sleep(150 * MS).await,
            2 => sleep(5 * SECOND).await,
            _ => return Ok(start.elapsed()),
        }
        Err(Error::other("busy"))
    };
    let call = hedge
        .run(work)
        .when(|_: &Error| RetryAfter::NotBefore(SECOND));
    let sent_at = call.await.expect("an answer");
    assert_eq!(sent_at, 1_150 * MS);
}

#[tokio::test(start_paused = true)]
async fn peer_that_asks_to_wait_is_heeded_whatever_fails_meanwhile() {
    let hedge = builder("held back").max_hedges(3).build().expect("valid");
    for (busy_at, sent) in [(150, 1), (250, 3)] {
        let (start, before) = (Instant::now(), counts(&hedge).0);
        let work = |attempt: Attempt| async move {
            match attempt.number() {
                1 => sleep(busy_at * MS).await,
                2 => sleep(200 * MS).await,
                3 => sleep(5 * SECOND).await,
                _ => return Ok(start.elapsed()),
            }
            let error = if attempt.is_retry() { "reset" } else { "busy" };
            Err(Error::other(error))
        };
        let call = hedge
            .run(work)
            .when(|error: &Error| match error.to_string() == "busy" {
                true => RetryDecision::NotBefore(SECOND),
                false => RetryDecision::Retry,
            });
        match call.await {
            // Nothing ran that was worth to wait for.
            Err(error) => assert_eq!((error.to_string().as_str(), busy_at), ("reset", 150)),
            Ok(sent_at) => assert_eq!((sent_at, busy_at), (1_250 * MS, 250)),
        }
        assert_eq!(counts(&hedge).0 - before, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn longest_time_that_a_peer_asks_for_is_heeded() {
    let hedge = builder("two ask").max_hedges(3).build().expect("valid");
    let start = Instant::now();
    let work = |attempt: Attempt| async move {
        match attempt.number() {
            1 => sleep(250 * MS).await,
            2 => sleep(200 * MS).await,
            3 => sleep(9 * SECOND).await,
            _ => return Ok(start.elapsed()),
        }
        Err(Error::other(attempt.number().to_string()))
    };
    let call = hedge
        .run(work)
        .when(|error: &Error| match error.to_string() == "1" {
            true => RetryAfter::NotBefore(5 * SECOND),
            false => RetryAfter::NotBefore(SECOND),
        });
    assert_eq!(call.await.expect("an answer"), 5_250 * MS);
}

#[tokio::test(start_paused = true)]
async fn attempts_know_the_deadline() {
    let hedge = hedge("knows");
    let deadline = Instant::now() + SECOND;
    let context = Context::new_root().with_deadline(deadline);
    let call = async {
        let work = |attempt: Attempt| async move {
            assert_eq!(attempt.deadline(), Some(deadline));
            if !attempt.is_retry() {
                pending().await
            }
            Ok::<_, Error>(attempt.number())
        };
        hedge.run(work).await
    };
    assert_eq!(context.scope(call).await.expect("an answer"), 2);
}

#[tokio::test(start_paused = true)]
async fn peer_that_asks_to_wait_ends_a_call_without_another_attempt() {
    let (hedge, start) = (hedge("no waits"), Instant::now());
    let work = |_| async { Err::<(), _>(Error::other("busy")) };
    for answer in [RetryAfter::NotBefore(SECOND), RetryAfter::Never] {
        let call = hedge.run(work).when(move |_: &Error| answer);
        call.await.expect_err("busy");
    }
    assert_eq!((start.elapsed(), counts(&hedge).0), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn budget_that_is_used_up_leaves_the_first_attempt_alone() {
    let budget = Budget::window().ratio(0.5).per_second(0.0).build();
    let hedge = builder("budget").budget(budget.expect("valid"));
    let hedge = hedge.build().expect("valid");
    // The first call has paid for half of a hedge.
    assert_eq!(race(&hedge, &[300, 10]).await, (1, 300 * MS));
    assert_eq!(race(&hedge, &[300, 10]).await, (2, 110 * MS));
    assert_eq!(race(&hedge, &[300, 10]).await, (1, 300 * MS));
    assert_eq!(counts(&hedge), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn budget_of_a_retry_counts_a_call_once_and_pays_for_both() {
    let budget = Budget::window().ratio(0.5).per_second(0.0).build();
    let retry = Retry::builder("shared").budget(budget.expect("valid"));
    let retry = retry.build().expect("valid");
    let hedge = builder("shared").retry_budget(&retry).build();
    let hedge = hedge.expect("valid");
    let available = || {
        let now = tower_keep::call::CallClock::default();
        retry.budget().expect("a budget").available(&now)
    };
    for _ in 0..4 {
        let call = retry.run(|_| hedge.run(|_| async { Ok::<_, Error>(()) }));
        call.await.expect("an answer");
    }
    assert_eq!(available(), Some(2), "half of four calls");
    let call = retry.run(|_| {
        hedge.run(|attempt| async move {
            if !attempt.is_retry() {
                sleep(SECOND).await;
            }
            Ok::<_, Error>(())
        })
    });
    call.await.expect("an answer");
    assert_eq!((available(), counts(&hedge)), (Some(1), (1, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn deadline_that_is_near_sends_no_hedge() {
    let hedge = hedge("deadline");
    let context = Context::new_root().with_deadline(Instant::now() + DELAY);
    let call = context.scope(async { race(&hedge, &[150, 10]).await });
    assert_eq!(call.await, (1, 150 * MS));
    assert_eq!(counts(&hedge), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn hedge_runs_in_a_context_with_its_number() {
    let hedge = hedge("contexts");
    let numbers = async {
        let work = |attempt: Attempt| async move {
            if !attempt.is_retry() {
                pending().await
            }
            let context = Context::current().expect("a context");
            Ok::<_, Error>(context.attempt())
        };
        hedge.run(work).await.expect("an answer")
    };
    let call = Context::new_root();
    assert_eq!(call.scope(numbers).await, 2);
    let numbers = async {
        hedge
            .run(|_| async { Ok::<_, Error>(Context::current().expect("a context").attempt()) })
            .await
    };
    let second = call.with_attempt(2);
    assert_eq!(
        second.scope(numbers).await.expect("an answer"),
        2,
        "of a retry"
    );
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn call_that_is_complete_cannot_be_polled_again() {
    let hedge = hedge("complete");
    let mut call = Box::pin(hedge.run(|_| async { Ok::<_, Error>(()) }));
    call.as_mut().await.expect("an answer");
    let _ = call.await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after completion")]
async fn call_that_has_panicked_cannot_be_polled_again() {
    let hedge = hedge("panicked");
    let work = |attempt: Attempt| async move {
        match attempt.number() {
            1 => pending().await,
            _ => panic!("of the work"),
        }
        Ok::<_, Error>(())
    };
    let mut call = Box::pin(hedge.run(work));
    let caught = std::panic::AssertUnwindSafe(call.as_mut()).catch_unwind();
    assert!(caught.await.is_err());
    let _ = call.await;
}
