//! keel: a peer-to-peer blockchain node in one small binary, in synchronous Rust.
//!
//! # The map
//!
//! A module may name only modules above it in this list; `tests/tidy.rs` checks it.
//!
//! * [`base`]: time, seeded randomness, timers
//! * [`codec`]: bytes to values and back
//! * [`crypto`]: SHA-256, Merkle trees, Ed25519 singly and in batches, Noise
//! * [`types`]: accounts, transactions, headers, blocks, genesis, and their bytes
//! * [`store`]: the append-only logs of a directory
//! * [`consensus`]: which headers follow the rules
//! * [`chain`]: import of blocks, the ledger, the transactions that wait
//! * [`wire`]: handshake, frames and messages of a connection
//! * [`p2p`]: what is asked of which peer, and who is told what
//! * [`node`]: every decision, behind one door
//! * [`disk`]: the real disk and the thread that writes the log
//! * [`workers`]: threads that do slow work
//! * [`reactor`]: the event loop: sockets, timers, signals, HTTP
//! * [`sim`]: networks of production nodes in virtual time, from a seed
//! * [`wallet`]: keys in files, and payments
//! * [`rpc`]: JSON-RPC over HTTP, and its client
//! * [`cli`]: the command line
//! * [`app`]: the composition root
//!
//! # How a block travels
//!
//! A peer tells of a header, or answers for one: bytes come in through `reactor::peer`, become
//! frames and a message in [`wire`], and reach [`node::Node::handle`] as a value. `node::peers`
//! hands headers to [`p2p::Sync`], which lets [`chain::Chain::add_header`] check them against
//! their parents ([`consensus`]) and asks for the bodies that are missing.
//!
//! The body comes the same way. `node::blocks` sees that it was asked for and starts a
//! [`node::Job`], one for several blocks where they are small; a thread of [`workers`] decodes them
//! and checks all that can be checked by itself ([`chain::check_blocks`]), the signatures of all in
//! one batch ([`crypto::ed25519`]) but for those that the mempool had verified. It goes to the log
//! ([`store`], written by [`disk`]) and into the tree. If its branch has the most work now,
//! [`chain::Chain::next_step`] gives the job that executes it on a clone of its parent's state
//! ([`chain::ledger`], [`chain::state`]), and [`chain::Chain::executed`] moves the tip: best
//! chain, ledger and mempool in one step. Peers are told at once, readers when the new tip's
//! record is durable.
//!
//! A block of this node's own begins in `node::mining` and joins that way where it goes to the
//! log; nobody hears of it before it is durable there.

pub mod app;
pub mod base;
pub mod chain;
pub mod cli;
pub mod codec;
pub mod consensus;
pub mod crypto;
pub mod disk;
pub mod node;
pub mod p2p;
pub mod reactor;
pub mod rpc;
pub mod sim;
pub mod store;
pub mod types;
pub mod wallet;
pub mod wire;
pub mod workers;
