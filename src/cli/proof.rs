//! `keel verify-proof`: what a proof shows, without a node.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::base::{decode_hex, encode_hex};
use crate::codec::{Decode, Encode};
use crate::types::BlockId;
use crate::types::proof::{Proof, Proved};

use super::{CommandError, ExitCode, Output};

/// No proof is longer: a history proof of every mountain, a state proof of every level and a
/// transaction of the greatest size are each far below.
const PROOF_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `keel verify-proof`.
#[derive(Debug, Args)]
pub(super) struct VerifyProofArgs {
    /// File with the proof, binary or hexadecimal; - for standard input
    file: PathBuf,
    /// Id of the trusted header
    #[arg(long, value_name = "ID")]
    header: String,
}

pub(super) fn verify_proof(args: &VerifyProofArgs, output: &Output) -> Result<(), CommandError> {
    let trusted: BlockId = args
        .header
        .parse()
        .map_err(|error| CommandError::usage(format!("--header: {error}")))?;
    let bytes = read(&args.file)?;
    let wrong = |what: String| {
        let file = args.file.display();
        CommandError::new(ExitCode::Rejected, format!("{file}: {what}"))
    };
    let proof = Proof::from_bytes(&bytes)
        .map_err(|error| wrong(format!("these bytes are no proof: {error}")))?;
    let proved = proof
        .verify(&trusted)
        .map_err(|fault| wrong(format!("the proof does not hold: {fault}")))?;
    let value = proved_json(&proved, &trusted);
    output.print(&value, || {
        let mut lines = vec![format!(
            "the proof holds under header {trusted}, trusted as given"
        )];
        for (name, value) in value.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{name:10} {text}"));
        }
        lines.join("\n")
    });
    Ok(())
}

fn read(file: &PathBuf) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::failed(format!("{}: can't be read: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    let mut source: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    let read = source
        .by_ref()
        .take(2 * PROOF_BYTES_MAX)
        .read_to_end(&mut bytes);
    read.map_err(failed)?;
    // The first byte of a proof is its version, 1, which no hexadecimal text begins with.
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.first() != Some(&1) => decode_hex(text.trim()).map_err(|error| {
            CommandError::failed(format!("{}: no hexadecimal text: {error}", file.display()))
        }),
        _ => Ok(bytes),
    }
}

fn proved_json(proved: &Proved, trusted: &BlockId) -> Value {
    let mut value = match proved {
        Proved::Transaction {
            wtxid,
            sender,
            height,
            time,
        } => json!({
            "shows": "the transaction is in the block",
            "wtxid": wtxid.to_string(),
            "sender": encode_hex(sender.as_bytes()),
            "height": height.0,
            "time": time.0,
        }),
        Proved::State {
            key,
            record,
            height,
        } => json!({
            "shows": match record {
                Some(_) => "the record has this value after the block",
                None => "there is no such record after the block",
            },
            "table": key.table().byte(),
            "key": encode_hex(&key.key_bytes()),
            "value": record.as_ref().map(|record| encode_hex(&record.to_bytes())),
            "height": height.0,
        }),
        Proved::Ancestor { id, height, time } => json!({
            "shows": "the block is an ancestor",
            "block": id.to_string(),
            "height": height.0,
            "time": time.0,
        }),
    };
    value["header"] = json!(trusted.to_string());
    value["trust"] = json!("header id given by the caller");
    value
}
