use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

/// A file of the page as it is served.
#[derive(Debug)]
pub(crate) struct Asset {
    name: String,
    content_type: &'static str,
    body: Bytes,
}

impl Asset {
    /// Creates an asset with the hash of its content in its name: `app.css` becomes `app-0123456789abcdef.css`.
    pub(super) fn hashed(file: &str, content_type: &'static str, body: Bytes) -> Self {
        // Keyed with zeros: the same content has the same name in each process of a build. It is a name, not a proof.
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let hash = hasher.finish();
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        Asset {
            name: format!("{stem}-{hash:016x}.{extension}"),
            content_type,
            body,
        }
    }

    /// Creates a page, which has no hash in its name and must not be cached.
    pub(super) fn page(file: &str, body: String) -> Self {
        Asset {
            name: file.to_owned(),
            content_type: "text/html; charset=utf-8",
            body: body.into(),
        }
    }

    /// Returns the name below `assets/`, with the hash.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value of `Content-Type`.
    pub(crate) fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Returns the content.
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_name_has_the_hash_of_the_content_before_the_extension() {
        let name = |body: &'static [u8]| {
            let asset = Asset::hashed("app.css", "text/css", Bytes::from_static(body));
            assert_eq!((asset.content_type(), &*asset.body()), ("text/css", body));
            asset.name().to_owned()
        };
        let (one, other) = (name(b"abc"), name(b"abx"));
        assert_eq!(one, name(b"abc"));
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[..4], &one[20..]), (24, "app-", ".css"));
    }

    #[test]
    fn page_keeps_its_name() {
        let page = Asset::page("index.html", "text".to_owned());
        assert_eq!(page.name(), "index.html");
        assert_eq!(page.content_type(), "text/html; charset=utf-8");
        assert_eq!(page.body(), "text");
    }
}
