use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    FaultKind,
    delayed_call::DelayedCall,
    plan::BodyFault,
    shared::ChaosShared,
    wait::{DelayEnd, Wait},
};
use crate::call::BoxError;

/// The time that one piece of a slow body takes: short enough that its reader sees it trickle, and no timer for each byte.
const PIECE_TIME: Duration = Duration::from_millis(100);

type PolledFrame = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// The fault of a body, and how far it has come.
pub(super) enum BodyInjection {
    /// A body that breaks off.
    Cut {
        chaos: Arc<ChaosShared>,
        /// The bytes that come before it does.
        left: u64,
    },
    /// A body that comes in pieces.
    Slow {
        wait: Wait,
        speed: u64,
        /// The bytes that the service has sent, and the reader does not have yet.
        rest: Bytes,
        /// True if the wait is that of the next piece.
        is_waiting: bool,
    },
    /// A body that has broken off.
    Broken,
    /// A body that comes as the service sends it.
    Over,
}

impl BodyInjection {
    /// Begins a fault of a body. An empty one has none, nor has one that would delay too many calls.
    pub(super) fn begin<B: Body>(
        chaos: &Arc<ChaosShared>,
        fault: BodyFault,
        body: &B,
    ) -> Option<Box<Self>> {
        let exact = body.size_hint().exact();
        if exact == Some(0) || body.is_end_stream() {
            return None;
        }
        match fault {
            BodyFault::Cut { after } => Some(Box::new(BodyInjection::Cut {
                chaos: chaos.clone(),
                left: exact.map_or(after, |exact| cut_at(after, exact)),
            })),
            BodyFault::Slow { speed } => {
                let wait = Wait::new(DelayedCall::new(chaos)?, None);
                chaos.record(FaultKind::BodySlow);
                Some(Box::new(BodyInjection::Slow {
                    wait,
                    speed,
                    rest: Bytes::new(),
                    is_waiting: false,
                }))
            }
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self, BodyInjection::Broken)
    }

    /// Returns whether the body needs nothing further.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, BodyInjection::Broken | BodyInjection::Over)
    }

    /// Returns whether something comes, whatever the service's body says.
    pub(super) fn has_more(&self) -> bool {
        match self {
            BodyInjection::Cut { .. } => true,
            BodyInjection::Slow { rest, .. } => !rest.is_empty(),
            BodyInjection::Broken | BodyInjection::Over => false,
        }
    }

    /// Returns the size of what comes. That of a body that will break off is what it promises.
    pub(super) fn size_hint(&self, inner: SizeHint) -> SizeHint {
        let BodyInjection::Slow { rest, .. } = self else {
            return inner;
        };
        let rest = rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }

    pub(super) fn poll_frame<B>(&mut self, inner: Pin<&mut B>, cx: &mut Context<'_>) -> PolledFrame
    where
        B: Body<Data = Bytes, Error = BoxError>,
    {
        match self {
            BodyInjection::Cut { chaos, .. } if !chaos.is_on() => *self = BodyInjection::Over,
            BodyInjection::Cut { .. } => return self.poll_cut(inner, cx),
            BodyInjection::Slow { .. } => return self.poll_slow(inner, cx),
            BodyInjection::Broken | BodyInjection::Over => {}
        }
        inner.poll_frame(cx)
    }

    /// Forwards what comes before the cut, and breaks off there, or where the body ends before.
    fn poll_cut<B>(&mut self, inner: Pin<&mut B>, cx: &mut Context<'_>) -> PolledFrame
    where
        B: Body<Data = Bytes, Error = BoxError>,
    {
        let BodyInjection::Cut { chaos, left } = self else {
            return Poll::Ready(None);
        };
        if *left > 0 {
            match ready!(inner.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        let length = usize::try_from(*left).unwrap_or(usize::MAX);
                        data.truncate(length);
                        *left -= data.len() as u64;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                None => {}
                // It breaks off by itself.
                Some(Err(error)) => {
                    *self = BodyInjection::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        let error = chaos.record(FaultKind::BodyCut).into();
        *self = BodyInjection::Broken;
        Poll::Ready(Some(Err(error)))
    }

    /// Forwards the body in pieces, each after its time.
    fn poll_slow<B>(&mut self, mut inner: Pin<&mut B>, cx: &mut Context<'_>) -> PolledFrame
    where
        B: Body<Data = Bytes, Error = BoxError>,
    {
        let BodyInjection::Slow {
            wait,
            speed,
            rest,
            is_waiting,
        } = self
        else {
            return Poll::Ready(None);
        };
        while rest.is_empty() {
            match ready!(inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => {
                    *self = BodyInjection::Over;
                    return Poll::Ready(end);
                }
            }
        }
        let piece = piece_len(*speed).min(rest.len());
        if !*is_waiting {
            wait.restart(Duration::from_secs_f64(piece as f64 / *speed as f64));
            *is_waiting = true;
        }
        let data = match ready!(wait.poll(cx)) {
            DelayEnd::Elapsed => {
                *is_waiting = false;
                rest.split_to(piece)
            }
            DelayEnd::SwitchedOff => {
                let all = std::mem::take(rest);
                *self = BodyInjection::Over;
                all
            }
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// Returns how much of a body comes before it breaks off: of one that is known to be no longer, a half.
fn cut_at(after: u64, exact: u64) -> u64 {
    if exact > after { after } else { exact / 2 }
}

/// Returns the bytes of one piece of a slow body.
fn piece_len(speed: u64) -> usize {
    let bytes = speed.saturating_mul(PIECE_TIME.as_millis() as u64) / 1_000;
    usize::try_from(bytes.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_body_is_cut_in_the_middle() {
        for (after, exact, expected) in [
            (1_024, 10_000, 1_024),
            (1_024, 1_025, 1_024),
            (1_024, 1_024, 512),
            (1_024, 1, 0),
            (0, 7, 0),
        ] {
            assert_eq!(cut_at(after, exact), expected, "{after} of {exact}");
        }
    }

    #[test]
    fn piece_is_a_tenth_of_a_second_long_and_never_empty() {
        for (speed, bytes) in [(1, 1), (10, 1), (1_024, 102), (1 << 30, 107_374_182)] {
            assert_eq!(piece_len(speed), bytes, "{speed}");
        }
    }
}
