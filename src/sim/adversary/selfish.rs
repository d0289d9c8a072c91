//! A miner that withholds the blocks it finds.

use std::collections::BTreeSet;

use crate::codec::Encode;
use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::types::{BlockId, Header, Height};
use crate::wire::message::ANNOUNCE_HEADERS_MAX;
use crate::wire::{Message, MessageKind};

use super::craft::{Greeted, is, read, send, send_in};

/// How many of the newest headers of others, and of its own, it remembers to tell them apart.
const KEPT_MAX: usize = 4_096;

/// Mines by the rule of Eyal and Sirer (Majority is not enough: Bitcoin mining is vulnerable,
/// 2014, section 4.2): it keeps its branch to itself while that is ahead, publishes as much of it
/// as the others catch up with, and all of it when they come within one block.
///
/// Its node mines and knows nothing of this: what it tells of its own blocks is held back.
#[derive(Clone, Debug, Default)]
pub struct SelfishMiner {
    /// Blocks that nobody was told of, by ascending height.
    withheld: Vec<Header>,
    /// The height of its best block, told or not.
    own: Height,
    /// The greatest height that others have told of.
    public: Height,
    /// Headers that came from others, and its own.
    others: BTreeSet<(Height, BlockId)>,
    mine: BTreeSet<(Height, BlockId)>,
    /// Whether its published branch and that of the others are of the same length.
    racing: bool,
    greeted: Greeted,
}

impl SelfishMiner {
    /// A miner that has found nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn is_withheld(&self, id: &BlockId) -> bool {
        self.withheld.iter().any(|header| header.id() == *id)
    }

    /// Its node tells of a block that did not come from others.
    fn found(&mut self, header: &Header, hands: &mut Hands<'_>) {
        if header.height <= self.own || self.is_withheld(&header.id()) {
            return;
        }
        self.own = header.height;
        keep(&mut self.mine, header);
        self.withheld.push(header.clone());
        hands.mark("selfish: withheld a block");
        if self.racing {
            // The race is won by a block that nobody has an answer to.
            self.racing = false;
            self.publish(usize::MAX, hands);
        }
    }

    /// Others have found blocks up to this height.
    fn caught_up(&mut self, height: Height, hands: &mut Hands<'_>) {
        if height <= self.public {
            return;
        }
        self.public = height;
        self.racing = false;
        if self.withheld.is_empty() && self.own < height {
            self.own = height;
            return;
        }
        match self.own.0.checked_sub(height.0) {
            None => {
                self.withheld.clear();
                self.own = height;
                hands.mark("selfish: gave its branch up");
            }
            Some(0) => {
                self.racing = true;
                self.publish(usize::MAX, hands);
                hands.mark("selfish: raced");
            }
            Some(1) => self.publish(usize::MAX, hands),
            Some(_) => {
                let reached = |header: &&Header| header.height <= height;
                let count = self.withheld.iter().filter(reached).count();
                self.publish(count, hands);
            }
        }
    }

    /// Tells everybody of the first so many blocks that were withheld.
    fn publish(&mut self, count: usize, hands: &mut Hands<'_>) {
        let count = count.min(self.withheld.len());
        if count == 0 {
            return;
        }
        let headers: Vec<Header> = self.withheld.drain(..count).collect();
        hands.mark("selfish: published blocks");
        for (conn, _) in self.greeted.open(hands) {
            for part in headers.chunks(ANNOUNCE_HEADERS_MAX) {
                let headers = part.to_vec();
                send(hands, conn, &Message::Announce { headers });
            }
        }
    }

    fn is_own(&self, header: &Header) -> bool {
        !self.others.contains(&(header.height, header.id()))
    }

    /// Its node tells of headers: those of its own blocks are held back.
    fn tell(&mut self, letter: &Letter<'_>, headers: &[Header], hands: &mut Hands<'_>) -> Fate {
        for header in headers {
            if self.is_own(header) {
                self.found(header, hands);
            }
        }
        let told = headers
            .iter()
            .filter(|header| !self.is_withheld(&header.id()));
        let told: Vec<Header> = told.cloned().collect();
        if told.len() == headers.len() {
            return Fate::Pass;
        }
        if !told.is_empty() {
            send_in(
                hands,
                letter.conn,
                letter.lane,
                &Message::Announce { headers: told },
            );
        }
        Fate::Drop
    }
}

impl Behaviour for SelfishMiner {
    fn name(&self) -> &'static str {
        "selfish"
    }

    fn start(&mut self, _: &mut Hands<'_>) {
        // What it had withheld is in its log, and it tells of what it finds on top of that.
        *self = Self::default();
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        self.greeted.look_at(letter);
        let is_told = is(letter, MessageKind::Announce)
            || is(letter, MessageKind::Headers)
            || is(letter, MessageKind::Hello);
        if !is_told {
            return Fate::Pass;
        }
        match read(letter, hands) {
            Some(Message::Announce { headers }) => self.tell(letter, &headers, hands),
            Some(Message::Headers {
                request,
                mut headers,
            }) => {
                let first = headers
                    .iter()
                    .position(|header| self.is_withheld(&header.id()));
                let Some(first) = first else {
                    return Fate::Pass;
                };
                headers.truncate(first);
                let message = Message::Headers { request, headers };
                send_in(hands, letter.conn, letter.lane, &message);
                Fate::Drop
            }
            Some(Message::Hello(mut hello)) => {
                let Some(first) = self.withheld.first() else {
                    return Fate::Pass;
                };
                hello.best_height = Height(first.height.0.saturating_sub(1));
                hello.best_id = first.parent_id;
                hands.send(letter.conn, letter.lane, letter.kind, hello.to_bytes());
                Fate::Drop
            }
            _ => Fate::Pass,
        }
    }

    fn incoming(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if !is(letter, MessageKind::Announce) && !is(letter, MessageKind::Headers) {
            return Fate::Pass;
        }
        let Some(Message::Announce { headers } | Message::Headers { headers, .. }) =
            read(letter, hands)
        else {
            return Fate::Pass;
        };
        // Its own blocks, which others pass on, say nothing of theirs.
        let is_mine = |header: &Header| self.mine.contains(&(header.height, header.id()));
        let new: Vec<Header> = headers
            .into_iter()
            .filter(|header| !is_mine(header))
            .collect();
        for header in &new {
            keep(&mut self.others, header);
        }
        if let Some(height) = new.iter().map(|header| header.height).max() {
            self.caught_up(height, hands);
        }
        Fate::Pass
    }
}

fn keep(kept: &mut BTreeSet<(Height, BlockId)>, header: &Header) {
    kept.insert((header.height, header.id()));
    if kept.len() > KEPT_MAX {
        kept.pop_first();
    }
}
