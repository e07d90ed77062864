use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use tokio::time::Instant;

use super::{cached_body::CachedBody, freshness::Freshness, vary::Selected};
use crate::coalesce::{HeadKey, SharedBytes};

/// More responses than one URI needs, by language and encoding.
const MAX_VARIANTS: usize = 8;
/// The memory of an entry besides its texts and its body, in bytes.
const OVERHEAD: usize = 512;

/// The responses that are kept for one URI: one for each set of values of the headers that they vary by.
pub(super) struct HttpEntry {
    key: HeadKey,
    /// The latest comes last.
    variants: Vec<Arc<Variant>>,
}

/// A response that is kept.
pub(super) struct Variant {
    pub(super) selected: Selected,
    pub(super) status: StatusCode,
    pub(super) version: Version,
    /// Without those of the connection, and without `Age`.
    pub(super) headers: HeaderMap,
    pub(super) body: SharedBytes,
    pub(super) freshness: Freshness,
    pub(super) received_at: Instant,
}

impl HttpEntry {
    /// Returns the entry with one more variant, which replaces one with the same values, or the oldest.
    pub(super) fn with(before: Option<&HttpEntry>, key: HeadKey, variant: Variant) -> Self {
        let before = before.filter(|entry| entry.key == key);
        let others = before.map_or(&[][..], |entry| entry.variants.as_slice());
        let mut variants: Vec<_> = others
            .iter()
            .filter(|other| other.selected != variant.selected)
            .cloned()
            .collect();
        let excess = (variants.len() + 1).saturating_sub(MAX_VARIANTS);
        variants.drain(..excess);
        variants.push(Arc::new(variant));
        HttpEntry { key, variants }
    }

    /// Returns the response that was selected by the same values as those of this request.
    pub(super) fn select(&self, key: &HeadKey, request: &HeaderMap) -> Option<Arc<Variant>> {
        let mut latest = self.variants.iter().rev();
        let selected = latest.find(|variant| variant.selected.matches(request));
        selected.filter(|_| self.key == *key).cloned()
    }

    /// Returns about how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let variants = self.variants.iter();
        self.key.len() + variants.map(|variant| variant.bytes()).sum::<usize>()
    }
}

impl Variant {
    /// Returns how old the response is now.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let kept = now.saturating_duration_since(self.received_at);
        self.freshness.initial_age.saturating_add(kept)
    }

    /// Returns the response, with its age.
    pub(super) fn to_response<B>(&self, age: Duration) -> Response<CachedBody<B>> {
        let mut response = Response::new(CachedBody::from_kept(self.body.clone()));
        *response.status_mut() = self.status;
        *response.version_mut() = self.version;
        *response.headers_mut() = self.headers.clone();
        let seconds = HeaderValue::from(age.as_secs());
        response.headers_mut().insert(header::AGE, seconds);
        response
    }

    fn bytes(&self) -> usize {
        let fields = self.headers.iter();
        let headers: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum();
        OVERHEAD + headers + self.selected.bytes() + self.body.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        headers
    }

    fn variant(language: &str) -> Variant {
        let request = headers("accept-language", language);
        let mut response = Response::new(()).into_parts().0;
        response.headers = headers("cache-control", "max-age=60");
        let now = SystemTime::UNIX_EPOCH;
        let freshness = Freshness::of_response(&request, &response, now, Duration::ZERO);
        Variant {
            selected: Selected::new(&request, &headers("vary", "accept-language")).expect("names"),
            status: StatusCode::OK,
            version: Version::HTTP_11,
            headers: headers("x-language", language),
            body: SharedBytes::default(),
            freshness: freshness.expect("kept"),
            received_at: Instant::now(),
        }
    }

    #[test]
    fn entry_keeps_the_latest_response_of_each_selection_and_few_of_them() {
        let key =
            HeadKey::of_target(&"/".parse().expect("a URI"), &HeaderMap::new()).expect("a key");
        let other =
            HeadKey::of_target(&"/a".parse().expect("a URI"), &HeaderMap::new()).expect("a key");
        let mut entry = HttpEntry::with(None, key.clone(), variant("l0"));
        for number in 1..20 {
            entry = HttpEntry::with(Some(&entry), key.clone(), variant(&format!("l{number}")));
        }
        entry = HttpEntry::with(Some(&entry), key.clone(), variant("l19"));
        let select = |language| {
            let request = headers("accept-language", language);
            let selected = entry.select(&key, &request);
            selected.map(|variant| variant.headers["x-language"].clone())
        };
        assert_eq!(entry.variants.len(), MAX_VARIANTS);
        assert_eq!(select("l19").expect("kept"), "l19");
        assert_eq!(select("l12").expect("kept"), "l12");
        assert_eq!(select("l11"), None);
        let request = headers("accept-language", "l19");
        assert!(entry.select(&other, &request).is_none());
        let fresh = HttpEntry::with(Some(&entry), other, variant("l1"));
        assert_eq!(fresh.variants.len(), 1, "of another key");
    }
}
