//! Both backends against the hash of each message alone.

use super::*;
use crate::base::Rng;
use crate::crypto::hash::{sha256, sha256_parts, sha256d};

/// Every choice that some machine makes and this one can run.
fn backends() -> Vec<Backend> {
    #[cfg(target_arch = "x86_64")]
    {
        let sha_ni = lanes::ShaNi::detect();
        let avx512 = lanes::Avx512::detect();
        let choices = [
            (None, None),
            (sha_ni, None),
            (None, avx512),
            (sha_ni, avx512),
        ];
        let backends = choices.map(|(sha_ni, avx512)| Backend { sha_ni, avx512 });
        backends.to_vec()
    }
    #[cfg(not(target_arch = "x86_64"))]
    vec![Backend::default()]
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

#[test]
fn the_lanes_hash_as_their_twin_does() {
    let mut rng = Rng::from_number(1);
    for backend in backends() {
        for finish in [Finish::None, Finish::Padding64, Finish::Again] {
            for (count, width) in (0..=4).flat_map(|count| (0..=WIDEST).map(move |w| (count, w))) {
                let initial = [(); 8].map(|()| rng.next_u64() as u32);
                let lanes: Vec<Vec<Block>> = (0..width)
                    .map(|_| {
                        (0..count)
                            .map(|_| bytes(&mut rng, 64).try_into().unwrap())
                            .collect()
                    })
                    .collect();
                let lanes: Vec<&[Block]> = lanes.iter().map(Vec::as_slice).collect();
                let twin: Vec<_> = lanes
                    .iter()
                    .map(|lane| scalar::hash(&initial, lane, finish))
                    .collect();
                let mut digests = vec![[0; 32]; width];
                backend.hash(&initial, &lanes, finish, &mut digests);
                assert_eq!(digests, twin, "{backend:?} {finish:?} {count} {width}");
            }
        }
    }
}

fn check_length<const N: usize>(rng: &mut Rng) {
    for backend in backends() {
        for size in [0, 1, 2, 3, 4, 5, 9, 16, 17, 35] {
            let messages: Vec<[u8; N]> = (0..size)
                .map(|_| bytes(rng, N).try_into().unwrap())
                .collect();
            for prefix in [&[] as &[u8], &[1], b"JMT::IntrnalNode", &[9; 70]] {
                let wanted: Vec<_> = messages
                    .iter()
                    .map(|message| sha256_parts(&[prefix, message]))
                    .collect();
                assert_eq!(hash_equal(backend, prefix, &messages), wanted, "{N}");
                assert_eq!(hash_many(prefix, &messages), wanted, "{N}");
            }
        }
    }
}

#[test]
fn fixed_lengths_around_every_border() {
    let mut rng = Rng::from_number(2);
    check_length::<0>(&mut rng);
    check_length::<1>(&mut rng);
    check_length::<32>(&mut rng);
    check_length::<54>(&mut rng);
    check_length::<55>(&mut rng);
    check_length::<56>(&mut rng);
    check_length::<63>(&mut rng);
    check_length::<64>(&mut rng);
    check_length::<65>(&mut rng);
    check_length::<119>(&mut rng);
    check_length::<120>(&mut rng);
    check_length::<128>(&mut rng);
    check_length::<204>(&mut rng);
    check_length::<266>(&mut rng);
    check_length::<{ MOST_BLOCKS * 64 }>(&mut rng);
}

#[test]
fn blocks_need_no_copying() {
    let mut rng = Rng::from_number(3);
    for backend in backends() {
        for size in [0, 1, 2, 3, 4, 5, 9, 16, 17, 35] {
            let messages: Vec<Block> = (0..size)
                .map(|_| bytes(&mut rng, 64).try_into().unwrap())
                .collect();
            let wanted: Vec<_> = messages.iter().map(|message| sha256(message)).collect();
            assert_eq!(hash_blocks(backend, &messages), wanted);
        }
    }
}

#[test]
fn every_length_in_every_mixture() {
    let mut rng = Rng::from_number(4);
    let longest = MOST_BLOCKS * 64;
    let lengths: Vec<usize> = (0..=300).chain(longest - 80..longest + 3).collect();
    let texts: Vec<_> = lengths
        .iter()
        .map(|length| bytes(&mut rng, *length))
        .collect();
    for backend in backends() {
        for prefix in [b"".as_slice(), b"keel/wtx/1"] {
            let all: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            let wanted: Vec<_> = all
                .iter()
                .map(|text| sha256_parts(&[prefix, text]))
                .collect();
            assert_eq!(hash_unequal(backend, prefix, &all), wanted);
            // As often as there are lanes, so that each length fills the lanes by itself.
            for (text, hash) in all.iter().zip(&wanted) {
                assert_eq!(
                    hash_unequal(backend, prefix, &[*text; WIDEST]),
                    [*hash; WIDEST]
                );
            }
            for size in 0..=40 {
                let some = (0..size).map(|_| rng.below(all.len() as u64) as usize);
                let some: Vec<_> = some.collect();
                let texts: Vec<_> = some.iter().map(|at| all[*at]).collect();
                let hashes: Vec<_> = some.iter().map(|at| wanted[*at]).collect();
                assert_eq!(hash_unequal(backend, prefix, &texts), hashes);
            }
        }
    }
    let all: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    assert_eq!(hash_slices(b"", &all)[7], sha256(all[7]));
}

fn with_nonce(header: &[u8; 204], nonce: u64) -> [u8; 204] {
    let mut header = *header;
    header[196..].copy_from_slice(&nonce.to_le_bytes());
    header
}

#[test]
fn the_search_finds_the_first_nonce_and_no_other() {
    let mut rng = Rng::from_number(5);
    for backend in backends() {
        for start in [0, 1, u64::from(u32::MAX) - 50, u64::MAX - 150] {
            let header: [u8; 204] = bytes(&mut rng, 204).try_into().unwrap();
            let ids: Vec<_> = (0..100)
                .map(|by| sha256d(&with_nonce(&header, start + by)))
                .collect();
            for length in (0..=9).chain([99, 100]) {
                // The least id of the range as target is met there, and just below it nowhere.
                let nonces = start..start + length;
                let Some((best, id)) = ids[..length as usize]
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, id)| **id)
                else {
                    assert_eq!(search_with(backend, &header, nonces, &[0xff; 32]), None);
                    continue;
                };
                let found = search_with(backend, &header, nonces.clone(), id);
                assert_eq!(found, Some(start + best as u64));
                let mut below = *id;
                assert!(below[31] > 0, "choose another seed");
                below[31] -= 1;
                assert_eq!(search_with(backend, &header, nonces.clone(), &below), None);
                assert_eq!(
                    search_with(backend, &header, nonces, &[0xff; 32]),
                    Some(start)
                );
            }
        }
    }
}

#[test]
fn the_search_stops_at_the_last_number() {
    let header = [3; 204];
    let nonces = u64::MAX - 6..u64::MAX;
    for backend in backends() {
        assert_eq!(
            search_with(backend, &header, nonces.clone(), &[0; 32]),
            None
        );
    }
    assert_eq!(
        search(&header, nonces.clone(), &[0xff; 32]),
        Some(nonces.start)
    );
}

/// The target is compared as a number whose first byte weighs most.
#[test]
fn the_id_is_read_as_a_big_endian_number() {
    let header = [5; 204];
    let mut target = [0xff; 32];
    target[0] = 0;
    let nonce = search(&header, 0..1 << 20, &target).unwrap();
    assert_eq!(sha256d(&with_nonce(&header, nonce))[0], 0);
    assert!((0..nonce).all(|nonce| sha256d(&with_nonce(&header, nonce))[0] != 0));
}

#[test]
fn the_backend_has_a_name() {
    let names: Vec<_> = backends().into_iter().map(Backend::name).collect();
    assert_eq!(names[0], "sha2");
    assert!(names.contains(&backend()), "{names:?}");
}
