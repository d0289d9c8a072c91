//! Who answers HTTP requests: health, metrics, and calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::Time;
use crate::node::{CallError, CallId, Published, Reply};
use crate::reactor::http::{HttpRequest, HttpResponse, Method as HttpMethod, Status};
use crate::reactor::{Counters, Desk, ExchangeId, QueryId, SaveId, Saved, Service};
use crate::types::{BlockId, Genesis, GenesisId, NodeId, NodeKey};

use super::auth::Cookie;
use super::envelope::{Call, answer, parse_body};
use super::methods::server::unknown_method;
use super::methods::{Next, Outcome, Query, View, find};
use super::params::Params;
use super::{RpcError, metrics};

/// The most bytes of the answer to a batch.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The most calls that wait at a time, for the node or for the thread of queries.
const CALLS_MAX: usize = 4_096;
/// The most bytes that queries under way may keep: sixteen blocks.
const QUERY_BYTES_MAX: usize = 64 << 20;

/// What never changes while a node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// Its id.
    pub genesis_id: GenesisId,
    /// The id of its block 0.
    pub genesis_block: BlockId,
    /// The key that peers dial.
    pub node_key: NodeKey,
    /// Who the node is.
    pub node_id: NodeId,
    /// Where peers connect to.
    pub listen: Vec<std::net::SocketAddr>,
    /// What the node calls itself.
    pub agent: String,
    /// When it started.
    pub started: Time,
}

/// The answer to a request, as far as it is known.
struct Exchange {
    is_array: bool,
    /// The answers so far, in the order of the calls; None for one that is awaited.
    answers: Vec<Option<String>>,
    /// How many are awaited.
    awaited: usize,
    bytes: usize,
}

/// A call that waits for the node.
struct Waiting {
    exchange: ExchangeId,
    place: usize,
    id: Option<Value>,
    next: Next,
}

/// A call that is answered beside the loop.
struct Asked {
    exchange: ExchangeId,
    place: usize,
    id: Option<Value>,
    bytes: usize,
}

/// What a query sees of the node.
struct Moment {
    facts: Arc<Facts>,
    published: Option<Arc<Published>>,
    counters: Counters,
    now: Time,
    is_recording: bool,
}

impl Moment {
    fn view(&self) -> View<'_> {
        View {
            facts: &self.facts,
            published: self.published.as_ref(),
            counters: &self.counters,
            now: self.now,
            is_recording: self.is_recording,
            stop: false,
        }
    }
}

/// The RPC of a node.
pub struct RpcService {
    facts: Arc<Facts>,
    /// What callers must show; None lets everybody in.
    cookie: Option<Cookie>,
    exchanges: BTreeMap<ExchangeId, Exchange>,
    calls: BTreeMap<CallId, Waiting>,
    queries: BTreeMap<QueryId, Asked>,
    /// What they keep, all together.
    query_bytes: usize,
    /// Recordings on their way to a file, each with the call that waits for it.
    saves: BTreeMap<SaveId, (ExchangeId, usize, Option<Value>, String)>,
}

impl RpcService {
    /// The RPC of a node; callers must show `cookie`, if there is one.
    #[must_use]
    pub fn new(facts: Facts, cookie: Option<Cookie>) -> Self {
        Self {
            facts: Arc::new(facts),
            cookie,
            exchanges: BTreeMap::new(),
            calls: BTreeMap::new(),
            queries: BTreeMap::new(),
            query_bytes: 0,
            saves: BTreeMap::new(),
        }
    }

    fn call(&mut self, exchange: ExchangeId, body: &[u8], desk: &mut Desk<'_>) {
        if self.calls.len() + self.queries.len() >= CALLS_MAX {
            let text = "too many calls wait for the node; ask again soon";
            return desk.respond(exchange, HttpResponse::text(Status::TooManyRequests, text));
        }
        let batch = parse_body(body);
        self.exchanges.insert(
            exchange,
            Exchange {
                is_array: batch.is_array,
                answers: vec![None; batch.calls.len()],
                awaited: batch.calls.len(),
                bytes: 0,
            },
        );
        for (place, call) in batch.calls.into_iter().enumerate() {
            match call {
                Ok(Call { id, method, params }) => {
                    let (outcome, stop) = self.run(&method, params, desk);
                    self.go_on(exchange, place, id, outcome, desk);
                    if stop {
                        desk.stop();
                    }
                }
                Err((id, error)) => self.settle(exchange, place, Some(id), Err(error), desk),
            }
        }
    }

    fn run(&self, method: &str, params: Value, desk: &Desk<'_>) -> (Outcome, bool) {
        let mut view = self.view(desk);
        let ran = find(method)
            .ok_or_else(|| unknown_method(method))
            .and_then(|method| {
                let params = Params::bind(method.params, params)?;
                (method.run)(&mut view, &params)
            });
        (
            ran.unwrap_or_else(|error| Outcome::Done(Err(error))),
            view.stop,
        )
    }

    fn view<'a>(&'a self, desk: &Desk<'a>) -> View<'a> {
        View {
            facts: &self.facts,
            published: desk.published,
            counters: desk.counters,
            now: desk.now,
            is_recording: desk.is_recording,
            stop: false,
        }
    }

    fn go_on(
        &mut self,
        exchange: ExchangeId,
        place: usize,
        id: Option<Value>,
        outcome: Outcome,
        desk: &mut Desk<'_>,
    ) {
        match outcome {
            Outcome::Done(result) => self.settle(exchange, place, id, result, desk),
            Outcome::Ask(question, next) => {
                let call = desk.ask(question);
                let waiting = Waiting {
                    exchange,
                    place,
                    id,
                    next,
                };
                self.calls.insert(call, waiting);
            }
            Outcome::Query(query) => self.query(exchange, place, id, query, desk),
            // Each is as large as the recording, so a second one waits for the first.
            Outcome::Save(_) if !self.saves.is_empty() => {
                let error = RpcError::busy("another recording is being saved; ask again soon");
                self.settle(exchange, place, id, Err(error), desk);
            }
            Outcome::Save(file) => {
                let save = desk.save_record(file.clone());
                self.saves.insert(save, (exchange, place, id, file));
            }
        }
    }

    /// Has a call answered beside the loop.
    fn query(
        &mut self,
        exchange: ExchangeId,
        place: usize,
        id: Option<Value>,
        query: Query,
        desk: &mut Desk<'_>,
    ) {
        let Query { bytes, run } = query;
        if self.query_bytes + bytes > QUERY_BYTES_MAX {
            let error = RpcError::busy("too many large answers are under way; ask again soon");
            return self.settle(exchange, place, id, Err(error), desk);
        }
        self.query_bytes += bytes;
        let moment = Moment {
            facts: Arc::clone(&self.facts),
            published: desk.published.map(Arc::clone),
            counters: *desk.counters,
            now: desk.now,
            is_recording: desk.is_recording,
        };
        let whose = id.clone();
        let work = move || text_of(whose.as_ref(), &run(&moment.view()));
        let query = desk.query(Box::new(work));
        let asked = Asked {
            exchange,
            place,
            id,
            bytes,
        };
        self.queries.insert(query, asked);
    }

    /// A call has its result: the request is answered when all its calls have.
    fn settle(
        &mut self,
        exchange: ExchangeId,
        place: usize,
        id: Option<Value>,
        result: Result<Value, RpcError>,
        desk: &mut Desk<'_>,
    ) {
        let text = text_of(id.as_ref(), &result);
        self.settle_with(exchange, place, id, text, desk);
    }

    fn settle_with(
        &mut self,
        exchange: ExchangeId,
        place: usize,
        id: Option<Value>,
        mut text: String,
        desk: &mut Desk<'_>,
    ) {
        let Some(batch) = self.exchanges.get_mut(&exchange) else {
            return;
        };
        if batch.is_array && batch.bytes + text.len() > BATCH_BYTES_MAX {
            let error = format!("the answers of a batch have at most {BATCH_BYTES_MAX} bytes");
            text = text_of(id.as_ref(), &Err(RpcError::answer_too_large(error)));
        }
        batch.bytes += text.len();
        batch.answers[place] = Some(text);
        batch.awaited -= 1;
        if batch.awaited == 0
            && let Some(batch) = self.exchanges.remove(&exchange)
        {
            desk.respond(exchange, batch.response());
        }
    }
}

/// An answer as it is sent. A notification has no id and gets none.
fn text_of(id: Option<&Value>, result: &Result<Value, RpcError>) -> String {
    id.map_or_else(String::new, |id| answer(id, result).to_string())
}

impl Exchange {
    fn response(self) -> HttpResponse {
        let texts = self
            .answers
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty());
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() {
            return HttpResponse::json(Status::NoContent, Vec::new());
        }
        let text = texts.join(",");
        let body = if self.is_array {
            format!("[{text}]")
        } else {
            text
        };
        HttpResponse::json(Status::Ok, body.into_bytes())
    }
}

impl Service for RpcService {
    fn request(&mut self, exchange: ExchangeId, request: HttpRequest, desk: &mut Desk<'_>) {
        let response = match (request.method, request.path.as_str()) {
            (HttpMethod::Get, "/healthy") => {
                HttpResponse::json(Status::Ok, br#"{"healthy":true}"#.to_vec())
            }
            (HttpMethod::Get, "/ready") => ready(desk),
            (HttpMethod::Get, "/metrics") => HttpResponse {
                status: Status::Ok,
                content_type: "text/plain; version=0.0.4",
                body: metrics::text(&self.view(desk)).into_bytes(),
            },
            (HttpMethod::Post, "/") => {
                let authorization = request.authorization.as_deref();
                let shown = |cookie: &Cookie| cookie.is_shown_by(authorization);
                if self.cookie.as_ref().is_none_or(shown) {
                    return self.call(exchange, &request.body, desk);
                }
                let text = "show the cookie: user __cookie__, password from the file rpc.cookie";
                HttpResponse::text(Status::Unauthorized, text)
            }
            (HttpMethod::Get, "/") | (HttpMethod::Post, "/healthy" | "/ready" | "/metrics") => {
                HttpResponse::text(Status::MethodNotAllowed, "POST calls to /; GET the others")
            }
            _ => {
                let text = "there are /, /healthy, /ready and /metrics";
                HttpResponse::text(Status::NotFound, text)
            }
        };
        desk.respond(exchange, response);
    }

    fn answered(&mut self, call: CallId, reply: Result<Reply, CallError>, desk: &mut Desk<'_>) {
        let Some(waiting) = self.calls.remove(&call) else {
            return;
        };
        let Waiting {
            exchange,
            place,
            id,
            next,
        } = waiting;
        let outcome = match reply {
            Ok(reply) => next(&mut self.view(desk), reply),
            Err(error) => Outcome::Done(Err(error.into())),
        };
        if self.exchanges.contains_key(&exchange) {
            self.go_on(exchange, place, id, outcome, desk);
        }
    }

    fn queried(&mut self, query: QueryId, answer: String, desk: &mut Desk<'_>) {
        let Some(asked) = self.queries.remove(&query) else {
            return;
        };
        self.query_bytes -= asked.bytes;
        self.settle_with(asked.exchange, asked.place, asked.id, answer, desk);
    }

    fn saved(&mut self, save: SaveId, result: Result<Saved, String>, desk: &mut Desk<'_>) {
        let Some((exchange, place, id, file)) = self.saves.remove(&save) else {
            return;
        };
        let result = match result {
            Ok(Saved { bytes, missing }) => {
                let missing: Vec<u64> = missing.iter().map(|at| at.get()).collect();
                Ok(json!({ "file": file, "bytes": bytes, "missing": missing }))
            }
            Err(error) => Err(RpcError::failed(format!("{file}: {error}"))),
        };
        self.settle(exchange, place, id, result, desk);
    }

    fn left(&mut self, exchange: ExchangeId, desk: &mut Desk<'_>) {
        let of_it = |(_, waiting): &(&CallId, &Waiting)| waiting.exchange == exchange;
        for (call, _) in self.calls.iter().filter(of_it) {
            desk.caller_left(*call);
        }
    }

    fn gone(&mut self, exchange: ExchangeId, desk: &mut Desk<'_>) {
        self.left(exchange, desk);
        self.exchanges.remove(&exchange);
    }
}

/// Whether the node is of use: its log is read, and it is not far behind.
fn ready(desk: &Desk<'_>) -> HttpResponse {
    /// A node this far behind the best header is still synchronising.
    const BEHIND_MAX: u64 = 2;
    let state = desk.published.map(|published| {
        let behind = published
            .best_header
            .0
            .saturating_sub(published.header.height.0);
        (published.ready, behind)
    });
    let (is_ready, behind) = state.unwrap_or((false, 0));
    let is_ready = is_ready && behind <= BEHIND_MAX;
    let status = if is_ready {
        Status::Ok
    } else {
        Status::Unavailable
    };
    let body = json!({ "ready": is_ready, "blocks_behind": behind });
    HttpResponse::json(status, body.to_string().into_bytes())
}
