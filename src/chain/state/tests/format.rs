//! Pages as bytes.

use super::bytes::{Found, look_up, read_page};
use super::page::{Fork, LeafPage, Stored, prefix};
use super::*;
use crate::base::encode_hex;

fn key(first: u8, last: u8) -> KeyHash {
    let mut key = [0; 32];
    (key[0], key[31]) = (first, last);
    KeyHash(key)
}

/// Two records that fork at bit 9, at depth 8.
fn leaf_page() -> LeafPage {
    let mut page = LeafPage::default();
    let mut second = key(0xab, 2);
    second.0[1] = 0x40;
    page.put(key(0xab, 1), Hash([0x11; 32]), b"first");
    page.put(second, Hash([0x22; 32]), b"second value");
    page.records[1].fork = Some(Fork {
        depth: 8,
        hash: Hash([0x33; 32]),
    });
    for record in &mut page.records {
        record.touched = false;
    }
    page
}

#[test]
fn a_leaf_page_has_these_bytes() {
    let bytes = leaf_page().to_bytes(8);
    let zeros = |count: usize| "00".repeat(count);
    let wanted = [
        "0101020008000000".to_owned(),
        format!("ab{}01", zeros(30)),
        "11".repeat(32),
        zeros(32),
        "0000".to_owned(),
        "0500".to_owned(),
        format!("ab40{}02", zeros(29)),
        "22".repeat(32),
        "33".repeat(32),
        "0800".to_owned(),
        "0c00".to_owned(),
        encode_hex(b"firstsecond value"),
    ];
    assert_eq!(encode_hex(&bytes), wanted.concat());
    let stored = Stored {
        at: Lsn::new(500),
        records: 2,
    };
    let read = read_page(&bytes, stored, &key(0xab, 99), 8).unwrap();
    let Ref::Leaf(read) = read else {
        panic!("{read:?}");
    };
    assert_eq!(read.to_bytes(8), bytes);
    let found = look_up(&bytes, stored, &key(0xab, 1), 8, |value| Ok(value.to_vec()));
    assert!(matches!(found, Ok(Found::Value(value)) if value == b"first"));
    // It is refused in every other place.
    assert!(read_page(&bytes, stored, &key(0xac, 1), 8).is_err());
    assert!(read_page(&bytes, stored, &key(0xab, 1), 7).is_err());
    let three = Stored {
        records: 3,
        ..stored
    };
    assert!(read_page(&bytes, three, &key(0xab, 1), 8).is_err());
}

/// A leaf page at node 2, inner pages in the places 8 and 15.
fn inner_page() -> (InnerPage, [Option<Stored>; 16]) {
    let mut page = InnerPage::new();
    for node in 2..32 {
        page.set_hash(node, Hash([node as u8; 32]));
    }
    let mut refs = [None; 16];
    for (slot, at, records) in [(0, 112, 7), (8, 0x1000, 0), (15, 0x2000, 0)] {
        let at = Lsn::new(at);
        refs[slot] = Some(Stored { at, records });
    }
    page.leaves.insert(2);
    (page, refs)
}

#[test]
fn an_inner_page_has_these_bytes() {
    let (page, refs) = inner_page();
    let bytes = page.to_bytes(&key(0xab, 9), 8, &refs);
    let zeros = |count: usize| "00".repeat(count);
    let hashes: String = (2..32_u8).map(|node| encode_hex(&[node; 32])).collect();
    let wanted = [
        "0102000008000000".to_owned(),
        format!("ab{}", zeros(31)),
        "0400000000000000".to_owned(),
        hashes,
        format!("7000000000000000{}", zeros(7 * 8)),
        format!("0010000000000000{}", zeros(6 * 8)),
        "0020000000000000".to_owned(),
        format!("07{}", zeros(15)),
    ];
    assert_eq!(encode_hex(&bytes), wanted.concat());
    assert_eq!(bytes.len(), 1_152);
    let stored = Stored {
        at: Lsn::new(0x3000),
        records: 0,
    };
    let read = read_page(&bytes, stored, &key(0xab, 5), 8).unwrap();
    let Ref::Inner(read) = read else {
        panic!("{read:?}");
    };
    assert_eq!(read.to_bytes(&key(0xab, 7), 8, &refs), bytes);
    // A child stands before its parent, so that nothing leads in a circle.
    let early = Stored {
        at: Lsn::new(0x2000),
        records: 0,
    };
    assert!(read_page(&bytes, early, &key(0xab, 5), 8).is_err());
    let refused = |change: &dyn Fn(&mut InnerPage, &mut [Option<Stored>; 16])| {
        let (mut page, mut refs) = inner_page();
        change(&mut page, &mut refs);
        let bytes = page.to_bytes(&key(0xab, 9), 8, &refs);
        read_page(&bytes, stored, &key(0xab, 5), 8).is_err()
    };
    assert!(!refused(&|_, _| {}));
    assert!(refused(&|page, _| page.leaves.insert(1)), "a leaf root");
    assert!(
        refused(&|page, _| page.leaves.insert(4)),
        "overlapping leaves"
    );
    assert!(
        refused(&|page, _| page.leaves.insert(24)),
        "an inner page as leaf"
    );
    assert!(refused(&|page, _| page.leaves.remove(2)), "a leaf nowhere");
    assert!(refused(&|_, refs| refs[3] = refs[8]), "a page below a leaf");
    assert!(refused(&|_, refs| refs[0] = None), "no leaf");
}

#[test]
fn prefixes_end_where_their_place_begins() {
    let key = KeyHash([0xff; 32]);
    assert_eq!(prefix(&key, 0), KeyHash([0; 32]));
    assert_eq!(prefix(&key, 256), key);
    let thirteen = prefix(&key, 13);
    assert_eq!(thirteen.0[..3], [0xff, 0xf8, 0]);
    assert_eq!(node_prefix(&key, 12, 5).0.0[..3], [0xff, 0xf4, 0]);
    assert_eq!(node_prefix(&key, 12, 5).1, 14);
    assert_eq!(node_prefix(&key, 252, 31).0, key);
}
