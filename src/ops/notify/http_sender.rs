use std::{fmt, sync::OnceLock, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{
    SendError,
    address_policy::AddressPolicy,
    http_answer::{HttpAnswer, read_beginning, status_error},
    http_message::HttpMessage,
    http_url::HttpUrl,
    resolver::CheckedResolver,
    secrets::Secrets,
};
use crate::{call::ConfigError, util::text::write_error_chain};

const MAX_ERROR: usize = 400;
/// The most headers that can be added.
const MAX_HEADERS: usize = 32;
const USER_AGENT: &str = concat!("tower-keep/", env!("CARGO_PKG_VERSION"));

type HttpClient = Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>;

/// The sender of JSON by POST to one address: without redirects, to checked addresses only. The address is a secret.
pub struct HttpSender {
    kind: &'static str,
    url: Option<HttpUrl>,
    headers: HeaderMap,
    secrets: Secrets,
    allows_private: bool,
    allows_plain: bool,
    /// The first setting that is invalid: field, value and what is expected.
    invalid: Option<(&'static str, String, &'static str)>,
    client: OnceLock<Result<HttpClient, String>>,
}

impl HttpSender {
    pub(super) fn new(kind: &'static str, url: &str) -> Self {
        let mut sender = HttpSender {
            kind,
            url: None,
            headers: HeaderMap::new(),
            secrets: Secrets::default(),
            allows_private: false,
            allows_plain: false,
            invalid: None,
            client: OnceLock::new(),
        };
        sender.set_url(url);
        sender
    }

    pub(super) fn set_url(&mut self, url: &str) {
        match HttpUrl::parse(url) {
            Ok(url) => self.url = Some(url),
            Err(expected) => self.set_invalid("url", "not a URL for it".to_owned(), expected),
        }
    }

    /// Keeps what `validate` reports.
    pub(super) fn set_invalid(
        &mut self,
        field: &'static str,
        value: String,
        expected: &'static str,
    ) {
        self.invalid.get_or_insert((field, value, expected));
    }

    pub(super) fn add_header(&mut self, name: &str, value: &str) {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(mut value)) = parsed else {
            let expected = "a name and a value as HTTP has them, in one line";
            return self.set_invalid("header", format!("{name:?}"), expected);
        };
        let is_ours = name == header::HOST
            || name == header::CONTENT_LENGTH
            || name == header::CONTENT_TYPE
            || name == header::TRANSFER_ENCODING
            || name == header::CONNECTION
            || name.as_str().starts_with("webhook-");
        if is_ours {
            return self.set_invalid(
                "header",
                format!("{:?}", name.as_str()),
                "one that is not set here",
            );
        }
        if self.headers.len() == MAX_HEADERS {
            return self.set_invalid("header", "one too many".to_owned(), "32 in all");
        }
        // Its value may be a token.
        value.set_sensitive(true);
        self.headers.append(name, value);
    }

    /// Adds a text that no error may show.
    pub(super) fn add_secret(&mut self, secret: &str) {
        self.secrets.add(secret);
    }

    pub(super) fn allow_private(&mut self) {
        self.allows_private = true;
    }

    pub(super) fn allow_plain(&mut self) {
        self.allows_plain = true;
    }

    fn policy(&self) -> AddressPolicy {
        let is_loopback = self.url.as_ref().is_some_and(HttpUrl::names_loopback);
        match (self.allows_private, is_loopback) {
            (true, _) => AddressPolicy::Private,
            (false, true) => AddressPolicy::Loopback,
            (false, false) => AddressPolicy::Public,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let error = |field, value: &str, expected: &str| {
            Err(ConfigError::new(
                format!("{} channel", self.kind),
                field,
                value,
                expected,
            ))
        };
        if let Some((field, value, expected)) = &self.invalid {
            return error(*field, value, expected);
        }
        let Some(url) = &self.url else {
            return error("url", "missing", "an https address");
        };
        if url.is_plain() && !url.names_loopback() && !self.allows_plain {
            return error("url", &url.shown(), "https, or see allow_plain_http");
        }
        if let Some(address) = url.literal()
            && let Err(what) = self.policy().check(address)
        {
            let expected = format!(
                "no {}: see allow_private_addresses",
                what.trim_start_matches("a ")
            );
            return error("url", &url.shown(), &expected);
        }
        Ok(())
    }

    /// Returns the address as people may see it: of its path, the last four characters.
    pub(super) fn target(&self) -> String {
        self.url.as_ref().map_or_else(String::new, HttpUrl::shown)
    }

    /// Sends JSON by POST. Returns the response if its status is a success.
    pub(super) async fn post(
        &self,
        message: HttpMessage,
        at: SystemTime,
    ) -> Result<HttpAnswer, SendError> {
        let request = self.request(message)?;
        let client = self.client.get_or_init(|| client(self.policy())).as_ref();
        let client = client.map_err(SendError::permanent)?;
        let response = client.request(request).await;
        let response = response.map_err(|error| self.transport_error(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = self.safe(&read_beginning(response).await);
        if status.is_success() {
            return Ok(HttpAnswer { status, text });
        }
        Err(status_error(status, &headers, &text, at))
    }

    fn request(&self, message: HttpMessage) -> Result<Request<Full<Bytes>>, SendError> {
        let url = self.url.as_ref();
        let uri = url.and_then(|url| match message.path {
            Some(path) => url.with_path(path),
            None => Some(url.as_uri().clone()),
        });
        let uri = uri.ok_or_else(|| SendError::permanent("the address is missing"))?;
        let mut request = Request::new(Full::new(Bytes::from(message.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        headers.extend(message.headers);
        Ok(request)
    }

    fn transport_error(&self, error: &hyper_util::client::legacy::Error) -> SendError {
        let mut text = String::new();
        write_error_chain(&mut text, MAX_ERROR, error);
        let error_text = self.safe(&text);
        let failed = SendError::retryable(error_text);
        match error.is_connect() {
            true => failed,
            // It was sent, or a part of it was.
            false => failed.uncertain(),
        }
    }

    fn safe(&self, text: &str) -> String {
        let uri = self.url.as_ref().map(HttpUrl::as_uri);
        self.secrets.mask(text, uri)
    }

    /// Writes a channel of this name, without its secrets.
    pub(super) fn fmt_channel(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct(name);
        debug
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_channel("HttpSender", f)
    }
}

fn client(policy: AddressPolicy) -> Result<HttpClient, String> {
    let mut http = HttpConnector::new_with_resolver(CheckedResolver::new(policy));
    http.enforce_http(false);
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let roots = roots
        .map_err(|error| format!("no root certificates of this system can be read: {error}"))?;
    let connector = roots.https_or_http().enable_http1().wrap_connector(http);
    let mut builder = Client::builder(TokioExecutor::new());
    // Messages are rare: a connection that is kept would be closed by then.
    Ok(builder
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false)
        .build(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(url: &str, change: fn(&mut HttpSender)) -> Result<(), String> {
        let mut sender = HttpSender::new("webhook", url);
        change(&mut sender);
        sender.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn http_sender_takes_https_or_loopback() {
        let ok = |url| validate(url, |_| {}).is_ok();
        for url in [
            "https://hooks.example/x",
            "https://1.1.1.1/x",
            "http://127.0.0.1:9093/x",
            "http://[::1]/x",
            "http://localhost/x",
        ] {
            assert!(ok(url), "{url}");
        }
        for url in [
            "http://hooks.example/x",
            "http://1.1.1.1/x",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/x",
            "https://[fd00::1]/x",
            "https://u:p@hooks.example/x",
            "ftp://hooks.example",
            "hooks.example",
            "/x",
            "",
        ] {
            assert!(!ok(url), "{url}");
        }
        assert!(validate("http://hooks.example/x", HttpSender::allow_plain).is_ok());
        assert!(validate("https://10.0.0.1/x", HttpSender::allow_private).is_ok());
        assert!(validate("https://169.254.169.254/x", HttpSender::allow_private).is_err());
    }

    #[test]
    fn http_sender_shows_no_secret() {
        let url = "https://hooks.slack.com/services/T000/B000/abcdefghWXYZ";
        let mut sender = HttpSender::new("slack", url);
        sender.add_secret("0123456789abcdef0123456789abcdef");
        sender.add_header("authorization", "Bearer hunter2hunter2");
        assert_eq!(sender.target(), "https://hooks.slack.com/…WXYZ");
        let debug = format!("{sender:?}");
        let error =
            sender.safe("no /services/T000/B000/abcdefghWXYZ for 0123456789abcdef0123456789abcdef");
        assert_eq!(error, "no …WXYZ for …cdef");
        for secret in ["abcdefgh", "hunter2", "01234567"] {
            assert!(
                !debug.contains(secret) && !error.contains(secret),
                "{debug} {error}"
            );
        }
        let invalid = validate("http://hooks.example/services/abcdefghWXYZ", |_| {});
        assert!(!invalid.expect_err("plain").contains("abcdefgh"));
    }

    #[test]
    fn http_sender_checks_headers() {
        for (name, value) in [
            ("x a", "b"),
            ("x-a", "b\r\nx-c: d"),
            ("host", "b"),
            ("webhook-id", "b"),
            ("content-type", "b"),
        ] {
            let mut sender = HttpSender::new("webhook", "https://hooks.example/x");
            sender.add_header(name, value);
            assert!(sender.validate().is_err(), "{name}");
        }
    }
}
