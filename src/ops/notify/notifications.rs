use std::{
    collections::VecDeque,
    fmt,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    task::{AbortHandle, JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use super::{
    ErasedChannel, EventNotice, Notification, channel_handle::ChannelHandle,
    channel_store::StoredChannels, metrics, origin::Origin,
};
use crate::{
    call::ConfigError,
    ops::{
        health::{Check, CheckResult},
        journal::{Event, Journal},
        store::Store,
    },
};

/// The most channels.
const MAX_CHANNELS: usize = 64;
/// The notifications that wait until what was told before a restart is read.
const MAX_EARLY: usize = 1_000;
/// The longest wait for the file of the store. Messages wait meanwhile.
const FILE_LIMIT: Duration = Duration::from_secs(10);
/// The time between two looks at what was not tried yet.
const TRIED_POLL: Duration = Duration::from_millis(20);
/// The time between two looks at the health of a channel, which reads a few numbers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// All channels, each with a task of its own. The tasks end when it is dropped.
#[derive(Default)]
pub(crate) struct Notifications {
    inner: Arc<Inner>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Inner {
    channels: Vec<Arc<ChannelHandle>>,
    store: Store,
    /// Notifications that came before the channels knew what they had told.
    early: Mutex<Early>,
}

#[derive(Debug, Default)]
struct Early {
    is_over: bool,
    waiting: VecDeque<Arc<Notification>>,
}

impl Notifications {
    /// Checks the channels.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid, or if two channels have one name.
    pub(crate) fn new(
        channels: Vec<ErasedChannel>,
        origin: Origin,
        store: &Store,
    ) -> Result<Self, ConfigError> {
        let origin = Arc::new(origin);
        let component = format!("ops {:?}", origin.service.as_str());
        let error = |value: String, expected: &str| {
            Err(ConfigError::new(&*component, "notify", value, expected))
        };
        if channels.len() > MAX_CHANNELS {
            let expected = format!("at most {MAX_CHANNELS} channels");
            return error(channels.len().to_string(), &expected);
        }
        let mut handles: Vec<Arc<ChannelHandle>> = Vec::with_capacity(channels.len());
        for channel in channels {
            let handle = ChannelHandle::new(channel, origin.clone(), store.clone())?;
            if handles.iter().any(|other| other.name() == handle.name()) {
                let name = format!("{:?} twice", handle.name());
                return error(name, "a name for each channel: see ChannelBuilder::named");
            }
            handles.push(Arc::new(handle));
        }
        Ok(Notifications {
            inner: Arc::new(Inner {
                channels: handles,
                store: store.clone(),
                early: Mutex::default(),
            }),
            task: Mutex::default(),
        })
    }

    /// Returns a check for each channel.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let channels = self.inner.channels.iter().cloned();
        let checks = channels.map(|channel| {
            let name = channel.component().to_owned();
            Check::new(name, move || {
                let result: CheckResult = channel.health();
                async { result }
            })
            .kind("notification_channel")
            .interval(HEALTH_INTERVAL)
        });
        checks.collect()
    }

    /// Returns the channels, in the order in which they were added.
    pub(crate) fn channels(&self) -> &[Arc<ChannelHandle>] {
        &self.inner.channels
    }

    /// Returns a channel.
    pub(crate) fn channel(&self, name: &str) -> Option<&Arc<ChannelHandle>> {
        let mut channels = self.inner.channels.iter();
        channels.find(|channel| channel.name() == name)
    }

    /// Starts the channels on the runtime of the caller.
    pub(crate) fn spawn(&self, journal: &Journal) {
        if self.inner.channels.is_empty() {
            return;
        }
        let task = tokio::spawn(run(self.inner.clone(), journal.clone()));
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(task.abort_handle());
    }

    /// Tells all channels that want it. Returns at once.
    pub(crate) fn send(&self, notification: Notification) {
        self.inner.send(Arc::new(notification));
    }

    /// Waits until each message was tried at least once.
    pub(crate) async fn tried(&self) {
        let is_tried = |inner: &Inner| {
            let is_early = !inner.early().waiting.is_empty();
            !is_early && inner.channels.iter().all(|channel| channel.is_tried())
        };
        while !is_tried(&self.inner) {
            sleep(TRIED_POLL).await;
        }
    }
}

impl Inner {
    fn early(&self) -> MutexGuard<'_, Early> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, notification: Arc<Notification>) {
        if self.channels.is_empty() {
            return;
        }
        let mut early = self.early();
        if !early.is_over {
            let is_full = early.waiting.len() == MAX_EARLY;
            if is_full {
                early.waiting.pop_front();
            }
            early.waiting.push_back(notification);
            drop(early);
            if is_full {
                let names = self.channels.iter().map(|channel| channel.name());
                names.for_each(|name| metrics::count(name, "dropped", 1));
            }
            return;
        }
        drop(early);
        self.push(&notification);
    }

    fn push(&self, notification: &Arc<Notification>) {
        let (at, now) = (SystemTime::now(), Instant::now());
        for channel in &self.channels {
            channel.push(notification, at, now);
        }
    }

    /// Takes in what came before the channels were ready, in order.
    fn end_early(&self) {
        loop {
            let mut early = self.early();
            let Some(notification) = early.waiting.pop_front() else {
                early.is_over = true;
                return;
            };
            drop(early);
            self.push(&notification);
        }
    }
}

/// Reads what is in the store, then runs the channels.
async fn run(inner: Arc<Inner>, journal: Journal) {
    let mut events = journal.subscribe();
    drop(journal);
    file_is_there(&inner.store).await;
    let restored = inner.clone();
    let restoring = spawn_blocking(move || {
        let stored = StoredChannels::load(&restored.store);
        let (at, now) = (SystemTime::now(), Instant::now());
        for channel in &restored.channels {
            channel.restore(&stored, at, now);
        }
    });
    // Where reading has failed, the channels begin anew.
    let _ = restoring.await;
    inner.end_early();
    // Ends them when this task is aborted.
    let mut channels = JoinSet::new();
    for channel in &inner.channels {
        channels.spawn(channel.clone().run());
    }
    if !inner.channels.iter().any(|each| each.follows_journal()) {
        return pending().await;
    }
    loop {
        let event = events.next().await;
        follow(&inner, &event);
    }
}

/// Waits until the file of the store can be used, for a time: the process that is replaced may still have it.
async fn file_is_there(store: &Store) {
    if let Some(trouble) = store.trouble() {
        let mut reasons = trouble.watch();
        let there = reasons.wait_for(Option::is_none);
        // Where it does not become usable, the channels begin anew.
        let _ = timeout(FILE_LIMIT, there).await;
    }
}

/// Tells an event of the journal to the channels that want its kind.
fn follow(inner: &Inner, event: &Event) {
    // A channel that fails must not be told of by itself: that would never end.
    if inner
        .channels
        .iter()
        .any(|each| each.component() == event.subject())
    {
        return;
    }
    let (kind, severity) = (event.kind(), event.severity());
    let wants = |channel: &&Arc<ChannelHandle>| channel.wants_journal(kind, severity);
    let mut wanting = inner.channels.iter().filter(wants).peekable();
    if wanting.peek().is_none() {
        return;
    }
    let title = format!("{}: {}", event.subject(), event.text());
    let mut notice = EventNotice::new(format!("journal_{}", kind.as_str()), severity, title);
    notice.at = event.at();
    let notification = Arc::new(Notification::Event(notice));
    let (at, now) = (SystemTime::now(), Instant::now());
    for channel in wanting {
        channel.push_journal(notification.clone(), at, now);
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.inner.channels.iter().map(|channel| channel.name());
        f.debug_list().entries(names).finish()
    }
}
