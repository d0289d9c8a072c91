//! Values of the chain as JSON: ids and hashes in byte order, amounts as decimal strings of base
//! units.

use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::node::Published;
use crate::types::{Auth, Block, BlockId, Header, Height, Op, Seal, Transaction, Uint256};

use super::methods::View;

/// What speaks for a block of the best chain under proof of work: how many blocks there are from it
/// to the tip, and the work that was done for them. `work_below` is that of the chain below it.
pub(super) fn finality(tip: &Published, height: Height, work_below: Option<Uint256>) -> Value {
    // A block may be in the chain a moment before readers see the tip that it is under.
    let depth = (tip.header.height.0 + 1).saturating_sub(height.0);
    let work = |below| {
        let done = match tip.work > below {
            true => tip.work.wrapping_sub(below),
            false => Uint256::ZERO,
        };
        encode_hex(&done.to_be_bytes())
    };
    json!({ "kind": "work", "depth": depth, "work": work_below.map(work) })
}

pub(super) fn header_json(view: &View<'_>, id: &BlockId, header: &Header) -> Value {
    let mut value = json!({
        "hash": id.to_string(),
        "height": header.height.0,
        "version": Header::VERSION,
        "previousblockhash": header.parent_id.to_string(),
        "time": header.time.0,
        "tx_root": header.tx_root.to_string(),
        "state_root": header.state_root.to_string(),
        "history_root": header.history_root.to_string(),
        "base_fee": header.base_fee.to_string(),
        "beneficiary": view.address(&header.beneficiary),
        "parent_weight": header.parent_weight,
    });
    match &header.seal {
        Seal::Work { bits, nonce } => {
            value["bits"] = json!(format!("{:08x}", bits.0));
            value["nonce"] = json!(nonce.to_string());
        }
        Seal::Stake {
            epoch, proposer, ..
        } => {
            value["epoch"] = json!(epoch);
            value["proposer"] = json!(proposer);
        }
    }
    value
}

pub(super) fn block_json(view: &View<'_>, id: &BlockId, block: &Block) -> Value {
    let mut value = header_json(view, id, &block.header);
    value["weight"] = json!(block.weight().0);
    value["nTx"] = json!(block.transactions.len());
    let transactions = block.transactions.iter();
    value["tx"] = transactions
        .map(|transaction| transaction_json(view, transaction))
        .collect();
    value
}

fn transaction_json(view: &View<'_>, transaction: &Transaction) -> Value {
    let ops = transaction.ops.iter().map(|op| match op {
        Op::Transfer { to, amount } => json!({
            "op": "transfer",
            "to": view.address(to),
            "amount": amount.to_string(),
        }),
        Op::Data(bytes) => json!({ "op": "data", "hex": encode_hex(bytes) }),
    });
    let auth = match &transaction.auth {
        Auth::Single { .. } => "single",
        Auth::Multi { .. } => "multi",
    };
    json!({
        "txid": transaction.txid(&view.facts.genesis_id).to_string(),
        "wtxid": transaction.wtxid().to_string(),
        "from": view.address(&transaction.sender()),
        "auth": auth,
        "nonce": transaction.nonce.0,
        "fee": transaction.fee.to_string(),
        "expiry": transaction.expiry.0,
        "size": transaction.encoded_len(),
        "weight": transaction.weight().0,
        "ops": ops.collect::<Value>(),
    })
}
