//! Questions and requests from outside.

use std::sync::Arc;

use crate::base::Time;
use crate::chain::CheckedBlock;
use crate::chain::tree::Verdict;
use crate::types::{BlockId, Height, TxId};

use super::journal::Whereabouts;
use super::{
    BranchStatus, CallError, CallId, ChainTip, Job, MempoolInfo, Node, Owner, PeerInfo, Question,
    Reply, TransactionStatus,
};

/// How many branches are told of: more would be somebody's game with old blocks.
const CHAIN_TIPS_MAX: usize = 1_000;
/// What is not here of a block whose record is damaged.
const DAMAGED: &str = "undamaged record of this block here; it is fetched again";
/// How many that broke a rule are told of: the list is made in one go.
const DISCOURAGED_MAX: usize = 1_000;

impl Node {
    /// Answers, or starts what is needed to answer.
    pub(super) fn called(&mut self, call: CallId, question: Question, now: Time) {
        let reply = match question {
            Question::SubmitTransaction(bytes) => return self.submit(call, &bytes, now),
            Question::Block(id) => return self.call_block(call, id),
            Question::BlockAt(height) => match self.shown_at(height) {
                Some(id) => return self.call_block(call, id),
                None => Err(self.no_block_at(height)),
            },
            Question::HeaderAt(height) => match self.shown_at(height) {
                Some(id) => self.header_reply(&id),
                None => Err(self.no_block_at(height)),
            },
            Question::Header(id) => self.header_reply(&id),
            Question::Transaction(txid) => self.transaction_status(&txid).map(Reply::Transaction),
            Question::Peers => Ok(Reply::Peers(self.peer_infos(now))),
            Question::Ban(target, span) => return self.ban(call, target, span, now),
            Question::Unban(target) => return self.unban(call, target, now),
            Question::ClearBans => return self.clear_bans(call, now),
            Question::Bans => Ok(Reply::Bans(self.bans.iter(now).collect())),
            Question::Discouraged => Ok(Reply::Discouraged(
                self.discouragement.latest(DISCOURAGED_MAX, now),
            )),
            Question::Disconnect(peer) => self.disconnect(&peer, now),
            Question::Mempool => Ok(Reply::Mempool(MempoolInfo {
                transactions: self.mempool.txids().copied().collect(),
                bytes: self.mempool.bytes(),
            })),
            Question::FeeAdvice(blocks) => {
                let (rules, _, base_fee) = self.next_rules();
                let floor = self.mempool.floor(rules, now);
                let advice = self.mempool.advise(rules, base_fee, floor, blocks);
                Ok(Reply::FeeAdvice(advice))
            }
            Question::NextNonce(account) => {
                let view = self.chain.tip_view();
                let accounts = self.page_failures.watch(&view);
                let nonce = self.mempool.next_nonce(accounts, &account);
                match nonce {
                    Ok(nonce) => nonce
                        .map(Reply::Nonce)
                        .ok_or(CallError::NotFound("account")),
                    Err(error) => Err(CallError::Failed(error.to_string())),
                }
            }
            Question::Template { beneficiary, after } => {
                return self.template_asked(call, beneficiary, after, now);
            }
            Question::SubmitWork {
                template,
                nonce,
                time,
            } => return self.work_submitted(call, template, (nonce, time), now),
            Question::SubmitBlock(bytes) => return self.block_submitted(call, bytes, now),
            Question::ProposeBlock(bytes) => return self.block_proposed(call, bytes, now),
            Question::AddPeer(peer) => {
                self.add_dial(peer, now);
                Ok(Reply::Done)
            }
            Question::RemovePeer(key) => match self.dials.remove(&key) {
                Some(_) => Ok(Reply::Done),
                None => Err(CallError::NotFound("added peer")),
            },
            Question::ChainTips => Ok(Reply::ChainTips(self.chain_tips())),
            Question::AcceptBranch(id) => return self.accept_branch(call, &id, now),
        };
        self.answer(call, reply);
    }

    fn chain_tips(&self) -> Vec<ChainTip> {
        let tree = self.chain.tree();
        let tip = |(id, entry): (&BlockId, &crate::chain::tree::Entry)| {
            let branch = tree.path_from(id, |id, _| self.chain.in_best_chain(id));
            let executed = |id: &BlockId| tree.get(id).is_some_and(|entry| entry.executed);
            let status = match entry.verdict {
                Verdict::Invalid => BranchStatus::Invalid,
                Verdict::Parked => BranchStatus::Parked,
                Verdict::Open if *id == self.chain.tip() => BranchStatus::Active,
                Verdict::Open if !tree.is_complete(id) => BranchStatus::HeadersOnly,
                Verdict::Open if branch.iter().all(executed) => BranchStatus::ValidFork,
                Verdict::Open => BranchStatus::ValidHeaders,
            };
            ChainTip {
                id: *id,
                height: entry.header.height,
                branch_length: branch.len() as u64,
                status,
            }
        };
        let mut tips: Vec<_> = tree.leaves().map(tip).collect();
        if tips.iter().all(|tip| tip.status != BranchStatus::Active) {
            // Headers go on above the tip.
            let entry = (&self.chain.tip(), self.chain.tip_entry());
            tips.push(tip(entry));
        }
        tips.sort_by_key(|tip| (tip.status, std::cmp::Reverse(tip.height), tip.id));
        tips.truncate(CHAIN_TIPS_MAX);
        tips
    }

    /// Why no block of the best chain can be named at a height. Of an old one the id is not known
    /// where its record and the one above are damaged.
    fn no_block_at(&self, height: Height) -> CallError {
        CallError::NotFound(match height.0 < self.chain.tree().logged_len() {
            true => DAMAGED,
            false => "height in the best chain",
        })
    }

    /// The block at a height of the chain that readers see.
    fn shown_at(&self, height: Height) -> Option<BlockId> {
        let tree = self.chain.tree();
        match height.0 < tree.logged_len() {
            // A tip that is not durable yet has these below it as the one before has.
            true => self.chain.at(height),
            false => tree.ancestor(&self.published, height),
        }
    }

    /// Whether a block is in the chain that readers see.
    pub(super) fn is_shown(&self, id: &BlockId) -> bool {
        match self.chain.tree().in_memory(id) {
            Some(entry) => self.shown_at(entry.header.height) == Some(*id),
            None => self.chain.in_best_chain(id),
        }
    }

    fn header_reply(&self, id: &BlockId) -> Result<Reply, CallError> {
        let entry = self.chain.tree().get(id).ok_or_else(|| {
            CallError::NotFound(match self.chain.tree().height(id) {
                Some(_) => DAMAGED,
                None => "block",
            })
        })?;
        let header = Box::new(entry.header.clone());
        let in_best_chain = self.is_shown(id);
        Ok(Reply::Header {
            id: *id,
            header,
            in_best_chain,
            work_below: self.chain.tree().work_below(id),
        })
    }

    /// Where a transaction stands, as callers are told.
    pub fn transaction_status(&self, txid: &TxId) -> Result<TransactionStatus, CallError> {
        if let Some((block, index)) = self.chain.find_transaction(txid)
            && let Some(height) = self.chain.tree().height(&block)
        {
            // Until its block is shown, nobody is told that it is in one.
            return Ok(match self.is_shown(&block) {
                true => TransactionStatus::Included {
                    block,
                    height,
                    index,
                    work_below: self.chain.tree().work_below(&block),
                },
                false => TransactionStatus::Waiting,
            });
        }
        if self.mempool.has_txid(txid) {
            return Ok(TransactionStatus::Waiting);
        }
        match self.journal.whereabouts(txid) {
            Some(Whereabouts::Aside(why)) => Ok(TransactionStatus::Aside(why)),
            Some(Whereabouts::Gone(why)) => Ok(TransactionStatus::Gone(why)),
            // It may be in what was not read yet.
            None if !self.ready => Err(CallError::Starting),
            None => Ok(TransactionStatus::Unknown),
        }
    }

    fn peer_infos(&self, now: Time) -> Vec<PeerInfo> {
        let info = |(conn, peer): (&crate::p2p::ConnId, &super::Peer)| PeerInfo {
            conn: *conn,
            key: peer.key,
            address: peer.address,
            direction: peer.direction,
            since: peer.since,
            agent: peer.agent.clone(),
            best_height: self.sync.best_height(*conn),
            ping_micros: peer.ping_micros,
            ping_min: peer.ping_min,
            bytes: (peer.bytes_in, peer.bytes_out),
            last_new: (peer.last_transaction, peer.last_block),
            blocks_in_flight: self.sync.asked(*conn),
            is_discouraged: self.discouragement.of_key(&peer.key, now).is_some(),
            is_slow: self.relay.is_slow(*conn),
            fee_filter: self.relay.fee_floor_of(*conn),
        };
        self.peers.iter().map(info).collect()
    }

    fn call_block(&mut self, call: CallId, id: BlockId) {
        if let Some(block) = self.chain.body(&id) {
            let bytes = Arc::clone(&block.bytes);
            self.answer_block(call, id, bytes);
        } else if let Some(lsn) = self.chain.logged_at(&id) {
            let genesis_id = *self.chain.genesis_id();
            self.run(Owner::Call { call, id }, Job::Read { genesis_id, lsn });
        } else if self.chain.wants_again(&id) {
            self.answer(call, Err(CallError::NotFound(DAMAGED)));
        } else {
            self.answer(call, Err(CallError::NotFound("block here")));
        }
    }

    fn answer_block(&mut self, call: CallId, id: BlockId, bytes: Arc<[u8]>) {
        let in_best_chain = self.is_shown(&id);
        let work_below = self.chain.tree().work_below(&id);
        self.answer(
            call,
            Ok(Reply::Block {
                id,
                bytes,
                in_best_chain,
                work_below,
            }),
        );
    }

    pub(super) fn call_read(
        &mut self,
        call: CallId,
        id: BlockId,
        block: Result<Arc<CheckedBlock>, String>,
    ) {
        match block {
            Ok(block) => self.answer_block(call, id, Arc::clone(&block.bytes)),
            Err(why) => {
                self.body_damaged(&id, &why);
                self.call_block(call, id);
            }
        }
    }
}
