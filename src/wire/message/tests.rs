use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::decode_hex;
use crate::types::{Amount, Height, Millis, NetworkAddress, Nonce, Op, Services};

/// One message of each type and engine, laid out by a script that shares nothing with this code.
struct Golden {
    name: String,
    kind: u8,
    lanes: Vec<u8>,
    max: [u32; 2],
    engine: EngineKind,
    bytes: Vec<u8>,
}

fn golden() -> Vec<Golden> {
    let text = include_str!("../../../tests/vectors/wire/messages.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let vectors = file.as_array().unwrap().iter();
    vectors
        .map(|vector| Golden {
            name: vector["name"].as_str().unwrap().to_owned(),
            kind: number(&vector["type"]) as u8,
            lanes: vector["lanes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|lane| number(lane) as u8)
                .collect(),
            max: [
                number(&vector["max_work"]) as u32,
                number(&vector["max_stake"]) as u32,
            ],
            engine: EngineKind::from_byte(number(&vector["engine"]) as u8).unwrap(),
            bytes: decode_hex(vector["bytes"].as_str().unwrap()).unwrap(),
        })
        .collect()
}

#[test]
fn golden_messages_there_and_back() {
    let golden = golden();
    for vector in &golden {
        let kind = MessageKind::from_byte(vector.kind).unwrap();
        assert_eq!(kind.name(), vector.name);
        let lanes: Vec<u8> = kind.lanes().iter().map(|lane| *lane as u8).collect();
        assert_eq!(lanes, vector.lanes, "{kind}");
        let max = [EngineKind::Work, EngineKind::Stake].map(|engine| kind.max_bytes(engine));
        assert_eq!(max, vector.max, "{kind}");
        let message = Message::decode(kind, &vector.bytes, vector.engine).unwrap();
        assert_eq!(message.kind(), kind);
        assert_eq!(message.encode(), vector.bytes, "{kind}");
    }
    for kind in MessageKind::ALL {
        assert!(golden.iter().any(|vector| vector.kind == kind.byte()));
        assert!(kind.max_bytes(EngineKind::Stake) <= MESSAGE_BYTES_MAX);
    }
}

#[test]
fn prefixes_are_incomplete_and_trailing_bytes_invalid() {
    for Golden {
        kind,
        engine,
        mut bytes,
        ..
    } in golden()
    {
        let kind = MessageKind::from_byte(kind).unwrap();
        // A block's bytes end where the message ends: only its header is known to be there.
        let known = match kind {
            MessageKind::Block => 4 + header_bytes(engine) + 4,
            _ => bytes.len(),
        };
        for cut in 0..known {
            let got = Message::decode(kind, &bytes[..cut], engine);
            assert_eq!(got, Err(DecodeError::Incomplete), "{kind} cut to {cut}");
        }
        if kind != MessageKind::Block {
            bytes.push(0);
            let got = Message::decode(kind, &bytes, engine);
            assert!(matches!(got, Err(DecodeError::Invalid(_))), "{kind}");
        }
    }
}

#[test]
fn a_changed_byte_is_another_message_or_none() {
    for Golden {
        kind,
        engine,
        bytes,
        ..
    } in golden()
    {
        let kind = MessageKind::from_byte(kind).unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                if let Ok(message) = Message::decode(kind, &changed, engine) {
                    assert_eq!(message.encode(), changed, "{kind} byte {place} bit {bit}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_longer_than_its_type_allows() {
    let longest = |kind: MessageKind| kind.max_bytes(EngineKind::Work) as usize;
    // A block of the greatest length passes, one byte more does not, whatever it holds.
    for (extra, fits) in [(0, true), (1, false)] {
        let bytes = vec![0; longest(MessageKind::Block) + extra];
        let got = Message::decode(MessageKind::Block, &bytes, EngineKind::Work);
        assert_eq!(got.is_ok(), fits);
    }
    // Transactions are bounded by bytes before they are by number.
    let transaction = golden()
        .iter()
        .find(|vector| vector.name == "TXS")
        .map(|vector| {
            match Message::decode(MessageKind::Txs, &vector.bytes, EngineKind::Work).unwrap() {
                Message::Txs { transactions, .. } => transactions[0].clone(),
                other => panic!("{other:?}"),
            }
        });
    let data = Transaction {
        nonce: Nonce(1),
        fee: Amount(1),
        expiry: Height(0),
        ops: vec![Op::Data(vec![1; 1_000]); 2],
        auth: transaction.unwrap().auth,
    };
    let size = data.encoded_len();
    let fitting = (longest(MessageKind::Txs) - 6) / size;
    assert!(fitting < GET_TX_MAX);
    for (count, fits) in [(fitting, true), (fitting + 1, false)] {
        let message = Message::Txs {
            request: RequestId(1),
            transactions: vec![data.clone(); count],
        };
        let got = Message::decode(MessageKind::Txs, &message.encode(), EngineKind::Work);
        assert_eq!(got.is_ok(), fits, "{count} of {size} bytes");
    }
}

#[test]
fn headers_of_the_other_engine_are_refused_at_once() {
    let rule = "a header must be of version 1 and of the chain's engine";
    for vector in golden() {
        if vector.name != "HEADERS" && vector.name != "ANNOUNCE" {
            continue;
        }
        let kind = MessageKind::from_byte(vector.kind).unwrap();
        let other = match vector.engine {
            EngineKind::Work => EngineKind::Stake,
            EngineKind::Stake => EngineKind::Work,
        };
        let engine_at = if vector.name == "HEADERS" {
            6 + 2
        } else {
            2 + 2
        };
        let got = Message::decode(kind, &vector.bytes[..=engine_at], other);
        assert_eq!(got, Err(DecodeError::Invalid(rule)));
    }
}

#[test]
fn the_types_that_are_not_spoken_are_named_or_told_by_their_last_bit() {
    let mut counts = [0; 4];
    for byte in 0..=255 {
        match MessageKind::from_byte(byte) {
            Ok(kind) => {
                assert_eq!(kind.byte(), byte);
                counts[0] += 1;
            }
            Err(UnknownKind::Reserved(name)) => {
                assert!(!name.is_empty());
                counts[1] += 1;
            }
            Err(UnknownKind::Odd) => {
                assert_eq!(byte % 2, 1);
                counts[2] += 1;
            }
            Err(UnknownKind::Even) => {
                assert_eq!(byte % 2, 0);
                counts[3] += 1;
            }
        }
    }
    assert_eq!(counts[..2], [22, 14 + 32]);
    assert_eq!(
        MessageKind::from_byte(0x61),
        Err(UnknownKind::Reserved("a message of consensus"))
    );
    assert_eq!(MessageKind::from_byte(0x05), Err(UnknownKind::Odd));
    assert_eq!(MessageKind::from_byte(0x08), Err(UnknownKind::Even));
}

#[test]
fn only_lanes_with_a_window_have_credit() {
    for lane in 0..=255 {
        let bytes = [lane, 0, 0, 0, 1, 0, 0, 0];
        let got = Message::decode(MessageKind::Credit, &bytes, EngineKind::Work);
        assert_eq!(got.is_ok(), (2..=5).contains(&lane), "lane {lane}");
    }
}

#[test]
fn an_even_feature_beyond_those_known_is_required() {
    let known = Features(0b0111);
    assert_eq!(Features(0b1010).required_beyond(known), None);
    assert_eq!(Features(0b0001).required_beyond(known), None);
    assert_eq!(Features(0b11_0000).required_beyond(known), Some(4));
    assert_eq!(Features(1 << 62).required_beyond(known), Some(62));
    assert_eq!(Features(1 << 63).required_beyond(known), None);
}

#[test]
fn versions_that_overlap_have_one_in_common() {
    let Ok(Message::Hello(hello)) =
        Message::decode(MessageKind::Hello, &golden()[0].bytes, EngineKind::Work)
    else {
        panic!("the first vector is a HELLO");
    };
    for (min, max, common) in [
        (1, 1, true),
        (0, 4, true),
        (2, 4, false),
        (0, 0, false),
        (4, 1, false),
    ] {
        let mut hello = hello.clone();
        (hello.protocol_min, hello.protocol) = (min, max);
        assert_eq!(hello.common_version().is_some(), common);
    }
}

#[test]
fn a_peers_text_can_not_reach_a_terminal_raw() {
    let bytes = [9, b'a', 0x1b, b'[', b'2', b'J', b'\n', 0xff, b'z', b'!'];
    let text = ShortText::from_bytes(&bytes).unwrap();
    assert_eq!(text.to_string(), r"a\x1b[2J\n\xffz!");
    assert_eq!(ShortText::new(&"x".repeat(99)).as_bytes().len(), 64);
    let rule = "a text has at most 64 bytes";
    assert_eq!(
        ShortText::from_bytes(&[65]),
        Err(DecodeError::Invalid(rule))
    );
}

fn any_hello() -> impl Strategy<Value = Message> {
    let numbers = any::<([u16; 3], [u64; 7], [u8; 32])>();
    let text = "[ -~]{0,64}";
    (numbers, 0..5_usize, 1..=u16::MAX, text).prop_map(|(numbers, role, port, text)| {
        let ([protocol, protocol_min, listen_port], n, best_id) = numbers;
        let roles = [
            Role::Full,
            Role::BlockOnly,
            Role::Feeler,
            Role::AddressFetch,
            Role::Private,
        ];
        let socket = std::net::SocketAddr::from(([10, 0, 0, 1], port));
        Message::Hello(Box::new(Hello {
            protocol,
            protocol_min,
            role: roles[role],
            listen_port,
            features: Features(n[0]),
            services: Services(n[1]),
            best_height: Height(n[2]),
            best_id: BlockId(best_id),
            nonce: n[3],
            reconciliation_salt: n[4],
            time: Millis(n[5]),
            observed: NetworkAddress::from_socket(socket).unwrap(),
            agent: ShortText::new(&text),
        }))
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = |max| prop::collection::vec(any::<[u8; 32]>(), 0..=max);
    let request = || any::<u32>().prop_map(RequestId);
    prop_oneof![
        any_hello(),
        any::<u64>().prop_map(|nonce| Message::Ping { nonce }),
        (request(), 0..=16_u8, any::<[u8; 32]>()).prop_map(|(request, want, target)| {
            let target = KademliaId(target);
            Message::FindNode {
                request,
                want,
                target,
            }
        }),
        (
            request(),
            0..=2_000_u16,
            any::<[u8; 32]>(),
            ids(LOCATOR_IDS_MAX)
        )
            .prop_map(|(request, max, stop, ids)| Message::GetHeaders {
                request,
                max,
                stop: BlockId(stop),
                locator: ids.into_iter().map(BlockId).collect(),
            }),
        (request(), ids(GET_BLOCKS_MAX)).prop_map(|(request, ids)| {
            let ids = ids.into_iter().map(BlockId).collect();
            Message::GetBlocks { request, ids }
        }),
        (request(), ids(NOT_FOUND_MAX)).prop_map(|(request, ids)| {
            let ids = ids.into_iter().map(Hash).collect();
            Message::NotFound { request, ids }
        }),
        ids(TX_INV_MAX).prop_map(|ids| {
            let wtxids = ids.into_iter().map(WtxId).collect();
            Message::TxInv { wtxids }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_there_and_back(message in any_message(), cut in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        let decode = |bytes: &[u8]| Message::decode(message.kind(), bytes, EngineKind::Work);
        let decoded = decode(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
        let prefix = &bytes[..cut.index(bytes.len())];
        prop_assert_eq!(decode(prefix), Err(DecodeError::Incomplete));
        prop_assert!(bytes.len() <= message.kind().max_bytes(EngineKind::Work) as usize);
    }

    #[test]
    fn any_bytes_are_a_message_that_encodes_to_them_or_none(
        kind in prop::sample::select(&MessageKind::ALL[..]),
        stake in any::<bool>(),
        bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..700),
    ) {
        let engine = if stake { EngineKind::Stake } else { EngineKind::Work };
        if let Ok(message) = Message::decode(kind, &bytes, engine) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}
