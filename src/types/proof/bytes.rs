//! The bytes of proofs.

use std::ops::RangeInclusive;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::history::ENTRY_BYTES;
use crate::types::state::{KeyHash, PLACEHOLDER, Record, StateKey, Table};
use crate::types::{
    AccountId, BLOCK_TRANSACTIONS_MAX, EngineKind, Entry, Hash, Header, Height, HistoryPath,
    Transaction,
};

use super::{HistoryProof, Proof, StateAnswer, StateProof, TxProof};

/// The first byte of every proof.
const VERSION: u8 = 1;

impl Encode for Proof {
    fn encode(&self, out: &mut Writer) {
        let kind = match self {
            Self::Transaction(_) => 1,
            Self::State(_) => 2,
            Self::History(_) => 3,
        };
        out.bytes(&[VERSION, kind, self.header().engine().byte(), 0]);
        self.header().encode(out);
        match self {
            Self::Transaction(proof) => {
                out.u32(proof.count);
                out.u32(proof.index);
                out.u8(proof.path.len() as u8);
                for hash in &proof.path {
                    hash.encode(out);
                }
                proof.transaction.encode(out);
            }
            Self::State(proof) => proof.encode_rest(out),
            Self::History(proof) => {
                proof.ancestor.encode(out);
                for entries in [&proof.path.siblings, &proof.path.other_peaks] {
                    out.u8(entries.len() as u8);
                    for entry in entries {
                        entry.encode(out);
                    }
                }
            }
        }
    }
}

impl Decode for Proof {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.constant(&[VERSION], "a proof's version must be 1")?;
        let kind = input.u8_in(
            1..=3,
            "a proof's kind must be 1 (transaction), 2 (state) or 3 (history)",
        )?;
        let engine = input.u8_in(1..=2, "a proof's engine must be 1 (work) or 2 (stake)")?;
        let engine = EngineKind::from_byte(engine).expect("1 and 2 are engines");
        input.zeros(1, "byte 3 of a proof must be 0")?;
        // The genesis block has no ancestors to prove.
        let least = u64::from(kind == 3);
        let header = decode_header(input, engine, least..=u64::MAX)?;
        match kind {
            1 => TxProof::decode_rest(input, header).map(|proof| Self::Transaction(proof.into())),
            2 => StateProof::decode_rest(input, header).map(|proof| Self::State(proof.into())),
            _ => HistoryProof::decode_rest(input, header).map(|proof| Self::History(proof.into())),
        }
    }
}

/// A header of the engine that the proof names, of a height within `heights`. Both stand at the
/// front, and a header cut short behind them is still the wrong one.
fn decode_header(
    input: &mut Reader<'_>,
    engine: EngineKind,
    heights: RangeInclusive<u64>,
) -> Result<Header, DecodeError> {
    let mut front = input.clone();
    front.u16_in(
        Header::VERSION..=Header::VERSION,
        "a header's version must be 1",
    )?;
    let other = "a proof's headers must be of its engine";
    front.u8_in(engine.byte()..=engine.byte(), other)?;
    front.zeros(1, "a header's flags must be zero")?;
    let older = "in a history proof the ancestor must be lower than the descendant";
    front.u64_in(heights, older)?;
    Header::decode(input)
}

/// How many siblings the audit path of leaf `index` of `count` has.
fn audit_path_length(index: u32, count: u32) -> u8 {
    let (mut at, mut last, mut length) = (index, count - 1, 0);
    while last > 0 {
        // The last node of an odd level has no sibling.
        length += u8::from(at % 2 == 1 || at < last);
        (at, last) = (at / 2, last / 2);
    }
    length
}

impl TxProof {
    fn decode_rest(input: &mut Reader<'_>, header: Header) -> Result<Self, DecodeError> {
        let counted = "a proof's transaction count must be 1 to what a block can hold";
        let count = input.u32_in(1..=BLOCK_TRANSACTIONS_MAX, counted)?;
        let index = input.u32_in(0..=count - 1, "a proof's index must be below its count")?;
        let steps = audit_path_length(index, count);
        let length = "a proof's path must be as long as its leaf is deep";
        input.u8_in(steps..=steps, length)?;
        Ok(Self {
            header,
            count,
            index,
            path: (0..steps)
                .map(|_| Hash::decode(input))
                .collect::<Result<_, _>>()?,
            transaction: Transaction::decode(input)?,
        })
    }
}

impl StateProof {
    fn encode_rest(&self, out: &mut Writer) {
        out.u8(self.key.table().byte());
        let key = self.key.key_bytes();
        out.u8(key.len() as u8);
        out.bytes(&key);
        match &self.answer {
            StateAnswer::Present(record) => {
                let value = record.to_bytes();
                out.u8(0);
                out.u16(value.len() as u16);
                out.bytes(&value);
            }
            StateAnswer::Empty => out.u8(1),
            StateAnswer::Other { key, value } => {
                out.u8(2);
                out.bytes(&key.0);
                value.encode(out);
            }
        }
        out.u16(self.siblings.len() as u16);
        let mut bitmap = [0; 32];
        let shown = |sibling: &&Hash| **sibling != PLACEHOLDER;
        for (at, sibling) in self.siblings.iter().enumerate() {
            if shown(&sibling) {
                bitmap[at / 8] |= 1 << (at % 8);
            }
        }
        out.bytes(&bitmap);
        for sibling in self.siblings.iter().filter(shown) {
            sibling.encode(out);
        }
    }

    fn decode_rest(input: &mut Reader<'_>, header: Header) -> Result<Self, DecodeError> {
        let key = decode_key(input)?;
        let answer = match input.u8_in(0..=2, "a state proof's result must be 0, 1 or 2")? {
            0 => StateAnswer::Present(decode_value(input, key.table())?),
            1 => StateAnswer::Empty,
            _ => StateAnswer::Other {
                key: KeyHash(input.array()?),
                value: Hash::decode(input)?,
            },
        };
        let levels = input.u16_in(0..=256, "a state proof has at most 256 levels")?;
        let bitmap = decode_bitmap(input, levels.into())?;
        let mut siblings = Vec::new();
        for level in 0..usize::from(levels) {
            let shown = bitmap[level / 8] >> (level % 8) & 1 == 1;
            siblings.push(if shown {
                decode_sibling(input)?
            } else {
                PLACEHOLDER
            });
        }
        Ok(Self {
            header,
            key,
            answer,
            siblings,
        })
    }
}

/// Table and key, whose length follows from the table.
fn decode_key(input: &mut Reader<'_>) -> Result<StateKey, DecodeError> {
    let length = "a state proof's key must be as long as its table's keys";
    match Table::from_byte(input.u8()?) {
        Some(Table::Account) => {
            input.u8_in(32..=32, length)?;
            AccountId::decode(input).map(StateKey::Account)
        }
        Some(Table::Immature) => {
            input.u8_in(8..=8, length)?;
            Ok(StateKey::Immature(Height(input.u64()?)))
        }
        Some(Table::Param) => {
            input.u8_in(2..=2, length)?;
            input.constant(
                &StateKey::Supply.key_bytes(),
                "of the params only 1 (supply) exists",
            )?;
            Ok(StateKey::Supply)
        }
        Some(_) => Err(DecodeError::Invalid("a state proof's table is reserved")),
        None => Err(DecodeError::Invalid("a state proof's table is unknown")),
    }
}

/// Length and value of a record of `table`.
fn decode_value(input: &mut Reader<'_>, table: Table) -> Result<Record, DecodeError> {
    let size = match table {
        Table::Account => 17,
        Table::Immature => 41,
        _ => 57,
    };
    input.u16_in(
        size..=size,
        "a record's value must be as long as its table's",
    )?;
    match input.rest().first() {
        Some(first) if *first != table.byte() => Err(DecodeError::Invalid(
            "a record's value must begin with its table",
        )),
        _ => Record::decode(input),
    }
}

/// Which of `levels` siblings follow; the bits beyond are zero.
fn decode_bitmap(input: &mut Reader<'_>, levels: usize) -> Result<[u8; 32], DecodeError> {
    let allowed: [u8; 32] = std::array::from_fn(|byte| match levels.saturating_sub(8 * byte) {
        bits @ 0..8 => (1_u8 << bits) - 1,
        _ => 0xff,
    });
    let stray = input
        .rest()
        .iter()
        .zip(allowed)
        .any(|(found, allowed)| found & !allowed != 0);
    if stray {
        return Err(DecodeError::Invalid(
            "a sibling beyond the proof's levels is marked",
        ));
    }
    input.array()
}

/// A sibling that is shown, which an empty subtree's is not.
fn decode_sibling(input: &mut Reader<'_>) -> Result<Hash, DecodeError> {
    let sibling = Hash::decode(input)?;
    if sibling == PLACEHOLDER {
        return Err(DecodeError::Invalid(
            "the sibling of an empty subtree must not be shown",
        ));
    }
    Ok(sibling)
}

impl HistoryProof {
    fn decode_rest(input: &mut Reader<'_>, header: Header) -> Result<Self, DecodeError> {
        let count = header.height.0;
        let ancestor = decode_header(input, header.engine(), 0..=count - 1)?;
        let siblings = HistoryPath::siblings_of(ancestor.height.0, count)
            .expect("the ancestor's height is below the count");
        let length = "a history proof must have the siblings and peaks that the heights demand";
        let path = HistoryPath {
            siblings: decode_entries(input, siblings as u8, length)?,
            other_peaks: decode_entries(input, count.count_ones() as u8 - 1, length)?,
        };
        Ok(Self {
            header,
            ancestor,
            path,
        })
    }
}

/// A count that is known beforehand, then as many entries: at most 63, when they are there.
fn decode_entries(
    input: &mut Reader<'_>,
    count: u8,
    rule: &'static str,
) -> Result<Vec<Entry>, DecodeError> {
    input.u8_in(count..=count, rule)?;
    input.expect_items(usize::from(count), ENTRY_BYTES)?;
    (0..count).map(|_| Entry::decode(input)).collect()
}
