//! The disk of the machine, and the thread that writes the log.
//!
//! *Owns* the data directory's file descriptors, maps and lock, and the one thread that calls
//! [`Store::append`](crate::store::Store::append).
//!
//! *Invariants*: a descriptor that is written through stays open until its segment is sealed, so
//! that no error of write-back is lost; a file is mapped read-only, never shrunk, and shown only
//! where it will not change. The data directory is mode 0700, its files 0600.
//!
//! *Never* decides what is written or when it is durable: that is the store's.

mod log_thread;
mod map;
mod real;

pub use log_thread::{LogThread, Rejected, Report};
pub use real::RealDisk;

#[cfg(test)]
mod tests;
