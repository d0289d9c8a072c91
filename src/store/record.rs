//! Positions, kinds and the bytes of record headers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// "KEL1".
const MAGIC: u32 = 0x314C_454B;
/// The version of the record format this code writes.
pub(super) const VERSION: u8 = 1;
/// The bytes of a record header.
pub(super) const HEADER: usize = 48;
/// A record whose kind is not known and that has this flag must not be skipped.
pub(super) const MUST_UNDERSTAND: u16 = 1;

/// A position in a log: segment index times segment size, plus the offset in the segment.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Lsn(u64);

impl Lsn {
    /// The position of number `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number of the position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One of the five logs of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// Blocks of all branches, with changes of the tip.
    Blocks,
    /// Pages of the state and checkpoints.
    State,
    /// Accepted transactions.
    Journal,
    /// What a validator said.
    Safety,
    /// Inputs of the node: a cache, never synced, bounded by dropping its oldest segments.
    Record,
}

impl Log {
    /// How many logs there are.
    pub const COUNT: usize = 5;
    /// Every log, by number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Blocks,
        Self::State,
        Self::Journal,
        Self::Safety,
        Self::Record,
    ];

    /// Its number in the formats.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize
    }

    /// The directory of its segments.
    #[must_use]
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::State => "state",
            Self::Journal => "journal",
            Self::Safety => "safety",
            Self::Record => "record",
        }
    }

    /// Whether losing its end costs nothing that was promised.
    #[must_use]
    pub const fn is_cache(self) -> bool {
        matches!(self, Self::Record)
    }

    /// Whether what it holds can be made again from the other logs or is of use to nobody else, so
    /// that losing files of it costs time and nothing that was promised.
    #[must_use]
    pub const fn is_derived(self) -> bool {
        matches!(self, Self::State | Self::Record)
    }

    /// The file of a segment.
    #[must_use]
    pub fn path(self, segment: u64) -> String {
        format!("{}/{segment:08x}.seg", self.directory())
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The first record of every segment.
    Segment = 0x01,
    /// Fills a segment up.
    Pad = 0x02,
    /// A block: id, cumulative work, wire bytes.
    Block = 0x03,
    /// A change of the tip.
    Tip = 0x04,
    /// A block became final.
    Final = 0x05,
    /// A block is about to be executed for the first time.
    Executing = 0x06,
    /// An accepted transaction.
    Accepted = 0x07,
    /// An accepted transaction left for good.
    Gone = 0x08,
    /// A vote of our own.
    Vote = 0x09,
    /// A certificate.
    Certificate = 0x0A,
    /// Pages of the state.
    Page = 0x0B,
    /// A complete state.
    Checkpoint = 0x0C,
    /// Older segments are gone on purpose.
    Pruned = 0x0D,
    /// Bytes that are damaged for good.
    BadRange = 0x0E,
    /// The blocks of a sealed segment.
    Toc = 0x0F,
    /// The process ended as it should.
    Shutdown = 0x10,
    /// An input of the node.
    Input = 0x11,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Segment,
        Self::Pad,
        Self::Block,
        Self::Tip,
        Self::Final,
        Self::Executing,
        Self::Accepted,
        Self::Gone,
        Self::Vote,
        Self::Certificate,
        Self::Page,
        Self::Checkpoint,
        Self::Pruned,
        Self::BadRange,
        Self::Toc,
        Self::Shutdown,
        Self::Input,
    ];

    /// The kind of that number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number in the formats.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether the store writes it for itself; the others belong to its callers.
    #[must_use]
    pub const fn is_internal(self) -> bool {
        matches!(
            self,
            Self::Segment | Self::Pad | Self::Pruned | Self::BadRange | Self::Toc | Self::Shutdown
        )
    }

    /// Whether a record of it may be dropped and made again.
    #[must_use]
    pub const fn is_cache(self) -> bool {
        matches!(self, Self::Page | Self::Input)
    }
}

/// The header of a record, as far as it is not fixed by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u8,
    pub(super) kind: u8,
    pub(super) flags: u16,
    pub(super) body_len: u32,
    pub(super) body_crc: u32,
    pub(super) lsn: u64,
    pub(super) log_id: u64,
    /// Bytes of the log below this were durable when the record was written.
    pub(super) durable: u64,
    /// The checksum of the header before this one in the log.
    pub(super) link: u32,
}

impl Header {
    /// The header's bytes, and its checksum (which the next header links to).
    pub(super) fn to_bytes(self) -> ([u8; HEADER], u32) {
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = self.version;
        bytes[5] = self.kind;
        bytes[6..8].copy_from_slice(&self.flags.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.link.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// The header at the front of `bytes` with its checksum, if one stands there whole.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, u32)> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        if u32_at(bytes, 0) != MAGIC {
            return None;
        }
        let crc = u32_at(bytes, 44);
        if crc32c::crc32c(&bytes[..44]) != crc {
            return None;
        }
        let header = Self {
            version: bytes[4],
            kind: bytes[5],
            flags: u16::from_le_bytes([bytes[6], bytes[7]]),
            body_len: u32_at(bytes, 8),
            body_crc: u32_at(bytes, 12),
            lsn: u64_at(bytes, 16),
            log_id: u64_at(bytes, 24),
            durable: u64_at(bytes, 32),
            link: u32_at(bytes, 40),
        };
        Some((header, crc))
    }

    /// The bytes from this record to the next.
    pub(super) fn size(&self) -> u64 {
        record_size(self.body_len as usize)
    }
}

/// The bytes a record with a body of that length takes, header and padding included.
#[must_use]
pub const fn record_size(body_len: usize) -> u64 {
    HEADER as u64 + (body_len as u64).next_multiple_of(8)
}

/// Appends a whole record to `out` and gives the checksum of its header.
pub(super) fn put_record(out: &mut Vec<u8>, header: Header, body: &[u8]) -> u32 {
    let header = Header {
        body_len: u32::try_from(body.len()).expect("bodies are bounded by the segment size"),
        body_crc: crc32c::crc32c(body),
        ..header
    };
    let (bytes, crc) = header.to_bytes();
    out.extend_from_slice(&bytes);
    out.extend_from_slice(body);
    out.resize(out.len() + body.len().next_multiple_of(8) - body.len(), 0);
    crc
}

/// Four bytes as a number; the caller knows that they are there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes are there"))
}

/// Eight bytes as a number; the caller knows that they are there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes are there"))
}

/// The body of a Segment record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentStart {
    pub(super) log: Log,
    pub(super) index: u64,
    pub(super) segment_size: u64,
    pub(super) genesis_id: [u8; 32],
    /// Milliseconds since 1970.
    pub(super) created: u64,
}

impl SegmentStart {
    /// The bytes of the body.
    pub(super) const BODY: usize = 64;
    /// The bytes of the whole record.
    pub(super) const SIZE: u64 = record_size(Self::BODY);

    pub(super) fn to_bytes(self) -> [u8; Self::BODY] {
        let mut bytes = [0; Self::BODY];
        bytes[0] = self.log as u8;
        bytes[8..16].copy_from_slice(&self.index.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment_size.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.genesis_id);
        bytes[56..64].copy_from_slice(&self.created.to_le_bytes());
        bytes
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: &[u8; Self::BODY] = body.try_into().ok()?;
        if body[1..8] != [0; 7] {
            return None;
        }
        Some(Self {
            log: *Log::ALL.get(usize::from(body[0]))?,
            index: u64_at(body, 8),
            segment_size: u64_at(body, 16),
            genesis_id: *body[24..].first_chunk()?,
            created: u64_at(body, 56),
        })
    }
}

/// One block of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TocEntry {
    /// The block's id.
    pub id: [u8; 32],
    /// Its height.
    pub height: u64,
    /// Where its record starts in the segment.
    pub offset: u32,
}

const TOC_ENTRY: usize = 44;

impl TocEntry {
    /// The id and height that a Block record's body shows at its fixed places.
    ///
    /// # Panics
    /// When the body is too short to hold a header: no caller makes such a block.
    pub(super) fn of_block(body: &[u8], offset: u64) -> Self {
        Self {
            id: *body
                .first_chunk()
                .expect("a block's body begins with its id"),
            height: u64_at(body, BLOCK_HEIGHT),
            offset: u32::try_from(offset).expect("segments are smaller than 4 GiB"),
        }
    }
}

/// Where the height stands in a Block record: id, cumulative work, then 4 bytes into the header.
const BLOCK_HEIGHT: usize = 32 + 32 + 4;
/// The least a Block record's body can be.
pub(super) const BLOCK_BODY_MIN: usize = BLOCK_HEIGHT + 8;

/// The body of the Toc of these blocks.
pub(super) fn toc_to_bytes(mut entries: Vec<TocEntry>) -> Vec<u8> {
    entries.sort_unstable();
    let mut bytes = Vec::with_capacity(4 + entries.len() * TOC_ENTRY);
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        bytes.extend_from_slice(&entry.id);
        bytes.extend_from_slice(&entry.height.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
    }
    bytes
}

/// The blocks a Toc's body lists.
pub(super) fn toc_from_bytes(body: &[u8]) -> Option<Vec<TocEntry>> {
    let (count, entries) = body.split_first_chunk()?;
    let count = u32::from_le_bytes(*count) as usize;
    if entries.len() != count.checked_mul(TOC_ENTRY)? {
        return None;
    }
    let entry = |bytes: &[u8]| {
        Some(TocEntry {
            id: *bytes.first_chunk()?,
            height: u64_at(bytes, 32),
            offset: u32_at(bytes, 40),
        })
    };
    entries.chunks_exact(TOC_ENTRY).map(entry).collect()
}

/// The bytes a Toc record of that many blocks takes.
pub(super) const fn toc_size(blocks: usize) -> u64 {
    record_size(4 + blocks * TOC_ENTRY)
}
