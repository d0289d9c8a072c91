//! The file of a recording, read and made part by part.
//!
//! *Owns* its form. *Invariants*: whoever makes a file holds one block at a time, and whoever opens
//! one holds the places of its blocks and its stream, which is no longer than the record log.
//! *Never* opens a file: bytes come by [`FileBytes`] and go to the caller.
//!
//! *Format*: [`HEAD_LEN`] bytes, which are `"KEELREC3"` and the number of blocks as a varint of
//! ten bytes whatever the number, so that it can be written when the blocks are counted;
//! the blocks, each its position, the work of its chain and its wire bytes behind their length;
//! where those stood that could not be read, with what could be read of their records; the stream.
//! Numbers and lists have postcard's form.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::chain::Front;
use crate::store::Lsn;
use crate::types::Uint256;

use super::{FIRST_SNAPSHOT, Kept, LoggedBlock, NO_SNAPSHOT, Recording, ReplayError, front_of};

/// What a file begins with.
const MAGIC: &[u8; 8] = b"KEELREC3";
/// The longest varint of 64 bits.
const COUNT_LEN: usize = 10;
/// The length of what stands before the blocks.
pub const HEAD_LEN: usize = MAGIC.len() + COUNT_LEN;
/// The most bytes before those of a block: its position, four numbers of its work, its length.
const PREFIX_MAX: u64 = 6 * COUNT_LEN as u64;
/// As much of a block as has its header, but for one that has a long certificate.
const HEADER_READ: u64 = 512;
/// How much is read first where the list of missing blocks stands: most are empty.
const MISSING_READ: u64 = 4 << 10;

/// Where blocks stood that could not be read, and the fronts of those records that had theirs.
pub type Missing = BTreeMap<Lsn, Option<Box<Front>>>;

/// The bytes of a file that may be larger than memory.
pub trait FileBytes: Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;
    /// So many bytes from a place on, or why they can't be read.
    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, String>;
}

impl FileBytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, String> {
        let end = at.saturating_add(len) as usize;
        let bytes = self.get(at as usize..end);
        bytes.map(<[u8]>::to_vec).ok_or("it ends".to_owned())
    }
}

/// What a file of so many blocks begins with.
#[must_use]
pub fn head(blocks: u64) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    let (magic, count) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    for (place, byte) in count.iter_mut().enumerate() {
        *byte = (blocks >> (7 * place)) as u8 & 0x7f;
        *byte |= u8::from(place + 1 < COUNT_LEN) << 7;
    }
    head
}

/// What stands in the file before the bytes of a block.
#[must_use]
pub fn before_block(at: Lsn, block: &LoggedBlock) -> Vec<u8> {
    form(&(at, block.work, block.bytes.len()))
}

/// What stands after the blocks and before the stream.
#[must_use]
pub fn after_blocks(missing: &Missing) -> Vec<u8> {
    form(missing)
}

fn form(what: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(what).expect("positions and headers have a form")
}

/// The stream of a recording, joined from its pieces: it begins with a snapshot of the last process
/// among them.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    bytes: Vec<u8>,
    begun: bool,
}

impl Stream {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        let Some((begins, bytes)) = piece.split_first() else {
            return;
        };
        if *begins == FIRST_SNAPSHOT {
            self.bytes.clear();
        }
        self.begun |= *begins != NO_SNAPSHOT;
        if self.begun {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Forgets the pieces so far: those that follow do not join them.
    pub fn interrupt(&mut self) {
        *self = Self::default();
    }

    /// Its bytes; none where no snapshot was among the pieces.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Recording {
    /// The recording of a file. Its blocks are read from it when they are needed.
    pub fn open(file: Arc<dyn FileBytes>) -> Result<Self, ReplayError> {
        let none = || ReplayError::NotARecording;
        let read = |at: u64, most: u64| {
            let rest = file.size().saturating_sub(at);
            file.read(at, most.min(rest)).map_err(ReplayError::File)
        };
        let front = read(0, HEAD_LEN as u64)?;
        let count = front.strip_prefix(MAGIC).ok_or_else(none)?;
        let (count, rest) = postcard::take_from_bytes::<u64>(count).map_err(|_| none())?;
        // Files of before have a shorter varint.
        let mut at = (front.len() - rest.len()) as u64;
        let mut blocks = BTreeMap::new();
        for _ in 0..count {
            let prefix = read(at, PREFIX_MAX)?;
            let ((lsn, work, len), rest): ((Lsn, Uint256, u64), &[u8]) =
                postcard::take_from_bytes(&prefix).map_err(|_| none())?;
            at += (prefix.len() - rest.len()) as u64;
            if len > file.size().saturating_sub(at) {
                return Err(none());
            }
            blocks.insert(lsn, Kept::InFile { work, at, len });
            at += len;
        }
        let mut most = MISSING_READ;
        let missing: Missing = loop {
            let bytes = read(at, most)?;
            match postcard::take_from_bytes(&bytes) {
                Ok((missing, rest)) => {
                    at += (bytes.len() - rest.len()) as u64;
                    break missing;
                }
                Err(postcard::Error::DeserializeUnexpectedEnd) if bytes.len() as u64 == most => {
                    most *= 2;
                }
                Err(_) => return Err(none()),
            }
        };
        let stream = read(at, u64::MAX)?;
        Ok(Self {
            file: Some(file),
            blocks: Arc::new(blocks),
            missing,
            stream: Arc::new(stream),
        })
    }

    /// The recording of a file that is in memory.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ReplayError> {
        Self::open(Arc::new(file.to_vec()))
    }

    /// The whole file, in memory: for recordings of simulated nodes, which are short.
    ///
    /// # Panics
    /// When a block of the file that this was opened from can't be read any more.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = head(self.blocks.len() as u64).to_vec();
        for at in self.blocks.keys() {
            let block = self.block(*at).expect("it is one of the blocks");
            let block = block.expect("what is in memory can be read");
            file.extend(before_block(*at, &block));
            file.extend_from_slice(&block.bytes);
        }
        file.extend(after_blocks(&self.missing));
        file.extend_from_slice(&self.stream);
        file
    }

    /// The front of a block of the recording, if it is one and its header can be read.
    pub(super) fn front(&self, lsn: Lsn) -> Option<Option<Front>> {
        Some(match self.blocks.get(&lsn)? {
            Kept::Here(block) => block.front(),
            Kept::InFile { work, at, len } => {
                let file = self.file.as_ref().expect("its blocks came from a file");
                let header = file.read(*at, HEADER_READ.min(*len)).ok();
                let front = header.and_then(|bytes| front_of(&bytes, *work));
                front.or_else(|| self.block(lsn)?.ok()?.front())
            }
        })
    }

    /// A block of the recording, if it is one, or why it can't be read from the file.
    pub(super) fn block(&self, at: Lsn) -> Option<Result<LoggedBlock, String>> {
        Some(match self.blocks.get(&at)? {
            Kept::Here(block) => Ok(block.clone()),
            Kept::InFile { work, at, len } => {
                let file = self.file.as_ref().expect("its blocks came from a file");
                file.read(*at, *len).map(|bytes| LoggedBlock {
                    work: *work,
                    bytes: bytes.into(),
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::base::{decode_hex, encode_hex};
    use crate::node::BlockReader;

    fn recording(blocks: &[(u64, usize)], missing: &[u64], pieces: &[&[u8]]) -> Recording {
        let block = |(at, len): &(u64, usize)| {
            let (work, bytes) = (Uint256::from_u64(*at), vec![*at as u8; *len].into());
            (Lsn::new(*at), LoggedBlock { work, bytes })
        };
        Recording::of_pieces(
            pieces.iter().copied(),
            blocks.iter().map(block).collect(),
            missing.iter().map(|at| (Lsn::new(*at), None)).collect(),
        )
    }

    #[test]
    fn the_form_of_a_small_file() {
        let small = recording(&[(5, 2), (300, 3)], &[9], &[&[2, 0xaa, 0xbb], &[0, 0xcc]]);
        let golden = [
            "4b45454c52454333",     // KEELREC3
            "82808080808080808000", // two blocks
            "05",                   // a position
            "05000000",             // the work
            "020505",               // the bytes behind their length
            "ac02",
            "ac02000000",
            "032c2c2c",
            "010900", // one is missing, at 9, of which nothing is known
            "aabbcc", // the stream
        ];
        assert_eq!(encode_hex(&small.to_bytes()), golden.concat());
        let read = Recording::from_bytes(&small.to_bytes()).unwrap();
        assert_eq!(read.to_bytes(), small.to_bytes());
        assert_eq!(read.missing(), [Lsn::new(9)]);
        // A file of before has the shortest varint.
        let old = golden.concat().replace(golden[1], "02");
        let old = Recording::from_bytes(&decode_hex(&old).unwrap()).unwrap();
        assert_eq!(old.to_bytes(), small.to_bytes());
    }

    #[test]
    fn a_file_that_ends_early_or_claims_too_much_is_none() {
        let whole = recording(&[(5, 20), (300, 30)], &[9], &[&[2, 0xaa]]).to_bytes();
        for len in 0..whole.len() - 1 {
            let cut = Recording::from_bytes(&whole[..len]);
            assert_eq!(cut.err(), Some(ReplayError::NotARecording), "{len} bytes");
        }
        let claims = [&head(u64::MAX)[..], &whole[HEAD_LEN..]].concat();
        assert!(Recording::from_bytes(&claims).is_err());
        // What a process that was killed left, before it wrote the head.
        let unfinished = [&[0; HEAD_LEN][..], &whole[HEAD_LEN..]].concat();
        assert!(Recording::from_bytes(&unfinished).is_err());
    }

    /// Bytes that count how many of them were read.
    struct Counted(Vec<u8>, AtomicU64);

    impl FileBytes for Counted {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, String> {
            self.1.fetch_add(len, Ordering::SeqCst);
            self.0.read(at, len)
        }
    }

    #[test]
    fn an_open_file_s_blocks_are_read_when_they_are_needed() {
        const BODY: usize = 100_000;
        let blocks: Vec<(u64, usize)> = (1..=50).map(|at| (at * 1_000, BODY)).collect();
        let whole = recording(&blocks, &[9], &[&[2, 0xaa]]).to_bytes();
        let file = Arc::new(Counted(whole, AtomicU64::new(0)));
        let read = || file.1.swap(0, Ordering::SeqCst);
        let recording = Recording::open(Arc::clone(&file) as Arc<dyn FileBytes>).unwrap();
        let opened = read();
        assert!(opened <= 50 * PREFIX_MAX + 2 * MISSING_READ, "{opened}");
        let reader = recording.reader();
        assert_eq!(read(), 0);
        let bytes = BlockReader::read_block(&*reader, Lsn::new(7_000)).unwrap();
        assert_eq!(&bytes[..], vec![7_000_u64 as u8; BODY]);
        assert_eq!(read(), BODY as u64);
    }
}
