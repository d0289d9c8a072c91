//! Questions and requests from outside.

use std::sync::Arc;

use crate::base::Time;
use crate::chain::CheckedBlock;
use crate::types::BlockId;

use super::{
    CallError, CallId, Job, MempoolInfo, Node, Owner, PeerInfo, Question, Reply, TransactionStatus,
};

impl Node {
    /// Answers, or starts what is needed to answer.
    pub(super) fn called(&mut self, call: CallId, question: Question, now: Time) {
        let reply = match question {
            Question::SubmitTransaction(bytes) => return self.submit(call, &bytes),
            Question::Block(id) => return self.call_block(call, id),
            Question::BlockAt(height) => match self.chain.at(height) {
                Some(id) => return self.call_block(call, id),
                None => Err(CallError::NotFound("height in the best chain")),
            },
            Question::HeaderAt(height) => self
                .chain
                .at(height)
                .map_or(Err(CallError::NotFound("height in the best chain")), |id| {
                    self.header_reply(&id)
                }),
            Question::Header(id) => self.header_reply(&id),
            Question::Transaction(txid) => Ok(Reply::Transaction(self.transaction_status(&txid))),
            Question::Peers => Ok(Reply::Peers(self.peer_infos())),
            Question::Mempool => Ok(Reply::Mempool(MempoolInfo {
                transactions: self.mempool.iter().map(|checked| checked.txid).collect(),
                bytes: self.mempool.bytes(),
                fee_floor: self.config.genesis.rules.base_fee_min,
            })),
            Question::NextNonce(account) => {
                let nonce = self.mempool.next_nonce(&self.chain.tip_view(), &account);
                nonce
                    .map(Reply::Nonce)
                    .ok_or(CallError::NotFound("account"))
            }
            Question::AddPeer(peer) => {
                self.add_dial(peer, now);
                Ok(Reply::Done)
            }
        };
        self.answer(call, reply);
    }

    fn header_reply(&self, id: &BlockId) -> Result<Reply, CallError> {
        let entry = self
            .chain
            .tree()
            .get(id)
            .ok_or(CallError::NotFound("block"))?;
        let header = Box::new(entry.header.clone());
        let in_best_chain = self.chain.in_best_chain(id);
        Ok(Reply::Header {
            id: *id,
            header,
            in_best_chain,
        })
    }

    fn transaction_status(&self, txid: &crate::types::TxId) -> TransactionStatus {
        if let Some((block, index)) = self.chain.find_transaction(txid)
            && let Some(entry) = self.chain.tree().get(&block)
        {
            return TransactionStatus::Included {
                block,
                height: entry.header.height,
                index,
            };
        }
        if self.mempool.has_txid(txid) {
            TransactionStatus::Waiting
        } else {
            TransactionStatus::Unknown
        }
    }

    fn peer_infos(&self) -> Vec<PeerInfo> {
        let info = |(conn, peer): (&crate::p2p::ConnId, &super::Peer)| PeerInfo {
            conn: *conn,
            key: peer.key,
            address: peer.address,
            direction: peer.direction,
            since: peer.since,
            agent: peer.agent.clone(),
            best_height: self.sync.best_height(*conn),
            ping_micros: peer.ping_micros,
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
        } else {
            self.answer(call, Err(CallError::NotFound("block here")));
        }
    }

    fn answer_block(&mut self, call: CallId, id: BlockId, bytes: Arc<[u8]>) {
        let in_best_chain = self.chain.in_best_chain(&id);
        self.answer(
            call,
            Ok(Reply::Block {
                id,
                bytes,
                in_best_chain,
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
            Err(_) => self.answer(
                call,
                Err(CallError::NotFound("readable record of this block")),
            ),
        }
    }
}
