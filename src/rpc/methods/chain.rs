//! Methods about blocks, accounts and money.

use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::codec::{Decode, Encode};
use crate::node::{BranchStatus, CallError, ChainTip, Question, Reply};
use crate::types::proof::Proof;
use crate::types::state::StateKey;
use crate::types::{Block, BlockId, Height, Rules, Uint256};

use super::super::RpcError;
use super::super::params::{BlockRef, Params};
use super::super::render::{block_json, finality, header_json};
use super::{Outcome, Query, View, unexpected};

type Ran = Result<Outcome, RpcError>;

fn done(value: Value) -> Ran {
    Ok(Outcome::Done(Ok(value)))
}

pub(super) fn get_block_count(view: &mut View<'_>, _: &Params) -> Ran {
    done(view.published()?.header.height.0.into())
}

pub(super) fn get_best_block_hash(view: &mut View<'_>, _: &Params) -> Ran {
    done(view.published()?.tip.to_string().into())
}

pub(super) fn get_blockchain_info(view: &mut View<'_>, _: &Params) -> Ran {
    let published = view.published()?;
    let genesis = &view.facts.genesis;
    let header = &published.header;
    let rules = Rules::at(genesis, header.height.next());
    done(json!({
        "chain": genesis.name,
        "profile": genesis.profile.name(),
        "genesis_id": view.facts.genesis_id.to_string(),
        "genesis_block": view.facts.genesis_block.to_string(),
        "hrp": genesis.hrp,
        "decimals": genesis.decimals,
        "blocks": header.height.0,
        "headers": published.best_header.0.max(header.height.0),
        "bestblockhash": published.tip.to_string(),
        "time": header.time.0,
        "chainwork": encode_hex(&published.work.to_be_bytes()),
        "state_root": header.state_root.to_string(),
        "next_base_fee": published.next_base_fee.to_string(),
        "base_fee": header.base_fee.to_string(),
        "account_fee": rules.account_fee.to_string(),
        "initialblockdownload": published.best_header > header.height,
        "checkpoint": published.checkpoint.0,
        "executedblocks": published.executed,
        "reorganisations": view.counters.reorganisations,
        "disconnectedblocks": view.counters.disconnected,
        "ready": published.ready,
        "disk_full": published.disk_full,
    }))
}

pub(super) fn accept_branch(_: &mut View<'_>, params: &Params) -> Ran {
    let question = Question::AcceptBranch(params.block_id(0)?);
    Ok(Outcome::ask(question, |_, reply| match reply {
        Reply::Done => Ok(Value::Null).into(),
        other => unexpected(&other),
    }))
}

pub(super) fn get_chain_tips(_: &mut View<'_>, _: &Params) -> Ran {
    let tip = |tip: &ChainTip| {
        let status = match tip.status {
            BranchStatus::Active => "active",
            BranchStatus::ValidFork => "valid-fork",
            BranchStatus::ValidHeaders => "valid-headers",
            BranchStatus::HeadersOnly => "headers-only",
            BranchStatus::Parked => "parked",
            BranchStatus::Invalid => "invalid",
        };
        json!({
            "height": tip.height.0,
            "hash": tip.id.to_string(),
            "branchlen": tip.branch_length,
            "status": status,
        })
    };
    Ok(Outcome::ask(
        Question::ChainTips,
        move |_, reply| match reply {
            Reply::ChainTips(tips) => Ok(tips.iter().map(tip).collect()).into(),
            other => unexpected(&other),
        },
    ))
}

pub(super) fn get_block_hash(_: &mut View<'_>, params: &Params) -> Ran {
    let height = params.height(0)?;
    Ok(Outcome::ask(
        Question::HeaderAt(height),
        |_, reply| match reply {
            Reply::Header { id, .. } => Ok(id.to_string().into()).into(),
            other => unexpected(&other),
        },
    ))
}

pub(super) fn get_block_header(_: &mut View<'_>, params: &Params) -> Ran {
    let question = match params.block(0)? {
        BlockRef::At(height) => Question::HeaderAt(height),
        BlockRef::Id(id) => Question::Header(id),
    };
    let verbose = params.verbosity(1, 1)? == 1;
    Ok(Outcome::ask(question, move |view, reply| match reply {
        Reply::Header { header, .. } if !verbose => {
            Ok(encode_hex(&header.to_bytes()).into()).into()
        }
        Reply::Header {
            id,
            header,
            in_best_chain,
            work_below,
        } => {
            let value = header_json(view, &id, &header);
            with_place(view, value, header.height, in_best_chain, work_below).into()
        }
        other => unexpected(&other),
    }))
}

pub(super) fn get_block(_: &mut View<'_>, params: &Params) -> Ran {
    let question = block_question(params.block(0)?);
    let verbose = params.verbosity(1, 1)? == 1;
    Ok(Outcome::ask(question, move |_, reply| match reply {
        Reply::Block {
            id,
            bytes,
            in_best_chain,
            work_below,
        } => Query::with(bytes.len(), move |view| {
            if !verbose {
                return Ok(encode_hex(&bytes).into());
            }
            let block = read_block(&bytes, &id)?;
            let value = block_json(view, &id, &block);
            with_place(view, value, block.header.height, in_best_chain, work_below)
        }),
        other => unexpected(&other),
    }))
}

/// What the node is asked for a block.
pub(super) const fn block_question(block: BlockRef) -> Question {
    match block {
        BlockRef::At(height) => Question::BlockAt(height),
        BlockRef::Id(id) => Question::Block(id),
    }
}

/// A block that the node gave.
pub(super) fn read_block(bytes: &[u8], id: &BlockId) -> Result<Block, RpcError> {
    Block::from_bytes(bytes)
        .map_err(|error| RpcError::internal(format!("block {id} can't be read back: {error}")))
}

/// Where a block stands: in the best chain above which work, as far as that is known, or beside it.
fn with_place(
    view: &View<'_>,
    mut value: Value,
    height: Height,
    in_best_chain: bool,
    work_below: Option<Uint256>,
) -> Result<Value, RpcError> {
    let tip = view.published()?;
    value["finality"] = match in_best_chain {
        true => finality(tip, height, work_below),
        false => Value::Null,
    };
    Ok(value)
}

pub(super) fn get_account(view: &mut View<'_>, params: &Params) -> Ran {
    let account = params.account(0, &view.facts.genesis.hrp)?;
    view.published()?;
    Ok(Query::with(0, move |view| {
        let published = view.published()?;
        let record = published.state.account(&account)?;
        let (balance, nonce) = record.map_or((0, 0), |it| (it.balance.0, it.nonce.0));
        Ok(json!({
            "address": view.address(&account),
            "account_id": account.to_string(),
            "exists": record.is_some(),
            "balance": balance.to_string(),
            "nonce": nonce,
            "height": published.header.height.0,
            "block": published.tip.to_string(),
        }))
    }))
}

pub(super) fn get_account_proof(view: &mut View<'_>, params: &Params) -> Ran {
    let account = params.account(0, &view.facts.genesis.hrp)?;
    view.published()?;
    Ok(Query::with(0, move |view| {
        let published = view.published()?;
        let key = StateKey::Account(account);
        let proof = published.state.prove(&published.header, key)?;
        let proof = Proof::State(Box::new(proof));
        Ok(json!({
            "proof": encode_hex(&proof.to_bytes()),
            "header": published.tip.to_string(),
            "height": published.header.height.0,
        }))
    }))
}

pub(super) fn get_supply(view: &mut View<'_>, _: &Params) -> Ran {
    let published = view.published()?;
    let supply = published.state.supply();
    done(json!({
        "issued": supply.issued.to_string(),
        "burned": supply.burned.to_string(),
        "accounts": supply.accounts.to_string(),
        "stakes": supply.stakes.to_string(),
        "immature": supply.immature.to_string(),
        "pending": supply.pending.to_string(),
        "pool": supply.pool.to_string(),
        "height": published.header.height.0,
        "block": published.tip.to_string(),
    }))
}

/// The error of a call that found nothing.
pub(super) fn nothing(what: &'static str) -> RpcError {
    CallError::NotFound(what).into()
}
