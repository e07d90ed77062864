#[cfg(all(test, tower_keep_loom))]
mod models {
    //! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

    use loom::thread::JoinHandle;

    use super::*;

    fn model(world: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(world);
    }

    fn asks(breakers: &BreakerRegistry, name: &'static str) -> JoinHandle<CircuitBreaker> {
        let breakers = breakers.clone();
        thread::spawn(move || breakers.get_or_create(name))
    }

    fn is_same(a: &CircuitBreaker, b: &CircuitBreaker) -> bool {
        Arc::ptr_eq(&a.shared, &b.shared)
    }

    #[test]
    fn threads_that_ask_for_one_name_at_once_get_one_breaker() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("a");
            let other = other.join().expect("no panic");
            assert!(is_same(&mine, &other));
            assert_eq!(breakers.names(), ["a"]);
        });
    }

    #[test]
    fn names_that_find_no_room_at_once_share_one_breaker() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            breakers.get_or_create("full");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("b");
            let other = other.join().expect("no panic");
            assert!(is_same(&mine, &other));
            assert_eq!(breakers.names(), [OVERFLOW, "full"]);
        });
    }

    #[test]
    fn threads_that_ask_for_the_last_place_fill_it_once() {
        model(|| {
            let breakers = BreakerRegistry::builder()
                .max_names(1)
                .build()
                .expect("sound");
            let other = asks(&breakers, "a");
            let mine = breakers.get_or_create("b");
            let other = other.join().expect("no panic");
            assert!((mine.name() == "b") != (other.name() == "a"));
            assert_eq!(breakers.named().len(), 1);
        });
    }
}
