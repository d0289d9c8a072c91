//! Amounts as people write them.

use std::fmt;

use crate::types::Amount;

/// Why text is no amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// There is a character that is neither a digit nor the one point.
    NotANumber,
    /// More digits after the point than the chain's amounts have.
    TooFine {
        /// How many digits the chain has.
        decimals: u8,
    },
    /// More than any amount can be.
    TooLarge,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("write it like 1.5, with digits and one point"),
            Self::TooFine { decimals } => {
                write!(
                    f,
                    "this chain's amounts have {decimals} digits after the point"
                )
            }
            Self::TooLarge => f.write_str("no amount is that large"),
        }
    }
}

impl std::error::Error for AmountError {}

/// The amount that `text` says, on a chain with so many digits after the point. Nothing is
/// rounded: an amount that can't be said exactly is refused.
pub fn parse_amount(text: &str, decimals: u8) -> Result<Amount, AmountError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let one_sided = text.contains('.') && part.is_empty();
    if whole.is_empty() || one_sided || !digits(whole) || !digits(part) {
        return Err(AmountError::NotANumber);
    }
    let missing = usize::from(decimals).checked_sub(part.len());
    let missing = missing.ok_or(AmountError::TooFine { decimals })?;
    let mut units: u64 = 0;
    let zeros = std::iter::repeat_n(b'0', missing);
    for digit in whole.bytes().chain(part.bytes()).chain(zeros) {
        units = units
            .checked_mul(10)
            .and_then(|units| units.checked_add(u64::from(digit - b'0')))
            .ok_or(AmountError::TooLarge)?;
    }
    Ok(Amount(units))
}

/// An amount as people read it: all its digits, without zeros at the end of the part after the
/// point.
#[must_use]
pub fn format_amount(amount: Amount, decimals: u8) -> String {
    let digits = format!("{:0width$}", amount.0, width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_amounts() {
        for (text, decimals, units) in [
            ("1.5", 8, 150_000_000),
            ("0.00000001", 8, 1),
            ("007", 2, 700),
            ("12", 0, 12),
            ("184467440737.09551615", 8, u64::MAX),
        ] {
            assert_eq!(parse_amount(text, decimals), Ok(Amount(units)), "{text}");
        }
        for text in [
            "", ".", "1.", ".5", "1,5", "-1", "+1", "1e3", " 1", "1.2.3", "0x1", "１",
        ] {
            assert_eq!(
                parse_amount(text, 8),
                Err(AmountError::NotANumber),
                "{text}"
            );
        }
        assert_eq!(
            parse_amount("0.123", 2),
            Err(AmountError::TooFine { decimals: 2 })
        );
        assert_eq!(
            parse_amount("1.0", 0),
            Err(AmountError::TooFine { decimals: 0 })
        );
        assert_eq!(
            parse_amount("184467440737.09551616", 8),
            Err(AmountError::TooLarge)
        );
        assert_eq!(
            parse_amount("99999999999999999999999", 0),
            Err(AmountError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed(units in any::<u64>(), decimals in 0_u8..=255) {
            let text = format_amount(Amount(units), decimals);
            prop_assert_eq!(parse_amount(&text, decimals), Ok(Amount(units)));
        }
    }
}
