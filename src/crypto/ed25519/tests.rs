//! The rule against published vectors, against another implementation, and in batches.

use std::collections::BTreeMap;

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
use sha2::{Digest, Sha512};

use super::*;
use crate::base::{Rng, decode_hex, decode_hex_array};

/// The secret of batches in tests; weights are then the same in every run.
const SECRET: [u8; 32] = [7; 32];

/// A signature to check with the verdict that is right.
#[derive(Clone)]
struct Case {
    key: PublicKey,
    message: Vec<u8>,
    signature: Signature,
    good: bool,
}

impl Case {
    fn item(&self) -> Item<'_> {
        Item {
            key: self.key,
            message: &self.message,
            signature: self.signature,
        }
    }

    fn verify(&self) -> bool {
        verify(&self.key, &self.message, &self.signature)
    }
}

fn vectors(json: &str, names: [&str; 3], message: impl Fn(&str) -> Vec<u8>) -> Vec<Case> {
    let entries: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(json).unwrap();
    entries
        .iter()
        .map(|entry| {
            let [key, text, signature] = names.map(|name| entry[name].as_str().unwrap());
            let mut case = Case {
                key: PublicKey(decode_hex_array(key).unwrap()),
                message: message(text),
                signature: Signature(decode_hex_array(signature).unwrap()),
                good: false,
            };
            case.good = case.verify();
            case
        })
        .collect()
}

/// The 12 cases of "Taming the many EdDSAs".
fn speccheck() -> Vec<Case> {
    let json = include_str!("../../../tests/vectors/ed25519/speccheck.json");
    vectors(json, ["pub_key", "message", "signature"], |text| {
        decode_hex(text).unwrap()
    })
}

/// The 914 cases of the C2SP test vectors, whose messages are text.
fn cctv() -> Vec<Case> {
    let json = include_str!("../../../tests/vectors/ed25519/cctv.json");
    vectors(json, ["key", "msg", "sig"], |text| text.as_bytes().to_vec())
}

fn all_vectors() -> Vec<Case> {
    let mut cases = speccheck();
    cases.extend(cctv());
    cases
}

/// The accepted vectors, and each with another message. The published ones that are refused all
/// fail a check on their encoding; these fail the equation alone, so a batch has to find them.
fn decided_by_equation() -> Vec<Case> {
    let mut cases: Vec<_> = all_vectors().into_iter().filter(|case| case.good).collect();
    for mut case in cases.clone() {
        case.message.push(b'!');
        case.good = false;
        assert!(!case.verify());
        cases.push(case);
    }
    cases
}

fn signed(rng: &mut Rng) -> Case {
    let key = SecretKey::from_seed(&rng.bytes32());
    let message = rng.bytes32();
    Case {
        key: key.public_key(),
        message: message.to_vec(),
        signature: key.sign(&message),
        good: true,
    }
}

/// Checks `cases` as one batch and compares every verdict with the right one.
fn assert_batch(cases: &[&Case], cache: &mut KeyCache) {
    let items: Vec<_> = cases.iter().map(|case| case.item()).collect();
    let wanted: Vec<_> = cases.iter().map(|case| case.good).collect();
    let found = verify_batch(&items, cache, &SECRET);
    assert!(found == wanted, "a batch of {} differs", cases.len());
}

#[test]
fn exactly_216_of_the_926_vectors_are_accepted() {
    let verdicts = |cases: Vec<Case>| cases.iter().map(|case| case.good).collect::<Vec<_>>();
    let speccheck = verdicts(speccheck());
    let accepted: Vec<_> = (0..12).filter(|case| speccheck[*case]).collect();
    assert_eq!(accepted, [2, 3, 4, 5]);
    let cctv = verdicts(cctv());
    assert_eq!(cctv.len(), 914);
    assert_eq!(cctv.iter().filter(|good| **good).count(), 212);
}

/// Every vector stands in a batch of every size, between others as they come in a shuffled list:
/// good ones, ones with a bad encoding and ones that only fail the equation.
#[test]
fn every_batch_size_accepts_the_same_beside_any_neighbour() {
    let mut cases = all_vectors();
    let fail_the_equation = decided_by_equation().into_iter().filter(|case| !case.good);
    cases.extend(fail_the_equation.step_by(4));
    let mut order: Vec<&Case> = cases.iter().collect();
    Rng::from_number(2).shuffle(&mut order);
    let mut cache = KeyCache::new(16);
    for size in 1..=300 {
        // The last batch is filled up from the front, so that it has this size too.
        let mut endless = order.iter().copied().cycle();
        for _ in 0..order.len().div_ceil(size) {
            let batch: Vec<_> = endless.by_ref().take(size).collect();
            assert_batch(&batch, &mut cache);
        }
        order.rotate_left(1);
    }
}

/// Every vector that the equation decides stands alone among good signatures, in batches of
/// the sizes at which the work is divided in another way.
#[test]
fn a_lone_vector_gets_its_verdict_among_good_ones() {
    let mut rng = Rng::from_number(3);
    let good: Vec<_> = (0..300).map(|_| signed(&mut rng)).collect();
    let mut cache = KeyCache::new(1_000);
    for (at, case) in decided_by_equation().iter().enumerate() {
        for size in [2, 16, 17, 33, 128, 256, 300]
            .into_iter()
            .skip(at % 2)
            .step_by(2)
        {
            let mut batch: Vec<_> = good[..size].iter().collect();
            batch[rng.below(size as u64) as usize] = case;
            assert_batch(&batch, &mut cache);
        }
    }
}

/// Only good vectors, so that every batch passes at once, torsion and all.
#[test]
fn batches_of_accepted_vectors_pass_in_every_size() {
    let accepted: Vec<_> = all_vectors().into_iter().filter(|case| case.good).collect();
    let mut cache = KeyCache::new(100);
    for size in 1..=300 {
        let batch: Vec<_> = accepted.iter().cycle().skip(size).take(size).collect();
        assert_batch(&batch, &mut cache);
    }
}

#[test]
fn bad_ones_are_found_wherever_they_stand() {
    let mut rng = Rng::from_number(4);
    let keys: Vec<_> = (0..5)
        .map(|_| SecretKey::from_seed(&rng.bytes32()))
        .collect();
    let mut cases: Vec<_> = (0..2_100_u64)
        .map(|number| {
            let (key, message) = (&keys[rng.below(5) as usize], rng.bytes32());
            let mut case = Case {
                key: key.public_key(),
                message: message.to_vec(),
                signature: key.sign(&message),
                good: true,
            };
            if number % 61 == 9 {
                case.message[31] ^= 1;
                case.good = false;
            }
            case
        })
        .collect();
    let mut cache = KeyCache::new(4);
    for size in [0, 1, 9, 10, 16, 17, 127, 128, 255, 256, 1_024, 1_025, 2_100] {
        assert_batch(&cases[..size].iter().collect::<Vec<_>>(), &mut cache);
    }
    for case in &mut cases {
        case.message[0] ^= 1;
        case.good = false;
    }
    assert_batch(&cases.iter().collect::<Vec<_>>(), &mut cache);
}

/// Two signatures whose errors are opposite: their plain sum holds, so that only the weights keep
/// a batch from accepting both.
#[test]
fn errors_do_not_cancel() {
    let mut rng = Rng::from_number(5);
    let (mut left, mut right) = (signed(&mut rng), signed(&mut rng));
    for (case, error) in [(&mut left, Scalar::ONE), (&mut right, -Scalar::ONE)] {
        let s = Scalar::from_canonical_bytes(*case.signature.s()).unwrap() + error;
        case.signature.0[32..].copy_from_slice(s.as_bytes());
        case.good = false;
    }
    assert!(!left.verify() && !right.verify());
    assert_batch(&[&left, &right], &mut KeyCache::new(2));
}

#[test]
fn a_full_cache_forgets_and_changes_nothing() {
    let mut rng = Rng::from_number(6);
    let cases: Vec<_> = (0..40).map(|_| signed(&mut rng)).collect();
    let mut cache = KeyCache::new(10);
    for _ in 0..2 {
        for batch in cases.chunks(7) {
            assert_batch(&batch.iter().collect::<Vec<_>>(), &mut cache);
            assert!(cache.len() <= 10);
        }
    }
    assert!(!cache.is_empty());
    // A key that may not sign is refused again and again, and never held.
    let before = cache.len();
    let small_order = PublicKey(EIGHT_TORSION[1].compress().to_bytes());
    assert_eq!(cache.point(&small_order), None);
    assert_eq!(cache.len(), before);
}

/// A signature in which key and nonce point may carry torsion: a valid one by the cofactored
/// equation, whatever the shifts.
fn shifted(rng: &mut Rng, key_torsion: EdwardsPoint, nonce_torsion: EdwardsPoint) -> Case {
    let [a, r] = [(); 2].map(|()| Scalar::from_bytes_mod_order(rng.bytes32()));
    let key = (EdwardsPoint::mul_base(&a) + key_torsion).compress();
    let nonce = (EdwardsPoint::mul_base(&r) + nonce_torsion).compress();
    let message = rng.bytes32().to_vec();
    let mut hash = Sha512::new();
    hash.update(nonce.as_bytes());
    hash.update(key.as_bytes());
    hash.update(&message);
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(nonce.as_bytes());
    bytes[32..].copy_from_slice((r + k * a).as_bytes());
    Case {
        key: PublicKey(key.to_bytes()),
        message,
        signature: Signature(bytes),
        good: true,
    }
}

/// What ed25519-zebra says, which has the same equation and accepts more encodings.
fn zebra_verdict(case: &Case) -> bool {
    let signature = ed25519_zebra::Signature::from(case.signature.0);
    ed25519_zebra::VerificationKey::try_from(case.key.0)
        .is_ok_and(|key| key.verify(&signature, &case.message).is_ok())
}

#[test]
fn the_equation_is_that_of_another_implementation() {
    let mut rng = Rng::from_number(8);
    let mut cases = Vec::new();
    for key_torsion in EIGHT_TORSION {
        for nonce_torsion in EIGHT_TORSION {
            let good = shifted(&mut rng, key_torsion, nonce_torsion);
            for place in [0, 31, 32, 63] {
                let mut bad = good.clone();
                bad.signature.0[place] ^= 1 << rng.below(8);
                bad.good = false;
                cases.push(bad);
            }
            // R moved by a point of small order belongs to another k, so it is refused too.
            let mut moved = good.clone();
            let nonce = point::decompress(good.signature.r()).unwrap() + EIGHT_TORSION[1];
            moved.signature.0[..32].copy_from_slice(nonce.compress().as_bytes());
            moved.good = false;
            cases.extend([moved, good]);
        }
    }
    let mut compared = 0;
    for case in &cases {
        assert_eq!(case.verify(), case.good);
        let point = point::decompress_key(&case.key).unwrap();
        let passes = Equation::new(&case.key, point, &case.message, &case.signature).is_some();
        if passes {
            assert_eq!(zebra_verdict(case), case.good);
            compared += 1;
        } else {
            assert!(!case.good);
        }
    }
    assert!(compared > cases.len() / 2, "{compared}");
    assert_batch(&cases.iter().collect::<Vec<_>>(), &mut KeyCache::new(64));
    for case in all_vectors() {
        // What is accepted here is a part of what the wider rule accepts.
        assert!(!case.good || zebra_verdict(&case));
    }
}

/// Wycheproof expects no verdict that the rule does not give. A signature of another length than
/// 64 bytes, of which it has some, is no [`Signature`].
#[test]
fn wycheproof_expects_nothing_else() {
    use wycheproof::{TestResult, eddsa};
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut seen = [0, 0];
    for group in set.test_groups {
        let key = PublicKey(group.key.pk.as_ref().try_into().unwrap());
        for test in group.tests {
            let valid = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("test {} leaves it open", test.tc_id),
            };
            let found = <[u8; 64]>::try_from(test.sig.as_ref())
                .is_ok_and(|bytes| verify(&key, test.msg.as_ref(), &Signature(bytes)));
            assert_eq!(found, valid, "test {}: {}", test.tc_id, test.comment);
            seen[usize::from(valid)] += 1;
        }
    }
    assert!(seen[0] > 50 && seen[1] > 50, "{seen:?}");
}

#[test]
fn keys_and_signatures_are_those_of_rfc_8032() {
    // RFC 8032 section 7.1, test SHA(abc) has a longer message; test 1 signs the empty one, which
    // the library signs as well as any other.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                     5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    let key = SecretKey::from_seed(&decode_hex_array(seed).unwrap());
    assert_eq!(
        key.public_key(),
        PublicKey(decode_hex_array(public).unwrap())
    );
    let signature = Signature(decode_hex_array(signature).unwrap());
    assert_eq!(key.0.sign(b"").to_bytes(), signature.0);
    assert!(verify(&key.public_key(), b"", &signature));
    let message = [1; 32];
    assert!(verify(&key.public_key(), &message, &key.sign(&message)));
}

#[test]
fn a_secret_key_is_wiped_and_never_shown() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<ed25519_dalek::SigningKey>();
    let seed = [0x5a; 32];
    let key = SecretKey::from_seed(&seed);
    assert_eq!(*key.seed(), seed);
    let shown = format!("{key:?}");
    assert!(
        !shown.contains("5a5a5a") && !shown.contains("90, 90"),
        "{shown}"
    );
}

/// `.cargo/config.toml` compiles the AVX-512 code in, without which verification is a third
/// slower. Fuzzing sets its own flags, which replace those of the file.
#[cfg(all(target_arch = "x86_64", not(fuzzing)))]
#[test]
fn the_fast_curve_code_is_compiled_in() {
    let compiled_in = cfg!(curve25519_dalek_backend = "avx512");
    assert!(
        compiled_in,
        "build with .cargo/config.toml in force and RUSTFLAGS not set, as it replaces that file"
    );
    let ifma =
        std::is_x86_feature_detected!("avx512ifma") && std::is_x86_feature_detected!("avx512vl");
    assert_eq!(backend() == "avx512ifma", ifma);
}
