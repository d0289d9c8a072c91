//! The service manager that started the process, if one did: what it is told, and what it asks.
//!
//! systemd listens on the datagram socket that `NOTIFY_SOCKET` names (sd_notify(3)): a start is
//! done when the node is ready, it may take longer as long as it goes on, and from then on the
//! watchdog is fed from the loop (`WATCHDOG_USEC`, sd_watchdog_enabled(3)). One datagram of the
//! standard library is all of it.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::base::Span;
use crate::node::Published;
use crate::reactor::Supervisor;

/// How often the status line is looked at.
const STATUS_EVERY: Span = Span::from_secs(5);
/// The shortest time between two signs of life, whatever the watchdog asks for.
const SIGN_OF_LIFE_MIN: Span = Span::from_millis(10);
/// How much longer a start may take from each time that the loop turns.
const START_EXTENSION: Span = Span::from_secs(60);
/// How long the log may take to be opened: after a crash its ends are read and checked.
const OPEN_EXTENSION: Span = Span::from_secs(600);
/// When a process that was told to stop ends, whatever keeps it. It has promised 2 s.
const STOP_WITHIN: Duration = Duration::from_millis(1_900);

/// The service manager.
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Without a sign of life for so long the process is killed.
    watchdog: Option<Span>,
    is_ready: bool,
    status: String,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(super) fn from_environment() -> Self {
        let name = std::env::var_os("NOTIFY_SOCKET");
        let socket = name.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("NOTIFY_SOCKET {}: {error}", name.display());
                None
            }
        });
        let text = |name| std::env::var_os(name)?.into_string().ok();
        let (micros, pid) = (text("WATCHDOG_USEC"), text("WATCHDOG_PID"));
        let watchdog = watchdog(micros.as_deref(), pid.as_deref(), std::process::id());
        Self::new(socket, watchdog)
    }

    fn new(socket: Option<(UnixDatagram, SocketAddr)>, watchdog: Option<Span>) -> Self {
        Self {
            socket,
            watchdog,
            is_ready: false,
            status: String::new(),
        }
    }

    /// The log is about to be opened, which may take long and during which nothing turns.
    pub(super) fn opening(&mut self) {
        let micros = OPEN_EXTENSION.as_micros();
        self.tell(&format!(
            "EXTEND_TIMEOUT_USEC={micros}\nSTATUS=opening the log"
        ));
    }

    /// Gives a sign of life, with what is new.
    fn say(&mut self, is_ready: bool, status: String) {
        let mut message = String::from("WATCHDOG=1");
        if is_ready && !self.is_ready {
            message.push_str("\nREADY=1");
        }
        if !is_ready {
            let micros = START_EXTENSION.as_micros();
            message.push_str(&format!("\nEXTEND_TIMEOUT_USEC={micros}"));
        }
        if status != self.status {
            message.push_str(&format!("\nSTATUS={status}"));
        }
        // What did not go is said again with the next sign of life.
        if self.tell(&message) {
            self.is_ready = is_ready;
            self.status = status;
        }
    }

    /// Sends a message; says whether it went. Nothing waits for a service manager.
    fn tell(&self, message: &str) -> bool {
        let Some((socket, address)) = &self.socket else {
            return false;
        };
        socket.send_to_addr(message.as_bytes(), address).is_ok()
    }
}

impl Supervisor for ServiceManager {
    fn interval(&self) -> Option<Span> {
        self.socket.as_ref()?;
        // Three signs of life in each period: two may be lost or late.
        let third = |span: Span| Span::from_micros(span.as_micros() / 3);
        let wanted = self.watchdog.map_or(STATUS_EVERY, third);
        Some(wanted.clamp(SIGN_OF_LIFE_MIN, STATUS_EVERY))
    }

    fn alive(&mut self, published: Option<&Published>) {
        let status = published.map_or_else(|| "reading the log".to_owned(), status);
        self.say(published.is_some_and(|published| published.ready), status);
    }

    fn stopping(&mut self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
        let thread = std::thread::Builder::new().name("stop".to_owned());
        if let Err(error) = thread.spawn(end_in_time) {
            log::warn!("a thread can't be started: {error}; the stop takes as long as it takes");
        }
    }
}

/// Ends the process, unless it has ended by then.
#[expect(
    clippy::disallowed_methods,
    reason = "the process has promised to end in time"
)]
fn end_in_time() {
    std::thread::sleep(STOP_WITHIN);
    log::error!(
        "the process does not end by itself within {STOP_WITHIN:?} and is ended; nothing \
         acknowledged is lost"
    );
    std::process::exit(1);
}

/// The period that the environment of process `own` names. Variables are inherited: they may be
/// meant for the process that started this one.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Span> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    Some(Span::from_micros(micros))
}

/// A socket that never keeps the loop waiting, and where it sends to: a path, or a name with `@`
/// in front.
fn connect(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// How the node is, in one line.
fn status(published: &Published) -> String {
    let height = published.header.height;
    let mut text = format!("height {height}");
    if published.best_header > height {
        text.push_str(&format!(" of {}", published.best_header));
    }
    if !published.ready {
        return format!("reading the log: {text}");
    }
    let (peers, waiting) = (published.peers, published.mempool_count);
    format!("{text}, {peers} peers, {waiting} transactions wait")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager, and what it hears.
    fn pair(watchdog: Option<Span>) -> (ServiceManager, UnixDatagram) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("@keel-test-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).expect("the name is short");
        let ear = UnixDatagram::bind_addr(&address).expect("the tests run on Linux");
        ear.set_nonblocking(true).expect("it is a socket");
        let socket = connect(&name.into()).expect("the name is good");
        (ServiceManager::new(Some(socket), watchdog), ear)
    }

    fn heard(ear: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let count = ear.recv(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn a_start_is_done_when_the_node_is_ready_and_only_once() {
        let (mut manager, ear) = pair(Some(Span::from_secs(30)));
        manager.opening();
        assert!(heard(&ear).starts_with("EXTEND_TIMEOUT_USEC=600000000\nSTATUS="));
        for height in [1, 2] {
            manager.say(false, format!("reading the log: height {height}"));
            let said = heard(&ear);
            let extended = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000\nSTATUS=reading the log: ";
            assert_eq!(said, format!("{extended}height {height}"));
        }
        manager.say(true, "height 2".to_owned());
        assert_eq!(heard(&ear), "WATCHDOG=1\nREADY=1\nSTATUS=height 2");
        manager.say(true, "height 2".to_owned());
        assert_eq!(heard(&ear), "WATCHDOG=1");
        manager.say(true, "height 3".to_owned());
        assert_eq!(heard(&ear), "WATCHDOG=1\nSTATUS=height 3");
    }

    #[test]
    fn what_was_not_taken_is_said_again() {
        let (mut manager, ear) = pair(None);
        // The queue of a socket that nobody reads is full at some point.
        while manager.tell("X=1") {}
        manager.say(true, "height 2".to_owned());
        while !heard(&ear).is_empty() {}
        manager.say(true, "height 2".to_owned());
        assert_eq!(heard(&ear), "WATCHDOG=1\nREADY=1\nSTATUS=height 2");
    }

    #[test]
    fn signs_of_life_come_three_times_in_a_period() {
        let interval = |watchdog| pair(watchdog).0.interval();
        assert_eq!(interval(None), Some(STATUS_EVERY));
        assert_eq!(interval(Some(Span::from_secs(3))), Some(Span::from_secs(1)));
        assert_eq!(interval(Some(Span::from_secs(300))), Some(STATUS_EVERY));
        assert_eq!(interval(Some(Span::from_micros(1))), Some(SIGN_OF_LIFE_MIN));
        assert_eq!(ServiceManager::new(None, None).interval(), None);
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed() {
        let second = Some(Span::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        for (micros, pid) in [
            (Some("1000000"), Some("8")),
            (Some("1000000"), Some("")),
            (Some("0"), None),
            (Some("-1"), Some("7")),
            (None, Some("7")),
        ] {
            assert_eq!(watchdog(micros, pid, 7), None, "{micros:?} {pid:?}");
        }
    }

    #[test]
    fn names_that_are_no_socket_are_refused() {
        for name in ["", "vsock:2:1234", "relative/path"] {
            assert!(connect(&name.into()).is_err(), "{name}");
        }
    }
}
