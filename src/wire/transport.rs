//! A connection after its handshake: messages in, sealed frames out, and the other way round.

use std::collections::VecDeque;

use crate::base::Time;
use crate::codec::Reader;
use crate::crypto::noise::{Ciphers, TAG_BYTES};
use crate::types::EngineKind;

use super::frame::{FRAME_TEXT_MAX, FrameCutter, REKEY_FRAMES, Segment, frame_header};
use super::gate::items_of;
use super::incoming::{Incoming, Received};
use super::outgoing::{Outgoing, QueueFull};
use super::{Fault, Lane, Message, MessageKind};

/// The encrypted transport of one connection, owned by whoever owns its socket.
///
/// Give it what the socket gives by [`receive`](Self::receive), take messages by
/// [`next_message`](Self::next_message) until there is none, say what was dealt with by
/// [`consumed`](Self::consumed), queue messages by [`send`](Self::send), and give the socket what
/// [`write`](Self::write) gives whenever it takes more. After each of the first four there may be
/// something to write.
#[derive(Debug)]
pub struct Transport {
    engine: EngineKind,
    ciphers: Ciphers,
    /// The end of the handshake that was not written yet.
    handshake: Vec<u8>,
    cutter: FrameCutter,
    incoming: Incoming,
    outgoing: Outgoing,
    messages: VecDeque<Received>,
    /// Frames sealed and opened since the key of that direction.
    sealed: u32,
    opened: u32,
    fault: Option<Fault>,
}

impl Transport {
    /// What follows a handshake, the end of which may still have to be written.
    pub(super) fn new(engine: EngineKind, ciphers: Ciphers, handshake: Vec<u8>) -> Self {
        Self {
            engine,
            ciphers,
            handshake,
            cutter: FrameCutter::default(),
            incoming: Incoming::new(engine),
            outgoing: Outgoing::new(),
            messages: VecDeque::new(),
            sealed: 0,
            opened: 0,
            fault: None,
        }
    }

    /// Takes bytes that came from the peer, cut anywhere. After a fault every later call gives the
    /// same; messages that came whole before it can still be taken.
    pub fn receive(&mut self, now: Time, mut bytes: &[u8]) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let result = self.receive_frames(now, &mut bytes);
        if let Err(fault) = &result {
            self.fault = Some(fault.clone());
        }
        result
    }

    fn receive_frames(&mut self, now: Time, bytes: &mut &[u8]) -> Result<(), Fault> {
        while let Some(frame) = self.cutter.cut(bytes)? {
            let mut text = vec![0; frame.len() - TAG_BYTES];
            self.ciphers
                .open(&frame, &mut text)
                .map_err(|_| Fault::NotAuthentic)?;
            self.opened += 1;
            if self.opened == REKEY_FRAMES {
                self.ciphers.rekey_incoming();
                self.opened = 0;
            }
            self.receive_segments(now, &text)?;
        }
        Ok(())
    }

    fn receive_segments(&mut self, now: Time, text: &[u8]) -> Result<(), Fault> {
        let mut text = Reader::new(text);
        while text.remaining() > 0 {
            let segment = Segment::read(&mut text)?;
            let Some(message) = self.incoming.take(now, segment)? else {
                continue;
            };
            if message.kind != MessageKind::Credit {
                self.messages.push_back(message);
                continue;
            }
            let kind = message.kind;
            match Message::decode(kind, &message.bytes, self.engine) {
                Ok(Message::Credit { lane, bytes }) => self.outgoing.add_credit(lane, bytes),
                Ok(_) => unreachable!("a message is of the kind it is decoded as"),
                Err(error) => return Err(Fault::Message { kind, error }),
            }
        }
        Ok(())
    }

    /// The next whole message. Its bytes count against the lane's window until they are
    /// [`consumed`](Self::consumed).
    #[must_use]
    pub fn next_message(&mut self) -> Option<Received> {
        self.messages.pop_front()
    }

    /// `bytes` of messages of `lane` were dealt with: the peer may send as many more.
    ///
    /// # Panics
    /// When more is dealt with than came.
    pub fn consumed(&mut self, lane: Lane, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("a window is far below 4 GiB");
        self.incoming.consumed(lane, bytes);
    }

    /// Queues a message, unless too much waits in its lane already. The first two are HELLO and
    /// READY; CREDIT is the transport's own business.
    ///
    /// # Panics
    /// When the message is not of the lane, longer than its type allows, or out of order with the
    /// greetings: this side would break the protocol.
    pub fn send(&mut self, lane: Lane, kind: MessageKind, bytes: Vec<u8>) -> Result<(), QueueFull> {
        assert!(
            kind != MessageKind::Credit && kind.lanes().contains(&lane),
            "{kind} is not for the lane of {lane}"
        );
        let max = kind.max_bytes(self.engine) as usize;
        assert!(
            bytes.len() <= max,
            "a {kind} of {} bytes where {max} are the limit",
            bytes.len()
        );
        let items = items_of(kind, &bytes);
        self.outgoing.queue(lane, kind, bytes)?;
        self.incoming.asked(lane, kind, items);
        Ok(())
    }

    /// Appends sealed frames to `out` until at least `budget` bytes were appended or nothing is
    /// left that may go. A small budget keeps urgent messages from waiting behind bytes that were
    /// sealed before they came.
    pub fn write(&mut self, out: &mut Vec<u8>, budget: usize) {
        // After a fault the connection closes without a reply.
        if self.fault.is_some() {
            return;
        }
        let start = out.len();
        out.append(&mut self.handshake);
        let mut text = Vec::new();
        while out.len() - start < budget {
            text.clear();
            self.outgoing
                .fill(&mut text, |lane| self.incoming.take_credit(lane));
            if text.is_empty() {
                return;
            }
            assert!(text.len() <= FRAME_TEXT_MAX, "a frame has its limit");
            let length = text.len() + TAG_BYTES;
            out.extend_from_slice(&frame_header(length));
            let sealed = out.len();
            out.resize(sealed + length, 0);
            self.ciphers.seal(&text, &mut out[sealed..]);
            self.sealed += 1;
            if self.sealed == REKEY_FRAMES {
                self.ciphers.rekey_outgoing();
                self.sealed = 0;
            }
        }
    }

    /// Whether [`write`](Self::write) would write something.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.fault.is_none()
            && (!self.handshake.is_empty()
                || self.outgoing.is_sendable()
                || self.outgoing.may_send_credit() && self.incoming.owes_credit())
    }

    /// Bytes of messages that wait in `lane`.
    #[must_use]
    pub fn queued(&self, lane: Lane) -> usize {
        self.outgoing.queued(lane)
    }

    /// As if everything had been asked for.
    #[cfg(test)]
    pub(super) fn owe_everything(&mut self) {
        self.incoming.owe_everything();
    }

    /// Bytes kept for messages that did not end yet.
    #[cfg(test)]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.incoming.reserved_bytes()
    }
}

#[cfg(test)]
mod tests;
