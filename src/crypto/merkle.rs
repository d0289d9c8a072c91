//! Merkle trees as in RFC 6962 over SHA-256 (`docs/formats.md`, "Header, ids, block").
//!
//! A leaf is `H(00 | data)`, an inner node `H(01 | left | right)`, and the left subtree holds the
//! largest power of two of leaves that is smaller than their number. The different first bytes
//! keep a node from being passed off as a leaf, and no leaf is ever doubled.

use super::hash::{sha256, sha256_parts};
use super::sha256::{hash_many, hash_slices};

/// The root of the tree with no leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> [u8; 32] {
    sha256(b"")
}

/// The hash of a leaf with this data.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> [u8; 32] {
    sha256_parts(&[&[0], data])
}

/// The hash of an inner node over its children.
#[must_use]
pub fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256_parts(&[&[1], left, right])
}

/// The root over the data of `leaves`.
#[must_use]
pub fn root<T: AsRef<[u8]>>(leaves: &[T]) -> [u8; 32] {
    let mut level = leaf_level(leaves);
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// The audit path of leaf `index`, from its sibling up to the child of the root; nothing when
/// there is no such leaf.
#[must_use]
pub fn path<T: AsRef<[u8]>>(leaves: &[T], index: usize) -> Option<Vec<[u8; 32]>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let mut level = leaf_level(leaves);
    let mut at = index;
    while level.len() > 1 {
        // The last node of an odd level has no sibling and rises as it is.
        path.extend(level.get(at ^ 1));
        level = parents(&level);
        at /= 2;
    }
    Some(path)
}

/// The root that follows from the data of leaf `index` of `count` and its audit path; nothing
/// when a tree of `count` leaves has no such leaf or the path has another length.
#[must_use]
pub fn root_from_path(data: &[u8], index: u64, count: u64, path: &[[u8; 32]]) -> Option<[u8; 32]> {
    if index >= count {
        return None;
    }
    let mut siblings = path.iter();
    let mut hash = leaf_hash(data);
    // `at` is the node's place in its level and `last` that of the level's last node.
    let (mut at, mut last) = (index, count - 1);
    while last > 0 {
        if at % 2 == 1 {
            hash = node_hash(siblings.next()?, &hash);
        } else if at < last {
            hash = node_hash(&hash, siblings.next()?);
        }
        at /= 2;
        last /= 2;
    }
    siblings.next().is_none().then_some(hash)
}

fn leaf_level<T: AsRef<[u8]>>(leaves: &[T]) -> Vec<[u8; 32]> {
    let data: Vec<&[u8]> = leaves.iter().map(AsRef::as_ref).collect();
    hash_slices(&[0], &data)
}

/// The level above. Pairing from the left and letting an odd last node rise gives the tree of
/// RFC 6962: a subtree over a power of two of leaves is complete before its right sibling begins.
fn parents(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let (pairs, _) = level.as_flattened().as_chunks::<64>();
    let mut above = hash_many(&[1], pairs);
    if level.len() % 2 == 1 {
        above.extend(level.last());
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{decode_hex, encode_hex};

    fn verify_path(
        root: &[u8; 32],
        data: &[u8],
        index: u64,
        count: u64,
        path: &[[u8; 32]],
    ) -> bool {
        root_from_path(data, index, count, path) == Some(*root)
    }

    /// The definition of RFC 6962 section 2.1, word for word.
    fn root_by_definition(leaves: &[Vec<u8>]) -> [u8; 32] {
        match leaves {
            [] => sha256(b""),
            [leaf] => sha256(&[&[0], leaf.as_slice()].concat()),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let left = root_by_definition(&leaves[..split]);
                let right = root_by_definition(&leaves[split..]);
                sha256(&[&[1], left.as_slice(), &right].concat())
            }
        }
    }

    /// The definition of RFC 6962 section 2.1.1.
    fn path_by_definition(leaves: &[Vec<u8>], index: usize) -> Vec<[u8; 32]> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        let (mut path, other) = if index < split {
            (path_by_definition(left, index), right)
        } else {
            (path_by_definition(right, index - split), left)
        };
        path.push(root_by_definition(other));
        path
    }

    fn numbered(count: usize) -> Vec<Vec<u8>> {
        (0..count)
            .map(|leaf| leaf.to_le_bytes().repeat(4))
            .collect()
    }

    #[test]
    fn the_roots_of_the_certificate_transparency_vectors() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .map(|text| decode_hex(text).unwrap());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, wanted) in roots.iter().enumerate() {
            assert_eq!(encode_hex(&root(&leaves[..count])), *wanted, "{count}");
        }
    }

    #[test]
    fn roots_and_paths_are_those_of_the_definition() {
        for count in 0..=70 {
            let leaves = numbered(count);
            let top = root(&leaves);
            assert_eq!(top, root_by_definition(&leaves));
            for (index, data) in leaves.iter().enumerate() {
                let path = path(&leaves, index).unwrap();
                assert_eq!(path, path_by_definition(&leaves, index));
                assert!(verify_path(&top, data, index as u64, count as u64, &path));
            }
            assert_eq!(path(&leaves, count), None);
        }
    }

    #[test]
    fn a_path_proves_nothing_else() {
        let leaves = numbered(13);
        let top = root(&leaves);
        for index in 0..13 {
            let good = path(&leaves, index).unwrap();
            let place = index as u64;
            let data = &leaves[index];
            for other in (0..20).filter(|other| *other != place) {
                assert!(
                    !verify_path(&top, data, other, 13, &good),
                    "{index} {other}"
                );
            }
            assert!(!verify_path(&top, b"other", place, 13, &good));
            assert!(!verify_path(&empty_root(), data, place, 13, &good));
            assert!(!verify_path(&top, data, place, 13, &good[1..]));
            let longer = [good.as_slice(), &[[0; 32]]].concat();
            assert!(!verify_path(&top, data, place, 13, &longer));
            for step in 0..good.len() {
                let mut changed = good.clone();
                changed[step][31] ^= 1;
                assert!(!verify_path(&top, data, place, 13, &changed));
            }
        }
        let last = u64::MAX;
        assert_eq!(root_from_path(b"", last, last, &[]), None);
        assert_eq!(root_from_path(b"", last - 1, last, &[]), None);
    }

    #[test]
    fn a_node_cannot_pose_as_a_leaf() {
        let leaves = numbered(2);
        let top = root(&leaves);
        let inner = [leaf_hash(&leaves[0]), leaf_hash(&leaves[1])].concat();
        assert!(!verify_path(&top, &inner, 0, 1, &[]));
    }
}
