//! Reading a request.

use std::net::IpAddr;

use super::{HEAD_BYTES_MAX, HEADERS_MAX, LARGE_BODY_BYTES_MAX, Status};

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Call.
    Post,
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// What is wanted.
    pub method: Method,
    /// Of what: the path, without a query.
    pub path: String,
    /// The value of the `Authorization` header.
    pub authorization: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request is answered with an error and its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: Status,
    /// The rule that was broken, for the answer's body.
    pub rule: &'static str,
}

impl Refusal {
    const fn new(status: Status, rule: &'static str) -> Self {
        Self { status, rule }
    }

    const fn bad(rule: &'static str) -> Self {
        Self::new(Status::BadRequest, rule)
    }
}

/// The request line and headers of a request, as far as anything here looks at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) content_length: usize,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

/// Reads the head of a request at the front of `bytes`, and says how long it is; None while it is
/// not complete. `hosts` are the names that a request may call this server by, besides addresses
/// and `localhost`.
pub(super) fn read_head(bytes: &[u8], hosts: &[String]) -> Result<Option<(Head, usize)>, Refusal> {
    let searched = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let end = searched.windows(4).position(|four| four == b"\r\n\r\n");
    check_line_ends(&searched[..end.map_or(searched.len(), |at| at + 4)])?;
    let Some(end) = end else {
        return if bytes.len() < HEAD_BYTES_MAX {
            Ok(None)
        } else {
            Err(Refusal::new(
                Status::HeadersTooLarge,
                "the request line and headers may have 8,192 bytes",
            ))
        };
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(&searched[..end + 4]) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::bad("the request line is empty")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(
                Status::HeadersTooLarge,
                "a request may have 64 headers",
            ));
        }
        Err(httparse::Error::HeaderName) => {
            return Err(Refusal::bad(
                "a header's name has a character not allowed there",
            ));
        }
        Err(_) => return Err(Refusal::bad("these bytes are no HTTP/1.1 request")),
    }
    head_of(&parsed, hosts).map(|head| Some((head, end + 4)))
}

/// CR and LF stand in pairs only, and no line is folded onto the one before.
fn check_line_ends(head: &[u8]) -> Result<(), Refusal> {
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' if at == 0 || head[at - 1] != b'\r' => {
                return Err(Refusal::bad("a line must end with CR and LF"));
            }
            b'\n' if matches!(head.get(at + 1), Some(b' ' | b'\t')) => {
                return Err(Refusal::bad("a header must not go on in the next line"));
            }
            b'\r' if head.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(Refusal::bad("a line must end with CR and LF"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the headers say, each of those that matter at most once.
#[derive(Default)]
struct Fields<'a> {
    content_length: Option<&'a [u8]>,
    transfer_encoding: bool,
    host: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    origin: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

fn fields<'a>(headers: &'a [httparse::Header<'_>]) -> Result<Fields<'a>, Refusal> {
    let mut fields = Fields::default();
    let once = |slot: &mut Option<&'a [u8]>, value, rule| match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::bad(rule)),
    };
    for header in headers {
        let value = header.value;
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let rule = "Content-Length must stand there once";
                once(&mut fields.content_length, value, rule)?;
            }
            "transfer-encoding" => fields.transfer_encoding = true,
            "host" => once(&mut fields.host, value, "Host must stand there once")?,
            "authorization" => {
                let rule = "Authorization must stand there once";
                once(&mut fields.authorization, value, rule)?;
            }
            "origin" => fields.origin = true,
            "connection" => {
                for token in value.split(|byte| *byte == b',') {
                    let token = token.trim_ascii();
                    fields.close |= token.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            "expect" if value.eq_ignore_ascii_case(b"100-continue") => {
                fields.expects_continue = true;
            }
            "expect" => {
                return Err(Refusal::new(
                    Status::ExpectationFailed,
                    "only 100-continue can be expected",
                ));
            }
            _ => {}
        }
    }
    Ok(fields)
}

fn head_of(parsed: &httparse::Request<'_, '_>, hosts: &[String]) -> Result<Head, Refusal> {
    let fields = fields(parsed.headers)?;
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        _ => {
            return Err(Refusal::new(
                Status::MethodNotAllowed,
                "only GET and POST are served",
            ));
        }
    };
    if fields.origin {
        return Err(Refusal::new(
            Status::Forbidden,
            "requests from web pages are not served",
        ));
    }
    let http_1_1 = parsed.version == Some(1);
    match fields.host {
        Some(host) if is_own_name(host, hosts) => {}
        None if !http_1_1 => {}
        _ => {
            return Err(Refusal::new(
                Status::Forbidden,
                "Host must be an address, localhost, or a name listed in rpc_hosts",
            ));
        }
    }
    let target = parsed.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(Refusal::bad("the target must be a path"));
    }
    let authorization = match fields.authorization {
        None => None,
        Some(value) => match std::str::from_utf8(value) {
            Ok(text) => Some(text.to_owned()),
            Err(_) => return Err(Refusal::bad("Authorization must be ASCII")),
        },
    };
    Ok(Head {
        method,
        path: path.to_owned(),
        authorization,
        content_length: content_length(method, &fields)?,
        keep_alive: if http_1_1 {
            !fields.close
        } else {
            fields.keep_alive && !fields.close
        },
        expects_continue: fields.expects_continue && http_1_1,
    })
}

fn content_length(method: Method, fields: &Fields<'_>) -> Result<usize, Refusal> {
    if fields.transfer_encoding {
        return Err(if fields.content_length.is_some() {
            Refusal::bad("Content-Length and Transfer-Encoding exclude each other")
        } else {
            Refusal::new(Status::NotImplemented, "send the body with Content-Length")
        });
    }
    let Some(text) = fields.content_length else {
        return match method {
            Method::Get => Ok(0),
            Method::Post => Err(Refusal::new(
                Status::LengthRequired,
                "send the body with Content-Length",
            )),
        };
    };
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad("Content-Length must be a decimal number"));
    }
    // More digits than any length within the cap are over it, leading zeros or not.
    let digits = (text.len() <= 20)
        .then(|| std::str::from_utf8(text).ok())
        .flatten();
    let length = digits.and_then(|text| text.parse::<u64>().ok());
    match length.and_then(|length| usize::try_from(length).ok()) {
        Some(length) if length <= LARGE_BODY_BYTES_MAX => match method {
            Method::Get if length > 0 => Err(Refusal::bad("a GET request has no body")),
            _ => Ok(length),
        },
        _ => Err(Refusal::new(
            Status::ContentTooLarge,
            "a request's body may have as many bytes as the greatest block in hexadecimal",
        )),
    }
}

/// Whether `host`, perhaps with a port, is an address, `localhost` or one of `hosts`.
fn is_own_name(host: &[u8], hosts: &[String]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = if let Some(rest) = host.strip_prefix('[') {
        match rest.split_once(']') {
            Some((inside, "")) => inside,
            Some((inside, port)) if port.strip_prefix(':').is_some_and(digits) => inside,
            _ => return false,
        }
    } else {
        match host.split_once(':') {
            Some((name, port)) if digits(port) => name,
            Some(_) => return false,
            None => host,
        }
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
}
