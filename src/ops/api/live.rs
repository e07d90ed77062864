//! `GET api/v1/live` and `api/v1/events`: the same frames over WebSocket and as server-sent events.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode, Uri, request::Parts};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{ApiResult, Problem, params::Params, state::ApiState, status::greeting};
#[cfg(feature = "ops-logs")]
use crate::ops::logs::LogQuery;
use crate::ops::{
    Access, Identity,
    core::Core,
    push::{Channels, EVERY, NextUpdate, NoSeat, TAIL_PARAMS, Viewer, ViewerSeat, unknown_channel},
};

/// The longest message of a viewer.
const MAX_MESSAGE: usize = 4 * 1_024;
/// The time that a viewer may take for one frame.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// The time between two tries of a connection, below the usual idle limits of proxies, and of the right of its viewer.
const PING: Duration = Duration::from_secs(15);
/// The time for which a connection may be silent.
const SILENCE: Duration = Duration::from_secs(45);
const DEFAULT_EVERY: u64 = 2;

/// The reason for which the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    GoingAway,
    Unauthorized,
    TooSlow,
    /// All seats are taken.
    Full,
    /// The viewer has gone, or is silent.
    Gone,
}

pub(super) async fn socket(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let viewer = viewer(&state, &identity, &parts.uri)?;
    let upgrade = upgrade.map_err(|_| {
        Problem::invalid(
            "upgrade",
            "this is a WebSocket; api/v1/events has the same as server-sent events",
        )
    })?;
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    let watch = match Watch::new(&state, viewer, identity, parts) {
        Ok(watch) => watch,
        Err(NoSeat::Full) => return turn_away(&state, upgrade),
        Err(closed) => return Err(closed.into()),
    };
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let end = serve(watch, &mut socket).await;
        close(socket, end).await;
    }))
}

/// Says over the WebSocket that all seats are taken: a browser does not tell its page with which status an upgrade was
/// rejected. Rejects it where too many are told so already.
fn turn_away(state: &ApiState, upgrade: WebSocketUpgrade) -> ApiResult<Response> {
    let turned_away = state.core.hub.turn_away().ok_or(NoSeat::Full)?;
    Ok(upgrade.on_upgrade(async move |socket| {
        close(socket, End::Full).await;
        drop(turned_away);
    }))
}

pub(super) async fn events(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    parts: Parts,
) -> ApiResult<Response> {
    // Such a page could read nothing, but take all places.
    if !state.access.accepts_origin(&parts.headers, &parts.uri) {
        return Err(Problem::foreign_origin());
    }
    let viewer = viewer(&state, &identity, &parts.uri)?;
    let mut watch = Watch::new(&state, viewer, identity, parts)?;
    // A task of its own, since nobody polls the body of a viewer that takes nothing. The frame that waits is all there is.
    let (frames, mut waiting) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok(frame) = watch.next_until(frames.closed()).await {
            if !matches!(timeout(SEND_LIMIT, frames.send(frame)).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    let events = stream::poll_fn(move |context| {
        let frame = waiting.poll_recv(context);
        frame.map(|frame| frame.map(|frame| Ok::<_, Infallible>(Event::default().data(frame))))
    });
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(PING))
        .into_response();
    // Or nginx collects the frames of a while.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn viewer(state: &ApiState, identity: &Identity, uri: &Uri) -> ApiResult<Viewer> {
    let known = [&["channels", "every"], TAIL_PARAMS].concat();
    let params = Params::parse(uri, &known)?;
    let channels = match params.text("channels") {
        Some(names) => {
            let parsed = Channels::parse(names.split(',').filter(|name| !name.is_empty()));
            parsed.map_err(|name| Problem::invalid("channels", unknown_channel(name)))?
        }
        None => Channels::DEFAULT,
    };
    let every = params.number("every", EVERY, DEFAULT_EVERY)?;
    let viewer = Viewer::new(greeting(&state.core, identity), channels, every);
    #[cfg(feature = "ops-logs")]
    let viewer = viewer.with_tail(LogQuery::parse(|name| params.text(name))?);
    Ok(viewer)
}

impl From<NoSeat> for Problem {
    fn from(error: NoSeat) -> Self {
        match error {
            NoSeat::Full => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "all places for viewers are taken",
            ),
            NoSeat::Closed => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the service shuts down")
            }
        }
    }
}

/// A viewer with its seat. It does not hold what it looks at, and so ends with it.
struct Watch {
    core: Weak<Core>,
    access: Access,
    viewer: Viewer,
    seat: ViewerSeat,
    /// The one who looks, and the request that said so.
    identity: Identity,
    parts: Parts,
    is_new: bool,
    checked: Instant,
}

impl Watch {
    fn new(
        state: &ApiState,
        viewer: Viewer,
        identity: Identity,
        parts: Parts,
    ) -> Result<Self, NoSeat> {
        let seat = state.core.hub.join()?;
        Ok(Watch {
            core: Arc::downgrade(&state.core),
            access: state.access.clone(),
            viewer,
            seat,
            identity,
            parts,
            is_new: true,
            checked: Instant::now(),
        })
    }

    /// Waits for the next frame. Cancel safe: an update that was taken is in the viewer.
    async fn next(&mut self) -> Result<String, End> {
        loop {
            if self.is_new {
                let update = self.core()?.first(SystemTime::now());
                self.is_new = false;
                return Ok(self.viewer.hello(&update));
            }
            match self.seat.next().await {
                NextUpdate::Update(update) => {
                    self.check()?;
                    if let Some(frame) = self.viewer.on_update(&update) {
                        return Ok(frame);
                    }
                }
                // It begins anew.
                NextUpdate::Lost => self.is_new = true,
                NextUpdate::Closed => return Err(End::GoingAway),
            }
        }
    }

    /// Waits for the next frame, unless the viewer goes before.
    async fn next_until(&mut self, gone: impl Future<Output = ()>) -> Result<String, End> {
        tokio::select! {
            frame = self.next() => frame,
            () = gone => Err(End::Gone),
        }
    }

    /// Does what the viewer asks for, and returns the answer.
    fn answer(&mut self, message: &str) -> Result<String, End> {
        let present = self.core()?.present(SystemTime::now());
        Ok(self.viewer.on_message(message, &present))
    }

    /// Looks from time to time whether the viewer may still see: sessions end, and users lose roles.
    fn check(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now.duration_since(self.checked) < PING {
            return Ok(());
        }
        self.checked = now;
        match self.access.identify(&self.parts, now) {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(End::Unauthorized),
        }
    }

    fn core(&self) -> Result<Arc<Core>, End> {
        self.core.upgrade().ok_or(End::GoingAway)
    }
}

/// Serves a viewer until it goes, is too slow, or is silent for too long.
async fn serve(mut watch: Watch, socket: &mut WebSocket) -> End {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            frame = watch.next() => frame.map(Message::text),
            message = socket.recv() => {
                heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => watch.answer(&text).map(Message::text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                    // The socket answers pings by itself.
                    Some(Ok(_)) => continue,
                }
            }
            _ = pings.tick() => match heard.elapsed() > SILENCE {
                true => Err(End::Gone),
                false => Ok(Message::Ping(Default::default())),
            }
        };
        let sent = match message {
            Ok(message) => timeout(SEND_LIMIT, socket.send(message)).await,
            Err(end) => return end,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => return End::TooSlow,
        }
    }
}

/// Says why the connection ends, where that can be said.
async fn close(mut socket: WebSocket, end: End) {
    let (code, reason) = match end {
        End::GoingAway => (1001, "going away"),
        End::Unauthorized => (4401, "not authorized"),
        End::TooSlow => (4408, "too slow"),
        End::Full => (4429, "too many viewers"),
        End::Gone => return,
    };
    let close = Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    }));
    // One that takes nothing gets this as the last thing in its buffer, if at all.
    let _ = timeout(SEND_LIMIT, socket.send(close)).await;
}
