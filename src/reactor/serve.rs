//! Connections of HTTP clients.

use std::io;

use mio::Interest;

use crate::base::Time;

use super::http::{HttpRequest, HttpResponse, Status};
use super::peers::is_of_one_connection;
use super::web::WebSocket;
use super::{ExchangeId, Reactor, SWEEP_INTERVAL, Timer};

/// The most connections at a time.
const CONNECTIONS_MAX: usize = 256;
/// The most connections accepted in a turn.
const ACCEPT_MAX: usize = 64;
/// The most bodies of more than 1 MiB that are received at a time: 33 MB of memory.
const LARGE_BODIES_MAX: usize = 4;
/// The most requests of one connection that are begun in a turn.
const REQUESTS_MAX: usize = 64;

impl Reactor {
    pub(super) fn accept_web(&mut self) {
        for _ in 0..ACCEPT_MAX {
            let Some(listener) = &self.http_listener else {
                return;
            };
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => return self.pause_accepting(&error),
            };
            if self.web.len() >= CONNECTIONS_MAX {
                // Closing it at once says so.
                continue;
            }
            let token = self.next_token();
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self
                .poll
                .registry()
                .register(&mut stream, token, interest)
                .is_ok()
            {
                let now = self.clock.now();
                self.web
                    .insert(ExchangeId(token.0 as u64), WebSocket::new(stream, now));
                self.counters.http_connections = self.web.len() as u64;
                self.timers.set_earlier(Timer::Sweep, now + SWEEP_INTERVAL);
            }
        }
        // More may wait, and the poll has said so already.
        self.timers.set(Timer::Accept, self.clock.now());
    }

    /// Gives a connection its share of the turn.
    pub(super) fn serve_web(&mut self, exchange: ExchangeId) {
        let now = self.clock.now();
        let Some(web) = self.web.get_mut(&exchange) else {
            return;
        };
        if web.read(now, &mut self.buffer).is_err() {
            return self.drop_web(exchange);
        }
        if web.take_left() {
            self.with_service(|service, desk| service.left(exchange, desk));
            self.run_inputs();
        }
        let mut begun = 0;
        while begun < REQUESTS_MAX
            && let Some(request) = self.next_request(exchange, now)
        {
            begun += 1;
            self.counters.http_requests += 1;
            self.with_service(|service, desk| service.request(exchange, request, desk));
            self.run_inputs();
            self.save_records();
        }
        let Some(web) = self.web.get_mut(&exchange) else {
            return;
        };
        let written = web.write(now);
        web.end(now);
        let idle = !web.http.is_waiting() && web.http.output().is_empty();
        if written.is_err() || web.is_over() || (self.stopping && idle) {
            self.drop_web(exchange);
        } else if web.is_busy() || begun == REQUESTS_MAX {
            self.busy_web.insert(exchange);
        }
    }

    /// The next request of a connection. A large body is received when few others are.
    fn next_request(&mut self, exchange: ExchangeId, now: Time) -> Option<HttpRequest> {
        let web = self.web.get_mut(&exchange)?;
        let request = web.http.next_request(now, &self.config.http_hosts);
        if !web.http.asks_leave() {
            return request;
        }
        let large = |web: &&WebSocket| web.http.receives_large_body();
        let leave = self.web.values().filter(large).count() < LARGE_BODIES_MAX;
        let web = self.web.get_mut(&exchange)?;
        web.http.give_leave(now, leave);
        web.http.next_request(now, &self.config.http_hosts)
    }

    pub(super) fn respond(&mut self, exchange: ExchangeId, response: &HttpResponse) {
        let now = self.clock.now();
        if let Some(web) = self.web.get_mut(&exchange)
            && web.http.is_waiting()
        {
            web.http.respond(now, response);
            self.busy_web.insert(exchange);
        }
    }

    fn drop_web(&mut self, exchange: ExchangeId) {
        if let Some(web) = self.web.remove(&exchange)
            && web.http.is_waiting()
        {
            self.with_service(|service, desk| service.gone(exchange, desk));
            self.run_inputs();
        }
        self.counters.http_connections = self.web.len() as u64;
    }

    /// Ends connections whose time is up.
    pub(super) fn sweep_web(&mut self, now: Time) {
        let late = |(exchange, web): (&ExchangeId, &WebSocket)| {
            let deadline = web.deadline();
            deadline
                .is_some_and(|deadline| deadline <= now)
                .then_some(*exchange)
        };
        let late: Vec<ExchangeId> = self.web.iter().filter_map(late).collect();
        for exchange in late {
            let Some(web) = self.web.get_mut(&exchange) else {
                continue;
            };
            if web.time_out(now) {
                self.drop_web(exchange);
            } else {
                self.busy_web.insert(exchange);
            }
        }
    }

    /// The loop stops: connections without a question end, the others are told.
    pub(super) fn end_idle_web(&mut self) {
        let idle = |(exchange, web): (&ExchangeId, &WebSocket)| {
            let idle = !web.http.is_waiting() && web.http.output().is_empty();
            idle.then_some(*exchange)
        };
        let idle: Vec<ExchangeId> = self.web.iter().filter_map(idle).collect();
        for exchange in idle {
            self.drop_web(exchange);
        }
        let waiting: Vec<ExchangeId> = self.web.keys().copied().collect();
        for exchange in waiting {
            if self
                .web
                .get(&exchange)
                .is_some_and(|web| web.http.is_waiting())
            {
                let text = "the node is stopping";
                self.respond(exchange, &HttpResponse::text(Status::Unavailable, text));
            }
        }
    }
}
