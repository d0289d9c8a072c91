//! Methods about transactions.

use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::chain::mempool::{ADVICE_BLOCKS_MAX, Leaving};
use crate::codec::Encode;
use crate::node::{Question, Reply, TransactionStatus};
use crate::types::proof::{Proof, TxProof};
use crate::types::{BlockId, TxId};

use super::super::RpcError;
use super::super::error::reason;
use super::super::params::Params;
use super::super::render::finality;
use super::chain::{block_question, nothing, read_block};
use super::{Outcome, Query, View, unexpected};

type Ran = Result<Outcome, RpcError>;

pub(super) fn send_raw_transaction(_: &mut View<'_>, params: &Params) -> Ran {
    let question = Question::SubmitTransaction(params.bytes(0)?);
    Ok(Outcome::ask(question, |_, reply| match reply {
        Reply::Accepted { txid, .. } => Ok(txid.to_string().into()).into(),
        other => unexpected(&other),
    }))
}

pub(super) fn get_next_nonce(view: &mut View<'_>, params: &Params) -> Ran {
    let account = params.account(0, &view.facts.genesis.hrp)?;
    Ok(Outcome::ask(
        Question::NextNonce(account),
        |_, reply| match reply {
            Reply::Nonce(nonce) => Ok(nonce.0.into()).into(),
            other => unexpected(&other),
        },
    ))
}

pub(super) fn get_transaction_status(_: &mut View<'_>, params: &Params) -> Ran {
    let txid = params.txid(0)?;
    Ok(Outcome::ask(
        Question::Transaction(txid),
        move |view, reply| match reply {
            Reply::Transaction(status) => status_json(view, &txid, &status).into(),
            other => unexpected(&other),
        },
    ))
}

fn status_json(
    view: &View<'_>,
    txid: &TxId,
    status: &TransactionStatus,
) -> Result<Value, RpcError> {
    let txid = txid.to_string();
    let tip = view.published()?;
    Ok(match status {
        TransactionStatus::Waiting => json!({ "txid": txid, "status": "waiting" }),
        TransactionStatus::Aside(why) => departed(&txid, "aside", why),
        TransactionStatus::Gone(why) => departed(&txid, "gone", why),
        TransactionStatus::Unknown => json!({ "txid": txid, "status": "unknown" }),
        // What readers see is durable: a block that is not yet under their tip is not shown.
        TransactionStatus::Included { height, .. } if *height > tip.header.height => {
            json!({ "txid": txid, "status": "waiting" })
        }
        TransactionStatus::Included {
            block,
            height,
            index,
            work_below,
        } => json!({
            "txid": txid,
            "status": "included",
            "block": block.to_string(),
            "height": height.0,
            "index": index,
            "finality": finality(tip, *height, *work_below),
        }),
    })
}

/// An accepted transaction that is not in the mempool.
fn departed(txid: &str, status: &str, why: &Leaving) -> Value {
    let mut value = json!({ "txid": txid, "status": status, "reason": reason(why) });
    if let Leaving::Replaced { by } = why {
        value["replaced_by"] = by.to_string().into();
    }
    value
}

pub(super) fn get_tx_proof(_: &mut View<'_>, params: &Params) -> Ran {
    let txid = params.txid(0)?;
    if !params.is_missing(1) {
        return Ok(prove_in(block_question(params.block(1)?), txid));
    }
    Ok(Outcome::ask(
        Question::Transaction(txid),
        move |_, reply| match reply {
            Reply::Transaction(TransactionStatus::Included { block, .. }) => {
                prove_in(Question::Block(block), txid)
            }
            Reply::Transaction(_) => Err(nothing("transaction in a block here")).into(),
            other => unexpected(&other),
        },
    ))
}

/// A proof of a transaction in the block that the node is asked for.
fn prove_in(question: Question, txid: TxId) -> Outcome {
    Outcome::ask(question, move |_, reply| match reply {
        Reply::Block {
            id,
            bytes,
            in_best_chain: true,
            ..
        } => Query::with(bytes.len(), move |view| {
            tx_proof(view, (&id, &bytes), &txid)
        }),
        Reply::Block { .. } => Err(nothing("block in the best chain")).into(),
        other => unexpected(&other),
    })
}

fn tx_proof(
    view: &View<'_>,
    (id, bytes): (&BlockId, &[u8]),
    txid: &TxId,
) -> Result<Value, RpcError> {
    let block = read_block(bytes, id)?;
    let height = block.header.height;
    // What readers see is durable: a block that is not yet under their tip proves nothing.
    if height > view.published()?.header.height {
        return Err(nothing("transaction in a block here"));
    }
    let genesis_id = &view.facts.genesis_id;
    let mut transactions = block.transactions.iter().zip(0..);
    let index = transactions.find(|(transaction, _)| transaction.txid(genesis_id) == *txid);
    let (_, index) = index.ok_or_else(|| nothing("transaction in this block"))?;
    let proof = TxProof::new(block.header, &block.transactions, index);
    let proof = proof.expect("the index is that of one of its transactions");
    Ok(json!({
        "proof": encode_hex(&Proof::Transaction(Box::new(proof)).to_bytes()),
        "header": id.to_string(),
        "height": height.0,
    }))
}

pub(super) fn estimate_smart_fee(_: &mut View<'_>, params: &Params) -> Ran {
    let wanted = params.height(0)?.0;
    let blocks = u32::try_from(wanted).ok();
    let Some(blocks @ 1..=ADVICE_BLOCKS_MAX) = blocks else {
        let message = format!("conf_target is {wanted}; it is 1 to {ADVICE_BLOCKS_MAX} blocks");
        return Err(RpcError::invalid_params(message).with("parameter", "conf_target"));
    };
    Ok(Outcome::ask(
        Question::FeeAdvice(blocks),
        |_, reply| match reply {
            Reply::FeeAdvice(advice) => Ok(json!({
                "feerate": advice.rate.to_string(),
                "blocks": advice.blocks,
                "next_base_fee": advice.next_base_fee.to_string(),
                "mempoolminfee": advice.floor.to_string(),
            }))
            .into(),
            other => unexpected(&other),
        },
    ))
}

pub(super) fn get_raw_mempool(_: &mut View<'_>, _: &Params) -> Ran {
    Ok(Outcome::ask(Question::Mempool, |_, reply| match reply {
        Reply::Mempool(mempool) => {
            let bytes = size_of_val(mempool.transactions.as_slice());
            Query::with(bytes, move |_| {
                let ids = mempool.transactions.iter();
                Ok(ids.map(|txid| Value::from(txid.to_string())).collect())
            })
        }
        other => unexpected(&other),
    }))
}

pub(super) fn get_mempool_info(view: &mut View<'_>, _: &Params) -> Ran {
    let published = view.published()?;
    Ok(Outcome::Done(Ok(json!({
        "size": published.mempool_count,
        "bytes": published.mempool_bytes,
        "usage": published.mempool_memory,
        "maxmempool": published.mempool_limit,
        "mempoolminfee": published.mempool_floor.to_string(),
    }))))
}
