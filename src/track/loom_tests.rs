//! All interleavings of a few threads, run by loom: `.ci/models`.

use std::time::Duration;

use loom::thread;

use super::{SlowThresholds, TrackSettings, live_settings::LiveSettings};

fn settings(seconds: u64) -> TrackSettings {
    let [warning, critical] = [seconds, 2 * seconds].map(Duration::from_secs);
    TrackSettings {
        sample: 1.0 / seconds as f64,
        slow: Some(SlowThresholds { warning, critical }),
        ..TrackSettings::default()
    }
}

#[test]
fn call_has_the_settings_with_which_it_began_while_they_change() {
    loom::model(|| {
        let live = loom::sync::Arc::new(LiveSettings::new(settings(1)));
        let other = live.clone();
        let other = thread::spawn(move || other.apply("model", &settings(2), |_| ()).map(|_| ()));
        let began = live.word();
        let expected = settings(1 + u64::from(began.version()));
        assert_eq!(live.slow_thresholds(began, None), expected.slow);
        assert_eq!(live.sample(began), expected.sample);
        other.join().expect("no panic").expect("room");
        assert_eq!(live.sample(began), expected.sample);
        assert_eq!(live.sample(live.word()), settings(2).sample);
    });
}
