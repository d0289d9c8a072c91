//! One connection of an HTTP client: a socket, and the requests over it.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Event;
use mio::net::TcpStream;

use crate::base::{Span, Time};

use super::http::HttpConnection;

/// The most bytes written to a client before others have their turn.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// Bytes that are read and thrown away after the last answer. Closing a socket that has bytes
/// unread makes the system cut off what the client has not taken yet, so a client that is refused
/// in the midst of a long body would not learn why.
const LINGER_BYTES_MAX: usize = 2 << 20;
/// How long a client may take to close its end after the last answer.
const LINGER_TIME: Span = Span::from_secs(2);

/// A connection of an HTTP client.
pub(super) struct WebSocket {
    stream: TcpStream,
    /// The requests.
    pub(super) http: HttpConnection,
    readable: bool,
    writable: bool,
    /// The poll has reported that the client sends no more.
    at_end: bool,
    /// The client has sent all that it will.
    finished: bool,
    /// That it has done so before its last request was answered was said.
    told: bool,
    /// The last answer is sent: how many more bytes are thrown away, and until when.
    lingering: Option<(usize, Time)>,
}

impl WebSocket {
    pub(super) fn new(stream: TcpStream, now: Time) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            http: HttpConnection::new(now),
            readable: false,
            writable: true,
            at_end: false,
            finished: false,
            told: false,
            lingering: None,
        }
    }

    /// Takes what the poll says about the socket.
    pub(super) fn note(&mut self, event: &Event) {
        self.at_end |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.at_end;
        self.writable |= event.is_writable() || event.is_error();
    }

    /// Whether there is something to do before the poll says anything new.
    pub(super) fn is_busy(&self) -> bool {
        (self.readable && self.http.room() > 0) || (self.writable && !self.http.output().is_empty())
    }

    /// Reads what the socket gives and the connection has room for, once.
    pub(super) fn read(&mut self, now: Time, buffer: &mut [u8]) -> io::Result<()> {
        let room = match self.lingering {
            Some((left, _)) => left.min(buffer.len()),
            None => self.http.room().min(buffer.len()),
        };
        if !self.readable || room == 0 {
            return Ok(());
        }
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => {
                self.readable = false;
                self.finished = true;
            }
            Ok(count) => {
                match &mut self.lingering {
                    Some((left, _)) => *left -= count,
                    None => self.http.receive(now, &buffer[..count]),
                }
                // A read that does not fill its room has emptied the socket, and the poll reports
                // what comes after; but the end it has reported already.
                self.readable = count == room || self.at_end;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the client has ended its side while its request waits for an answer. Says so once.
    pub(super) fn take_left(&mut self) -> bool {
        self.finished && self.http.is_waiting() && !std::mem::replace(&mut self.told, true)
    }

    /// Writes what the socket takes, up to this turn's share.
    pub(super) fn write(&mut self, now: Time) -> io::Result<()> {
        let mut total = 0;
        while self.writable && total < WRITE_BYTES_MAX && !self.http.output().is_empty() {
            match self.stream.write(self.http.output()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.http.sent(now, count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the client that nothing more comes, once the last answer is sent.
    pub(super) fn end(&mut self, now: Time) {
        if self.http.is_over() && self.lingering.is_none() {
            let _ = self.stream.shutdown(Shutdown::Write);
            self.lingering = Some((LINGER_BYTES_MAX, now + LINGER_TIME));
        }
    }

    /// When its time is up.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.lingering {
            Some((_, deadline)) => Some(deadline),
            None => self.http.deadline(),
        }
    }

    /// Time is up: says whether the connection is to be dropped at once.
    pub(super) fn time_out(&mut self, now: Time) -> bool {
        self.lingering.is_some() || self.http.time_out(now)
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_over(&self) -> bool {
        match self.lingering {
            Some((left, _)) => self.finished || left == 0,
            None => self.finished && !self.http.is_waiting() && self.http.output().is_empty(),
        }
    }
}
