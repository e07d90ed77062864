use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A file of the page as it is served.
#[derive(Debug)]
pub(crate) struct Asset {
    name: String,
    content_type: &'static str,
    body: Bytes,
}

impl Asset {
    /// Creates an asset with the hash of its content in its name: `app.css` becomes `app-0123456789ab.css`.
    pub(super) fn hashed(file: &str, content_type: &'static str, body: Bytes) -> Self {
        let digest = Sha256::digest(&body);
        let hash: String = digest[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        Asset {
            name: format!("{stem}-{hash}.{extension}"),
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
    fn hashed_name_has_first_six_bytes_of_sha256_before_extension() {
        let asset = Asset::hashed("app.css", "text/css", Bytes::from_static(b"abc"));
        assert_eq!(asset.name(), "app-ba7816bf8f01.css");
        assert_eq!(asset.content_type(), "text/css");
        assert_eq!(asset.body(), "abc");
    }

    #[test]
    fn page_keeps_its_name() {
        let page = Asset::page("index.html", "text".to_owned());
        assert_eq!(page.name(), "index.html");
        assert_eq!(page.content_type(), "text/html; charset=utf-8");
        assert_eq!(page.body(), "text");
    }
}
