//! What a mistyped word was probably meant to be.

/// The known word that is near `name`, if one is.
#[must_use]
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.map(|other| (edit_distance(name, other), other));
    distances
        .min()
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .map(|(_, other)| other)
}

/// How many letters must be changed, added or taken away to make one word of the other. Only the
/// first 64 letters count: nobody means a longer word.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = || ["getblock", "getblockhash", "stop"].into_iter();
        assert_eq!(nearest("getblok", known()), Some("getblock"));
        assert_eq!(nearest("sotp", known()), Some("stop"));
        assert_eq!(nearest("getblockhahs", known()), Some("getblockhash"));
        assert_eq!(nearest("sendmoney", known()), None);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
