//! A TOML table from which fields are taken one by one, so that what is left is unknown.

use toml::{Table, Value};

use crate::base::decode_hex_array;
use crate::crypto::ed25519::PublicKey;
use crate::types::{AccountId, CompactBits, decode_address};

use super::GenesisFileError as Error;

/// A table and where it stands in the file.
pub(super) struct Fields {
    table: Table,
    /// What its fields' names begin with: empty, `network.` or `allocations[2].`.
    prefix: String,
}

fn type_error(field: &str, wanted: &str, found: &Value) -> Error {
    Error::new(
        field,
        format!("must be {wanted}, not {}; change it", found.type_str()),
    )
}

/// A key in hexadecimal.
pub(super) fn key(field: &str, value: &Value) -> Result<PublicKey, Error> {
    let text = value
        .as_str()
        .ok_or_else(|| type_error(field, "a key as 64 hex digits in quotes", value))?;
    decode_hex_array(text)
        .map(PublicKey)
        .map_err(|error| Error::new(field, format!("{error}; write the key as 64 hex digits")))
}

impl Fields {
    pub(super) fn new(table: Table, prefix: &str) -> Self {
        Self {
            table,
            prefix: prefix.to_owned(),
        }
    }

    fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    fn missing(&self, field: &str, example: &str) -> Error {
        Error::new(self.path(field), format!("is missing; add it: {example}"))
    }

    /// The names of the fields not taken.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(String::as_str)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, Error> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(type_error(&self.path(field), "text in quotes", &other)),
        }
    }

    /// Takes a text that has to be there.
    pub(super) fn required_text(&mut self, field: &str, example: &str) -> Result<String, Error> {
        self.text(field)?
            .ok_or_else(|| self.missing(field, example))
    }

    /// Takes one of several words, as its place among them.
    pub(super) fn choice(&mut self, field: &str, words: &[&str]) -> Result<Option<usize>, Error> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let place = words.iter().position(|word| *word == text);
        place.map(Some).ok_or_else(|| {
            let words = words.join("\", \"");
            Error::new(
                self.path(field),
                format!("\"{text}\" is none of \"{words}\"; choose one"),
            )
        })
    }

    /// Takes a number into `into`, whose type bounds it, and says whether it was there. Beyond
    /// 2^63 - 1, where TOML's integers end, it is written in quotes.
    pub(super) fn number<T>(&mut self, field: &str, into: &mut T) -> Result<bool, Error>
    where
        T: TryFrom<u64>,
    {
        let Some(value) = self.table.remove(field) else {
            return Ok(false);
        };
        let path = self.path(field);
        let number: u64 = match &value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| {
                Error::new(&*path, format!("{number} is negative; write 0 or more"))
            })?,
            Value::String(text) => text.parse().map_err(|_| {
                Error::new(
                    &*path,
                    format!("\"{text}\" is no whole number; write digits only"),
                )
            })?,
            _ => return Err(type_error(&path, "a whole number", &value)),
        };
        let most = u64::MAX >> (64 - 8 * size_of::<T>());
        *into = T::try_from(number).map_err(|_| {
            Error::new(
                &*path,
                format!("{number} is too great; write at most {most}"),
            )
        })?;
        Ok(true)
    }

    /// Takes a number that has to be there.
    pub(super) fn required_number(&mut self, field: &str, example: &str) -> Result<u64, Error> {
        let mut number = 0;
        if self.number(field, &mut number)? {
            Ok(number)
        } else {
            Err(self.missing(field, example))
        }
    }

    /// Takes a compact target: eight hex digits.
    pub(super) fn bits(&mut self, field: &str, into: &mut CompactBits) -> Result<(), Error> {
        if let Some(text) = self.text(field)? {
            let bytes = decode_hex_array(&text).map_err(|error| {
                Error::new(
                    self.path(field),
                    format!("{error}; write it like \"1f00ffff\""),
                )
            })?;
            *into = CompactBits(u32::from_be_bytes(bytes));
        }
        Ok(())
    }

    /// Takes a key that has to be there.
    pub(super) fn required_key(&mut self, field: &str) -> Result<PublicKey, Error> {
        let value = self.table.remove(field);
        let value = value.ok_or_else(|| self.missing(field, "64 hex digits in quotes"))?;
        key(&self.path(field), &value)
    }

    /// Takes an account's address that has to be there.
    pub(super) fn required_account(&mut self, field: &str, hrp: &str) -> Result<AccountId, Error> {
        let example = format!("an address, which begins with {hrp}1");
        let text = self.required_text(field, &example)?;
        decode_address(hrp, &text).map_err(|error| {
            Error::new(
                self.path(field),
                format!("\"{text}\": {error}; write {example}"),
            )
        })
    }

    /// Takes a list; an empty one where there is none.
    pub(super) fn list(&mut self, field: &str) -> Result<Vec<Value>, Error> {
        match self.table.remove(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(type_error(&self.path(field), "a list in [ ]", &other)),
        }
    }

    /// Takes a list of tables.
    pub(super) fn tables(&mut self, field: &str) -> Result<Vec<Self>, Error> {
        let path = self.path(field);
        let items = self.list(field)?.into_iter().enumerate();
        items
            .map(|(at, value)| match value {
                Value::Table(table) => Ok(Self::new(table, &format!("{path}[{at}]."))),
                other => Err(type_error(&format!("{path}[{at}]"), "a table", &other)),
            })
            .collect()
    }

    /// Takes a table.
    pub(super) fn table(&mut self, field: &str) -> Result<Option<Self>, Error> {
        match self.table.remove(field) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Self::new(table, &format!("{field}.")))),
            Some(other) => Err(type_error(&self.path(field), "a table", &other)),
        }
    }

    /// Refuses what was not taken: for the reason that `misplaced` knows, or as a field that
    /// does not exist, with the most similar one that does.
    pub(super) fn finish(
        &self,
        known: &[&str],
        misplaced: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let Some(field) = self.names().next() else {
            return Ok(());
        };
        let unknown = || {
            let near = known
                .iter()
                .map(|name| (distance(field, name), name))
                .min()
                .filter(|(distance, name)| *distance <= 1 + name.len() / 3);
            match near {
                Some((_, name)) => format!("there is no such field; did you mean \"{name}\"?"),
                None => format!("there is no such field; fields are {}", known.join(", ")),
            }
        };
        let problem = misplaced(field).unwrap_or_else(unknown);
        Err(Error::new(self.path(field), problem))
    }
}

/// How many letters have to be put in, taken out or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("maturity", "maturity", 0),
            ("maturty", "maturity", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (wanted, wanted));
        }
    }
}
