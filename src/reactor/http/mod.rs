//! HTTP/1.1 for the RPC and for health checks: requests and answers as bytes, without a socket.
//!
//! *Invariants*: two readers of the same bytes can't disagree on where a request ends, because
//! everything that leaves room for it is refused: a length given twice or beside a transfer
//! coding, any transfer coding, a line end without CR, a folded line, a space before a colon. A
//! connection holds one request and its answer at a time, each within its cap.
//! *Never* serves a browser's page: a request that names an `Origin`, or a `Host` that is neither
//! an address nor a configured name, is refused, so that no web page reaches the node through
//! somebody's browser, whatever name it had itself resolved by.

use crate::types::BLOCK_BYTES_MAX;

mod connection;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use connection::HttpConnection;
pub use request::{HttpRequest, Method, Refusal};
pub use response::{HttpResponse, Status};

/// The most bytes of a request line and its headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// The most headers of a request.
pub const HEADERS_MAX: usize = 64;
/// The most bytes of a body that every request may have: a batch of 100 transactions of the
/// greatest size is more, but nobody sends those.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a body that few requests at a time may have: the greatest block in
/// hexadecimal, and the call around it.
pub const LARGE_BODY_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX + 1_024;
