//! Frames and the segments in them: how a stream of bytes is cut.

use std::borrow::Cow;

use crate::codec::Reader;
use crate::crypto::noise::TAG_BYTES;

use super::{Fault, Lane};

/// The most bytes of a frame before it is sealed.
pub const FRAME_TEXT_MAX: usize = 16_384;
/// Bytes before a frame: its length and a zero.
pub(super) const FRAME_HEADER_BYTES: usize = 4;
/// Bytes before a segment's part of a message.
pub(super) const SEGMENT_HEADER_BYTES: usize = 10;
/// Each direction takes a new key after so many frames.
pub const REKEY_FRAMES: u32 = 1_024;

const FIRST: u8 = 1;
const FIN: u8 = 2;

/// The bytes on a line of a message of `length` bytes that shares its frames with no other.
#[must_use]
pub const fn frames_bytes(length: u64) -> u64 {
    const PART: u64 = (FRAME_TEXT_MAX - SEGMENT_HEADER_BYTES) as u64;
    const AROUND: u64 = (FRAME_HEADER_BYTES + TAG_BYTES + SEGMENT_HEADER_BYTES) as u64;
    let frames = length.div_ceil(PART);
    length + AROUND * if frames == 0 { 1 } else { frames }
}

/// The header of a frame whose sealed text has `length` bytes.
pub(super) fn frame_header(length: usize) -> [u8; FRAME_HEADER_BYTES] {
    // At most 16,400, so that the fourth byte is the zero that must be there.
    (length as u32).to_le_bytes()
}

/// Cuts sealed frames out of a stream, however it comes in pieces.
#[derive(Debug, Default)]
pub(super) struct FrameCutter {
    /// The beginning of a frame whose end did not come yet, its header included.
    partial: Vec<u8>,
}

impl FrameCutter {
    /// Takes one sealed frame from the front of `bytes`, or all of them when it does not end
    /// there.
    pub(super) fn cut<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, Fault> {
        if self.partial.is_empty()
            && let Some((header, rest)) = bytes.split_first_chunk()
        {
            let length = sealed_length(*header)?;
            if let Some((frame, rest)) = rest.split_at_checked(length) {
                *bytes = rest;
                return Ok(Some(Cow::Borrowed(frame)));
            }
        }
        self.take(FRAME_HEADER_BYTES, bytes);
        let Some(header) = self.partial.first_chunk() else {
            return Ok(None);
        };
        let whole = FRAME_HEADER_BYTES + sealed_length(*header)?;
        self.take(whole, bytes);
        if self.partial.len() < whole {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.partial);
        frame.drain(..FRAME_HEADER_BYTES);
        Ok(Some(Cow::Owned(frame)))
    }

    /// Moves bytes to the partial frame until it has `wanted`.
    fn take(&mut self, wanted: usize, bytes: &mut &[u8]) {
        let missing = wanted.saturating_sub(self.partial.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.partial.extend_from_slice(taken);
        *bytes = rest;
    }
}

fn sealed_length(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, Fault> {
    if header[3] != 0 {
        return Err(Fault::Frame("the fourth byte of a frame must be zero"));
    }
    let length = u32::from_le_bytes(header) as usize;
    if !(TAG_BYTES + 1..=TAG_BYTES + FRAME_TEXT_MAX).contains(&length) {
        return Err(Fault::Frame("a frame must hold 1 to 16,384 bytes"));
    }
    Ok(length)
}

/// A part of a message, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    /// The message's type byte.
    pub(super) kind: u8,
    /// The lane of the message.
    pub(super) lane: Lane,
    /// Whether the message begins here.
    pub(super) first: bool,
    /// Whether it ends here.
    pub(super) fin: bool,
    /// The length of the whole message.
    pub(super) total: u32,
    /// This part of it.
    pub(super) bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The next segment of a frame's text.
    pub(super) fn read(text: &mut Reader<'a>) -> Result<Self, Fault> {
        let cut = |_| Fault::Segment("a segment does not end within its frame");
        let [kind, lane, flags, zero] = text.array().map_err(cut)?;
        let total = text.u32().map_err(cut)?;
        let length = text.u16().map_err(cut)?;
        let bytes = text.bytes(usize::from(length)).map_err(cut)?;
        if flags & !(FIRST | FIN) != 0 || zero != 0 {
            return Err(Fault::Segment("the spare bits of a segment must be zero"));
        }
        if bytes.is_empty() && total != 0 {
            return Err(Fault::Segment(
                "only a message without bytes has an empty segment",
            ));
        }
        Ok(Self {
            kind,
            lane: Lane::from_byte(lane).ok_or(Fault::Segment("a lane must be 0 to 5"))?,
            first: flags & FIRST != 0,
            fin: flags & FIN != 0,
            total,
            bytes,
        })
    }

    /// Appends the segment to a frame's text.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        let flags = if self.first { FIRST } else { 0 } | if self.fin { FIN } else { 0 };
        text.extend_from_slice(&[self.kind, self.lane as u8, flags, 0]);
        text.extend_from_slice(&self.total.to_le_bytes());
        text.extend_from_slice(&(self.bytes.len() as u16).to_le_bytes());
        text.extend_from_slice(self.bytes);
    }
}
