//! Bytes of a connection to messages and back.
//!
//! *Owns* the transport of one connection: handshake, frames, lanes, credit, and the messages in
//! them. *Invariants*: bytes mean the same however they were cut into reads; whatever is wrong
//! with them is a fault after which the connection says nothing more; no buffer grows by what
//! a length field says, only by bytes that came. *Never* opens a socket, reads a clock or draws
//! randomness, and never looks at what a block or transaction means.
//!
//! Every byte is in `docs/protocol.md`.

mod lane;
pub mod message;

pub use lane::{LANES, Lane};
pub use message::{Message, MessageKind};
