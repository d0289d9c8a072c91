//! Values of every type for property tests. Every module's tests may draw from here.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Just, Strategy, any};
use proptest::{option, prop_oneof};

use crate::crypto::ed25519::{PublicKey, Signature};

use super::history::Subtree;
use super::proof::{HistoryProof, Proof, StateAnswer, StateProof, TxProof};
use super::state::{
    AccountRecord, ImmatureRecord, KeyHash, PLACEHOLDER, Record, StateKey, SupplyRecord,
};
use super::{
    AccountId, Amount, Auth, BLOCK_WEIGHT_MAX, Block, BlockId, Certificate, CertificateKind,
    CompactBits, EngineKind, EngineRules, Entry, Genesis, GenesisValidator, Hash, Header, Height,
    History, HistoryPath, Millis, Nonce, Op, ParentCertificate, Profile, Reward, Rules, Seal,
    TRANSACTION_BYTES_MAX, Transaction, Uint256, transaction,
};

/// 32 bytes: any, or near the ends of their order, where sets are hard to extend.
pub(crate) fn bytes32() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![
        8 => any::<[u8; 32]>(),
        1 => (any::<u8>(), 0_usize..32).prop_map(|(byte, at)| {
            let mut bytes = [0; 32];
            bytes[at] = byte;
            bytes
        }),
        1 => (any::<u8>(), 0_usize..32).prop_map(|(byte, at)| {
            let mut bytes = [0xff; 32];
            bytes[at] = byte;
            bytes
        }),
    ]
}

/// A number: any, a small one, or one near the greatest.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..3,
        (0_u32..64, -1_i64..=1).prop_map(|(bit, near)| (1_u64 << bit).wrapping_add(near as u64)),
        u64::MAX - 2..=u64::MAX,
    ]
}

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    bytes32().prop_map(Hash)
}

pub(crate) fn account() -> impl Strategy<Value = AccountId> {
    bytes32().prop_map(AccountId)
}

pub(crate) fn key() -> impl Strategy<Value = PublicKey> {
    bytes32().prop_map(PublicKey)
}

pub(crate) fn signature() -> impl Strategy<Value = Signature> {
    (bytes32(), bytes32()).prop_map(|(r, s)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Signature(bytes)
    })
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (account(), number()).prop_map(|(to, amount)| Op::Transfer {
            to,
            amount: Amount(amount.max(1)),
        }),
        vec(any::<u8>(), 1..80).prop_map(Op::Data),
        vec(any::<u8>(), transaction::DATA_BYTES_MAX).prop_map(Op::Data),
    ]
}

pub(crate) fn auth() -> impl Strategy<Value = Auth> {
    let single = (key(), signature()).prop_map(|(key, signature)| Auth::Single { key, signature });
    let multi = btree_set(key(), 2..=transaction::KEYS_MAX)
        .prop_flat_map(|keys| {
            let signing = vec(option::of(signature()), keys.len());
            (Just(keys), signing)
        })
        .prop_filter_map("nobody signs", |(keys, mut signing)| {
            signing.truncate(keys.len());
            let places = signing.iter().enumerate();
            let signers = places.fold(0, |bits, (at, made)| bits | u16::from(made.is_some()) << at);
            let signatures: Vec<Signature> = signing.into_iter().flatten().collect();
            (!signatures.is_empty()).then(|| Auth::Multi {
                threshold: signatures.len() as u8,
                keys: keys.into_iter().collect(),
                signers,
                signatures,
            })
        });
    prop_oneof![single, multi]
}

pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    let ops = prop_oneof![4 => vec(op(), 1..4), 1 => vec(op(), transaction::OPS_MAX)];
    (number(), number(), number(), ops, auth()).prop_map(|(nonce, fee, expiry, ops, auth)| {
        Transaction {
            nonce: Nonce(nonce),
            fee: Amount(fee),
            expiry: Height(expiry),
            ops,
            auth,
        }
    })
}

pub(crate) fn seal(engine: EngineKind) -> impl Strategy<Value = Seal> {
    (number(), any::<u32>(), any::<u16>(), hash(), bytes32()).prop_map(
        move |(long, bits, proposer, next_validators_root, parent_bitmap)| match engine {
            EngineKind::Work => Seal::Work {
                bits: CompactBits(bits),
                nonce: long,
            },
            EngineKind::Stake => Seal::Stake {
                epoch: long,
                proposer,
                next_validators_root,
                parent_bitmap,
            },
        },
    )
}

pub(crate) fn engine() -> impl Strategy<Value = EngineKind> {
    prop_oneof![Just(EngineKind::Work), Just(EngineKind::Stake)]
}

pub(crate) fn header_of(engine: EngineKind) -> impl Strategy<Value = Header> {
    let ids = (bytes32(), hash(), hash(), hash(), account());
    let numbers = (number(), number(), number(), any::<u32>());
    (ids, numbers, seal(engine)).prop_map(|(ids, numbers, seal)| Header {
        height: Height(numbers.0),
        parent_id: BlockId(ids.0),
        time: Millis(numbers.1),
        tx_root: ids.1,
        state_root: ids.2,
        history_root: ids.3,
        base_fee: numbers.2,
        beneficiary: ids.4,
        parent_weight: numbers.3,
        seal,
    })
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    engine().prop_flat_map(header_of)
}

pub(crate) fn certificate() -> impl Strategy<Value = Certificate> {
    let kind = prop_oneof![
        Just(CertificateKind::Notarize),
        Just(CertificateKind::Finalize)
    ];
    let signing = btree_map(0_usize..256, signature(), 0..12);
    (kind, number(), number(), number(), bytes32(), signing).prop_map(
        |(kind, epoch, view, parent_view, block_id, signing)| {
            let mut bitmap = [0; 32];
            for place in signing.keys() {
                bitmap[place / 8] |= 1 << (place % 8);
            }
            Certificate {
                kind,
                epoch,
                view,
                parent_view,
                block_id: BlockId(block_id),
                bitmap,
                signatures: signing.into_values().collect(),
            }
        },
    )
}

pub(crate) fn block() -> impl Strategy<Value = Block> {
    let parent = option::of(certificate()).prop_map(|certificate| {
        certificate.map_or(ParentCertificate::Genesis, ParentCertificate::Signed)
    });
    (header(), vec(transaction(), 0..4), parent).prop_map(|(header, transactions, parent)| {
        let stake = header.engine() == EngineKind::Stake;
        Block {
            header,
            transactions,
            certificate: stake.then_some(parent),
        }
    })
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (hash(), any::<[u64; 4]>(), number(), number()).prop_map(|(hash, work, first, last)| Entry {
        hash,
        work: Uint256(work),
        first_time: Millis(first),
        last_time: Millis(last),
    })
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    vec(entry(), 0..70).prop_map(|leaves| leaves.into_iter().collect())
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (number(), number()).prop_map(|(balance, nonce)| Record::Account(AccountRecord {
            balance: Amount(balance),
            nonce: Nonce(nonce),
        })),
        (account(), number()).prop_map(|(beneficiary, amount)| {
            Record::Immature(ImmatureRecord {
                beneficiary,
                amount: Amount(amount),
            })
        }),
        any::<[u64; 7]>().prop_map(|sums| {
            let [issued, burned, accounts, stakes, immature, pending, pool] = sums;
            Record::Supply(SupplyRecord {
                issued,
                burned,
                accounts,
                stakes,
                immature,
                pending,
                pool,
            })
        }),
    ]
}

/// A proof of the right shape, which need not prove anything.
pub(crate) fn proof() -> impl Strategy<Value = Proof> {
    let transaction = (header(), vec(transaction(), 1..6), any::<u32>()).prop_map(
        |(header, transactions, index)| {
            let index = index % transactions.len() as u32;
            let proof = TxProof::new(header, &transactions, index).expect("the index is in range");
            Proof::Transaction(Box::new(proof))
        },
    );
    let other = (bytes32(), hash());
    let sibling = prop_oneof![hash(), Just(PLACEHOLDER)];
    let siblings = prop_oneof![vec(sibling.clone(), 0..20), vec(sibling, 256)];
    let state = (header(), record(), account(), 0..3, other, siblings).prop_map(
        |(header, record, account, answer, (key, value), siblings)| {
            let height = header.height;
            Proof::State(Box::new(StateProof {
                header,
                key: match record {
                    Record::Account(_) => StateKey::Account(account),
                    Record::Immature(_) => StateKey::Immature(height),
                    Record::Supply(_) => StateKey::Supply,
                },
                answer: match answer {
                    0 => StateAnswer::Present(record),
                    1 => StateAnswer::Empty,
                    _ => StateAnswer::Other {
                        key: KeyHash(key),
                        value,
                    },
                },
                siblings,
            }))
        },
    );
    let headers = engine().prop_flat_map(|engine| (header_of(engine), header_of(engine)));
    let history =
        (headers, entry(), number()).prop_map(|((mut header, mut ancestor), entry, at)| {
            header.height.0 = header.height.0.max(1);
            ancestor.height.0 = at % header.height.0;
            let node = |subtree: Subtree| {
                let mut node = entry;
                node.first_time = Millis(subtree.first);
                Some(node)
            };
            let path = HistoryPath::build(ancestor.height.0, header.height.0, node)
                .expect("the ancestor is lower");
            Proof::History(Box::new(HistoryProof {
                header,
                ancestor,
                path,
            }))
        });
    prop_oneof![transaction, state, history]
}

fn compact() -> impl Strategy<Value = CompactBits> {
    (any::<u64>(), 0_u32..64, 0_u32..190).prop_map(|(value, down, up)| {
        let target = Uint256::from_u64((value >> down).max(1)).shift_left(up);
        CompactBits::from_target(target)
    })
}

fn engine_rules() -> impl Strategy<Value = EngineRules> {
    let work = (number(), compact(), compact()).prop_map(|(half_life, a, b)| {
        // A target cut to its compact form is compared as one.
        let (easy, hard) = if a.target() > b.target() {
            (a, b)
        } else {
            (b, a)
        };
        EngineRules::Work {
            half_life_ms: half_life.max(32),
            pow_bits: hard,
            pow_limit: easy,
        }
    });
    let shares = proptest::array::uniform4(0_u16..=10_000);
    let small = (1_u32.., any::<u32>(), 1_u32.., 1_u16.., any::<u32>());
    let stake = (shares, small, number(), number(), 2_u16..=256).prop_map(
        |(shares, small, unbonding_ms, trust, max_validators)| EngineRules::Stake {
            proposer_bp: shares[0],
            epoch_blocks: small.0,
            unbonding_epochs: small.1,
            unbonding_ms,
            trust_ms: trust.min(unbonding_ms),
            min_stake: trust % 1_000,
            delta_ms: small.2,
            window_views: small.3,
            max_validators,
            churn_bp: shares[1],
            slash_bp: shares[2],
            reporter_bp: shares[3],
            heartbeat_ms: small.4,
        },
    );
    prop_oneof![work, stake]
}

fn reward() -> impl Strategy<Value = Reward> {
    (0..4, number(), number(), number()).prop_map(|(kind, initial, interval, tail)| {
        let interval = interval.max(1);
        match kind {
            0 => Reward::None,
            1 => Reward::Constant { initial },
            2 => Reward::Halving { initial, interval },
            _ => Reward::Tail {
                initial,
                interval,
                tail,
            },
        }
    })
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let sizes = (
        100_000..=BLOCK_WEIGHT_MAX,
        1_024..=TRANSACTION_BYTES_MAX as u32,
        1..=transaction::OPS_MAX as u16,
        1..=transaction::DATA_BYTES_MAX as u16,
    );
    let fees = (number(), number(), number());
    let times = (1_u32.., 1_u32..);
    (engine_rules(), times, sizes, fees, reward()).prop_map(
        |(engine, (interval_ms, maturity), sizes, fees, reward)| Rules {
            engine,
            interval_ms,
            max_block_weight: sizes.0,
            max_tx_bytes: sizes.1,
            max_ops: sizes.2,
            max_data: sizes.3,
            base_fee_initial: fees.0.max(fees.1),
            base_fee_min: fees.0.min(fees.1),
            account_fee: fees.2,
            reward,
            maturity,
        },
    )
}

/// A genesis that passes its check.
pub(crate) fn genesis() -> impl Strategy<Value = Genesis> {
    let profile = prop_oneof![
        Just(Profile::Main),
        Just(Profile::Test),
        Just(Profile::Dev),
        Just(Profile::Consortium),
    ];
    let lists = (
        btree_set(key(), 0..4),
        btree_map(key(), (account(), 1_000_u64..1 << 40), 1..3),
        btree_map(account(), 1_u64..1 << 60, 0..5),
    );
    let texts = ("[a-z0-9-]{1,16}", "[a-z]{1,8}");
    (profile, texts, number(), any::<(u8, u8)>(), rules(), lists).prop_map(
        |(profile, (name, hrp), time, (decimals, id_puzzle_bits), rules, lists)| {
            let stake = rules.engine_kind() == EngineKind::Stake;
            let validators = lists.1.into_iter().filter(|_| stake);
            Genesis {
                profile,
                name,
                hrp,
                time: Millis(time),
                decimals,
                id_puzzle_bits,
                rules,
                operators: lists.0.into_iter().collect(),
                validators: validators
                    .map(|(consensus_key, (account, stake))| GenesisValidator {
                        consensus_key,
                        account,
                        stake: Amount(stake),
                    })
                    .collect(),
                allocations: lists
                    .2
                    .into_iter()
                    .map(|(to, sum)| (to, Amount(sum)))
                    .collect(),
            }
        },
    )
}
