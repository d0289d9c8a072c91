//! Chains of headers that have not shown yet that they are worth keeping.
//!
//! Headers are cheap where the target is easy, and whoever keeps all that come can be filled with
//! them. So a chain that has less work than this node already knows of is downloaded twice, as in
//! Bitcoin Core since 2022. The first pass keeps next to nothing: the last header, the sum of the
//! work, and of one header in [`PERIOD`], at places that nobody else knows, one bit of a salted
//! hash. When the work is enough the peer is asked for the same again, and each of those headers
//! must give the same bit. A header enters the tree when [`LOOKAHEAD`] more have come after it:
//! a peer that shows another chain the second time is found out with one bit in two, so that it
//! brings in a header of it once in 2^24 attempts.
//!
//! Both passes check every header fully against the one before it. The target rule needs only
//! the parent's height and time, so that a chain can't be easier than it should be anywhere; and
//! each header is at least a step later than its parent and none is ahead of the clock, so that
//! time itself bounds how many there are: (now + future limit - start) / step.
//!
//! How far apart: a chain of n headers costs n / (8 P) bytes in the first pass and 24 P x 204 in
//! the second. With a header every second, ten years of the main chain are 3 x 10^8, where the sum
//! is least at P = 90: 410 KB and 470 KB with P = 96. Ten million headers cost 13 KB.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::chain::tree::Entry;
use crate::chain::{Chain, HeaderRefusal};
use crate::codec::{Decode, Encode};
use crate::consensus::{HeaderRules, ParentView};
use crate::crypto::hash::{sha256, sha256_parts};
use crate::types::{BlockId, Header, Height, Millis, Uint256, WORK_HEADER_BYTES};

/// How many headers share one bit of commitment.
const PERIOD: u64 = 96;
/// How many headers follow on one before it is let into the tree: 24 bits of commitment.
const LOOKAHEAD: usize = 24 * PERIOD as usize;

/// The end of a chain of headers of which nothing else is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Walk {
    pub(super) id: BlockId,
    pub(super) height: Height,
    time: Millis,
    base_fee: u64,
    pub(super) work: Uint256,
}

impl Walk {
    /// From a header of the tree.
    pub(super) fn from(id: BlockId, entry: &Entry) -> Self {
        Self {
            id,
            height: entry.header.height,
            time: entry.header.time,
            base_fee: entry.header.base_fee,
            work: entry.work,
        }
    }

    /// Goes on to a header if it is a valid child. Its roots are checked when its body is.
    pub(super) fn step(
        &mut self,
        header: &Header,
        rules: &HeaderRules,
        now: Time,
    ) -> Result<(), HeaderRefusal> {
        if header.parent_id != self.id {
            return Err(HeaderRefusal::UnknownParent(header.parent_id));
        }
        rules.check_isolated(header).map_err(HeaderRefusal::Fault)?;
        let parent = ParentView {
            height: self.height,
            time: self.time,
            base_fee: self.base_fee,
        };
        rules
            .check_in_context(header, &parent)
            .map_err(HeaderRefusal::Fault)?;
        if let Some(until) = rules.held_until(header, now) {
            return Err(HeaderRefusal::Held { until });
        }
        self.id = header.id();
        (self.height, self.time, self.base_fee) = (header.height, header.time, header.base_fee);
        self.work = self.work.saturating_add(header.work());
        Ok(())
    }
}

/// A row of bits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit && let Some(last) = self.bytes.last_mut() {
            *last |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    fn get(&self, place: usize) -> Option<bool> {
        let byte = self.bytes.get(place / 8).filter(|_| place < self.len)?;
        Some(byte >> (place % 8) & 1 == 1)
    }
}

/// Headers of the second pass that were not let into the tree yet, as they travel.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lookahead(VecDeque<u8>);

impl Lookahead {
    fn new() -> Self {
        Self(VecDeque::with_capacity((LOOKAHEAD + 1) * WORK_HEADER_BYTES))
    }

    fn len(&self) -> usize {
        self.0.len() / WORK_HEADER_BYTES
    }

    fn push(&mut self, header: &Header) {
        self.0.extend(header.to_bytes());
    }

    fn pop(&mut self) -> Option<Header> {
        let end = WORK_HEADER_BYTES.min(self.0.len());
        let bytes: Vec<u8> = self.0.drain(..end).collect();
        Header::from_bytes(&bytes).ok()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Pass {
    /// Is it enough work?
    First,
    /// Is it the same chain again?
    Second {
        lookahead: Lookahead,
        /// How many commitments were kept.
        kept: usize,
    },
}

/// What comes after a message of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for those that follow on this one.
    Ask(BlockId, Height),
    /// The chain has enough work, and what came of it is in the tree up to this one.
    Enough(BlockId, Height),
    /// The chain ends, and has too little work.
    TooLittle,
    /// The peer shows another chain than before.
    Another,
}

/// The two passes over one peer's chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Presync {
    /// Where the chain leaves the tree.
    start: Walk,
    /// The last header of this pass.
    at: Walk,
    /// The work that the chain must show.
    needed: Uint256,
    salt: [u8; 32],
    /// Which of each [`PERIOD`] headers are committed to.
    offset: u64,
    commitments: Bits,
    pass: Pass,
}

impl Presync {
    /// Begins with the chain that leaves the tree at `start`.
    ///
    /// # Panics
    /// Never: 32 bytes hold 8.
    pub(super) fn new(start: Walk, needed: Uint256, secret: [u8; 32]) -> Self {
        Self {
            at: start.clone(),
            start,
            needed,
            offset: u64::from_le_bytes(*secret.first_chunk().expect("32 bytes hold 8")) % PERIOD,
            salt: sha256(&secret),
            commitments: Bits::default(),
            pass: Pass::First,
        }
    }

    /// The bit of a header, if it is one of those that have one.
    fn commitment(&self) -> Option<bool> {
        let place = self.at.height.0.wrapping_add(self.offset);
        let bit = || sha256_parts(&[&self.salt, self.at.id.as_ref()])[0] & 1 == 1;
        place.is_multiple_of(PERIOD).then(bit)
    }

    /// Takes the headers of one message; `more` says that the peer has more after them.
    pub(super) fn take_in(
        &mut self,
        headers: &[Header],
        more: bool,
        chain: &mut Chain,
        now: Time,
    ) -> Result<Next, HeaderRefusal> {
        for header in headers {
            match self.at.step(header, chain.header_rules(), now) {
                Ok(()) => {}
                // It left the chain that it showed, or never was on it.
                Err(HeaderRefusal::UnknownParent(_)) => return Ok(Next::Another),
                // What is ahead of the clock does not count yet.
                Err(HeaderRefusal::Held { .. }) => return Ok(self.ends()),
                Err(refusal) => return Err(refusal),
            }
            let enough = self.at.work >= self.needed;
            let commitment = self.commitment();
            match &mut self.pass {
                Pass::First => {
                    if let Some(bit) = commitment {
                        self.commitments.push(bit);
                    }
                    if enough {
                        self.begin_again();
                        return Ok(Next::Ask(self.at.id, self.at.height));
                    }
                }
                Pass::Second { lookahead, kept } => {
                    if let Some(bit) = commitment {
                        if self.commitments.get(*kept) != Some(bit) {
                            return Ok(Next::Another);
                        }
                        *kept += 1;
                    }
                    lookahead.push(header);
                    let ready = if enough { 0 } else { LOOKAHEAD };
                    while lookahead.len() > ready
                        && let Some(header) = lookahead.pop()
                    {
                        chain.add_header(&header, now)?;
                    }
                    if enough {
                        return Ok(Next::Enough(self.at.id, self.at.height));
                    }
                }
            }
        }
        Ok(if more {
            Next::Ask(self.at.id, self.at.height)
        } else {
            self.ends()
        })
    }

    fn begin_again(&mut self) {
        self.at = self.start.clone();
        self.commitments.bytes.shrink_to_fit();
        let lookahead = Lookahead::new();
        self.pass = Pass::Second { lookahead, kept: 0 };
    }

    /// The chain ends here.
    const fn ends(&self) -> Next {
        match self.pass {
            Pass::First => Next::TooLittle,
            Pass::Second { .. } => Next::Another,
        }
    }

    /// How many bytes it may take: a bit for each [`PERIOD`] headers that it went past, in a row
    /// that grows by doubling, and the headers that wait.
    pub(super) fn memory_max(&self) -> usize {
        let passed = self.at.height.0.saturating_sub(self.start.height.0);
        let bits = passed.max(self.commitments.len as u64 * PERIOD) / PERIOD + 1;
        let bits = usize::try_from(bits).unwrap_or(usize::MAX);
        size_of::<Self>() + 2 * bits.div_ceil(8).max(8) + (LOOKAHEAD + 1) * WORK_HEADER_BYTES
    }

    /// How many bytes it takes, all in all.
    pub(super) fn memory(&self) -> usize {
        let lookahead = match &self.pass {
            Pass::First => 0,
            Pass::Second { lookahead, .. } => lookahead.0.capacity(),
        };
        size_of::<Self>() + self.commitments.bytes.capacity() + lookahead
    }
}
