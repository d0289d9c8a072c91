//! The file SUPER: what a directory is, in two slots of which the newer valid one counts.

use std::sync::Arc;

use super::disk::{Disk, DiskError, DiskFile, read_full, write_all};
use super::record::{Log, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"KEELSUP1";
const SLOT: usize = 4_096;
/// The newest format this code reads.
const MAJOR: u16 = 1;
/// Changes that a reader must know: none yet.
const KNOWN_INCOMPAT: u32 = 0;
/// Changes that a writer must know: none yet.
const KNOWN_RO_COMPAT: u32 = 0;
const NO_CHECKPOINT: u64 = u64::MAX;
/// The file's name.
pub(super) const PATH: &str = "SUPER";
const NEW_PATH: &str = "SUPER.new";

/// What one slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Super {
    pub(super) seq: u64,
    pub(super) major: u16,
    pub(super) minor: u16,
    /// Changes that code which does not know them may read and write past: kept as they are.
    pub(super) compat: u32,
    pub(super) ro_compat: u32,
    pub(super) incompat: u32,
    pub(super) genesis_id: [u8; 32],
    /// Random and secret: a peer that knew it could hide a forged record in a block.
    pub(super) dir_id: u64,
    pub(super) clean: bool,
    pub(super) first_segment: [u64; Log::COUNT],
    pub(super) durable: [u64; Log::COUNT],
    pub(super) checkpoint: Option<u64>,
}

impl Super {
    pub(super) fn new(genesis_id: [u8; 32], dir_id: u64) -> Self {
        Self {
            seq: 1,
            major: MAJOR,
            minor: 0,
            compat: 0,
            ro_compat: 0,
            incompat: 0,
            genesis_id,
            dir_id,
            clean: false,
            first_segment: [0; Log::COUNT],
            durable: [0; Log::COUNT],
            checkpoint: None,
        }
    }

    /// Why this code must leave the directory alone, if it must.
    pub(super) fn too_new(&self) -> Option<String> {
        if self.major > MAJOR {
            return Some(format!("format {}, this program knows {MAJOR}", self.major));
        }
        let unknown = self.incompat & !KNOWN_INCOMPAT | self.ro_compat & !KNOWN_RO_COMPAT;
        (unknown != 0).then(|| format!("format features {unknown:#x} that this program lacks"))
    }

    pub(super) fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.major.to_le_bytes());
        bytes[18..20].copy_from_slice(&self.minor.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.compat.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.ro_compat.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.incompat.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.genesis_id);
        bytes[64..72].copy_from_slice(&self.dir_id.to_le_bytes());
        bytes[72] = u8::from(self.clean);
        for log in 0..Log::COUNT {
            let at = 80 + log * 16;
            bytes[at..at + 8].copy_from_slice(&self.first_segment[log].to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&self.durable[log].to_le_bytes());
        }
        let checkpoint = self.checkpoint.unwrap_or(NO_CHECKPOINT);
        bytes[160..168].copy_from_slice(&checkpoint.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..SLOT - 4]);
        bytes[SLOT - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SLOT] = bytes.try_into().ok()?;
        let crc = u32_at(bytes, SLOT - 4);
        if &bytes[0..8] != MAGIC || crc32c::crc32c(&bytes[..SLOT - 4]) != crc {
            return None;
        }
        let checkpoint = u64_at(bytes, 160);
        Some(Self {
            seq: u64_at(bytes, 8),
            major: u16::from_le_bytes([bytes[16], bytes[17]]),
            minor: u16::from_le_bytes([bytes[18], bytes[19]]),
            compat: u32_at(bytes, 20),
            ro_compat: u32_at(bytes, 24),
            incompat: u32_at(bytes, 28),
            genesis_id: *bytes[32..].first_chunk()?,
            dir_id: u64_at(bytes, 64),
            clean: bytes[72] == 1,
            first_segment: std::array::from_fn(|log| u64_at(bytes, 80 + log * 16)),
            durable: std::array::from_fn(|log| u64_at(bytes, 88 + log * 16)),
            checkpoint: (checkpoint != NO_CHECKPOINT).then_some(checkpoint),
        })
    }
}

/// The open file.
pub(super) struct SuperFile {
    file: Arc<dyn DiskFile>,
    pub(super) now: Super,
}

impl SuperFile {
    /// Makes the file of a new directory. It appears whole or not at all.
    pub(super) fn create(disk: &dyn Disk, first: Super) -> Result<Self, DiskError> {
        if disk.list("")?.iter().any(|name| name == NEW_PATH) {
            disk.remove(NEW_PATH)?;
        }
        let file = disk.create(NEW_PATH)?;
        file.reserve(2 * SLOT as u64)?;
        write_all(&*file, slot_of(first.seq), &first.to_bytes())?;
        file.sync()?;
        disk.rename(NEW_PATH, PATH)?;
        disk.sync_directory("")?;
        Ok(Self { file, now: first })
    }

    /// Reads the file; None when neither slot is valid.
    pub(super) fn open(disk: &dyn Disk) -> Result<Option<Self>, DiskError> {
        let file = disk.open(PATH)?;
        let mut bytes = vec![0; 2 * SLOT];
        read_full(&*file, 0, &mut bytes)?;
        let newest = bytes
            .chunks_exact(SLOT)
            .filter_map(Super::read)
            .max_by_key(|slot| slot.seq);
        Ok(newest.map(|now| Self { file, now }))
    }

    /// Writes `next` into the older slot and makes it durable.
    pub(super) fn replace(&mut self, next: Super) -> Result<(), DiskError> {
        let next = Super {
            seq: self.now.seq + 1,
            ..next
        };
        write_all(&*self.file, slot_of(next.seq), &next.to_bytes())?;
        self.file.sync()?;
        self.now = next;
        Ok(())
    }
}

fn slot_of(seq: u64) -> u64 {
    (seq % 2) * SLOT as u64
}
