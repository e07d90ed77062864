use std::{sync::Arc, time::Duration};

use http::request::Parts;

use super::{
    Access, Identity, Role,
    policy::{Decide, Policy},
    secret::Secret,
};
use crate::{call::ConfigError, context::TrustedProxies};

/// The shortest token, in bytes: 128 bits as hex digits have 32, as letters some 22.
const MIN_TOKEN: usize = 16;
const MAX_TOKEN: usize = 512;
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The default lifetime of sessions: a working day.
pub(super) const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);

/// A builder of an [`Access`].
#[derive(Debug)]
pub struct AccessBuilder {
    tokens: Vec<(Secret, Role)>,
    decide: Option<Decide>,
    trusted_origins: Vec<Box<str>>,
    session_lifetime: Duration,
    proxies: TrustedProxies,
}

impl AccessBuilder {
    pub(super) fn new() -> Self {
        AccessBuilder {
            tokens: Vec::new(),
            decide: None,
            trusted_origins: Vec::new(),
            session_lifetime: SESSION_LIFETIME,
            proxies: TrustedProxies::none(),
        }
    }

    /// Adds a token with which callers see everything and change nothing, 16 to 512 bytes.
    #[must_use]
    pub fn viewer_token(mut self, token: impl Into<String>) -> Self {
        self.tokens.push((Secret::new(&token.into()), Role::Viewer));
        self
    }

    /// Adds a token of operators, 16 to 512 bytes.
    #[must_use]
    pub fn operator_token(mut self, token: impl Into<String>) -> Self {
        self.tokens
            .push((Secret::new(&token.into()), Role::Operator));
        self
    }

    /// Sets a closure that knows the callers of the application, such as by its session. It decides for those who have no
    /// token; `None` refuses them. One that panics refuses them, too.
    ///
    /// ```
    /// use tower_keep::ops::{Access, Identity, Role};
    ///
    /// #[derive(Clone)]
    /// struct User { name: String, is_admin: bool } // what the application's own login leaves in the extensions
    ///
    /// let access = Access::builder().by(|request| {
    ///     let user = request.extensions.get::<User>()?;
    ///     let role = if user.is_admin { Role::Operator } else { Role::Viewer };
    ///     Some(Identity::new(role).named(&user.name))
    /// });
    /// # access.build()?;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn by(
        mut self,
        decide: impl Fn(&Parts) -> Option<Identity> + Send + Sync + 'static,
    ) -> Self {
        self.decide = Some(Decide(Arc::new(decide)));
        self
    }

    /// Adds an origin beside the own host whose pages may change something, such as `https://ops.example.com` where a proxy
    /// changes the host.
    #[must_use]
    pub fn trusted_origin(mut self, origin: impl Into<Box<str>>) -> Self {
        self.trusted_origins.push(origin.into());
        self
    }

    /// Sets how long a session lasts: 1 minute to 30 days. Default: 12 hours, a working day.
    #[must_use]
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = lifetime;
        self
    }

    /// Sets the proxies that are trusted to name the address of the client, which the journal shows for logins that fail. Default:
    /// none, so that it is the address of the peer, if the server says that: see [`TrustedProxies`].
    #[must_use]
    pub fn client_address(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// Returns an error if a token is shorter or longer than allowed, if the lifetime of sessions is out of its range, or if
    /// an origin has a path or no scheme.
    pub fn build(self) -> Result<Access, ConfigError> {
        let invalid = |field: &'static str, value: String, allowed: &'static str| {
            Err(ConfigError::new("console access", field, value, allowed))
        };
        for (token, role) in &self.tokens {
            if !(MIN_TOKEN..=MAX_TOKEN).contains(&token.len()) {
                let field = match role {
                    Role::Viewer => "viewer_token",
                    Role::Operator => "operator_token",
                };
                // Its length alone: errors get into logs.
                let value = format!("{} bytes long", token.len());
                return invalid(field, value, "16 to 512 bytes long");
            }
        }
        let lifetime = self.session_lifetime;
        if !(Duration::from_secs(60)..=MAX_LIFETIME).contains(&lifetime) {
            return invalid(
                "session_lifetime",
                format!("{lifetime:?}"),
                "1 minute to 30 days",
            );
        }
        for origin in &self.trusted_origins {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_none_or(|authority| authority.is_empty() || authority.contains('/')) {
                let value = format!("{origin:?}");
                return invalid(
                    "trusted_origin",
                    value,
                    "a scheme and a host, such as https://ops.example.com",
                );
            }
        }
        Ok(Access::new(Policy {
            tokens: self.tokens,
            decide: self.decide,
            trusted_origins: self.trusted_origins,
            session_lifetime: lifetime,
            proxies: self.proxies,
        }))
    }
}
