//! The form of calls and answers (JSON-RPC 2.0).

use serde_json::{Value, json};

use super::RpcError;

/// The most calls of a batch.
pub const BATCH_CALLS_MAX: usize = 100;
/// The longest id that is sent back.
const ID_BYTES_MAX: usize = 256;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What its answer is to carry; None for a notification, which is not answered.
    pub id: Option<Value>,
    /// What to do.
    pub method: String,
    /// With what: an array, an object, or null.
    pub params: Value,
}

/// What a body asks for: each part a call, or the error that is its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whether the answer is an array.
    pub is_array: bool,
    /// The calls, with the id of each that has the form of one.
    pub calls: Vec<Result<Call, (Value, RpcError)>>,
}

/// Reads the body of a request.
#[must_use]
pub fn parse_body(body: &[u8]) -> Batch {
    let alone = |error| Batch {
        is_array: false,
        calls: vec![Err((Value::Null, error))],
    };
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return alone(RpcError::parse(format!("the body is no JSON: {error}"))),
    };
    match value {
        Value::Array(calls) if calls.is_empty() => {
            alone(RpcError::invalid_request("a batch has at least one call"))
        }
        Value::Array(calls) if calls.len() > BATCH_CALLS_MAX => {
            let text = format!("a batch has at most {BATCH_CALLS_MAX} calls");
            alone(RpcError::invalid_request(text).with("calls", calls.len()))
        }
        Value::Array(calls) => Batch {
            is_array: true,
            calls: calls.into_iter().map(parse_call).collect(),
        },
        call => Batch {
            is_array: false,
            calls: vec![parse_call(call)],
        },
    }
}

fn parse_call(value: Value) -> Result<Call, (Value, RpcError)> {
    let Value::Object(mut fields) = value else {
        let error = RpcError::invalid_request("a call is an object");
        return Err((Value::Null, error));
    };
    let id = match fields.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::Number(_))) => Some(id),
        Some(Value::String(id)) if id.len() <= ID_BYTES_MAX => Some(Value::String(id)),
        Some(_) => {
            let text = "id must be a number, null, or a string of at most 256 bytes";
            return Err((Value::Null, RpcError::invalid_request(text)));
        }
    };
    let refuse = |text: &str| {
        let id = id.clone().unwrap_or(Value::Null);
        Err((id, RpcError::invalid_request(text)))
    };
    if fields.remove("jsonrpc").as_ref().and_then(Value::as_str) != Some("2.0") {
        return refuse("jsonrpc must be \"2.0\"");
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return refuse("method must be a string");
    };
    let params = match fields.remove("params") {
        None | Some(Value::Null) => Value::Null,
        Some(params @ (Value::Array(_) | Value::Object(_))) => params,
        Some(_) => return refuse("params must be an array or an object"),
    };
    Ok(Call { id, method, params })
}

/// The answer to one call.
#[must_use]
pub fn answer(id: &Value, outcome: &Result<Value, RpcError>) -> Value {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(body: &str) -> i64 {
        let batch = parse_body(body.as_bytes());
        assert_eq!(batch.calls.len(), 1, "{body}");
        match &batch.calls[0] {
            Err((_, error)) => error.code,
            Ok(call) => panic!("{body}: {call:?}"),
        }
    }

    #[test]
    fn calls_are_read() {
        let batch = parse_body(br#"{"jsonrpc":"2.0","id":7,"method":"a","params":[1]}"#);
        let call = Call {
            id: Some(json!(7)),
            method: "a".into(),
            params: json!([1]),
        };
        assert_eq!(batch.calls, [Ok(call)]);
        assert!(!batch.is_array);
        let batch = parse_body(
            br#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":null,"method":"b"},3]"#,
        );
        assert!(batch.is_array);
        assert_eq!(batch.calls[0].as_ref().unwrap().id, None);
        assert_eq!(batch.calls[1].as_ref().unwrap().id, Some(Value::Null));
        assert_eq!(batch.calls[2].as_ref().unwrap_err().1.code, -32_600);
    }

    #[test]
    fn what_is_no_call_is_refused() {
        assert_eq!(code(""), -32_700);
        assert_eq!(code("{"), -32_700);
        assert_eq!(code("{} {}"), -32_700);
        assert_eq!(code(&"[".repeat(100_000)), -32_700);
        for body in [
            "[]",
            "3",
            "{}",
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":1}"#,
            r#"{"jsonrpc":"2.0","id":[],"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}"#,
        ] {
            assert_eq!(code(body), -32_600, "{body}");
        }
        let many = vec![json!({"jsonrpc":"2.0","method":"a"}); BATCH_CALLS_MAX + 1];
        assert_eq!(code(&json!(many).to_string()), -32_600);
        let enough = json!(&many[1..]).to_string();
        assert_eq!(parse_body(enough.as_bytes()).calls.len(), BATCH_CALLS_MAX);
    }

    #[test]
    fn the_id_of_a_refused_call_is_kept() {
        let batch = parse_body(br#"{"jsonrpc":"2.0","id":"x","method":[]}"#);
        assert_eq!(batch.calls[0].as_ref().unwrap_err().0, json!("x"));
    }

    proptest! {
        #[test]
        fn no_bytes_harm_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!parse_body(&bytes).calls.is_empty());
        }
    }
}
