//! What a new tip changes: what blocks took leaves, what blocks gave back returns, and of every
//! account that they touched only what can still be mined stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::chain::ledger::fee_needed;
use crate::types::{AccountId, Height, Op, TxId};

use super::queue::{Queue, Waiting};
use super::{CheckedBlock, CheckedTransaction, Leaving, Left, Mempool, Next};

/// How the tip moved.
#[derive(Clone, Copy, Debug)]
pub struct TipMove<'a> {
    /// The blocks that left the best chain.
    pub disconnected: &'a [Arc<CheckedBlock>],
    /// The blocks that entered it.
    pub connected: &'a [Arc<CheckedBlock>],
    /// Whose rewards the blocks that left had made spendable.
    pub matured: &'a [AccountId],
    /// Whether these are all of the blocks: if not, any account may have changed.
    pub is_whole: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// What left without being mined, and what could not return.
    pub left: Vec<Left>,
    /// What returned.
    pub returned: Vec<Arc<CheckedTransaction>>,
}

/// What is known of the blocks while queues are gone through.
struct Settling<'a> {
    next: &'a Next<'a>,
    mined: BTreeSet<TxId>,
    missing: Missing,
    followed: Followed,
}

/// Which accounts may exist no longer.
enum Missing {
    /// Any.
    Any,
    /// These.
    These(BTreeSet<AccountId>),
}

impl Missing {
    /// Whether a transaction that waited pays one of them.
    fn is_paid_by(&self, checked: &CheckedTransaction) -> bool {
        let mut ops = checked.transaction.ops.iter();
        match self {
            Self::Any => true,
            Self::These(missing) => {
                ops.any(|op| matches!(op, Op::Transfer { to, .. } if missing.contains(to)))
            }
        }
    }
}

impl Mempool {
    /// Follows the tip to the state of `next`. `aside` are transactions that wait elsewhere to
    /// become valid again; `promised` says what somebody outside was promised to be kept.
    pub fn follow(
        &mut self,
        next: &Next<'_>,
        moved: &TipMove<'_>,
        aside: &[Arc<CheckedTransaction>],
        promised: &dyn Fn(&TxId) -> bool,
    ) -> Followed {
        self.fade(next.now);
        let mut touched: BTreeMap<AccountId, Vec<Waiting>> = BTreeMap::new();
        let mut mined = BTreeSet::new();
        for checked in moved.connected.iter().flat_map(|block| &block.transactions) {
            mined.insert(checked.txid);
            touched.entry(checked.sender).or_default();
        }
        let returning = |checked: &Arc<CheckedTransaction>| Waiting {
            checked: Arc::clone(checked),
            promised: promised(&checked.txid),
        };
        for block in moved.disconnected {
            for checked in &block.transactions {
                touched
                    .entry(checked.sender)
                    .or_default()
                    .push(returning(checked));
                // Money that a lost block brought may be gone: queues may rest on it.
                for op in &checked.transaction.ops {
                    if let Op::Transfer { to, .. } = op {
                        touched.entry(*to).or_default();
                    }
                }
            }
        }
        for account in moved.matured {
            touched.entry(*account).or_default();
        }
        for checked in aside {
            touched
                .entry(checked.sender)
                .or_default()
                .push(returning(checked));
        }
        let missing = if moved.is_whole {
            Missing::These(missing(next, moved))
        } else {
            Missing::Any
        };
        for account in self.senders_to(&missing) {
            touched.entry(account).or_default();
        }
        // Blocks are few and accounts many: expiry is looked at for all, the rest for those that
        // a block touched.
        let late = self
            .by_expiry
            .range(..(next.height, crate::types::WtxId([0; 32])));
        for (_, wtxid) in late {
            if let Some((sender, _)) = self.by_wtxid.get(wtxid) {
                touched.entry(*sender).or_default();
            }
        }
        let mut settling = Settling {
            next,
            mined,
            missing,
            followed: Followed::default(),
        };
        for (account, returning) in touched {
            self.settle(&account, returning, &mut settling);
        }
        let mut followed = settling.followed;
        self.drop_excess(next, &mut followed);
        followed
    }

    /// Brings back transactions that were accepted before a restart, in any order.
    pub fn readmit(
        &mut self,
        next: &Next<'_>,
        accepted: impl IntoIterator<Item = Arc<CheckedTransaction>>,
    ) -> Followed {
        let mut returning: BTreeMap<AccountId, Vec<Waiting>> = BTreeMap::new();
        for checked in accepted {
            returning.entry(checked.sender).or_default().push(Waiting {
                checked,
                promised: true,
            });
        }
        let mut settling = Settling {
            next,
            mined: BTreeSet::new(),
            missing: Missing::Any,
            followed: Followed::default(),
        };
        for (account, returning) in returning {
            self.settle(&account, returning, &mut settling);
        }
        let mut followed = settling.followed;
        self.drop_excess(next, &mut followed);
        followed
    }

    /// Who may pay accounts that are missing. They are found by a look at all that waits, which
    /// only a block that is lost can cause.
    fn senders_to(&self, missing: &Missing) -> Vec<AccountId> {
        if matches!(missing, Missing::These(none) if none.is_empty()) {
            return Vec::new();
        }
        let pays = |queue: &Queue| queue.iter().any(|it| missing.is_paid_by(&it.checked));
        let queues = self.queues.iter().filter(|(_, queue)| pays(queue));
        queues.map(|(account, _)| *account).collect()
    }

    fn drop_excess(&mut self, next: &Next<'_>, followed: &mut Followed) {
        let excess = self.trim(next);
        let back: BTreeSet<TxId> = excess.iter().map(|left| left.checked.txid).collect();
        followed
            .returned
            .retain(|checked| !back.contains(&checked.txid));
        followed.left.extend(excess);
    }

    /// Keeps of an account's queue, and of what returns to it, the longest run that can be mined.
    ///
    /// The base fee may have risen since a transaction was accepted: it waits then, until that
    /// falls, and is not lost. So what it pays for its weight is looked at once, when it comes. But
    /// nothing brings an account back that it pays and that left with a block: it must pay for the
    /// new one.
    fn settle(
        &mut self,
        account: &AccountId,
        returning: Vec<Waiting>,
        settling: &mut Settling<'_>,
    ) {
        let queue = self.take(account);
        if queue.is_empty() && returning.is_empty() {
            return;
        }
        let Ok(record) = settling.next.view.account(account) else {
            self.keep_unread(account, queue, returning, settling);
            return;
        };
        let nonce = record.map_or(0, |record| record.nonce.0);
        let balance = record.map_or(0, |record| u128::from(record.balance.0));
        let was_in = queue
            .into_waiting()
            .into_iter()
            .map(|waiting| (waiting, true));
        let returns = returning.into_iter().map(|waiting| (waiting, false));
        let mut all: Vec<(Waiting, bool)> = was_in.chain(returns).collect();
        // Of two of the same nonce the one that waits stays, as what its account wanted last; of
        // two that return, the one that pays more.
        all.sort_by_key(|(waiting, was_in)| {
            let checked = &waiting.checked;
            let rate = std::cmp::Reverse(checked.fee_rate());
            (checked.transaction.nonce, !was_in, rate)
        });
        let mut kept = Queue::default();
        for (waiting, was_in) in all {
            let transaction = &waiting.checked.transaction;
            let place = transaction.nonce.0.checked_sub(nonce);
            let verdict = match place {
                _ if settling.mined.contains(&waiting.checked.txid) => {
                    if was_in {
                        self.unindex(&waiting.checked);
                    }
                    continue;
                }
                None => Some(Leaving::NonceUsed),
                Some(place) if place < kept.len() as u64 => {
                    // What somebody was promised goes on in the one that is there, also for room.
                    if waiting.promised {
                        kept.promise(place as usize);
                    }
                    let other = kept.at(place as usize).map(|other| other.checked.txid);
                    if other == Some(waiting.checked.txid) && !was_in {
                        continue;
                    }
                    other.map(|by| Leaving::Replaced { by })
                }
                // Nothing brings this one back, whatever is missing before it.
                _ if is_late(transaction.expiry, settling.next.height) => Some(Leaving::Expired),
                Some(place) if place > kept.len() as u64 => Some(Leaving::Stranded),
                _ if kept.spent() + waiting.spends() > balance => Some(Leaving::Balance),
                _ if !settling.pays_for_accounts(&waiting.checked, was_in) => {
                    Some(Leaving::AccountFee)
                }
                _ => None,
            };
            match verdict {
                Some(verdict) => {
                    if was_in {
                        self.unindex(&waiting.checked);
                    }
                    settling.followed.left.push(Left::new(waiting, verdict));
                }
                None => {
                    if !was_in {
                        self.index(&waiting.checked);
                        settling
                            .followed
                            .returned
                            .push(Arc::clone(&waiting.checked));
                    }
                    kept.push(waiting);
                }
            }
        }
        self.put(*account, kept);
    }

    /// The state can't be read, which says nothing against anybody's transactions: what waits
    /// goes on waiting, and what would return may at the next tip.
    fn keep_unread(
        &mut self,
        account: &AccountId,
        queue: Queue,
        returning: Vec<Waiting>,
        settling: &mut Settling<'_>,
    ) {
        let mut kept = Queue::default();
        for waiting in queue.into_waiting() {
            if settling.mined.contains(&waiting.checked.txid) {
                self.unindex(&waiting.checked);
            } else {
                kept.push(waiting);
            }
        }
        self.put(*account, kept);
        let stranded = returning
            .into_iter()
            .map(|waiting| Left::new(waiting, Leaving::Stranded));
        settling.followed.left.extend(stranded);
    }
}

impl Settling<'_> {
    /// Whether a transaction pays for the accounts that it would create, on a chain that burns as
    /// little as it may. What waits has been looked at when it came, and needs more now only where
    /// an account left.
    fn pays_for_accounts(&self, checked: &CheckedTransaction, was_in: bool) -> bool {
        if was_in && !self.missing.is_paid_by(checked) {
            return true;
        }
        let (view, rules) = (&self.next.view, self.next.rules);
        let transaction = &checked.transaction;
        let needed = fee_needed(view, rules, rules.base_fee_min, transaction, checked.weight);
        // A state that can't be read says nothing against it.
        needed.map_or(true, |needed| needed <= u128::from(transaction.fee.0))
    }
}

/// The accounts that the blocks that left had created, and that no other block has.
fn missing(next: &Next<'_>, moved: &TipMove<'_>) -> BTreeSet<AccountId> {
    let lost = moved.disconnected.iter();
    let ops = lost.flat_map(|block| block.transactions.iter().flat_map(|it| &it.transaction.ops));
    let paid = ops.filter_map(|op| match op {
        Op::Transfer { to, .. } => Some(to),
        Op::Data(_) => None,
    });
    let named: BTreeSet<AccountId> = paid.chain(moved.matured).copied().collect();
    let is_missing = |account: &AccountId| matches!(next.view.account(account), Ok(None));
    named.into_iter().filter(is_missing).collect()
}

fn is_late(expiry: Height, next: Height) -> bool {
    expiry != Height(0) && expiry < next
}
