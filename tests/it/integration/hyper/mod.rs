//! The layer around hyper-util's client, a hyper server and plain services, over real connections.

mod client;
mod plain;
mod server;
