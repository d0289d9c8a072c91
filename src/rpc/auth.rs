//! The cookie: who may call.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::encode_hex;
use crate::wallet::{KeyFileError, read_secret_file, write_secret_file};

/// The file of a data directory that holds the cookie of the process that runs there.
pub const COOKIE_FILE: &str = "rpc.cookie";
/// The file of a data directory that holds the address of the RPC of the process that runs there.
pub const RPC_ADDRESS_FILE: &str = "rpc.address";
/// The user that a cookie is the password of.
const COOKIE_USER: &str = "__cookie__";

/// What a caller must show.
pub struct Cookie(Zeroizing<String>);

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

impl Cookie {
    /// The cookie of a process, from 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(format!(
            "{COOKIE_USER}:{}",
            encode_hex(bytes)
        )))
    }

    /// Writes it into its file, in place of the cookie of an earlier process. Whoever does this
    /// holds the directory's lock.
    pub fn write(&self, directory: &Path) -> Result<PathBuf, KeyFileError> {
        let path = directory.join(COOKIE_FILE);
        let _ = std::fs::remove_file(&path);
        write_secret_file(&path, &self.0)?;
        Ok(path)
    }

    /// The cookie of the process that runs on a directory.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = read_secret_file(path)?;
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }

    /// The value of the `Authorization` header that shows it.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Basic {}", encode_base64(self.0.as_bytes()))
    }

    /// Whether a header shows it. The time this takes does not depend on how much of it is right.
    #[must_use]
    pub fn is_shown_by(&self, authorization: Option<&str>) -> bool {
        let Some(encoded) = authorization.and_then(|text| {
            let (scheme, value) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("basic").then_some(value.trim())
        }) else {
            return false;
        };
        let wanted = Zeroizing::new(encode_base64(self.0.as_bytes()));
        let same = encoded.len() == wanted.len();
        let pairs = encoded.bytes().zip(wanted.bytes());
        same & (pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0)
    }
}

/// The base64 form of `bytes` (RFC 4648), which HTTP's Basic scheme wants.
#[must_use]
fn encode_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            text.push(if digit <= three.len() {
                char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn only_the_cookie_opens() {
        let cookie = Cookie::from_random(&[0xab; 32]);
        let header = cookie.header();
        assert!(cookie.is_shown_by(Some(&header)));
        assert!(cookie.is_shown_by(Some(&header.replace("Basic", "basic"))));
        let other = Cookie::from_random(&[0xac; 32]).header();
        let short = &header[..header.len() - 1];
        let bearer = header.replace("Basic", "Bearer");
        for wrong in [
            "",
            "Basic",
            "Basic ",
            &other,
            short,
            &bearer,
            &format!("{header}="),
        ] {
            assert!(!cookie.is_shown_by(Some(wrong)), "{wrong}");
        }
        assert!(!cookie.is_shown_by(None));
        assert_eq!(format!("{cookie:?}"), "Cookie(..)");
    }
}
