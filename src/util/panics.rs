//! The location of a panic, which the panic hook knows and the code that catches the panic does not.
//!
//! The details wait in the thread for the code that catches the panic, travel with the payload, and report themselves when they
//! are dropped unreported: a panic is never lost, and never reported twice.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    io::{self, Write},
    panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind},
    ptr,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tracing::{Level, Span, dispatcher, subscriber::NoSubscriber};

use super::hook::{panic_message, report_hook_panic};
use crate::util::text::truncate;

/// The target of the events that report panics.
const TARGET: &str = "tower_keep::panic";
/// The maximum length of a message, in bytes.
pub(super) const MAX_MESSAGE: usize = 4_096;

/// Added to the depths for code that catches panics.
const CATCH_UNIT: u32 = 1;
/// Added to the depths for a guarded call.
const CALL_UNIT: u32 = 1 << 16;

thread_local! {
    /// The number of catch scopes, and above 16 bits the number of calls, that this thread is inside of.
    static DEPTHS: Cell<u32> = const { Cell::new(0) };
    /// True if `LAST_PANIC` holds something: cheaper to read, since it needs no destructor.
    static HAS_LAST_PANIC: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: Cell<Option<Box<PanicDetails>>> = const { Cell::new(None) };
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Installs a panic hook that adds the location of panics to the log and to error records. Once per process; further calls do
/// nothing. `logging::install` calls it too.
///
/// | a panic | without | with |
/// |---|---|---|
/// | of a guarded call, or of an operation | std's report on stderr, and the call's line | the call's line and error record, both with `file:line:column` |
/// | that a handler catches itself | std's report | one event at `WARN` |
/// | of a hook, subscriber or recorder | std's report, and [`hook_panics`](crate::hook_panics) | one event at `ERROR`, and `hook_panics` |
/// | anywhere else | std's report | one event at `ERROR` |
///
/// A report that no subscriber takes goes to stderr. With `RUST_BACKTRACE` set, std reports as well. A custom hook that was installed
/// before always runs, too; one that is installed later should run the one that it replaces.
///
/// A panic outside of calls is reported from inside the panic hook: a subscriber that panics there aborts the process.
///
/// First thing in `main`:
///
/// ```
/// tower_keep::errors::capture_panics();
/// ```
pub fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let found = panic::take_hook();
        // Taken twice, there is only std's own left. A wrong `false` would only report twice.
        #[allow(ambiguous_wide_pointer_comparisons)]
        let is_std = ptr::eq(&*found, &*panic::take_hook());
        let wants_trace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
        let always = !is_std || wants_trace;
        panic::set_hook(Box::new(move |info| {
            if always {
                found(info);
                on_panic(info);
            } else if !on_panic(info) {
                found(info);
            }
        }));
    });
}

/// Stashes the details of a panic for the code that catches it, or reports them at once. Returns `false` if no subscriber took
/// them.
fn on_panic(info: &PanicHookInfo<'_>) -> bool {
    // Where panics abort, no code runs after the hook.
    let is_caught = cfg!(panic = "unwind") && catch_depth() > 0;
    let seen = Box::new(PanicDetails {
        message: truncate(panic_message(info.payload()), MAX_MESSAGE).to_owned(),
        location: info.location().map(ToString::to_string),
        // Reported elsewhere, but with the IDs of the span that panicked.
        span: if is_caught {
            Span::current()
        } else {
            Span::none()
        },
        reported: AtomicBool::new(!is_caught),
    });
    if is_caught {
        stash(seen);
        return true;
    }
    log_panic(&seen, "panicked", Level::ERROR)
}

pub(super) fn stash(seen: Box<PanicDetails>) {
    let earlier = LAST_PANIC.try_with(|slot| slot.replace(Some(seen)));
    HAS_LAST_PANIC.set(true);
    // Two panics at once: the process may be about to abort, and a subscriber may be why.
    if let Ok(Some(earlier)) = earlier
        && !earlier.mark_reported()
    {
        earlier.write_to_stderr();
    }
}

pub(super) fn take_stashed() -> Option<Box<PanicDetails>> {
    if !HAS_LAST_PANIC.replace(false) {
        return None;
    }
    LAST_PANIC.try_with(Cell::take).ok().flatten()
}

/// The scope in which panics of this thread are caught and reported by this crate.
#[derive(Debug)]
#[must_use]
pub struct CatchScope(u32);

impl CatchScope {
    /// Opens a scope around all that a guarded call does on this thread: its service and its hooks.
    #[inline]
    pub(crate) fn enter_call() -> Self {
        CatchScope::push(CATCH_UNIT + CALL_UNIT)
    }

    /// Opens a scope around custom code that is not a call.
    #[inline]
    pub(crate) fn enter() -> Self {
        CatchScope::push(CATCH_UNIT)
    }

    // Restored in the end, not counted down: the second update of a counter would wait for the first.
    #[inline]
    fn push(what: u32) -> Self {
        let before = DEPTHS.get();
        // Would overflow beyond 65,535 scopes, for which no stack has room.
        DEPTHS.set(before.wrapping_add(what));
        CatchScope(before)
    }
}

impl Drop for CatchScope {
    #[inline]
    fn drop(&mut self) {
        DEPTHS.set(self.0);
        if HAS_LAST_PANIC.get() {
            report_unclaimed();
        }
    }
}

/// Reports a panic that has passed through all scopes, or that other code has caught.
#[cold]
fn report_unclaimed() {
    // The code that catches it may be in a scope around this one.
    if catch_depth() > 0 {
        return;
    }
    match take_stashed() {
        // Its drop reports it: the panic goes on into code that is not ours.
        Some(seen) if thread::panicking() => drop(seen),
        Some(seen) => seen.report_caught(),
        None => {}
    }
}

fn catch_depth() -> u32 {
    DEPTHS.get() % CALL_UNIT
}

/// Returns the number of guarded calls that this thread is inside of.
pub(crate) fn call_depth() -> u32 {
    DEPTHS.get() / CALL_UNIT
}

/// The payload of a panic, made a [`CapturedPanic`](super::captured_panic::CapturedPanic) where it is handled: earlier, that would copy the result of every
/// successful call.
pub(crate) type PanicPayload = Box<dyn Any + Send>;

/// Runs code that may panic, and catches the panic.
#[inline]
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, PanicPayload> {
    catch_unwind(AssertUnwindSafe(work))
}

/// Runs a service, which may catch panics itself: those are reported.
#[inline]
pub(crate) fn catch_service<R>(work: impl FnOnce() -> R) -> Result<R, PanicPayload> {
    /// A guard, so that the result, which may be a large future, is not moved once more.
    struct CheckOnReturn;
    impl Drop for CheckOnReturn {
        #[inline]
        fn drop(&mut self) {
            if HAS_LAST_PANIC.get() {
                report_swallowed();
            }
        }
    }
    catch(|| {
        let _then = CheckOnReturn;
        work()
    })
}

/// Reports a panic that the service has caught itself, unless the thread unwinds right now.
#[cold]
fn report_swallowed() {
    if thread::panicking() {
        return;
    }
    if let Some(seen) = take_stashed() {
        seen.report_caught();
    }
}

/// The details of a panic, as the panic hook has seen them.
pub(crate) struct PanicDetails {
    pub(super) message: String,
    location: Option<String>,
    /// The span in which it happened, for the IDs of the event.
    span: Span,
    reported: AtomicBool,
}

impl PanicDetails {
    pub(crate) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Marks the panic as reported. Returns whether it was before.
    pub(crate) fn mark_reported(&self) -> bool {
        self.reported.swap(true, Ordering::Relaxed)
    }

    /// Reports a panic that other code has caught.
    pub(super) fn report_caught(&self) {
        self.report("caught a panic", Level::WARN);
    }

    #[cold]
    pub(super) fn report(&self, what: &'static str, level: Level) {
        if self.mark_reported() {
            return;
        }
        if !self.span.in_scope(|| log_panic(self, what, level)) {
            self.write_to_stderr();
        }
    }

    /// Writes the panic to stderr, as the last resort.
    fn write_to_stderr(&self) {
        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let location = self.location().unwrap_or("<unknown>");
        let message = &self.message;
        // Escaped, so that no message can forge a line.
        let _ = writeln!(
            io::stderr(),
            "thread '{name}' panicked at {location}: {message:?}"
        );
    }
}

impl Drop for PanicDetails {
    fn drop(&mut self) {
        self.report("panicked", Level::ERROR);
    }
}

impl fmt::Debug for PanicDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicDetails")
            .field("message", &self.message)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

// A macro, since the level of an event must be a constant. Evaluates to whether a subscriber takes the event.
macro_rules! panic_event {
    ($level:expr, $seen:expr, $what:expr) => {{
        let is_enabled = tracing::enabled!(target: TARGET, $level) && has_subscriber();
        tracing::event!(
            target: TARGET,
            $level,
            error_type = "panic",
            error = $seen.message.as_str(),
            error_location = $seen.location(),
            thread = thread::current().name(),
            "{}",
            $what
        );
        is_enabled
    }};
}

/// Returns whether this thread has a subscriber. `enabled!` alone does not tell: it may go by the interest of a subscriber of
/// another thread, which tracing has cached.
fn has_subscriber() -> bool {
    dispatcher::get_default(|subscriber| !subscriber.is::<NoSubscriber>())
}

/// Logs a panic. Returns `false` if no subscriber takes it, or if the subscriber panics.
fn log_panic(seen: &PanicDetails, what: &'static str, level: Level) -> bool {
    // The subscriber panicked while it took a panic. Its own must not be sent to it.
    if REPORTING.replace(true) {
        return false;
    }
    let emit = || match level {
        Level::WARN => panic_event!(Level::WARN, seen, what),
        _ => panic_event!(Level::ERROR, seen, what),
    };
    let is_logged = catch(emit).unwrap_or_else(|thrown| {
        report_hook_panic(thrown);
        false
    });
    REPORTING.set(false);
    is_logged
}
