//! Whom the operator does not want to talk to.
//!
//! *Owns* the list: node keys and ranges of addresses, each until a time. Nothing gets on it by
//! itself. *Invariants*: it has a bound. *Never* touches the file that keeps it: the driver reads
//! it at the start and writes it when the list changes.
//!
//! *Format* of the file, text: a line for each entry, `TARGET UNTIL SINCE`, the target as people
//! write it and the times in milliseconds since 1970. Empty lines and lines that begin with `#`
//! mean nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::types::NodeKey;
use crate::wire::Host;

/// How many entries the list has at most: more than the longest lists that operators share, and
/// 10 MB.
pub const BANS_MAX: usize = 100_000;
/// What the file begins with.
const HEAD: &str = "# Peers that this node does not talk to: TARGET UNTIL SINCE (ms since 1970).\n\
                    # keel setban changes it; edit it only while the node does not run.\n";

/// Addresses that agree in their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressRange {
    /// The first of them.
    first: IpAddr,
    /// How many bits agree.
    bits: u8,
}

impl AddressRange {
    /// The addresses that agree with this one in so many bits; None where it has fewer.
    #[must_use]
    pub fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        let first = match ip.to_canonical() {
            IpAddr::V4(ip) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { first, bits })
    }

    /// One address.
    #[must_use]
    pub fn single(ip: IpAddr) -> Self {
        let first = ip.to_canonical();
        let bits = if first.is_ipv4() { 32 } else { 128 };
        Self { first, bits }
    }

    /// The addresses that count as one machine's.
    #[must_use]
    pub fn of_host(host: Host) -> Self {
        let (first, bits) = host.range();
        Self { first, bits }
    }

    /// The first of them.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same_kind = ip.to_canonical().is_ipv4() == self.first.is_ipv4();
        same_kind && Self::new(ip, self.bits) == Some(*self)
    }

    /// The only one of them, if it is one.
    #[must_use]
    pub fn only(&self) -> Option<IpAddr> {
        (Self::single(self.first) == *self).then_some(self.first)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(ip) => write!(f, "{ip}"),
            None => write!(f, "{}/{}", self.first, self.bits),
        }
    }
}

/// Who is meant by a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BanTarget {
    /// Whoever proves this key, wherever it is.
    Key(NodeKey),
    /// Whoever is at these addresses, whatever the key.
    Addresses(AddressRange),
}

impl BanTarget {
    /// Whether a peer is meant.
    #[must_use]
    pub fn is(&self, key: &NodeKey, ip: IpAddr) -> bool {
        match self {
            Self::Key(banned) => banned == key,
            Self::Addresses(range) => range.contains(ip),
        }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Addresses(range) => write!(f, "{range}"),
        }
    }
}

/// A text names nobody who could be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanTargetError;

impl fmt::Display for BanTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "it must be a node key (keelnode1..), an address, or a range like 10.1.0.0/16 or \
             2001:db8::/32",
        )
    }
}

impl std::error::Error for BanTargetError {}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        if let Ok(key) = text.parse() {
            return Ok(Self::Key(key));
        }
        let range = match text.split_once('/') {
            None => text.parse().ok().map(AddressRange::single),
            Some((ip, bits)) => {
                let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
                let bits = bits.parse().ok().filter(|_| digits);
                let ip = ip.parse().ok();
                ip.zip(bits)
                    .and_then(|(ip, bits)| AddressRange::new(ip, bits))
            }
        };
        range.map(Self::Addresses).ok_or(BanTargetError)
    }
}

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub target: BanTarget,
    /// Since when.
    pub since: Time,
    /// Until when.
    pub until: Time,
}

/// The list has as many entries as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanListFull;

/// Why a text is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanListError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub rule: String,
}

impl fmt::Display for BanListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.rule)
    }
}

impl std::error::Error for BanListError {}

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanList(BTreeMap<BanTarget, (Time, Time)>);

impl BanList {
    /// Bans somebody until a time; a ban that is there is replaced.
    pub fn insert(&mut self, target: BanTarget, now: Time, until: Time) -> Result<(), BanListFull> {
        if self.0.len() >= BANS_MAX && !self.0.contains_key(&target) {
            self.0.retain(|_, (_, until)| *until > now);
            if self.0.len() >= BANS_MAX {
                return Err(BanListFull);
            }
        }
        self.0.insert(target, (now, until));
        Ok(())
    }

    /// Ends a ban; says whether there was one.
    pub fn remove(&mut self, target: &BanTarget) -> bool {
        self.0.remove(target).is_some()
    }

    /// Ends all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Until when a key is banned.
    #[must_use]
    pub fn of_key(&self, key: &NodeKey, now: Time) -> Option<Time> {
        self.until(BanTarget::Key(*key), now)
    }

    /// Until when an address is banned: a look for every length that a range can have.
    #[must_use]
    pub fn of_address(&self, ip: IpAddr, now: Time) -> Option<Time> {
        let ranges = (0..=128).map_while(|bits| AddressRange::new(ip, bits));
        let ends = ranges.filter_map(|range| self.until(BanTarget::Addresses(range), now));
        ends.max()
    }

    fn until(&self, target: BanTarget, now: Time) -> Option<Time> {
        let (_, until) = self.0.get(&target)?;
        (*until > now).then_some(*until)
    }

    /// The bans that hold.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = Ban> {
        let ban = |(target, (since, until)): (&BanTarget, &(Time, Time))| Ban {
            target: *target,
            since: *since,
            until: *until,
        };
        self.0.iter().map(ban).filter(move |ban| ban.until > now)
    }

    /// The file of the bans that hold.
    #[must_use]
    pub fn text(&self, now: Time) -> String {
        let mut text = HEAD.to_owned();
        for ban in self.iter(now) {
            let (until, since) = (ban.until.as_millis(), ban.since.as_millis());
            text += &format!("{} {until} {since}\n", ban.target);
        }
        text
    }
}

impl FromStr for BanList {
    type Err = BanListError;

    fn from_str(text: &str) -> Result<Self, BanListError> {
        let mut bans = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |rule: String| BanListError {
                line: index + 1,
                rule,
            };
            let mut words = line.split_ascii_whitespace();
            let (target, until, since, rest) =
                (words.next(), words.next(), words.next(), words.next());
            let target = target.unwrap_or_default();
            let target: BanTarget = target
                .parse()
                .map_err(|error| wrong(format!("\"{target}\": {error}")))?;
            let time = |word: Option<&str>| word?.parse().ok().map(Time::from_millis);
            let (Some(until), Some(since), None) = (time(until), time(since), rest) else {
                let rule = "behind the target stand two times in milliseconds since 1970";
                return Err(wrong(rule.to_owned()));
            };
            bans.insert(target, (since, until));
            if bans.len() > BANS_MAX {
                return Err(wrong(format!("more than {BANS_MAX} entries")));
            }
        }
        Ok(Self(bans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> BanTarget {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn targets_are_read_and_written_in_one_form() {
        let key = NodeKey([3; 32]).to_string();
        for (text, written) in [
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            (key.as_str(), key.as_str()),
        ] {
            assert_eq!(target(text).to_string(), written);
            assert_eq!(target(written), target(text));
        }
        for text in [
            "",
            "/",
            "10.1.2",
            "10.1.2.3/33",
            "10.1.2.3/-1",
            "10.1.2.3/+8",
            "10.1.2.3/",
            "::/129",
            "::ffff:10.1.2.3/96",
            "keelnode1qqq",
            "host",
            "10.1.2.3:5335",
        ] {
            assert_eq!(text.parse::<BanTarget>(), Err(BanTargetError), "{text}");
        }
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let mut bans = BanList::default();
        for text in ["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"] {
            bans.insert(target(text), at(0), at(10)).unwrap();
        }
        for (text, is_banned) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("::ffff:10.1.0.9", true),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::a01:1", false),
        ] {
            assert_eq!(
                bans.of_address(ip(text), at(9)).is_some(),
                is_banned,
                "{text}"
            );
            assert_eq!(bans.of_address(ip(text), at(10)), None, "it is over");
        }
        let one = target("10.1.0.0/16");
        assert!(one.is(&NodeKey([1; 32]), ip("10.1.2.3")));
        assert!(!one.is(&NodeKey([1; 32]), ip("10.2.2.3")));
        assert!(!target("::/0").is(&NodeKey([1; 32]), ip("10.2.2.3")));
    }

    #[test]
    fn the_longest_of_several_bans_counts() {
        let mut bans = BanList::default();
        bans.insert(target("10.0.0.0/8"), at(0), at(50)).unwrap();
        bans.insert(target("10.0.0.1"), at(0), at(20)).unwrap();
        assert_eq!(bans.of_address(ip("10.0.0.1"), at(1)), Some(at(50)));
        assert!(bans.remove(&target("10.0.0.0/8")));
        assert!(!bans.remove(&target("10.0.0.0/8")));
        assert_eq!(bans.of_address(ip("10.0.0.1"), at(1)), Some(at(20)));
        bans.clear();
        assert_eq!(bans.of_address(ip("10.0.0.1"), at(1)), None);
    }

    #[test]
    fn the_file_brings_back_what_holds() {
        let mut bans = BanList::default();
        let key = BanTarget::Key(NodeKey([3; 32]));
        bans.insert(key, at(1), at(100)).unwrap();
        bans.insert(target("10.1.0.0/16"), at(2), at(200)).unwrap();
        bans.insert(target("10.2.0.0/16"), at(2), at(20)).unwrap();
        let text = bans.text(at(20));
        assert!(text.ends_with("\n10.1.0.0/16 200 2\n"), "{text}");
        let read: BanList = text.parse().unwrap();
        assert_eq!(read.iter(at(0)).count(), 2);
        assert_eq!(read.of_key(&NodeKey([3; 32]), at(99)), Some(at(100)));
        assert_eq!(read.text(at(20)), text);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line, part) in [
            ("# x\n\n10.0.0.0/8 5", 3, "two times"),
            ("10.0.0.0/8 5 6 7", 1, "two times"),
            ("10.0.0.0/8 5 x", 1, "two times"),
            ("nobody 5 6\n", 1, "\"nobody\": it must be a node key"),
        ] {
            let error = text.parse::<BanList>().unwrap_err();
            assert_eq!(error.line, line);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn the_list_has_an_end_and_what_is_over_makes_room() {
        let mut bans = BanList::default();
        let nth =
            |number: u32| BanTarget::Addresses(AddressRange::single(number.to_be_bytes().into()));
        for number in 0..BANS_MAX as u32 {
            bans.insert(nth(number), at(0), at(10 + u64::from(number % 2)))
                .unwrap();
        }
        let more = nth(BANS_MAX as u32);
        assert_eq!(bans.insert(more, at(9), at(99)), Err(BanListFull));
        assert_eq!(
            bans.insert(nth(5), at(9), at(99)),
            Ok(()),
            "it is there already"
        );
        assert_eq!(bans.insert(more, at(10), at(99)), Ok(()));
        assert_eq!(bans.iter(at(10)).count(), BANS_MAX / 2 + 1);
    }
}
