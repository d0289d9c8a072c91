//! JSON-RPC 2.0 over HTTP: what the node answers to programs, and the client that asks.
//!
//! *Owns* the method table, from which the answers, the help and the OpenRPC document come
//! (`docs/rpc.md`). *Invariants*: an answer about the tip, an account or the supply comes from one
//! published moment, all of it durable; a refused call carries a code
//! outside the reserved range and a stable word that programs can match on; an error of JSON-RPC
//! is an HTTP 200.
//! *Never* blocks the loop, and never answers a caller that can't show the cookie unless the
//! operator switched that off.

pub mod auth;
pub mod client;
mod envelope;
mod error;
mod methods;
mod metrics;
mod nearest;
mod params;
mod render;
mod service;

pub use envelope::{BATCH_CALLS_MAX, Batch, Call, answer, parse_body};
pub use error::RpcError;
pub(crate) use nearest::nearest;
pub use service::{Facts, RpcService};

#[cfg(test)]
mod tests;
