//! Methods for miners outside.

use serde_json::{Value, json};

use crate::base::encode_hex;
use crate::codec::Encode;
use crate::node::{Question, Reply, Submitted, WorkTemplate};
use crate::types::{Header, Millis, NONCE_OFFSET, Rules, Seal, TIME_OFFSET};

use super::super::RpcError;
use super::super::params::Params;
use super::{Outcome, Query, View, unexpected};

type Ran = Result<Outcome, RpcError>;

pub(super) fn get_block_template(view: &mut View<'_>, params: &Params) -> Ran {
    let mode = if params.is_missing(2) {
        "template"
    } else {
        params.text(2)?
    };
    match mode {
        "template" => {}
        "proposal" => return propose(params),
        _ => {
            let text = "mode: must be template or proposal";
            return Err(RpcError::invalid_params(text).with("parameter", "mode"));
        }
    }
    if params.is_missing(0) {
        return Err(params.needed(0));
    }
    let beneficiary = params.account(0, &view.facts.genesis.hrp)?;
    let after = if params.is_missing(1) {
        None
    } else {
        Some(params.parsed(1)?)
    };
    let question = Question::Template { beneficiary, after };
    let with_block = params.verbosity(4, 0)? == 1;
    Ok(Outcome::ask(question, move |view, reply| match reply {
        Reply::Template(template) if with_block => {
            let bytes = template.weight.0 as usize;
            Query::with(bytes, move |view| {
                let mut value = template_json(view, &template);
                let block = template.block.block(template.header.clone());
                value["block_hex"] = encode_hex(&block.bytes).into();
                Ok(value)
            })
        }
        Reply::Template(template) => Ok(template_json(view, &template)).into(),
        other => unexpected(&other),
    }))
}

fn template_json(view: &View<'_>, template: &WorkTemplate) -> Value {
    let header = &template.header;
    let rules = Rules::at(&view.facts.genesis, header.height);
    let bits = match &header.seal {
        Seal::Work { bits, .. } => format!("{:08x}", bits.0),
        Seal::Stake { .. } => String::new(),
    };
    json!({
        "template_id": template.id.to_string(),
        "version": Header::VERSION,
        "previousblockhash": header.parent_id.to_string(),
        "height": header.height.0,
        "header_hex": encode_hex(&header.to_bytes()),
        "nonce_offset": NONCE_OFFSET,
        "time_offset": TIME_OFFSET,
        "bits": bits,
        "target": encode_hex(&template.target.to_be_bytes()),
        "mintime": template.earliest.0,
        "curtime": header.time.0,
        "maxtime": template.latest.0,
        "expires": template.expires.as_millis() / 1_000,
        "longpollid": template.poll.to_string(),
        "transactions": template.block.transactions.len(),
        "weight": template.weight.0,
        "weightlimit": rules.max_block_weight,
        "base_fee": header.base_fee.to_string(),
        "reward": template.reward.to_string(),
        "fees": template.tips.to_string(),
    })
}

fn propose(params: &Params) -> Ran {
    if params.is_missing(3) {
        return Err(params.needed(3));
    }
    let question = Question::ProposeBlock(params.bytes(3)?);
    Ok(Outcome::ask(question, |_, reply| match reply {
        Reply::Proposed(Ok(())) => Ok(Value::Null).into(),
        Reply::Proposed(Err(refusal)) => Ok(refusal.word().into()).into(),
        other => unexpected(&other),
    }))
}

pub(super) fn submit_block(_: &mut View<'_>, params: &Params) -> Ran {
    let question = Question::SubmitBlock(params.bytes(0)?);
    Ok(Outcome::ask(question, |_, reply| submitted(&reply)))
}

pub(super) fn submit_work(_: &mut View<'_>, params: &Params) -> Ran {
    let time = if params.is_missing(2) {
        None
    } else {
        Some(Millis(params.digits(2)?))
    };
    let question = Question::SubmitWork {
        template: params.parsed(0)?,
        nonce: params.digits(1)?,
        time,
    };
    Ok(Outcome::ask(question, |_, reply| submitted(&reply)))
}

fn submitted(reply: &Reply) -> Outcome {
    let Reply::Submitted {
        id,
        height,
        outcome,
    } = reply
    else {
        return unexpected(reply);
    };
    let mut value = json!({ "hash": id.to_string(), "height": height.0 });
    value["status"] = match outcome {
        Submitted::Accepted => "accepted".into(),
        Submitted::SideBranch => "side-branch".into(),
        Submitted::Inconclusive => "inconclusive".into(),
        Submitted::Duplicate => "duplicate".into(),
        Submitted::Held { until } => {
            value["until"] = json!(until.as_millis());
            "held".into()
        }
    };
    Ok(value).into()
}
