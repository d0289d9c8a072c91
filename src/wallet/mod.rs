//! What a person holds: keys in files, and payments made with them.
//!
//! *Owns* the form of key files. *Invariants*: a file with a secret is made new, never over
//! another file, and is readable by its owner alone; an amount that people typed is read exactly
//! or refused.
//! *Never* shows a secret unless it was asked to by name, and never asks the network for anything.

mod amount;
mod key_file;
mod payment;

pub use amount::{AmountError, format_amount, parse_amount};
pub(crate) use key_file::secret_field;
pub use key_file::{
    KeyFileError, read_key, read_secret_file, write_key, write_new_file, write_secret_file,
};
pub use payment::{Payment, least_fee};
