//! Values of options that are out of their bounds.

use std::fmt;

/// Why there is nothing of these options: one value, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub(super) field: String,
    value: String,
    least: u64,
    most: u64,
}

impl Unfit {
    /// What is wrong with the field.
    pub(super) fn why(&self) -> String {
        let Self {
            value, least, most, ..
        } = self;
        format!("is {value}; it must be {least} to {most}")
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why())
    }
}

impl std::error::Error for Unfit {}

/// Whether a value is within its bounds.
///
/// # Errors
/// The field, where it is not.
pub(super) fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), Unfit> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Unfit {
        field: field.to_owned(),
        value: value.to_string(),
        least,
        most,
    })
}

/// The same for a number that need not be whole: what is no number is out of all bounds.
///
/// # Errors
/// The field, where it is not.
pub(super) fn within_real(field: &str, value: f64, least: u64, most: u64) -> Result<(), Unfit> {
    if (least as f64..=most as f64).contains(&value) {
        return Ok(());
    }
    Err(Unfit {
        field: field.to_owned(),
        value: value.to_string(),
        least,
        most,
    })
}
