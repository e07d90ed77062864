//! Retries: of work, of services, of HTTP and gRPC requests.

mod client;
mod completion;
#[cfg(feature = "tonic")]
mod connections;
mod context;
mod layer;
mod metastable;
mod policy;
mod properties;
mod run;
#[cfg(all(feature = "hyper", feature = "tonic"))]
mod unsent;
