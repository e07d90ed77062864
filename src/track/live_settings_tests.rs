use super::*;

fn slow(seconds: u64) -> SlowThresholds {
    let [warning, critical] = [seconds, 2 * seconds].map(Duration::from_secs);
    SlowThresholds { warning, critical }
}

fn settings(sample: f64, seconds: impl Into<Option<u64>>) -> TrackSettings {
    TrackSettings {
        sample,
        slow: seconds.into().map(slow),
        ..TrackSettings::default()
    }
}

fn with_route(mut settings: TrackSettings, route: &str, seconds: u64) -> TrackSettings {
    settings.slow_routes.insert(route.to_owned(), slow(seconds));
    settings
}

fn apply(live: &LiveSettings, settings: &TrackSettings) -> String {
    let changes = live.apply("tracker", settings, |_| ());
    changes.expect("room").text().into_owned()
}

#[test]
fn call_has_the_settings_with_which_it_began() {
    let live = LiveSettings::new(settings(1.0, None));
    let mut calls = vec![(live.word(), 1.0, None)];
    for seconds in 1..8 {
        let sample = 1.0 / seconds as f64;
        apply(&live, &settings(sample, seconds));
        calls.push((live.word(), sample, Some(slow(seconds))));
        for (began, sample, slow) in &calls {
            assert_eq!(live.sample(*began), *sample);
            assert_eq!(live.slow_thresholds(*began, None), *slow);
            assert_eq!(live.slow_thresholds(*began, Some("/a")), *slow);
        }
    }
    // The oldest ones are gone; those of the next are there.
    apply(&live, &settings(0.0, 8));
    assert_eq!(live.sample(calls[0].0), 1.0);
    assert_eq!(live.slow_thresholds(calls[0].0, None), None);
    assert_eq!(live.sample(calls[1].0), 1.0);
    apply(&live, &settings(0.0, None));
    assert_eq!(live.sample(calls[1].0), 0.5);
    assert_eq!(live.slow_thresholds(calls[1].0, None), Some(slow(2)));
    assert_eq!(live.slow_thresholds(live.word(), None), None);
}

#[test]
fn access_log_is_that_of_the_beginning_of_a_call() {
    let live = LiveSettings::new(settings(1.0, None));
    let before = live.word();
    let off = TrackSettings {
        access_log: false,
        ..settings(1.0, None)
    };
    assert_eq!(apply(&live, &off), "access_log: true -> false");
    assert!(before.access_log() && !live.word().access_log());
}

#[test]
fn slow_routes_come_and_go() {
    let live = LiveSettings::new(with_route(settings(1.0, 1), "/built", 5));
    let of = |target: &str| live.slow_thresholds(live.word(), Some(target));
    assert_eq!(of("/built"), Some(slow(5)));
    assert_eq!(of("built"), Some(slow(5)), "a gRPC method");
    let before = live.word();
    let added = with_route(settings(1.0, 1), "/added", 7);
    for text in [r#"slow_routes."/built": SlowThresholds"#, ""] {
        assert!(apply(&live, &added).starts_with(text));
        assert_eq!((of("/built"), of("/added")), (Some(slow(1)), Some(slow(7))));
    }
    assert_eq!(live.slow_thresholds(before, Some("/built")), Some(slow(5)));
    assert_eq!(live.slow_thresholds(before, Some("/added")), Some(slow(1)));
    apply(&live, &settings(1.0, 3));
    assert_eq!((of("/built"), of("/added")), (Some(slow(3)), Some(slow(3))));
    let never = Duration::MAX;
    let mut never_slow = with_route(settings(1.0, 1), "/added", 7);
    let thresholds = SlowThresholds::new(never, never);
    never_slow
        .slow_routes
        .insert("/built".to_owned(), thresholds);
    apply(&live, &never_slow);
    let longest = of("/built").expect("not those of all routes");
    assert_eq!(
        longest.level(Duration::from_secs(u64::MAX / 4_000_000_000)),
        None
    );
}

#[test]
fn routes_are_shown_before_their_thresholds_count() {
    let live = LiveSettings::new(settings(1.0, None));
    let routes = std::cell::RefCell::new(Vec::new());
    let next = with_route(with_route(settings(1.0, None), "/a", 1), "/b", 2);
    let on_route = |route: &str| {
        assert!(!live.word().can_be_slow());
        routes.borrow_mut().push(route.to_owned());
    };
    live.apply("tracker", &next, on_route).expect("room");
    assert_eq!(routes.into_inner(), ["/a", "/b"]);
}

/// Returns settings with these routes.
fn with_routes(routes: std::ops::Range<u32>) -> TrackSettings {
    let routes = routes.map(|route| (format!("/{route}"), slow(1)));
    TrackSettings {
        slow_routes: routes.collect(),
        ..settings(1.0, None)
    }
}

#[test]
fn slow_routes_that_do_not_fit_take_no_capacity() {
    let live = LiveSettings::new(settings(1.0, None));
    for routes in [0..1_000, 1_000..1_900] {
        apply(&live, &with_routes(routes));
    }
    for _ in 0..2 {
        let error = live.apply("tracker", &with_routes(5_000..5_101), |_| panic!("not yet"));
        let error = error.expect_err("one too many").to_string();
        assert!(
            error.contains(r#"slow_route is "/5100", must be"#),
            "{error}"
        );
    }
    apply(&live, &with_routes(7_000..7_100));
    assert_eq!(
        live.slow_thresholds(live.word(), Some("/7099")),
        Some(slow(1))
    );
}

#[test]
fn slow_routes_without_room_change_nothing() {
    let live = LiveSettings::new(settings(1.0, None));
    for routes in [0..1_000, 1_000..2_000] {
        apply(&live, &with_routes(routes));
    }
    let word = live.word();
    let too_many = with_route(settings(0.5, None), "/one more", 1);
    let error = live.apply("tracker", &too_many, |_| panic!("not yet"));
    let text = r#"tracker: slow_route is "/one more", must be one of the 2000 routes for which this tracker has had thresholds since it was built"#;
    assert_eq!(error.expect_err("full").to_string(), text);
    assert_eq!(live.word(), word);
    assert_eq!(live.latest().sample, 1.0);
    let known = with_route(settings(0.5, None), "/1", 3);
    apply(&live, &known);
    assert_eq!(live.slow_thresholds(live.word(), Some("/1")), Some(slow(3)));
}
