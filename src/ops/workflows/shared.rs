use std::{
    cmp::Reverse,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    Board, BoardLimits, LiveRun, Run, RunError, RunState, WorkflowId, json, metrics, run::RunParent,
};
use crate::{
    call::Label,
    context::Context,
    ops::{
        recorder::Recorder,
        store::{Collection, Document, Store},
    },
};

/// The most memory of what runs: then steps are counted and no more.
const MAX_RUNNING_BYTES: usize = 32 * 1_024 * 1_024;
/// The most memory of what is finished.
pub(super) const MAX_FINISHED_BYTES: usize = 8 * 1_024 * 1_024;
/// The longest text of one in the file, in bytes.
const MAX_DOCUMENT: usize = 200 * 1_024;
/// The most references that are copied under one lock.
const BATCH: usize = 256;

/// The place of workflows that have none of their own.
static INSTALLED: RwLock<Weak<Workflows>> = RwLock::new(Weak::new());

/// The workflows of an [`Ops`](crate::ops::Ops).
pub(crate) struct Workflows {
    board: Mutex<Board<Arc<LiveRun>>>,
    store: Store,
    /// The most runs that are read from its file.
    max_restored: usize,
    is_restored: AtomicBool,
    /// The number of times that the file had been opened when all that ran was in it.
    opened: AtomicU64,
    running_bytes: AtomicUsize,
    /// Steps, texts and errors that are missing because of a limit.
    dropped: AtomicU64,
    counted_missed: AtomicU64,
    counted_dropped: AtomicU64,
    /// The number of changes of a state.
    version: AtomicU64,
    is_notified: AtomicBool,
    changed: Notify,
}

/// The start of a workflow.
#[derive(Debug)]
pub(super) struct RunStart {
    pub(super) name: Label,
    /// The workflow that it is a part of, and the step.
    pub(super) parent: Option<(Arc<LiveRun>, Option<u32>)>,
    pub(super) attributes: Vec<(Label, String)>,
    pub(super) expected_steps: Option<u32>,
}

impl Workflows {
    /// Creates it, with what a process of before has left, and returns the runs that are lost. Blocks where there is a file.
    pub(crate) fn open(running: usize, finished: usize, store: Store) -> (Arc<Self>, Vec<Run>) {
        let bounds = BoardLimits {
            running,
            finished,
            bytes: MAX_FINISHED_BYTES,
        };
        let workflows = Workflows {
            board: Mutex::new(Board::new(bounds)),
            max_restored: running + finished,
            is_restored: AtomicBool::new(false),
            opened: AtomicU64::new(store.opened()),
            store,
            running_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            counted_missed: AtomicU64::new(0),
            counted_dropped: AtomicU64::new(0),
            version: AtomicU64::new(0),
            is_notified: AtomicBool::new(false),
            changed: Notify::new(),
        };
        let lost = workflows.restore();
        (Arc::new(workflows), lost)
    }

    /// Reads what a process of before has left, once there is a file that can be read, and returns the runs that are lost.
    fn restore(&self) -> Vec<Run> {
        let trouble = self.store.trouble();
        // Without a file there is nothing, and one that another process still has may have runs which are not lost.
        let can_read = trouble.is_some_and(|trouble| trouble.reason().is_none());
        if !can_read || self.is_restored.swap(true, Relaxed) {
            return Vec::new();
        }
        let mut lost = Vec::new();
        let documents = self.store.load(Collection::Workflows, self.max_restored);
        // The newest come first, and are to be dropped last.
        for document in documents.into_iter().rev() {
            let Some(mut run) = json::parse(&document.json) else {
                continue;
            };
            // One of this process, where the file could not be read at first.
            if self.find(run.id).is_some() {
                continue;
            }
            let is_lost = run.state == RunState::Running;
            if is_lost {
                let seen = document.at.duration_since(run.started_at);
                run.end(RunState::Lost, seen.unwrap_or_default(), None);
                put(&self.store, &run);
                lost.push(run.clone());
            }
            let live = LiveRun::new(run.clone(), Instant::now(), Weak::new());
            let evicted = self.lock().restore(&run, Arc::new(live), is_lost);
            drop(evicted);
        }
        lost
    }

    /// Makes this the place of workflows that have none of their own.
    pub(crate) fn install(self: &Arc<Self>) {
        *lock_installed() = Arc::downgrade(self);
    }

    /// Does the same, unless there is one.
    pub(crate) fn install_if_none(self: &Arc<Self>) {
        let mut installed = lock_installed();
        if installed.strong_count() == 0 {
            *installed = Arc::downgrade(self);
        }
    }

    /// Returns what was installed, if it is still there.
    pub(super) fn installed() -> Option<Arc<Workflows>> {
        let installed = INSTALLED.read();
        installed.unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Begins a run in the current context; `None` if too many run.
    pub(super) fn begin(self: &Arc<Self>, beginning: RunStart) -> Option<Arc<LiveRun>> {
        let (at, started) = (SystemTime::now(), Instant::now());
        let parent = beginning.parent.as_ref().map(|(live, step)| RunParent {
            id: live.id,
            step: step.and_then(|index| live.look(|run| run.step_name(index))),
        });
        let begin = |id| {
            let mut run = Run::new(id, beginning.name, at);
            run.parent = parent;
            run.expected_steps = beginning.expected_steps;
            for (name, value) in &beginning.attributes {
                run.set_attribute(name.as_str(), value);
            }
            Context::peek(|context| {
                if let Some(context) = context {
                    run.set_ids(context.correlation_id(), &context.trace_id().to_string());
                }
            });
            Arc::new(LiveRun::new(run, started, Arc::downgrade(self)))
        };
        let live = self.lock().begin(at, begin)?;
        let bytes = live.look(|run| {
            put(&self.store, run);
            run.bytes()
        });
        self.account(bytes, 0);
        if let Some((parent, Some(step))) = beginning.parent {
            parent.change(|run, _, _| run.set_child(step, live.id));
        }
        self.notify();
        Some(live)
    }

    /// Ends a run, unless it has ended.
    pub(super) fn end(&self, live: &LiveRun, state: RunState, error: Option<RunError>) {
        let ended = live.change(|run, elapsed, _| run.end(state, elapsed, error));
        if !ended {
            return;
        }
        // A copy of a few kilobytes, so that the lock of all is never held together with that of one.
        let run = live.look(Run::clone);
        let evicted = self.lock().end(&run);
        drop(evicted);
        self.account(run.bytes().wrapping_neg(), 0);
        put(&self.store, &run);
        self.notify();
    }

    /// Writes what has changed since the last tick, so that the file says in which step a run was; all, where it is another file. Returns runs that are lost, which a
    /// file that could not be read at first has. Blocks then.
    pub(crate) fn tick(&self) -> Vec<Run> {
        if self.store.trouble().is_none() {
            return Vec::new();
        }
        let opened = self.store.opened();
        let is_other_file = self.opened.swap(opened, Relaxed) != opened;
        for live in self.running() {
            if live.take_dirty() || is_other_file {
                // A copy, since writing takes longer than a step may wait.
                put(&self.store, &live.look(Run::clone));
            }
        }
        self.restore()
    }

    /// Returns those that run, the oldest first.
    pub(crate) fn running(&self) -> Vec<Arc<LiveRun>> {
        let mut all: Vec<Arc<LiveRun>> = Vec::new();
        loop {
            // In parts, since workflows that begin wait for the lock.
            let after = all.last().map(|live| live.id);
            let part = self.lock().running_after(after, BATCH);
            let is_last = part.len() < BATCH;
            all.extend(part.into_iter().map(|(_, live)| live));
            if is_last {
                return all;
            }
        }
    }

    /// Returns up to `limit` that run, the one that began last first.
    pub(crate) fn latest_running(&self, limit: usize) -> Vec<Arc<LiveRun>> {
        self.lock().running_last(limit)
    }

    /// Returns all, the latest first.
    pub(crate) fn all(&self) -> Vec<Arc<LiveRun>> {
        let mut all = self.running();
        all.extend(self.lock().finished_last(usize::MAX));
        all.sort_by_key(|live| Reverse(live.id));
        // One that ended in between.
        all.dedup_by_key(|live| live.id);
        all
    }

    /// Returns up to `limit` that have ended, the one that began last first.
    pub(crate) fn latest_finished(&self, limit: usize) -> Vec<Arc<LiveRun>> {
        let mut latest = self.lock().finished_last(limit);
        latest.sort_by_key(|live| Reverse(live.id));
        latest.truncate(limit);
        latest
    }

    pub(crate) fn find(&self, id: WorkflowId) -> Option<Arc<LiveRun>> {
        self.lock().find(id)
    }

    /// Looks at statistics, at the number of those that run, and at that of those that are missing.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Board<Arc<LiveRun>>) -> R) -> R {
        look(&self.lock())
    }

    /// Counts what is missing since it was counted last.
    pub(crate) fn count(&self, recorder: &Recorder) {
        let missed = self.look(Board::missed);
        for (part, all, counted) in [
            ("workflow", missed, &self.counted_missed),
            ("detail", self.dropped(), &self.counted_dropped),
        ] {
            let more = all - counted.swap(all, Relaxed);
            if more > 0 {
                metrics::count_dropped(recorder, part, more);
            }
        }
    }

    /// Returns how many steps, texts and errors are missing because of a limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Returns the number of changes of a state.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    /// Waits for a change of a state.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
        self.is_notified.store(false, Relaxed);
    }

    pub(super) fn notify(&self) {
        self.version.fetch_add(1, Relaxed);
        if !self.is_notified.swap(true, Relaxed) {
            self.changed.notify_one();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.running_bytes.load(Relaxed) < MAX_RUNNING_BYTES
    }

    /// Counts bytes, which may be negative, and what was dropped.
    pub(super) fn account(&self, bytes: usize, dropped: u64) {
        if bytes != 0 {
            // Wraps, as a negative number does.
            self.running_bytes.fetch_add(bytes, Relaxed);
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board<Arc<LiveRun>>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock_installed() -> RwLockWriteGuard<'static, Weak<Workflows>> {
    INSTALLED.write().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a run to the file, if there is one. Of one with too many steps the first are left out.
fn put(store: &Store, run: &Run) {
    if store.trouble().is_none() {
        return;
    }
    let mut json = json::detail(run).to_string();
    let mut steps = run.steps.len();
    while json.len() > MAX_DOCUMENT && steps > 0 {
        steps /= 2;
        let mut shorter = run.clone();
        shorter.keep_last_steps(steps);
        json = json::detail(&shorter).to_string();
    }
    let document = Document {
        key: run.id.to_string(),
        at: match run.took {
            Some(took) => run.started_at + took,
            None => SystemTime::now().max(run.started_at),
        },
        json,
    };
    store.put(Collection::Workflows, document);
}

impl fmt::Debug for Workflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Workflows");
        let running = self.lock().running();
        debug.field("running", &running).finish_non_exhaustive()
    }
}
