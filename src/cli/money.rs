//! `keel send`: a payment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::codec::Encode;
use crate::rpc::client::{Client, ClientError};
use crate::types::{Amount, GenesisId, Height, Nonce, decode_address, encode_address};
use crate::wallet::{Payment, least_fee, parse_amount, read_key};

use super::ask::ChainFacts;
use super::{CommandError, ExitCode, NodeArgs, Output};

/// The node is asked what to pay to be in one of so many next blocks.
const TARGET_BLOCKS: u32 = 6;
/// How often the node is asked whether a payment is in a block.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// Arguments of `keel send`.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Key file of the payer
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Address of the payee
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// Amount to pay, like 1.5
    #[arg(long)]
    amount: String,
    /// Fee of the transaction, like 0.001 [default: what the node advises]
    #[arg(long)]
    fee: Option<String>,
    /// Nonce of the transaction [default: the account's next]
    #[arg(long)]
    nonce: Option<u64>,
    /// Last height at which the payment may be included; 0 for no limit
    #[arg(long, default_value_t = 0, value_name = "HEIGHT")]
    expiry: u64,
    /// Wait until the payment is in a block
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) fn send(args: &SendArgs, output: &Output) -> Result<(), CommandError> {
    let key = read_key(&args.key)?;
    let mut client = args.node.client()?;
    let facts = ChainFacts::ask(&mut client)?;
    let to = decode_address(&facts.prefix, &args.to)
        .map_err(|error| CommandError::usage(format!("--to {}: {error}", args.to)))?;
    let money = |name: &str, text: &str| {
        parse_amount(text, facts.decimals)
            .map_err(|error| CommandError::usage(format!("--{name} {text}: {error}")))
    };
    let amount = money("amount", &args.amount)?;
    if amount == Amount(0) {
        return Err(CommandError::usage(
            "--amount 0: a payment moves more than nothing",
        ));
    }
    let from = encode_address(&facts.prefix, &Payment::payer(&key));
    let nonce = match args.nonce {
        Some(nonce) => Nonce(nonce),
        None => next_nonce(&mut client, &from)?,
    };
    let fee = match &args.fee {
        Some(text) => money("fee", text)?,
        None => {
            let payee = client.call("getaccount", &json!([args.to]))?;
            let creates = payee["exists"].as_bool() == Some(false);
            least_fee(advised_rate(&mut client)?, 0, facts.account_fee, creates)
        }
    };
    let genesis: GenesisId = facts
        .genesis_id
        .parse()
        .map_err(|_| CommandError::failed("the node gives no genesis id"))?;
    let expiry = Height(args.expiry);
    let transaction = Payment {
        nonce,
        fee,
        expiry,
        to,
        amount,
    }
    .sign(&key, &genesis);
    let txid = transaction.txid(&genesis).to_string();
    output.note(&format!(
        "signed: {} pays {} to {}, and at most {} for the transaction, on chain {} ({}), as its \
         transaction number {}",
        from,
        facts.amount(amount),
        args.to,
        facts.amount(fee),
        facts.name,
        &facts.genesis_id[..8.min(facts.genesis_id.len())],
        nonce.0,
    ));
    let bytes = encode_hex(&transaction.to_bytes());
    client
        .call("sendrawtransaction", &json!([bytes]))
        .map_err(|error| refusal(error, &facts))?;
    let mut value = json!({ "txid": txid, "from": from, "nonce": nonce.0, "fee": fee.to_string() });
    if args.wait {
        output.note(&format!("accepted: {txid}; waiting for a block"));
        let included = wait(&mut client, &txid, Duration::from_secs(args.timeout))?;
        value["status"] = included.clone();
        output.print(&value, || {
            let block = included["block"].as_str().unwrap_or_default();
            format!(
                "included: {txid} in block {block} at height {}",
                included["height"]
            )
        });
    } else {
        output.print(&value, || format!("accepted: {txid}"));
    }
    Ok(())
}

/// Why a payment was refused, with amounts as this chain writes them: those of the node's sentence
/// are in base units.
fn refusal(error: ClientError, facts: &ChainFacts) -> CommandError {
    let ClientError::Rpc(refused) = &error else {
        return error.into();
    };
    let amount = |name: &str| {
        let units = refused.data[name].as_str()?.parse().ok()?;
        Some(facts.amount(Amount(units)))
    };
    let words = match refused.word() {
        "balance" => amount("needed")
            .zip(amount("available"))
            .map(|(needed, available)| {
                format!("amounts and fee are {needed}, the account has {available}")
            }),
        "fee" => amount("needed").zip(amount("paid")).map(|(needed, paid)| {
            format!("the fee is {paid}, and must be at least {needed}; say so with --fee")
        }),
        _ => None,
    };
    match words {
        Some(words) => CommandError::new(ExitCode::Rejected, words),
        None => error.into(),
    }
}

/// What the node advises to pay per 1,000 weight.
fn advised_rate(client: &mut Client) -> Result<u64, CommandError> {
    let advice = client.call("estimatesmartfee", &json!([TARGET_BLOCKS]))?;
    let rate = advice["feerate"]
        .as_str()
        .and_then(|rate| rate.parse().ok());
    rate.ok_or_else(|| CommandError::failed("the node does not say what to pay"))
}

fn next_nonce(client: &mut Client, address: &str) -> Result<Nonce, CommandError> {
    let nonce = client
        .call("getnextnonce", &json!([address]))
        .map_err(|error| match error {
            ClientError::Rpc(error) if error.word() == "not_found" => CommandError::new(
                ExitCode::Rejected,
                format!("{address} has no account yet: pay to it before it pays"),
            ),
            error => error.into(),
        })?;
    let nonce = nonce.as_u64().map(Nonce);
    nonce.ok_or_else(|| CommandError::failed("the node does not say the account's nonce"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command of a person's waits on this thread"
)]
fn wait(client: &mut Client, txid: &str, time: Duration) -> Result<Value, CommandError> {
    let begun = Instant::now();
    loop {
        let status = client.call("gettransactionstatus", &json!([txid]))?;
        match status["status"].as_str() {
            Some("included") => return Ok(status),
            Some("gone") => {
                let reason = status["reason"].as_str().unwrap_or("unknown").to_owned();
                return Err(CommandError::new(
                    ExitCode::Rejected,
                    format!("{txid} left the node's mempool: {reason}"),
                ));
            }
            _ => {}
        }
        if begun.elapsed() >= time {
            return Err(CommandError::failed(format!(
                "{txid} is in no block after {} s; it stays with the node: ask again with keel \
                 rpc gettransactionstatus {txid}",
                time.as_secs()
            )));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::RpcError;

    #[test]
    fn a_refusal_has_amounts_as_they_are_typed() {
        let facts = ChainFacts {
            name: "x".to_owned(),
            genesis_id: String::new(),
            prefix: "dkeel".to_owned(),
            decimals: 8,
            account_fee: 0,
        };
        let over = RpcError::rejected("balance", "base units")
            .with("needed", "500000000109")
            .with("available", "124999999858");
        let error = refusal(ClientError::Rpc(over), &facts);
        let said = "amounts and fee are 5000.00000109, the account has 1249.99999858";
        assert_eq!(error, CommandError::new(ExitCode::Rejected, said));
        let other = RpcError::rejected("expired", "it expired");
        assert_eq!(
            refusal(ClientError::Rpc(other), &facts).message,
            "it expired"
        );
    }
}
