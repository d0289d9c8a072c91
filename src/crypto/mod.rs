//! Hashes, trees and signatures: functions of their arguments, with no threads.
//!
//! *Owns* the domains of every hash (`docs/formats.md`, "Domains") and the rule by which a
//! signature is accepted. *Invariants*: equal arguments give equal results on every machine,
//! whatever instructions it has; a verdict on a signature depends on its key, message and bytes
//! alone, never on a cache or on what it was checked together with. *Never* draws randomness:
//! secrets and seeds are arguments.

pub mod ed25519;
pub mod hash;
pub mod merkle;
pub mod noise;
pub mod sha256;
