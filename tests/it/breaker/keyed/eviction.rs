//! Keys that make room for others, and those that are spared.

use std::time::Duration;

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{CircuitState, KeyedBreaker},
};

use super::{census, fail, keyed, keys};

#[test]
fn evict_removes_least_recently_used() {
    let hosts = keyed("lru", 3);
    for key in ["a", "b", "c", "a", "d"] {
        hosts.get(key);
    }
    hosts.peek("c").expect("there");
    assert_eq!(keys(&hosts), ["a", "c", "d"]);
    hosts.get("e");
    assert_eq!(keys(&hosts), ["a", "d", "e"], "to look is not to use");
}

#[test]
fn evict_spares_open_and_in_use_keys() {
    let hosts = keyed("worth", 4);
    fail(&hosts, "open");
    let call = hosts.get("busy").try_acquire().expect("closed");
    for flood in 0..1_000 {
        hosts.get(format!("idle-{flood}").as_str());
        assert!(hosts.len() <= 4);
    }
    assert!(hosts.peek("open").is_some() && hosts.peek("busy").is_some());
    assert_eq!(census(&hosts), [3, 1, 0, 0, 0]);
    for open in ["o2", "o3", "o4"] {
        fail(&hosts, open);
    }
    assert!(hosts.peek("busy").is_none(), "closed goes before open");
    assert_eq!(census(&hosts), [0, 4, 0, 0, 0]);
    fail(&hosts, "o5");
    assert!(hosts.peek("open").is_none(), "bounded all the same");
    assert_eq!(census(&hosts), [0, 4, 0, 0, 0]);
    call.complete(Outcome::Success);
}

fn opens_after(name: &'static str, failures: u32, max_keys: usize) -> KeyedBreaker<String> {
    let template = CircuitBreaker::builder(name).consecutive_failures(failures);
    let builder = KeyedBreaker::builder(template).max_keys(max_keys);
    builder.build().expect("sound")
}

/// Returns how many of the calls to keys that fail are admitted.
fn passed(hosts: &KeyedBreaker<String>, keys: &[&str], rounds: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..rounds {
        for key in keys {
            if let Ok(permit) = hosts.get(*key).try_acquire() {
                permit.complete(Outcome::Failure);
                passed += 1;
            }
        }
    }
    passed
}

fn open_made_up(hosts: &KeyedBreaker<String>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let key = format!("made-up-{number}");
        passed(hosts, &[&key], 5);
    }
}

/// Open circuits were kept for ever, so that new keys drove each other out before they had failed often enough.
#[tokio::test(start_paused = true)]
async fn evict_removes_keys_opened_long_ago() {
    let hosts = opens_after("month", 5, 1_000);
    open_made_up(&hosts, 0..2_000);
    assert_eq!(hosts.len() as u64, hosts.keys_in(CircuitState::Open));
    tokio::time::advance(Duration::from_secs(30 * 86_400)).await;
    let all: Vec<_> = (0..100).map(|number| format!("real-{number}")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    assert_eq!(passed(&hosts, &all, 10), 500, "five for each, then none");
}

#[tokio::test(start_paused = true)]
async fn evict_spares_used_keys_under_made_up_keys() {
    let hosts = opens_after("attack", 5, 1_000);
    open_made_up(&hosts, 0..1_000);
    let mut let_pass = [0; 2];
    for round in 0..40 {
        for (key, let_pass) in ["real-1", "real-2"].iter().zip(&mut let_pass) {
            *let_pass += passed(&hosts, &[key], 1);
        }
        open_made_up(&hosts, 1_000 + round * 50..1_050 + round * 50);
    }
    assert_eq!(let_pass, [5, 5]);
}

/// Keys between two calls lost their place to any new one, as long as all others had calls in flight.
#[tokio::test(start_paused = true)]
async fn evict_spares_used_keys_while_others_hang() {
    let hosts = opens_after("hang", 20, 100);
    let mut hanging = Vec::new();
    let mut let_pass = 0;
    for round in 0..40 {
        let_pass += passed(&hosts, &["real-1", "real-2"], 1);
        for number in 0..10 {
            let key = format!("hang-{round}-{number}");
            hanging.push(hosts.get(key.as_str()).try_acquire().expect("closed"));
        }
    }
    assert_eq!(let_pass, 40, "twenty for each, then none");
}

#[test]
fn keyed_flood_stays_within_max_keys() {
    let hosts = keyed("flood", 64);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let hosts = &hosts;
            scope.spawn(move || {
                for n in 0..2_000_u32 {
                    let key = format!("{}", (n * 7 + thread * 13) % 200);
                    let Ok(permit) = hosts.get(key.as_str()).try_acquire() else {
                        continue;
                    };
                    let failed = n % 97 == 0;
                    permit.complete(match failed {
                        true => Outcome::Failure,
                        false => Outcome::Success,
                    });
                }
            });
        }
    });
    assert!(hosts.len() <= 64);
    let states = hosts.states();
    let count = |state: CircuitState| states.iter().filter(|kept| kept.1 == state).count() as u64;
    assert_eq!(census(&hosts), CircuitState::ALL.map(count));
}
