//! Access to the console, to see and to change something: tokens, one-time login links, sessions, the application's own
//! login.
//!
//! Nothing is open without a policy: [`Ops::console`](super::Ops::console) takes an [`Access`]. Viewers see all; operators
//! can also change what [`allow_control`](super::OpsBuilder::allow_control) allows.
//!
//! | a caller has | it is accepted by |
//! |---|---|
//! | `Authorization: Bearer` with a token of [`viewer_token`](AccessBuilder::viewer_token) or [`operator_token`](AccessBuilder::operator_token) | every route: for scripts and scrapers |
//! | a token, typed into the page | the page, as a session cookie (`HttpOnly`, `SameSite=Strict`) |
//! | a [login link](Access::login_link), which is valid once and for 15 minutes | the page, as a session cookie: for development |
//! | whatever the closure of [`by`](AccessBuilder::by) accepts, such as the session of the application | every route |
//!
//! Tokens are compared in a time that depends on their lengths alone, and are never shown. Requests that change
//! something must be sent by the page itself: their `Origin`, if they have one, must be the host, or one of
//! [`trusted_origin`](AccessBuilder::trusted_origin); WebSockets and server-sent events too.
//!
//! Logins and requests with a token that is wrong wait for half a second, and are in the [journal](super::journal), counted by
//! [address](AccessBuilder::client_address) and minute. One that is right never waits: nobody can lock an operator out. That is
//! also why the delay protects no token that can be guessed. Take one from a generator.
//!
//! # Clones
//!
//! Clones of an [`Access`] share sessions and login links.

mod builder;
mod failed_logins;
mod identity;
mod login_codes;
mod origin;
mod policy;
mod role;
mod secret;
mod sessions;

pub(super) use self::failed_logins::{FailedLoginCount, FailedLogins, LoginSource};
pub use self::{builder::AccessBuilder, identity::Identity, policy::Access, role::Role};
