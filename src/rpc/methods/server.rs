//! Methods about the server itself.

use serde_json::{Value, json};

use super::super::params::Params;
use super::super::{RpcError, nearest};
use super::{METHODS, Method, Outcome, View, find};

type Ran = Result<Outcome, RpcError>;

/// The version of the OpenRPC specification that the document follows.
const OPENRPC_VERSION: &str = "1.3.2";

pub(super) fn uptime(view: &mut View<'_>, _: &Params) -> Ran {
    let seconds = view.now.since(view.facts.started).as_millis() / 1_000;
    Ok(Outcome::Done(Ok(seconds.into())))
}

pub(super) fn stop(view: &mut View<'_>, _: &Params) -> Ran {
    view.stop = true;
    Ok(Outcome::Done(Ok("the node is stopping".into())))
}

pub(super) fn save_record(view: &mut View<'_>, params: &Params) -> Ran {
    let name = params.file_name(0)?;
    if !view.is_recording {
        return Err(RpcError::failed(
            "nothing is recorded: record is off in the node's configuration, or its log is not \
             read yet",
        ));
    }
    Ok(Outcome::Save(name))
}

pub(super) fn help(_: &mut View<'_>, params: &Params) -> Ran {
    let text = if params.is_missing(0) {
        let lines = METHODS
            .iter()
            .map(|method| format!("{}\n    {}", usage(method), method.summary));
        lines.collect::<Vec<_>>().join("\n")
    } else {
        let name = params.text(0)?;
        let method = find(name).ok_or_else(|| unknown_method(name))?;
        let mut text = format!("{}\n\n{}\n", usage(method), method.summary);
        for param in method.params {
            text += &format!("\n{}: {}", param.name, param.summary);
        }
        text + &format!("\nresult: {}", method.result)
    };
    Ok(Outcome::Done(Ok(text.into())))
}

fn usage(method: &Method) -> String {
    let params = method.params.iter().map(|param| {
        if param.required {
            format!(" {}", param.name)
        } else {
            format!(" [{}]", param.name)
        }
    });
    format!("{}{}", method.name, params.collect::<String>())
}

/// The error of a call of a method that there is not.
pub(in super::super) fn unknown_method(name: &str) -> RpcError {
    let shown: String = name.chars().take(64).collect();
    let hint = match nearest(name, METHODS.iter().map(|method| method.name)) {
        Some(near) => format!("; did you mean {near}?"),
        None => "; help lists them all".to_owned(),
    };
    RpcError::method_not_found(format!("there is no method {shown}{hint}"))
}

pub(super) fn discover(_: &mut View<'_>, _: &Params) -> Ran {
    Ok(Outcome::Done(Ok(document())))
}

/// The OpenRPC document.
fn document() -> Value {
    let methods: Vec<Value> = METHODS.iter().map(method_document).collect();
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "keel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Hashes and ids are lower-case hexadecimal in byte order. Amounts are \
                            decimal strings of base units.",
        },
        "methods": methods,
    })
}

fn method_document(method: &Method) -> Value {
    let params: Vec<Value> = method
        .params
        .iter()
        .map(|param| {
            json!({
                "name": param.name,
                "summary": param.summary,
                "required": param.required,
                "schema": param.kind.schema(),
            })
        })
        .collect();
    json!({
        "name": method.name,
        "summary": method.summary,
        "params": params,
        "result": { "name": "result", "summary": method.result, "schema": {} },
    })
}
