use super::*;
use crate::base::decode_hex;

const GENESIS: GenesisId = GenesisId([9; 32]);

fn secret() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn content(kinds: &[NetworkKind], vouch: Option<Vouch>) -> RecordContent {
    let addresses = kinds.iter().map(|kind| {
        let mut bytes = [0; 32];
        bytes[..kind.address_bytes()].fill(0xa0 + *kind as u8);
        NetworkAddress {
            kind: *kind,
            port: 8_433,
            bytes,
        }
    });
    RecordContent {
        seq: 0x0102,
        expires: Millis(1_700_000_000_000),
        services: Services::FULL_BLOCKS.with(Services::VALIDATOR),
        key: NodeKey([7; 32]),
        addresses: addresses.collect(),
        vouch,
    }
}

/// A record of every shape.
fn records() -> Vec<NodeRecord> {
    use NetworkKind::{Cjdns, I2p, TorV3, V4, V6};
    let id = NodeId(secret().public_key().0);
    let operator = SecretKey::from_seed(&[2; 32]);
    let vouch = Vouch::sign(&GENESIS, &id, Millis(5), &operator);
    let mut records = Vec::new();
    for kinds in [
        &[][..],
        &[V4],
        &[Cjdns],
        &[V4, V6],
        &[V6, TorV3, I2p],
        &[V6, TorV3, I2p, Cjdns],
        &[V4, V6, I2p, Cjdns],
    ] {
        for vouch in [None, Some(vouch.clone())] {
            records.push(NodeRecord::sign(content(kinds, vouch), &GENESIS, &secret()));
        }
    }
    records
}

#[test]
fn every_shape_there_and_back() {
    for record in records() {
        let bytes = record.to_bytes();
        assert_eq!(bytes.len(), record.encoded_len());
        assert_eq!(NodeRecord::from_bytes(&bytes).as_ref(), Ok(&record));
        for cut in 0..bytes.len() {
            let got = NodeRecord::from_bytes(&bytes[..cut]);
            assert_eq!(got, Err(DecodeError::Incomplete), "{cut} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        let trailing = DecodeError::Invalid("trailing bytes");
        assert_eq!(NodeRecord::from_bytes(&longer), Err(trailing));
        let mut out = Writer::new();
        record.encode_with_length(&mut out);
        let bytes = out.into_bytes();
        let decode = |bytes: &[u8]| NodeRecord::decode_with_length(&mut Reader::new(bytes));
        assert_eq!(decode(&bytes).as_ref(), Ok(&record));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Err(DecodeError::Incomplete), "{cut}");
        }
    }
}

#[test]
fn golden_bytes() {
    let record = NodeRecord::sign(content(&[NetworkKind::V4], None), &GENESIS, &secret());
    let text = concat!(
        "01010000",
        "0201000000000000",
        "0068e5cf8b010000",
        "0900000000000000",
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "0707070707070707070707070707070707070707070707070707070707070707",
        "0100f120a1a1a1a1",
        "00000000000000000000000000000000000000000000000000000000",
    );
    let bytes = record.to_bytes();
    assert_eq!(bytes[..bytes.len() - 64], decode_hex(text).unwrap());
    assert_eq!(RECORD_BYTES_MAX, 404);
}

#[test]
fn each_changed_byte_breaks_the_signature_or_the_encoding() {
    for record in records() {
        assert!(record.verify(&GENESIS));
        assert!(!record.verify(&GenesisId([8; 32])));
        let bytes = record.to_bytes();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            if let Ok(other) = NodeRecord::from_bytes(&changed) {
                assert!(!other.verify(&GENESIS), "byte {place}");
            }
        }
    }
}

#[test]
fn addresses_must_ascend_and_leave_room_for_those_that_follow() {
    let rule = "a record's addresses must be of known kinds, ascending, one of each";
    let bytes = |count: u8, kinds: &[u8]| {
        let mut out = Writer::new();
        out.bytes(&[1, count, 0, 0]);
        out.zeros(88);
        for kind in kinds {
            out.bytes(&[*kind, 0, 1, 0]);
            out.zeros(32);
        }
        out.into_bytes()
    };
    let decode = |bytes: &[u8]| NodeRecord::from_bytes(bytes).map(|_| ());
    for (count, kinds) in [
        (1, &[0][..]),
        (1, &[3]),
        (1, &[7]),
        (2, &[1, 1]),
        (2, &[2, 1]),
        (2, &[6]),
        (4, &[4]),
        (3, &[1, 6]),
    ] {
        let got = decode(&bytes(count, kinds)[..92 + 36 * (kinds.len() - 1) + 1]);
        assert_eq!(got, Err(DecodeError::Invalid(rule)), "{count} {kinds:?}");
    }
    for (count, kinds) in [(4, &[2][..]), (2, &[5]), (3, &[1, 5])] {
        let got = decode(&bytes(count, kinds));
        assert_eq!(got, Err(DecodeError::Incomplete), "{count} {kinds:?}");
    }
    let mut padded = bytes(1, &[1]);
    padded[92 + 4 + 4] = 1;
    let padding = DecodeError::Invalid("an address must be padded with zeros");
    assert_eq!(decode(&padded), Err(padding));
}

#[test]
fn a_record_must_have_exactly_the_length_before_it() {
    for record in records() {
        let mut out = Writer::new();
        record.encode_with_length(&mut out);
        let bytes = out.into_bytes();
        for length in 0..=500_u16 {
            let mut changed = bytes.clone();
            changed[..2].copy_from_slice(&length.to_le_bytes());
            let got = NodeRecord::decode_with_length(&mut Reader::new(&changed));
            let fits = usize::from(length) == record.encoded_len();
            assert_eq!(got.is_ok(), fits, "{length}");
            assert_ne!(got, Err(DecodeError::Incomplete));
        }
    }
}

#[test]
fn a_vouch_is_for_one_node_until_one_time_on_one_chain() {
    let (node, other) = (NodeId([3; 32]), NodeId([4; 32]));
    let mut vouch = Vouch::sign(&GENESIS, &node, Millis(77), &secret());
    assert!(vouch.verify(&GENESIS, &node));
    assert!(!vouch.verify(&GENESIS, &other));
    assert!(!vouch.verify(&GenesisId([8; 32]), &node));
    vouch.expires = Millis(78);
    assert!(!vouch.verify(&GENESIS, &node));
}

#[test]
fn a_record_lives_at_most_seven_days() {
    let record = &records()[0];
    let expires = Time::from_millis(record.content.expires.0);
    let at = |time: Time| record.validity(time);
    let moment = Span::from_micros(1);
    assert_eq!(at(expires), RecordValidity::Expired);
    assert_eq!(
        at(Time::from_micros(expires.as_micros() - 1)),
        RecordValidity::Current
    );
    let earliest = expires - RECORD_LIFE_MAX;
    assert_eq!(at(earliest), RecordValidity::Current);
    assert_eq!(at(earliest - moment), RecordValidity::TooFarAhead);
}

#[test]
fn the_puzzle_counts_leading_zero_bits() {
    for number in 0..2_000_u16 {
        let mut id = NodeId([0; 32]);
        id.0[..2].copy_from_slice(&number.to_le_bytes());
        let hash = sha256_parts(&[b"keel/puzzle/1", &id.0]);
        let bits: String = hash.iter().map(|byte| format!("{byte:08b}")).collect();
        let zeros = bits.find('1').unwrap() as u8;
        assert!(id.solves_puzzle(zeros));
        assert!(!id.solves_puzzle(zeros + 1));
        assert!(!id.solves_puzzle(255));
    }
}

#[test]
fn kademlia_ids_have_their_domain() {
    let wanted = sha256_parts(&[b"keel/kad/1", &[5; 32]]);
    assert_eq!(NodeId([5; 32]).kademlia_id(), KademliaId(wanted));
}
