//! The decision what happens to a call, from the settings and the numbers that were drawn for it, and nothing else.

use std::time::Duration;

use http::StatusCode;

use super::{ChaosSettings, draw::Draw};
use crate::call::GrpcCode;

/// The faults of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plan {
    /// The time by which its response, or what comes in its place, is late.
    pub(super) latency: Option<Duration>,
    /// The fault in the service's place; the service is not called then.
    pub(super) in_place: Option<InPlace>,
    /// The fault of the body of its response.
    pub(super) body: Option<BodyFault>,
}

/// A fault in the service's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InPlace {
    Error,
    Response { status: StatusCode, code: GrpcCode },
    Hang,
    Panic,
}

/// A fault of the body of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyFault {
    /// A body that breaks off after so many bytes.
    Cut { after: u64 },
    /// A body of so many bytes per second.
    Slow { speed: u64 },
}

impl Plan {
    /// Decides about a call. The settings are valid.
    pub(super) fn decide(settings: &ChaosSettings, draw: &Draw) -> Self {
        let is_late = draw.latency < settings.latency_rate;
        Plan {
            latency: is_late
                .then(|| settings.latency + settings.latency_spread.mul_f64(draw.spread)),
            in_place: in_place(settings, draw.in_place),
            body: body(settings, draw.body),
        }
    }

    /// Returns whether nothing happens to the call.
    pub(super) fn is_empty(&self) -> bool {
        *self == Plan::default()
    }
}

/// Returns what comes in the service's place: the rates share the numbers from 0 to 1 in this order.
fn in_place(settings: &ChaosSettings, draw: f64) -> Option<InPlace> {
    let mut end = settings.error_rate;
    if draw < end {
        return Some(InPlace::Error);
    }
    end += settings.response_rate;
    if draw < end {
        return Some(response(settings));
    }
    end += settings.hang_rate;
    if draw < end {
        return Some(InPlace::Hang);
    }
    end += settings.panic_rate;
    (draw < end).then_some(InPlace::Panic)
}

fn response(settings: &ChaosSettings) -> InPlace {
    let status = StatusCode::from_u16(settings.status);
    InPlace::Response {
        status: status.expect("settings are valid: 400 to 599"),
        code: settings.grpc_code,
    }
}

fn body(settings: &ChaosSettings, draw: f64) -> Option<BodyFault> {
    if draw < settings.cut_rate {
        let after = settings.cut_after;
        return Some(BodyFault::Cut { after });
    }
    let speed = settings.slow_speed;
    (draw < settings.cut_rate + settings.slow_rate).then_some(BodyFault::Slow { speed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rates from 0 to 1, as they are or as those that share the calls.
    fn settings() -> impl Strategy<Value = ChaosSettings> {
        let rates = (0.0..=0.25, 0.0..=0.25, 0.0..=0.25, 0.0..=0.25);
        let others = (0.0..=1.0, 0.0..=0.5, 0.0..=0.5);
        (rates, others).prop_map(|((error, response, hang, panic), (latency, cut, slow))| {
            ChaosSettings {
                error_rate: error,
                response_rate: response,
                hang_rate: hang,
                panic_rate: panic,
                latency_rate: latency,
                latency_spread: Duration::from_secs(1),
                cut_rate: cut,
                slow_rate: slow,
                ..ChaosSettings::default()
            }
        })
    }

    fn draw() -> impl Strategy<Value = Draw> {
        (any::<u64>(), any::<u64>()).prop_map(|(seed, ordinal)| Draw::of_call(seed, ordinal))
    }

    proptest! {
        #[test]
        fn plan_of_no_rates_is_empty(draw in draw()) {
            prop_assert!(Plan::decide(&ChaosSettings::default(), &draw).is_empty());
        }

        #[test]
        fn latency_is_within_its_range(settings in settings(), draw in draw()) {
            if let Some(latency) = Plan::decide(&settings, &draw).latency {
                let range = settings.latency..=settings.latency + settings.latency_spread;
                prop_assert!(range.contains(&latency));
            }
        }

        /// A higher rate adds faults, and takes none away.
        #[test]
        fn higher_rate_keeps_the_faults_of_a_lower_one(
            settings in settings(),
            draw in draw(),
            more in 0.0..=1.0,
        ) {
            let lower = Plan::decide(&settings, &draw);
            let raised = |rate: f64| rate + more * (1.0 - rate);
            let late = ChaosSettings { latency_rate: raised(settings.latency_rate), ..settings.clone() };
            let late = Plan::decide(&late, &draw);
            prop_assert!(lower.latency.is_none() || late == lower);
            let failed = ChaosSettings { error_rate: raised(settings.error_rate), ..settings };
            let failed = Plan::decide(&failed, &draw);
            prop_assert!(lower.in_place != Some(InPlace::Error) || failed == lower);
            prop_assert!(lower.in_place.is_none() || failed.in_place.is_some());
        }

        /// All draws, against the sum of what comes first.
        #[test]
        fn faults_in_place_share_the_calls(settings in settings(), number in 0.0..1.0) {
            let draw = Draw { latency: 0.5, spread: 0.5, in_place: number, body: 0.5 };
            let bounds = [settings.error_rate, settings.response_rate, settings.hang_rate, settings.panic_rate];
            let mut end = 0.0;
            let index = bounds.iter().position(|rate| { end += rate; number < end });
            let kind = match Plan::decide(&settings, &draw).in_place {
                Some(InPlace::Error) => Some(0),
                Some(InPlace::Response { .. }) => Some(1),
                Some(InPlace::Hang) => Some(2),
                Some(InPlace::Panic) => Some(3),
                None => None,
            };
            prop_assert_eq!(kind, index);
        }
    }

    #[test]
    fn rates_of_1_hit_each_call_and_rates_of_0_none() {
        for ordinal in 0..1_000 {
            let draw = Draw::of_call(1, ordinal);
            let all = ChaosSettings {
                panic_rate: 1.0,
                latency_rate: 1.0,
                slow_rate: 1.0,
                ..ChaosSettings::default()
            };
            let plan = Plan::decide(&all, &draw);
            assert_eq!(plan.in_place, Some(InPlace::Panic));
            assert_eq!(plan.body, Some(BodyFault::Slow { speed: 1_024 }));
            assert_eq!(plan.latency, Some(Duration::from_secs(1)));
        }
    }

    #[test]
    fn bodies_are_cut_or_slow_but_never_both() {
        let settings = ChaosSettings {
            cut_rate: 0.25,
            slow_rate: 0.5,
            ..ChaosSettings::default()
        };
        for (number, expected) in [
            (0.0, Some(BodyFault::Cut { after: 1_024 })),
            (0.25, Some(BodyFault::Slow { speed: 1_024 })),
            (0.74, Some(BodyFault::Slow { speed: 1_024 })),
            (0.75, None),
        ] {
            assert_eq!(body(&settings, number), expected, "{number}");
        }
    }

    #[test]
    fn response_has_the_configured_status_and_code() {
        let settings = ChaosSettings {
            response_rate: 1.0,
            status: 502,
            grpc_code: GrpcCode::INTERNAL,
            ..ChaosSettings::default()
        };
        let expected = InPlace::Response {
            status: StatusCode::BAD_GATEWAY,
            code: GrpcCode::INTERNAL,
        };
        assert_eq!(in_place(&settings, 0.5), Some(expected));
    }
}
