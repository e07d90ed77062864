use std::fmt;

use super::Window;

/// An algorithm that decides how many calls may be in flight at once, from how the calls of a [`Window`] went.
///
/// It takes no clock and no lock: it is called once per window, by the call that ends it. What it returns is kept between
/// `min` and `max` of [`AdaptiveSettings`](super::AdaptiveSettings), and does not grow while less than half of the limit is
/// in use. It may be fractional, so that small steps add up; calls are limited by the whole part.
///
/// ```
/// use tower_keep::adaptive::{Limit, Window};
///
/// /// Twice as many as were needed.
/// #[derive(Debug)]
/// struct Double;
///
/// impl Limit for Double {
///     fn update(&mut self, _limit: f64, window: &Window) -> f64 {
///         f64::from(window.max_in_flight) * 2.0
///     }
/// }
/// ```
pub trait Limit: fmt::Debug + Send + 'static {
    /// Returns the limit after a window of calls, given the one before.
    fn update(&mut self, limit: f64, window: &Window) -> f64;
}
