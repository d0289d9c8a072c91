//! Pages as bytes of the state log (`docs/state.md`, "Pages on disk").
//!
//! The checksum of a record says that the disk kept what was written, not that it was a page. So
//! what is read here is checked as if a stranger had sent it: that it is the page of its place,
//! and that nothing in it could lead a walk astray. Hashes are taken as they are.

use std::sync::Arc;

use crate::store::{Lsn, record_size};
use crate::types::Hash;
use crate::types::state::KeyHash;

use super::page::{
    Fork, InnerPage, LEAF_RECORDS_MAX, LeafPage, NODES, Nodes, Record, Ref, SPAN, Stored, node_of,
    prefix, slots,
};

/// The version of pages that this code writes and reads.
const VERSION: u8 = 1;
/// A leaf page.
const LEAF: u8 = 1;
/// An inner page.
const INNER: u8 = 2;
/// `version u8 | kind u8 | records u8 | zero u8 | depth u16 | zero u16`.
const HEAD: usize = 8;
/// Of each record: `key 32 | leaf 32 | fork 32 | fork depth u16 | value length u16`.
const RECORD: usize = 32 + 32 + 32 + 2 + 2;
/// Where the set of leaf nodes stands in an inner page, behind the prefix.
const LEAVES: usize = HEAD + 32;
/// Where its hashes begin, behind four zeros.
const HASHES: usize = LEAVES + 8;
/// Where its references begin: 16 positions, then 16 counts of records.
const REFS: usize = HASHES + 30 * 32;
const COUNTS: usize = REFS + 16 * 8;
/// The bytes of an inner page.
const INNER_BYTES: usize = COUNTS + 16;

/// What the record of an inner page takes in the log.
pub(super) const INNER_SIZE: u64 = record_size(INNER_BYTES);

impl LeafPage {
    /// What the page's record takes in the log.
    pub(super) fn size(&self) -> u64 {
        record_size(HEAD + self.records.len() * RECORD + self.values.len())
    }

    /// The bytes of the page where it stands at `depth`.
    pub(super) fn to_bytes(&self, depth: usize) -> Vec<u8> {
        let size = HEAD + self.records.len() * RECORD + self.values.len();
        let mut bytes = Vec::with_capacity(size);
        put_head(&mut bytes, LEAF, self.records.len() as u8, depth);
        for (at, record) in self.records.iter().enumerate() {
            bytes.extend_from_slice(&record.key.0);
            bytes.extend_from_slice(&record.leaf.0);
            // Nothing forks before the first record, whatever an earlier page had there.
            let (hash, depth) = match record.fork {
                Some(fork) if at > 0 => (fork.hash, fork.depth),
                _ => (Hash::ZERO, 0),
            };
            bytes.extend_from_slice(&hash.0);
            bytes.extend_from_slice(&depth.to_le_bytes());
            let len = u16::try_from(self.value(at).len()).expect("values are short");
            bytes.extend_from_slice(&len.to_le_bytes());
        }
        bytes.extend_from_slice(&self.values);
        bytes
    }

    /// The leaf page of these bytes, as far as its place is the right one.
    fn from_bytes(bytes: &[u8], count: usize) -> Result<Self, &'static str> {
        let records = bytes.get(HEAD..HEAD + count * RECORD);
        let records = records.ok_or("records are missing")?;
        let values = &bytes[HEAD + count * RECORD..];
        let mut page = Self {
            records: Vec::with_capacity(count),
            values: values.to_vec(),
        };
        let mut end = 0_u32;
        for (at, record) in records.chunks_exact(RECORD).enumerate() {
            let key = KeyHash(array(record, 0));
            let depth = u16_at(record, 96);
            let hash = Hash(array(record, 64));
            let fork = match page.records.last() {
                None if depth != 0 || hash != Hash::ZERO => {
                    return Err("something forks before its first record");
                }
                None => None,
                Some(before) if before.key >= key => return Err("its keys are not in order"),
                Some(before) if usize::from(depth) > before.key.shared_bits(&key) => {
                    return Err("a fork is below its records");
                }
                Some(_) => Some(Fork { depth, hash }),
            };
            end += u32::from(u16_at(record, 98));
            page.records.push(Record {
                key,
                leaf: Hash(array(record, 32)),
                fork,
                touched: false,
                end,
            });
            debug_assert_eq!(page.records.len(), at + 1);
        }
        if end as usize != values.len() {
            return Err("its values have another length");
        }
        Ok(page)
    }
}

impl InnerPage {
    /// The bytes of the page at `depth`, which is on the way to `key`, with `refs` below it.
    pub(super) fn to_bytes(
        &self,
        key: &KeyHash,
        depth: usize,
        refs: &[Option<Stored>; 16],
    ) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(INNER_BYTES);
        put_head(&mut bytes, INNER, 0, depth);
        bytes.extend_from_slice(&prefix(key, depth).0);
        bytes.extend_from_slice(&self.leaves.bits().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for hash in self.hashes() {
            bytes.extend_from_slice(&hash.0);
        }
        for below in refs {
            let at = below.map_or(NOTHING, |below| below.at);
            bytes.extend_from_slice(&at.get().to_le_bytes());
        }
        bytes.extend(refs.iter().map(|below| below.map_or(0, |b| b.records)));
        bytes
    }
}

/// What stands for a reference to nothing: the position of the log's first record, which is no
/// page.
const NOTHING: Lsn = Lsn::new(0);

/// Which page bytes are, as far as they say so themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many records it has; 0 for an inner page.
    pub(super) records: u8,
    /// The depth at which it stands.
    pub(super) depth: usize,
    /// A key that its place is on the way to.
    pub(super) key: KeyHash,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let head: &[u8; HEAD] = bytes.first_chunk().ok_or("it is too short")?;
        let (kind, records) = (head[1], head[2]);
        let depth = usize::from(u16_at(head, 4));
        if head[0] != VERSION {
            return Err("it has another version");
        }
        if head[3] != 0 || head[6..] != [0; 2] {
            return Err("reserved bytes are not zero");
        }
        let is_right = match kind {
            LEAF => (1..=LEAF_RECORDS_MAX).contains(&records.into()) && depth <= 256,
            INNER => records == 0 && depth.is_multiple_of(SPAN) && depth < 256,
            _ => return Err("it is of no kind"),
        };
        let room = bytes.get(HEAD..HEAD + 32);
        match room {
            Some(key) if is_right => Ok(Self {
                records,
                depth,
                key: KeyHash(array(key, 0)),
            }),
            _ => Err("its head can't be"),
        }
    }

    /// Checks that the page is the one that belongs at a place: at `depth` on the way to `key`.
    fn expect(self, stored: Stored, key: &KeyHash, depth: usize) -> Result<(), &'static str> {
        if self.records != stored.records {
            return Err("it is another page: the number of records is not the one expected");
        }
        if self.depth != depth || self.key.shared_bits(key) < depth {
            return Err("it is a page of another place");
        }
        Ok(())
    }
}

/// The page of these bytes, which must be the one that `stored` names, at `depth` on the way to
/// `key`.
pub(super) fn read_page(
    bytes: &[u8],
    stored: Stored,
    key: &KeyHash,
    depth: usize,
) -> Result<Ref, &'static str> {
    let head = Head::read(bytes)?;
    head.expect(stored, key, depth)?;
    if stored.is_leaf() {
        let page = LeafPage::from_bytes(bytes, usize::from(head.records))?;
        match page.records.last() {
            Some(last) if last.key.shared_bits(key) >= depth => Ok(Ref::Leaf(Arc::new(page))),
            _ => Err("a record belongs elsewhere"),
        }
    } else {
        let bytes = Inner::of(bytes, stored.at)?;
        bytes.check_refs(&head)?;
        let mut page = InnerPage::new();
        page.leaves = bytes.leaves();
        for node in 2..NODES {
            page.set_hash(node, Hash(array(bytes.0, HASHES + (node - 2) * 32)));
        }
        for slot in 0..16 {
            page.refs[slot] = bytes.below(slot)?.map_or(Ref::Empty, Ref::Disk);
        }
        Ok(Ref::Inner(Arc::new(page)))
    }
}

/// What a lookup finds in one page.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// The record is not there.
    Nothing,
    /// What was made of the record's value.
    Value(T),
    /// It is below, if it is there: in the page that stands at this node.
    Below {
        /// The node.
        node: usize,
        /// The page.
        page: Stored,
    },
}

/// Looks a key up in the bytes of a page, and in no more of them than the way to it takes.
pub(super) fn look_up<T>(
    bytes: &[u8],
    stored: Stored,
    key: &KeyHash,
    depth: usize,
    read: impl Fn(&[u8]) -> Result<T, &'static str>,
) -> Result<Found<T>, &'static str> {
    let head = Head::read(bytes)?;
    head.expect(stored, key, depth)?;
    if !stored.is_leaf() {
        let bytes = Inner::of(bytes, stored.at)?;
        let node = node_of(bytes.leaves(), key, depth);
        let below = bytes.below(slots(node).start)?;
        return Ok(below.map_or(Found::Nothing, |page| Found::Below { node, page }));
    }
    let count = usize::from(head.records);
    let records = bytes.get(HEAD..HEAD + count * RECORD);
    let records = records.ok_or("records are missing")?;
    let mut start = HEAD + count * RECORD;
    for record in records.chunks_exact(RECORD) {
        let end = start + usize::from(u16_at(record, 98));
        if record[..32] == key.0 {
            let value = bytes.get(start..end).ok_or("a value is missing")?;
            return read(value).map(Found::Value);
        }
        start = end;
    }
    Ok(Found::Nothing)
}

/// The bytes of an inner page, all there.
struct Inner<'a>(&'a [u8; INNER_BYTES], Lsn);

impl<'a> Inner<'a> {
    fn of(bytes: &'a [u8], at: Lsn) -> Result<Self, &'static str> {
        let bytes = bytes.try_into().map_err(|_| "it has another length")?;
        Ok(Self(bytes, at))
    }

    fn leaves(&self) -> Nodes {
        Nodes::from_bits(u32::from_le_bytes(array(self.0, LEAVES)))
    }

    /// The page below one of the 16 places. Children are written before their parents, so that
    /// no way down goes in a circle.
    fn below(&self, slot: usize) -> Result<Option<Stored>, &'static str> {
        let at = Lsn::new(u64::from_le_bytes(array(self.0, REFS + slot * 8)));
        let records = self.0[COUNTS + slot];
        if at == NOTHING {
            return match records {
                0 => Ok(None),
                _ => Err("there are records in nothing"),
            };
        }
        if at >= self.1 || usize::from(records) > LEAF_RECORDS_MAX {
            return Err("a reference can't be");
        }
        Ok(Some(Stored { at, records }))
    }

    /// Checks that leaf pages stand where the page says that they do, and nowhere else.
    fn check_refs(&self, head: &Head) -> Result<(), &'static str> {
        let leaves = self.leaves();
        if leaves.bits() & 3 != 0 || self.0[LEAVES + 4..HASHES] != [0; 4] {
            return Err("reserved bits are not zero");
        }
        if head.key != prefix(&head.key, head.depth) {
            return Err("its prefix is longer than its place is deep");
        }
        let mut covered = 0_u32;
        for node in (2..NODES).filter(|node| leaves.contains(*node)) {
            for slot in slots(node) {
                let is_first = slot == slots(node).start;
                let is_leaf = self.below(slot)?.map(Stored::is_leaf);
                if covered >> slot & 1 == 1 || is_leaf != is_first.then_some(true) {
                    return Err("leaf pages overlap or are missing");
                }
                covered |= 1 << slot;
            }
        }
        for slot in (0..16).filter(|slot| covered >> slot & 1 == 0) {
            if self.below(slot)?.is_some_and(Stored::is_leaf) {
                return Err("a leaf page stands at no node");
            }
        }
        Ok(())
    }
}

fn put_head(bytes: &mut Vec<u8>, kind: u8, records: u8, depth: usize) {
    bytes.extend_from_slice(&[VERSION, kind, records, 0]);
    bytes.extend_from_slice(&(depth as u16).to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
}

/// Bytes from `at` on; the caller knows that they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the bytes are there")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}
