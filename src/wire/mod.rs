//! Bytes of a connection to messages and back.
//!
//! *Owns* the transport of one connection: handshake, frames, lanes, credit, and the messages in
//! them. *Invariants*: bytes mean the same however they were cut into reads; whatever is wrong
//! with them is a [`Fault`] after which the connection says nothing more; no buffer grows by what
//! a length field says, only by bytes that came. *Never* opens a socket, reads a clock or draws
//! randomness, and never looks at what a block or transaction means.
//!
//! Every byte is in `docs/protocol.md`.

mod bucket;
mod fault;
mod frame;
mod gate;
mod handshake;
mod identity;
mod incoming;
mod lane;
mod limits;
pub mod message;
mod outgoing;
mod transport;

pub use fault::Fault;
pub use frame::{FRAME_TEXT_MAX, REKEY_FRAMES, frames_bytes};
pub use gate::{Gate, items_of};
pub use handshake::{
    FIRST_BYTES, Handshake, HandshakeError, Network, SECOND_BYTES, THIRD_BYTES, shake_hands,
};
pub use identity::NodeIdentity;
pub use incoming::Received;
pub use lane::{LANES, Lane};
pub use limits::{
    Admission, ConnectionId, ConnectionLimits, HANDSHAKE_DEADLINE, HandshakeEnd, Host, Refusal,
};
pub use message::{Message, MessageKind};
pub use outgoing::QueueFull;
pub use transport::Transport;

#[cfg(test)]
mod testing;
