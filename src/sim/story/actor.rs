//! The nodes of a story.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::Span;
use crate::codec::Encode;
use crate::crypto::sha256::search;
use crate::node::{CallError, Event, Question, Reply, Submitted, TransactionStatus};
use crate::sim::{ClockError, Crash, NodeIndex};
use crate::types::{AccountId, BlockId, Header, Millis, Seal};

use super::person::{Payment, Person, account};
use super::{Stage, ask};

/// How long a node has to hear of what others have.
const HEARD_WITHIN: Span = Span::from_secs(60);
/// Far more hashes than a block of a story costs.
const HASHES_MAX: u64 = 1 << 20;

/// A node.
#[derive(Clone)]
pub(crate) struct Actor {
    stage: Rc<RefCell<Stage>>,
    index: NodeIndex,
    name: String,
}

impl Actor {
    pub(super) fn new(stage: &Rc<RefCell<Stage>>, index: NodeIndex, name: &str) -> Self {
        Self {
            stage: Rc::clone(stage),
            index,
            name: name.to_owned(),
        }
    }

    pub(crate) const fn index(&self) -> NodeIndex {
        self.index
    }

    /// Asks it something.
    pub(crate) fn is_asked(&self, question: Question) -> Result<Reply, CallError> {
        ask(&self.stage, self.index, question)
    }

    /// It finds so many blocks for itself, one after the other, and shows the last.
    pub(crate) fn mines(&self, count: u64) -> BlockId {
        let miner = account(&self.name).id();
        self.mines_for_account(miner, count)
    }

    /// The same for somebody.
    pub(crate) fn mines_for(&self, person: &Person, count: u64) -> BlockId {
        self.mines_for_account(person.account(), count)
    }

    fn mines_for_account(&self, beneficiary: AccountId, count: u64) -> BlockId {
        assert!(count > 0, "{} mines something", self.name);
        let mut last = BlockId::ZERO;
        for _ in 0..count {
            last = self.finds_a_block(beneficiary);
        }
        last
    }

    fn finds_a_block(&self, beneficiary: AccountId) -> BlockId {
        let question = Question::Template {
            beneficiary,
            after: None,
        };
        let template = match self.is_asked(question) {
            Ok(Reply::Template(template)) => template,
            other => panic!("{} has work: {other:?}", self.name),
        };
        let mut header = template.header;
        let found = nonce_of(&header);
        let answer = self.is_asked(Question::SubmitWork {
            template: template.id,
            nonce: found,
            time: None,
        });
        if let Seal::Work { nonce, .. } = &mut header.seal {
            *nonce = found;
        }
        match answer {
            Ok(Reply::Submitted { id, outcome, .. }) => {
                assert_eq!((id, outcome), (header.id(), Submitted::Accepted));
                id
            }
            other => panic!("{} takes its own block: {other:?}", self.name),
        }
    }

    /// Its tip is this block within a minute.
    pub(crate) fn follows(&self, block: BlockId) {
        let world = &mut self.stage.borrow_mut().world;
        let follows = world.run_until(HEARD_WITHIN, |world| {
            let published = world.published(self.index);
            published.is_some_and(|published| published.tip == block)
        });
        assert!(follows, "{} follows {block}", self.name);
    }

    /// It has this block's header.
    pub(crate) fn knows(&self, block: BlockId) -> bool {
        self.is_asked(Question::Header(block)).is_ok()
    }

    pub(crate) fn tip(&self) -> BlockId {
        let stage = self.stage.borrow();
        stage.world.published(self.index).expect("it runs").tip
    }

    pub(crate) fn height(&self) -> u64 {
        let stage = self.stage.borrow();
        let published = stage.world.published(self.index).expect("it runs");
        published.header.height.0
    }

    /// It accepts a payment.
    pub(crate) fn takes(&self, payment: &Payment) {
        let answer = self.is_asked(Question::SubmitTransaction(payment.bytes()));
        match answer {
            Ok(Reply::Accepted { txid, .. }) => assert_eq!(txid, payment.txid()),
            other => panic!("{} takes the payment: {other:?}", self.name),
        }
    }

    /// It does not accept a payment, and says why.
    pub(crate) fn refuses(&self, payment: &Payment) -> CallError {
        match self.is_asked(Question::SubmitTransaction(payment.bytes())) {
            Err(why) => why,
            other => panic!("{} refuses the payment: {other:?}", self.name),
        }
    }

    /// What it knows of a payment.
    pub(crate) fn whereabouts(&self, payment: &Payment) -> TransactionStatus {
        match self.is_asked(Question::Transaction(payment.txid())) {
            Ok(Reply::Transaction(status)) => status,
            other => panic!("{} knows where it is: {other:?}", self.name),
        }
    }

    /// A payment waits in its mempool within ten seconds.
    pub(crate) fn hears_of(&self, payment: &Payment) {
        for _ in 0..100 {
            if self.whereabouts(payment) == TransactionStatus::Waiting {
                return;
            }
            self.stage.borrow_mut().world.run(Span::from_millis(100));
        }
        panic!("{} hears of the payment", self.name);
    }

    /// Whether a payment is in its best chain.
    pub(crate) fn has_mined(&self, payment: &Payment) -> bool {
        let status = self.whereabouts(payment);
        matches!(status, TransactionStatus::Included { .. })
    }

    /// What somebody has at its tip.
    pub(crate) fn balance_of(&self, person: &Person) -> u64 {
        let stage = self.stage.borrow();
        let published = stage.world.published(self.index).expect("it runs");
        let account = published.state.account(&person.account());
        let account = account.expect("a disk without faults is read");
        account.map_or(0, |account| account.balance.0)
    }

    /// Its process is killed.
    pub(crate) fn crashes(&self) {
        let world = &mut self.stage.borrow_mut().world;
        world.crash(self.index, Crash::Kill);
    }

    /// It starts on what its disk has, and is ready within five seconds.
    pub(crate) fn starts(&self) {
        let world = &mut self.stage.borrow_mut().world;
        world.start(self.index);
        let ready = world.run_until(Span::from_secs(5), |world| {
            let published = world.published(self.index);
            published.is_some_and(|published| published.ready)
        });
        assert!(ready, "{} is ready", self.name);
    }

    /// From its next start on its clock is so many seconds fast.
    pub(crate) fn has_a_clock_that_is_fast_by(&self, seconds: i64) {
        let world = &mut self.stage.borrow_mut().world;
        let clock = ClockError {
            skew_micros: seconds * 1_000_000,
            drift_ppm: 0,
        };
        world.set_clock(self.index, clock);
    }

    /// How it parted with somebody, each time.
    pub(crate) fn partings_with(&self, other: &Self) -> Vec<String> {
        let stage = self.stage.borrow();
        let ip = stage.world.peer_address(other.index).socket.ip();
        let events = stage.world.events().iter();
        let parting = |event: &Event| match event {
            Event::PeerGone { address, why, .. } if address.ip() == ip => Some(why.clone()),
            _ => None,
        };
        events
            .filter(|(_, node, _)| *node == self.index)
            .filter_map(|(_, _, event)| parting(event))
            .collect()
    }

    /// Which rules it says that somebody broke.
    pub(crate) fn blames(&self, other: &Self) -> Vec<String> {
        let stage = self.stage.borrow();
        let culprit = stage.world.key(other.index);
        let events = stage.world.events().iter();
        let blame = |event: &Event| match event {
            Event::PeerDiscouraged { key, rule, .. } if *key == culprit => Some(rule.clone()),
            _ => None,
        };
        events
            .filter(|(_, node, _)| *node == self.index)
            .filter_map(|(_, _, event)| blame(event))
            .collect()
    }

    /// The header of a block that it has.
    pub(crate) fn header_of(&self, block: BlockId) -> Header {
        match self.is_asked(Question::Header(block)) {
            Ok(Reply::Header { header, .. }) => *header,
            other => panic!("{} has the block: {other:?}", self.name),
        }
    }

    /// What the world's clock shows.
    pub(crate) fn now(&self) -> Millis {
        Millis(self.stage.borrow().world.now().as_millis())
    }
}

/// A nonce that does the work that a header's own bits ask for.
fn nonce_of(header: &Header) -> u64 {
    let Seal::Work { bits, .. } = header.seal else {
        panic!("a story is one of work");
    };
    let bytes = header.to_bytes();
    let bytes = bytes.first_chunk().expect("a header of work has 204 bytes");
    let target = bits.target().expect("a template has a target");
    let found = search(bytes, 0..HASHES_MAX, &target.to_be_bytes());
    found.expect("a block of a story costs a few hashes")
}
