use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, Uri, header, request::Parts};
use tokio::time::Instant;

use super::{
    AccessBuilder, Identity, Role,
    builder::SESSION_LIFETIME,
    login_codes::LoginCodes,
    origin::{host, is_same_origin},
    secret::{Secret, new_secret},
    sessions::Sessions,
};
use crate::{call::catch_hook, context::TrustedProxies};

/// The name of the session cookie.
const COOKIE: &str = "tower_keep_ops";

/// A policy of who may see the console, and who may change something; see [operations](crate::ops).
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    policy: Policy,
    sessions: Mutex<Sessions>,
    codes: Mutex<LoginCodes>,
}

/// Checked settings.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) tokens: Vec<(Secret, Role)>,
    pub(super) decide: Option<Decide>,
    pub(super) trusted_origins: Vec<Box<str>>,
    pub(super) session_lifetime: Duration,
    /// The proxies that name the address of the client.
    pub(super) proxies: TrustedProxies,
}

type DecideFn = dyn Fn(&Parts) -> Option<Identity> + Send + Sync;

#[derive(Clone)]
pub(super) struct Decide(pub(super) Arc<DecideFn>);

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decide(..)")
    }
}

impl Access {
    /// Returns a builder without any token.
    ///
    /// Tokens from the environment, one for operators and one for dashboards and scrapers:
    ///
    /// ```no_run
    /// use std::env::var;
    /// use tower_keep::ops::Access;
    ///
    /// let access = Access::builder()
    ///     .operator_token(var("OPS_OPERATOR_TOKEN")?)
    ///     .viewer_token(var("OPS_VIEWER_TOKEN")?)
    ///     .build()?;
    /// # let _ = access;
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn builder() -> AccessBuilder {
        AccessBuilder::new()
    }

    /// Returns a policy for development that accepts [login links](Self::login_link) alone.
    ///
    /// ```
    /// use tower_keep::ops::Access;
    ///
    /// let access = Access::login_links();
    /// println!("http://127.0.0.1:3000/ops/{}", access.login_link()?);
    /// # Ok::<_, tower_keep::BoxError>(())
    /// ```
    pub fn login_links() -> Self {
        Access::new(Policy {
            tokens: Vec::new(),
            decide: None,
            trusted_origins: Vec::new(),
            session_lifetime: SESSION_LIFETIME,
            proxies: TrustedProxies::none(),
        })
    }

    pub(super) fn new(policy: Policy) -> Self {
        let sessions = Sessions::new(policy.session_lifetime);
        Access(Arc::new(Shared {
            policy,
            sessions: Mutex::new(sessions),
            codes: Mutex::default(),
        }))
    }

    /// Returns the path and query of a link, relative to where the console is mounted, that logs an operator in. It is valid
    /// once, and for 15 minutes.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no random numbers.
    pub fn login_link(&self) -> Result<String, std::io::Error> {
        let code = new_secret().map_err(std::io::Error::from)?;
        self.lock_codes().insert(&code, Instant::now());
        Ok(format!("login?code={code}"))
    }

    /// Returns who sends the request: by a token, by a session, or by the closure of the application.
    pub(crate) fn identify(&self, request: &Parts, now: Instant) -> Option<Identity> {
        let policy = &self.0.policy;
        if let Some(token) = bearer_token(&request.headers) {
            return self.identify_token(token);
        }
        let session = session_cookie(&request.headers, &request.uri);
        let session = session.and_then(|secret| self.lock_sessions().find(secret, now));
        session.or_else(|| {
            let decide = policy.decide.as_ref()?;
            catch_hook(|| (decide.0)(request)).flatten()
        })
    }

    /// Returns whether a request has a token, be it wrong.
    pub(crate) fn has_token(headers: &HeaderMap) -> bool {
        bearer_token(headers).is_some()
    }

    /// Returns the address that a request comes from, if that is known.
    pub(crate) fn client_address(&self, request: &Parts) -> Option<IpAddr> {
        let proxies = &self.0.policy.proxies;
        proxies.client_address_of(&request.extensions, &request.headers)
    }

    /// Returns whom a token identifies.
    pub(crate) fn identify_token(&self, token: &str) -> Option<Identity> {
        // All tokens, whichever matches.
        let tokens = self.0.policy.tokens.iter();
        let role = tokens.fold(None, |found, (secret, role)| match secret.matches(token) {
            true => Some(*role),
            false => found,
        });
        role.map(Identity::new)
    }

    /// Returns whom the code of a login link identifies, and uses the code up.
    pub(crate) fn redeem_code(&self, code: &str, now: Instant) -> Option<Identity> {
        let is_valid = self.lock_codes().redeem(code, now);
        is_valid.then(|| Identity::new(Role::Operator))
    }

    /// Begins a session, and returns the value of its `set-cookie`.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no random numbers.
    pub(crate) fn begin_session(
        &self,
        identity: Identity,
        (headers, uri): (&HeaderMap, &Uri),
        now: Instant,
    ) -> Result<String, getrandom::Error> {
        let secret = new_secret()?;
        self.lock_sessions().insert(&secret, identity, now);
        let seconds = self.0.policy.session_lifetime.as_secs();
        let secure = if is_loopback(host(headers, uri)) {
            ""
        } else {
            "; Secure"
        };
        // Without a path it holds for the folder of the login, which is where the console is mounted.
        Ok(format!(
            "{}={secret}; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}",
            cookie_name(headers, uri)
        ))
    }

    /// Ends the session of a request, and returns the `set-cookie` that removes its cookie.
    pub(crate) fn end_session(&self, (headers, uri): (&HeaderMap, &Uri)) -> String {
        if let Some(secret) = session_cookie(headers, uri) {
            self.lock_sessions().remove(secret);
        }
        let name = cookie_name(headers, uri);
        format!("{name}=; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    /// Returns whether a page of this origin may change something.
    pub(crate) fn accepts_origin(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        is_same_origin(headers, uri, &self.0.policy.trusted_origins)
    }

    fn lock_sessions(&self) -> MutexGuard<'_, Sessions> {
        let sessions = &self.0.sessions;
        sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_codes(&self) -> MutexGuard<'_, LoginCodes> {
        let codes = &self.0.codes;
        codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Access");
        debug
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the name of the cookie: with the port, since all ports of a host share their cookies, and two consoles of one machine
/// would end each other's sessions.
fn cookie_name(headers: &HeaderMap, uri: &Uri) -> String {
    let port = host(headers, uri).and_then(|host| Some(host.rsplit_once(':')?.1));
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(port) => format!("{COOKIE}_{port}"),
        None => COOKIE.to_owned(),
    }
}

fn session_cookie<'a>(headers: &'a HeaderMap, uri: &Uri) -> Option<&'a str> {
    let wanted = cookie_name(headers, uri);
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}

/// Returns whether the browser asked for this machine itself, where there is no TLS. A remote caller who claims so gets a cookie
/// that its own browser sends without TLS, which harms nobody else.
fn is_loopback(host: Option<&str>) -> bool {
    host.is_some_and(|host| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    })
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
