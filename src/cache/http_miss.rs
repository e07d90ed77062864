use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Response, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    cached_body::CachedBody,
    freshness::{Freshness, is_superseding, remove_connection_headers},
    http_entry::{HttpEntry, Variant},
    metrics::CacheEvent,
    misses::Miss,
    recording::Recording,
    shared::CacheShared,
    vary::Selected,
};
use crate::{
    call::BoxError,
    coalesce::{HeadKey, SharedBytes},
};

/// The place of the responses of one URI.
pub(super) struct HttpPlace {
    pub(super) shared: Arc<CacheShared>,
    pub(super) hash: u64,
    pub(super) key: HeadKey,
}

/// The places of all responses that a successful request may have changed.
pub(super) struct Invalidation {
    pub(super) shared: Arc<CacheShared>,
    /// Of each form of the URI.
    pub(super) hashes: [u64; 3],
}

/// A request that was not answered from the cache, and may be answered from there if the call fails.
pub(super) struct HttpMiss {
    place: HttpPlace,
    miss: Miss,
    request: HeaderMap,
    started_at: Instant,
    stale: Option<Arc<Variant>>,
}

impl Invalidation {
    /// Removes what is kept, and keeps nothing that is on its way.
    pub(super) fn run(&self) {
        for hash in self.hashes {
            self.shared.remove(hash);
        }
    }
}

impl HttpMiss {
    pub(super) fn new(
        place: HttpPlace,
        request: HeaderMap,
        started_at: Instant,
        stale: Option<Arc<Variant>>,
    ) -> Self {
        HttpMiss {
            miss: place.shared.begin(place.hash),
            place,
            request,
            started_at,
            stale,
        }
    }

    /// Returns the response that is kept for a call that has failed, if it may be that old, with its age.
    pub(super) fn stale(&self) -> Option<(Arc<Variant>, Duration)> {
        let variant = self.stale.as_ref()?;
        let age = variant.age(Instant::now());
        let setting = self.place.shared.times().stale_if_error();
        if !variant.freshness.may_be_stale(age, setting) {
            return None;
        }
        self.place.shared.count(CacheEvent::Stale);
        Some((variant.clone(), age))
    }

    /// Hands a response on, and records it if it may be kept and is not known to be too long.
    pub(super) fn finish<B>(self, response: Response<B>) -> Response<CachedBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let (head, body) = response.into_parts();
        let settings = self.place.shared.settings();
        let is_short = body.size_hint().lower() <= u64::from(settings.max_body_bytes);
        let body = match self.variant(&head).filter(|_| is_short) {
            Some(variant) => {
                let HttpPlace { shared, key, .. } = self.place;
                let recording = Recording::new(shared, key, self.miss, variant, &settings);
                CachedBody::recorded(body, recording)
            }
            None => {
                self.remove_superseded(&head);
                CachedBody::from_service(body)
            }
        };
        Response::from_parts(head, body)
    }

    /// Returns a response as it is kept, without its body, if it may be.
    fn variant(&self, head: &response::Parts) -> Option<Variant> {
        let received_at = Instant::now();
        let delay = received_at.saturating_duration_since(self.started_at);
        let now = SystemTime::now();
        let freshness = Freshness::of_response(&self.request, head, now, delay)?;
        let selected = Selected::new(&self.request, &head.headers)?;
        let mut headers = head.headers.clone();
        remove_connection_headers(&mut headers);
        Some(Variant {
            selected,
            status: head.status,
            version: head.version,
            headers,
            body: SharedBytes::default(),
            freshness,
            received_at,
        })
    }

    /// Removes what is kept if a response that is not kept has taken its place.
    fn remove_superseded(&self, head: &response::Parts) {
        let HttpPlace { shared, hash, .. } = &self.place;
        if is_superseding(&self.request, head) && shared.get::<HttpEntry>(*hash).is_some() {
            shared.remove(*hash);
        }
    }
}
