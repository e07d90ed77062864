//! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

use std::sync::Arc;

use loom::thread;

use super::*;

const SLICE: Duration = Duration::from_secs(1);

fn window(origin: Instant) -> Arc<Window> {
    let settings = Budget::window().ratio(0.5).per_second(0.0);
    Arc::new(Window::new(settings, origin))
}

#[test]
fn calls_are_neither_lost_nor_turned_back_while_the_slice_moves_on() {
    loom::model(|| {
        let origin = Instant::now();
        let window = window(origin);
        // The same place in the ring, ten slices apart.
        let threads = [0, 10, 10].map(|slice| {
            let window = window.clone();
            thread::spawn(move || window.deposit(origin + slice * SLICE))
        });
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(window.available(origin + 10 * SLICE), 1);
    });
}

#[test]
fn two_who_retry_at_once_never_overdraw_and_give_back_what_they_took() {
    loom::model(|| {
        let origin = Instant::now();
        let window = window(origin);
        (0..2).for_each(|_| window.deposit(origin));
        let other = {
            let window = window.clone();
            thread::spawn(move || window.withdraw(origin))
        };
        let mine = window.withdraw(origin);
        let taken = [other.join().expect("no panic"), mine];
        assert_eq!(taken.iter().flatten().count(), 1);
        taken
            .into_iter()
            .flatten()
            .for_each(|epoch| window.give_back(epoch));
        assert_eq!(window.available(origin), 1);
    });
}
