//! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

use loom::thread;

use super::*;

#[test]
fn whoever_sets_it_is_told_what_he_has_set_and_all_see_one_of_the_two() {
    loom::model(|| {
        let [short, long, most] = [1, 2, 3].map(Duration::from_secs);
        let limit = TimeLimit::bounded("model", most, short, most);
        let sets = |time: Duration| {
            let limit = limit.clone();
            move || limit.set(time)
        };
        let other = thread::spawn(sets(Duration::ZERO));
        assert_eq!(sets(long)(), long);
        let seen = limit.get();
        assert_eq!(other.join().expect("no panic"), short);
        assert!([short, long].contains(&seen));
        let last = limit.get();
        assert!(last == seen || last == short, "it does not go back");
    });
}

#[test]
fn each_call_that_runs_out_or_is_refused_is_counted_once() {
    loom::model(|| {
        let limit = TimeLimit::new("model", Duration::ZERO);
        let other = limit.clone();
        let other = thread::spawn(move || {
            other.ran_out(TimeBound::BodyIdle, None);
            other.refuse();
        });
        limit.ran_out(TimeBound::Deadline, None);
        other.join().expect("no panic");
        assert_eq!((limit.timed_out(), limit.refused()), (2, 1));
    });
}
