use std::{error::Error, fmt, io, sync::OnceLock, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{AsyncSmtpTransportBuilder, authentication::Credentials},
};
use ring::digest;

use super::{
    Channel, ChannelBuilder, Message, Receipt, SendError, SendFuture,
    email_templates::{EmailTemplates, Rendered},
};
use crate::{
    call::{ConfigError, sources},
    util::text::write_error_chain,
};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// The most receivers: more are a list, which a mail server keeps.
const MAX_RECEIVERS: usize = 50;
/// The time limit of one command. That of the attempt is above it.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
const MAX_ERROR: usize = 400;

/// Email, by an SMTP server.
///
/// Each mail is text and HTML, and says that it was sent automatically. Those about the same alerts are one thread, since they
/// refer to the same ID; further attempts have the same `Message-ID`. The templates can be replaced.
pub struct Email {
    host: String,
    security: Security,
    pub(super) port: Option<u16>,
    pub(super) credentials: Option<(String, String)>,
    from: Option<Mailbox>,
    to: Vec<Mailbox>,
    templates: EmailTemplates,
    /// The first setting that is invalid: field, value and what is expected.
    invalid: Option<(&'static str, String, String)>,
    transport: OnceLock<Result<Transport, String>>,
}

/// The encryption of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    StartTls,
    Tls,
    None,
}

impl Email {
    /// Creates a builder of a channel with the name `email`, for a server that encrypts by STARTTLS: port 587. A server that does
    /// not offer it gets no mail.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, journal::Severity, notify::Email};
    ///
    /// let email = Email::starttls("smtp.example")
    ///     .credentials("orders", "hunter2")
    ///     .from("Orders <orders@example.org>")
    ///     .to("oncall@example.org")
    ///     .at_least(Severity::Warning);
    /// let ops = Ops::builder("orders").notify(email).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn starttls(host: &str) -> ChannelBuilder<Email> {
        Email::new(host, Security::StartTls)
    }

    /// Creates a builder of a channel with the name `email`, for a server that encrypts from the beginning: port 465.
    ///
    /// ```
    /// use tower_keep::ops::notify::Email;
    ///
    /// let email = Email::tls("smtp.example").from("orders@example.org").to("oncall@example.org");
    /// # let _ = email;
    /// ```
    pub fn tls(host: &str) -> ChannelBuilder<Email> {
        Email::new(host, Security::Tls)
    }

    /// Creates a builder of a channel with the name `email`, for a server on the same machine or in a network that is trusted:
    /// port 25, without encryption, and so without credentials.
    ///
    /// ```
    /// use tower_keep::ops::notify::Email;
    ///
    /// let email = Email::unencrypted("localhost").from("orders@example.org").to("oncall@example.org");
    /// # let _ = email;
    /// ```
    pub fn unencrypted(host: &str) -> ChannelBuilder<Email> {
        Email::new(host, Security::None)
    }

    fn new(host: &str, security: Security) -> ChannelBuilder<Email> {
        let email = Email {
            host: host.to_owned(),
            security,
            port: None,
            credentials: None,
            from: None,
            to: Vec::new(),
            templates: EmailTemplates::new(),
            invalid: None,
            transport: OnceLock::new(),
        };
        ChannelBuilder::new("email", email)
    }

    pub(super) fn set_sender(&mut self, address: &str) {
        match address.parse() {
            Ok(mailbox) => self.from = Some(mailbox),
            Err(_) => self.set_invalid("from", address, "an address of mail"),
        }
    }

    pub(super) fn add_receiver(&mut self, address: &str) {
        match address.parse() {
            Ok(_) if self.to.len() == MAX_RECEIVERS => {
                self.set_invalid("to", address, "one of 50 at most");
            }
            Ok(mailbox) => self.to.push(mailbox),
            Err(_) => self.set_invalid("to", address, "an address of mail"),
        }
    }

    pub(super) fn set_subject(&mut self, template: &str) {
        if let Err(error) = self.templates.set_subject(template) {
            self.set_invalid("subject", template, format!("a template: {error}"));
        }
    }

    pub(super) fn set_text(&mut self, template: &str) {
        if let Err(error) = self.templates.set_text(template) {
            self.set_invalid("text_template", "it", format!("a template: {error}"));
        }
    }

    pub(super) fn set_html(&mut self, template: &str) {
        if let Err(error) = self.templates.set_html(template) {
            self.set_invalid("html_template", "it", format!("a template: {error}"));
        }
    }

    fn set_invalid(&mut self, field: &'static str, value: &str, expected: impl Into<String>) {
        let value = format!("{value:?}");
        self.invalid
            .get_or_insert_with(|| (field, value, expected.into()));
    }

    fn transport(&self) -> Result<&Transport, SendError> {
        let transport = self
            .transport
            .get_or_init(|| self.connect().map_err(|error| error.to_string()));
        transport.as_ref().map_err(SendError::permanent)
    }

    fn connect(&self) -> Result<Transport, lettre::transport::smtp::Error> {
        let mut builder: AsyncSmtpTransportBuilder = match self.security {
            Security::StartTls => Transport::starttls_relay(&self.host)?,
            Security::Tls => Transport::relay(&self.host)?,
            Security::None => Transport::builder_dangerous(self.host.clone()),
        };
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some((user, password)) = &self.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(builder.timeout(Some(COMMAND_LIMIT)).build())
    }

    fn mail(&self, message: &Message, rendered: Rendered) -> Result<Mail, SendError> {
        let from = self
            .from
            .clone()
            .ok_or_else(|| SendError::permanent("the sender is missing"))?;
        let domain = from.email.domain().to_owned();
        let mut mail = Mail::builder()
            .from(from)
            .subject(rendered.subject)
            .message_id(Some(format!("<{}@{domain}>", message.id())))
            .date(message.at())
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            // So that nobody's holiday is told to the alerts.
            .raw_header(raw("X-Auto-Response-Suppress", "All"));
        if let Some(key) = message.notification().key() {
            let thread = format!("<{}@{domain}>", thread_id(message.service(), key));
            mail = mail.in_reply_to(thread.clone()).references(thread);
        }
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let body = MultiPart::alternative_plain_html(rendered.text, rendered.html);
        mail.multipart(body)
            .map_err(|error| SendError::permanent(error.to_string()))
    }

    /// Returns the error without the password.
    fn send_error(&self, error: &lettre::transport::smtp::Error) -> SendError {
        let mut text = String::new();
        write_error_chain(&mut text, MAX_ERROR, error);
        if let Some((_, password)) = &self.credentials
            && !password.is_empty()
        {
            text = text.replace(password.as_str(), "…");
        }
        let status = error.status().map(u16::from);
        let with_status = |error: SendError| match status {
            Some(status) => error.with_status(status),
            None => error,
        };
        if error.is_permanent() || error.is_client() {
            return with_status(SendError::permanent(text));
        }
        let failed = with_status(SendError::retryable(text));
        match error.is_transient() || error.is_tls() || was_not_connected(error) {
            true => failed,
            // The end of the mail may have arrived.
            false => failed.uncertain(),
        }
    }
}

impl Channel for Email {
    fn kind(&self) -> &str {
        "email"
    }

    fn target(&self) -> String {
        let to: Vec<_> = self
            .to
            .iter()
            .take(3)
            .map(|mailbox| mailbox.email.to_string())
            .collect();
        let more = self.to.len().saturating_sub(3);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more} by {}", to.join(", "), self.host)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let error = |field, value: &str, expected: &str| {
            Err(ConfigError::new("email channel", field, value, expected))
        };
        if let Some((field, value, expected)) = &self.invalid {
            return error(field, value, expected);
        }
        if self.host.is_empty()
            || self
                .host
                .contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return error("host", &format!("{:?}", self.host), "the name of a server");
        }
        if self.from.is_none() {
            return error("from", "missing", "an address of mail");
        }
        if self.to.is_empty() {
            return error("to", "missing", "an address of mail");
        }
        if self.security == Security::None && self.credentials.is_some() {
            return error("credentials", "set", "left out without encryption");
        }
        Ok(())
    }

    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
        Box::pin(async move {
            let rendered = self.templates.render(message);
            let rendered =
                rendered.map_err(|error| SendError::permanent(format!("template: {error}")))?;
            let mail = self.mail(message, rendered)?;
            let sent = self.transport()?.send(mail).await;
            let response = sent.map_err(|error| self.send_error(&error))?;
            Ok(Receipt::new().with_status(response.code().into()))
        })
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Email");
        debug
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Returns the ID to which all mails about the same alerts refer. No mail has it.
fn thread_id(service: &str, key: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{service}\n{key}").as_bytes());
    let hex = hash
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"));
    format!("alerts.{}", hex.collect::<String>())
}

fn was_not_connected(error: &(dyn Error + 'static)) -> bool {
    let kind = sources(error).find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()));
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound};
    matches!(
        kind,
        Some(ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        journal::Severity,
        notify::{Notification, fixtures},
    };

    fn email() -> ChannelBuilder<Email> {
        Email::starttls("smtp.example")
            .from("Orders <orders@example.org>")
            .to("oncall@example.org")
    }

    fn error(builder: ChannelBuilder<Email>) -> String {
        builder.channel.validate().expect_err("invalid").to_string()
    }

    #[test]
    fn email_needs_sender_receiver_and_encryption_for_credentials() {
        assert_eq!(email().credentials("a", "b").channel.validate(), Ok(()));
        let plain = Email::unencrypted("localhost").from("a@b").to("c@d");
        let expected = "email channel: credentials is set, must be left out without encryption";
        assert_eq!(error(plain.credentials("a", "hunter2")), expected);
        assert!(error(Email::tls("smtp.example").to("a@b.c")).contains("from is missing"));
        assert!(error(Email::tls("smtp.example").from("a@b.c")).contains("to is missing"));
        assert!(error(email().to("a\r\nBcc: x@y.z")).starts_with("email channel: to is"));
        assert!(error(email().html_template("{% for %}")).contains("must be a template"));
    }

    #[test]
    fn mails_about_the_same_alerts_are_one_thread() {
        let email = email().channel;
        let mail = |is_firing, id: &str| {
            let mut message = fixtures::message(Notification::Alerts(fixtures::group(
                "pay",
                Severity::Critical,
                is_firing,
            )));
            message.id = id.into();
            let rendered = email.templates.render(&message).expect("rendered");
            let mail = email.mail(&message, rendered).expect("a mail");
            String::from_utf8(mail.formatted()).expect("UTF-8")
        };
        let header = |mail: &str, name: &str| {
            let line = mail
                .lines()
                .find(|line| line.starts_with(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{name} in {mail}"))
                .to_owned()
        };
        let (first, second) = (mail(true, "msg_1"), mail(false, "msg_2"));
        assert_eq!(
            header(&first, "Message-ID"),
            "Message-ID: <msg_1@example.org>"
        );
        assert_ne!(header(&first, "Message-ID"), header(&second, "Message-ID"));
        assert_eq!(header(&first, "References"), header(&second, "References"));
        assert_eq!(
            header(&first, "Auto-Submitted"),
            "Auto-Submitted: auto-generated"
        );
        assert_eq!(
            header(&second, "Subject"),
            "Subject: [RESOLVED] pay is resolved on orders"
        );
        assert!(first.contains("multipart/alternative"));
    }

    #[test]
    fn email_shows_no_password() {
        let email = email().credentials("orders", "hunter2hunter2");
        let shown = format!("{email:?} {:?} {}", email.channel, email.channel.target());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("oncall@example.org by smtp.example"));
    }
}
