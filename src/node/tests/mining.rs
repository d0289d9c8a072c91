//! Miners outside and inside: templates, what is brought back, and what becomes of it.

use super::*;
use crate::chain::testing::seal;
use crate::types::{CompactBits, Hash, Seal};

/// How far ahead of the clock a block may be on the stories' chain.
const FUTURE_LIMIT: Span = Span::from_secs(18);
/// How far apart blocks are at least.
pub(super) const STEP: Span = Span::from_millis(33);

pub(super) fn miner() -> AccountId {
    person(70).account
}

fn nonce_of(header: &Header) -> u64 {
    match header.seal {
        Seal::Work { nonce, .. } => nonce,
        Seal::Stake { .. } => panic!("the stories' chain is of work"),
    }
}

/// The nonce that does the work of a template, with this time in its header.
pub(super) fn solve(template: &WorkTemplate, time: Millis) -> u64 {
    let mut header = template.header.clone();
    header.time = time;
    seal(&mut header);
    nonce_of(&header)
}

impl Alice {
    fn asks_template(&mut self, after: Option<LongPollId>) -> CallId {
        let beneficiary = miner();
        self.ask(Question::Template { beneficiary, after })
    }

    fn answered_template(&mut self, call: CallId) -> WorkTemplate {
        match self.answers.remove(&call) {
            Some(Ok(Reply::Template(template))) => *template,
            other => panic!("a template is expected: {other:?}"),
        }
    }

    pub(super) fn template(&mut self) -> WorkTemplate {
        let call = self.asks_template(None);
        self.answered_template(call)
    }

    pub(super) fn submits_work(
        &mut self,
        template: &WorkTemplate,
        nonce: u64,
        time: Option<Millis>,
    ) -> CallId {
        self.ask(Question::SubmitWork {
            template: template.id,
            nonce,
            time,
        })
    }

    /// What became of a block that was brought, once everything is stored.
    pub(super) fn outcome(&mut self, call: CallId) -> Result<Submitted, BlockRefusal> {
        self.store_done();
        match self.answers.remove(&call) {
            Some(Ok(Reply::Submitted { outcome, .. })) => Ok(outcome),
            Some(Err(CallError::Block(refusal))) => Err(refusal),
            other => panic!("a decision is expected: {other:?}"),
        }
    }

    pub(super) fn submits_block(&mut self, made: &Made) -> Result<Submitted, BlockRefusal> {
        let call = self.ask(Question::SubmitBlock(made.bytes.clone()));
        self.outcome(call)
    }

    fn proposes(&mut self, bytes: &[u8]) -> Result<(), BlockRefusal> {
        let call = self.ask(Question::ProposeBlock(bytes.to_vec()));
        match self.answers.remove(&call) {
            Some(Ok(Reply::Proposed(verdict))) => verdict,
            other => panic!("a verdict is expected: {other:?}"),
        }
    }

    fn clock(&self) -> Millis {
        Millis(self.now.as_millis())
    }

    /// A first block whose time is as far ahead of the clock as it may be.
    fn early_block(&self) -> Made {
        let time = Millis((self.now + FUTURE_LIMIT).as_millis());
        let (root, who) = (self.maker.root(), person(91).account);
        self.maker
            .child_with(&root, who, &[], |header| header.time = time)
    }
}

#[test]
fn a_block_that_a_damaged_state_leaves_undecided_is_answered() {
    let mut alice = Alice::new();
    let first = alice.first_block();
    alice.damaged = true;
    let call = alice.ask(Question::SubmitBlock(first.bytes.clone()));
    assert!(alice.answers.is_empty());
    alice.store_done();
    let answered = |alice: &Alice, call: CallId| match &alice.answers[&call] {
        Err(CallError::Failed(why)) => why.clone(),
        other => panic!("a failure is expected: {other:?}"),
    };
    assert!(answered(&alice, call).contains("a page is damaged"));
    // The process ends soon; until then nobody else waits either.
    let second = alice.block_on(&first);
    let call = alice.ask(Question::SubmitBlock(second.bytes.clone()));
    assert!(answered(&alice, call).contains("after its next start"));
}

#[test]
fn work_on_a_template_moves_the_tip_and_is_answered_when_that_is_durable() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let paid = alice.pays(0, 10);
    alice.submit(&paid);
    alice.store_done();
    let template = alice.template();
    assert_eq!(template.header.parent_id, alice.tip());
    assert_eq!(template.header.beneficiary, miner());
    assert_eq!(template.header.time, alice.clock());
    assert_eq!(template.block.transactions.len(), 1);
    assert_eq!(template.reward.0, 5_000_000_000);
    // 5,000 are paid; 200 weight at 875 per 1,000 are burned, and 1,000 for the new account.
    assert_eq!(template.tips.0, 5_000 - 175 - 1_000);
    let call = alice.submits_work(&template, solve(&template, template.header.time), None);
    assert_eq!(
        alice.node.chain.tip(),
        alice.tip(),
        "not before it is stored"
    );
    alice.expect_silence(bob);
    alice.store_next();
    assert_ne!(
        alice.node.chain.tip(),
        alice.tip(),
        "peers may know, readers not yet"
    );
    alice.expect_sent(bob, |m| matches!(m, Message::Announce { .. }));
    assert!(!alice.answers.contains_key(&call));
    assert_eq!(alice.outcome(call), Ok(Submitted::Accepted));
    assert_eq!(alice.node.chain.tip(), alice.tip());
    let account = alice.node.chain.tip_view().account(&person(2).account);
    assert_eq!(account.unwrap().unwrap().balance.0, 10);
}

#[test]
fn the_same_work_twice_is_a_duplicate() {
    let mut alice = Alice::new();
    let template = alice.template();
    let nonce = solve(&template, template.header.time);
    let first = alice.submits_work(&template, nonce, None);
    let second = alice.submits_work(&template, nonce, None);
    assert_eq!(alice.outcome(first), Ok(Submitted::Accepted));
    assert_eq!(
        alice.outcome(second),
        Ok(Submitted::Accepted),
        "it joined the first"
    );
    let third = alice.submits_work(&template, nonce, None);
    assert_eq!(alice.outcome(third), Ok(Submitted::Duplicate));
}

#[test]
fn the_time_of_work_may_be_changed_within_the_rules() {
    let mut alice = Alice::new();
    let template = alice.template();
    let root = alice.maker.root().header.time;
    assert_eq!(template.earliest, Millis(root.0 + 33));
    assert_eq!(template.latest.0, alice.clock().0 + 18_000);
    let stories = [
        (template.earliest, None),
        (Millis(template.earliest.0 - 1), Some("time-too-old")),
        (template.latest, None),
        (Millis(template.latest.0 + 1), Some("time-too-new")),
        (Millis(u64::MAX), Some("time-too-new")),
        (Millis(0), Some("time-too-old")),
    ];
    for (time, refused) in stories {
        let mut alice = Alice::new();
        let template = alice.template();
        let nonce = solve(&template, time);
        let call = alice.submits_work(&template, nonce, Some(time));
        let outcome = alice.outcome(call).map_err(|refusal| refusal.word());
        assert_eq!(
            outcome,
            refused.map_or(Ok(Submitted::Accepted), Err),
            "{time:?}"
        );
    }
}

#[test]
fn work_that_is_none_and_templates_that_are_none_are_refused() {
    let mut alice = Alice::new();
    let template = alice.template();
    let target = CompactBits(0x207f_ffff).target().unwrap();
    let mut header = template.header.clone();
    let is_work = |header: &Header| Uint256::from_be_bytes(&header.id().0) <= target;
    while is_work(&header) {
        let nonce = nonce_of(&header) + 1;
        let bits = CompactBits(0x207f_ffff);
        header.seal = Seal::Work { bits, nonce };
    }
    let call = alice.submits_work(&template, nonce_of(&header), None);
    assert_eq!(alice.outcome(call).unwrap_err().word(), "high-hash");
    let template_of_nobody = WorkTemplate {
        id: TemplateId([7; 8]),
        ..template.clone()
    };
    let call = alice.submits_work(&template_of_nobody, 0, None);
    assert_eq!(alice.outcome(call).unwrap_err().word(), "unknown-work");
    // A template is forgotten after its time.
    alice.wait(template.expires);
    let nonce = solve(&template, template.header.time);
    let call = alice.submits_work(&template, nonce, None);
    assert_eq!(alice.outcome(call).unwrap_err().word(), "unknown-work");
}

#[test]
fn templates_follow_time_and_the_mempool_but_are_not_made_anew_for_each_call() {
    let mut alice = Alice::new();
    let first = alice.template();
    assert_eq!(alice.template(), first, "the same work has the same name");
    alice.submit(&alice.pays(0, 10));
    alice.store_done();
    let second = alice.template();
    assert_eq!(
        second.block.transactions.len(),
        0,
        "made within the last second"
    );
    alice.wait(Span::from_secs(1));
    let third = alice.template();
    assert_eq!(third.block.transactions.len(), 1);
    assert_ne!(third.id, first.id);
    assert_eq!(third.header.time, alice.clock());
    // The first is remembered, and a block of it joins.
    let nonce = solve(&first, first.header.time);
    let call = alice.submits_work(&first, nonce, None);
    assert_eq!(alice.outcome(call), Ok(Submitted::Accepted));
}

#[test]
fn a_bounded_number_of_templates_is_remembered() {
    let mut alice = Alice::new();
    let first = alice.template();
    for _ in 0..64 {
        alice.wait(Span::from_millis(1));
        alice.template();
    }
    let last = alice.template();
    let call = alice.submits_work(&first, solve(&first, first.header.time), None);
    assert_eq!(alice.outcome(call).unwrap_err().word(), "unknown-work");
    let call = alice.submits_work(&last, solve(&last, last.header.time), None);
    assert_eq!(alice.outcome(call), Ok(Submitted::Accepted));
}

#[test]
fn a_poll_is_answered_when_the_tip_changes() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let old = alice.template();
    let call = alice.asks_template(Some(old.poll));
    assert!(!alice.answers.contains_key(&call));
    let first = alice.first_block();
    alice.gets_block(bob, &first);
    let new = alice.answered_template(call);
    assert_eq!(new.header.parent_id, first.id);
    // Whoever polls with what is old already is answered at once.
    let call = alice.asks_template(Some(old.poll));
    assert_eq!(alice.answered_template(call).header.parent_id, first.id);
}

#[test]
fn a_poll_is_answered_when_tips_have_grown_by_a_tenth_of_what_the_block_pays() {
    let mut alice = Alice::new();
    let old = alice.template();
    let call = alice.asks_template(Some(old.poll));
    alice.submit(&alice.pays(0, 10));
    alice.store_done();
    alice.wait(Span::from_secs(5));
    assert!(
        !alice.answers.contains_key(&call),
        "a small tip is not worth it"
    );
    let fee = 500_000_000 + 175;
    let rich_fee = pay(
        &alice.maker.genesis,
        &rich(),
        (1, fee),
        person(2).account,
        1,
    );
    alice.submit(&rich_fee);
    alice.store_done();
    alice.wait(Span::from_millis(1));
    let new = alice.answered_template(call);
    assert_eq!(new.block.transactions.len(), 2);
    assert!(new.poll.offered > old.poll.offered + 500_000_000);
}

#[test]
fn a_poll_is_answered_after_a_while_and_for_whoever_left() {
    let mut alice = Alice::new();
    let old = alice.template();
    let call = alice.asks_template(Some(old.poll));
    alice.wait(Span::from_millis(49_999));
    assert!(!alice.answers.contains_key(&call));
    alice.wait(Span::from_millis(1));
    let new = alice.answered_template(call);
    assert_eq!(new.header.time, alice.clock());
    let call = alice.asks_template(Some(new.poll));
    alice.happens(Input::CallerLeft { call });
    alice.answered_template(call);
    // Nothing is left of it, and a call that waits for no change is not hurried.
    alice.happens(Input::CallerLeft { call });
    assert!(alice.answers.is_empty());
}

#[test]
fn a_poll_from_before_a_restart_is_answered_at_once() {
    let mut alice = Alice::new();
    let old = alice.template();
    let ahead = LongPollId {
        offered: old.poll.offered + 1,
        ..old.poll
    };
    let call = alice.asks_template(Some(ahead));
    alice.answered_template(call);
}

#[test]
fn polls_are_bounded_and_places_become_free() {
    let mut alice = Alice::new();
    let old = alice.template();
    let calls: Vec<CallId> = (0..64)
        .map(|_| alice.asks_template(Some(old.poll)))
        .collect();
    let late = alice.asks_template(Some(old.poll));
    assert_eq!(alice.answers.remove(&late), Some(Err(CallError::Busy)));
    alice.happens(Input::CallerLeft { call: calls[7] });
    let next = alice.asks_template(Some(old.poll));
    assert!(!alice.answers.contains_key(&next));
}

#[test]
fn a_chain_ahead_of_the_clock_gives_work_whose_block_is_held_and_taken_when_it_is_due() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let early = alice.early_block();
    alice.gets_block(bob, &early);
    alice.store_done();
    assert_eq!(alice.tip(), early.id);
    let template = alice.template();
    assert_eq!(template.header.time.0, early.header.time.0 + 33);
    assert!(template.header.time > template.latest);
    let call = alice.submits_work(&template, solve(&template, template.header.time), None);
    let until = alice.now + STEP;
    assert_eq!(alice.outcome(call), Ok(Submitted::Held { until }));
    // A later time was the miner's own choice.
    let time = Millis(template.header.time.0 + 1);
    let call = alice.submits_work(&template, solve(&template, time), Some(time));
    assert_eq!(alice.outcome(call).unwrap_err().word(), "time-too-new");
    alice.wait(Span::from_millis(32));
    alice.store_done();
    assert_eq!(alice.tip(), early.id);
    alice.wait(Span::from_millis(1));
    alice.store_done();
    assert_eq!(alice.node.chain.tip_entry().header.height, Height(2));
    assert_eq!(alice.node.chain.tip(), alice.tip());
    alice.expect_open(bob);
}

#[test]
fn a_proposal_is_checked_but_for_its_work() {
    let mut alice = Alice::new();
    let template = alice.template();
    let propose = |alice: &mut Alice, change: &dyn Fn(&mut Header)| {
        let mut header = template.header.clone();
        change(&mut header);
        let mut bytes = header.to_bytes();
        bytes.extend([0; 4]);
        alice.proposes(&bytes).map_err(|refusal| refusal.word())
    };
    assert_eq!(propose(&mut alice, &|_| {}), Ok(()));
    type Change = fn(&mut Header);
    let stories: [(Change, &str); 11] = [
        (|header| header.state_root = Hash::ZERO, "bad-state-root"),
        (
            |header| header.history_root = Hash::ZERO,
            "bad-history-root",
        ),
        (|header| header.tx_root = Hash::ZERO, "bad-txnmrklroot"),
        (
            |header| header.beneficiary = AccountId::ZERO,
            "bad-state-root",
        ),
        (|header| header.base_fee += 1, "bad-base-fee"),
        (
            |header| header.parent_weight = 4_000_001,
            "bad-parent-weight",
        ),
        (|header| header.height = Height(2), "bad-height"),
        (|header| header.time = Millis(0), "time-too-old"),
        (|header| header.time.0 += 100_000_000, "time-too-new"),
        (
            |header| header.parent_id = BlockId([1; 32]),
            "inconclusive-not-best-prevblk",
        ),
        (
            |header| {
                let bits = CompactBits(0x207f_fffe);
                header.seal = Seal::Work { bits, nonce: 0 };
            },
            "bad-diffbits",
        ),
    ];
    for (change, word) in stories {
        assert_eq!(propose(&mut alice, &change), Err(word));
    }
    let refusal = alice.proposes(&[1, 2, 3]).unwrap_err();
    assert_eq!(refusal.word(), "malformed");
    // Nothing of it is left: the tip and the tree are what they were.
    alice.store_done();
    assert_eq!(alice.node.chain.tree().best_header(), alice.tip());
}

#[test]
fn a_proposal_with_transactions_is_executed() {
    let mut alice = Alice::new();
    let (root, who) = (alice.maker.root(), person(91).account);
    let good = alice.maker.child(&root, who, &[alice.pays(0, 10)]);
    assert_eq!(alice.proposes(&good.bytes), Ok(()));
    // The same transaction once more: no block can have both.
    let mut bytes = good.bytes.clone();
    let transaction = bytes.split_off(208);
    bytes[204] = 2;
    bytes.extend([transaction.clone(), transaction].concat());
    let word = alice.proposes(&bytes).unwrap_err().word();
    assert_eq!(word, "bad-txnmrklroot");
}

#[test]
fn a_submitted_block_goes_the_way_of_a_peers_block() {
    let mut alice = Alice::new();
    let first = alice.first_block();
    assert_eq!(alice.submits_block(&first), Ok(Submitted::Accepted));
    assert_eq!(alice.tip(), first.id);
    assert_eq!(alice.submits_block(&first), Ok(Submitted::Duplicate));
    let (root, who) = (alice.maker.root(), person(92).account);
    let rival = alice.maker.child(&root, who, &[]);
    assert_eq!(alice.submits_block(&rival), Ok(Submitted::SideBranch));
    assert_eq!(alice.tip(), first.id);
    let second = alice.block_on(&rival);
    assert_eq!(alice.submits_block(&second), Ok(Submitted::Accepted));
    assert_eq!(alice.tip(), second.id);
}

#[test]
fn a_submitted_block_that_breaks_a_rule_is_refused_by_its_name() {
    let mut alice = Alice::new();
    let (root, who) = (alice.maker.root(), person(91).account);
    type Change = fn(&mut Header);
    let stories: [(Change, &str); 3] = [
        (|header| header.state_root = Hash::ZERO, "bad-state-root"),
        (|header| header.tx_root = Hash::ZERO, "bad-txnmrklroot"),
        (
            |header| header.parent_id = BlockId([1; 32]),
            "prev-blk-not-found",
        ),
    ];
    for (change, word) in stories {
        let bad = alice.maker.child_with(&root, who, &[], change);
        assert_eq!(alice.submits_block(&bad).unwrap_err().word(), word);
    }
    let bad = alice.maker.child_with(&root, who, &[], stories[0].0);
    let again = alice.submits_block(&bad).unwrap_err();
    assert_eq!(again.word(), "duplicate-invalid");
    let on_it = alice.block_on(&bad);
    let on_it = alice.maker.child_with(&root, who, &[], |header| {
        *header = on_it.header.clone();
        header.parent_id = bad.id;
        header.height = Height(2);
        header.time.0 += 2_000;
    });
    assert_eq!(
        alice.submits_block(&on_it).unwrap_err().word(),
        "bad-prevblk"
    );
    let call = alice.ask(Question::SubmitBlock(vec![1, 2, 3]));
    assert_eq!(alice.outcome(call).unwrap_err().word(), "malformed");
    // A bad body costs its bringer nothing but the answer, and leaves no header to be filled.
    assert_eq!(alice.tip(), alice.maker.root().id);
}

#[test]
fn a_submitted_block_above_a_hole_is_inconclusive_until_the_hole_is_filled() {
    let (mut alice, bob) = (Alice::new(), peer(2));
    alice.connect(bob);
    let first = alice.first_block();
    let second = alice.block_on(&first);
    alice.receive(bob, announce(&[&first]));
    let request = alice.expect_get_blocks(bob, &[&first]);
    assert_eq!(alice.submits_block(&second), Ok(Submitted::Inconclusive));
    alice.receive(bob, block(request, &first));
    alice.store_done();
    assert_eq!(alice.tip(), second.id);
}

#[test]
fn templates_and_polls_are_part_of_a_snapshot() {
    let mut alice = Alice::new();
    alice.submit(&alice.pays(0, 10));
    alice.store_done();
    let template = alice.template();
    let poll = alice.asks_template(Some(template.poll));
    // The transaction leaves the mempool by another block; the template still has it.
    let (root, who) = (alice.maker.root(), person(91).account);
    let other = alice.maker.child(&root, who, &[alice.pays(0, 10)]);
    assert_eq!(alice.submits_block(&other), Ok(Submitted::Accepted));
    alice.answered_template(poll);
    let old = alice.template();
    let poll = alice.asks_template(Some(old.poll));
    alice.wait(Span::from_secs(2));
    assert!(alice.node.is_quiet());
    let before = alice.node.snapshot();
    let bytes = before.to_bytes();
    let snapshot: Snapshot = postcard::from_bytes(&bytes).unwrap();
    let find = |id: &BlockId| (*id == other.id).then(|| other.bytes.as_slice().into());
    alice.node = Node::restore(snapshot, &find, Arc::new(NoLog)).unwrap();
    assert_eq!(alice.node.state_hash(), before.hash());
    let call = alice.submits_work(&template, solve(&template, template.header.time), None);
    assert_eq!(alice.outcome(call), Ok(Submitted::SideBranch));
    alice.happens(Input::CallerLeft { call: poll });
    alice.answered_template(poll);
}

#[test]
fn a_miner_at_full_speed_searches_in_slices_and_rests_between_them() {
    let mut alice = Alice::with(Some(Mining {
        beneficiary: miner(),
        hashrate: None,
    }));
    alice.wait(Span::from_millis(10));
    alice.store_done();
    assert!(alice.node.chain.tip_entry().header.height >= Height(1));
    assert!(alice.node.is_quiet(), "between slices nothing is under way");
}

#[test]
fn a_miner_ahead_of_the_clock_waits_for_its_held_block() {
    let mut alice = Alice::with(Some(Mining {
        beneficiary: miner(),
        hashrate: None,
    }));
    let early = alice.early_block();
    assert_eq!(alice.submits_block(&early), Ok(Submitted::Accepted));
    alice.wait(Span::from_millis(20));
    alice.store_done();
    let mined = |alice: &Alice| {
        let of_two = |event: &&Event| {
            matches!(
                event,
                Event::Mined {
                    height: Height(2),
                    ..
                }
            )
        };
        alice.events.iter().filter(of_two).count()
    };
    assert_eq!(mined(&alice), 1, "one block, and no second beside it");
    assert_eq!(alice.tip(), early.id);
    alice.wait(Span::from_millis(13));
    alice.store_done();
    assert_eq!(alice.node.chain.tip_entry().header.height, Height(2));
    assert_eq!(mined(&alice), 1);
}

#[test]
fn what_a_search_finds_counts_though_a_newer_template_took_its_place() {
    let beneficiary = miner();
    let mut alice = Alice::with(Some(Mining {
        beneficiary,
        hashrate: None,
    }));
    alice.searched = Some(Vec::new());
    alice.wait(Span::from_millis(100));
    let found = alice.searched.as_mut().unwrap().pop().expect("a search");
    // The template takes in a payment while the slice is under way.
    let paid = alice.pays(0, 10);
    alice.submit(&paid);
    alice.store_done();
    alice.wait(Span::from_secs(2));
    assert!(alice.searched.as_ref().unwrap().is_empty(), "one at a time");
    alice.happens(found);
    alice.store_done();
    let mined = alice.events.iter().filter_map(|event| match event {
        Event::Mined { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(mined.collect::<Vec<_>>(), [alice.tip()]);
    assert_eq!(alice.status(&paid), TransactionStatus::Waiting);
}
