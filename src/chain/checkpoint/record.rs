//! The record that names a complete state.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Decode, DecodeError, Encode, Reader, Writer};
use crate::store::Lsn;
use crate::types::state::SupplyRecord;
use crate::types::{Header, History};

use super::super::ChainState;
use super::super::ledger::Ledger;
use super::super::state::{Live, PageError, PageSource, StateTree, Written};
use super::kept::KEPT_MAX;

/// The version of the record that this code writes and reads.
const VERSION: u8 = 1;

/// A complete state of the log. The block's id and height and the root hash of the state are those
/// of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The header of the block that it is the state after.
    pub header: Header,
    /// The sum of the block's transaction weights.
    pub weight: u32,
    /// Where the root page stands, and how many records it has if it is a leaf page.
    pub root: Option<(Lsn, u8)>,
    /// Where all money is.
    pub supply: SupplyRecord,
    /// The range over all blocks up to and with this one.
    pub history: History,
    /// The older checkpoints that are kept beside it, the newest first.
    pub older: Vec<Lsn>,
    /// The bytes of the log that its pages take, segment by segment.
    pub live: Live,
}

impl Checkpoint {
    pub(super) fn of(state: &ChainState, pages: &Written, older: Vec<Lsn>) -> Self {
        Self {
            header: state.header.clone(),
            weight: state.weight,
            root: pages.root(),
            supply: *state.ledger.supply(),
            history: state.history.clone(),
            older,
            live: pages.live().clone(),
        }
    }

    /// The state that it names, whose pages `pages` shows.
    pub fn state(&self, pages: Arc<dyn PageSource>) -> Result<ChainState, PageError> {
        let tree = StateTree::open(self.header.state_root, self.root, self.live.clone(), pages)?;
        Ok(ChainState {
            id: self.header.id(),
            header: self.header.clone(),
            weight: self.weight,
            ledger: Ledger::restore(tree, self.supply, self.header.height),
            history: self.history.clone(),
        })
    }
}

impl Encode for Checkpoint {
    fn encode(&self, out: &mut Writer) {
        let (root, records) = self.root.unwrap_or_default();
        out.u8(VERSION);
        out.u8(records);
        out.u16(self.older.len() as u16);
        out.u32(self.weight);
        out.u64(root.get());
        out.u64(self.live.segment_size());
        self.header.encode(out);
        self.supply.encode(out);
        self.history.encode(out);
        for older in &self.older {
            out.u64(older.get());
        }
        out.u32(self.live.segments().count() as u32);
        for (segment, bytes) in self.live.segments() {
            out.u64(segment);
            out.u64(bytes);
        }
    }
}

impl Decode for Checkpoint {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = "a checkpoint has version 1";
        input.u8_in(VERSION..=VERSION, version)?;
        let records = input.u8_in(0..=16, "a leaf page has at most 16 records")?;
        let older = input.u16()?;
        let weight = input.u32()?;
        let root = Lsn::new(input.u64()?);
        let segment_size = input.u64_in(1..=u64::MAX, "a segment has bytes")?;
        let header = Header::decode(input)?;
        let supply = SupplyRecord::decode(input)?;
        let history = History::decode(input)?;
        if usize::from(older) > KEPT_MAX {
            return Err(DecodeError::Invalid(
                "no more checkpoints are kept than that",
            ));
        }
        input.expect_items(usize::from(older), 8)?;
        let older: Vec<Lsn> = (0..older)
            .map(|_| input.u64().map(Lsn::new))
            .collect::<Result<_, _>>()?;
        let count = input.u32()? as usize;
        input.expect_items(count, 16)?;
        let mut live = BTreeMap::new();
        for _ in 0..count {
            let (segment, bytes) = (input.u64()?, input.u64()?);
            let is_next = live
                .last_key_value()
                .is_none_or(|(last, _)| *last < segment);
            if !is_next || bytes == 0 || bytes > segment_size {
                return Err(DecodeError::Invalid("segments are in order and in use"));
            }
            live.insert(segment, bytes);
        }
        let is_sorted = older.windows(2).all(|pair| pair[0] > pair[1]);
        if !is_sorted || (root == Lsn::default() && records > 0) {
            return Err(DecodeError::Invalid(
                "positions are those of records, newest first",
            ));
        }
        Ok(Self {
            header,
            weight,
            root: (root != Lsn::default()).then_some((root, records)),
            supply,
            history,
            older,
            live: Live::of(segment_size, live),
        })
    }
}
