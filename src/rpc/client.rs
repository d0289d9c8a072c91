//! A blocking client for the node's RPC.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::RpcError;
use super::auth::Cookie;

/// The most bytes of an answer: the node's own cap is 4 MiB for a batch, 9 MiB for a block.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a connection may take to be made.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the node may take to send the next bytes of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Why a call has no result.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers at the address.
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The connection broke, or the answer did not come in time.
    Broken(io::Error),
    /// Somebody answers, but not the RPC of a node.
    Foreign(String),
    /// The server refuses the request itself.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The node refuses the call.
    Rpc(RpcError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { address, error } => write!(
                f,
                "no node answers at {address} ({error}); start one with keel run, or name its \
                 address with --rpc"
            ),
            Self::Broken(error) => write!(f, "the connection to the node broke: {error}"),
            Self::Foreign(what) => write!(f, "what answers there is no keel node: {what}"),
            Self::Refused { status: 401, .. } => f.write_str(
                "the node does not know this cookie; name its data directory with --dir or its \
                 cookie file with --cookie",
            ),
            Self::Refused { status, text } => write!(f, "the node answers {status}: {text}"),
            Self::Rpc(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {}

/// A client of one node. It keeps its connection, and makes it anew when it has gone.
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    stream: Option<TcpStream>,
    answer_time: Duration,
}

impl Client {
    /// A client of the node at `address` that shows `cookie`.
    #[must_use]
    pub fn new(address: SocketAddr, cookie: Option<&Cookie>) -> Self {
        Self {
            address,
            authorization: cookie.map(Cookie::header),
            stream: None,
            answer_time: ANSWER_TIME,
        }
    }

    /// With another limit to how long the node may take to answer.
    #[must_use]
    pub fn with_answer_time(mut self, time: Duration) -> Self {
        self.answer_time = time;
        self
    }

    /// Calls a method, with parameters as an array or object.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, ClientError> {
        let body = call_json(0, method, params).to_string();
        let mut answer = self.post(body.as_bytes())?;
        result_of(&mut answer).map_err(ClientError::Rpc)
    }

    /// Calls several methods in one batch; the results are in the order of the calls.
    pub fn call_batch(
        &mut self,
        calls: &[(&str, Value)],
    ) -> Result<Vec<Result<Value, RpcError>>, ClientError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let numbered = calls.iter().enumerate();
        let body: Vec<Value> = numbered
            .map(|(id, (method, params))| call_json(id, method, params))
            .collect();
        let answer = self.post(Value::Array(body).to_string().as_bytes())?;
        let Value::Array(answers) = answer else {
            return Err(match RpcError::from_json(&answer["error"]) {
                Some(error) => ClientError::Rpc(error),
                None => ClientError::Foreign("a batch is answered by an array".into()),
            });
        };
        let mut results: Vec<_> = calls
            .iter()
            .map(|_| {
                Err(RpcError::internal(
                    "the node left this call out of its answer",
                ))
            })
            .collect();
        for mut answer in answers {
            let id = answer["id"]
                .as_u64()
                .and_then(|id| usize::try_from(id).ok());
            if let Some(slot) = id.and_then(|id| results.get_mut(id)) {
                *slot = result_of(&mut answer);
            }
        }
        Ok(results)
    }

    /// Reads a path such as `/metrics`: its status and text.
    pub fn get(&mut self, path: &str) -> Result<(u16, String), ClientError> {
        let (status, body) = self.exchange(&self.request("GET", path, &[]))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn post(&mut self, body: &[u8]) -> Result<Value, ClientError> {
        let (status, answer) = self.exchange(&self.request("POST", "/", body))?;
        if status != 200 {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(500)]);
            let text = text.trim().to_owned();
            return Err(ClientError::Refused { status, text });
        }
        serde_json::from_slice(&answer).map_err(|error| ClientError::Foreign(error.to_string()))
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(authorization) = &self.authorization {
            request += &format!("Authorization: {authorization}\r\n");
        }
        if method == "POST" {
            request += "Content-Type: application/json\r\n";
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut request = (request + "\r\n").into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// Sends a request and reads its answer. A kept connection may have been closed by the node
    /// meanwhile; when nothing of an answer came over it, the request goes over a new one.
    fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), ClientError> {
        if let Some(mut stream) = self.stream.take() {
            match converse(&mut stream, request) {
                Ok(answer) => return Ok(self.keep(stream, answer)),
                Err(Broken {
                    begun: false,
                    error,
                }) if is_closed(&error) => {}
                Err(broken) => return Err(broken.into()),
            }
        }
        let mut stream =
            TcpStream::connect_timeout(&self.address, CONNECT_TIME).map_err(|error| {
                let address = self.address;
                ClientError::Unreachable { address, error }
            })?;
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(self.answer_time)))
            .and_then(|()| stream.set_write_timeout(Some(self.answer_time)));
        prepared.map_err(ClientError::Broken)?;
        let answer = converse(&mut stream, request)?;
        Ok(self.keep(stream, answer))
    }

    fn keep(&mut self, stream: TcpStream, answer: Answer) -> (u16, Vec<u8>) {
        if answer.keep_alive {
            self.stream = Some(stream);
        }
        (answer.status, answer.body)
    }
}

fn call_json(id: usize, method: &str, params: &Value) -> Value {
    let mut call = json!({ "jsonrpc": "2.0", "id": id, "method": method });
    if !params.is_null() {
        call["params"] = params.clone();
    }
    call
}

fn result_of(answer: &mut Value) -> Result<Value, RpcError> {
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(RpcError::from_json(&answer["error"])
            .unwrap_or_else(|| RpcError::internal("the answer has neither result nor error"))),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

struct Answer {
    status: u16,
    keep_alive: bool,
    body: Vec<u8>,
}

struct Broken {
    /// Whether some of the answer came.
    begun: bool,
    error: io::Error,
}

impl From<Broken> for ClientError {
    fn from(broken: Broken) -> Self {
        match broken.error.kind() {
            io::ErrorKind::InvalidData => Self::Foreign(broken.error.to_string()),
            _ => Self::Broken(broken.error),
        }
    }
}

fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn converse(stream: &mut TcpStream, request: &[u8]) -> Result<Answer, Broken> {
    let mut bytes = Vec::new();
    let sent = stream.write_all(request);
    // A server that refuses a request answers before it has read all of it.
    let read = read_answer(stream, &mut bytes);
    read.map_err(|error| Broken {
        begun: !bytes.is_empty(),
        error: sent.err().unwrap_or(error),
    })
}

fn read_answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Answer> {
    let mut part = [0; 16 << 10];
    let (mut answer, head_end, length) = loop {
        if let Some(head) = read_head(bytes)? {
            break head;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(foreign("the head of the answer does not end"));
        }
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&part[..count]),
        }
    };
    if length > ANSWER_BYTES_MAX {
        return Err(foreign("the answer is longer than answers may be"));
    }
    while bytes.len() < head_end + length {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
    answer.body = bytes[head_end..head_end + length].to_vec();
    Ok(answer)
}

/// The head of an answer, where it ends, and how long the body is.
fn read_head(bytes: &[u8]) -> io::Result<Option<(Answer, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let end = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(foreign(&format!("the answer is no HTTP: {error}"))),
    };
    let status = parsed.code.unwrap_or_default();
    let mut length = if status == 204 { Some(0) } else { None };
    let mut keep_alive = parsed.version == Some(1);
    for header in parsed.headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        if header.name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive &= !value.eq_ignore_ascii_case("close");
        }
    }
    let length = length.ok_or_else(|| foreign("the answer does not say how long it is"))?;
    let answer = Answer {
        status,
        keep_alive,
        body: Vec::new(),
    };
    Ok(Some((answer, end, length)))
}
