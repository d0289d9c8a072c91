//! Who broke a rule lately.
//!
//! *Owns* the keys and addresses of peers that did, each for a day and with the rule. There is no
//! score and no count: one breach is enough, and slowness is none. *Invariants*: what is
//! remembered has a bound, and the oldest goes first. *Never* decides what follows from it: a
//! discouraged peer is not dialled, and keeps its inbound connection only while there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::base::{Span, Time};
use crate::types::NodeKey;
use crate::wire::Host;

use super::bans::{AddressRange, BanTarget};

/// How long a breach is remembered.
const DISCOURAGED_FOR: Span = Span::from_secs(24 * 3_600);
/// How many keys and addresses are remembered together. At the rate at which strangers are let in
/// it takes minutes to push somebody out, with a new key and a breach each time.
const ENTRIES_MAX: usize = 50_000;
/// How much is kept of a rule's text.
const REASON_CHARS_MAX: usize = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Subject {
    Key(NodeKey),
    Host(Host),
}

impl Subject {
    /// The subject as people name it.
    fn target(&self) -> BanTarget {
        match self {
            Self::Key(key) => BanTarget::Key(*key),
            Self::Host(host) => BanTarget::Addresses(AddressRange::of_host(*host)),
        }
    }
}

/// Somebody who broke a rule lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discouraged {
    /// A key that was proved, or where it was.
    pub target: BanTarget,
    /// How long that is held against it.
    pub until: Time,
    /// The rule.
    pub rule: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    until: Time,
    reason: String,
}

/// Keys and addresses of peers that broke a rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Discouragement {
    entries: BTreeMap<Subject, Entry>,
    by_end: BTreeSet<(Time, Subject)>,
}

impl Discouragement {
    /// A peer that proved this key, at this address, broke a rule.
    ///
    /// The address counts only before a key is proved: several nodes may share one, and the others
    /// are known by their keys.
    pub fn discourage(&mut self, key: NodeKey, ip: IpAddr, rule: &str, now: Time) {
        self.add(Subject::Key(key), rule, now);
        self.add(Subject::Host(Host::of(ip)), rule, now);
    }

    fn add(&mut self, subject: Subject, rule: &str, now: Time) {
        let until = now + DISCOURAGED_FOR;
        let reason = rule.chars().take(REASON_CHARS_MAX).collect();
        self.remove(subject);
        self.entries.insert(subject, Entry { until, reason });
        self.by_end.insert((until, subject));
        while let Some((at, oldest)) = self.by_end.first().copied()
            && (at <= now || self.entries.len() > ENTRIES_MAX)
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, subject: Subject) {
        if let Some(entry) = self.entries.remove(&subject) {
            self.by_end.remove(&(entry.until, subject));
        }
    }

    /// The rule that the peer of this key broke, and until when it counts.
    #[must_use]
    pub fn of_key(&self, key: &NodeKey, now: Time) -> Option<(&str, Time)> {
        let entry = self.entries.get(&Subject::Key(*key))?;
        (entry.until > now).then_some((&entry.reason, entry.until))
    }

    /// Whether somebody at this address broke a rule.
    #[must_use]
    pub fn has_address(&self, ip: IpAddr, now: Time) -> bool {
        let entry = self.entries.get(&Subject::Host(Host::of(ip)));
        entry.is_some_and(|entry| entry.until > now)
    }

    /// The operator thinks better of a peer, or of an address; not of all addresses of a range.
    pub fn forgive(&mut self, target: &BanTarget) {
        match target {
            BanTarget::Key(key) => self.remove(Subject::Key(*key)),
            BanTarget::Addresses(range) => {
                let host = Host::of(range.first());
                if range.only().is_some() || Subject::Host(host).target() == *target {
                    self.remove(Subject::Host(host));
                }
            }
        }
    }

    /// Who broke a rule, the latest first, at most so many.
    #[must_use]
    pub fn latest(&self, limit: usize, now: Time) -> Vec<Discouraged> {
        let counts = self.by_end.iter().rev().take_while(|(end, _)| *end > now);
        let told = counts.take(limit).filter_map(|(until, subject)| {
            Some(Discouraged {
                target: subject.target(),
                until: *until,
                rule: self.entries.get(subject)?.reason.clone(),
            })
        });
        told.collect()
    }

    /// The operator thinks better of everybody.
    pub fn forgive_all(&mut self) {
        *self = Self::default();
    }

    /// How many keys and addresses are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> NodeKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        NodeKey(bytes)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn key_and_address_are_remembered_for_a_day_with_the_rule() {
        let (mut who, start) = (Discouragement::default(), Time::from_millis(5));
        who.discourage(key(1), ip("10.0.0.1"), "it greeted twice", start);
        let end = start + Span::from_secs(86_400);
        let before = Time::from_micros(end.as_micros() - 1);
        assert_eq!(who.of_key(&key(1), before), Some(("it greeted twice", end)));
        assert!(who.has_address(ip("10.0.0.1"), before));
        assert_eq!(who.of_key(&key(1), end), None);
        assert!(!who.has_address(ip("10.0.0.1"), end));
        assert_eq!(who.of_key(&key(2), start), None);
        assert!(!who.has_address(ip("10.0.0.2"), start));
        // The next breach of somebody else clears what is over.
        who.discourage(key(3), ip("10.0.0.3"), "x", end);
        assert_eq!((who.len(), who.by_end.len()), (2, 2));
    }

    #[test]
    fn an_address_of_ipv6_counts_with_its_64() {
        let mut who = Discouragement::default();
        who.discourage(key(1), ip("2001:db8:1:2:3::4"), "x", Time::EPOCH);
        assert!(who.has_address(ip("2001:db8:1:2::9"), Time::EPOCH));
        assert!(!who.has_address(ip("2001:db8:1:3::4"), Time::EPOCH));
        who.discourage(key(1), ip("::ffff:10.0.0.1"), "x", Time::EPOCH);
        assert!(who.has_address(ip("10.0.0.1"), Time::EPOCH));
    }

    #[test]
    fn a_second_breach_prolongs_the_first() {
        let (mut who, later) = (Discouragement::default(), Time::from_millis(1_000));
        who.discourage(key(1), ip("10.0.0.1"), "a", Time::EPOCH);
        who.discourage(key(1), ip("10.0.0.1"), "b", later);
        assert_eq!(
            who.of_key(&key(1), later),
            Some(("b", later + DISCOURAGED_FOR))
        );
        assert_eq!((who.len(), who.by_end.len()), (2, 2));
        who.forgive(&BanTarget::Key(key(1)));
        who.forgive(&"10.0.0.0/24".parse().unwrap());
        assert_eq!(who.len(), 1, "a range is not the address");
        who.forgive(&"10.0.0.1".parse().unwrap());
        assert!(who.is_empty() && who.by_end.is_empty());
    }

    #[test]
    fn the_latest_are_told_of_first_by_names_that_are_taken_back() {
        let mut who = Discouragement::default();
        who.discourage(key(1), ip("10.0.0.1"), "a", Time::EPOCH);
        who.discourage(key(2), ip("2001:db8:1:2:3::4"), "b", Time::from_millis(5));
        let now = Time::from_millis(6);
        let names = |who: &Discouragement, limit| -> Vec<String> {
            let latest = who.latest(limit, now).into_iter();
            latest
                .map(|one| format!("{} {}", one.target, one.rule))
                .collect()
        };
        let (first, second) = (format!("{} a", key(1)), format!("{} b", key(2)));
        let all = ["2001:db8:1:2::/64 b", &second, "10.0.0.1 a", &first];
        assert_eq!(names(&who, 9), all);
        assert_eq!(names(&who, 3), all[..3]);
        for told in who.latest(9, now) {
            assert_eq!(told.until.since(Time::EPOCH).as_millis() / 1_000, 86_400);
            who.forgive(&told.target.to_string().parse().unwrap());
        }
        assert!(who.is_empty());
        who.discourage(key(1), ip("10.0.0.1"), "a", Time::EPOCH);
        assert_eq!(who.latest(9, Time::EPOCH + DISCOURAGED_FOR), []);
    }

    #[test]
    fn the_oldest_go_first_and_reasons_are_short() {
        let mut who = Discouragement::default();
        let rule = "ä".repeat(1_000);
        for number in 0..30_000 {
            let address = IpAddr::from((0x0a00_0000_u32 + number).to_be_bytes());
            who.discourage(
                key(number),
                address,
                &rule,
                Time::from_micros(number.into()),
            );
        }
        assert_eq!((who.len(), who.by_end.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!(who.of_key(&key(4_999), Time::EPOCH), None);
        let (reason, _) = who.of_key(&key(5_000), Time::EPOCH).unwrap();
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
    }
}
