//! What an attacker can make the network carry. Every transaction that gets in is passed on, and
//! so is one that a block gave back: their bytes are counted, and paid for.

use super::*;
use crate::base::Rng;

/// What the attacker has made the network carry, and what for.
#[derive(Default)]
struct Account {
    /// Weight passed on, since the tip moved last and in all; bytes are never more.
    at_tip: u128,
    in_all: u128,
    /// The fees of what left without being mined or replaced: money that can be offered again.
    released: u128,
    /// The fees of what was mined.
    paid: u128,
    /// The greatest floor since the tip moved last.
    floor: u64,
}

/// The attacker's people come first, then the others.
const ATTACKERS: usize = 3;
const PEOPLE: u8 = 9;

struct Attack {
    story: Story,
    account: Account,
    rng: Rng,
}

impl Attack {
    fn new(seed: u64, room: u64) -> Self {
        let mut story = Story::of(PEOPLE, 40_000);
        let one = story.payment(0, 0, 5_000, 1, 1);
        story.add(&one).unwrap();
        story.pool = Mempool::with_limit(story.pool.memory() * room);
        Self {
            story,
            account: Account::default(),
            rng: Rng::from_number(seed),
        }
    }

    fn is_attacker(&self, checked: &CheckedTransaction) -> bool {
        let attackers = &self.story.people[..ATTACKERS];
        attackers
            .iter()
            .any(|person| person.account == checked.sender)
    }

    fn passed_on(&mut self, checked: &CheckedTransaction) {
        assert!(u64::from(checked.bytes) <= checked.weight.0);
        if self.is_attacker(checked) {
            self.account.at_tip += u128::from(checked.weight.0);
            self.account.in_all += u128::from(checked.weight.0);
        }
    }

    fn leave(&mut self, left: &[Left]) {
        for left in left {
            let replaced = matches!(left.why, Leaving::Replaced { .. });
            if !replaced && self.is_attacker(&left.checked) {
                self.account.released += u128::from(left.checked.transaction.fee.0);
            }
        }
    }

    /// The attacker sends, replaces, conflicts; or somebody else needs the room.
    fn send(&mut self) {
        let attacks = self.rng.chance(4, 5);
        let from = if attacks {
            self.rng.below(ATTACKERS as u64)
        } else {
            ATTACKERS as u64 + self.rng.below(u64::from(PEOPLE) - ATTACKERS as u64)
        } as usize;
        let account = self.story.people[from].account;
        let next = self.story.next_nonce(&account).unwrap().0;
        let nonce = next.saturating_sub(self.rng.below(3));
        // As little as may get in, most of the time; amounts are the attacker's own money.
        let least = 20 + self.rng.below(30) * self.rng.below(30);
        let waiting = self
            .story
            .pool
            .queues
            .get(&account)
            .and_then(|q| q.get(Nonce(nonce)));
        let over = waiting.map_or(0, |old| old.checked.transaction.fee.0);
        let to = self.rng.below(ATTACKERS as u64) as usize;
        let payment = self
            .story
            .payment(from, nonce, over + least, to, 1 + self.rng.below(9));
        let mut transaction = payment.transaction.clone();
        if self.rng.chance(1, 3) {
            let ahead = 10 + self.rng.below(3);
            transaction.expiry = Height(self.story.state().header.height.0 + ahead);
        }
        let payment = checked(&self.story.maker.genesis, transaction);
        if let Ok(left) = self.story.add(&payment) {
            self.passed_on(&payment);
            self.leave(&left);
        }
    }

    /// A block, or a reorganisation; what is mined is what pays best or nothing.
    fn tip_moves(&mut self) {
        let back = if self.rng.chance(1, 3) {
            self.rng.below(4) as usize
        } else {
            0
        };
        let back = back.min(self.story.tip.len());
        let limit = if self.rng.chance(1, 2) { 1_000 } else { 0 };
        let best = self.story.pool.candidates(limit, 0);
        let takes: Vec<Transaction> = best.iter().map(|c| c.transaction.clone()).collect();
        let came = back + 1;
        let followed = self.story.switch(back, came, &takes);
        let fees = |attack: &Self, made: &[Made]| -> u128 {
            let all = made.iter().flat_map(|made| &made.checked.transactions);
            let own = all.filter(|c| attack.is_attacker(c));
            own.map(|c| u128::from(c.transaction.fee.0)).sum()
        };
        // What a block gave back is no longer paid.
        self.account.paid -= fees(self, &self.story.left);
        let new = self.story.tip.len() - came;
        self.account.paid += fees(self, &self.story.tip[new..]);
        self.account.at_tip = 0;
        self.account.floor = 0;
        self.leave(&followed.left);
        for checked in &followed.returned {
            // Peers heard of it once: it is passed on again, and was never paid.
            self.passed_on(checked);
            if self.is_attacker(checked) {
                self.account.released += u128::from(checked.transaction.fee.0);
            }
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let rules = self.story.maker.genesis.rules;
        let floor = u128::from(rules.base_fee_min);
        let mine = self.story.pool.iter().filter(|c| self.is_attacker(c));
        let waiting: u128 = mine.map(|c| u128::from(c.transaction.fee.0)).sum();
        // Every byte that was ever passed on is paid at the floor by a fee that was mined, or
        // waits to be, or was given back to the attacker by what is counted.
        let account = &self.account;
        let offered = waiting + account.paid + account.released;
        prop_assert!(account.in_all * floor / 1_000 <= offered);
        // Until the tip moves: no more than balance / floor. When others take the attacker's
        // place, the money is offered again, at rates that rise each time: twice as much for each
        // doubling of what it costs to get in.
        let now = self.story.pool.floor(&rules, NOW);
        self.account.floor = self.account.floor.max(now);
        let view = self.story.view();
        let attackers = &self.story.people[..ATTACKERS];
        let balance: u128 = attackers
            .iter()
            .filter_map(|person| view.account(&person.account).unwrap())
            .map(|account| u128::from(account.balance.0))
            .sum();
        let risen = self.account.floor.div_ceil(rules.base_fee_min);
        let rounds = 1 + 2 * u128::from(risen.next_power_of_two().ilog2());
        prop_assert!(
            self.account.at_tip * floor / 1_000 <= balance * rounds,
            "{} weight for a balance of {}",
            self.account.at_tip,
            balance
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_attacker_makes_no_more_bytes_travel_than_balance_over_floor(
        seed: u64,
        crowded in any::<bool>(),
    ) {
        // With room for all, replacing is all that an attacker can do; with little, others take
        // his place and he comes back.
        let mut attack = Attack::new(seed, if crowded { 6 } else { 1_000 });
        for _ in 0..250 {
            if attack.rng.chance(1, 20) {
                attack.tip_moves();
            } else {
                attack.send();
            }
            attack.check()?;
            attack.story.check()?;
        }
    }
}

#[test]
fn a_chain_of_replacements_ends_at_balance_over_floor() {
    let mut attack = Attack::new(0, 1_000);
    let rules = attack.story.maker.genesis.rules;
    let mut fee = 20;
    loop {
        let payment = attack.story.payment(0, 0, fee, 1, 1);
        match attack.story.add(&payment) {
            Ok(_) => {
                attack.passed_on(&payment);
                fee += 1;
            }
            Err(Refusal::Conflict { needed, .. }) => {
                fee = needed;
                continue;
            }
            Err(_) => break,
        }
    }
    let most = 40_000 * 1_000 / u128::from(rules.base_fee_min);
    let sent = attack.account.at_tip;
    assert!(
        sent <= most && sent + 200 >= most,
        "{sent} of {most}: the bound is reached"
    );
}
