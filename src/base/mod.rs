//! The ground everything stands on: time, seeded randomness, named timers, hexadecimal text.
//!
//! *Owns* no state of the node. *Invariants*: a value made here depends on its arguments alone.
//! *Never* reads a clock, the environment or a source of entropy: those belong to the drivers.

mod hex;
mod rng;
mod time;
mod timers;
mod words;

pub use hex::{HexError, decode_hex, decode_hex_array, encode_hex};
pub use rng::Rng;
pub use time::{Span, Time};
pub use timers::Timers;
pub use words::{counted, utc};
