use super::*;

/// Whether some completion of `prefix` to `width` bytes is a number within the range.
fn completable(prefix: &[u8], width: usize, start: u64, end: u64) -> bool {
    (0..1_u64 << (8 * width)).any(|value| {
        value.to_le_bytes()[..prefix.len()] == *prefix && (start..=end).contains(&value)
    })
}

#[test]
fn a_cut_number_is_incomplete_exactly_when_it_can_be_completed() {
    for (start, end) in [
        (0, 0xffff),
        (1, 1),
        (1, 64),
        (300, 520),
        (255, 256),
        (0x1234, 0x1234),
    ] {
        for first in 0..=255_u8 {
            let got = Reader::new(&[first]).u16_in(start..=end, "range");
            let wanted = if completable(&[first], 2, start.into(), end.into()) {
                DecodeError::Incomplete
            } else {
                DecodeError::Invalid("range")
            };
            assert_eq!(got, Err(wanted), "{first:#x} in {start}..={end}");
        }
        assert_eq!(
            Reader::new(&[]).u16_in(start..=end, "range"),
            Err(DecodeError::Incomplete)
        );
    }
    assert_eq!(
        Reader::new(&[2; 7]).u64_in(0..=5, "range"),
        Err(DecodeError::Invalid("range"))
    );
    assert_eq!(
        Reader::new(&[0xff; 7]).u64_in(1..=u64::MAX, "r"),
        Err(DecodeError::Incomplete)
    );
    assert_eq!(Reader::new(&[5, 0, 0, 0]).u32_in(5..=5, "range"), Ok(5));
    assert_eq!(
        Reader::new(&[0]).u8_in(1..=2, "range"),
        Err(DecodeError::Invalid("range"))
    );
}

#[test]
fn a_cut_constant_or_key_is_incomplete_exactly_when_it_can_be_completed() {
    let invalid = Err(DecodeError::Invalid("rule"));
    assert_eq!(
        Reader::new(&[1]).constant(&[1, 2], "rule"),
        Err(DecodeError::Incomplete)
    );
    assert_eq!(Reader::new(&[2]).constant(&[1, 2], "rule"), invalid);
    assert_eq!(
        Reader::new(&[0, 0]).zeros(3, "rule"),
        Err(DecodeError::Incomplete)
    );
    assert_eq!(Reader::new(&[0, 1]).zeros(3, "rule"), invalid);
    let next = |bytes: &[u8], previous: [u8; 2]| {
        Reader::new(bytes)
            .ascending(Some(&previous), 0, "rule")
            .map(|_| ())
    };
    assert_eq!(next(&[5], [5, 9]), Err(DecodeError::Incomplete));
    assert_eq!(next(&[5], [5, 255]), invalid);
    assert_eq!(next(&[4], [5, 0]), invalid);
    assert_eq!(next(&[5, 9], [5, 9]), invalid);
    assert_eq!(next(&[5, 10], [5, 9]), Ok(()));
}

#[test]
fn a_key_leaves_room_for_those_that_follow() {
    let last = [0xff; 32];
    let before = |less: u8| {
        let mut key = last;
        key[31] -= less;
        key
    };
    let read = |bytes: &[u8], previous: Option<&[u8; 32]>, followers| {
        Reader::new(bytes).ascending(previous, followers, "rule")
    };
    let invalid = Err(DecodeError::Invalid("rule"));
    assert_eq!(read(&last, None, 0), Ok(last));
    assert_eq!(read(&last, None, 1), invalid);
    assert_eq!(read(&before(2), None, 2), Ok(before(2)));
    assert_eq!(read(&before(2), None, 3), invalid);
    let previous = before(3);
    assert_eq!(
        read(&last[..31], Some(&previous), 2),
        Err(DecodeError::Incomplete)
    );
    assert_eq!(read(&last[..31], Some(&previous), 3), invalid);
    assert_eq!(read(&last[..31], None, 255), Err(DecodeError::Incomplete));
    assert_eq!(read(&last[..31], None, 256), invalid);
    assert_eq!(read(&last[..30], None, 256), Err(DecodeError::Incomplete));
}

#[test]
fn a_count_beyond_the_input_is_refused_before_allocation() {
    let reader = Reader::new(&[0; 10]);
    assert_eq!(reader.expect_items(5, 2), Ok(()));
    assert_eq!(reader.expect_items(6, 2), Err(DecodeError::Incomplete));
    assert_eq!(
        reader.expect_items(usize::MAX, 2),
        Err(DecodeError::Incomplete)
    );
}
