//! The book on its own, and payments through production nodes.

use std::collections::BTreeMap;

use super::book::Book;
use super::*;
use crate::codec::Decode;
use crate::node::{Mining, TransactionStatus};
use crate::sim::{Crash, WorldConfig};
use crate::types::{Block, EngineKind, GenesisId, Millis, Profile};

const GENESIS: GenesisId = GenesisId([1; 32]);

/// A book with one account's payments, and who acknowledged them.
struct Desk {
    account: Account,
    rng: Rng,
    book: Book,
    places: BTreeMap<TxId, Place>,
    /// Nodes whose disks went.
    spoilt: Vec<NodeIndex>,
    /// Those that pay for too few accounts.
    short: Vec<TxId>,
    /// Those that may have gone for room.
    cheap: Vec<TxId>,
}

impl Desk {
    fn new() -> Self {
        let mut rng = Rng::from_number(8);
        Self {
            account: Account::single(&mut rng),
            rng,
            book: Book::default(),
            places: BTreeMap::new(),
            spoilt: Vec::new(),
            short: Vec::new(),
            cheap: Vec::new(),
        }
    }

    /// A payment of `amount` with fee 10 that a node acknowledges and has nowhere any more.
    fn promised(&mut self, nonce: u64, amount: u64, expiry: u64) -> Acknowledged {
        let op = Op::Transfer {
            to: AccountId([7; 32]),
            amount: Amount(amount),
        };
        let (nonce, expiry, fee) = (Nonce(nonce), Height(expiry), Amount(10));
        let account = &self.account;
        let signed = account.sign(&GENESIS, nonce, fee, expiry, vec![op], &mut self.rng);
        let payment = Payment::new(&signed, PaymentKind::Plain, &GENESIS, Time::EPOCH);
        let acknowledged = Acknowledged {
            payment: Arc::new(payment),
            by: NodeIndex(0),
            asked: Time::EPOCH,
            at: Time::EPOCH,
        };
        self.book.made(&acknowledged.payment);
        self.book.accepted(acknowledged.clone());
        acknowledged
    }

    fn standing(&self, of: &Acknowledged, height: u64, nonce: u64, balance: u64) -> Standing {
        let facts = Facts {
            height: Height(height),
            nonce,
            balance,
        };
        let place = |txid: &TxId| self.places.get(txid).copied().unwrap_or(Place::Nowhere);
        let is_void = |node| self.spoilt.contains(&node);
        let is_short = |payment: &Payment| self.short.contains(&payment.txid);
        let is_cheap = |payment: &Payment| self.cheap.contains(&payment.txid);
        let excuses = Excuses {
            is_short: &is_short,
            is_cheap: &is_cheap,
            is_void: &is_void,
        };
        self.book.standing(of, &facts, &place, &excuses)
    }

    fn put(&mut self, of: &Acknowledged, place: Place) {
        self.places.insert(of.payment.txid, place);
    }
}

#[test]
fn a_promise_that_nothing_explains_is_lost() {
    let mut desk = Desk::new();
    let first = desk.promised(0, 100, 0);
    assert_eq!(desk.standing(&first, 50, 0, 110), Standing::Lost);
    // One unit less, and the account can't pay.
    assert_eq!(desk.standing(&first, 50, 0, 109), Standing::Unfunded);
    // With its nonce used it can only have been mined.
    assert_eq!(desk.standing(&first, 50, 1, 0), Standing::Included);
    desk.put(&first, Place::Kept);
    assert_eq!(desk.standing(&first, 50, 0, 0), Standing::Kept);
    desk.put(&first, Place::Included);
    assert_eq!(desk.standing(&first, 50, 1, 0), Standing::Included);
}

#[test]
fn an_account_that_nobody_pays_for_explains_an_absence_and_that_of_what_follows() {
    let mut desk = Desk::new();
    let before = desk.promised(0, 100, 0);
    let after = desk.promised(1, 100, 0);
    assert_eq!(desk.standing(&before, 50, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&after, 50, 0, 1_000), Standing::Lost);
    desk.short.push(before.payment.txid);
    assert_eq!(desk.standing(&before, 50, 0, 1_000), Standing::Unfunded);
    assert_eq!(desk.standing(&after, 50, 0, 1_000), Standing::Stranded);
    // It may have taken the place of another first, of which nobody owes anything then.
    let replaced = desk.promised(0, 90, 0);
    assert_eq!(desk.standing(&replaced, 50, 0, 1_000), Standing::Replaced);
    // It can't be missing in the chain for that if it is in it.
    assert_eq!(desk.standing(&before, 50, 1, 1_000), Standing::Replaced);
    assert_eq!(desk.standing(&after, 50, 1, 1_000), Standing::Lost);
}

#[test]
fn what_is_cheap_explains_its_absence_and_that_of_what_follows() {
    let mut desk = Desk::new();
    let before = desk.promised(0, 100, 0);
    let after = desk.promised(1, 100, 0);
    desk.cheap.push(after.payment.txid);
    assert_eq!(desk.standing(&before, 50, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&after, 50, 0, 1_000), Standing::Evicted);
    desk.cheap = vec![before.payment.txid];
    assert_eq!(desk.standing(&before, 50, 0, 1_000), Standing::Evicted);
    assert_eq!(desk.standing(&after, 50, 0, 1_000), Standing::Evicted);
    // Somewhere else it was mined all the same.
    assert_eq!(desk.standing(&after, 50, 1, 1_000), Standing::Evicted);
    // Of what took another's place and went, nobody owes anything.
    let replaced = desk.promised(0, 90, 0);
    assert_eq!(desk.standing(&replaced, 50, 0, 1_000), Standing::Replaced);
}

#[test]
fn an_expiry_explains_an_absence_from_its_height_on() {
    let mut desk = Desk::new();
    let first = desk.promised(0, 100, 20);
    assert_eq!(desk.standing(&first, 19, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&first, 20, 0, 1_000), Standing::Expired);
}

#[test]
fn a_rival_explains_an_absence_when_it_is_there_itself() {
    let mut desk = Desk::new();
    let first = desk.promised(0, 100, 0);
    let rival = desk.promised(0, 200, 0);
    assert_eq!(desk.standing(&first, 50, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&first, 50, 1, 1_000), Standing::Replaced);
    desk.put(&rival, Place::Kept);
    assert_eq!(desk.standing(&first, 50, 0, 1_000), Standing::Replaced);
    // A rival that the node refused was never there.
    let mut desk = Desk::new();
    let first = desk.promised(0, 100, 0);
    let rival = desk.promised(0, 200, 0);
    desk.book.refused(&rival.payment, &CallError::Busy);
    desk.put(&rival, Place::Nowhere);
    assert_eq!(desk.standing(&first, 50, 1, 1_000), Standing::Included);
    // Of two that were drawn alike one node took the one, and another refused the other.
    let mut desk = Desk::new();
    let first = desk.promised(0, 100, 0);
    let rival = desk.promised(0, 200, 0);
    desk.book.made(&rival.payment);
    desk.book.refused(&rival.payment, &CallError::Busy);
    desk.put(&rival, Place::Kept);
    assert_eq!(desk.standing(&first, 50, 0, 1_000), Standing::Replaced);
}

#[test]
fn what_went_before_explains_an_absence_unless_it_was_promised_too() {
    let mut desk = Desk::new();
    let before = desk.promised(0, 100, 30);
    let after = desk.promised(1, 100, 0);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&after, 30, 0, 1_000), Standing::Stranded);
    desk.put(&before, Place::Kept);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&after, 29, 0, 219), Standing::Unfunded);
    // Nobody is held to what a node promised whose disk went.
    desk.put(&before, Place::Nowhere);
    desk.spoilt.push(before.by);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Stranded);
    desk.put(&before, Place::Kept);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Lost);
    // A promise that may have given way to one that expired is owed by nobody.
    let mut desk = Desk::new();
    let before = desk.promised(0, 100, 0);
    desk.promised(0, 101, 30);
    let after = desk.promised(1, 100, 0);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Lost);
    assert_eq!(desk.standing(&before, 30, 0, 1_000), Standing::Replaced);
    assert_eq!(desk.standing(&after, 30, 0, 1_000), Standing::Stranded);
    // Nobody promised anything for the first nonce.
    let mut desk = Desk::new();
    let after = desk.promised(1, 100, 0);
    assert_eq!(desk.standing(&after, 29, 0, 1_000), Standing::Stranded);
}

/// A small network under a busy workload, and the workload.
fn busy(seed: u64) -> (World, Vec<NodeIndex>, Workload) {
    let options = WorkloadOptions {
        rate: 5.0,
        accounts: 12,
        shared_accounts: 4,
        replacements: 220,
        double_spends: 100,
        ..WorkloadOptions::default()
    };
    let workload = Workload::new(options, &Rng::from_number(seed));
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "workload", time);
    workload.fund(&mut genesis);
    genesis.check().unwrap();
    let mut world = world(seed, &Arc::new(genesis));
    let mut nodes: Vec<NodeIndex> = Vec::new();
    for place in 0..4_u8 {
        let mining = (place < 2).then_some(Mining {
            beneficiary: AccountId([place; 32]),
            hashrate: Some(4_000),
        });
        let before = nodes.clone();
        nodes.push(world.add(&format!("node {place}"), &before, mining));
    }
    (world, nodes, workload)
}

fn world(seed: u64, genesis: &Arc<Genesis>) -> World {
    World::new(WorldConfig::new(seed, Arc::clone(genesis)))
}

/// Lets time pass with the workload acting in it.
fn run(world: &mut World, workload: &mut Workload, span: Span) {
    let end = world.now() + span;
    while let Some(next) = workload.next_at()
        && next <= end
    {
        world.run(next.since(world.now()));
        workload.act(world);
    }
    world.run(end.since(world.now()));
    workload.collect(world);
}

fn place_at(world: &mut World, node: NodeIndex, txid: &TxId) -> Place {
    let call = world.call(node, Question::Transaction(*txid));
    world.run(Span::from_millis(50));
    match world.reply(call) {
        Some(Ok(Reply::Transaction(TransactionStatus::Included { .. }))) => Place::Included,
        Some(Ok(Reply::Transaction(TransactionStatus::Waiting | TransactionStatus::Aside(_)))) => {
            Place::Kept
        }
        other => {
            assert!(matches!(other, Some(Ok(_))), "{other:?}");
            Place::Nowhere
        }
    }
}

/// The transactions of a node's chain, by account and nonce.
fn mined(world: &mut World, node: NodeIndex) -> BTreeMap<(AccountId, u64), Vec<TxId>> {
    let tip = world.published(node).unwrap().header.height;
    let genesis = world.config().genesis.id();
    let mut found: BTreeMap<_, Vec<TxId>> = BTreeMap::new();
    for height in 1..=tip.0 {
        let call = world.call(node, Question::BlockAt(Height(height)));
        world.run(Span::from_millis(50));
        let Some(Ok(Reply::Block { bytes, .. })) = world.reply(call) else {
            panic!("the node has block {height}");
        };
        for transaction in Block::from_bytes(&bytes).unwrap().transactions {
            let place = (transaction.sender(), transaction.nonce.0);
            let at = found.entry(place).or_default();
            at.push(transaction.txid(&genesis));
        }
    }
    found
}

/// Of a payment and one that pays somebody else in its place, one is mined and not both.
fn assert_one_of_each_is_mined(world: &mut World, node: NodeIndex, workload: &Workload) {
    let (mut first, mut other) = (0, 0);
    let mined = mined(world, node);
    let promised = workload.acknowledged().map(|one| &one.payment);
    let redirected = promised.filter(|payment| payment.kind == PaymentKind::Redirected);
    for payment in redirected {
        let Some(at) = mined.get(&(payment.account, payment.nonce.0)) else {
            continue;
        };
        assert_eq!(at.len(), 1, "{payment:?}: {at:?}");
        let rivals = workload.rivals(&payment.account, payment.nonce);
        let one = rivals.iter().find(|rival| rival.txid == at[0]);
        let one = one.expect("what is mined is what its account made");
        if one.ops == payment.ops {
            other += 1;
        } else {
            first += 1;
        }
    }
    println!("redirected: {other} mined as they are, {first} as they were");
    assert!(other >= 3, "{other} and {first}");
}

#[test]
fn people_pay_in_every_way_and_no_promise_is_broken() {
    let (mut world, nodes, mut workload) = busy(4);
    run(&mut world, &mut workload, Span::from_secs(80));
    world.run(Span::from_secs(20));
    workload.collect(&mut world);
    let counts = workload.counts().clone();
    for kind in PaymentKind::ALL {
        let made = counts.made.get(&kind).copied().unwrap_or(0);
        let kept = counts.acknowledged.get(&kind).copied().unwrap_or(0);
        assert!(made >= 5 && kept >= 3, "{kind}: {made} and {kept}");
    }
    let made: u64 = counts.made.values().sum();
    assert!((330..520).contains(&(made + counts.missed)), "{counts:?}");
    assert_eq!(counts.unanswered, 0);
    // A third of all and more is in the chain, and of the rest each absence has a reason.
    let mut standings: BTreeMap<String, u64> = BTreeMap::new();
    let every: Vec<Acknowledged> = workload.acknowledged().cloned().collect();
    let mut places = BTreeMap::new();
    for acknowledged in &every {
        let payment = &acknowledged.payment;
        for rival in workload.rivals(&payment.account, payment.nonce) {
            let place = place_at(&mut world, acknowledged.by, &rival.txid);
            places.insert((acknowledged.by, rival.txid), place);
        }
    }
    for acknowledged in &every {
        let published = world.published(acknowledged.by).unwrap();
        let account = published.state.account(&acknowledged.payment.account);
        let account = account.unwrap().unwrap();
        let facts = Facts {
            height: published.header.height,
            nonce: account.nonce.0,
            balance: account.balance.0,
        };
        let place = |txid: &TxId| {
            let found = places.get(&(acknowledged.by, *txid));
            found.copied().unwrap_or(Place::Nowhere)
        };
        let excuses = Excuses {
            is_short: &|_| false,
            is_cheap: &|_| false,
            is_void: &|_| false,
        };
        let standing = workload.standing(acknowledged, &facts, &place, &excuses);
        assert_ne!(standing, Standing::Lost, "{acknowledged:?} {facts:?}");
        *standings.entry(format!("{standing:?}")).or_default() += 1;
    }
    assert!(
        standings["Included"] > every.len() as u64 / 3,
        "{standings:?}"
    );
    assert!(standings["Replaced"] > 5, "{standings:?}");
    // New accounts have begun to pay, and multi-signature ones pay as others do.
    assert!(workload.payers.len() > 20);
    let shared = |payer: &Payer| payer.account.threshold() > 1 && payer.next > 0;
    assert!(workload.payers.iter().any(shared));
    assert_one_of_each_is_mined(&mut world, nodes[0], &workload);
}

#[test]
fn the_same_seed_pays_the_same() {
    let once = |seed| {
        let (mut world, _, mut workload) = busy(seed);
        run(&mut world, &mut workload, Span::from_secs(15));
        let made: Vec<TxId> = workload.acknowledged().map(|a| a.payment.txid).collect();
        assert!(made.len() > 30, "{}", made.len());
        (world.event_hash(), made)
    };
    let first = once(1);
    assert_eq!(first, once(1));
    assert_ne!(first.1, once(2).1);
}

#[test]
fn a_network_of_which_nothing_runs_is_paid_nothing() {
    let (mut world, nodes, mut workload) = busy(4);
    for node in &nodes {
        world.crash(*node, Crash::Kill);
    }
    run(&mut world, &mut workload, Span::from_secs(10));
    assert!(workload.counts().made.is_empty());
    assert!(workload.counts().missed > 20);
}

#[test]
fn options_are_read_and_a_misspelled_one_is_not() {
    let options: WorkloadOptions = toml::from_str("rate = 0.5\ndata = 7").unwrap();
    assert_eq!((options.rate, options.data), (0.5, 7));
    assert_eq!(options.accounts, WorkloadOptions::default().accounts);
    assert!(toml::from_str::<WorkloadOptions>("rates = 1").is_err());
    let mut rng = Rng::from_number(1);
    for _ in 0..200 {
        let drawn = WorkloadOptions::draw(&mut rng);
        let shares = drawn.replacements + drawn.double_spends + drawn.expiring;
        assert!(drawn.rate > 0.0 && drawn.accounts > 0 && shares <= 1_000);
        assert!(drawn.data + drawn.fresh <= 1_000);
    }
}

#[test]
fn a_node_takes_no_payment_that_breaks_a_rule() {
    let options = WorkloadOptions {
        rate: 10.0,
        accounts: 30,
        shared_accounts: 10,
        cheats: 1_000,
        ..WorkloadOptions::default()
    };
    let mut workload = Workload::new(options, &Rng::from_number(6));
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "cheats", time);
    workload.fund(&mut genesis);
    let mut world = world(6, &Arc::new(genesis));
    let mining = Mining {
        beneficiary: AccountId([1; 32]),
        hashrate: Some(4_000),
    };
    world.add("miner", &[], Some(mining));
    run(&mut world, &mut workload, Span::from_secs(30));
    let tried = world.observations().time_line().counts();
    for cheat in Cheat::ALL {
        let times = tried.iter().filter(|(mark, _)| mark.0 == cheat.mark());
        assert!(times.map(|(_, times)| *times).sum::<u64>() > 20, "{cheat}");
    }
    assert_eq!(workload.fallen_for(), []);
    let node = world.node(NodeIndex(0)).unwrap();
    assert_eq!(node.sizes().mempool_memory, 0);
    let shown = world.published(NodeIndex(0)).unwrap();
    assert!(shown.header.height.0 > 3, "{:?}", shown.header);
}
