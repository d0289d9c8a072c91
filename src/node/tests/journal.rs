//! The journal over a long life, and through crashes: it stays short, and loses no promise.

use super::super::journal::KEPT_DEPTH;
use super::*;
use crate::base::Rng;
use crate::store::{Faults, FaultyDisk, Keep, MemoryDisk, OpenError, Options};

/// The smallest segments there are, so that a life of some hundred blocks has many.
const SEGMENT: u64 = 4 << 10;
/// Payments a round that are mined in it.
const MINED: u64 = 2;

fn options(genesis: &Genesis) -> Options {
    let mut options = Options::production(genesis.id().0, 7, 1).with_segment_size(64 << 10);
    options.segment_sizes[Log::Journal as usize] = SEGMENT;
    options
}

/// The store of a disk.
fn opened(disk: &MemoryDisk, genesis: &Genesis) -> Store {
    let (store, _) = Store::open(Arc::new(disk.clone()), &options(genesis)).unwrap();
    store
}

/// What happens in a round: payments are submitted, and a block mines most of them.
struct Round {
    submitted: Vec<Transaction>,
    block: Option<Made>,
}

/// Rounds of two people whose payments are mined at once, and of one in eight rounds a payment of
/// somebody whom no miner likes.
fn rounds(genesis: &Arc<Genesis>, count: u64) -> Vec<Round> {
    let maker = Maker::new(genesis);
    let mut tip = maker.root();
    let mut rounds = Vec::new();
    for round in 0..count {
        let mut submitted: Vec<Transaction> = (0..MINED)
            .map(|who| {
                let payer = person(1 + who as u8);
                pay(genesis, &payer, (round, 2_000), person(1).account, 5)
            })
            .collect();
        let block = maker.child(&tip, person(91).account, &submitted);
        assert_eq!(block.checked.transactions.len() as u64, MINED);
        if round % 8 == 0 {
            let nonce = (round / 8, 2_000 + round);
            submitted.push(pay(genesis, &person(3), nonce, person(1).account, 5));
        }
        tip = block.state.clone();
        let block = Some(block);
        rounds.push(Round { submitted, block });
    }
    rounds
}

fn chain_of_three() -> Arc<Genesis> {
    let people: Vec<Person> = (1..=3).map(person).collect();
    testing::genesis(&people.iter().collect::<Vec<_>>(), 1_000_000_000)
}

impl Alice {
    /// Lives through a round; gives what was acknowledged in it.
    fn live(&mut self, bob: Peer, round: &Round) -> Vec<Transaction> {
        let mut acknowledged = Vec::new();
        for transaction in &round.submitted {
            let call = self.submit(transaction);
            self.store_done();
            match self.answers.get(&call) {
                Some(Ok(_)) => acknowledged.push(transaction.clone()),
                Some(Err(error)) => panic!("{error}"),
                None => assert!(self.stopped),
            }
        }
        if let Some(block) = round.block.as_ref().filter(|_| !self.stopped) {
            self.now += Span::from_secs(2);
            self.gets_block(bob, block);
            self.store_done();
        }
        acknowledged
    }

    /// How many bytes of the journal are kept.
    fn journal_bytes(&self) -> u64 {
        let (store, _) = self.store.as_ref().unwrap();
        store.end(Log::Journal).get() - store.first_segment(Log::Journal) * SEGMENT
    }

    fn journal_first(&self) -> u64 {
        let (store, _) = self.store.as_ref().unwrap();
        store.first_segment(Log::Journal)
    }
}

#[test]
fn the_journal_of_a_long_life_stays_short() {
    let genesis = chain_of_three();
    let rounds = rounds(&genesis, 500);
    let store = opened(&MemoryDisk::new(), &genesis);
    let (mut alice, bob) = (Alice::on_store(&genesis, store), peer(2));
    alice.connect(bob);
    let mut most = 0;
    for round in &rounds {
        alice.live(bob, round);
        most = alice.journal_bytes().max(most);
    }
    let waiting: usize = rounds.iter().map(|round| round.submitted.len() - 2).sum();
    assert_eq!(alice.node.mempool.len(), waiting);
    // What is mined counts for a hundred blocks; what waits always. At most as much again does
    // not count, and a few segments are always there.
    let record = 48 + 8 + 164 + 4;
    let counted = ((KEPT_DEPTH + 1) * MINED + waiting as u64) * record;
    assert!(most <= 2 * counted + 5 * SEGMENT, "{most} bytes");
    assert!(alice.journal_first() > 10);
}

/// Rounds in which somebody replaces his payment again and again, somebody else waits all the
/// time, and now and then a block mines a third one's.
fn rounds_of_replacements(genesis: &Arc<Genesis>, count: u64) -> Vec<Round> {
    let maker = Maker::new(genesis);
    let mut tip = maker.root();
    let mut rounds = Vec::new();
    for round in 0..count {
        let to = person(1).account;
        let mut submitted = vec![pay(genesis, &person(3), (0, 2_000 + 50 * round), to, 5)];
        if round < 10 {
            submitted.push(pay(genesis, &person(1), (round, 2_000), to, 5));
        }
        let mut block = None;
        if round % 4 == 3 {
            let mined = [pay(genesis, &person(2), (round / 4, 2_000), to, 5)];
            let made = maker.child(&tip, person(91).account, &mined);
            tip = made.state.clone();
            // What is mined holds its segment for a hundred blocks: the last ones only.
            submitted.extend(mined.into_iter().filter(|_| round >= 100));
            block = Some(made);
        }
        rounds.push(Round { submitted, block });
    }
    rounds
}

#[test]
fn a_crash_at_any_call_while_the_journal_is_trimmed_loses_nothing_acknowledged() {
    let genesis = chain_of_three();
    let rounds = rounds_of_replacements(&genesis, 120);
    let (before, after) = rounds.split_at(70);
    let disk = FaultyDisk::over(&MemoryDisk::new(), Faults::default(), Rng::from_number(1));
    let (mut old, mut new) = (Vec::new(), Vec::new());
    go_on(&disk, &genesis, before, &mut old).unwrap();
    let begun = disk.crash(Keep::Everything);
    let whole = FaultyDisk::over(&begun, Faults::default(), Rng::from_number(1));
    let (first, last) = go_on(&whole, &genesis, after, &mut new).unwrap();
    assert!(
        last >= first + 2,
        "segments go while it is watched: {first} {last}"
    );
    for call in 0..whole.calls() {
        let faults = Faults {
            crash_at: Some(call),
            ..Faults::default()
        };
        let disk = FaultyDisk::over(&begun, faults, Rng::from_number(call));
        let mut acknowledged = old.clone();
        // The machine may stop before the directory is open.
        let _ = go_on(&disk, &genesis, after, &mut acknowledged);
        let left = disk.crash(Keep::ALL[call as usize % 5]);
        let (store, _) = Store::open(Arc::new(left), &options(&genesis)).unwrap();
        expect_all(&genesis, store, &acknowledged, call);
    }
}

/// Everything that was acknowledged is there; of what was replaced, the last or what replaced it.
fn expect_all(genesis: &Arc<Genesis>, store: Store, acknowledged: &[Transaction], call: u64) {
    let mut alice = Alice::on_store(genesis, store);
    assert!(alice.node.ready);
    let replacer = person(3).account;
    let of_replacer = |t: &&Transaction| t.sender() == replacer;
    let least = acknowledged.iter().filter(of_replacer).map(|t| t.fee).max();
    let waits = alice
        .node
        .mempool
        .iter()
        .map(|checked| &checked.transaction);
    let waits = waits.filter(of_replacer).map(|t| t.fee).max();
    assert!(
        waits >= least,
        "{waits:?} for {least:?} after a crash at call {call}"
    );
    for transaction in acknowledged.iter().filter(|t| !of_replacer(t)) {
        let status = alice.status(transaction);
        assert!(
            matches!(
                status,
                TransactionStatus::Waiting | TransactionStatus::Included { .. }
            ),
            "{status:?} after a crash at call {call}"
        );
    }
}

/// Opens a node on a disk and lives through rounds until the disk fails. Gives the first segments
/// of the journal before and after.
fn go_on(
    disk: &FaultyDisk,
    genesis: &Arc<Genesis>,
    rounds: &[Round],
    acknowledged: &mut Vec<Transaction>,
) -> Result<(u64, u64), OpenError> {
    let (store, _) = Store::open(Arc::new(disk.clone()), &options(genesis))?;
    let (mut alice, bob) = (Alice::on_store(genesis, store), peer(2));
    let first = alice.journal_first();
    alice.now += Span::from_secs(200);
    alice.connect(bob);
    for round in rounds {
        if !alice.stopped {
            acknowledged.extend(alice.live(bob, round));
        }
    }
    Ok((first, alice.journal_first()))
}

#[test]
fn what_people_brought_before_a_restart_is_not_told_of_at_once() {
    let genesis = chain_of_three();
    let disk = MemoryDisk::new();
    let open = || opened(&disk, &genesis);
    let payments = [1, 2].map(|from| {
        let from = person(from);
        pay(&genesis, &from, (0, 5_000), person(3).account, 1)
    });
    let mut alice = Alice::on_store(&genesis, open());
    for payment in &payments {
        alice.submit(payment);
    }
    alice.store_done();
    drop(alice);
    let mut alice = Alice::on_store(&genesis, open());
    assert_eq!(alice.node.mempool.len(), 2);
    let (bob, carol, dave) = (peer(2), peer(3), peer(4));
    alice.connect(bob);
    alice.connect(carol);
    alice.wait(Span::from_secs(50));
    alice.expect_silence(bob);
    let request = RequestId(4);
    let wtxids: Vec<_> = payments.iter().map(Transaction::wtxid).collect();
    let asks = Message::GetTx {
        request,
        wtxids: wtxids.clone(),
    };
    alice.receive(bob, asks.clone());
    let ids = wtxids.iter().map(|id| Hash(id.0)).collect();
    alice.expect_sent(bob, |m| *m == Message::NotFound { request, ids });
    // One that a peer tells of goes on like all others.
    alice.receive(carol, inventory(&payments[0]));
    alice.wait(Span::from_millis(50));
    alice.expect_sent(bob, |m| *m == inventory(&payments[0]));
    alice.receive(bob, asks);
    alice.expect_sent(bob, |m| *m == txs(request, &payments[0]));
    // The other one goes to everybody in the end.
    alice.wait(Span::from_secs(250));
    alice.connect(dave);
    alice.wait(Span::from_millis(50));
    let wtxids_of = |m: &Message| match m {
        Message::TxInv { wtxids } => wtxids.len(),
        _ => 0,
    };
    alice.expect_sent(dave, |m| wtxids_of(m) == 2);
}

#[test]
fn what_the_journal_holds_is_never_unknown_and_back_before_the_node_is_ready() {
    let genesis = chain_of_three();
    let disk = MemoryDisk::new();
    let open = || opened(&disk, &genesis);
    let mut alice = Alice::on_store(&genesis, open());
    let payments: Vec<Transaction> = (0..60)
        .map(|nonce| pay(&genesis, &person(1), (nonce, 5_000), person(2).account, 1))
        .collect();
    // The last first: the node brings them into order.
    for payment in &payments {
        alice.submit(payment);
    }
    alice.store_done();
    let mut store = {
        drop(alice);
        open()
    };
    let recovered = Recovered::read(&mut store, false).unwrap();
    let mut alice = Alice::new_on(&genesis, |_| {}, recovered, Some((store, Commits::new())));
    // Nothing was done yet: the check of what the journal holds is under way.
    let call = CallId(1_000);
    for (place, payment) in payments.iter().enumerate() {
        let question = Question::Transaction(payment.txid(&genesis.id()));
        let call = CallId(call.0 + place as u64);
        alice
            .node
            .handle(alice.now, Input::Called { call, question });
    }
    assert!(!alice.node.ready);
    alice.drain();
    assert!(alice.node.ready);
    for (place, payment) in payments.iter().enumerate() {
        let call = CallId(call.0 + place as u64);
        assert_eq!(alice.answers[&call], Err(CallError::Starting));
        assert_eq!(alice.status(payment), TransactionStatus::Waiting);
    }
    let ready = alice
        .events
        .iter()
        .position(|e| matches!(e, Event::Ready { .. }));
    assert!(ready.is_some());
    assert!(alice.unstored.is_empty(), "nothing is written off");
}
