//! The history of a chain as a Merkle mountain range (`docs/formats.md`, "History").
//!
//! Leaves are blocks in order of height. Every node carries the work and the times of the blocks
//! below it, so that a proof of one block also shows how much work stands before it. Where the
//! number of leaves has a bit set there is one perfect tree, a mountain, of that many leaves; the
//! root is a hash over their peaks from the largest to the smallest.

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::crypto::hash::{Sha256, domain, sha256_parts};

use super::{BlockId, Hash, Header, Millis, Uint256};

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 80;

/// A node of the range: what it says of the blocks below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// A block's id in a leaf; a hash over both children in an inner node.
    pub hash: Hash,
    /// The work of the blocks below, added up.
    pub work: Uint256,
    /// The time of the first block below.
    pub first_time: Millis,
    /// The time of the last block below.
    pub last_time: Millis,
}

impl Entry {
    /// The leaf of a block: `work` is its own, 0 with proof of stake.
    #[must_use]
    pub const fn leaf(id: BlockId, work: Uint256, time: Millis) -> Self {
        Self {
            hash: Hash(id.0),
            work,
            first_time: time,
            last_time: time,
        }
    }

    /// The leaf of the block with this header.
    #[must_use]
    pub fn of_header(header: &Header) -> Self {
        Self::leaf(header.id(), header.work(), header.time)
    }

    /// The node above two nodes.
    #[must_use]
    pub fn parent(left: &Self, right: &Self) -> Self {
        let (l, r) = (left.as_bytes(), right.as_bytes());
        Self {
            hash: Hash(sha256_parts(&[domain::HISTORY_NODE, &l, &r])),
            work: left.work.saturating_add(right.work),
            first_time: left.first_time,
            last_time: right.last_time,
        }
    }

    fn as_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..32].copy_from_slice(&self.hash.0);
        bytes[32..64].copy_from_slice(&self.work.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.first_time.0.to_le_bytes());
        bytes[72..].copy_from_slice(&self.last_time.0.to_le_bytes());
        bytes
    }
}

impl Encode for Entry {
    fn encode(&self, out: &mut Writer) {
        out.bytes(&self.as_bytes());
    }
}

impl Decode for Entry {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hash: Hash::decode(input)?,
            work: Uint256::from_le_bytes(&input.array()?),
            first_time: Millis(input.u64()?),
            last_time: Millis(input.u64()?),
        })
    }
}

/// The range over all blocks so far, as its peaks: enough to add blocks and to know the root, and
/// never more than 64 entries. *Invariant*: there is one peak for every set bit of `count`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    count: u64,
    peaks: Vec<Entry>,
}

impl History {
    /// The history of the genesis block: no ancestors.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            peaks: Vec::new(),
        }
    }

    /// How many blocks are in it: the height of the block whose ancestors they are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The peaks, from the largest mountain to the smallest.
    #[must_use]
    pub fn peaks(&self) -> &[Entry] {
        &self.peaks
    }

    /// Adds the block after the last.
    pub fn push(&mut self, leaf: Entry) {
        let mut node = leaf;
        // Every mountain that the new leaf completes a pair with merges, as a carry runs through
        // the ones at the end of the count.
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("there is a peak for every set bit");
            node = Entry::parent(&left, &node);
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// What the header of the next block carries.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of(self.count, &self.peaks)
    }

    /// The work of all blocks in it, added up.
    #[must_use]
    pub fn work(&self) -> Uint256 {
        let works = self.peaks.iter().map(|peak| peak.work);
        works.fold(Uint256::ZERO, Uint256::saturating_add)
    }
}

impl FromIterator<Entry> for History {
    fn from_iter<I: IntoIterator<Item = Entry>>(leaves: I) -> Self {
        let mut history = Self::new();
        for leaf in leaves {
            history.push(leaf);
        }
        history
    }
}

/// `count u64 | peaks`: how checkpoints keep a history.
impl Encode for History {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.count);
        for peak in &self.peaks {
            peak.encode(out);
        }
    }
}

impl Decode for History {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let full = "a history has fewer than 2^64 - 1 blocks";
        let count = input.u64_in(0..=u64::MAX - 1, full)?;
        // At most 64 peaks, so 5 KiB, and only when they are there.
        let peaks = count.count_ones() as usize;
        input.expect_items(peaks, ENTRY_BYTES)?;
        let peaks = (0..peaks)
            .map(|_| Entry::decode(input))
            .collect::<Result<_, _>>()?;
        Ok(Self { count, peaks })
    }
}

fn root_of(count: u64, peaks: &[Entry]) -> Hash {
    let mut hash = Sha256::with_domain(domain::HISTORY_ROOT);
    hash.update(&count.to_le_bytes());
    for peak in peaks {
        hash.update(&peak.as_bytes());
    }
    Hash(hash.finish())
}

/// A perfect subtree of the range: `2^height` leaves from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its first leaf; a multiple of its size.
    pub first: u64,
    /// Its height: 0 for a leaf.
    pub height: u32,
}

/// The mountains of a range of `count` leaves, from the largest to the smallest.
fn mountains(count: u64) -> impl Iterator<Item = Subtree> {
    let heights = (0..u64::BITS)
        .rev()
        .filter(move |height| count >> height & 1 == 1);
    heights.map(move |height| Subtree {
        // The leaves of the larger mountains stand before it: the bits of the count above.
        first: count >> height >> 1 << 1 << height,
        height,
    })
}

/// The mountain that leaf `index` is in, and its place among the mountains.
fn mountain_of(index: u64, count: u64) -> Option<(usize, Subtree)> {
    mountains(count).enumerate().find(|(_, mountain)| {
        index
            .checked_sub(mountain.first)
            .map(|at| at >> mountain.height)
            == Some(0)
    })
}

/// That a block is the ancestor of another: the siblings on its way to its mountain's peak, and
/// the other peaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPath {
    /// The siblings, from the leaf's own to that below the peak.
    pub siblings: Vec<Entry>,
    /// The peaks of the other mountains, from the largest to the smallest.
    pub other_peaks: Vec<Entry>,
}

impl HistoryPath {
    /// How many siblings the path of leaf `index` in a range of `count` leaves has; nothing when
    /// there is no such leaf.
    #[must_use]
    pub fn siblings_of(index: u64, count: u64) -> Option<u32> {
        mountain_of(index, count).map(|(_, mountain)| mountain.height)
    }

    /// The path of leaf `index` in a range of `count` leaves, whose nodes `node` looks up;
    /// nothing when there is no such leaf or `node` has no answer.
    #[must_use]
    pub fn build(
        index: u64,
        count: u64,
        mut node: impl FnMut(Subtree) -> Option<Entry>,
    ) -> Option<Self> {
        let (place, mountain) = mountain_of(index, count)?;
        let siblings = (0..mountain.height)
            .map(|height| {
                node(Subtree {
                    first: (index >> height ^ 1) << height,
                    height,
                })
            })
            .collect::<Option<_>>()?;
        let others = mountains(count).enumerate().filter(|(at, _)| *at != place);
        let other_peaks = others.map(|(_, peak)| node(peak)).collect::<Option<_>>()?;
        Some(Self {
            siblings,
            other_peaks,
        })
    }

    /// The history root that follows when `leaf` is leaf `index` of `count`; nothing when a range
    /// of `count` leaves has no such leaf, or a path of another shape.
    #[must_use]
    pub fn root(&self, leaf: &Entry, index: u64, count: u64) -> Option<Hash> {
        let (place, mountain) = mountain_of(index, count)?;
        let shape = (mountain.height as usize, count.count_ones() as usize - 1);
        if (self.siblings.len(), self.other_peaks.len()) != shape {
            return None;
        }
        let mut node = *leaf;
        for (height, sibling) in self.siblings.iter().enumerate() {
            node = if index >> height & 1 == 1 {
                Entry::parent(sibling, &node)
            } else {
                Entry::parent(&node, sibling)
            };
        }
        let mut peaks = self.other_peaks.clone();
        peaks.insert(place, node);
        Some(root_of(count, &peaks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(byte: u8, work: u64, time: u64) -> Entry {
        Entry::leaf(BlockId([byte; 32]), Uint256::from_u64(work), Millis(time))
    }

    fn leaves(count: u64) -> Vec<Entry> {
        (0..count)
            .map(|at| leaf(at as u8, at * at + 1, 1_000 + 7 * at))
            .collect()
    }

    /// The mountains by definition: take the largest power of two of leaves again and again.
    fn root_by_definition(leaves: &[Entry]) -> Hash {
        fn peak(leaves: &[Entry]) -> Entry {
            match leaves {
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len() / 2);
                    let (left, right) = (peak(left), peak(right));
                    let preimage = [&left.to_bytes()[..], &right.to_bytes()].concat();
                    Entry {
                        hash: Hash(sha256_parts(&[b"keel/mmr/node/1", &preimage])),
                        work: left.work.overflowing_add(right.work).0,
                        first_time: left.first_time,
                        last_time: right.last_time,
                    }
                }
            }
        }
        let mut preimage = b"keel/mmr/root/1".to_vec();
        preimage.extend((leaves.len() as u64).to_le_bytes());
        let mut rest = leaves;
        while !rest.is_empty() {
            let size = 1 << rest.len().ilog2();
            preimage.extend(peak(&rest[..size]).to_bytes());
            rest = &rest[size..];
        }
        Hash(sha256_parts(&[&preimage]))
    }

    #[test]
    fn golden_roots() {
        let mut history = History::new();
        let wanted = [
            "183764d85eb162a25dbaf7aa4c8f838e026a73f87e1df44b747d6a81c792da37",
            "2cf9ddb1ca5f3c43113d5e3b6c715661eab4e7b052b36a1a061a9b3740ce7b27",
            "54f099362a96dac729c42f21f412977cd5841115e441682783d719dbd9b30255",
            "463a8d4d1bfa327a086bfde60ddd4543130cfecfb2886fb9dfcca2a70e0cd8c6",
        ];
        assert_eq!(history.root().to_string(), wanted[0]);
        let leaves = [
            leaf(0xaa, 5, 1_000),
            leaf(0xbb, 7, 2_000),
            leaf(0xcc, 1, 3_000),
        ];
        for (leaf, wanted) in leaves.into_iter().zip(&wanted[1..]) {
            history.push(leaf);
            assert_eq!(history.root().to_string(), *wanted);
        }
        assert_eq!(history.work(), Uint256::from_u64(13));
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        let leaves = leaves(100);
        let mut history = History::new();
        for count in 0..leaves.len() {
            assert_eq!(history.root(), root_by_definition(&leaves[..count]));
            assert_eq!(history.count(), count as u64);
            history.push(leaves[count]);
        }
    }

    #[test]
    fn work_saturates() {
        let mut most = leaf(1, 0, 0);
        most.work = Uint256::MAX;
        assert_eq!(Entry::parent(&most, &leaf(2, 1, 0)).work, Uint256::MAX);
        let history: History = [most, leaf(2, 1, 0), leaf(3, 5, 0)].into_iter().collect();
        assert_eq!(history.work(), Uint256::MAX);
    }

    #[test]
    fn a_kept_history_goes_on_where_it_was() {
        let leaves = leaves(77);
        let whole: History = leaves.iter().copied().collect();
        for count in 0..leaves.len() {
            let part: History = leaves[..count].iter().copied().collect();
            let bytes = part.to_bytes();
            assert_eq!(bytes.len(), 8 + 80 * count.count_ones() as usize);
            let mut kept = History::from_bytes(&bytes).unwrap();
            assert_eq!(kept, part);
            for leaf in &leaves[count..] {
                kept.push(*leaf);
            }
            assert_eq!(kept, whole);
        }
        let claims_63_peaks = [&(u64::MAX - 1).to_le_bytes()[..], &[1; 92]].concat();
        let got = History::from_bytes(&claims_63_peaks);
        assert_eq!(got, Err(DecodeError::Incomplete));
        let got = History::from_bytes(&[0xff; 100]);
        assert!(matches!(got, Err(DecodeError::Invalid(_))));
    }

    /// The path of leaf `index`, from all leaves.
    fn path_of(leaves: &[Entry], index: u64) -> Option<HistoryPath> {
        HistoryPath::build(index, leaves.len() as u64, |subtree| {
            let first = usize::try_from(subtree.first).ok()?;
            let below = leaves.get(first..first + (1 << subtree.height))?;
            // The range over the leaves of a perfect tree is one mountain.
            let range: History = below.iter().copied().collect();
            range.peaks.first().copied()
        })
    }

    #[test]
    fn every_path_proves_its_leaf_and_nothing_else() {
        for count in 1..=40 {
            let leaves = leaves(count);
            let root = root_by_definition(&leaves);
            for index in 0..count {
                let path = path_of(&leaves, index).unwrap();
                let own = leaves[index as usize];
                assert_eq!(path.root(&own, index, count), Some(root));
                for other in (0..count + 2).filter(|other| *other != index) {
                    assert_ne!(path.root(&own, other, count), Some(root));
                }
                for other in (0..count + 2).filter(|other| *other != count) {
                    assert_ne!(path.root(&own, index, other), Some(root));
                }
                let mut forged = own;
                forged.work = Uint256::from_u64(1 << 40);
                assert_ne!(path.root(&forged, index, count), Some(root));
                for at in 0..path.siblings.len() {
                    let mut changed = path.clone();
                    changed.siblings[at].last_time.0 += 1;
                    assert_ne!(changed.root(&own, index, count), Some(root));
                }
                for at in 0..path.other_peaks.len() {
                    let mut changed = path.clone();
                    changed.other_peaks[at].work = Uint256::ZERO;
                    assert_ne!(changed.root(&own, index, count), Some(root));
                    changed.other_peaks.remove(at);
                    assert_eq!(changed.root(&own, index, count), None);
                }
            }
            assert_eq!(path_of(&leaves, count), None);
        }
    }

    #[test]
    fn the_greatest_counts_have_mountains_too() {
        let path = HistoryPath::build(u64::MAX - 1, u64::MAX, |_| Some(leaf(1, 1, 1))).unwrap();
        assert_eq!((path.siblings.len(), path.other_peaks.len()), (0, 63));
        let path = HistoryPath::build(0, u64::MAX, |_| Some(leaf(1, 1, 1))).unwrap();
        assert_eq!((path.siblings.len(), path.other_peaks.len()), (63, 63));
        assert_eq!(HistoryPath::build(u64::MAX, u64::MAX, |_| None), None);
    }
}
